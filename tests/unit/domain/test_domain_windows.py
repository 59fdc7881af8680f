"""Maintenance windows: midnight, both nights on which clocks change, several windows, and time to finish."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from patchwright.domain.model import MaintenanceWindow
from patchwright.domain.windows import Opening, fits, needed, opening

PARIS = "Europe/Paris"
LONGEST = timedelta(minutes=10)


def window(start: str, hours: float, zone: str = PARIS) -> MaintenanceWindow:
    return MaintenanceWindow(start, timedelta(hours=hours), zone)


def local(text: str, zone: str = PARIS, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC)


def is_open(found: MaintenanceWindow, now: datetime) -> bool:
    return opening([found], now=now).open


def test_without_windows_it_is_always_open() -> None:
    assert opening([], now=datetime(2026, 1, 1, tzinfo=UTC)) == Opening(True)


# kured's day test uses "today": Fri 21:00-05:00 stops at midnight there unless Saturday is listed (nodes.md 4.9).
FRIDAY_NIGHT = window("0 21 * * 5", 8)


@pytest.mark.parametrize(
    ("at", "open_"),
    [
        pytest.param("2026-11-27T20:59", False, id="a minute before it opens"),
        pytest.param("2026-11-27T21:00", True, id="as it opens"),
        pytest.param("2026-11-28T00:30", True, id="Saturday is not named, but it is still Friday's night"),
        pytest.param("2026-11-28T04:59", True, id="its last minute"),
        pytest.param("2026-11-28T05:00", False, id="its end is not in it"),
        pytest.param("2026-11-27T00:30", False, id="Thursday night is not Friday's"),
    ],
)
def test_a_window_belongs_to_the_night_that_it_began_in(at: str, open_: bool) -> None:
    assert is_open(FRIDAY_NIGHT, local(at)) is open_


def test_monday_half_past_midnight_is_not_open_because_of_monday_evening() -> None:
    monday = window("0 22 * * 1", 6)
    assert not is_open(monday, local("2026-11-23T00:30"))
    assert is_open(monday, local("2026-11-24T00:30"))


def test_a_window_says_when_it_closes_and_when_the_next_one_opens() -> None:
    found = opening([FRIDAY_NIGHT], now=local("2026-11-27T23:00"))
    assert found == Opening(True, local("2026-11-28T05:00"), local("2026-12-04T21:00"))


def test_several_windows_are_open_until_the_last_of_them_closes_and_open_at_the_first() -> None:
    both = [window("0 20 * * *", 2), window("0 21 * * *", 3)]
    assert opening(both, now=local("2026-11-23T21:30")).until == local("2026-11-24T00:00")
    assert opening(both, now=local("2026-11-23T19:00")).next_at == local("2026-11-23T20:00")


def test_a_window_longer_than_its_period_never_closes() -> None:
    found = opening([window("0 0 * * *", 30)], now=local("2026-11-23T12:00"))
    assert found.open
    assert found.until == local("2026-11-24T06:00")


@pytest.mark.parametrize(
    ("zone", "cron", "before", "after"),
    [
        pytest.param(PARIS, "30 2 * * *", "2026-03-29T01:59", "2026-03-29T03:00", id="Paris loses an hour"),
        pytest.param(
            "America/New_York", "15 2 * * *", "2026-03-08T01:59", "2026-03-08T03:00", id="New York loses an hour"
        ),
        pytest.param(
            "Australia/Lord_Howe", "15 2 * * *", "2026-10-04T01:59", "2026-10-04T02:30", id="Lord Howe loses half one"
        ),
        pytest.param(
            "Antarctica/Troll", "30 1 * * *", "2026-03-29T00:59", "2026-03-29T03:00", id="Troll loses two hours"
        ),
    ],
)
def test_in_spring_a_window_that_begins_in_the_lost_time_begins_after_it(
    zone: str, cron: str, before: str, after: str
) -> None:
    found = window(cron, 1, zone)
    assert not is_open(found, local(before, zone))
    assert is_open(found, local(after, zone))
    assert is_open(found, local(after, zone) + timedelta(minutes=59))
    assert not is_open(found, local(after, zone) + timedelta(minutes=60))


@pytest.mark.parametrize(
    ("zone", "cron", "start", "twice"),
    [
        pytest.param(PARIS, "45 2 * * *", "2026-10-25T02:45", "2026-10-25T02:01", id="Paris has two o'clock twice"),
        pytest.param(
            "America/New_York",
            "45 1 * * *",
            "2026-11-01T01:45",
            "2026-11-01T01:01",
            id="New York has one o'clock twice",
        ),
        pytest.param(
            "Australia/Lord_Howe", "55 1 * * *", "2026-04-05T01:55", "2026-04-05T01:31", id="Lord Howe has half of one"
        ),
    ],
)
def test_in_autumn_a_window_is_open_over_the_repeated_time_and_opens_once(
    zone: str, cron: str, start: str, twice: str
) -> None:
    found = window(cron, 0.75, zone)
    begin = local(start, zone, fold=0)
    # By the wall clock this is before the window's start; it is 16 minutes after it.
    again = local(twice, zone, fold=1)
    assert begin < again < begin + found.duration
    assert is_open(found, again)
    assert not is_open(found, begin + found.duration), "the second time that the clock shows its start opens nothing"
    told = opening([found], now=again).next_at
    assert told is not None
    assert told > again + timedelta(hours=20), "what is announced as next has not been already"


def test_durations_are_elapsed_time_however_the_clocks_are_changed() -> None:
    spring, autumn = window("0 0 * * *", 6), window("0 0 * * *", 6)
    assert opening([spring], now=local("2026-03-29T00:00")).until == local("2026-03-29T07:00")
    assert opening([autumn], now=local("2026-10-25T00:00")).until == local("2026-10-25T05:00")


@pytest.mark.parametrize(
    ("left", "ok"), [pytest.param(10, True, id="just enough"), pytest.param(9.99, False, id="a second too short")]
)
def test_nothing_starts_without_time_to_finish_in_the_window(left: float, ok: bool) -> None:
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    found = Opening(True, now + timedelta(minutes=left))
    assert fits(found, LONGEST, now=now) is ok


def test_a_closed_window_never_fits() -> None:
    assert not fits(Opening(False), timedelta(0), now=datetime(2026, 11, 23, tzinfo=UTC))


@pytest.mark.parametrize(
    ("seconds", "wanted"),
    [
        pytest.param([], 600, id="nothing seen: the longest that one may take"),
        pytest.param([10] * 4, 600, id="too few seen: the longest that one may take"),
        pytest.param([10, 900], 900, id="too few seen, one slower than that: the slowest"),
        pytest.param([10] * 5, 10, id="five seen: what they took"),
        pytest.param([*range(1, 101)], 96, id="a hundred seen: nineteen of twenty were not slower"),
        pytest.param([900] * 5, 900, id="all slower than one may be, as the bounds were when they were patched"),
    ],
)
def test_the_time_needed_is_what_nineteen_of_twenty_took(seconds: list[float], wanted: float) -> None:
    assert needed(seconds, LONGEST) == timedelta(seconds=wanted)
