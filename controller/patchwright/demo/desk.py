"""A person at a desk: a clone, a branch, a commit, a merge, a push, as GitPython has git do them."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import git

from patchwright import errors

AUTHOR: Final = "Robin"
ENV: Final = ("env", "-i")


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


class CleanGit(git.Git):
    """git in an environment of its own.

    GitPython adds to the user's environment and takes nothing away; there a ``GIT_DIR`` from a hook, a proxy or a key
    that signs every commit would have a say. So git is started through env(1), which begins with nothing.
    """

    def execute(self, command: Any, *args: Any, **kwargs: Any) -> Any:
        """Run a command, with nothing of the user's environment but what finds git and trusts servers."""
        given = {**_environment(), **self.environment(), **(kwargs.pop("env", None) or {})}
        pairs = [f"{name}={value}" for name, value in given.items()]
        return super().execute([*ENV, *pairs, *command], *args, **kwargs)


class CleanRepo(git.Repo):
    """A repository whose git is ``CleanGit``."""

    GitCommandWrapperType = CleanGit


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit as ``git log -p`` shows it; ``lines`` are the lines that it took away and brought, by file."""

    id: str
    author: str
    subject: str
    lines: Mapping[str, tuple[Sequence[str], Sequence[str]]]

    @property
    def short(self) -> str:
        """Give the id as people quote it."""
        return self.id[:7]


def create(bare: Path) -> None:
    """Create an empty repository that is served and pushed to."""
    with _told(bare.parent):
        CleanRepo.init(bare, expand_vars=False, quiet=True, bare=True, initial_branch="main").close()


class Desk:
    """A clone of ``url`` in ``directory``."""

    def __init__(self, url: str, directory: Path) -> None:
        self.directory = directory
        with _told(directory.parent):
            CleanRepo.clone_from(url, directory, quiet=True).close()
        # Whoever looks around later commits as himself, without a global configuration.
        with self._repo() as repo, repo.config_writer() as config:
            config.set_value("user", "name", AUTHOR)
            config.set_value("user", "email", "robin@example.com")

    def commit(self, files: Mapping[str, str], subject: str, body: str = "") -> str:
        """Commit ``files`` on the current branch; give the commit's id."""
        for name, text in files.items():
            path = self.directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        with self._repo() as repo:
            repo.git.add(all=True)
            repo.git.commit(quiet=True, message=[subject, *([body] if body else [])])
            return repo.head.commit.hexsha

    def push(self, branch: str = "main") -> None:
        """Push a branch."""
        with self._repo() as repo:
            repo.git.push("origin", branch, quiet=True)

    def pull_request(self, number: int, branch: str, files: Mapping[str, str], *, subject: str) -> Merge:
        """Commit on a branch, push it, merge it into ``main`` as a forge does, and push that."""
        with self._repo() as repo:
            repo.git.switch("main", quiet=True)
            repo.git.switch("--quiet", "--create", branch)
        self.commit(files, subject)
        self.push(branch)
        title = f"Merge pull request #{number} from {AUTHOR.lower()}/{branch}"
        with self._repo() as repo:
            repo.git.switch("main", quiet=True)
            repo.git.merge(branch, no_ff=True, quiet=True, m=[title, subject])
            merge = Merge(repo.head.commit.hexsha, subject)
        self.push()
        return merge

    def fetch(self) -> str:
        """Ask the server what ``main`` is by now; give the commit's id."""
        with self._repo() as repo:
            repo.git.fetch("origin", quiet=True)
            return repo.commit("origin/main").hexsha

    def news(self, since: str) -> list[Commit]:
        """Give the commits that the server has on ``main`` after ``since``, the oldest first."""
        until = self.fetch()
        with self._repo() as repo:
            found = [*repo.iter_commits(f"{since}..{until}", reverse=True)]
            return [Commit(one.hexsha, str(one.author), str(one.summary), _lines(repo, one.hexsha)) for one in found]

    @contextlib.contextmanager
    def _repo(self) -> Iterator[git.Repo]:
        """Open the clone for one piece of work; GitPython keeps processes of git until it is closed."""
        with _told(self.directory), CleanRepo(self.directory, expand_vars=False) as repo:
            yield repo


def _lines(repo: git.Repo, commit: str) -> Mapping[str, tuple[Sequence[str], Sequence[str]]]:
    """Read which lines of which files a commit has changed."""
    found: dict[str, tuple[list[str], list[str]]] = {}
    gone: list[str] = []
    come: list[str] = []
    for line in repo.git.show(commit, format="", unified=0).splitlines():
        if line.startswith("diff --git "):
            gone, come = found.setdefault(line.rpartition(" b/")[2], ([], []))
        elif line.startswith("-") and not line.startswith("--- "):
            gone.append(line[1:])
        elif line.startswith("+") and not line.startswith("+++ "):
            come.append(line[1:])
    return found


@contextlib.contextmanager
def _told(where: Path) -> Iterator[None]:
    """Say in our own error what git said."""
    try:
        yield
    except git.CommandError as error:
        words = itertools.dropwhile(lambda word: "=" in word, error.command[len(ENV) :])
        # That there is nothing to commit is said where the good news go.
        said = re.sub(r"^\s*std(out|err): '|'$", "", error.stderr or error.stdout).strip()
        raise GitFailed(f"{' '.join(words)} failed in {where}: {said}") from error
    except git.GitError as error:
        raise GitFailed(f"git cannot work in {where}: {error}") from error


def _environment() -> dict[str, str]:
    """Give git none of the user's configuration: signing, hooks or a proxy would not work here, or not alike."""
    kept = {name: os.environ[name] for name in ("PATH", "TMPDIR", "LANG", "SSL_CERT_FILE") if name in os.environ}
    return kept | {
        "HOME": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
    }
