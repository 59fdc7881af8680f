"""Wiring: the only importer of kopf, ten lines a handler, and the translation of errors.

Law: no decision is made here.
"""
