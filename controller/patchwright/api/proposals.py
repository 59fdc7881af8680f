"""A rollout that a policy proposes, as a manifest."""

from __future__ import annotations

from typing import Any

import yaml

from patchwright.api.parse import API_VERSION
from patchwright.domain.images.proposals import PROPOSED_BY, Proposal
from patchwright.domain.model import PatchPolicy


def document(policy: PatchPolicy, proposal: Proposal) -> bytes:
    """Give the PatchRollout as a file for Git: whoever merges it is its author, and the repository its owner.

    Without the label of what a policy has created by itself: nobody but Git may delete it.
    """
    whole = manifest(policy, proposal)
    whole["metadata"] = {"name": proposal.name}
    head = f"# PatchPolicy {policy.key.name} proposes it. A rollout is never edited: a new change is a new file.\n"
    return (head + yaml.safe_dump(whole, sort_keys=False)).encode()


def manifest(policy: PatchPolicy, proposal: Proposal) -> dict[str, Any]:
    """Give the PatchRollout; the policy owns it, as a CronJob owns its Jobs."""
    pin = proposal.pin
    change = {"image": pin.image, "tag": pin.tag, "digest": pin.digest, "fromAny": list(pin.replaces) or None}
    spec: dict[str, Any] = {
        "policyRef": {"name": policy.key.name},
        "change": {"images": [{name: value for name, value in change.items() if value is not None}]},
    }
    if proposal.advisories:
        spec["advisories"] = list(proposal.advisories)
    if proposal.released_at is not None:
        spec["releasedAt"] = proposal.released_at.isoformat()
    owner = {
        "apiVersion": API_VERSION,
        "kind": "PatchPolicy",
        "name": policy.key.name,
        "uid": policy.uid,
        "controller": True,
    }
    return {
        "apiVersion": API_VERSION,
        "kind": "PatchRollout",
        "metadata": {
            "name": proposal.name,
            "namespace": policy.key.namespace,
            "labels": {PROPOSED_BY: policy.key.name},
            "ownerReferences": [owner],
        },
        "spec": spec,
    }
