"""What a repository may hold, and what a request may ask, before and after the server is asked."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from patchwright.adapters.git import GitSource, validate_request
from patchwright.domain.sources import Credentials, GitReference, SourceLimits, SourceRequest
from patchwright.errors import SourceError
from patchwright.sandbox.gitserver import GitServer
from support.git_servers import Upstream, git

GOOD = "https://git.example.com/org/policy.git"


@pytest.fixture
def upstream(tmp_path: Path) -> Upstream:
    return Upstream(tmp_path / "srv")


@pytest.fixture
def source(tmp_path: Path) -> GitSource:
    return GitSource(tmp_path / "cache")


@pytest.fixture
async def asked(upstream: Upstream) -> AsyncIterator[SourceRequest]:
    async with GitServer(upstream.root) as server:
        yield SourceRequest(url=server.url("policy.git"), path="prod", rego_path="policy")


async def failure_of(source: GitSource, request: SourceRequest) -> SourceError:
    with pytest.raises(SourceError) as caught:
        await source.fetch(request)
    return caught.value


@pytest.mark.parametrize(
    "url",
    [
        "ext::sh -c touch% /tmp/owned",
        "file:///etc",
        "/etc/passwd",
        "git://example.com/x",
        "git@example.com:org/repo.git",
        "--upload-pack=touch /tmp/owned",
        "https://",
        "https:///repo",
        "https://example.com",
        "https://example.com/",
        "https://user:pass@example.com/repo",
        "https://token@example.com/repo",
        "https://user:p/w@x@example.com/repo",
        "ssh://git:hunter2@example.com/repo",
        "ssh://-oProxyCommand=touch@example.com/repo",
        "ssh://-oProxyCommand=touch/repo",
        "https://-x.example.com/repo",
        "https://example.com/repo\n",
        "https://example.com/re po",
        "https://example.com/repo\nHost: evil",
        "https://example.com/repo?x=y",
        "https://example.com/repo#frag",
        "https://example.com:port/repo",
        "https://example.com:99999/repo",
        "https://exämple.com/repo",
        "https://[::1/repo",
        "HTTPS://example.com/repo",
        "https://example.com/" + "a" * 3000,
        "",
    ],
)
async def test_a_url_that_is_no_plain_repository_address_never_reaches_git(source: GitSource, url: str) -> None:
    error = await failure_of(source, SourceRequest(url=url))
    assert error.reason == "URLInvalid"
    assert error.retry_after is None
    assert "correct spec.url" in error.message
    assert "\n" not in error.message
    assert not any(secret in error.message for secret in ("pass@", "hunter2", "token@", "p/w"))


@pytest.mark.parametrize(
    "url", [GOOD, "http://git.svc:3000/a/b", "https://[2001:db8::1]:8443/a.git", "https://dev.azure.com/o/p/_git/r%20x"]
)
def test_ordinary_urls_are_taken_as_they_are(url: str) -> None:
    assert validate_request(SourceRequest(url=url)).url == url


def test_an_ssh_url_without_a_user_gets_git() -> None:
    credentials = Credentials(identity=b"key", known_hosts=b"hosts")
    taken = validate_request(SourceRequest(url="ssh://example.com:22/a/b", credentials=credentials))
    assert taken.url == "ssh://git@example.com:22/a/b"


@pytest.mark.parametrize(
    "ref",
    [
        GitReference(branch="--upload-pack=touch /tmp/owned"),
        GitReference(branch="-x"),
        GitReference(branch="a b"),
        GitReference(branch="a..b"),
        GitReference(branch="a\nb"),
        GitReference(branch="a:b"),
        GitReference(branch="+a"[1:] + "^{}"),
        GitReference(branch="a/"),
        GitReference(branch="a.lock"),
        GitReference(branch="*"),
        GitReference(branch="@{u}"),
        GitReference(tag="-v1"),
        GitReference(tag="v1~1"),
        GitReference(name="main"),
        GitReference(name="refs/heads/../x"),
        GitReference(semver=">=1; touch x"),
        GitReference(semver="$(x)"),
        GitReference(commit="main"),
        GitReference(commit="a" * 39),
        GitReference(commit="A" * 40),
    ],
)
async def test_a_reference_that_looks_like_anything_else_never_reaches_git(
    source: GitSource, ref: GitReference
) -> None:
    error = await failure_of(source, SourceRequest(url=GOOD, ref=ref))
    assert error.reason == "RefInvalid"
    assert "correct spec.ref." in error.message
    assert "\n" not in error.message


@pytest.mark.parametrize("path", ["../x", "a/../../b", "a\\b", "a\0b", "a\nb", "x" * 2000])
async def test_a_path_out_of_the_repository_is_refused(source: GitSource, path: str) -> None:
    for request in (SourceRequest(url=GOOD, path=path), SourceRequest(url=GOOD, rego_path=path)):
        error = await failure_of(source, request)
        assert error.reason == "InvalidPath"
        assert "\n" not in error.message


@pytest.mark.parametrize("path", ["prod", "./prod", "/prod/", "./prod//"])
async def test_a_path_is_taken_in_every_usual_spelling(
    upstream: Upstream, source: GitSource, asked: SourceRequest, path: str
) -> None:
    upstream.commit({"prod/a.yaml": "a"})
    assert list((await source.fetch(replace(asked, path=path, rego_path=""))).manifests) == ["prod/a.yaml"]


async def test_an_empty_repository_says_so(source: GitSource, asked: SourceRequest) -> None:
    error = await failure_of(source, asked)
    assert (error.reason, error.retry_after) == ("RefNotFound", 60.0)
    assert "the repository is empty, or this is no Git repository; push the first commit" in error.message


@pytest.mark.parametrize(
    ("ref", "said"),
    [
        (GitReference(branch="gone"), "find refs/heads/gone: the server does not have it"),
        (GitReference(tag="v9"), "find refs/tags/v9: the server does not have it"),
        (GitReference(name="refs/pull/1/head"), "find refs/pull/1/head: the server does not have it"),
        (GitReference(semver=">=9"), "find a tag in '>=9' among 1 tags"),
        (GitReference(commit="1" * 40), f"fetch {'1' * 40}: the server does not have that reference"),
    ],
)
async def test_a_reference_that_the_server_lacks_is_named(
    upstream: Upstream, source: GitSource, asked: SourceRequest, ref: GitReference, said: str
) -> None:
    upstream.commit({"prod/a.yaml": "a"})
    upstream.tag("v1.0.0")
    error = await failure_of(source, replace(asked, ref=ref))
    assert error.reason == "RefNotFound"
    assert said in error.message


async def test_a_semver_range_that_cannot_be_read_is_named(
    upstream: Upstream, source: GitSource, asked: SourceRequest
) -> None:
    upstream.commit({"prod/a.yaml": "a"})
    error = await failure_of(source, replace(asked, ref=GitReference(semver=">>1")))
    assert (error.reason, error.retry_after) == ("RefInvalid", None)


async def test_a_missing_folder_and_a_folder_that_is_a_file_are_invalid_paths(
    upstream: Upstream, source: GitSource, asked: SourceRequest
) -> None:
    upstream.commit({"prod/a.yaml": "a", "policy": "a file"})
    missing = await failure_of(source, replace(asked, path="nope"))
    assert missing.reason == "InvalidPath"
    assert "cannot read spec.path: 'nope' is not there in this commit" in missing.message
    file = await failure_of(source, asked)
    assert "cannot read spec.rego.path: 'policy' is a file, not a folder" in file.message


async def test_a_folder_without_manifests_is_an_empty_snapshot_not_an_error(
    upstream: Upstream, source: GitSource, asked: SourceRequest
) -> None:
    upstream.commit({"prod/README.md": "none yet", "policy/README.md": "x"})
    found = await source.fetch(asked)
    assert (found.manifests, found.rego) == ({}, {})


async def test_only_manifests_and_policy_are_read_and_hidden_files_are_not(
    upstream: Upstream, source: GitSource, asked: SourceRequest
) -> None:
    names = [
        "a.yaml",
        "b/c.yml",
        "d.json",
        "README.md",
        "run.sh",
        ".hidden.yaml",
        ".github/workflows/ci.yaml",
        "e.YAML",
    ]
    taken = ["x.rego", "x_test.rego", "lib/data.json", "data.yaml", "parameters.yaml", "other.json"]
    rego = [*taken, ".manifest", ".opa.yaml", "README.md"]
    upstream.commit({f"prod/{n}": "x" for n in names} | {f"policy/{n}": "x" for n in rego} | {"production/n.yaml": "x"})
    found = await source.fetch(asked)
    assert set(found.manifests) == {"prod/a.yaml", "prod/b/c.yml", "prod/d.json"}
    assert set(found.rego) == {f"policy/{name}" for name in taken}
    everything = await source.fetch(replace(asked, path=""))
    assert set(everything.manifests) == {*found.manifests, "production/n.yaml"}


async def test_symbolic_links_and_submodules_under_the_paths_are_refused_by_name(
    upstream: Upstream, source: GitSource, asked: SourceRequest
) -> None:
    upstream.commit({"prod/a.yaml": "a", "policy/a.rego": "a"})
    upstream.symlink("prod/passwd.yaml", "/etc/passwd")
    upstream.symlink("policy/up", "..")
    upstream.commit({})
    upstream.submodule("prod/sub")
    error = await failure_of(source, asked)
    assert error.reason == "BuildFailed"
    for said in ("prod/passwd.yaml is a symbolic link", "policy/up is a symbolic link", "prod/sub is a submodule"):
        assert said in error.message
    ignoring = replace(asked, ignore="prod/sub\npasswd.yaml\n/policy/up\n")
    assert set((await source.fetch(ignoring)).manifests) == {"prod/a.yaml"}


async def test_a_folder_reached_through_a_symbolic_link_is_refused(
    upstream: Upstream, source: GitSource, asked: SourceRequest
) -> None:
    upstream.symlink("prod", "/etc")
    upstream.commit({"real/a.yaml": "a", "policy/a.rego": "a"})
    assert "'prod' is a symbolic link, not a folder" in (await failure_of(source, asked)).message
    assert "is not there" in (await failure_of(source, replace(asked, path="prod/ssl"))).message


async def test_what_is_outside_the_paths_does_not_matter(
    upstream: Upstream, source: GitSource, asked: SourceRequest
) -> None:
    upstream.symlink("elsewhere/link.yaml", "/etc/passwd")
    upstream.commit({"prod/a.yaml": "a", "policy/a.rego": "a", "elsewhere/huge.yaml": "x" * 2_000_000})
    assert set((await source.fetch(asked)).manifests) == {"prod/a.yaml"}


async def test_ignore_files_and_spec_ignore_are_gitignore_the_last_word_wins(
    upstream: Upstream, source: GitSource, asked: SourceRequest
) -> None:
    names = ["a.yaml", "draft/b.yaml", "draft/keep.yaml", "team/x.yaml", "team/y.yaml", ".allowed.yaml"]
    upstream.commit(
        {f"prod/{n}": "x" for n in names}
        | {".sourceignore": "draft/\n", "prod/.sourceignore": "!.allowed.yaml\n", "prod/team/.sourceignore": "x.yaml\n"}
    )
    request = replace(asked, rego_path="")
    assert set((await source.fetch(request)).manifests) == {"prod/a.yaml", "prod/team/y.yaml", "prod/.allowed.yaml"}
    spec = replace(request, ignore="!/prod/draft/keep.yaml\n*/a.yaml")
    assert set((await source.fetch(spec)).manifests) == {
        "prod/draft/keep.yaml",
        "prod/team/y.yaml",
        "prod/.allowed.yaml",
    }
    only = replace(request, ignore="/*\n!/prod/team\n")
    assert set((await source.fetch(only)).manifests) == {"prod/team/x.yaml", "prod/team/y.yaml"}


async def test_lfs_pointers_are_refused_by_name(upstream: Upstream, source: GitSource, asked: SourceRequest) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 5\n"
    upstream.commit({"prod/a.yaml": pointer, "policy/a.rego": "x"})
    assert "prod/a.yaml is a Git LFS pointer" in (await failure_of(source, asked)).message


async def test_size_count_total_and_depth_are_limited_and_nothing_is_read_past_them(
    upstream: Upstream, source: GitSource, asked: SourceRequest
) -> None:
    files = {f"prod/{n}.yaml": "x" * 900 for n in range(12)} | {"prod/a/b/c/d.yaml": "x", "prod/big.md": "x" * 5000}
    upstream.commit({**files, "policy/a.rego": "x" * 1001})
    cases = {
        SourceLimits(file_bytes=1000): "policy/a.rego has 1001 bytes, more than 1000",
        SourceLimits(files=13): "14 files are more than 13",
        SourceLimits(total_bytes=11_000): "11802 bytes in 14 files are more than 11000",
        SourceLimits(tree_depth=4): "prod/a/b/c/d.yaml is more than 4 folders deep",
    }
    for limits, said in cases.items():
        error = await failure_of(source, replace(asked, limits=limits))
        assert error.reason == "BuildFailed"
        assert said in error.message
    assert len((await source.fetch(replace(asked, limits=SourceLimits(files=14)))).manifests) == 13


async def test_a_repository_larger_than_the_transfer_limit_is_cut_off(
    upstream: Upstream, source: GitSource, asked: SourceRequest, tmp_path: Path
) -> None:
    noise = os.urandom(3_000_000)
    upstream.commit({"prod/a.yaml": "a", "policy/a.rego": "x", "noise.bin": noise})
    error = await failure_of(source, replace(asked, limits=SourceLimits(transfer_bytes=1_000_000)))
    assert error.reason == "GitOperationFailed"
    assert "the repository is larger than 999936 bytes" in error.message
    assert sum(p.stat().st_size for p in (tmp_path / "cache").rglob("*") if p.is_file()) < 2_000_000
    assert (await source.fetch(asked)).manifests == {"prod/a.yaml": b"a"}


async def test_a_tree_that_lists_itself_a_billion_times_is_cut_off(
    upstream: Upstream, source: GitSource, asked: SourceRequest
) -> None:
    upstream.commit({"f.yaml": "x"})
    entry = git("rev-parse", "HEAD:f.yaml", cwd=upstream.work)
    line = "".join(f"100644 blob {entry}\tf{n}.yaml\n" for n in range(10))
    for level in range(9):
        tree = mktree(upstream, line)
        line = "".join(f"040000 tree {tree}\td{level}{n}\n" for n in range(10))
    commit = git("commit-tree", "-m", "bomb", mktree(upstream, line), cwd=upstream.work)
    git("reset", "--quiet", "--soft", commit, cwd=upstream.work)
    upstream.push()
    error = await failure_of(source, replace(asked, path="", rego_path=""))
    assert error.reason == "GitOperationFailed"
    assert "cannot list the files: the answer is larger than" in error.message


def mktree(upstream: Upstream, lines: str) -> str:
    listing = upstream.work / ".git/listing"
    listing.write_text(lines)
    # mktree reads stdin only; an alias to the shell is git's own way to redirect.
    return git("-c", f"alias.m=!git mktree < '{listing}'", "m", cwd=upstream.work)


async def test_file_names_that_are_not_text_are_refused(
    upstream: Upstream, source: GitSource, asked: SourceRequest
) -> None:
    upstream.commit({"prod/a\nb.yaml": "x", "policy/a.rego": "x"})
    assert "holds a control character" in (await failure_of(source, asked)).message
    upstream.commit({"prod/a\nb.yaml": None, "prod/é.yaml": "x"})
    assert list((await source.fetch(asked)).manifests) == ["prod/é.yaml"]
    (Path(str(upstream.work)) / "prod" / b"\xff.yaml".decode(errors="surrogateescape")).write_text("x")
    upstream.commit({})
    assert "a file name is not UTF-8" in (await failure_of(source, asked)).message


async def test_objects_that_fail_fsck_are_refused(upstream: Upstream, source: GitSource, asked: SourceRequest) -> None:
    upstream.commit({"prod/a.yaml": "a", "policy/a.rego": "x"})
    blob = git("rev-parse", "HEAD:prod/a.yaml", cwd=upstream.work)
    inner = mktree(upstream, f"100644 blob {blob}\t.gitmodules\n")
    listing = upstream.work / ".git/raw"
    listing.write_bytes(b"40000 .git\0" + bytes.fromhex(inner))
    argv = f"!git hash-object -t tree -w --literally '{listing}'"
    tree = git("-c", f"alias.h={argv}", "h", cwd=upstream.work)
    commit = git("commit-tree", "-m", "evil", tree, cwd=upstream.work)
    git("update-ref", "refs/heads/main", commit, cwd=upstream.work)
    upstream.push()
    error = await failure_of(source, asked)
    assert error.reason == "GitOperationFailed"
    assert "fail git fsck" in error.message
