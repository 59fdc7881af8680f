"""Observe, decide, act, report: one step a file.

Law: the pipeline knows ports and the domain, never a client library. I/O happens at both ends only.
"""
