"""Whether a story ended as it should: every claim of the demo is a comparison of what the API server says.

Pure: raw objects in, sentences about what differs out. No sentence means that all is as it should be.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Self

from patchwright.demo.cluster import Raw, name_of
from patchwright.domain.nodes import labels

STATE: Final = "patchwright.dev/state"
INSTALLED: Final = "plan.patchwright.dev/"
_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Claim:
    """Something that the demo says of the cluster; ``faults`` is what speaks against it."""

    sentence: str
    faults: tuple[str, ...]

    @classmethod
    def of(cls, sentence: str, faults: Iterable[str]) -> Self:
        """Look, now."""
        return cls(sentence, tuple(faults))


def ended(rollout: Raw | None, name: str, *, phase: str, reason: str = "") -> Iterator[str]:
    """Compare how a rollout ended, and why."""
    if rollout is None:
        yield f"there is no PatchRollout {name}"
        return
    status = rollout.get("status") or {}
    seen, cause = status.get("phase"), (status.get("cause") or {}).get("reason", "")
    if seen != phase:
        yield f"{name} is {seen} instead of {phase}: {status.get('message', '')}"
    elif reason and cause != reason:
        yield f"{name} is {phase} for the reason {cause} instead of {reason}"


def installed(nodes: Sequence[Raw], policy: str, change: str) -> Iterator[str]:
    """Every node must carry the label that says what is installed."""
    label = f"{INSTALLED}{policy}"
    without = [name_of(node) for node in nodes if node["metadata"]["labels"].get(label) != change]
    if without:
        yield f"{len(without)} of {len(nodes)} nodes do not have the new version: {listed(without)}"


def leftovers(nodes: Sequence[Raw], jobs: Sequence[Raw]) -> Iterator[str]:
    """L6: no cordon, no annotation and no Job of ours may be left."""
    cordoned = [name_of(node) for node in nodes if node["spec"].get("unschedulable")]
    marked = [name_of(node) for node in nodes if STATE in (node["metadata"].get("annotations") or {})]
    if cordoned:
        yield f"still cordoned: {listed(cordoned)}"
    if marked:
        yield f"still carry the annotation {STATE}: {listed(marked)}"
    if jobs:
        yield f"patch Jobs are left: {listed([name_of(job) for job in jobs])}"


def unchanged(before: Sequence[Raw], after: Sequence[Raw]) -> Iterator[str]:
    """Every node must be exactly what it was: labels, annotations, taints, cordon, system."""
    old = {name_of(node): _essence(node) for node in before}
    new = {name_of(node): _essence(node) for node in after}
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            parts = [part for part in _PARTS if (old.get(name) or {}).get(part) != (new.get(name) or {}).get(part)]
            yield f"node {name} is not what it was before: {', '.join(parts)}"


def contained(exposed: Collection[str], canaries: int, *, what: str = "nodes") -> Iterator[str]:
    """No more nodes than the canary may ever have seen a bad version; one at least, or nothing was tried."""
    if not exposed:
        yield f"the bad version was tried on no {what} at all"
    if len(exposed) > canaries:
        yield f"{len(exposed)} {what} were exposed to the bad version, more than the {canaries} of the canary"


def untouched(exposed: Collection[str]) -> Iterator[str]:
    """No node may have been touched."""
    if exposed:
        yield f"{len(exposed)} nodes were touched: {listed(sorted(exposed))}"


def canary_first(
    exposed: Mapping[str, int], canaries: int, *, passed: int | None, what: str = "nodes"
) -> Iterator[str]:
    """L2: until the canaries had passed, no other node may have been touched; in resource versions of one cluster."""
    if passed is None:
        yield "the canary was never seen to pass"
        return
    early = [name for name, written in exposed.items() if written < passed]
    if len(early) > canaries:
        yield f"{len(early)} {what} were touched before the canary of {canaries} had passed"


def remembered(policy: Raw, *, change: str, version: str) -> Iterator[str]:
    """L9: the policy must remember what failed."""
    known = (policy.get("status") or {}).get("failedChanges") or []
    if not any(one["changeID"] == change and one.get("version") == version for one in known):
        yield f"PatchPolicy {name_of(policy)} does not remember version {version} as failed"


def refused(rollout: Raw | None, *, rule: str, commit: str) -> Iterator[str]:
    """L8: the refusal must be that of this rule, of the Rego of this very commit."""
    decision = ((rollout or {}).get("status") or {}).get("policy") or {}
    rules = [violation.get("rule") for violation in decision.get("violations") or ()]
    if rules != [rule]:
        yield f"the rules that refused are {listed([str(each) for each in rules])} instead of {rule}"
    if not str(decision.get("revision", "")).endswith(commit):
        yield f"policy of revision {decision.get('revision')} decided instead of {commit[:7]}"


def healthy(agents: Raw) -> Iterator[str]:
    """The agents on all nodes must run again."""
    status = agents.get("status") or {}
    desired, available = status.get("desiredNumberScheduled", 0), status.get("numberAvailable", 0)
    if available < desired or not desired:
        yield f"DaemonSet {name_of(agents)} has {available} of {desired} pods available"


def proposed(rollout: Raw | None, *, policy: str, image: str) -> Iterator[str]:
    """The rollout must be the policy's own, of exactly this image: nobody else may have written it."""
    if rollout is None:
        yield f"PatchPolicy {policy} has proposed no rollout of {image}"
        return
    by = (rollout["metadata"].get("labels") or {}).get("patchwright.dev/proposed-by")
    if by != policy:
        yield f"{name_of(rollout)} was proposed by {by} instead of {policy}"
    pins = [f"{each['image']}:{each.get('tag')}@{each['digest']}" for each in rollout["spec"]["change"]["images"]]
    if pins != [image]:
        yield f"{name_of(rollout)} is of {listed(pins)} instead of {image}"


