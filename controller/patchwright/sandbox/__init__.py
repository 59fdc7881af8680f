"""A whole control plane on this machine, for try-out, tests and benchmarks.

Law: everything listens on loopback only; it stops only what it started, known by process id *and* start time; it
never waits in silence; and what it imitates (kwok's nodes, patch Jobs) is declared in files that a reader can open.

    binaries, golang, progress   build the pinned programs once, or take those that are at hand
    settings, components, pki    what runs, with which flags, as whom
    registry, images             what the image registry is told, and images for it, made of a few bytes
    gitea, gitserver             hosts of Git repositories: one with pull requests, one that is Git's own and no more
    supervisor, state, processes the one process that starts, watches and ends the others
    controlplane                 the Python face: a synchronous context manager
    client, fleet, effects       nodes, workloads, and what a patch does to them
"""
