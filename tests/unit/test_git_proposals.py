"""Proposals in real Git, with a host that answers as GitHub's published API says: asked once, and people decide."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType

import pytest

from patchwright.adapters.forge import ForgeClient
from patchwright.adapters.git import GitWriteBack
from patchwright.adapters.manifests.parse import parse_manifests
from patchwright.api import parse
from patchwright.api.proposals import document
from patchwright.domain.images import pullrequests
from patchwright.domain.images.proposals import Proposal
from patchwright.domain.images.pullrequests import Answer
from patchwright.domain.model import ImagesChange, Key, PatchPolicy, WorkloadTarget
from patchwright.domain.repository import PolicyRepository, RepositoryState
from patchwright.domain.sources import Credentials, GitReference
from patchwright.domain.sync import ObjectKey
from patchwright.domain.writeback.proposals import ProposalState, Provider
from patchwright.domain.writeback.settings import ProposalSettings
from patchwright.errors import WriteBackError
from patchwright.pipeline.pullrequests import GitProposals
from patchwright.sandbox.gitserver import GitServer
from patchwright.source_ports import RepositoryCase
from support import forges
from support.forges import TOKEN, Forge
from support.git_servers import Upstream, git
from support.look_builders import pin

POLICY = PatchPolicy(Key("shop", "web"), "uid-web", 1, WorkloadTarget(("ghcr.io/acme/web",)))
PROPOSAL = Proposal(
    "web-1.1.0-c0ffee00", pin("1.1.0", "1.0.0"), ("CVE-2026-1",), released_at=datetime(2026, 11, 20, tzinfo=UTC)
)
NEWER = replace(PROPOSAL, name="web-1.2.0-decaf000", pin=pin("1.2.0", "1.0.0"))
FAMILY = "patchwright/shop/web/ghcr-io-acme-web"
FILE = "fleet/rollouts/web-1.1.0-c0ffee00.yaml"


class Clock:
    def now(self) -> datetime:
        return datetime.now(UTC)


class Secrets:
    async def credentials(self, key: Key, *, name: str) -> Credentials:
        assert (key, name) == (Key("shop", "robot"), "spec.pullRequest.secretRef.name")
        return Credentials(username="robot", password=TOKEN)


@dataclass
class Repositories:
    """The one that has applied the policy, and one that has not."""

    mine: PolicyRepository
    inventory: tuple[ObjectKey, ...] = (ObjectKey("PatchPolicy", "shop", "web"),)
    secrets: MappingProxyType[str, bytes] = field(default_factory=lambda: MappingProxyType({}))

    def keys(self) -> Sequence[Key]:
        return [Key("other", "fleet"), Key("shop", "empty"), self.mine.key]

    def get(self, key: Key) -> RepositoryCase | None:
        inventory = () if key.name == "empty" else self.inventory
        return RepositoryCase(key, "uid", 1, "1", RepositoryState(inventory=inventory), repository=self.mine)

    async def save(self, case: RepositoryCase, state: RepositoryState) -> None:
        raise AssertionError("a proposal is no news of the repository")

    async def secret(self, key: Key) -> MappingProxyType[str, bytes]:
        raise AssertionError("Secrets are read by who spells them")


@dataclass
class Scene:
    upstream: Upstream
    forge: Forge
    repositories: Repositories
    pull_requests: GitProposals

    async def ask(self, proposal: Proposal = PROPOSAL) -> Answer:
        return await self.pull_requests.ask(POLICY, proposal)

    def branches(self) -> list[str]:
        return git("for-each-ref", "--format=%(refname:short)", "refs/heads", cwd=self.upstream.bare).splitlines()

    def pulls(self) -> list[tuple[str, str]]:
        return [(pull["head"].rpartition("/")[2], pull["state"]) for pull in self.forge.pulls]


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    upstream = Upstream(tmp_path / "srv", name="acme/shop.git")
    upstream.commit({"fleet/policies/web.yaml": "# ours\n", "README.md": "how we patch\n"})
    async with (
        forges.github() as forge,
        GitServer(upstream.root, credentials=("robot", TOKEN)) as server,
        ForgeClient() as client,
    ):
        settings = ProposalSettings(Provider.GITHUB, f"{forge.url}/api/v3", secret="robot")
        mine = PolicyRepository(
            Key("shop", "fleet"), "uid", 1, server.url("acme/shop.git"), GitReference(branch="main"),
            path="./fleet", timeout=timedelta(seconds=20), pull_request=settings,
        )  # fmt: skip
        repositories = Repositories(mine)
        writer = GitWriteBack(tmp_path / "cache")
        found = GitProposals(repositories, writer, client, Secrets(), Clock(), document)
        yield Scene(upstream, forge, repositories, found)


async def test_a_proposal_is_one_branch_with_one_new_file_and_one_pull_request_however_often_it_is_asked(
    scene: Scene,
) -> None:
    before = git("rev-parse", "main", cwd=scene.upstream.bare)
    first = await scene.ask()
    assert first.repository == "fleet"
    assert first.pull is not None
    assert first.pull.state is ProposalState.OPEN
    branch = f"{FAMILY}/{PROPOSAL.name}"
    assert await scene.ask() == first
    assert scene.branches() == ["main", branch]
    assert scene.pulls() == [(PROPOSAL.name, "open")]
    assert git("rev-parse", "main", f"{branch}^", cwd=scene.upstream.bare).splitlines() == [before, before]
    assert git("diff", "--name-status", "main", branch, cwd=scene.upstream.bare) == f"A\t{FILE}"
    assert git("log", "-1", "--format=%an: %B", branch, cwd=scene.upstream.bare) == (
        f"Patchwright: Roll out web:1.1.0\n\n{pullrequests.TRAILER}: shop/web/{PROPOSAL.name}"
    )
    text = git("show", f"{branch}:{FILE}", cwd=scene.upstream.bare)
    assert f"{text}\n".encode() == document(POLICY, PROPOSAL)


def test_its_file_is_a_rollout_of_the_policy_and_belongs_to_git_alone() -> None:
    (found,) = parse_manifests({"a.yaml": document(POLICY, PROPOSAL)}, namespace="shop", validate=parse.validate)
    rollout = parse.parse_rollout(found.document)
    assert (rollout.key, rollout.policy_name) == (Key("shop", PROPOSAL.name), "web")
    assert rollout.change == ImagesChange((PROPOSAL.pin,))
    assert (rollout.advisories, rollout.released_at) == (PROPOSAL.advisories, PROPOSAL.released_at)
    metadata = found.document["metadata"]
    assert isinstance(metadata, dict)
    assert set(metadata) == {"name", "namespace"}, "no owner, and nothing that the policy would delete"


async def test_what_is_merged_or_in_git_already_is_not_asked_for_again(scene: Scene) -> None:
    await scene.ask()
    scene.forge.merged("f" * 40)
    git("update-ref", "-d", f"refs/heads/{FAMILY}/{PROPOSAL.name}", cwd=scene.upstream.bare)
    answer = await scene.ask()
    assert answer.pull is not None
    assert answer.pull.state is ProposalState.MERGED
    assert scene.branches() == ["main"]
    scene.forge.pulls.clear()
    scene.upstream.commit({FILE: "# by hand\n"})
    assert await scene.ask() == Answer(None, "fleet")
    assert (scene.branches(), scene.pulls()) == (["main"], [])


async def test_what_a_person_has_closed_stays_closed(scene: Scene) -> None:
    await scene.ask()
    scene.forge.pulls[0]["state"] = "closed"
    answer = await scene.ask()
    assert "was closed; reopen it" in pullrequests.declined(answer)
    assert scene.pulls() == [(PROPOSAL.name, "closed")]


async def test_a_newer_proposal_closes_what_waits_for_the_same_image_and_nothing_else(scene: Scene) -> None:
    other = replace(PROPOSAL, name="web-9", pin=replace(pin("1.1.0"), image="ghcr.io/acme/api"))
    await scene.ask()
    await scene.ask(other)
    await scene.ask(NEWER)
    assert scene.pulls() == [(PROPOSAL.name, "closed"), ("web-9", "open"), (NEWER.name, "open")]
    await scene.ask(NEWER)
    assert len(scene.pulls()) == 3


async def test_a_crash_between_push_and_pull_request_makes_no_second_commit_and_peoples_commits_stay(
    scene: Scene,
) -> None:
    await scene.ask()
    branch = f"{FAMILY}/{PROPOSAL.name}"
    git("fetch", "--quiet", str(scene.upstream.bare), branch, cwd=scene.upstream.work)
    git("checkout", "--quiet", "FETCH_HEAD", cwd=scene.upstream.work)
    theirs = scene.upstream.commit({FILE: "# edited\n"}, push=False)
    git("push", "--quiet", str(scene.upstream.bare), f"HEAD:refs/heads/{branch}", cwd=scene.upstream.work)
    scene.forge.pulls.clear()
    await scene.ask()
    assert git("rev-parse", branch, cwd=scene.upstream.bare) == theirs
    assert scene.pulls() == [(PROPOSAL.name, "open")]


async def test_a_branch_of_that_name_that_is_somebody_elses_is_left_alone(scene: Scene) -> None:
    git("branch", f"{FAMILY}/{PROPOSAL.name}", "main", cwd=scene.upstream.bare)
    with pytest.raises(WriteBackError, match=f"is there and has no {FILE}; remove the branch") as refused:
        await scene.ask()
    assert (refused.value.reason, scene.pulls()) == ("BranchTaken", [])


async def test_a_policy_that_came_from_nowhere_or_from_where_nothing_is_proposed_is_told_so(scene: Scene) -> None:
    scene.repositories.mine = replace(scene.repositories.mine, pull_request=None)
    with pytest.raises(WriteBackError, match="PolicyRepository fleet, which the policy came from, has no pullRequest"):
        await scene.ask()
    scene.repositories.inventory = ()
    with pytest.raises(WriteBackError, match="no PolicyRepository has applied policy web; put it into one") as refused:
        await scene.ask()
    assert (refused.value.reason, refused.value.retry_after) == ("NoRepository", None)
