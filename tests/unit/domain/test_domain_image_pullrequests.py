"""A proposal that people decide on: what it is called, what it says, and what becomes of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from patchwright.domain.images import pullrequests
from patchwright.domain.images.proposals import Outlook, Proposal
from patchwright.domain.images.pullrequests import Answer
from patchwright.domain.model import ImagePin, Key, Trigger
from patchwright.domain.state import Phase
from patchwright.domain.writeback.proposals import ProposalState, PullRequest
from support.look_builders import following, past, pin, propose, told, workload

POLICY = Key("shop", "web")
URL = "https://git.example/acme/fleet/pulls/7"
UPDATE = "ghcr.io/acme/web:1.1.0 replaces 1.0.0"
PROPOSAL = Proposal("web-1.1.0-c0ffee00", pin("1.1.0", "1.0.0"))


def of(image: str) -> Proposal:
    return replace(PROPOSAL, pin=ImagePin(image, PROPOSAL.pin.digest, tag="1.1.0"))


def outlook() -> Outlook:
    return propose(["1.0.0", "1.1.0"], workload("1.0.0"), policy=following(trigger=Trigger.PULL_REQUEST))


def answer(state: ProposalState) -> Answer:
    return Answer(PullRequest(7, URL, state), "fleet")


def test_the_same_proposal_has_the_same_branch_and_each_image_its_own_family() -> None:
    assert pullrequests.branch(POLICY, PROPOSAL) == "patchwright/shop/web/ghcr-io-acme-web/web-1.1.0-c0ffee00"
    families = {
        pullrequests.family(POLICY, of(image)) for image in ("nginx", "acme/nginx", "127.0.0.1:5000/a/b_c.lock")
    }
    assert families == {
        "patchwright/shop/web/docker-io-library-nginx/",
        "patchwright/shop/web/docker-io-acme-nginx/",
        "patchwright/shop/web/127-0-0-1-5000-a-b-c-lock/",
    }
    assert pullrequests.branch(replace(POLICY, namespace="other"), PROPOSAL) != pullrequests.branch(POLICY, PROPOSAL)


@pytest.mark.parametrize(
    ("below", "folder", "file"),
    [
        ("", "rollouts", "rollouts/web-1.1.0-c0ffee00.yaml"),
        ("./clusters/prod/", "./proposed/", "clusters/prod/proposed/web-1.1.0-c0ffee00.yaml"),
        (".", "", "web-1.1.0-c0ffee00.yaml"),
    ],
)
def test_its_file_is_below_what_is_followed(below: str, folder: str, file: str) -> None:
    assert pullrequests.path(below, folder, PROPOSAL) == file


def test_people_read_what_is_proposed_in_place_of_what_and_what_a_merge_means() -> None:
    said = pullrequests.body(POLICY, replace(PROPOSAL, advisories=("CVE-2026-1",)))
    assert pullrequests.title(PROPOSAL) == "Roll out web:1.1.0"
    assert said.splitlines()[0] == f"PatchPolicy web proposes `{PROPOSAL.pin.wanted}` in place of 1.0.0."
    assert "Merged, it is rolled out as the policy says, canary first. Closed, it is not proposed again." in said
    assert said.endswith("It answers CVE-2026-1.")
    assert "in place of any other." in pullrequests.body(POLICY, of("nginx"))
    assert pullrequests.message(POLICY, PROPOSAL) == (
        "Roll out web:1.1.0\n\nPatchwright-Proposal: shop/web/web-1.1.0-c0ffee00\n"
    )


def test_what_waits_for_people_and_what_they_have_merged_is_proposed_no_more_and_told() -> None:
    name = past("1.1.0", Phase.PENDING).change_id[:8]
    before = f"{UPDATE}: proposes rollout web-1.1.0-{name}, which"
    found = pullrequests.told(outlook(), answer(ProposalState.OPEN))
    assert found.proposal is None
    assert told(found) == ("Wait", "AwaitingMerge", f"{before} waits until somebody merges pull request {URL}")
    merged = told(pullrequests.told(outlook(), answer(ProposalState.MERGED)))
    late = "PolicyRepository fleet has not applied it yet"
    assert merged == ("Wait", "Merged", f"{before[:-5]}whose pull request {URL} is merged; {late}")
    assert told(pullrequests.told(outlook(), Answer(None, "fleet")))[2] == f"{before} is in Git already; {late}"


def test_only_what_a_person_has_closed_is_declined() -> None:
    assert pullrequests.declined(answer(ProposalState.CLOSED)) == (
        f"pull request {URL} was closed; reopen it, or create a PatchRollout of it"
    )
    assert pullrequests.declined(answer(ProposalState.OPEN)) == ""
    assert pullrequests.declined(Answer(None, "fleet")) == ""


def test_what_people_did_not_want_is_refused_while_it_is_for_them_to_say() -> None:
    policy = following(trigger=Trigger.PULL_REQUEST)
    declined = {past("1.1.0", Phase.PENDING).change_id: "pull request 7 was closed"}
    found = propose(["1.0.0", "1.1.0"], workload("1.0.0"), policy=policy, declined=declined)
    assert found.proposal is None
    assert told(found) == ("Refused", "PullRequestClosed", f"{UPDATE}, but pull request 7 was closed")
    other = propose(["1.0.0", "1.2.0"], workload("1.0.0"), policy=policy, declined=declined)
    assert other.proposal is not None, "another image is another question"
