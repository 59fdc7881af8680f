"""Windows against the calendar read minute by minute; waves, drains, records and results over anything."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from patchwright.domain import waves
from patchwright.domain.annotation import RecordError
from patchwright.domain.model import Canary, Drain, MaintenanceWindow, Quantity, Strategy, Wave
from patchwright.domain.nodes import drain, volumes
from patchwright.domain.nodes.record import Record, decode, encode
from patchwright.domain.nodes.result import LONGEST, parse
from patchwright.domain.nodes.view import Attachment, PodList, PodView, VolumeList
from patchwright.domain.windows import opening
from support import builders
from support.builders import NOW, ago
from support.strategies import answers, attachments, drains, knowledge, pod_lists, quantities, records

# Drawing is slow beside other tests on few cores; that is not what is tried here.
SETTINGS = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
MINUTE = timedelta(minutes=1)
# Where clocks are changed: by an hour, by half of one, by two, at midnight; and where they are not.
CHANGES = {
    "Europe/Paris": ("2026-03-29T01:00", "2026-10-25T01:00"),
    "America/New_York": ("2026-03-08T07:00", "2026-11-01T06:00"),
    "Australia/Lord_Howe": ("2026-10-03T15:30", "2026-04-04T15:00"),
    "Antarctica/Troll": ("2026-03-29T01:00", "2026-10-25T01:00"),
    "Asia/Beirut": ("2026-03-28T22:00", "2026-10-24T21:00"),
    "America/Santiago": ("2026-09-06T04:00", "2026-04-05T03:00"),
    "Asia/Kolkata": ("2026-06-01T00:00",),
}


# --- windows ----------------------------------------------------------------------------------------------------------


def opens(hour: int, minute: int, day: int | None, *, zone: ZoneInfo, at: datetime) -> bool:
    """Tell whether a window that starts daily (or on one weekday, Monday is 1) opens at this very minute.

    As Debian's cron has it: what the clock shows twice counts the first time, what it skips counts right after.
    """
    shown = at.astimezone(zone)
    before = (at - MINUTE).astimezone(zone).replace(tzinfo=None)
    if shown.fold:
        return False
    # The minutes of the wall clock that have passed since a minute ago: one, or all that were skipped.
    passed = before + MINUTE
    while passed <= shown.replace(tzinfo=None):
        if (passed.hour, passed.minute) == (hour, minute) and day in (None, passed.isoweekday()):
            return True
        passed += MINUTE
    return False


@SETTINGS
@given(data=st.data())
def test_a_window_is_open_exactly_when_the_calendar_says_so(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(CHANGES)), label="zone")
    change = datetime.fromisoformat(data.draw(st.sampled_from(CHANGES[name]), label="change")).replace(tzinfo=UTC)
    now = change + timedelta(minutes=data.draw(st.integers(-300, 600), label="minutes"))
    hour, minute = data.draw(st.integers(0, 4), label="hour"), data.draw(st.integers(0, 59), label="minute")
    day = data.draw(st.none() | st.integers(1, 7), label="weekday")
    length = timedelta(minutes=data.draw(st.integers(1, 300), label="length"))
    window = MaintenanceWindow(f"{minute} {hour} * * {'*' if day is None else day}", length, name)
    zone = ZoneInfo(name)

    past = [now - MINUTE * number for number in range(int(length / MINUTE))]
    begun = [at for at in past if opens(hour, minute, day, zone=zone, at=at)]
    found = opening([window], now=now)
    assert found.open is bool(begun)
    assert found.until == (max(begun) + length if begun else None)
    assert found.next_at is not None
    assert found.next_at > now
    assert opens(hour, minute, day, zone=zone, at=found.next_at)
    between = int((min(found.next_at, now + timedelta(hours=12)) - now) / MINUTE)
    assert not any(opens(hour, minute, day, zone=zone, at=now + MINUTE * number) for number in range(1, between))


@pytest.mark.parametrize(("zone", "change"), [(zone, each) for zone in sorted(CHANGES) for each in CHANGES[zone]])
def test_the_announced_opening_is_always_still_to_come(zone: str, change: str) -> None:
    window = MaintenanceWindow("45 * * * *", timedelta(minutes=10), zone)
    start = datetime.fromisoformat(change).replace(tzinfo=UTC) - timedelta(hours=4)
    for number in range(0, 480, 7):
        found = opening([window], now=start + MINUTE * number)
        assert found.next_at is not None
        assert found.next_at > start + MINUTE * number


# --- waves ------------------------------------------------------------------------------------------------------------


@SETTINGS
@given(st.lists(quantities, max_size=4), quantities, st.integers(1, 400))
def test_the_waves_cover_everybody_exactly_once(sizes: list[Quantity], canary: Quantity, total: int) -> None:
    strategy = Strategy(canary=Canary(canary), waves=tuple(Wave(size) for size in sizes))
    left = [f"n{number}" for number in range(total)]
    taken: list[str] = []
    for wave in waves.plan(strategy, total=total, canaries=0).waves:
        size = len(left) if wave.size is None else wave.size
        assert size >= 0
        taken, left = taken + left[:size], left[size:]
    assert not left
    assert len(taken) == len(set(taken)) == total


@SETTINGS
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2), st.booleans(), st.booleans()), max_size=12))
def test_canary_and_fleet_order_hold_everybody_once_and_agree_on_risk(
    found: list[tuple[str, int, bool, bool]],
) -> None:
    made = [
        builders.node(f"n{number}", zone=zone, risk=risk).order(last=last, one_at_a_time=lone).view
        for number, (zone, risk, last, lone) in enumerate(found)
    ]
    fleet, canaries = waves.fleet_order(made), waves.canary_order(made)
    assert {target.name for target in fleet} == {target.name for target in canaries}
    assert len(fleet) == len(canaries) == len(made)
    ranks = [(target.order.last, target.order.one_at_a_time, target.order.risk) for target in canaries]
    assert ranks == sorted(ranks)


# --- drains -----------------------------------------------------------------------------------------------------------


@SETTINGS
@given(data=st.data())
def test_a_drain_sorts_every_pod_into_one_place_and_its_sentence_names_one(data: st.DataObject) -> None:
    found: tuple[PodView, ...] = data.draw(pod_lists)
    options: Drain = data.draw(drains)
    plan = drain.plan(PodList(ago(1), found), options, attempts=data.draw(answers(found)), now=NOW)
    sorted_ = [
        *plan.evict,
        *plan.waiting,
        *(obstacle.pod for obstacle in plan.blocked),
        *(obstacle.pod for obstacle in plan.refused),
    ]
    uids = [pod.ref.uid for pod in sorted_]
    assert len(uids) == len(set(uids))
    assert set(uids) <= {pod.ref.uid for pod in found}
    assert plan.drained is (not sorted_)
    assert len(plan.evict) <= drain.PASS_LIMIT
    for pod in plan.evict:
        assert not any((pod.mirror, pod.patch_job, pod.opt_out, pod.wait, pod.deleted_at, pod.do_not_disrupt))
    sentence = drain.sentence(plan)
    named = any(f"{pod.ref.namespace}/{pod.ref.name}" in sentence for pod in sorted_)
    assert named is not plan.drained


@SETTINGS
@given(pod_lists, attachments, knowledge)
def test_a_volume_is_waited_for_unless_a_pod_that_is_there_holds_it(
    found: tuple[PodView, ...], attached: tuple[Attachment, ...], known: frozenset[str] | None
) -> None:
    left = volumes.left(VolumeList(NOW, attached), PodList(NOW, found), known)
    held = {claim for pod in found if pod.phase in ("Running", "Pending") for claim in pod.claims}
    assert not held & {each.claim for each in left}
    every = volumes.left(VolumeList(NOW, attached), PodList(NOW, found), None)
    assert set(left) <= set(every), "whoever knows less waits for more"
    assert set(every) - set(left) == {each for each in every if known is not None and each.claim not in known}


# --- records and results ----------------------------------------------------------------------------------------------


@SETTINGS
@given(records())
def test_every_record_survives_being_written(record: Record) -> None:
    assert decode(encode(record)) == record


def read(text: str) -> None:
    """Read an annotation: a record, or an error in words, and nothing else."""
    try:
        found = decode(text)
    except RecordError:
        return
    assert found.since + timedelta(days=365) > found.since
    assert decode(encode(found)) == found


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@SETTINGS
@given(st.text())
def test_any_text_is_read_or_refused_in_words(text: str) -> None:
    read(text)


@SETTINGS
@given(records(), st.data())
def test_a_record_with_any_field_replaced_is_read_or_refused_in_words(record: Record, data: st.DataObject) -> None:
    body = json.loads(encode(record))
    body[data.draw(st.sampled_from(sorted(body)))] = data.draw(values)
    read(json.dumps(body))


@SETTINGS
@given(records(), st.data())
def test_a_record_that_was_cut_or_garbled_is_read_or_refused_in_words(record: Record, data: st.DataObject) -> None:
    text = encode(record)
    place = data.draw(st.integers(0, len(text)))
    read(text[:place] + data.draw(st.text(max_size=3)) + text[place + data.draw(st.integers(0, 5)) :])


@SETTINGS
@given(st.text() | values.map(json.dumps))
def test_any_termination_message_is_one_printable_line(text: str) -> None:
    found = parse(text)
    assert found.message.isprintable()
    assert len(found.message) <= LONGEST
    assert found.reboot_required in (True, False, None)
