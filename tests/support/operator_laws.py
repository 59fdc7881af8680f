"""The laws of a rollout (DESIGN §2), held by number against what the observer saw, in the order in which it happened.

What the operator wrote itself it must know at once; what others did it may learn a little later (``GRACE``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from support.observer import SYSTEM, Change, Raw
from support.operator_world import (
    CLAIMED,
    GRACE,
    NODE,
    ROLLOUT,
    STEP,
    World,
    available,
    begun,
    cordoned,
    excluded,
    matches,
    record,
    resolve,
    seconds,
)

OUT: Final = frozenset({"Draining", "Applying", "Failed", "RollbackDraining", "RollingBack", "Quarantined"})
TERMINAL: Final = frozenset({"Succeeded", "RolledBack", "Failed", "Denied", "Superseded"})
STALLED: Final = frozenset({"RolledBack", "Failed", "Denied"})
BLAMED: Final = frozenset({"CanaryFailed", "FailureThreshold", "HealthCheckFailed"})
AHEAD: Final = {"prepare": {"Preparing"}, "apply": {"Applying"}, "verify": {"Applying"}, "rollback": {"RollingBack"}}
# Seconds by which our own clock may be off, since we hear of two changes with different delays.
BLUR: Final = 0.7


def budget(world: World, change: Change) -> Iterator[str]:
    """L1: nothing new starts while the unavailable members, whoever made them so, leave no room."""
    mine = begun(change)
    policies = world.policies(mine["rolloutUid"], change.at) if mine else []
    if not policies:
        return
    selector = policies[0]["target"]["nodes"]["selector"]
    members = [node for node in world.all("Node") if matches(selector, node)]
    limits = [resolve(policy.get("strategy", {}).get("maxUnavailable", 1), len(members)) for policy in policies]
    me = change.thing["metadata"]["uid"]
    out = [n["metadata"]["name"] for n in members if n["metadata"]["uid"] != me and _out(world, n, mine, change.at)]
    if len(out) >= max(limits):
        yield f"{_name(change)} was started while {len(out)} of {max(limits)} were out ({', '.join(out)})"


def _out(world: World, node: Raw, mine: Mapping[str, Any], at: float) -> bool:
    theirs = record(node)
    # What is prepared keeps its place from others that are to be prepared.
    taken = OUT | CLAIMED if mine["mark"] == "Preparing" else OUT
    if theirs.get("rolloutUid") == mine["rolloutUid"] and theirs["mark"] in taken:
        return True
    since, by_operator = world.away.get(node["metadata"]["uid"], (at, False))
    return not available(node) and (by_operator or at - since > GRACE)


def canary_first(world: World, change: Change) -> Iterator[str]:
    """L2: nothing of a later wave starts before all of an earlier one was healthy through its whole soak."""
    mine = begun(change)
    policies = world.policies(mine["rolloutUid"], change.at) if mine else []
    if not policies or mine["wave"] == 0:
        return
    for node, other in world.of(mine["rolloutUid"]):
        if other["wave"] >= mine["wave"] or (other["wave"] > 0 and other["mark"] != "Done"):
            continue
        name, uid = node["metadata"]["name"], node["metadata"]["uid"]
        soak = min(_soak(policy, other["wave"]) for policy in policies)
        well = change.at - max(world.marked.get(uid, 0.0), world.sick.get(uid, 0.0))
        if other["mark"] != "Done":
            yield f"{_name(change)} of wave {mine['wave']} was started while canary {name} was {other['mark']}"
        elif well < soak - BLUR:
            yield f"{_name(change)} was started {well:.1f} s after {name} (wave {other['wave']}) was well, not {soak} s"


def _soak(policy: Mapping[str, Any], wave: int) -> float:
    strategy = policy.get("strategy", {})
    if wave == 0:
        return seconds(strategy.get("canary", {}).get("soak", "5m"))
    waves = strategy.get("waves", [])
    return seconds(waves[wave - 1].get("soak", "0s")) if wave <= len(waves) else 0.0


def halt(world: World, change: Change) -> Iterator[str]:
    """L3: past the threshold, and once the rollout is ending, nothing new is touched."""
    mine = begun(change)
    policies = world.policies(mine["rolloutUid"], change.at) if mine else []
    if not policies:
        return
    rollout = world.rollout(mine["rolloutUid"]) or {}
    status = rollout.get("status") or {}
    failed = [node["metadata"]["name"] for node, other in world.of(mine["rolloutUid"]) if other.get("failed")]
    failed += [note["name"] for note in status.get("vanished", ())]
    total = status.get("counts", {}).get("total", 0)
    limit = max(1, *(resolve(one.get("strategy", {}).get("failureThreshold", 1), total) for one in policies))
    if len(failed) >= limit:
        yield f"{_name(change)} was started after {len(failed)} failures ({', '.join(failed)}), limit {limit}"
    if status.get("outcome") or status.get("cause"):
        yield f"{_name(change)} was started though the rollout was ending: {status.get('message')}"


def restore(world: World, change: Change) -> Iterator[str]:
    """L4: written ahead, and put back exactly; nothing is done to a node on which somebody's pods still run."""
    if change.kind == "Job" and change.before is None and change.after is not None:
        yield from _job(world, change.after, change.at)
    if change.kind != "Node" or change.before is None or change.after is None or change.gap:
        return
    before, after = record(change.before), record(change.after)
    if after.get("mark") != "RolledBack" or before.get("mark") == "RolledBack" or change.people:
        return
    name, uid = _name(change), after["rolloutUid"]
    if after.get("applied") and (uid, "rollback", name) not in world.succeeded:
        yield f"{name} was called put back before its rollback Job had succeeded"
    rollout = world.rollout(uid)
    label = f"plan.patchwright.dev/{rollout['spec']['policyRef']['name']}" if rollout else ""
    found = change.after["metadata"].get("labels", {}).get(label)
    if rollout and found != after.get("previous"):
        yield f"{name} was put back with the label {found}, not {after.get('previous')}"


