"""LAW: the Kubernetes API and nobody else's business.

Raw JSON goes through one client with a time limit on every request; what comes back is projected into the domain's slim
values at once and forgotten. Reads come from caches that events feed and our own writes update, so that a lagging watch
never hides what we did (system-upgrade-controller#38, #77). No type of the client library leaves this folder, and every
error does so as a ``patchwright.errors.ClusterError``.
"""
