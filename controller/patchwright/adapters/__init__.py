"""One folder per outside thing; each implements a port of patchwright.ports.

Law: a client library's types and exceptions never leave its folder; errors leave as patchwright.errors.
"""
