"""``decide`` over any snapshot of workloads: what holds for a single decision, whatever the world looks like."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from patchwright.domain.actions import Action, DeleteBadPod, MarkWorkload, RestoreImages, SetImages
from patchwright.domain.decide import decide
from patchwright.domain.model import Quantity
from patchwright.domain.snapshot import Decision, Snapshot
from patchwright.domain.state import Cause, Phase
from patchwright.domain.workloads import images
from patchwright.domain.workloads.record import ImageRecord, Mark, Part, decode, encode
from patchwright.domain.workloads.view import WorkloadView
from support.builders import NOW, ROLLOUT_UID, ago, allowed, planned
from support.image_builders import (
    OLD,
    PINNED,
    REPOSITORY,
    TAGGED,
    WANTED,
    WorkloadBuilder,
    pod,
    policy,
    record,
    snapshot,
    waiting,
    workload,
)

SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
PARTIAL = frozenset({Mark.SAMPLING, Mark.SAMPLED})
AWAY = frozenset(Mark) - {Mark.SAMPLED, Mark.DONE, Mark.RESTORED}
IMAGES = st.sampled_from([TAGGED, PINNED, WANTED, f"{REPOSITORY}:9"])
SECONDS = st.sampled_from([0.5, 5, 70, 900])


@st.composite
def pods(draw: st.DrawFn) -> object:
    ready = draw(st.booleans())
    reason = draw(st.sampled_from(["CrashLoopBackOff", "ImagePullBackOff", "InvalidImageName", "ContainerCreating"]))
    image, revision = draw(IMAGES), draw(st.sampled_from(["", "new", "old"]))
    name = f"web-{draw(st.integers(0, 12))}"
    if ready:
        return pod(name, image, revision=revision)
    return waiting(reason, restarts=draw(st.integers(0, 4)), seconds=draw(SECONDS), name=name, image=image)


@st.composite
def parts(draw: st.DrawFn, kind: str) -> Part:
    """Give a canary of some pods as a record of this kind may have it."""
    pods = draw(st.integers(1, 2))
    if kind == "Deployment":
        return Part(pods, beside="web-canary-12345", rest=draw(st.booleans()))
    return Part(pods, was='{"type":"RollingUpdate"}', to='{"rollingUpdate":{"partition":1},"type":"RollingUpdate"}')


@st.composite
def workloads(draw: st.DrawFn, name: str) -> WorkloadBuilder:
    kind = draw(st.sampled_from(["Deployment", "StatefulSet", "DaemonSet", "CronJob"]))
    made = workload(name, kind=kind, revision="new").scaled(draw(st.integers(0, 3)))
    made = made.but(
        updated=draw(st.integers(0, 3)),
        available_pods=draw(st.integers(0, 3)),
        observed_generation=draw(st.integers(0, 1)),
        paused=draw(st.booleans()) and draw(st.booleans()),
        gitops=draw(st.sampled_from(["", "", "", "Flux Kustomization a/b"])),
        recreate=draw(st.booleans()) and draw(st.booleans()),
    )
    if draw(st.booleans()):
        mark, since = draw(st.sampled_from(list(Mark))), draw(SECONDS)
        owner = draw(st.sampled_from([ROLLOUT_UID, ROLLOUT_UID, "another"]))
        part = draw(parts(kind)) if mark in PARTIAL or draw(st.booleans()) else None
        made = made.record(mark, seconds=since, rollout_uid=owner, wave=draw(st.integers(0, 1)), part=part)
        made = made.but(strategy=draw(st.sampled_from([part.to, part.was])) if part else "")
    if draw(st.booleans()):
        made = made.image(draw(IMAGES))
    if draw(st.booleans()):
        made = made.pods(*draw(st.lists(pods(), max_size=4)), seconds=draw(SECONDS))  # type: ignore[arg-type]  # pods
    return made


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    made = [draw(workloads(f"w{number}")) for number in range(draw(st.integers(1, 6)))]
    spec = policy(soak=60, max_unavailable=draw(st.integers(0, 3)), failure_threshold=draw(st.integers(1, 3)))
    wave = draw(st.integers(0, 1))
    if draw(st.booleans()):
        canary = replace(spec.strategy.canary, pods=Quantity(draw(st.integers(1, 3))))
        spec = replace(spec, strategy=replace(spec.strategy, canary=canary))
    widened = ago(5) if draw(st.booleans()) and wave == 0 else None
    state = planned(spec, len(made), wave=wave, widened_at=widened, policy=draw(st.sampled_from([None, allowed(wave)])))
    if draw(st.booleans()):
        state = replace(state, cause=Cause("CanaryFailed", "it crashes", ago(1)), phase=Phase.ROLLING_BACK)
    return snapshot(*made, policy=spec, state=state)


def done_by(decision: Decision) -> list[Action]:
    return [action for batch in decision.batches for action in batch]


def views(found: Snapshot) -> dict[str, WorkloadView]:
    return {target.uid: target for target in found.targets if isinstance(target, WorkloadView)}


@SETTINGS
@given(snapshots(), st.randoms(use_true_random=False))
def test_the_same_workloads_give_the_same_decision_in_whatever_order(found: Snapshot, random: object) -> None:
    shuffled = list(found.targets)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis types it as Random only under its own plugin
    one, other = decide(found), decide(replace(found, targets=tuple(shuffled)))
    assert sorted(map(repr, one.batches)) == sorted(map(repr, other.batches))


@SETTINGS
@given(snapshots())
def test_images_are_changed_only_where_nobody_else_has_a_hand_in_it(found: Snapshot) -> None:
    by_uid = views(found)
    for action in done_by(decide(found)):
        if not isinstance(action, SetImages) or not action.edits:
            continue
        view = by_uid[action.workload.uid]
        assert view.record is None or view.record.mark is Mark.SAMPLED
        assert view.record is not None or not any((view.gitops, view.owner, view.paused, view.recreate))
        assert view.record is not None or view.observed_generation >= view.generation
        assert found.state.cause is None
        assert found.state.policy is not None
        assert view.runs or found.state.wave > 0, "what runs no pods is no canary"
        assert [edit.was for edit in action.edits] == [field.image for field in view.images]
        assert all(edit.to == WANTED for edit in action.edits)


@SETTINGS
@given(snapshots())
def test_nothing_starts_without_room(found: Snapshot) -> None:
    starts = sum(_starts(action) for action in done_by(decide(found)))
    out = [view for view in views(found).values() if _out(view)]
    room = found.policy.strategy.max_unavailable.value - len(out)
    assert starts <= max(0, room)


def _starts(action: Action) -> bool:
    """Tell whether an action begins something; a canary that keeps its size when it is scaled is none."""
    return isinstance(action, SetImages) and (bool(action.edits) or action.record.mark is Mark.APPLYING)


def _out(view: WorkloadView) -> bool:
    mine = view.record is not None and view.record.rollout_uid == ROLLOUT_UID and view.record.mark in AWAY
    return mine or not view.available


@SETTINGS
@given(snapshots())
def test_only_what_we_put_there_is_put_back_and_to_exactly_what_ran(found: Snapshot) -> None:
    by_uid = views(found)
    for action in done_by(decide(found)):
        if isinstance(action, RestoreImages):
            view = by_uid[action.workload.uid]
            assert view.record is not None
            assert view.record.rollout_uid == ROLLOUT_UID
            if action.record.mark is Mark.QUARANTINED:
                assert (action.edits, action.strategy is not None) == ((), True)
                continue
            assert [(edit.was, edit.to) for edit in action.edits] == [(WANTED, f"{TAGGED}@{OLD}")]


@SETTINGS
@given(snapshots())
def test_a_pod_is_deleted_only_where_it_is_in_the_way_of_a_stateful_set_s_way_back(found: Snapshot) -> None:
    by_uid = views(found)
    for action in done_by(decide(found)):
        if isinstance(action, DeleteBadPod):
            view = by_uid[action.workload.uid]
            assert (view.kind, view.record is not None and view.record.mark) == ("StatefulSet", Mark.REVERTING)
            assert view.pods is not None
            assert not next(each for each in view.pods.pods if each.ref == action.pod).ready


@SETTINGS
@given(snapshots())
def test_every_record_that_is_written_can_be_read_again(found: Snapshot) -> None:
    for action in done_by(decide(found)):
        if isinstance(action, (SetImages, RestoreImages, MarkWorkload)):
            assert decode(encode(action.record)) == action.record


TEXT = st.text(min_size=1, max_size=300)


@SETTINGS
@given(TEXT, TEXT, TEXT, st.text(max_size=300), st.timedeltas(timedelta(0), timedelta(days=3000)))
def test_a_record_survives_whatever_is_in_it(part: str, was: str, to: str, message: str, age: timedelta) -> None:
    image = ImageRecord(part, "web", was=was, to=to)
    mine = replace(record(Mark.DONE, images=(image,)), message=message, since=NOW - age)
    assert decode(encode(mine)) == mine


@SETTINGS
@given(st.text(max_size=80), st.text(max_size=80))
def test_any_text_may_stand_where_an_image_should(name: str, image: str) -> None:
    assert images.covers((name,), image) in (True, False)
    assert images.digest(image) == "" or images.digest(image) in image
