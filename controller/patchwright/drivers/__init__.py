"""How a node is patched: one driver per way of changing it.

Law: a driver renders Jobs from a change; it neither decides when nor talks to the API server.
"""
