"""A person at a desk: a clone, a branch, a commit, a merge, a push. Everything is done by git itself."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from patchwright import errors

AUTHOR: Final = "Robin"


class GitFailed(errors.PatchwrightError):
    """A git command of the demo failed; the message carries what git said."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="GitFailed")


@dataclass(frozen=True, slots=True)
class Merge:
    """A merge commit on ``main``: its id, the branch's subject, and the text that the merge brought."""

    commit: str
    subject: str

    @property
    def short(self) -> str:
        """Give the id as people quote it."""
        return self.commit[:7]


def create(bare: Path) -> None:
    """Create an empty repository that is served and pushed to."""
    _git("init", "--quiet", "--bare", "--initial-branch=main", str(bare), cwd=bare.parent)


class Desk:
    """A clone of ``url`` in ``directory``."""

    def __init__(self, url: str, directory: Path) -> None:
        self.directory = directory
        _git("clone", "--quiet", url, str(directory), cwd=directory.parent)
        # Whoever looks around later commits as himself, without a global configuration.
        self._git("config", "user.name", AUTHOR)
        self._git("config", "user.email", "robin@example.com")

    def commit(self, files: Mapping[str, str], subject: str, body: str = "") -> str:
        """Commit ``files`` on the current branch; give the commit's id."""
        for name, text in files.items():
            path = self.directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        self._git("add", "--all")
        self._git("commit", "--quiet", "-m", subject, *(["-m", body] if body else []))
        return self._git("rev-parse", "HEAD")

    def push(self, branch: str = "main") -> None:
        """Push a branch."""
        self._git("push", "--quiet", "origin", branch)

    def pull_request(self, number: int, branch: str, files: Mapping[str, str], *, subject: str) -> Merge:
        """Commit on a branch, push it, merge it into ``main`` as a forge does, and push that."""
        self._git("switch", "--quiet", "main")
        self._git("switch", "--quiet", "--create", branch)
        self.commit(files, subject)
        self.push(branch)
        self._git("switch", "--quiet", "main")
        title = f"Merge pull request #{number} from {AUTHOR.lower()}/{branch}"
        self._git("merge", "--quiet", "--no-ff", "-m", title, "-m", subject, branch)
        self.push()
        return Merge(self._git("rev-parse", "HEAD"), subject)

    def _git(self, *words: str) -> str:
        return _git(*words, cwd=self.directory)


def _git(*words: str, cwd: Path) -> str:
    done = subprocess.run(  # noqa: S603 - git, with words of our own
        ["git", *words],  # noqa: S607 - the user's own git
        cwd=cwd,
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise GitFailed(f"git {' '.join(words)} failed in {cwd}: {done.stderr.strip()}")
    return done.stdout.strip()


def _environment() -> dict[str, str]:
    """Give git none of the user's configuration: signing, hooks or a proxy would not work here, or not alike."""
    kept = {name: os.environ[name] for name in ("PATH", "TMPDIR", "LANG", "SSL_CERT_FILE") if name in os.environ}
    return kept | {
        "HOME": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
    }