def _job(world: World, job: Raw, job_at: float) -> Iterator[str]:
    labels, notes = job["metadata"].get("labels") or {}, job["metadata"].get("annotations") or {}
    if ROLLOUT not in labels:
        return
    step, name, uid = labels[STEP], notes[NODE], notes["patchwright.dev/node-uid"]
    if job_at - world.disturbed.get(uid, 0.0) < GRACE:
        return
    node = next((one for one in world.all("Node") if one["metadata"]["uid"] == uid), None)
    mine = record(node)
    if mine.get("rolloutUid") != labels[ROLLOUT]:
        yield f"the {step} Job of {name} was created without a record of its rollout on the node"
    elif mine["mark"] not in AHEAD[step]:
        yield f"the {step} Job of {name} was created while its record said {mine['mark']}"
    left = [pod["metadata"]["name"] for pod in world.all("Pod") if _in_the_way(pod, name)]
    if left and step != "prepare" and not _undrained(world, labels[ROLLOUT]):
        yield f"the {step} Job of {name} was created while {', '.join(left)} ran there"


def _in_the_way(pod: Raw, node: str) -> bool:
    metadata = pod["metadata"]
    if pod["spec"].get("nodeName") != node or ROLLOUT in (metadata.get("labels") or {}):
        return False
    kinds = [owner["kind"] for owner in metadata.get("ownerReferences") or ()]
    return "DaemonSet" not in kinds and pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")


def _undrained(world: World, uid: str) -> bool:
    return any(policy.get("drain", {}).get("enabled") is False for policy in world.policies(uid, 0.0))


def human_hands(world: World, change: Change) -> Iterator[str]:
    """L5: a person's cordon stays, and ours comes and goes with its record in one write."""
    if change.kind != "Node" or change.people or change.before is None or change.after is None or change.gap:
        return
    name, uid = _name(change), change.thing["metadata"]["uid"]
    before, after = record(change.before), record(change.after)
    if begun(change) and cordoned(change.before):
        yield f"{name} was started though somebody had cordoned it"
    if cordoned(change.after) and not cordoned(change.before) and not after.get("cordoned"):
        yield f"{name} was cordoned without writing who did it"
    if cordoned(change.before) and not cordoned(change.after):
        if uid in world.theirs:
            yield f"{name} was uncordoned though a person had cordoned it"
        if not before.get("cordoned"):
            yield f"{name} was uncordoned though its record did not claim the cordon"


def prepare_first(world: World, change: Change) -> Iterator[str]:
    """Trap 4.20: where a change has a prepare step, no node is cordoned that it has not succeeded on."""
    mine = begun(change)
    rollout = world.rollout(mine["rolloutUid"]) if mine else None
    if rollout is None or mine["mark"] != "Draining" or "prepare" not in rollout["spec"]["change"]["script"]:
        return
    if (mine["rolloutUid"], "prepare", _name(change)) not in world.succeeded:
        yield f"{_name(change)} was cordoned before its prepare Job had succeeded"


