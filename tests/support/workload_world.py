"""The laws of a rollout over workloads, held against what the observer saw, without the operator's own code."""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from support.observer import Change, Raw
from support.operator_world import GRACE, STATE, matches, resolve, seconds

KINDS: Final = ("Deployment", "StatefulSet", "DaemonSet", "CronJob", "Rollout")
BEGINNINGS: Final = frozenset({"Applying", "Canary"})
OUT: Final = frozenset({"Canary", "Applying", "Failed", "RollingBack", "Quarantined"})
TERMINAL: Final = frozenset({"Succeeded", "RolledBack", "Failed", "Denied", "Superseded"})
# Seconds by which our own clock may be off, since we hear of two changes with different delays.
BLUR: Final = 0.7

Objects = dict[str, dict[str, Raw]]


def record(raw: Raw | None) -> dict[str, Any]:
    """Give our record on a workload; empty when there is none or somebody has garbled it."""
    text = ((raw or {}).get("metadata", {}).get("annotations") or {}).get(STATE)
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) and "images" in found else {}


def pod_spec(kind: str, raw: Raw) -> dict[str, Any]:
    """Give the pod template's spec of a workload."""
    spec = raw["spec"]["jobTemplate"]["spec"] if kind == "CronJob" else raw["spec"]
    # A Rollout may have its template elsewhere.
    found: dict[str, Any] = spec.get("template", {}).get("spec", {})
    return found


def images(kind: str, raw: Raw | None) -> dict[str, str]:
    """Give the images of a workload's containers, by place."""
    if raw is None:
        return {}
    spec = pod_spec(kind, raw)
    parts = ("containers", "initContainers")
    found = {f"{part}/{each['name']}": each["image"] for part in parts for each in spec.get(part) or ()}
    volumes = (each for each in spec.get("volumes") or () if "image" in each)
    return found | {f"volumes/{each['name']}": each["image"]["reference"] for each in volumes}


