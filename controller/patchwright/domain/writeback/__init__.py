"""Changing images where Git says them: which bytes of which files, and what is said about it."""