def pinned(deployments: Sequence[Raw], image: str) -> Iterator[str]:
    """Every Deployment must name this image, with this digest."""
    others = [name_of(each) for each in deployments if _images(each["spec"]["template"]["spec"]) != [image]]
    if others or not deployments:
        yield f"{len(others)} of {len(deployments)} Deployments do not name {image}: {listed(others)}"


def runs(pods: Sequence[Raw], digest: str) -> Iterator[str]:
    """Every pod must be Ready, and run this digest, by what its node says."""
    others = [name_of(pod) for pod in pods if not _runs(pod, digest)]
    if others or not pods:
        yield f"{len(others)} of {len(pods)} pods do not run {digest}: {listed(others)}"


def same_templates(before: Sequence[Raw], after: Sequence[Raw]) -> Iterator[str]:
    """Every Deployment must have exactly the pod template that it had."""
    old = {name_of(each): each["spec"]["template"] for each in before}
    new = {name_of(each): each["spec"]["template"] for each in after}
    changed = [name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
    if changed:
        yield f"{len(changed)} Deployments have another pod template than before: {listed(changed)}"


def marks(deployments: Sequence[Raw]) -> Iterator[str]:
    """L6: no record of ours may be left on a workload."""
    marked = [name_of(each) for each in deployments if STATE in (each["metadata"].get("annotations") or {})]
    if marked:
        yield f"still carry the annotation {STATE}: {listed(marked)}"


def written_by(deployments: Sequence[Raw], manager: str) -> Iterator[str]:
    """Nobody else may own the image of a container: the field managers of the API server tell who wrote it."""
    for each in deployments:
        for entry in each["metadata"].get("managedFields") or ():
            if entry["manager"] != manager and '"f:image"' in json.dumps(entry.get("fieldsV1")):
                yield f"the image of {name_of(each)} was written by {entry['manager']} instead of {manager}"


def committed(subjects: Sequence[str], wanted: Sequence[str]) -> Iterator[str]:
    """The commits must be as many as these, and begin with these words, in this order."""
    fits = [one.startswith(f"{words} ") for one, words in zip(subjects, wanted, strict=False)]
    if len(subjects) != len(wanted) or not all(fits):
        yield f"the commits are {listed(subjects)} instead of one for each of: {listed(wanted)}"


def image_alone(lines: Mapping[str, tuple[Sequence[str], Sequence[str]]], *, old: str, new: str) -> Iterator[str]:
    """A commit must have changed one line of one file, and in it nothing but the image."""
    changed = [(file, line) for file, (gone, come) in lines.items() for line in (*gone, *come)]
    if len(lines) != 1 or len(changed) != 2:
        yield f"{len(changed)} lines of {len(lines)} files differ instead of one that is another: {listed(list(lines))}"
        return
    (gone, come), (file, _) = next(iter(lines.values())), changed[0]
    if [line.replace(old, new) for line in gone] != [*come] or old not in "".join(gone):
        yield f"{file} was changed in more than {old} becoming {new}: {come[0].strip()}"


def not_tried_again(policy: Raw, before: Sequence[Raw], after: Sequence[Raw], *, since: datetime) -> Iterator[str]:
    """L9: a look at the registry since then must have led to no other rollout, and to the word for why."""
    seen = scanned_at(policy)
    if seen is None or seen <= since:
        yield f"PatchPolicy {name_of(policy)} has not looked at the registry since {since:%H:%M:%S}"
    more = sorted({name_of(each) for each in after} - {name_of(each) for each in before})
    if more:
        yield f"PatchPolicy {name_of(policy)} has proposed again: {listed(more)}"
    told = _followed(policy)
    if (told.get("verdict"), told.get("reason")) != ("Refused", "FailedBefore"):
        said = f"{told.get('verdict')} ({told.get('reason')})"
        yield f"PatchPolicy {name_of(policy)} says {said} instead of Refused (FailedBefore): {told.get('message', '')}"


def scanned_at(policy: Raw) -> datetime | None:
    """Give when the registry was looked at last for the one image that a policy follows."""
    text = _followed(policy).get("scannedAt")
    return datetime.fromisoformat(text) if text else None


def word(policy: Raw) -> str:
    """Give what a policy says of the one image that it follows."""
    return str(_followed(policy).get("message", ""))


def _followed(policy: Raw) -> Raw:
    return next(iter((policy.get("status") or {}).get("images") or ()), {})


def _images(pod: Raw) -> list[str]:
    return [str(each["image"]) for each in pod["containers"]]


def _runs(pod: Raw, digest: str) -> bool:
    containers = (pod.get("status") or {}).get("containerStatuses") or ()
    return bool(containers) and all(each["ready"] and each["imageID"].endswith(digest) for each in containers)


def listed(names: Sequence[str]) -> str:
    """Give the first names, and how many more there are."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more or "none"


_PARTS: Final = ("labels", "annotations", "taints", "cordon", "system")


def _essence(node: Raw) -> dict[str, object]:
    metadata, spec = node["metadata"], node["spec"]
    info = node["status"].get("nodeInfo") or {}
    return {
        "labels": metadata.get("labels") or {},
        "annotations": {k: v for k, v in (metadata.get("annotations") or {}).items() if k.startswith(_OURS)},
        "taints": sorted((taint["key"], taint["effect"]) for taint in spec.get("taints") or ()),
        "cordon": bool(spec.get("unschedulable")),
        "system": (info.get("kernelVersion"), info.get("osImage")),
    }


_OURS: Final = labels.ROLLOUT.partition("/")[0] + "/"
