"""Which image comes next, or the one sentence why none does."""

from __future__ import annotations

from datetime import timedelta

import pytest

from patchwright.domain.images.choice import LOST_KEPT, Candidate, Choice, Verdict
from patchwright.domain.images.facts import Running, TagFacts
from patchwright.domain.images.failures import Failures, Streak
from patchwright.domain.images.imagepolicy import AgeBehaviour, DigestReflection, ImagePolicy
from support.builders import NOW, ago
from support.images import (
    CART,
    HOUR,
    IMAGE,
    WEB,
    alphabetical,
    choose,
    chosen,
    digest,
    failed,
    following,
    numerical,
    remembered,
    running,
    scan,
    semver,
    tag,
    why,
)

ALWAYS = DigestReflection.ALWAYS
NEVER = DigestReflection.NEVER
FAILED_1_4_2 = "failed in Deployment shop/web (container web) at 2026-11-23 11:59 UTC (CrashLoopBackOff)"


# --- an update --------------------------------------------------------------------------------------------------------


def test_an_update_names_tag_and_digest_and_why_the_others_lost() -> None:
    found = choose(["1.4.0", "1.4.1", "1.4.2", "2.0.0", "latest"], "1.4.1", semver("~1.4"))
    assert found.verdict is Verdict.UPDATE
    assert found.message == "ghcr.io/acme/api:1.4.2 replaces 1.4.1"
    assert found.candidate == Candidate(IMAGE, "1.4.2", digest("1.4.2"), released_at=ago(10_000 * HOUR))
    assert found.candidate.reference == f"{IMAGE}:1.4.2@{digest('1.4.2')}"
    assert why(found) == {
        "1.4.1": "is what runs",
        "1.4.0": "is not newer than 1.4.1, which runs",
        "2.0.0": "is not in the range ~1.4",
        "latest": "is no version of three numbers",
    }


def test_what_lost_is_told_newest_first_and_not_without_end() -> None:
    found = choose([f"1.{number}.0" for number in range(200)], "1.0.0")
    assert [lost.tag for lost in found.lost] == [f"1.{number}.0" for number in range(198, 198 - LOST_KEPT, -1)]
    assert found.lost[0].why == "is not newer than 1.199.0"
    assert found.unlisted == 199 - LOST_KEPT


def test_never_writes_the_tag_alone() -> None:
    found = choose(["1.4.2"], "1.4.1", semver(digest_reflection=NEVER))
    assert found.candidate is not None
    assert found.candidate.reference == f"{IMAGE}:1.4.2"
    assert found.candidate.digest == digest("1.4.2"), "it is still what is verified, and remembered if it fails"


def test_the_newest_is_up_to_date() -> None:
    found = choose(["1.4.1", "1.4.2"], "1.4.2")
    assert (found.verdict, found.message) == (Verdict.UP_TO_DATE, "ghcr.io/acme/api:1.4.2 is the newest")


def test_what_runs_by_digest_alone_is_named_by_it() -> None:
    found = choose([tag("1.4.2")], running("", "1.4.2"))
    assert found.message == f"{IMAGE}@{digest('1.4.2')} is the newest"


def test_the_same_image_under_a_newer_tag_is_no_update() -> None:
    found = choose([tag("1.4.1", "a"), tag("1.4.2", "b"), tag("1.4.3", "a")], running("1.4.1", "a"))
    assert found.verdict is Verdict.UP_TO_DATE
    assert why(found) == {
        "1.4.3": "is what runs",
        "1.4.2": "is not newer than 1.4.1, which runs",
        "1.4.1": "is what runs",
    }


def test_a_digest_of_one_platform_is_the_same_image_as_its_index() -> None:
    index = tag("1.4.2", manifests=frozenset({digest("arm64 of 1.4.2"), digest("amd64 of 1.4.2")}))
    assert choose([index], running("latest", "arm64 of 1.4.2")).verdict is Verdict.UP_TO_DATE
    assert choose([index], running("1.4.2", "arm64 of 1.4.2"), semver(digest_reflection=ALWAYS)).message == (
        "ghcr.io/acme/api:1.4.2 is the newest"
    )
    update = choose([index], "1.4.1").candidate
    assert update is not None
    assert update.manifests == index.manifests


# --- no way back ------------------------------------------------------------------------------------------------------


