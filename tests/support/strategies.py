"""Hypothesis strategies for the domain's values: every rollout that could be seen, sensible or not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from patchwright.domain import waves
from patchwright.domain.actions import JobStep
from patchwright.domain.model import (
    Drain,
    FailurePolicy,
    MaintenanceWindow,
    OnTimeout,
    PatchPolicy,
    PatchRollout,
    PolicyRef,
    Quantity,
    Reboot,
    Rollback,
    RollbackScope,
    Strategy,
    Wave,
)
from patchwright.domain.nodes.labels import EXCLUDE, EXCLUDED_BY_US
from patchwright.domain.nodes.record import Mark, Record
from patchwright.domain.nodes.view import Attachment, Eviction, Outcome, Owner, PodView, VolumeList
from patchwright.domain.snapshot import Snapshot
from patchwright.domain.state import TERMINAL, Phase, RolloutState, WavePolicy
from support import builders
from support.builders import NOW, NodeBuilder

ZONES = ("a", "b", "c")
instants = st.datetimes(datetime(2001, 1, 1), datetime(2998, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 (added)
texts = st.text(max_size=40)
seconds = st.sampled_from((0, 0.1, 1, 5, 59, 60, 300, 599, 600, 601, 3600, 90_000))
# A day of slack for skewed clocks, in both directions.
quantities = st.builds(Quantity, st.integers(0, 6)) | st.builds(
    Quantity, st.sampled_from((0, 10, 50, 100)), st.just(True)
)
windows = st.sampled_from(
    (
        MaintenanceWindow("0 11 * * *", timedelta(hours=3)),
        MaintenanceWindow("0 11 * * *", timedelta(minutes=65)),
        MaintenanceWindow("0 2 * * *", timedelta(hours=1), "Europe/Paris"),
    )
)


@st.composite
def records(draw: st.DrawFn) -> Record:
    """Give any record that we might write; its message has been cut as ours are."""
    text = st.text(min_size=1, max_size=20)
    return Record(
        rollout=draw(text),
        rollout_uid=draw(text),
        change_id=draw(text),
        mark=draw(st.sampled_from(Mark)),
        wave=draw(st.integers(0, 30)),
        started_at=draw(instants),
        since=draw(instants),
        cordoned=draw(st.booleans()),
        boot_id=draw(texts),
        previous=draw(st.none() | st.text(max_size=63)),
        reason=draw(texts),
        message=draw(st.text(max_size=400)),
        applied=draw(st.booleans()),
        failed=draw(st.booleans()),
        excluded=draw(st.booleans()),
    )


claims = st.sampled_from(("", "shop/data-0", "shop/data-1", "shop/data-2"))
pods = st.builds(
    builders.pod,
    st.sampled_from([f"p{number}" for number in range(30)]),
    phase=st.sampled_from(("Running", "Pending", "Succeeded", "Failed")),
    owner=st.sampled_from(Owner),
    mirror=st.booleans(),
    emptydir=st.booleans(),
    patch_job=st.booleans(),
    deleted_at=st.none() | st.sampled_from((builders.ago(100), NOW)),
    opt_out=st.sampled_from(("", "", "skip")),
    wait=st.sampled_from(("", "", "wait-completed")),
    do_not_disrupt=st.sampled_from(("", "", "true")),
    claims=claims.map(lambda claim: (claim,) if claim else ()),
)
pod_lists = st.lists(pods, max_size=15, unique_by=lambda pod: pod.ref.uid).map(tuple)
drains = st.builds(
    Drain,
    enabled=st.booleans(),
    force=st.booleans(),
    delete_emptydir_data=st.booleans(),
    ignore_daemon_sets=st.booleans(),
    disable_eviction=st.booleans(),
    skip_wait_for_delete_timeout=st.none() | st.just(timedelta(seconds=60)),
    on_timeout=st.sampled_from(OnTimeout),
    exclude_from_load_balancers=st.booleans(),
    wait_for_volume_detach=st.booleans(),
)
attachments = st.lists(claims, max_size=4, unique=True).map(
    lambda found: tuple(Attachment(f"csi-{claim}", f"pv-{claim}", "csi.example", claim) for claim in found)
)
knowledge = st.none() | st.frozensets(claims, max_size=3)


@st.composite
def answers(draw: st.DrawFn, found: tuple[PodView, ...]) -> dict[str, Any]:
    """Give what the eviction API said of some of these pods."""
    said: dict[str, Any] = {}
    for pod in found:
        if draw(st.booleans()):
            made = builders.node().answered(pod, draw(st.sampled_from(Eviction)), seconds=draw(seconds))
            said.update(made.view.evictions)
    return said


@st.composite
def node_builders(draw: st.DrawFn, name: str) -> NodeBuilder:
    """Give a node in any state, people's hands and other actors included."""
    made = builders.node(name, zone=draw(st.sampled_from(ZONES)), risk=draw(st.integers(0, 2)))
    made = made.but(
        unschedulable=draw(st.sampled_from((False, False, True))),
        ready=draw(st.sampled_from((True, True, True, False))),
        boot_id=draw(st.sampled_from(("boot-1", "boot-2"))),
        paused=draw(st.sampled_from((False, False, False, True))),
        deleting=draw(st.sampled_from((False, False, False, True))),
        foreign=draw(st.sampled_from(("", "", "", "kured"))),
        opted_out=draw(st.sampled_from(("", "", "", "label"))),
        installed=draw(st.sampled_from((None, "older", builders.CHANGE))),
        unreachable=draw(st.sampled_from((False, False, True))),
        labels=draw(st.sampled_from(({}, {}, {EXCLUDE: EXCLUDED_BY_US}, {EXCLUDE: ""}))),
    ).order(last=draw(st.booleans()), one_at_a_time=draw(st.booleans()))
    kind = draw(st.sampled_from(("none", "none", "ours", "ours", "ours", "another's", "unreadable")))
    if kind == "unreadable":
        return made.but(record_fault="it is not JSON")
    if kind == "another's":
        return made.foreign_record()
    return draw(_with_our_record(made)) if kind == "ours" else made


