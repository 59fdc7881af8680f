"""The real cosign, against the sandbox's registry: nobody's network is asked."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from patchwright.sandbox import binaries, progress

OLD: Final = ("--new-bundle-format=false",)
"""How cosign kept things before its third version."""


@dataclass(frozen=True, slots=True)
class Cosign:
    """A cosign with a folder and a key pair of its own."""

    program: Path
    folder: Path

    @property
    def public_key(self) -> bytes:
        """The public half of its key."""
        return (self.folder / "cosign.pub").read_bytes()

    def sign(self, image: str, *flags: str) -> None:
        """Sign a digest."""
        self._run("sign", "--yes", "--key=cosign.key", "--tlog-upload=false", *_ALONE, *flags, image)

    def attest(self, image: str, *flags: str, kind: str = "spdxjson") -> None:
        """Attach an attestation."""
        (self.folder / "predicate.json").write_text("{}")
        what = (f"--type={kind}", "--predicate=predicate.json")
        self._run("attest", "--yes", "--key=cosign.key", "--tlog-upload=false", *_ALONE, *what, *flags, image)

    def verifies(self, image: str, *flags: str) -> bool:
        """Tell whether cosign itself is satisfied."""
        return self._ask("verify", "--allow-http-registry", *flags, image).returncode == 0

    def _run(self, *words: str) -> None:
        done = self._ask(*words)
        assert done.returncode == 0, f"cosign {' '.join(words)}: {done.stderr[-2000:]}"

    def _ask(self, *words: str) -> subprocess.CompletedProcess[str]:
        # Nothing of the user's environment: no registry login of theirs, and no proxy.
        env = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "COSIGN_PASSWORD": ""}
        return subprocess.run(
            [self.program, *words], cwd=self.folder, env=env, capture_output=True, text=True, check=False, timeout=60
        )


_ALONE: Final = ("--use-signing-config=false", "--allow-http-registry")


def cosign(folder: Path) -> Cosign:
    """Give a cosign with a new key pair; builds the program first where it is missing."""
    found = binaries.ensure(("cosign",), progress.Lines(sys.stderr), control_plane=False)["cosign"]
    folder.mkdir(parents=True, exist_ok=True)
    mine = Cosign(found, folder)
    mine._run("generate-key-pair")
    return mine