def test_nothing_older_than_what_runs_is_chosen() -> None:
    found = choose(["1.4.0", "1.4.1"], "2.0.0", semver("~1.4"))
    assert found.verdict is Verdict.REFUSED
    assert found.reason == "WouldDowngrade"
    assert found.message == (
        "ghcr.io/acme/api: 1.4.1 is the newest that the policy admits, and older than 2.0.0, which runs; "
        "widen the policy, or set allowDowngrade"
    )


def test_a_downgrade_can_be_asked_for() -> None:
    found = choose(["1.4.0", "1.4.1", "2.0.0"], "2.0.0", semver("~1.4", allow_downgrade=True))
    assert chosen(found) == "1.4.1"
    assert why(found) == {"1.4.0": "is not newer than 1.4.1", "2.0.0": "is not in the range ~1.4"}


def test_even_then_there_is_no_way_back_from_what_the_policy_admits() -> None:
    back = semver("~1.4", allow_downgrade=True)
    assert chosen(choose(["1.4.0", "1.4.1"], "1.4.2", back)) == "UpToDate/UpToDate", "1.4.2 has vanished"
    assert chosen(choose(["1.4.1", "1.4.2", "1.4.3"], "1.4.2", back, memory=remembered("1.4.3"))) == (
        "Refused/FailedBefore"
    )


def test_what_cannot_be_compared_is_left_alone_unless_that_is_asked_for() -> None:
    found = choose(["1.4.1", "latest"], "latest")
    assert found.reason == "RunningUnordered"
    assert found.message == (
        "ghcr.io/acme/api: nobody can tell whether 1.4.1 is newer than latest, which runs; "
        "deploy it once, or set allowDowngrade"
    )
    assert why(found)["1.4.1"] == "cannot be compared with latest, which runs"
    assert chosen(choose(["1.4.1", "latest"], "latest", semver(allow_downgrade=True))) == "1.4.1"
    assert "newer than an unknown image" in choose(["1.4.1"], Running()).message


def test_a_policy_that_nothing_matches_is_refused() -> None:
    found = choose(["1.4.1", "1.4.2"], "1.4.1", semver("^9"))
    assert (found.verdict, found.reason) == (Verdict.REFUSED, "NothingMatches")
    assert found.message == "none of the 2 tags of ghcr.io/acme/api matches the policy; correct it"


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (semver(">>1"), "'>>1' is no version range"),
        (semver(pattern="("), "is no regular expression that Go and RE2 know: missing ): ("),
        (semver(patched_suffix="(?=x)"), "is no regular expression that Go and RE2 know"),
    ],
)
def test_a_policy_that_cannot_be_read_is_refused_in_words(policy: ImagePolicy, words: str) -> None:
    found = choose(["1.4.1"], "1.4.0", policy)
    assert (found.verdict, found.reason) == (Verdict.REFUSED, "PolicyInvalid")
    assert words in found.message


# --- faults of a registry ---------------------------------------------------------------------------------------------


def test_nothing_is_chosen_from_half_a_scan() -> None:
    found = choose(scan(["1.4.2"], complete=False), "1.4.1")
    assert (found.verdict, found.reason, found.until) == (Verdict.WAIT, "ScanIncomplete", None)
    assert found.message == (
        "the scan of ghcr.io/acme/api at 2026-11-23 12:00 UTC saw only a part; waits for a complete one"
    )


@pytest.mark.parametrize(
    ("newest", "reason", "words"),
    [
        (tag("1.4.3", missing=True), "TagMissing", "was missing from the latest scan; waits for another one"),
        (
            tag("1.4.3", flapping=True),
            "DigestFlapping",
            "names now one image, now another; waits until two scans agree, or leave it out with filterTags",
        ),
        (tag("1.4.3", digest=""), "DigestUnknown", "has no known digest yet; waits for the next scan"),
        (
            tag("1.4.3", platforms=None),
            "PlatformsUnknown",
            "has no known platforms yet; waits for the next scan",
        ),
    ],
)
def test_below_what_is_unsteady_nothing_is_chosen(newest: TagFacts, reason: str, words: str) -> None:
    there = frozenset({"linux/amd64"})
    found = choose([tag("1.4.2", platforms=there), newest], "1.4.1", semver(platforms=("linux/amd64",)))
    assert (found.verdict, found.reason) == (Verdict.WAIT, reason)
    assert found.message == f"ghcr.io/acme/api:1.4.3 {words}"
    assert why(found) == {"1.4.3": words, "1.4.2": "is not newer than 1.4.3"}


def test_an_older_tag_may_be_as_unsteady_as_it_likes() -> None:
    tags = [tag("1.3.0", missing=True), tag("1.4.0", flapping=True), tag("1.4.1", digest=""), tag("1.4.2")]
    assert chosen(choose(tags, "1.4.1")) == "1.4.2"


