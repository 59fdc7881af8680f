"""Which of a workload's images a change is about, what is written for them, and what they are put back to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from patchwright.domain.images import reference
from patchwright.domain.images.reference import Reference
from patchwright.domain.model import ImagePin, ImagesChange
from patchwright.domain.workloads.view import ImageField

BELOW = "/*"
_PINNED = re.compile(r"@(sha256:[0-9a-f]{64})\Z", re.ASCII)


@lru_cache(maxsize=4096)
def _read(text: str) -> Reference | None:
    try:
        return reference.parse(text)
    except ValueError:
        return None


def repository(text: str) -> str:
    """Give the whole name of an image's repository, such as ``docker.io/library/nginx``; empty when it has none."""
    found = _read(text)
    return f"{found.registry}/{found.repository}" if found else ""


def digest(text: str) -> str:
    """Give the digest by which an image (or a pod's ``imageID``) is pinned; empty when it is not.

    An ``imageID`` without a repository is the digest of an image's configuration, which no registry can be asked for.
    """
    found = _PINNED.search(text)
    return found[1] if found else ""


def tag_of(text: str) -> str:
    """Give the tag that an image names: ``latest`` where it has neither tag nor digest, empty where it has a digest."""
    found = _read(text)
    if found is None:
        return ""
    return found.tag or ("" if found.digest else reference.LATEST)


def covers(names: Iterable[str], image: str) -> bool:
    """Tell whether one of these names, or ``prefix/*``, means the repository of an image."""
    found = repository(image)
    return bool(found) and any(_means(name, found) for name in names)


def _means(name: str, found: str) -> bool:
    if not name.endswith(BELOW):
        return repository(name) == found
    whole = repository(f"{name.removesuffix(BELOW)}/x")
    return bool(whole) and found.startswith(whole.removesuffix("x"))


def pin_of(change: ImagesChange, image: str) -> ImagePin | None:
    """Give what a change has for an image."""
    found = repository(image)
    return next((pin for pin in change.images if found and repository(pin.image) == found), None)


def concerns(change: ImagesChange, fields: Iterable[ImageField]) -> bool:
    """Tell whether a change has something for any of these images."""
    return any(pin_of(change, field.image) is not None for field in fields)


def replaced(pin: ImagePin, image: str) -> bool:
    """Tell whether a change replaces exactly this image: by a tag or a digest that it asks for."""
    if not pin.replaces:
        return True
    found = _read(image)
    return found is not None and not {tag_of(image), found.digest}.isdisjoint(pin.replaces)


def outdated(change: ImagesChange, fields: Iterable[ImageField]) -> tuple[tuple[ImageField, ImagePin], ...]:
    """Give the images that a change replaces, each with what it puts there; the same digest by another tag is no news.

    No container restarts for it, so that whoever waits for one waits for ever (kruise#2297).
    """
    found = ((field, pin_of(change, field.image)) for field in fields)
    return tuple(
        (field, pin)
        for field, pin in found
        if pin is not None and digest(field.image) != pin.digest and replaced(pin, field.image)
    )


def current(change: ImagesChange, fields: Iterable[ImageField]) -> bool:
    """Tell whether a change's digest is there already."""
    pins = ((field, pin_of(change, field.image)) for field in fields)
    return any(pin is not None and digest(field.image) == pin.digest for field, pin in pins)


def pinned(was: str, running: str) -> str:
    """Give what an image is put back to: the old string, pinned to the digest that ran.

    The tag alone may mean the bad image by now.
    """
    return was if not running or digest(was) else f"{was}@{running}"


def most_run(digests: Sequence[str]) -> str:
    """Give the digest that most pods run, of equals the first in order; empty when none is known."""
    known = sorted({each for each in digests if each})
    return max(known, key=digests.count, default="")