def human_labels(world: World, change: Change) -> Iterator[str]:
    """L5: the label against load balancers comes with our cordon and its record, goes with it, and a person's stays."""
    if change.kind != "Node" or change.people or change.before is None or change.after is None or change.gap:
        return
    value, name = excluded(change.after), _name(change)
    if value == excluded(change.before):
        return
    if change.thing["metadata"]["uid"] in world.their_labels:
        yield f"the label {excluded(change.before)} of a person was taken off {name}, or written over"
    if value is None and (cordoned(change.after) or not record(change.before).get("excluded")):
        yield f"{name} was given back to load balancers without its uncordon, or without a claim"
    elif value is not None and (cordoned(change.before) or not record(change.after).get("excluded")):
        yield f"{name} was taken out of load balancers without its cordon, or without writing who did it"


def no_orphans(world: World, change: Change) -> Iterator[str]:
    """L6: what has ended leaves nothing of ours, but for what status leaves to a person."""
    if change.kind != "PatchRollout" or (change.after is None and change.thing["metadata"]["name"] in world.torn):
        return
    before = ((change.before or {}).get("status") or {}).get("phase")
    status = (change.thing.get("status")) or {}
    people = {note["name"] for key in ("quarantined", "vanished") for note in status.get(key, ())}
    if change.after is None:
        yield from _left(world, change, people | world.given_up, records=True)
    elif status.get("phase") in TERMINAL and before not in TERMINAL:
        yield from _left(world, change, people, records=False)


def _left(world: World, change: Change, people: set[str], *, records: bool) -> Iterator[str]:
    uid, who = change.thing["metadata"]["uid"], change.thing["metadata"]["name"]
    for node, mine in world.of(uid):
        if records or node["metadata"]["name"] not in people:
            yield f"{node['metadata']['name']} keeps the record {mine['mark']} of {who}, which has ended"
    for rollout, name in world.ours.values():
        if rollout == uid and name not in people:
            yield f"{name} stays cordoned by {who}, which has ended"
    for rollout, name in world.our_labels.values():
        if rollout == uid and name not in people:
            yield f"{name} stays out of load balancers by {who}, which has ended"
    jobs = [one for one in world.all("Job") if (one["metadata"].get("labels") or {}).get(ROLLOUT) == uid]
    if jobs:
        yield f"{len(jobs)} Jobs are left of {who}, first {jobs[0]['metadata']['name']}"


def windows(world: World, change: Change) -> Iterator[str]:
    """L7: no target starts outside a window; the windows of these tests begin at one minute of the day, in UTC."""
    mine = begun(change)
    policies = world.policies(mine["rolloutUid"], change.at) if mine else []
    if not policies or not all(policy.get("maintenanceWindows") for policy in policies):
        return
    wanted = [window for policy in policies for window in policy["maintenanceWindows"]]
    if not any(_inside(window, change.at) for window in wanted):
        yield f"{_name(change)} was started outside every window"


def _inside(window: Mapping[str, str], at: float) -> bool:
    minute, hour = (int(part) for part in window["start"].split()[:2])
    since = (at - (hour * 60 + minute) * 60.0) % 86400.0
    return since < seconds(window["duration"]) + BLUR


def policy_before_touch(world: World, change: Change) -> Iterator[str]:
    """L8: nothing is touched without an allowed decision for its wave, recorded before."""
    mine = begun(change)
    policies = world.policies(mine["rolloutUid"], change.at) if mine else []
    if not policies or any(one.get("policy", {}).get("failurePolicy") == "Ignore" for one in policies):
        return
    decided = ((world.rollout(mine["rolloutUid"]) or {}).get("status") or {}).get("policy") or {}
    if not decided.get("allowed"):
        yield f"{_name(change)} was started without an allowed decision in status: {decided}"
    elif decided["wave"] != mine["wave"]:
        yield f"{_name(change)} of wave {mine['wave']} was started on a decision about wave {decided['wave']}"


def memory(world: World, change: Change) -> Iterator[str]:
    """L9: what failed is remembered before its rollout is over, and not tried again unless somebody asks."""
    if mine := begun(change):
        rollout = world.rollout(mine["rolloutUid"])
        retry = ((rollout or {"metadata": {}})["metadata"].get("annotations") or {}).get("patchwright.dev/retry")
        for failed in _failed(world, rollout):
            if failed["changeID"] == mine["changeId"] and retry != "true" and not _own(failed, rollout):
                yield f"{_name(change)} gets {failed['version']}, which failed in {failed['rollout']}"
    if change.kind != "PatchRollout" or change.after is None:
        return
    before, status = (change.before or {}).get("status") or {}, change.after.get("status") or {}
    if status.get("phase") not in STALLED or before.get("phase") in TERMINAL:
        return
    known = {failed["rollout"] for failed in _failed(world, change.after)}
    blamed = status.get("cause", {}).get("reason") in BLAMED and bool(
        world.policies(change.after["metadata"]["uid"], 0)
    )
    if blamed and f"{SYSTEM}/{change.after['metadata']['name']}" not in known:
        yield f"{change.after['metadata']['name']} ended as {status['phase']} before its version was remembered"