def test_what_runs_may_vanish_and_come_back() -> None:
    assert chosen(choose(["1.4.0", tag("1.4.1", missing=True)], "1.4.1")) == "UpToDate/UpToDate"
    assert chosen(choose(["1.4.0"], "1.4.1")) == "UpToDate/UpToDate"


def test_a_tag_that_flaps_onto_what_runs_says_nothing() -> None:
    found = choose([tag("1.4.1", "a"), tag("1.4.2", "b"), tag("1.4.3", "a", flapping=True)], running("1.4.1", "a"))
    assert chosen(found) == "Wait/DigestFlapping"


# --- the digest of the tag that runs ----------------------------------------------------------------------------------


def test_a_tag_that_was_pushed_again_is_an_update_only_where_the_digest_is_always_reflected() -> None:
    tags = [tag("1.4.1", "rebuilt")]
    assert choose(tags, "1.4.1").message == (
        "ghcr.io/acme/api:1.4.1 is the newest; it was pushed again since, "
        "which digestReflectionPolicy IfNotPresent does not follow"
    )
    assert choose(tags, "1.4.1", semver(digest_reflection=NEVER)).message.endswith("Never does not follow")
    found = choose(tags, "1.4.1", semver(digest_reflection=ALWAYS))
    assert found.message == "ghcr.io/acme/api:1.4.1 was pushed again and replaces 1.4.1"
    assert found.candidate is not None
    assert found.candidate.digest == digest("rebuilt")


def test_of_what_is_not_known_nothing_is_said() -> None:
    for known in (tag("1.4.1", digest=""), tag("1.4.1", "rebuilt", flapping=True)):
        assert choose([known], "1.4.1").message == "ghcr.io/acme/api:1.4.1 is the newest"
    assert choose([tag("1.4.1")], running("1.4.1", "")).message == "ghcr.io/acme/api:1.4.1 is the newest"


def test_a_newer_tag_comes_before_the_same_tag_pushed_again() -> None:
    tags = [tag("1.4.1", "rebuilt"), tag("1.4.2"), tag("1.4.0", "other")]
    assert chosen(choose(tags, "1.4.1", semver(digest_reflection=ALWAYS))) == "1.4.2"
    found = choose(tags, "1.4.1", semver(digest_reflection=ALWAYS), memory=remembered("1.4.2"))
    assert found.message == "ghcr.io/acme/api:1.4.1 was pushed again and replaces 1.4.1"


def test_while_no_pod_tells_its_digest_nothing_was_pushed_again() -> None:
    found = choose([tag("1.4.1", "rebuilt")], running("1.4.1", ""), semver(digest_reflection=ALWAYS))
    assert found.verdict is Verdict.UP_TO_DATE


def test_a_moving_tag_is_followed_by_its_digest() -> None:
    tags = [tag("latest", "b"), tag("1.4.1", "c")]
    found = choose(tags, running("latest", "a"), following())
    assert found.message == "ghcr.io/acme/api:latest was pushed again and replaces latest"
    assert found.candidate is not None
    assert found.candidate.reference == f"{IMAGE}:latest@{digest('b')}"
    assert why(found) == {"1.4.1": "is not the tag that is followed"}
    assert choose(tags, running("latest", "b"), following()).message == "ghcr.io/acme/api:latest is the newest"


@pytest.mark.parametrize(
    ("known", "runs", "outcome", "words"),
    [
        (tag("latest"), running("", "a"), "Refused/NoTag", "so there is no tag to follow; name one in the workload"),
        (tag("latest"), running("latest", ""), "Wait/NothingRuns", "no pod of ghcr.io/acme/api:latest tells its"),
        (tag("main"), running("latest", "a"), "Wait/TagMissing", "ghcr.io/acme/api has no tag latest to follow"),
        (tag("latest", missing=True), running("latest", "a"), "Wait/TagMissing", "was missing from the latest scan"),
        (tag("latest", flapping=True), running("latest", "a"), "Wait/DigestFlapping", "now one image, now another"),
        (tag("latest", digest=""), running("latest", "a"), "Wait/DigestUnknown", "has no known digest yet"),
        (tag("latest", hours=1), running("latest", "a"), "Wait/TooYoung", "waits until 2026-11-25 11:00 UTC"),
        (tag("latest", "bad"), running("latest", "a"), "Refused/FailedBefore", "push another image"),
    ],
)
def test_a_moving_tag_is_followed_with_the_same_care(known: TagFacts, runs: Running, outcome: str, words: str) -> None:
    found = choose([known], runs, following(hours=48), memory=remembered("bad"))
    assert chosen(found) == outcome
    assert words in found.message


