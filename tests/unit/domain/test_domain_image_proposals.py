"""What a policy proposes next, what it waits for, and the one sentence that it says of each image."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from patchwright.domain.images import failures, naming, proposals, uses
from patchwright.domain.images.facts import Running, TagFacts
from patchwright.domain.images.proposals import Proposal, Trouble
from patchwright.domain.images.urgency import Report, Severity, Vulnerability
from patchwright.domain.model import Canary, ImagePin, Quantity, Rollback, Strategy, Trigger
from patchwright.domain.state import Phase
from patchwright.domain.workloads import images as workload_images
from patchwright.domain.workloads.view import ImageField, Kept
from support import image_builders
from support.builders import NOW, ago
from support.image_builders import OLD, REPOSITORY, pod
from support.images import digest, semver, tag
from support.images import following as following_digest
from support.look_builders import (
    failed,
    followed,
    following,
    look_ahead,
    past,
    pin,
    propose,
    proposed,
    scan,
    sight,
    told,
    usage,
    workload,
)

UPDATE = f"{REPOSITORY}:1.1.0 replaces 1.0.0"


def test_a_newer_tag_is_proposed_pinned_in_place_of_what_it_is_newer_than() -> None:
    found = propose(["1.0.0", "1.1.0"], workload("1.0.0"), workload("1.0.0", "api"))
    assert proposed(found) == Proposal(
        f"web-1.1.0-{past('1.1.0', Phase.PENDING).change_id[:8]}",
        pin("1.1.0", "1.0.0"),
        released_at=tag("1.1.0").first_seen,
        unasked=(f"{REPOSITORY}@{digest('1.0.0')}",),
        change_id=past("1.1.0", Phase.PENDING).change_id,
    )
    [state] = found.images
    assert (state.verdict, state.reason) == ("Update", "Newer")
    assert state.message == f"{UPDATE}: proposes rollout {proposed(found).name}"
    assert (state.tag, state.digest, state.scanned_at, state.tags) == ("1.1.0", digest("1.1.0"), NOW, 2)


def test_nothing_is_proposed_while_there_is_nothing_newer() -> None:
    found = propose(["1.0.0"], workload("1.0.0"))
    assert found.proposal is None
    assert told(found) == ("UpToDate", "UpToDate", f"{REPOSITORY}:1.0.0 is the newest")


def test_every_version_that_it_is_newer_than_is_replaced_and_no_other() -> None:
    made = [workload(version, version) for version in ("1.0.0", "1.0.1", "1.0.1", "2.0.0")]
    policy = following(followed(semver("1.x")))
    found = propose(["1.0.0", "1.0.1", "1.1.0", "2.0.0"], *made, policy=policy)
    assert proposed(found).pin == pin("1.1.0", "1.0.0", "1.0.1")
    assert " and 1 more of its versions: proposes rollout" in found.images[0].message


def test_of_two_variants_the_one_that_more_workloads_wait_for_comes_first() -> None:
    tags = ["1.0.0", "1.0.0-alpine", "1.1.0", "1.1.0-alpine"]
    made = [workload("1.0.0", "a"), workload("1.0.0-alpine", "b"), workload("1.0.0-alpine", "c")]
    found = propose(tags, *made, policy=following(followed(semver(">=1.0.0-0"))))
    assert proposed(found).pin == pin("1.1.0-alpine", "1.0.0-alpine")
    ended = past("1.1.0-alpine", Phase.SUCCEEDED)
    after = propose(tags, made[0], policy=following(followed(semver(">=1.0.0-0"))), past=(ended,))
    assert proposed(after).pin == pin("1.1.0", "1.0.0")


def test_what_runs_by_digest_alone_is_replaced_by_digest() -> None:
    made = image_builders.workload().image(f"{REPOSITORY}@{digest('1.0.0')}")
    assert proposed(propose(["1.0.0", "1.1.0"], made)).pin == pin("1.1.0", digest("1.0.0"))


def test_what_runs_without_tag_and_digest_is_latest() -> None:
    made = (
        image_builders.workload().image(REPOSITORY).pods(pod(image=REPOSITORY, digests={"containers/web": digest("a")}))
    )
    policy = following(followed(following_digest()))
    assert proposed(propose([tag("latest", "b")], made, policy=policy)).pin == replace(
        pin("latest", "latest"), digest=digest("b")
    )


def test_a_text_that_is_no_image_has_no_tag() -> None:
    assert workload_images.tag_of("not an image") == ""


def test_of_what_is_unknown_nothing_is_named_as_replaced() -> None:
    made = image_builders.workload().image("not an image")
    assert uses.of([made.view], [followed()])[0].uses == ()


def test_what_could_not_be_created_is_not_said_to_be() -> None:
    found = look_ahead(sight(scan("1.0.0", "1.1.0"), workload("1.0.0")), other("1.0.0"))
    name = proposed(found).name
    after = proposals.not_created(found, "Forbidden", "no")
    assert after.proposal is None
    assert told(after) == ("Wait", "Forbidden", f"{UPDATE}: proposes rollout {name}, which could not be created: no")
    assert after.images[1] == found.images[1]


# --- what is waited for -----------------------------------------------------------------------------------------------


def test_an_image_that_nothing_runs_is_named() -> None:
    found = look_ahead(sight(scan("1.0.0")))
    assert told(found)[:2] == ("UpToDate", "NotUsed")
    assert f"no selected workload runs {REPOSITORY}" in told(found)[2]


def test_before_the_first_look_and_after_one_that_failed_nothing_is_concluded() -> None:
    first = look_ahead(sight(None, workload("1.0.0")))
    assert told(first) == ("Wait", "NotScanned", f"the registry of {REPOSITORY} is looked at first")
    trouble = Trouble("RegistryUnavailable", "Registry ghcr.io does not answer", ago(-60))
    found = look_ahead(sight(scan("1.0.0", "1.1.0"), workload("1.0.0"), trouble=trouble))
    assert told(found) == ("Wait", "RegistryUnavailable", "Registry ghcr.io does not answer")
    assert (found.proposal, found.wake, found.troubles) == (None, ago(-60), (trouble,))


def test_the_time_at_which_an_image_is_old_enough_is_when_to_look_again() -> None:
    young = tag("1.1.0", hours=1)
    found = propose(["1.0.0", young], workload("1.0.0"), policy=following(followed(semver(hours=3))))
    assert found.wake == ago(-2 * 3600)
    assert told(found)[:2] == ("Wait", "TooYoung")


def test_of_several_versions_what_somebody_has_to_do_is_told_first() -> None:
    tags: list[str | TagFacts] = ["1.0.0", tag("1.1.0", flapping=True)]
    found = propose(tags, workload("1.0.0"), workload("9.0.0", "api"), policy=following(followed(semver("1.x"))))
    assert told(found)[:2] == ("Refused", "WouldDowngrade")


def test_a_manual_policy_says_what_it_would_do() -> None:
    found = propose(["1.0.0", "1.1.0"], workload("1.0.0"), policy=following(trigger=Trigger.MANUAL))
    assert found.proposal is None
    assert told(found) == (
        "Update",
        "Manual",
        f"{UPDATE}; trigger is Manual: create a PatchRollout of it, or set trigger: Automatic",
    )


def test_a_policy_that_proposes_in_git_has_a_proposal_too() -> None:
    found = propose(["1.0.0", "1.1.0"], workload("1.0.0"), policy=following(trigger=Trigger.PULL_REQUEST))
    assert proposed(found).pin.tag == "1.1.0"


def test_a_suspended_policy_proposes_nothing() -> None:
    found = propose(["1.0.0", "1.1.0"], workload("1.0.0"), policy=following(suspend=True))
    assert told(found) == ("Refused", "Suspended", f"{UPDATE}, but the policy is suspended")


@pytest.mark.parametrize(
    ("changes", "verdict", "reason", "words"),
    [
        ({"paused": True}, "Wait", "TargetPaused", "Deployment shop/web: its rollouts are paused by spec.paused"),
        ({"gitops": "Flux"}, "Refused", "OwnershipConflict", "Flux applies it from Git"),
        ({"replicas": 0, "present": 0, "updated": 0, "available_pods": 0}, "Wait", "NoEvidence", "it runs no pods"),
    ],
)
def test_nothing_is_proposed_that_could_touch_no_workload(
    changes: dict[str, Any], verdict: str, reason: str, words: str
) -> None:
    found = propose(["1.0.0", "1.1.0"], workload("1.0.0", **changes))
    assert told(found)[:2] == (verdict, reason)
    assert words in told(found)[2]


def test_one_workload_that_can_begin_is_enough() -> None:
    assert propose(["1.0.0", "1.1.0"], workload("1.0.0", paused=True), workload("1.0.0", "api")).proposal is not None


def test_what_may_pass_is_told_before_what_will_not() -> None:
    found = propose(["1.0.0", "1.1.0"], workload("1.0.0", gitops="Flux"), workload("1.0.0", "api", paused=True))
    assert told(found)[:2] == ("Wait", "TargetPaused")


def test_without_a_canary_workloads_without_pods_are_enough() -> None:
    policy = following(strategy=Strategy(Canary(Quantity(0))))
    assert propose(["1.0.0", "1.1.0"], workload("1.0.0").scaled(0), policy=policy).proposal is not None


def test_a_workload_whose_template_has_the_image_already_is_waited_for() -> None:
    # Its template is not pinned, and its pods still show what they ran before.
    made = image_builders.workload().image(f"{REPOSITORY}:1.0.0").pods(pod(image=f"{REPOSITORY}:1.0.0"))
    view = replace(made.view, images=(ImageField("containers", 0, "web", f"{REPOSITORY}:1.0.0@{digest('1.1.0')}"),))
    found = propose(["1.0.0", tag("1.1.0")], image_builders.WorkloadBuilder(view))
    assert found.proposal is None
    assert told(found)[:2] == ("UpToDate", "UpToDate")


# --- one at a time ----------------------------------------------------------------------------------------------------


def other(*tags: str, runs: str = "1.0.0", name: str = "cart", image: str = "ghcr.io/acme/cart") -> proposals.Sight:
    made = image_builders.workload(name).image(f"{image}:{runs}@{digest(runs)}")
    [found] = uses.of([made.view], [followed(name=image)])
    return proposals.Sight(found, replace(scan(*tags), image=image))


def test_one_image_is_one_rollout_and_the_others_wait() -> None:
    found = look_ahead(sight(scan("1.0.0", "1.1.0"), workload("1.0.0")), other("1.0.0", "1.2.0"))
    assert proposed(found).pin.image == "ghcr.io/acme/cart"
    assert told(found) == ("Wait", "OtherFirst", f"{UPDATE}, but cart:1.2.0 comes first")


def report(made: str, severity: Severity, *, image: str = REPOSITORY) -> Report:
    container = uses.Use(image_builders.workload(made).view, ImageField("containers", 0, "web", "x")).container
    found = Vulnerability(f"CVE-{made}", severity, package="ssl", fixed_version="2")
    return Report(container, image, "1.0.0", digest("1.0.0"), NOW, (found,))


def test_the_most_urgent_comes_first_and_says_what_it_answers() -> None:
    sights = sight(scan("1.0.0", "1.1.0"), workload("1.0.0")), other("1.0.0", "1.2.0")
    reports = report("web", Severity.CRITICAL), report("cart", Severity.LOW, image="ghcr.io/acme/cart")
    found = look_ahead(*sights, reports=reports)
    assert proposed(found).pin.image == REPOSITORY
    assert proposed(found).advisories == ("CVE-web",)


def test_an_open_rollout_of_another_image_is_waited_for() -> None:
    open_one = replace(past("1.2.0", Phase.CANARY), pins=(ImagePin("ghcr.io/acme/cart", digest("1.2.0"), tag="1.2.0"),))
    found = propose(["1.0.0", "1.1.0"], workload("1.0.0"), past=(replace(open_one, change_id="x"),))
    assert told(found) == ("Wait", "RolloutOpen", f"{UPDATE}, but rollout web-1.2.0 is at work")


def test_its_own_rollout_at_work_is_named() -> None:
    found = propose(["1.0.0", "1.1.0"], workload("1.0.0"), past=(past("1.1.0", Phase.CANARY),))
    assert found.proposal is None
    assert told(found) == ("Update", "Newer", f"{UPDATE}: rollout web-1.1.0 is at work")


def test_something_newer_takes_the_place_of_an_older_one_and_of_what_that_has_done() -> None:
    found = propose(["1.0.0", "1.1.0", "1.2.0"], workload("1.0.0"), past=(past("1.1.0", Phase.SOAKING),))
    assert proposed(found).pin == pin("1.2.0", "1.1.0", "1.0.0")


@pytest.mark.parametrize(
    "changes", [{"ours": False}, {"held": True}, {"ending": True}, {"phase": Phase.ROLLING_BACK}], ids=str
)
def test_what_a_person_has_made_or_held_and_what_ends_keeps_its_place(changes: dict[str, Any]) -> None:
    open_one = replace(past("1.1.0", Phase.SOAKING), **changes)
    found = propose(["1.0.0", "1.1.0", "1.2.0"], workload("1.0.0"), past=(open_one,))
    assert told(found)[:2] == ("Wait", "RolloutOpen")


def test_an_older_tag_takes_nobodys_place_when_a_newer_one_is_gone() -> None:
    found = propose(["1.0.0", "1.1.0"], workload("1.0.0"), past=(past("1.2.0", Phase.SOAKING),))
    assert told(found)[:2] == ("Wait", "RolloutOpen")


# --- what failed ------------------------------------------------------------------------------------------------------


def test_what_failed_is_not_proposed_again_whatever_its_tag() -> None:
    tags: list[str | TagFacts] = ["1.0.0", "1.1.0", tag("1.1.1", "1.1.0")]
    found = propose(tags, workload("1.0.0"), failed=(failed("1.1.0"),))
    assert told(found)[:2] == ("Refused", "FailedBefore")
    assert "1.1.1 failed in rollout ops/web-1.1.0" in told(found)[2]


def test_the_next_older_one_may_be_proposed_meanwhile() -> None:
    found = propose(["1.0.0", "1.1.0", "1.2.0"], workload("1.0.0"), failed=(failed("1.2.0"), failed("x")))
    assert proposed(found).pin.tag == "1.1.0"


def test_of_an_image_that_nothing_runs_nothing_is_remembered() -> None:
    assert proposals.remembered(usage(), scan("1.1.0"), [failed("1.1.0")]) == failures.NONE


@pytest.mark.parametrize("phase", [Phase.ROLLED_BACK, Phase.FAILED, Phase.DENIED])
def test_a_change_that_did_not_go_well_comes_again_only_when_a_person_says_so(phase: Phase) -> None:
    ended = past("1.1.0", phase, hours=2)
    found = propose(["1.0.0", "1.1.0"], workload("1.0.0"), past=(ended,), retried_at=ago(3 * 3600))
    assert told(found)[:2] == ("Refused", f"Was{phase.value}")
    assert f"rollout web-1.1.0 ended as {phase.value}; set the annotation patchwright.dev/retry" in told(found)[2]
    name = propose(["1.0.0", "1.1.0"], workload("1.0.0")).proposal
    assert name is not None
    again = propose(
        ["1.0.0", "1.1.0"], workload("1.0.0"), past=(ended,), retried_at=ago(3600), taken=frozenset({name.name})
    )
    assert proposed(again).name == f"{name.name}-2"


@pytest.mark.parametrize("phase", [Phase.SUCCEEDED, Phase.SUPERSEDED])
def test_a_change_that_went_well_or_gave_way_may_come_again_for_who_still_waits(phase: Phase) -> None:
    assert propose(["1.0.0", "1.1.0"], workload("1.0.0"), past=(past("1.1.0", phase),)).proposal is not None


def test_three_failures_in_a_row_stop_everything_until_a_person_says_retry() -> None:
    three = tuple(failed(f"1.{minor}.0", hours=minor) for minor in (2, 3, 4))
    found = propose(["1.0.0", "1.9.0"], workload("1.0.0"), failed=three)
    assert told(found)[:2] == ("Refused", "CircuitOpen")
    assert "but the last 3 rollouts failed, ops/web-1.2.0 at" in told(found)[2]
    assert propose(["1.0.0", "1.9.0"], workload("1.0.0"), failed=three[:2]).proposal is not None
    assert propose(["1.0.0", "1.9.0"], workload("1.0.0"), failed=three, retried_at=ago(2.5 * 3600)).proposal is not None


def test_a_success_between_them_breaks_the_row() -> None:
    three = tuple(failed(f"1.{minor}.0", hours=minor) for minor in (2, 3, 4))
    went_well = past("1.1.0", Phase.SUCCEEDED, hours=2.5)
    assert propose(["1.0.0", "1.9.0"], workload("1.0.0"), failed=three, past=(went_well,)).proposal is not None


# --- what could not come back -----------------------------------------------------------------------------------------


def test_what_runs_is_asked_for_before_anything_is_proposed_for_good() -> None:
    found = propose(["1.0.0", "1.1.0"], workload("1.0.0"), workload("1.0.0", "api"))
    assert proposed(found).unasked == (f"{REPOSITORY}@{digest('1.0.0')}",)


@pytest.mark.parametrize(("there", "reason"), [(True, ""), (False, "ImageGone"), (None, "RegistryUnavailable")])
def test_nothing_is_proposed_that_could_not_be_put_back(there: bool | None, reason: str) -> None:
    image = f"{REPOSITORY}@{digest('1.0.0')}"
    kept = {image: Kept(ago(1), there, "RegistryUnavailable", "it does not answer")}
    found = propose(["1.0.0", "1.1.0"], workload("1.0.0", kept=kept))
    if there:
        assert proposed(found).unasked == ()
    else:
        assert told(found)[:2] == ("Wait", reason)
        assert image in told(found)[2]


def test_without_rollback_nothing_has_to_be_there() -> None:
    policy = following(rollback=Rollback(enabled=False))
    assert proposed(propose(["1.0.0", "1.1.0"], workload("1.0.0"), policy=policy)).unasked == ()


# --- what is remembered is bounded ------------------------------------------------------------------------------------


def test_the_limit_of_what_is_remembered_is_told() -> None:
    found = look_ahead(sight(scan("1.0.0"), workload("1.0.0"), forgotten=3))
    assert told(found)[2].endswith("; only the 1 tags seen last are remembered")


def test_as_many_versions_are_replaced_as_there_is_room_for() -> None:
    made = [workload(f"1.0.{number}", f"web-{number}") for number in range(40)]
    tags = [*(f"1.0.{number}" for number in range(40)), "1.1.0"]
    assert len(proposed(propose(tags, *made)).pin.replaces) == proposals.REPLACED_KEPT


def test_of_what_went_well_the_latest_ten_are_kept_and_all_that_did_not() -> None:
    well = [past(f"1.{n}.0", Phase.SUCCEEDED if n % 2 else Phase.SUPERSEDED, hours=100 - n) for n in range(12)]
    badly = [past(f"2.{n}.0", phase, hours=200) for n, phase in enumerate((Phase.ROLLED_BACK, Phase.DENIED))]
    theirs = past("3.0.0", Phase.SUCCEEDED, hours=300, ours=False)
    going = past("4.0.0", Phase.SUCCEEDED, hours=300, held=True)
    found = proposals.outlived([*badly, theirs, going, past("5.0.0", Phase.CANARY), *well])
    assert [one.name for one in found] == ["web-1.0.0", "web-1.1.0"]
    assert proposals.outlived(well[:10]) == ()


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "tag_", "wanted"),
    [
        ("web", "1.4.2", "web-1.4.2-01234567"),
        ("web", "RELEASE_2026-01-02T03-04", "web-release-2026-01-02t03-04-01234567"),
        ("web", "1.4-_.-2--x", "web-1.4.2-x-01234567"),
        ("web", "___", "web-01234567"),
        ("web", "a" * 60, f"web-{'a' * 40}-01234567"),
        ("web", f"{'a' * 39}.b", f"web-{'a' * 39}-01234567"),
    ],
)
def test_a_name_is_the_policys_the_tag_and_the_identity(name: str, tag_: str, wanted: str) -> None:
    assert naming.rollout(name, tag_, "0123456789abcdef", taken=()) == wanted


def test_a_name_that_is_taken_gets_the_next_number() -> None:
    taken = {"web-1-01234567", "web-1-01234567-2"}
    assert naming.rollout("web", "1", "0123456789abcdef", taken=taken) == "web-1-01234567-3"


# --- where images run -------------------------------------------------------------------------------------------------


def test_every_repository_below_a_prefix_is_followed_by_itself_and_the_nearest_entry_counts() -> None:
    entries = (followed(name="ghcr.io/*"), followed(name="ghcr.io/acme/*"), followed(name="ghcr.io/acme/web"))
    views = [image_builders.workload(n).image(i).view for n, i in (("a", "ghcr.io/x"), ("b", "ghcr.io/acme/y:1"))]
    found = uses.of([*views, workload("1.0.0").view], entries)
    assert [(each.image, each.followed.name, len(each.uses)) for each in found] == [
        ("ghcr.io/acme/web", "ghcr.io/acme/web", 1),
        ("ghcr.io/acme/y", "ghcr.io/acme/*", 1),
        ("ghcr.io/x", "ghcr.io/*", 1),
    ]


def test_an_image_is_called_what_the_policy_calls_it() -> None:
    made = image_builders.workload().image("docker.io/library/nginx:1")
    [found] = uses.of([made.view], [followed(name="nginx")])
    assert found.image == "nginx"


def test_what_registries_said_goes_with_every_place() -> None:
    kept = {"x": Kept(NOW, there=True)}
    found = uses.with_kept(usage(workload("1.0.0"), workload("1.0.0", "api")), kept)
    assert [use.view.kept for use in found.uses] == [kept, kept]


def test_only_pods_can_tell_what_runs_where_it_is_not_pinned() -> None:
    plain, pinned = image_builders.workload(), workload("1.0.0", "api")
    asleep = image_builders.workload("asleep").scaled(0)
    found = uses.of([plain.view, pinned.view, asleep.view], [followed()])
    assert uses.unknown(found) == {plain.view.uid: plain.view}
    [seen] = uses.of([plain.pods(pod(image=plain.view.images[0].image)).view], [followed()])
    assert seen.running == (Running("1.0", OLD),)