@st.composite
def _with_our_record(draw: st.DrawFn, made: NodeBuilder) -> NodeBuilder:
    mark = draw(st.sampled_from(Mark))
    # DONE and RESTORED nodes never carry our cordon: it is given up in the patch that writes the mark.
    ours = mark in builders.OURS and draw(st.sampled_from((True, True, False)))
    found = builders.record(
        mark,
        seconds=draw(seconds),
        wave=draw(st.integers(0, 3)),
        cordoned=ours,
        started_at=builders.ago(draw(seconds)),
        excluded=ours and draw(st.booleans()),
    )
    cordoned, tainted = draw(st.sampled_from((ours, ours, True, False))), draw(st.booleans())
    made = made.but(record=found, unschedulable=cordoned, tainted=tainted)
    for step in draw(st.lists(st.sampled_from(JobStep), unique=True)):
        outcome = draw(st.none() | st.sampled_from(Outcome))
        made = made.job(step, outcome, termination=draw(st.sampled_from((None, "{}", '{"version": "0"}'))))
    made = made.pods(*draw(pod_lists)) if draw(st.booleans()) else made
    looked = VolumeList(builders.ago(draw(seconds)), draw(attachments)) if draw(st.booleans()) else None
    return made.but(volumes=looked, claims=draw(knowledge))


@st.composite
def policies(draw: st.DrawFn) -> PatchPolicy:
    """Give any policy."""
    strategy = Strategy(
        canary=replace(builders.policy().strategy.canary, count=draw(quantities)),
        waves=tuple(Wave(size) for size in draw(st.lists(quantities, max_size=2))),
        max_unavailable=draw(quantities),
        failure_threshold=draw(quantities),
        topology_key=draw(st.sampled_from((None, "zone"))),
    )
    rollback = Rollback(draw(st.booleans()), draw(st.sampled_from(RollbackScope)))
    return replace(
        builders.policy(),
        strategy=strategy,
        windows=tuple(draw(st.lists(windows, max_size=2))),
        drain=draw(drains),
        rollback=rollback,
        policy=PolicyRef(failure_policy=draw(st.sampled_from(FailurePolicy))),
        suspend=draw(st.sampled_from((False, False, False, True))),
        deleting=draw(st.sampled_from((False, False, False, True))),
    )


@st.composite
def rollouts(draw: st.DrawFn) -> PatchRollout:
    """Give any rollout."""
    rare = st.sampled_from((False, False, False, False, True))
    return builders.rollout(
        paused=draw(rare),
        abort=draw(rare),
        deleting=draw(rare),
        reboot=draw(st.sampled_from(Reboot)),
        prepare=draw(st.sampled_from((None, builders.PREPARED))),
        verify=draw(st.sampled_from((None, builders.VERIFIED))),
    )