# --- age --------------------------------------------------------------------------------------------------------------


def test_what_is_too_young_is_waited_for_until_it_is_not() -> None:
    policy = semver(hours=72)
    tags = [tag("1.4.2", hours=2)]
    found = choose(tags, "1.4.1", policy)
    assert (found.verdict, found.reason) == (Verdict.WAIT, "TooYoung")
    assert found.until == NOW + timedelta(hours=70)
    assert found.message == (
        "ghcr.io/acme/api:1.4.2 was first seen at 2026-11-23 10:00 UTC, and minimumReleaseAge is 72h; "
        "waits until 2026-11-26 10:00 UTC"
    )
    assert chosen(choose(tags, "1.4.1", policy, now=found.until - timedelta(seconds=1))) == "Wait/TooYoung"
    assert chosen(choose(tags, "1.4.1", policy, now=found.until)) == "1.4.2"


def test_while_the_newest_is_too_young_an_older_one_is_not_held_up() -> None:
    tags = [tag("1.4.2", hours=100), tag("1.4.3", hours=2)]
    found = choose(tags, "1.4.1", semver(hours=72))
    assert chosen(found) == "1.4.2"
    assert why(found)["1.4.3"] == "was first seen at 2026-11-23 10:00 UTC, and minimumReleaseAge is 72h"


def test_of_several_that_are_too_young_the_first_to_be_old_enough_is_told() -> None:
    tags = [tag("1.4.4"), tag("1.4.2", hours=50), tag("1.4.3", hours=2)]
    found = choose(tags, "1.4.1", semver(hours=72), memory=remembered("1.4.4"))
    assert found.until == NOW + timedelta(hours=22)
    assert found.message.startswith("ghcr.io/acme/api:1.4.2 was first seen")


def test_the_registry_knows_better_when_it_was_pushed() -> None:
    known = tag("1.4.2", hours=2, pushed_at=ago(80 * HOUR))
    assert chosen(choose([known], "1.4.1", semver(hours=72))) == "1.4.2"
    known = tag("1.4.2", hours=100, pushed_at=ago(HOUR))
    found = choose([known], "1.4.1", semver(hours=72))
    assert found.message.startswith("ghcr.io/acme/api:1.4.2 was pushed at 2026-11-23 11:00 UTC")


def test_what_was_there_before_we_looked_is_as_old_as_our_first_look_or_old_enough() -> None:
    first = scan([tag("1.4.2", hours=5)], since=ago(5 * HOUR))
    held = choose(first, "1.4.1", semver(hours=72))
    assert held.until == NOW + timedelta(hours=67)
    found = choose(first, "1.4.1", semver(hours=72, age_behaviour=AgeBehaviour.OPTIONAL))
    assert chosen(found) == "1.4.2"
    assert found.candidate is not None
    assert found.candidate.released_at is None
    later = scan([tag("1.4.2", hours=4)], since=ago(5 * HOUR))
    assert chosen(choose(later, "1.4.1", semver(hours=72, age_behaviour=AgeBehaviour.OPTIONAL))) == "Wait/TooYoung"


def test_without_a_first_scan_on_record_what_we_saw_first_counts() -> None:
    found = choose(scan([tag("1.4.2", hours=5)], since=None), "1.4.1", semver(hours=4))
    assert found.candidate is not None
    assert found.candidate.released_at == ago(5 * HOUR)


def test_an_age_that_nobody_knows_is_asked_for_or_not() -> None:
    tags = [tag("1.4.2", hours=None)]
    found = choose(tags, "1.4.1", semver(hours=72))
    assert (found.verdict, found.reason, found.until) == (Verdict.WAIT, "AgeUnknown", None)
    assert found.message == (
        "ghcr.io/acme/api:1.4.2 has no known age, and minimumReleaseAgeBehaviour asks for one; waits for another scan"
    )
    assert chosen(choose(tags, "1.4.1", semver(hours=72, age_behaviour=AgeBehaviour.OPTIONAL))) == "1.4.2"
    assert chosen(choose(tags, "1.4.1", semver())) == "1.4.2"


# --- platforms --------------------------------------------------------------------------------------------------------


