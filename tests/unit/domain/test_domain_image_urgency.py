"""Which update is urgent, by what trivy-operator reports and by what it does not."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from patchwright.domain.images import urgency
from patchwright.domain.images.choice import Candidate
from patchwright.domain.images.facts import Container, Running
from patchwright.domain.images.urgency import Pertinence, Report, Severity, Update, Urgency, Vulnerability
from support.builders import NOW, ago
from support.images import CART, IMAGE, WEB, digest, running

CRITICAL, HIGH, LOW = Severity.CRITICAL, Severity.HIGH, Severity.LOW
NEXT = Candidate(IMAGE, "1.4.2", digest("1.4.2"))


def found(
    name: str, severity: Severity = HIGH, *, fixed: str = "3.0.17", score: float | None = None, days: float | None = 9
) -> Vulnerability:
    published = None if days is None else ago(days * 86_400)
    return Vulnerability(name, severity, "libssl3", fixed, score, published)


def report(
    image: str, *findings: Vulnerability, container: Container = WEB, at: datetime = NOW, by_tag: bool = False
) -> Report:
    return Report(container, IMAGE, image, "" if by_tag else digest(image), at, findings)


def update(container: Container = WEB, runs: Running | None = None, candidate: Candidate = NEXT) -> Update:
    return Update(container, runs or running("1.4.1"), candidate)


def only(*reports: Report, of: Update | None = None, exploited: tuple[str, ...] = ()) -> Urgency:
    [it] = urgency.rank([of or update()], reports, exploited=exploited)
    return it


# --- one container ----------------------------------------------------------------------------------------------------


def test_a_candidate_fixes_what_its_own_report_no_longer_lists() -> None:
    before = report("1.4.1", found("CVE-1", CRITICAL), found("CVE-2"), found("CVE-3", LOW))
    it = only(before, report("1.4.2", found("CVE-3", LOW), container=CART))
    assert it.pertinence is Pertinence.FIXES
    assert it.fixed == ("CVE-1", "CVE-2")
    assert it.message == ("Deployment shop/web (container web): 1.4.2 fixes CVE-1 (critical) and 1 more; 1 low left")


def test_reports_of_a_rollout_are_found_though_they_name_its_replica_set() -> None:
    it = only(report("1.4.1", found("CVE-2")), of=update(replace(WEB, kind="Rollout")))
    assert it.pertinence is Pertinence.MAY_FIX
    assert it.message.startswith("Rollout shop/web (container web): packages have fixes for CVE-2")


def test_without_a_report_of_the_candidate_it_may_fix_what_packages_have_fixed() -> None:
    it = only(report("1.4.1", found("CVE-1", CRITICAL, fixed=""), found("CVE-2")))
    assert it.pertinence is Pertinence.MAY_FIX
    assert it.fixed == ("CVE-2",)
    assert it.message == (
        "Deployment shop/web (container web): packages have fixes for CVE-2 (high); "
        "1.4.2 has no report that it has them"
    )


@pytest.mark.parametrize(
    "others",
    [
        (),
        (report("1.4.0", found("CVE-1")),),
        (report("1.4.1", found("CVE-1"), container=CART),),
        (report("1.4.2"),),
    ],
)
def test_without_a_report_of_what_runs_nothing_is_known_and_that_is_not_clean(others: tuple[Report, ...]) -> None:
    it = only(*others)
    assert it.pertinence is Pertinence.UNKNOWN
    assert it.message == (
        "Deployment shop/web (container web): no report says what 1.4.1 is vulnerable to; "
        "see whether trivy-operator scans it"
    )


def test_a_report_without_findings_leaves_nothing_to_fix() -> None:
    it = only(report("1.4.1"))
    assert it.pertinence is Pertinence.NOTHING
    assert it.message == "Deployment shop/web (container web): the report of 1.4.1 lists no vulnerability"


def test_what_no_package_has_fixed_is_no_reason_to_hurry() -> None:
    it = only(report("1.4.1", found("CVE-1", fixed=""), found("CVE-2", fixed="")))
    assert it.pertinence is Pertinence.NOTHING
    assert it.message.endswith("no package has a fix for any of the 2 vulnerabilities of 1.4.1; 1.4.2 has no report")


@pytest.mark.parametrize(
    ("after", "words"),
    [
        ((found("CVE-1"), found("CVE-2")), "2 high instead of 2 high"),
        ((found("CVE-3"), found("CVE-4")), "2 high instead of 2 high"),
        ((found("CVE-1"), found("CVE-9", CRITICAL)), "1 critical, 1 high instead of 2 high"),
        ((found("CVE-1"), found("CVE-2"), found("CVE-5", LOW)), "2 high, 1 low instead of 2 high"),
        # Somebody judged them anew between the two scans: that fixes nothing.
        ((found("CVE-1", LOW), found("CVE-2", LOW)), "2 low instead of 2 high"),
    ],
)
def test_a_candidate_that_is_no_better_is_called_so(after: tuple[Vulnerability, ...], words: str) -> None:
    it = only(report("1.4.1", found("CVE-1"), found("CVE-2")), report("1.4.2", *after))
    assert it.pertinence is Pertinence.NOT_BETTER
    assert it.fixed == ()
    assert it.message == f"Deployment shop/web (container web): 1.4.2 is no better than 1.4.1: {words}"


def test_what_is_exploited_weighs_more_than_any_severity() -> None:
    before, after = report("1.4.1", found("CVE-1", LOW)), report("1.4.2", found("CVE-2", CRITICAL))
    assert only(before, after).pertinence is Pertinence.NOT_BETTER
    it = only(before, after, exploited=("CVE-1",))
    assert it.pertinence is Pertinence.FIXES
    assert it.exploited
    assert it.message.endswith("1.4.2 fixes CVE-1 (low, exploited); 1 critical left")
    it = only(report("1.4.1", found("CVE-2", CRITICAL)), report("1.4.2", found("CVE-1", LOW)), exploited=("CVE-1",))
    assert it.pertinence is Pertinence.NOT_BETTER
    assert it.message.endswith("1.4.2 is no better than 1.4.1: 1 exploited, 1 low instead of 1 critical")


def test_one_finding_in_two_packages_counts_twice_and_is_named_once() -> None:
    twice = (found("CVE-1"), Vulnerability("CVE-1", HIGH, "openssl", "3.0.17"))
    it = only(report("1.4.1", *twice, found("CVE-1")), report("1.4.2"))
    assert it.fixed == ("CVE-1",)
    assert it.message.endswith("1.4.2 fixes CVE-1 (high); none left")
    half = only(report("1.4.1", *twice), report("1.4.2", found("CVE-1")))
    assert half.message.endswith("1.4.2 fixes CVE-1 (high); 1 high left")


def test_only_so_many_advisories_are_named() -> None:
    many = [found(f"CVE-{number:03}", days=None) for number in range(200)]
    it = only(report("1.4.1", *many), report("1.4.2"))
    assert len(it.fixed) == urgency.FIXED_KEPT
    assert it.fixed[0] == "CVE-000"


# --- which report is about which image --------------------------------------------------------------------------------


def test_a_report_of_an_earlier_image_under_the_same_tag_is_none_of_this_one() -> None:
    stale = Report(WEB, IMAGE, "latest", digest("old"), NOW, (found("CVE-1"),))
    assert only(stale, of=update(runs=running("latest", "new"))).pertinence is Pertinence.UNKNOWN


def test_the_tag_counts_where_there_is_no_digest_to_compare() -> None:
    assert only(report("1.4.1", found("CVE-1"), by_tag=True)).pertinence is Pertinence.MAY_FIX
    unknown = update(runs=running("1.4.1", ""))
    assert only(report("1.4.1", found("CVE-1")), of=unknown).pertinence is Pertinence.MAY_FIX
    other = Report(WEB, "ghcr.io/acme/other", "1.4.1", "", NOW, (found("CVE-1"),))
    assert only(other).pertinence is Pertinence.UNKNOWN
    assert only(Report(WEB, IMAGE, "", "", NOW), of=update(runs=Running("", ""))).pertinence is Pertinence.UNKNOWN


def test_a_report_by_a_platforms_digest_is_about_its_index() -> None:
    of = Update(WEB, running("1.4.1"), NEXT, same=frozenset({digest("arm64 of 1.4.1")}))
    arm = Report(WEB, IMAGE, "1.4.1", digest("arm64 of 1.4.1"), NOW, (found("CVE-1"),))
    assert only(arm, of=of).pertinence is Pertinence.MAY_FIX
    candidate = Candidate(IMAGE, "1.4.2", digest("1.4.2"), manifests=frozenset({digest("arm64 of 1.4.2")}))
    after = Report(CART, IMAGE, "1.4.2", digest("arm64 of 1.4.2"), NOW)
    of = Update(WEB, running("1.4.1"), candidate, same=of.same)
    assert only(arm, after, of=of).pertinence is Pertinence.FIXES


def test_the_latest_report_counts() -> None:
    old, new = report("1.4.1", found("CVE-1"), at=ago(60)), report("1.4.1", found("CVE-2"), at=NOW)
    assert only(old, new).fixed == ("CVE-2",)
    assert only(new, old).fixed == ("CVE-2",)


# --- the order --------------------------------------------------------------------------------------------------------


def named(name: str) -> Container:
    return Container("Deployment", "shop", name, "main")


def test_the_most_urgent_comes_first() -> None:
    reports, updates = [], []
    wanted: list[tuple[str, list[Vulnerability]]] = [
        ("exploited", [found("KEV-1", LOW, days=1)]),
        ("critical-and-certain", [found("CVE-1", CRITICAL, score=9.8, days=50)]),
        ("critical-and-likely", [found("CVE-1", CRITICAL, score=9.8, days=50)]),
        ("critical-but-newer", [found("CVE-2", CRITICAL, score=9.8, days=2)]),
        ("critical-of-unknown-age", [found("CVE-3", CRITICAL, score=9.8, days=None)]),
        ("critical-with-lower-score", [found("CVE-4", CRITICAL, score=9.1)]),
        ("critical-without-score", [found("CVE-5", CRITICAL)]),
        ("high", [found("CVE-6"), found("CVE-7", LOW)]),
        ("low", [found("CVE-8", LOW)]),
        ("unknown", []),
        ("worse", [found("CVE-9", CRITICAL)]),
        ("clean", []),
        ("clean-too", []),
    ]
    for name, findings in wanted:
        candidate = Candidate(IMAGE, name, digest(f"{name}, next"))
        updates.append(Update(named(name), running(name), candidate))
        if name != "unknown":
            reports.append(report(name, *findings, container=named(name)))
        if name == "worse":
            reports.append(Report(CART, IMAGE, name, candidate.digest, NOW, (*findings, found("CVE-10"))))
        if name == "critical-and-certain":
            reports.append(Report(CART, IMAGE, name, candidate.digest, NOW))
    ranked = urgency.rank(reversed(updates), reports, exploited=("KEV-1",))
    assert [it.update.container.workload for it in ranked] == [name for name, _ in wanted]
    # Without the list of what is exploited the rest of the order stands.
    ranked = urgency.rank(updates, reports)
    names = [name for name, _ in wanted if name != "exploited"]
    assert [it.update.container.workload for it in ranked if it.update.container.workload != "exploited"] == names
