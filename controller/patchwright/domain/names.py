"""Names that are the same at every attempt."""

from __future__ import annotations

import hashlib

from patchwright.domain.actions import JobStep

SHORT = 10


def short(uid: str) -> str:
    """Give a short digest of a UID, fit for a part of an object's name."""
    return hashlib.sha256(uid.encode()).hexdigest()[:SHORT]


def job(rollout_uid: str, node_uid: str, step: JobStep) -> str:
    """Give the one name that a step's Job on a node can have (L12)."""
    return f"patchwright-{short(rollout_uid)}-{short(node_uid)}-{step}"
