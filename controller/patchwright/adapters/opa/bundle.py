"""The bundle: a tar.gz whose bytes depend on its contents alone.

Format: https://www.openpolicyagent.org/docs/management-bundles#bundle-file-format.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bundle:
    """A packed bundle.

    ``revision`` is the commit (or ``builtin@<version>``), ``etag`` the quoted HTTP entity tag, ``roots`` the parts of
    ``data`` that it owns, ``packages`` the packages that can be asked for a decision.
    """

    content: bytes
    revision: str
    etag: str
    roots: tuple[str, ...]
    packages: tuple[str, ...]


def pack(files: Mapping[str, bytes], *, revision: str, roots: Sequence[str], packages: Sequence[str]) -> Bundle:
    """Pack ``files`` (bundle path to content); the same arguments give the same bytes, hence the same ``etag``."""
    manifest = {"revision": revision, "roots": sorted(roots), "rego_version": 1}
    members = {**files, ".manifest": json.dumps(manifest, sort_keys=True).encode()}
    content = gzip.compress(_tar(members), mtime=0)
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    return Bundle(content, revision, etag, tuple(sorted(roots)), tuple(sorted(packages)))


def _tar(members: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(members):
            entry = tarfile.TarInfo(name)
            entry.size = len(members[name])
            archive.addfile(entry, io.BytesIO(members[name]))
    return buffer.getvalue()
