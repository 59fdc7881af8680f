"""Canary Deployments: what one is made of, and by what it is known."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Final

from patchwright import errors
from patchwright.domain.actions import ImageEdit
from patchwright.domain.nodes.labels import ROLLOUT
from patchwright.domain.workloads.beside import LABEL
from patchwright.domain.workloads.record import Part, Record

# What decides how its pods come up; the rest is of no use to one that lives for a soak.
_SAME: Final = ("minReadySeconds", "progressDeadlineSeconds", "strategy")


def of(raw: Mapping[str, Any]) -> tuple[str, str]:
    """Give the name and the UID of the Deployment that this one is a canary of; empty texts when it is none."""
    metadata = raw["metadata"]
    if LABEL not in (metadata.get("labels") or {}):
        return "", ""
    owners = (ref for ref in metadata.get("ownerReferences") or () if ref["kind"] == "Deployment")
    return next(((ref["name"], ref["uid"]) for ref in owners), ("", ""))


def body(stable: Mapping[str, Any], record: Record, part: Part, edits: Sequence[ImageEdit]) -> dict[str, Any]:
    """Give the canary of a Deployment: its template with new images and a label more, so that its Services send to it.

    Its own labels are ours alone: whoever deploys the other one must not take it for a part of that, nor prune it.

    Raises:
        Conflict: an image is not what it was.
    """
    metadata, spec = stable["metadata"], stable["spec"]
    mine = {LABEL: part.beside}
    template = copy.deepcopy(spec["template"])
    template["metadata"] = {
        "labels": {**(template["metadata"].get("labels") or {}), **mine},
        "annotations": template["metadata"].get("annotations") or {},
    }
    selector = {**spec["selector"], "matchLabels": {**(spec["selector"].get("matchLabels") or {}), **mine}}
    found = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": part.beside,
            "namespace": metadata["namespace"],
            "labels": {**mine, ROLLOUT: record.rollout_uid},
            "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "Deployment", "name": metadata["name"], "uid": metadata["uid"]}
            ],
        },
        "spec": {
            "replicas": part.pods,
            "selector": selector,
            "template": template,
            **{name: spec[name] for name in _SAME if name in spec},
        },
    }
    for edit in edits:
        _swap(found, edit)
    return found


def _swap(found: dict[str, Any], edit: ImageEdit) -> None:
    """Compare and swap an image, as the patch of a workload does."""
    *way, last = edit.place.removeprefix(edit.entry).strip("/").split("/")
    entry = _at(found, edit.entry.strip("/").split("/"))
    place = _at(entry, way)
    if entry["name"] != edit.name or place[last] != edit.was:
        raise errors.Conflict(f"the image of {edit.name} is not {edit.was}")
    place[last] = edit.to


def _at(found: Any, way: Sequence[str]) -> Any:
    for step in way:
        found = found[int(step)] if isinstance(found, list) else found[step]
    return found