def _failed(world: World, rollout: Raw | None) -> Sequence[Mapping[str, Any]]:
    name = rollout["spec"]["policyRef"]["name"] if rollout else ""
    found = [one for one in world.all("PatchPolicy") if one["metadata"]["name"] == name]
    return (found[0].get("status") or {}).get("failedChanges", ()) if found else ()


def _own(failed: Mapping[str, Any], rollout: Raw | None) -> bool:
    return rollout is not None and failed["rollout"] == f"{SYSTEM}/{rollout['metadata']['name']}"


def one_writer(world: World, change: Change) -> Iterator[str]:
    """L10: one rollout per target at a time."""
    if change.kind != "Node" or change.people or change.gap:
        return
    before, after = record(change.before), record(change.after)
    if before and after and before["rolloutUid"] != after["rolloutUid"]:
        yield f"{_name(change)} was taken from rollout {before['rollout']} by {after['rollout']}"


def told(world: World, change: Change) -> Iterator[str]:
    """L11: every state is one sentence, and the conditions agree with it."""
    if change.kind != "PatchRollout" or change.after is None or change.people:
        return
    status, name = change.after.get("status") or {}, change.after["metadata"]["name"]
    if not status or status == (change.before or {}).get("status"):
        return
    phase, message = status.get("phase"), status.get("message", "")
    if not message:
        yield f"{name} is {phase} without a word"
    found = {one["type"]: one for one in status.get("conditions", ())}
    good = found.get("Ready", {})
    if good.get("message") != message or (good.get("status") == "True") != (phase == "Succeeded"):
        yield f"{name} is {phase} ({message!r}) and its condition Ready says {good}"
    if phase in STALLED and "Stalled" not in found:
        yield f"{name} is {phase} without the condition Stalled"
    if phase not in TERMINAL and not {"Reconciling", "Stalled"} & found.keys():
        yield f"{name} is {phase} without Reconciling or Stalled"


LAWS: Final = {
    "L1 Budget": budget,
    "L2 Canary first": canary_first,
    "L3 Halt": halt,
    "L4 Restore": restore,
    "L5 Human hands": human_hands,
    "L5 Human hands, labels": human_labels,
    "Prepare first": prepare_first,
    "L6 No orphans": no_orphans,
    "L7 Windows": windows,
    "L8 Policy": policy_before_touch,
    "L9 Memory": memory,
    "L10 One writer": one_writer,
    "L11 Told": told,
}


def broken(
    before: Mapping[str, Mapping[str, Raw]],
    changes: Iterable[Change],
    *,
    again: frozenset[tuple[str, str]] = frozenset(),
    torn: frozenset[str] = frozenset(),
) -> list[str]:
    """Give a sentence for each time a law was broken.

    ``before`` is what there was at first. ``again`` are the (node, step) whose Job a test deleted: those may run twice.
    ``torn`` are the rollouts that a test took away from the operator, which tidies up after them later (L6).
    """
    world = World({kind: dict(found) for kind, found in before.items()}, torn=torn)
    runs: Counter[tuple[str, str, str]] = Counter()
    found = []
    for change in changes:
        found += [f"{name}: {what}" for name, law in LAWS.items() for what in law(world, change)]
        if change.kind == "Job" and change.before is None and ROLLOUT in (change.thing["metadata"].get("labels") or {}):
            metadata = change.thing["metadata"]
            runs[metadata["labels"][ROLLOUT], metadata["annotations"][NODE], metadata["labels"][STEP]] += 1
        world.take(change)
    for (_, node, step), times in runs.items():
        if times > 1 and (node, step) not in again:
            found.append(f"L12 Again: the {step} Job of {node} was created {times} times")
    return found


def untold(changes: Iterable[Change], scene: str, events: Iterable[Raw]) -> list[str]:
    """Give the phases of a scene's rollouts that no event tells of (L11); not for an operator that was killed."""
    said = {(one.get("regarding", {}).get("uid"), one.get("reason")) for one in events}
    missing = []
    for change in changes:
        if (
            change.kind != "PatchRollout"
            or change.after is None
            or scene not in str(change.after["metadata"].get("labels"))
        ):
            continue
        phase = (change.after.get("status") or {}).get("phase")
        before = ((change.before or {}).get("status") or {}).get("phase")
        if phase and before and phase != before and (change.after["metadata"]["uid"], phase) not in said:
            missing.append(f"L11 Told: no event tells that {change.after['metadata']['name']} is {phase}")
    return missing


def _name(change: Change) -> str:
    return str(change.thing["metadata"]["name"])