def test_an_image_that_lacks_a_platform_is_passed_over() -> None:
    both, one = frozenset({"linux/amd64", "linux/arm64"}), frozenset({"linux/amd64"})
    policy = semver(platforms=("linux/amd64", "linux/arm64"))
    found = choose([tag("1.4.2", platforms=both), tag("1.4.3", platforms=one)], "1.4.1", policy)
    assert chosen(found) == "1.4.2"
    assert why(found)["1.4.3"] == "lacks linux/arm64"
    found = choose([tag("1.4.3", platforms=one)], "1.4.1", policy)
    assert (found.verdict, found.reason) == (Verdict.WAIT, "PlatformMissing")
    assert found.message == "ghcr.io/acme/api:1.4.3 lacks linux/arm64; waits for another scan"


@pytest.mark.parametrize(
    ("asked", "there", "lacking"),
    [
        ("linux/arm64", "linux/arm64/v8", False),
        ("linux/arm64/v8", "linux/arm64", False),
        ("linux/amd64/v1", "linux/amd64", False),
        ("linux/amd64/v3", "linux/amd64", True),
        ("linux/arm/v7", "linux/arm/v6", True),
        ("linux/arm/v7", "linux/arm/v7", False),
        ("windows/amd64", "linux/amd64", True),
    ],
)
def test_the_variant_that_every_processor_has_need_not_be_named(asked: str, there: str, lacking: bool) -> None:
    found = choose([tag("1.4.2", platforms=frozenset({there}))], "1.4.1", semver(platforms=(asked,)))
    assert found.reason == ("PlatformMissing" if lacking else "Newer")


# --- what failed ------------------------------------------------------------------------------------------------------


def test_a_digest_that_failed_is_not_tried_again_and_an_older_one_may_be() -> None:
    found = choose(["1.4.1", "1.4.2"], "1.4.0", memory=remembered("1.4.2"))
    assert chosen(found) == "1.4.1"
    assert why(found)["1.4.2"] == FAILED_1_4_2
    found = choose(["1.4.0", "1.4.2"], "1.4.0", memory=remembered("1.4.2"))
    assert (found.verdict, found.reason) == (Verdict.REFUSED, "FailedBefore")
    assert found.message == (
        f"ghcr.io/acme/api:1.4.2 {FAILED_1_4_2}; push another image, or set the annotation patchwright.dev/retry"
    )


def test_a_new_digest_under_the_failed_tag_is_another_candidate() -> None:
    assert chosen(choose([tag("1.4.2", "repaired")], "1.4.1", memory=remembered("1.4.2"))) == "1.4.2"


def test_a_failed_image_is_known_by_its_platforms_digest_too() -> None:
    index = tag("1.4.2", manifests=frozenset({digest("arm64")}))
    assert chosen(choose([index], "1.4.1", memory=remembered("arm64"))) == "Refused/FailedBefore"


def test_what_failed_in_one_workload_is_not_tried_in_the_next() -> None:
    memory = Failures((failed("1.4.2", container=CART),))
    assert chosen(choose(["1.4.2"], "1.4.1", memory=memory, containers=[WEB])) == "Refused/FailedBefore"


def broken(rollbacks: int) -> Choice:
    memory = Failures((), (Streak(WEB, rollbacks),))
    return choose(["1.4.2"], "1.4.1", memory=memory)


def test_after_three_rollbacks_in_a_row_a_person_has_to_look() -> None:
    assert chosen(broken(2)) == "1.4.2"
    found = broken(3)
    assert (found.verdict, found.reason) == (Verdict.REFUSED, "CircuitOpen")
    assert found.message == (
        "ghcr.io/acme/api:1.4.2 is not tried, because the last 3 updates were all rolled back; "
        "set the annotation patchwright.dev/retry to try again"
    )
    assert why(found) == {"1.4.2": "is not tried, because updates were rolled back one after another"}


def test_the_rollbacks_of_others_do_not_count_and_nothing_to_do_is_still_told() -> None:
    memory = Failures((), (Streak(WEB, 3),))
    assert chosen(choose(["1.4.2"], "1.4.1", memory=memory, containers=[CART])) == "1.4.2"
    assert chosen(choose(["1.4.2"], "1.4.2", memory=memory)) == "UpToDate/UpToDate"


@pytest.mark.parametrize("policy", [semver(), alphabetical(), numerical(pattern=r"\d$", extract="$0")])
def test_an_empty_repository_changes_nothing(policy: ImagePolicy) -> None:
    assert choose([], "1.4.1", policy).verdict is Verdict.UP_TO_DATE
