"""The command line: click commands with rich output, and no logic."""
