"""``python -m patchwright`` is the ``patchwright`` command."""

from patchwright.cli.main import main

main(prog_name="patchwright")
