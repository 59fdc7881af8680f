"""The demo: three merges to a real Git repository, on a real control plane, told as they happen.

Law: it uses what a user uses. Git is pushed to with git, the operator is a process of its own, and what the demo claims
at the end it has read from the API server. It never reaches into the operator.

    examples, pace      the repository that is shown, and what is shortened so that it fits into minutes
    site, attendant     the sandbox with nodes and workloads; the Git server and the operator beside it
    desk                a person who commits, merges and pushes
    stories, stage      what is merged and what should come of it; merging and watching
    telling, screen     from what the API server says to what is shown
    witness, findings   who was touched when, and whether a story ended as it should
    show                all of it, in order
"""
