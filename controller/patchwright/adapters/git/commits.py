"""A raw commit object, parsed. ``git log`` would hide the parents of a shallow commit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from patchwright.domain.sources import Author

_LATEST = 32_503_680_000  # the year 3000; a commit may claim any number


@dataclass(frozen=True, slots=True)
class Commit:
    """What a commit says of itself."""

    name: str
    parents: tuple[str, ...]
    author: Author
    committed_at: datetime
    subject: str


def parse_commit(name: str, raw: bytes) -> Commit:
    """Parse the content of a commit object, which ``git fsck`` has let pass."""
    head, _, message = raw.decode("utf-8", errors="replace").partition("\n\n")
    # A line that begins with a space continues the header above it (gpgsig).
    headers = [line.partition(" ") for line in head.split("\n") if line and not line.startswith(" ")]
    parents = tuple(value for key, _, value in headers if key == "parent")
    who = {key: value for key, _, value in headers if key in ("author", "committer")}
    author, _ = _person(who.get("author", ""))
    _, when = _person(who.get("committer", ""))
    return Commit(name, parents, author, when, _printable(message.strip().split("\n", 1)[0]))


def _person(line: str) -> tuple[Author, datetime]:
    name, _, rest = line.partition(" <")
    email, _, stamp = rest.partition("> ")
    seconds = stamp.split(" ")[0]
    number = int(seconds) if seconds.isascii() and seconds.isdigit() and len(seconds) < 12 else 0
    return Author(_printable(name), _printable(email)), datetime.fromtimestamp(min(number, _LATEST), UTC)


def _printable(text: str, length: int = 200) -> str:
    return "".join(c if c.isprintable() else " " for c in text)[:length].strip()
