"""A whole control plane on this machine, for try-out, tests and benchmarks.

Law: it stops only what it started, and it says what it does.
"""