def wave_policies(wave: int) -> st.SearchStrategy[WavePolicy]:
    """Give a recorded policy answer, mostly the one that lets this wave start."""
    return st.sampled_from(
        (
            builders.allowed(wave),
            builders.allowed(wave),
            builders.allowed(wave, seconds=400),
            builders.allowed(wave, revision="another"),
            builders.allowed(wave + 1),
            builders.denied(wave, "no"),
            builders.denied(wave, "no", until=NOW),
            builders.no_answer(wave),
        )
    )


@st.composite
def states(draw: st.DrawFn, policy: PatchPolicy, made: list[NodeBuilder]) -> RolloutState:
    """Give a memory that fits the policy; now and then one that was wiped."""
    if draw(st.integers(0, 9)) == 0:
        return RolloutState()
    wave = draw(st.integers(0, 3))
    outcome = draw(st.sampled_from((None, None, None, *sorted(TERMINAL))))
    flying = draw(st.sampled_from(((), ("n0",), ("gone",))))
    return RolloutState(
        phase=draw(st.sampled_from(Phase)) if outcome else Phase.PROGRESSING,
        plan=waves.plan(policy.strategy, total=len(made), canaries=0),
        wave=wave,
        policy=draw(st.none() | wave_policies(wave)),
        started_at=draw(st.sampled_from((None, builders.ago(3600)))),
        outcome=outcome,
        cause=draw(st.sampled_from((None, None, None, builders.cause(), builders.cause("Aborted")))),
        in_flight=tuple(builders.noted(builders.node(name)) for name in flying),
        leftover_since=draw(st.sampled_from((None, builders.ago(700)))),
    )


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    """Give anything that ``decide`` may be asked about; in half of the cases nothing but the fleet is in the way."""
    policy = draw(policies())
    made = [draw(node_builders(f"n{number}")) for number in range(draw(st.integers(0, 7)))]
    everybody = frozenset(each.view.name for each in made)
    found = builders.snapshot(
        *made,
        asked=draw(st.sampled_from((everybody, everybody, everybody - {"n1", "n4"}, None))),
        policy=policy,
        rollout=draw(rollouts()),
        state=draw(states(policy, made)),
        superseded_by=draw(st.sampled_from(("", "", "", "newer"))),
        backends=_backends(policy, made) | draw(st.sampled_from((frozenset(), frozenset({"uid-elsewhere"})))),
        answer=draw(st.none() | wave_policies(0)),
        jobs_left=draw(st.integers(0, 1)),
        trouble=draw(st.sampled_from(("", "", "forbidden"))),
    )
    return _calm(found) if draw(st.booleans()) else found


def _backends(policy: PatchPolicy, made: list[NodeBuilder]) -> frozenset[str]:
    """Give the nodes that load balancers may use, as the snapshot of such a policy would have them."""
    if not policy.drain.exclude_from_load_balancers:
        return frozenset()
    return frozenset(each.view.uid for each in made if each.view.available and EXCLUDE not in each.view.labels)


def _calm(found: Snapshot) -> Snapshot:
    """Open every gate but the fleet's own, so that something is begun often enough for its laws to be tried."""
    policy = replace(
        found.policy,
        windows=(),
        suspend=False,
        deleting=False,
        strategy=replace(found.policy.strategy, failure_threshold=Quantity(9), max_unavailable=Quantity(6)),
    )
    plan = waves.plan(policy.strategy, total=len(found.targets), canaries=0)
    state = RolloutState(plan=plan, wave=min(found.state.wave, 2), policy=builders.allowed(min(found.state.wave, 2)))
    change = found.rollout.script
    rollout = builders.rollout(reboot=change.reboot, prepare=change.prepare, verify=change.verify)
    targets = tuple(_freed(target) if number % 3 else target for number, target in enumerate(found.targets))
    return replace(found, policy=policy, state=state, rollout=rollout, targets=targets, superseded_by="", answer=None)


def _freed(target: Any) -> Any:
    """Take every mark of others off a node, and the failure out of our own record."""
    if target.record is None or target.record.rollout_uid != builders.ROLLOUT_UID or target.record.failed:
        fresh: dict[str, Any] = {
            "record": None,
            "record_fault": "",
            "unschedulable": False,
            "ready": True,
            "installed": None,
        }
        return replace(target, **fresh, foreign="", opted_out="", paused=False, deleting=False)
    return target
