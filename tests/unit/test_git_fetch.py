"""Fetching over HTTP from a real server: references, history, the cache."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from patchwright.adapters.git import GitSource
from patchwright.domain.sources import Credentials, GitReference, History, SourceRequest
from patchwright.errors import SourceError
from patchwright.sandbox.gitserver import GitServer
from support.git_servers import EMAIL, NAME, Upstream, git

POLICY = "apiVersion: patchwright.dev/v1alpha1\nkind: PatchPolicy\nmetadata: {name: a}\n"


@pytest.fixture
def upstream(tmp_path: Path) -> Upstream:
    return Upstream(tmp_path / "srv")


@pytest.fixture
def source(tmp_path: Path) -> GitSource:
    return GitSource(tmp_path / "cache")


@pytest.fixture
async def server(upstream: Upstream) -> AsyncIterator[GitServer]:
    async with GitServer(upstream.root) as running:
        yield running


@pytest.fixture
def request_main(server: GitServer) -> SourceRequest:
    return SourceRequest(url=server.url("policy.git"), ref=GitReference(branch="main"), path="clusters/prod")


async def test_a_commit_arrives_with_its_revision_author_and_files(
    upstream: Upstream, source: GitSource, request_main: SourceRequest
) -> None:
    commit = upstream.commit(
        {"clusters/prod/a.yaml": POLICY, "clusters/dev/b.yaml": "no", "policy/x.rego": "package x"}, "first\n\nbody"
    )
    found = await source.fetch(replace(request_main, rego_path="policy"))
    assert found.revision == f"main@sha1:{commit}"
    assert found.commit == commit
    assert (found.author.name, found.author.email, found.subject) == (NAME, EMAIL, "first")
    assert abs(found.committed_at.timestamp() - time.time()) < 60
    assert found.manifests == {"clusters/prod/a.yaml": POLICY.encode()}
    assert found.rego == {"policy/x.rego": b"package x"}
    assert found.history is History.FIRST


async def test_without_a_reference_the_branch_of_head_is_taken(
    upstream: Upstream, source: GitSource, request_main: SourceRequest
) -> None:
    commit = upstream.commit({"clusters/prod/a.yaml": POLICY})
    assert (await source.fetch(replace(request_main, ref=GitReference()))).revision == f"main@sha1:{commit}"


@pytest.mark.parametrize("annotated", [True, False])
async def test_a_tag_a_semver_range_a_name_and_a_commit_win_over_the_branch_in_that_order(
    upstream: Upstream, source: GitSource, request_main: SourceRequest, annotated: bool
) -> None:
    options = ("-a", "-m", "release") if annotated else ()
    commits = []
    for version in ("v1.0.0", "v1.2.0", "v2.0.0-rc.1"):
        commits.append(upstream.commit({"clusters/prod/a.yaml": f"# {version}\n{POLICY}"}))
        upstream.tag(version, *options)
    upstream.commit({"clusters/prod/a.yaml": POLICY})
    ref = GitReference(branch="main", tag="v1.0.0")
    wanted = [
        (ref, f"v1.0.0@sha1:{commits[0]}"),
        (replace(ref, semver=">=1.0.0"), f"v1.2.0@sha1:{commits[1]}"),
        (replace(ref, semver="^1", name="refs/tags/v2.0.0-rc.1"), f"refs/tags/v2.0.0-rc.1@sha1:{commits[2]}"),
        (replace(ref, name="refs/tags/v1.0.0", commit=commits[1]), f"main@sha1:{commits[1]}"),
        (GitReference(commit=commits[0]), f"sha1:{commits[0]}"),
    ]
    for reference, revision in wanted:
        found = await source.fetch(replace(request_main, ref=reference))
        assert found.revision == revision
        expected = f"# {found.revision.split('@')[0].removeprefix('refs/tags/')}"
        assert reference.commit or found.manifests["clusters/prod/a.yaml"].decode().startswith(expected)


async def test_history_tells_a_push_from_a_forced_push(
    upstream: Upstream, source: GitSource, request_main: SourceRequest
) -> None:
    first = upstream.commit({"clusters/prod/a.yaml": POLICY})
    assert (await source.fetch(replace(request_main, last_commit=first))).history is History.UNCHANGED
    second = upstream.commit({"clusters/prod/a.yaml": "# 2"})
    assert (await source.fetch(replace(request_main, last_commit=first))).history is History.FAST_FORWARD
    for n in range(5):
        far = upstream.commit({"clusters/prod/a.yaml": f"# far {n}"})
    assert (await source.fetch(replace(request_main, last_commit=second))).history is History.FAST_FORWARD
    upstream.rewind(second)
    upstream.commit({"clusters/prod/a.yaml": "# forced"})
    assert (await source.fetch(replace(request_main, last_commit=far))).history is History.FORCED


async def test_an_old_commit_pushed_again_is_a_forced_move(
    upstream: Upstream, source: GitSource, request_main: SourceRequest
) -> None:
    old = upstream.commit({"clusters/prod/a.yaml": POLICY}, GIT_COMMITTER_DATE="2026-01-01T00:00:00Z")
    new = upstream.commit({"clusters/prod/a.yaml": "# fixed"})
    await source.fetch(request_main)
    upstream.rewind(old)
    upstream.push()
    found = await source.fetch(replace(request_main, last_commit=new))
    assert (found.commit, found.history) == (old, History.FORCED)


async def test_a_forced_push_is_seen_by_an_operator_that_has_just_started(
    upstream: Upstream, tmp_path: Path, request_main: SourceRequest
) -> None:
    first = upstream.commit({"clusters/prod/a.yaml": POLICY})
    upstream.commit({"clusters/prod/a.yaml": "# 2"})
    third = upstream.commit({"clusters/prod/a.yaml": "# 3"})
    fresh = GitSource(tmp_path / "one")
    assert (await fresh.fetch(replace(request_main, last_commit=first))).history is History.FAST_FORWARD
    upstream.rewind(first)
    upstream.commit({"clusters/prod/a.yaml": "# other"})
    fresh = GitSource(tmp_path / "two")
    assert (await fresh.fetch(replace(request_main, last_commit=third))).history in {History.FORCED, History.UNKNOWN}


async def test_an_unchanged_source_asks_the_server_once_and_fetches_nothing(
    upstream: Upstream, tmp_path: Path, source: GitSource
) -> None:
    seen: list[str] = []

    async def watch(request: object) -> None:
        seen.append(str(getattr(request, "method", "")))

    upstream.commit({"clusters/prod/a.yaml": POLICY})
    async with GitServer(upstream.root, intercept=watch) as server:
        request = SourceRequest(url=server.url("policy.git"), ref=GitReference(branch="main"))
        first = await source.fetch(request)
        seen.clear()
        assert await source.fetch(request) == first
    assert seen == ["GET", "POST"]  # the capabilities and ls-refs of protocol v2: no pack is asked for


async def test_what_was_fetched_can_be_read_again_while_the_server_is_away(upstream: Upstream, tmp_path: Path) -> None:
    async with GitServer(upstream.root) as server:
        request = SourceRequest(url=server.url("policy.git"), ref=GitReference(branch="main"))
        commits = [upstream.commit({"a.yaml": f"# {n}"}) for n in range(2)]
        upstream.rewind(commits[0])
        upstream.push()
        before = await GitSource(tmp_path / "cache").fetch(request)
        upstream.commit({"a.yaml": "# later"})
        await GitSource(tmp_path / "cache").fetch(request)
    again = await GitSource(tmp_path / "cache").cached(request, before.revision)
    assert again == before
    with pytest.raises(SourceError) as caught:
        await GitSource(tmp_path / "cache").cached(request, f"main@sha1:{commits[1]}")
    assert caught.value.reason == "RefNotFound"


async def test_the_cache_of_a_busy_repository_is_cleaned(
    upstream: Upstream, tmp_path: Path, source: GitSource, request_main: SourceRequest
) -> None:
    last = ""
    for n in range(40):
        last = upstream.commit({"clusters/prod/a.yaml": f"# {n}"})
        await source.fetch(request_main)
    (cache,) = (tmp_path / "cache").glob("*.git")
    assert len(list(cache.glob("objects/pack/*.pack"))) <= 25
    assert (await source.fetch(request_main)).commit == last


async def test_a_lock_left_by_a_killed_git_does_not_block_the_source(
    upstream: Upstream, tmp_path: Path, source: GitSource, request_main: SourceRequest
) -> None:
    upstream.commit({"clusters/prod/a.yaml": POLICY})
    await source.fetch(request_main)
    (cache,) = (tmp_path / "cache").glob("*.git")
    for name in ("shallow.lock", "config.lock", "packed-refs.lock"):
        (cache / name).touch()
    fetched = next((cache / "refs/patchwright/fetched").iterdir())
    fetched.with_name(fetched.name + ".lock").touch()
    commit = upstream.commit({"clusters/prod/a.yaml": "# 2"})
    assert (await source.fetch(request_main)).commit == commit


async def test_basic_and_bearer_credentials_open_a_private_repository(upstream: Upstream, source: GitSource) -> None:
    upstream.commit({"a.yaml": POLICY})
    basic, bearer = ("robot", "s3cret:/@ü"), ("", "t0ken-of-the-robot")
    given = [Credentials(username="robot", password=basic[1]), Credentials(bearer_token=bearer[1])]
    for credentials, secret in zip((basic, bearer), given, strict=True):
        async with GitServer(upstream.root, credentials=credentials) as server:
            request = SourceRequest(url=server.url("policy.git"), credentials=secret)
            assert (await source.fetch(request)).manifests == {"a.yaml": POLICY.encode()}


async def test_two_sources_with_different_credentials_share_no_cache(
    upstream: Upstream, tmp_path: Path, source: GitSource
) -> None:
    upstream.commit({"a.yaml": POLICY})
    async with GitServer(upstream.root, credentials=("robot", "right")) as server:
        request = SourceRequest(url=server.url("policy.git"), ref=GitReference(commit=upstream.head()))
        await source.fetch(replace(request, credentials=Credentials(username="robot", password="right")))
        with pytest.raises(SourceError) as caught:
            await source.fetch(replace(request, credentials=Credentials(username="robot", password="wrong")))
    assert caught.value.reason == "AuthenticationFailed"


async def test_nothing_is_ever_checked_out_and_no_secret_is_left_behind(
    upstream: Upstream, tmp_path: Path, source: GitSource
) -> None:
    upstream.commit({"a.yaml": POLICY, ".gitattributes": "*.yaml filter=evil", ".gitmodules": "[submodule]"})
    async with GitServer(upstream.root, credentials=("robot", "hunter2-hunter2")) as server:
        credentials = Credentials(username="robot", password="hunter2-hunter2")
        await source.fetch(SourceRequest(url=server.url("policy.git"), credentials=credentials))
    files = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert not [path for path in files if path.name == "a.yaml"]
    assert not [path for path in files if b"hunter2" in path.read_bytes() or b"Authorization" in path.read_bytes()]
    assert not list((tmp_path / "cache/sessions").iterdir())
    (cache,) = (tmp_path / "cache").glob("*.git")
    assert "127.0.0.1" not in git("config", "--list", "--local", cwd=cache)
