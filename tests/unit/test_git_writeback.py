"""Writing images back into a real Git server: one commit a step, whoever else pushes, whatever breaks off."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web

from patchwright.adapters.git import GitWriteBack
from patchwright.adapters.git import writeback as module
from patchwright.domain.model import Key
from patchwright.domain.sources import Author, Credentials
from patchwright.domain.writeback.edits import Swap
from patchwright.domain.writeback.orders import Destination, Step, WriteOrder
from patchwright.domain.writeback.places import Scope
from patchwright.domain.writeback.versions import Version
from patchwright.errors import PatchwrightError, SourceError, WriteBackError
from patchwright.sandbox.gitserver import GitServer, Intercept
from support.git_servers import Upstream, git, ssh_git_server, ssh_key

OLD, NEW = "sha256:" + "a" * 64, "sha256:" + "b" * 64
SECRET = "correct-horse-battery"
SWAP = Swap(Scope("ghcr.io/acme/web"), was=Version("1.2", OLD), to=Version("1.3", NEW))
WEB = "# web\nimage:\n  repository: ghcr.io/acme/web # ours\n  tag: '1.2'\n"
AFTER = WEB.replace("'1.2'", f"'1.3@{NEW}'")
NOW = datetime.now(UTC).replace(microsecond=0)
STEP = Step(Key("shop", "web-1.3"), "uid-1", "canary", NOW, NOW - timedelta(minutes=5))


@pytest.fixture
def upstream(tmp_path: Path) -> Upstream:
    upstream = Upstream(tmp_path / "srv", name="shop.git")
    upstream.commit({"prod/web.yaml": WEB, "prod/README.md": "ghcr.io/acme/web:1.2", "other/web.yaml": WEB})
    return upstream


@pytest.fixture
def writer(tmp_path: Path) -> GitWriteBack:
    return GitWriteBack(tmp_path / "cache")


@pytest.fixture
async def server(upstream: Upstream) -> AsyncIterator[GitServer]:
    async with GitServer(upstream.root) as running:
        yield running


@pytest.fixture
def order(server: GitServer) -> WriteOrder:
    destination = Destination(server.url("shop.git"), "main", path="prod")
    return WriteOrder(destination, STEP, (SWAP,), author=Author("Robot", "robot@example.com"))


def show(upstream: Upstream, what: str) -> str:
    return subprocess.run(["git", "show", what], cwd=upstream.bare, check=True, capture_output=True).stdout.decode()


def log(upstream: Upstream, branch: str = "main") -> list[str]:
    """Give the subjects of a branch, newest first."""
    return git("log", "--format=%s", branch, cwd=upstream.bare).splitlines()


def undoing(order: WriteOrder, commit: str) -> WriteOrder:
    return replace(order, back_of="canary", undoes=commit, step=replace(order.step, name="rollback"))


async def failure_of(writer: GitWriteBack, order: WriteOrder) -> PatchwrightError:
    with pytest.raises((WriteBackError, SourceError)) as caught:
        await writer.write(order)
    assert SECRET not in caught.value.message
    assert "\n" not in caught.value.message
    return caught.value


async def test_a_commit_changes_the_images_bytes_and_says_who_it_is(
    upstream: Upstream, writer: GitWriteBack, order: WriteOrder
) -> None:
    before = upstream.head()
    written = await writer.write(order)
    assert (written.branch, written.files, written.ours, written.fresh) == ("main", ("prod/web.yaml",), True, True)
    assert show(upstream, "main:prod/web.yaml") == AFTER
    assert git("diff", "--name-only", before, "main", cwd=upstream.bare) == "prod/web.yaml"
    form = "%H%n%P%n%an <%ae> %at%n%cn <%ce> %ct%n%B"
    head, parent, author, committer, *message = git(
        "show", "-s", f"--format={form}", "main", cwd=upstream.bare
    ).splitlines()
    assert (head, parent) == (written.commit, before)
    assert author == committer == f"Robot <robot@example.com> {int(NOW.timestamp())}"
    assert message == [
        "Set ghcr.io/acme/web to 1.3",
        "",
        "Rollout shop/web-1.3, canary.",
        "",
        "Set ghcr.io/acme/web to 1.3",
        "",
        "- prod/web.yaml",
        "",
        "Patchwright-Rollout: shop/web-1.3/uid-1",
        "Patchwright-Step: canary",
    ]


async def test_an_order_that_is_repeated_finds_its_commit_and_makes_no_second(
    upstream: Upstream, writer: GitWriteBack, order: WriteOrder, tmp_path: Path
) -> None:
    first = await writer.write(order)
    upstream_pushes_something_else(upstream)
    for again in (writer, GitWriteBack(tmp_path / "another-process")):
        written = await again.write(order)
        assert (written.commit, written.ours, written.fresh) == (first.commit, True, False)
    assert log(upstream) == ["theirs", "Set ghcr.io/acme/web to 1.3", "change"]


def upstream_pushes_something_else(upstream: Upstream, files: dict[str, str | bytes | None] | None = None) -> str:
    """Commit on top of what the server has, as somebody with a clone of his own does."""
    git("fetch", "--quiet", str(upstream.bare), "main", cwd=upstream.work)
    git("reset", "--quiet", "--hard", "FETCH_HEAD", cwd=upstream.work)
    return upstream.commit(files or {"other.txt": str(len(log(upstream)))}, "theirs")


def on_push(act: Callable[[], object], *, times: int, late: bool = True) -> Intercept:
    """Do something between our fetch and our push, as often as said; ``late``: after Git asked where the branch is."""
    left = times

    async def intercept(request: web.Request) -> web.StreamResponse | None:
        nonlocal left
        pushes = request.path.endswith("git-receive-pack") if late else "git-receive-pack" in request.query_string
        if pushes and left:
            left -= 1
            await asyncio.to_thread(act)
        return None

    return intercept


@pytest.mark.parametrize("late", [True, False])
async def test_a_push_of_somebody_else_in_between_is_kept_and_ours_comes_after_it(
    upstream: Upstream, writer: GitWriteBack, order: WriteOrder, late: bool
) -> None:
    act = on_push(lambda: upstream_pushes_something_else(upstream), times=2, late=late)
    async with GitServer(upstream.root, intercept=act) as server:
        written = await writer.write(at(order, server))
    assert written.fresh
    assert log(upstream) == ["Set ghcr.io/acme/web to 1.3", "theirs", "theirs", "change"]
    assert show(upstream, "main:prod/web.yaml") == AFTER


def at(order: WriteOrder, server: GitServer) -> WriteOrder:
    return replace(order, place=replace(order.place, url=server.url("shop.git")))


async def test_a_value_that_somebody_changes_in_between_is_his_and_named(
    upstream: Upstream, writer: GitWriteBack, order: WriteOrder
) -> None:
    theirs = {"prod/web.yaml": WEB.replace("1.2", "1.4")}
    act = on_push(lambda: upstream_pushes_something_else(upstream, dict(theirs)), times=1)
    async with GitServer(upstream.root, intercept=act) as server:
        error = await failure_of(writer, at(order, server))
    assert (error.reason, error.retry_after) == ("WriteBackConflict", None)
    assert "is not written: somebody else has changed it: prod/web.yaml:4 has 1.4; it is left as it is" in error.message
    assert log(upstream) == ["theirs", "change"]


async def test_somebody_who_brings_the_same_value_in_between_has_done_our_work(
    upstream: Upstream, writer: GitWriteBack, order: WriteOrder
) -> None:
    commits: list[str] = []
    same = {"prod/web.yaml": AFTER}
    act = on_push(lambda: commits.append(upstream_pushes_something_else(upstream, dict(same))), times=1)
    async with GitServer(upstream.root, intercept=act) as server:
        written = await writer.write(at(order, server))
    assert (written.commit, written.ours, written.fresh) == (commits[0], False, False)
    assert log(upstream) == ["theirs", "change"]


async def test_a_branch_that_never_stands_still_is_given_up_for_now(
    upstream: Upstream, writer: GitWriteBack, order: WriteOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.001)
    act = on_push(lambda: upstream_pushes_something_else(upstream), times=99)
    async with GitServer(upstream.root, intercept=act) as server:
        error = await failure_of(writer, at(order, server))
    assert (error.reason, error.retry_after) == ("BranchMoves", 30.0)
    assert "somebody else pushed 5 times in between; it is tried again" in error.message
    assert set(log(upstream)) == {"theirs", "change"}


async def test_a_hook_that_refuses_the_push_is_told_without_its_words(
    upstream: Upstream, writer: GitWriteBack, order: WriteOrder
) -> None:
    hook = upstream.bare / "hooks/pre-receive"
    hook.write_text("#!/bin/sh\necho internal-secret >&2\nexit 1\n")
    hook.chmod(0o755)
    error = await failure_of(writer, order)
    assert (error.reason, error.retry_after) == ("PushRefused", 300.0)
    assert "cannot push to main: the server refuses it (a protected branch, or a hook)" in error.message
    assert "internal-secret" not in error.message
    assert log(upstream) == ["change"]


async def test_a_crash_between_commit_and_push_leaves_one_commit_in_the_end(
    upstream: Upstream, writer: GitWriteBack, order: WriteOrder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def crash(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("patchwright.adapters.git.pushes.push", crash)
    with pytest.raises(KeyboardInterrupt):
        await writer.write(order)
    monkeypatch.undo()
    assert log(upstream) == ["change"]
    assert (await GitWriteBack(tmp_path / "cache").write(order)).fresh
    assert log(upstream) == ["Set ghcr.io/acme/web to 1.3", "change"]


async def test_a_push_whose_answer_is_lost_is_found_again(
    upstream: Upstream, writer: GitWriteBack, order: WriteOrder
) -> None:
    lost = True

    class Losing(GitServer):
        async def _handle(self, request: web.Request) -> web.StreamResponse:
            response = await super()._handle(request)
            if lost and request.method == "POST" and request.path.endswith("git-receive-pack"):
                assert request.transport is not None
                request.transport.abort()
            return response

    async with Losing(upstream.root) as server:
        error = await failure_of(writer, at(order, server))
        assert isinstance(error, SourceError)
        assert error.retry_after is not None
        lost = False
        written = await writer.write(at(order, server))
    assert (written.ours, written.fresh) == (True, False)
    assert log(upstream) == ["Set ghcr.io/acme/web to 1.3", "change"]


async def test_a_commit_of_ours_that_a_person_took_back_is_not_written_again(
    upstream: Upstream, writer: GitWriteBack, order: WriteOrder
) -> None:
    written = await writer.write(order)
    upstream_pushes_something_else(upstream, {"prod/web.yaml": WEB})
    error = await failure_of(writer, order)
    assert error.reason == "WriteBackConflict"
    assert f"somebody else has taken back commit {written.commit}; it is not written again" in error.message
    assert log(upstream) == ["theirs", "Set ghcr.io/acme/web to 1.3", "change"]


async def test_a_rollback_is_a_commit_that_gives_back_every_byte(
    upstream: Upstream, writer: GitWriteBack, order: WriteOrder
) -> None:
    written = await writer.write(order)
    upstream_pushes_something_else(upstream, {"prod/web.yaml": f"# a new line\n{AFTER}"})
    back = await writer.write(undoing(order, written.commit))
    assert show(upstream, "main:prod/web.yaml") == f"# a new line\n{WEB}"
    assert log(upstream)[0] == "Put back ghcr.io/acme/web to 1.2"
    assert f"\nThis reverts commit {written.commit}.\n" in git("show", "-s", "--format=%B", "main", cwd=upstream.bare)
    again = await writer.write(undoing(order, written.commit))
    assert (again.commit, again.fresh) == (back.commit, False)


async def test_a_rollback_of_a_value_that_somebody_changed_stops_and_names_it(
    upstream: Upstream, writer: GitWriteBack, order: WriteOrder
) -> None:
    written = await writer.write(order)
    upstream_pushes_something_else(upstream, {"prod/web.yaml": WEB.replace("1.2", "1.4")})
    error = await failure_of(writer, undoing(order, written.commit))
    assert (error.reason, error.retry_after) == ("RollbackConflict", None)
    assert "prod/web.yaml has '1.4' at document 1: image.tag; it is left as it is" in error.message
    assert log(upstream) == ["theirs", "Set ghcr.io/acme/web to 1.3", "change"]


async def test_a_rollback_whose_commit_is_not_to_be_had_goes_by_the_versions(
    upstream: Upstream, writer: GitWriteBack, order: WriteOrder
) -> None:
    """A pull request that was squashed has left another commit than the one that was pushed."""
    upstream_pushes_something_else(upstream, {"prod/web.yaml": AFTER})
    await writer.write(undoing(order, "f" * 40))
    assert show(upstream, "main:prod/web.yaml") == WEB.replace("'1.2'", f"'1.2@{OLD}'")


async def test_a_pull_requests_branch_is_made_from_the_base_and_found_again(
    upstream: Upstream, writer: GitWriteBack, order: WriteOrder
) -> None:
    order = replace(order, place=replace(order.place, push_branch="patchwright/web-1.3"))
    written = await writer.write(order)
    assert (written.branch, written.fresh) == ("patchwright/web-1.3", True)
    again = await writer.write(order)
    assert (again.commit, again.branch, again.fresh) == (written.commit, "patchwright/web-1.3", False)
    assert log(upstream) == ["change"]
    git("update-ref", "refs/heads/main", written.commit, cwd=upstream.bare)
    merged = await writer.write(order)
    assert (merged.commit, merged.branch, merged.fresh) == (written.commit, "main", False)


async def test_a_branch_of_that_name_that_is_somebody_elses_is_left_alone(
    upstream: Upstream, writer: GitWriteBack, order: WriteOrder
) -> None:
    git("branch", "fix", "main", cwd=upstream.bare)
    error = await failure_of(writer, replace(order, place=replace(order.place, push_branch="fix")))
    assert error.reason == "BranchTaken"
    assert "branch fix is there and is not of this rollout" in error.message


async def test_line_ends_modes_and_what_is_no_yaml_stay_as_they_are(
    upstream: Upstream, writer: GitWriteBack, order: WriteOrder
) -> None:
    text = WEB.replace("\n", "\r\n").encode()
    upstream.write("prod/run.yaml", text)
    (upstream.work / "prod/run.yaml").chmod(0o755)
    upstream.write(".gitattributes", "*.yaml text eol=lf ident\n")
    git("-c", "core.autocrlf=false", "add", "--all", cwd=upstream.work)
    blob = git("hash-object", "-w", "--no-filters", "prod/run.yaml", cwd=upstream.work)
    git("update-index", "--cacheinfo", f"100755,{blob},prod/run.yaml", cwd=upstream.work)
    git("commit", "--quiet", "-m", "crlf", cwd=upstream.work)
    upstream.symlink("prod/link.yaml", "web.yaml")
    git("update-index", "--add", "prod/link.yaml", cwd=upstream.work)
    git("commit", "--quiet", "-m", "link", cwd=upstream.work)
    upstream.push()
    written = await writer.write(order)
    assert written.files == ("prod/run.yaml", "prod/web.yaml")
    assert show(upstream, "main:prod/run.yaml").encode() == text.replace(b"'1.2'", f"'1.3@{NEW}'".encode())
    assert git("ls-tree", "main", "prod/run.yaml", cwd=upstream.bare).startswith("100755")
    assert git("ls-tree", "main", "prod/link.yaml", cwd=upstream.bare).startswith("120000")


async def test_history_older_than_the_rollout_is_not_fetched_and_a_long_one_is_no_obstacle(
    upstream: Upstream, writer: GitWriteBack, order: WriteOrder, tmp_path: Path
) -> None:
    long_ago = "2020-01-01T00:00:00Z"
    for number in range(5):
        upstream.commit({"n": str(number)}, GIT_COMMITTER_DATE=long_ago, GIT_AUTHOR_DATE=long_ago)
    written = await writer.write(order)
    (cache,) = (tmp_path / "cache").glob("*.git")
    assert git("rev-list", "--count", written.commit, cwd=cache) == "2"


async def test_nothing_under_the_path_and_an_image_that_no_file_sets_are_told(
    upstream: Upstream, writer: GitWriteBack, order: WriteOrder
) -> None:
    error = await failure_of(writer, replace(order, place=replace(order.place, path="nowhere")))
    assert "cannot find a YAML file under 'nowhere'; correct write.git.path" in error.message
    other = replace(SWAP, scope=Scope("ghcr.io/acme/api"))
    error = await failure_of(writer, replace(order, swaps=(other,)))
    assert error.reason == "ImageNotFound"
    assert "image ghcr.io/acme/api is not written: no file sets its version; check write.git.path" in error.message


async def test_over_ssh_it_is_the_same(
    upstream: Upstream, writer: GitWriteBack, order: WriteOrder, tmp_path: Path
) -> None:
    host, user = ssh_key(tmp_path / "host"), ssh_key(tmp_path / "user")
    async with ssh_git_server(upstream.root, host_key=host, authorized=user) as server:
        credentials = Credentials(identity=user.private, known_hosts=server.known_hosts())
        place = replace(order.place, url=server.url("shop.git"), credentials=credentials)
        written = await writer.write(replace(order, place=place))
        assert (await writer.write(replace(order, place=place))).commit == written.commit
    assert log(upstream) == ["Set ghcr.io/acme/web to 1.3", "change"]


async def test_credentials_are_in_no_argument_no_error_and_no_file_of_the_cache(
    upstream: Upstream, writer: GitWriteBack, order: WriteOrder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, ...]] = []
    real = asyncio.create_subprocess_exec

    async def spy(*argv: str, **options: object) -> object:
        calls.append(argv)
        return await real(*argv, **options)  # type: ignore[arg-type] # the options are those of the real call

    credentials = Credentials(username="robot", password=SECRET)
    async with GitServer(upstream.root, credentials=("robot", SECRET)) as server:
        monkeypatch.setattr("patchwright.adapters.git.process.asyncio.create_subprocess_exec", spy)
        place = replace(at(order, server).place, credentials=credentials)
        await writer.write(replace(order, place=place))
        wrong = replace(place, credentials=Credentials(username="robot", password=f"{SECRET}-not"))
        error = await failure_of(writer, replace(order, place=wrong))
        monkeypatch.undo()
    assert error.reason == "AuthenticationFailed"
    assert any("push" in argv for argv in calls)
    assert not [part for argv in calls for part in argv if SECRET in part or "Authorization" in part]
    assert not [
        path for path in (tmp_path / "cache").rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()
    ]
    assert not list((tmp_path / "cache/sessions").iterdir())
    assert SECRET not in repr(order)
