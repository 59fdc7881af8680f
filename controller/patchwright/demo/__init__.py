"""The demo: merges to a real Git repository, images pushed to a real registry, told as a real control plane has them.

Law: it uses what a user uses. Git is pushed to with git, the operator is a process of its own, and what the demo claims
at the end it has read from the API server and the registry. It never reaches into the operator.

    examples, pace      the repository that is shown, and what is shortened so that it fits into minutes
    site, attendant     the sandbox with nodes and workloads; the Git server and the operator beside it
    desk                a person who commits, merges and pushes
    publisher           who pushes images to the registry
    stories, releases   what is merged or pushed, and what should come of it
    owned               the same where workloads belong to Git
    stage               merging, pushing and watching
    telling, screen     from what the API server says to what is shown
    witness, findings   who was touched when, and whether a story ended as it should
    show                all of it, in order
"""