def settled(kind: str, raw: Raw) -> bool:
    """Tell whether all pods of a workload are of its template and available, by its own status."""
    status, spec = raw.get("status") or {}, raw["spec"]
    if kind == "CronJob":
        return True
    if kind == "Rollout":
        seen = status.get("observedGeneration") == str(raw["metadata"]["generation"])
        return bool(seen and status.get("phase") == "Healthy")
    if status.get("observedGeneration", 0) < raw["metadata"]["generation"]:
        return False
    if kind == "DaemonSet":
        wanted = status.get("desiredNumberScheduled", 0)
        return bool(wanted == status.get("updatedNumberScheduled", 0) == status.get("numberAvailable", 0))
    counts = [status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas")]
    return all(count == spec.get("replicas", 1) for count in counts)


def begun(change: Change) -> dict[str, Any]:
    """Give the record with which a rollout begins on a workload at this change; empty when none does."""
    if change.kind not in KINDS or change.before is None or change.after is None or change.gap:
        return {}
    before, after = record(change.before), record(change.after)
    if after.get("mark") not in BEGINNINGS or before.get("rolloutUid") == after["rolloutUid"]:
        return {}
    return after


def _name(change: Change) -> str:
    metadata = change.thing["metadata"]
    return f"{change.kind} {metadata['namespace']}/{metadata['name']}"


class World:
    """Every object at one moment, and what a moment does not show."""

    def __init__(self, before: Mapping[str, Mapping[str, Raw]]) -> None:
        self.objects: Objects = {kind: dict(found) for kind, found in before.items()}
        self.marked: dict[str, float] = {}
        self.unwell: dict[str, float] = {}
        self.sampled: dict[str, str] = {}
        self.handled: set[str] = set()
        self.exposed: dict[tuple[str, str], set[str]] = {}

    def all(self) -> Iterator[tuple[str, Raw]]:
        """Give every workload with its kind."""
        for kind in KINDS:
            for one in self.objects.get(kind, {}).values():
                yield kind, one

    def rollout(self, uid: str) -> Raw:
        """Give a rollout, an empty one when it is gone."""
        return self.objects["PatchRollout"].get(uid) or {}

    def policy(self, uid: str) -> dict[str, Any]:
        """Give the spec of a rollout's policy."""
        rollout = self.rollout(uid)
        name = rollout["spec"]["policyRef"]["name"] if rollout else ""
        found = [one["spec"] for one in self.objects["PatchPolicy"].values() if one["metadata"]["name"] == name]
        return found[0] if found else {}

    def of(self, uid: str) -> list[tuple[Raw, dict[str, Any]]]:
        """Give the workloads with a record of a rollout."""
        found = ((one, record(one)) for _, one in self.all())
        return [(one, mine) for one, mine in found if mine.get("rolloutUid") == uid]

    def take(self, change: Change) -> None:
        """Go on by one change."""
        uid = change.thing["metadata"]["uid"]
        if change.kind in KINDS and change.people:
            self.handled.add(uid)
        if change.kind in KINDS and record(change.after).get("mark") != record(change.before).get("mark"):
            self.marked[uid] = change.at
            if record(change.after).get("mark") == "CanaryDone":
                self.sampled[uid] = record(change.after)["rolloutUid"]
        if change.kind in KINDS and change.after is not None and settled(change.kind, change.after):
            self.unwell.pop(uid, None)
        elif change.kind in KINDS:
            self.unwell.setdefault(uid, change.at)
        if change.after is None:
            self.objects[change.kind].pop(uid, None)
        else:
            self.objects[change.kind][uid] = change.after


def budget(world: World, change: Change) -> Iterator[str]:
    """L1: nothing new starts while the unavailable members leave no room."""
    mine = begun(change)
    policy = world.policy(mine["rolloutUid"]) if mine else {}
    if not policy:
        return
    members = list(_members(world, policy))
    limit = resolve(policy["strategy"].get("maxUnavailable", 1), len(members))
    me = change.thing["metadata"]["uid"]
    out = [
        one["metadata"]["name"] for one in members if one["metadata"]["uid"] != me and _out(world, one, mine, change)
    ]
    if len(out) >= limit:
        yield f"{_name(change)} was started while {len(out)} of {limit} were out ({', '.join(out)})"


def _members(world: World, policy: Mapping[str, Any]) -> Iterator[Raw]:
    target = policy["target"]["workloads"]
    names = {each["image"] for each in target["images"]}
    for kind, one in world.all():
        mine = any(image.partition("@")[0].rpartition(":")[0] in names for image in images(kind, one).values())
        if mine and matches(target["selector"], one):
            yield one


def _out(world: World, one: Raw, mine: Mapping[str, Any], change: Change) -> bool:
    theirs = record(one)
    if theirs.get("rolloutUid") == mine["rolloutUid"] and theirs["mark"] in OUT:
        return True
    return change.at - world.unwell.get(one["metadata"]["uid"], change.at) > GRACE


def canary_first(world: World, change: Change) -> Iterator[str]:
    """L2: nothing of a later wave starts before every canary was healthy through its whole soak."""
    mine = begun(change)
    if not mine or mine["wave"] == 0:
        return
    soak = seconds(world.policy(mine["rolloutUid"]).get("strategy", {}).get("canary", {}).get("soak", "5m"))
    for one, other in world.of(mine["rolloutUid"]):
        if other["wave"] != 0:
            continue
        name = one["metadata"]["name"]
        if other["mark"] != "Done":
            yield f"{_name(change)} was started while canary {name} was {other['mark']}"
        elif world.sampled.get(one["metadata"]["uid"]) == mine["rolloutUid"]:
            continue  # its soak was before its rest
        elif change.at - world.marked.get(one["metadata"]["uid"], 0.0) < soak - BLUR:
            yield f"{_name(change)} was started before canary {name} had soaked for {soak} s"


def rest_last(world: World, change: Change) -> Iterator[str]:
    """L2, of pods: the rest of a canary follows when some pods of every canary were healthy through the whole soak."""
    before, after = record(change.before), record(change.after)
    if change.kind not in KINDS or "part" not in before or after.get("mark") != "Applying":
        return
    soak = seconds(world.policy(after["rolloutUid"]).get("strategy", {}).get("canary", {}).get("soak", "5m"))
    for one, other in world.of(after["rolloutUid"]):
        uid, who = one["metadata"]["uid"], f"the rest of {_name(change)} was started"
        if other["mark"] == "Canary" or other.get("failed"):
            yield f"{who} while canary {one['metadata']['name']} was {other['mark']}"
        elif other["mark"] == "CanaryDone" and change.at - world.marked.get(uid, 0.0) < soak - BLUR:
            yield f"{who} before the pods of canary {one['metadata']['name']} had soaked for {soak} s"


def few_pods(world: World, change: Change) -> Iterator[str]:
    """L2, of pods: no more of them than the canary's have the new images before its rest follows."""
    if change.kind != "Pod" or change.before is not None or change.after is None:
        return
    for one, mine in [(one, record(one)) for _, one in world.all()]:
        if one["metadata"]["uid"] in world.handled:
            continue  # whoever scales it or changes its strategy has more pods
        if "part" not in mine or mine["part"].get("rest") or not _runs(change.after, one, mine):
            continue
        exposed = world.exposed.setdefault((one["metadata"]["uid"], mine["rolloutUid"]), set())
        exposed.add(change.after["metadata"]["name"])
        if len(exposed) > mine["part"]["pods"]:
            names = ", ".join(sorted(exposed))
            yield f"pods {names} had the new images, and {mine['part']['pods']} were to have them"


def _runs(pod: Raw, workload: Raw, mine: Mapping[str, Any]) -> bool:
    labels, wanted = pod["metadata"].get("labels") or {}, {each["to"] for each in mine["images"]}
    mate = pod["metadata"]["namespace"] == workload["metadata"]["namespace"]
    selected = workload["spec"]["selector"]["matchLabels"].items() <= labels.items()
    return mate and selected and any(each["image"] in wanted for each in pod["spec"]["containers"])


def halt(world: World, change: Change) -> Iterator[str]:
    """L3: past the threshold, and once the rollout is ending, nothing new is touched."""
    mine = begun(change)
    if not mine:
        return
    status = world.rollout(mine["rolloutUid"]).get("status") or {}
    failed = [one["metadata"]["name"] for one, other in world.of(mine["rolloutUid"]) if other.get("failed")]
    threshold = world.policy(mine["rolloutUid"]).get("strategy", {}).get("failureThreshold", 1)
    if len(failed) >= max(1, resolve(threshold, status.get("counts", {}).get("total", 0))):
        yield f"{_name(change)} was started after {len(failed)} failures ({', '.join(failed)})"
    if status.get("outcome") or status.get("cause"):
        yield f"{_name(change)} was started though the rollout was ending: {status.get('message')}"


def restore(world: World, change: Change) -> Iterator[str]:
    """L4: images change together with the record that says what they were, and go back to exactly that."""
    if change.kind not in KINDS or change.people or change.gap or change.before is None or change.after is None:
        return
    before, after = images(change.kind, change.before), images(change.kind, change.after)
    mine = record(change.after)
    if before != after:
        wanted = {f"{each['part']}/{each['name']}": _wanted(each, mine) for each in mine.get("images", ())}
        changed = {key: after.get(key) for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
        if changed != {key: wanted.get(key) for key in changed}:
            yield f"{_name(change)} got {changed}, and its record says {wanted or 'nothing'}"
    # Argo's controller spells out what a new Rollout leaves empty; with our record it writes nothing.
    ours = change.kind != "Rollout" or record(change.before) != mine
    if ours and _without_images(change.kind, change.before) != _without_images(change.kind, change.after):
        yield f"{_name(change)} was changed in more than its images"
    strategies = [each["spec"].get("updateStrategy") for each in (change.before, change.after)]
    if strategies[0] != strategies[1] and strategies[1] != _strategy(record(change.before), mine):
        yield f"{_name(change)} got the strategy {strategies[1]}, and its record says {mine}"


def _strategy(before: Mapping[str, Any], after: Mapping[str, Any]) -> Any:
    """Give the strategy that goes with a record: what holds the other pods back, or what was there before."""
    if "part" in after:
        return json.loads(after["part"]["to"])
    return json.loads(before["part"]["was"]) if "part" in before else None


def _wanted(each: Mapping[str, str], mine: Mapping[str, Any]) -> str:
    if mine["mark"] in BEGINNINGS:
        return each["to"]
    pinned = "@sha256:" in each["was"] or not each.get("digest")
    return each["was"] if pinned else f"{each['was']}@{each['digest']}"


def _without_images(kind: str, raw: Raw) -> Raw:
    spec = copy.deepcopy({"spec": raw["spec"]})
    spec["spec"].pop("updateStrategy", None)
    for part in ("containers", "initContainers", "volumes"):
        for each in pod_spec(kind, spec).get(part) or ():
            each["image"] = ""
    return spec


def no_orphans(world: World, change: Change) -> Iterator[str]:
    """L6: what has ended leaves no record, but on what status leaves to a person."""
    if change.kind != "PatchRollout":
        return
    before = ((change.before or {}).get("status") or {}).get("phase")
    status = change.thing.get("status") or {}
    ended = change.after is None or (status.get("phase") in TERMINAL and before not in TERMINAL)
    people = {note["name"] for key in ("quarantined", "vanished") for note in status.get(key, ())}
    for one, mine in world.of(change.thing["metadata"]["uid"]) if ended else ():
        if change.after is None or not any(name.endswith(f"/{one['metadata']['name']}") for name in people):
            who = change.thing["metadata"]["name"]
            yield f"{one['metadata']['name']} keeps the record {mine['mark']} of {who}, which has ended"
    for name in canaries(world, change.thing["metadata"]["uid"]) if ended else ():
        yield f"the canary Deployment {name} of {change.thing['metadata']['name']}, which has ended, is still there"


def canaries(world: World, uid: str) -> list[str]:
    """Give the canary Deployments of a rollout that are not being deleted."""
    found = (one["metadata"] for one in world.objects.get("Deployment", {}).values())
    mine = (meta for meta in found if meta.get("labels", {}).get("patchwright.dev/rollout") == uid)
    return [meta["name"] for meta in mine if "deletionTimestamp" not in meta]


def policy_before_touch(world: World, change: Change) -> Iterator[str]:
    """L8: nothing is touched without an allowed decision for its wave, recorded before."""
    mine = begun(change)
    if not mine:
        return
    decided = (world.rollout(mine["rolloutUid"]).get("status") or {}).get("policy") or {}
    if not decided.get("allowed") or decided["wave"] != mine["wave"]:
        yield f"{_name(change)} of wave {mine['wave']} was started on the decision {decided}"


def memory(world: World, change: Change) -> Iterator[str]:
    """L9: what failed is not tried again unless somebody asks."""
    mine = begun(change)
    rollout = world.rollout(mine["rolloutUid"]) if mine else {}
    if not rollout or (rollout["metadata"].get("annotations") or {}).get("patchwright.dev/retry") == "true":
        return
    name = rollout["spec"]["policyRef"]["name"]
    policies = (one for one in world.objects["PatchPolicy"].values() if one["metadata"]["name"] == name)
    for failed in ((next(policies, {}).get("status") or {}).get("failedChanges")) or ():
        own = failed["rollout"].endswith(f"/{rollout['metadata']['name']}")
        if failed["changeID"] == mine["changeId"] and not own:
            yield f"{_name(change)} gets {failed['version']}, which failed in {failed['rollout']}"


def one_writer(world: World, change: Change) -> Iterator[str]:
    """L10: one rollout per target at a time."""
    if change.kind not in KINDS or change.people or change.gap:
        return
    before, after = record(change.before), record(change.after)
    taken = before and after and before["rolloutUid"] != after["rolloutUid"]
    # What a rollout has left that is gone is nobody's (kubectl rollout undo brings it back).
    if taken and world.rollout(before["rolloutUid"]):
        yield f"{_name(change)} was taken from rollout {before['rollout']} by {after['rollout']}"


LAWS: Final[Mapping[str, Callable[[World, Change], Iterator[str]]]] = {
    "L1 Budget": budget,
    "L2 Canary first": canary_first,
    "L2 Canary first, of pods": rest_last,
    "L2 Canary first, of how many pods": few_pods,
    "L3 Halt": halt,
    "L4 Restore": restore,
    "L6 No orphans": no_orphans,
    "L8 Policy": policy_before_touch,
    "L9 Memory": memory,
    "L10 One writer": one_writer,
}


def broken(before: Mapping[str, Mapping[str, Raw]], changes: Iterable[Change]) -> list[str]:
    """Give a sentence for each time a law was broken by what was done to a workload."""
    world, found = World(before), []
    starts: Counter[tuple[str, str]] = Counter()
    for change in changes:
        found += [f"{name}: {what}" for name, law in LAWS.items() for what in law(world, change)]
        if mine := begun(change):
            starts[_name(change), mine["rolloutUid"]] += 1
        world.take(change)
    return found + [f"L12 Again: {name} was started {times} times" for (name, _), times in starts.items() if times > 1]


def tell(changes: Sequence[Change], scene: str) -> list[str]:
    """Tell of a scene's workloads, one change a line; what does not change a line is left out."""
    lines = []
    for change in changes:
        if change.kind not in KINDS or not change.thing["metadata"]["namespace"].startswith(f"{scene}-"):
            continue
        before, after = _words(change.kind, change.before), _words(change.kind, change.after)
        if before != after:
            at = datetime.fromtimestamp(change.at, UTC).strftime("%H:%M:%S.%f")[:-3]
            marks = " (a person)" * change.people + " (after a gap)" * change.gap
            lines.append(f"{at} {change.version} {_name(change)}: {after}{marks}")
    return lines


def _words(kind: str, raw: Raw | None) -> str:
    if raw is None:
        return "gone"
    well = "settled" if settled(kind, raw) else "unsettled"
    shown = ", ".join(image.partition("@")[0].rpartition("/")[2] for image in images(kind, raw).values())
    return f"{record(raw).get('mark', 'no record')}, {shown}, {well}"
