"""The demo's person at a desk: real git through GitPython, and nothing of the machine's own configuration."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import git
import pytest

from patchwright.demo import desk

AUTHOR = "Robin <robin@example.com>"


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    desk.create(tmp_path / "fleet.git")
    return tmp_path / "fleet.git"


@pytest.fixture
def person(bare: Path) -> desk.Desk:
    found = desk.Desk(str(bare), bare.parent / "clone")
    found.commit({"README.md": "how we patch\n"}, "How we patch", "Carefully.")
    found.push()
    return found


def log(folder: Path, *words: str) -> list[str]:
    with git.Repo(folder) as repo:
        return str(repo.git.log(*words)).splitlines()


def test_what_is_committed_and_pushed_is_in_the_repository_that_is_served(bare: Path, person: desk.Desk) -> None:
    commit = person.commit({"fleet/a/b.yaml": "kind: x\n", "README.md": "anew\n"}, "More")
    assert log(bare, "--format=%s|%b", "main") == ["How we patch|Carefully."]
    person.push()
    assert log(bare, "--format=%H %an <%ae> %s", "--name-only", "-1", "main") == [
        f"{commit} {AUTHOR} More", "", "README.md", "fleet/a/b.yaml",
    ]  # fmt: skip


def test_a_pull_request_is_a_branch_and_a_merge_commit_as_a_forge_makes_it(bare: Path, person: desk.Desk) -> None:
    merge = person.pull_request(7, "openssl", {"a.yaml": "1\n"}, subject="Patch openssl")
    assert (merge.subject, merge.commit[:7]) == ("Patch openssl", merge.short)
    assert log(bare, "--format=%H|%s|%b", "-1", "main") == [
        f"{merge.commit}|Merge pull request #7 from robin/openssl|Patch openssl"
    ]
    assert log(bare, "--format=%s", "main^2") == ["Patch openssl", "How we patch"]
    assert log(bare, "--format=%s", "openssl") == ["Patch openssl", "How we patch"]
    again = person.pull_request(8, "kernel", {"b.yaml": "2\n"}, subject="Patch the kernel")
    assert log(bare, "--format=%s", "--first-parent", "main") == [
        "Merge pull request #8 from robin/kernel", "Merge pull request #7 from robin/openssl", "How we patch",
    ]  # fmt: skip
    assert again.commit != merge.commit


def test_what_others_have_pushed_is_seen_commit_by_commit_with_the_lines_that_changed(
    tmp_path: Path, bare: Path, person: desk.Desk
) -> None:
    before, other = person.fetch(), desk.Desk(str(bare), tmp_path / "other")
    assert person.news(before) == []
    one = other.commit({"a/b.yaml": "kind: x\n--- y: 1\n"}, "One")
    two = other.commit({"a/b.yaml": "kind: x\n--- y: 2\n", "README.md": "anew\n"}, "Two")
    other.push()
    found = person.news(before)
    assert [(each.id, each.short, each.author, each.subject) for each in found] == [
        (one, one[:7], "Robin", "One"),
        (two, two[:7], "Robin", "Two"),
    ]
    assert found[0].lines == {"a/b.yaml": ([], ["kind: x", "--- y: 1"])}
    assert found[1].lines == {"README.md": (["how we patch"], ["anew"]), "a/b.yaml": (["--- y: 1"], ["--- y: 2"])}
    assert person.news(two) == []


def test_nothing_of_the_users_own_git_has_a_say(tmp_path: Path, bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for name in ("pre-commit", "pre-push"):
        (hooks / name).write_text("#!/bin/sh\nexit 1\n")
        (hooks / name).chmod(0o755)
    config = (
        f"[user]\nname = Somebody\nemail = else@example.com\n[commit]\ngpgSign = true\n[core]\nhooksPath = {hooks}\n"
    )
    (tmp_path / ".gitconfig").write_text(config)
    for name, value in {
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path),
        "GIT_CONFIG_GLOBAL": str(tmp_path / ".gitconfig"),
        # As git itself sets them for whatever a hook or `git rebase --exec` starts.
        "GIT_DIR": str(tmp_path / "another"),
        "GIT_INDEX_FILE": str(tmp_path / "another" / "index"),
        "GIT_AUTHOR_NAME": "Nobody",
        "GIT_SSH_COMMAND": "false",
        "HTTP_PROXY": "http://127.0.0.1:1",
    }.items():
        monkeypatch.setenv(name, value)
    person = desk.Desk(str(bare), tmp_path / "clone")
    person.commit({"a": "1"}, "One")
    person.push()
    person.pull_request(1, "two", {"a": "2"}, subject="Two")
    monkeypatch.undo()
    said = log(bare, "--format=%an <%ae> %cn <%ce> %G?", "main")
    assert set(said) == {f"{AUTHOR} {AUTHOR} N"}
    assert not (tmp_path / "another").exists()


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (
            lambda person: person.push("nothing"),
            "git push --quiet origin nothing failed in {}/clone: error: src refspec",
        ),
        (lambda person: person.commit({}, "Empty"), "git commit --quiet --message=Empty failed in {}/clone: On branch"),
        (lambda person: desk.Desk("{}/none.git", person.directory.parent / "c"), "none.git"),
        (
            lambda person: person.pull_request(1, "main", {}, subject="x"),
            "git switch --quiet --create main failed in {}/clone: fatal",
        ),
    ],
    ids=["push", "commit", "clone", "branch"],
)
def test_what_git_says_is_what_a_person_reads(tmp_path: Path, person: desk.Desk, work: object, said: str) -> None:
    assert callable(work)
    with pytest.raises(desk.GitFailed) as failed:
        work(person)
    assert said.format(tmp_path) in failed.value.message
    assert "env -i" not in failed.value.message
    assert "stderr" not in failed.value.message


def test_the_other_commands_do_without_gitpython_and_without_git(tmp_path: Path) -> None:
    code = "import sys; from patchwright.cli.main import main; assert 'git' not in sys.modules; main(['--version'])"
    environment = {"PATH": str(tmp_path), "PYTHONPATH": str(Path(desk.__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
