"""What the stories are played on: merge something, watch what comes of it, tell how it ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final

from patchwright.demo import findings, telling
from patchwright.demo.cluster import Cluster, Raw, change_id, name_of, uid_of
from patchwright.demo.findings import INSTALLED, Claim
from patchwright.demo.publisher import REPOSITORY as NAME
from patchwright.demo.publisher import Publisher, digest_of
from patchwright.demo.screen import Mark, Screen
from patchwright.demo.site import REPOSITORY
from patchwright.demo.telling import Cell, Glance
from patchwright.demo.witness import Account, Witness
from patchwright.domain.state import TERMINAL

if TYPE_CHECKING:
    from patchwright.demo.desk import Desk, Merge

PERIOD: Final = 0.25
# Much longer than it takes: a busy machine must not make a good demo fail.
_PATIENCE: Final = 240.0
# Without a picture, how often a new sentence within one phase is worth a line.
_QUIET: Final = 5.0


@dataclass(frozen=True, slots=True)
class Result:
    """How a story went; ``differences`` is empty when it went as it should."""

    title: str
    expected: str
    seen: str
    touched: str
    seconds: float
    differences: tuple[str, ...]


@dataclass(slots=True)
class Run:
    """One rollout, watched to its end; ``account`` is what the witness saw of it."""

    name: str
    rollout: Raw | None = None
    account: Account = field(default_factory=Account)

    @property
    def status(self) -> Raw:
        """Give its status."""
        return (self.rollout or {}).get("status") or {}

    @property
    def phase(self) -> str:
        """Give its phase."""
        return str(self.status.get("phase", "never created"))

    @property
    def exposed(self) -> Collection[str]:
        """Give the nodes on which its change was applied, or was about to be."""
        return self.account.exposed


@dataclass(frozen=True, slots=True)
class Told:
    """A story that has begun."""

    title: str
    began: float
    screen: Screen

    def end(
        self, expected: str, seen: str, claims: Sequence[Claim], touched: str, *, told_already: Sequence[Claim] = ()
    ) -> Result:
        """Print the claims, and give the result with everything that differs."""
        self.screen.claims(claims)
        differences = tuple(fault for claim in (*told_already, *claims) for fault in claim.faults)
        return Result(self.title, expected, seen, touched, time.monotonic() - self.began, differences)


class Stage:
    """The cluster, a person at a desk, a publisher of images, a witness, and a screen.

    ``application`` is a clone of the repository that belongs to an application.
    """

    def __init__(
        self,
        cluster: Cluster,
        person: Desk,
        witness: Witness,
        *,
        screen: Screen,
        publisher: Publisher,
        application: Desk,
    ) -> None:
        self.cluster = cluster
        self.application = application
        self.screen = screen
        self.publisher = publisher
        self.witness = witness
        self._person = person
        self._number = 0

    def begin(self, title: str, what: str) -> Told:
        """Begin a story."""
        self.screen.heading(title, what)
        return Told(title, time.monotonic(), self.screen)

    def merge(self, branch: str, manifest: str, *, file: str, subject: str) -> Merge:
        """Merge a pull request that adds one rollout, and wait until the operator has applied that commit."""
        self._number += 1
        merged = self._person.pull_request(self._number, branch, {file: manifest}, subject=subject)
        pushed = time.monotonic()
        self.screen.line(Mark.GIT, f'pull request #{self._number} is merged to main: {merged.short} "{subject}"')
        if self._await_applied(merged):
            took = time.monotonic() - pushed
            self.screen.line(Mark.GIT, f"commit {merged.short} with {file} is applied, {took:.1f} s after the push")
        return merged

    def push(self, tag: str, name: str = NAME) -> str:
        """Push a release; give its image, pinned to what the registry says that it is."""
        image = self.publisher.push(tag, name)
        self.screen.line(Mark.REGISTRY, f"{image} is pushed")
        return image

    def await_proposed(self, policy: str, image: str) -> str:
        """Wait until a policy has proposed a rollout of an image by itself; give its name, empty for none."""
        pushed, digest = time.monotonic(), digest_of(image)
        while time.monotonic() - pushed < _PATIENCE:
            for each in self.cluster.proposed(policy):
                if any(one["digest"] == digest for one in each["spec"]["change"]["images"]):
                    took = time.monotonic() - pushed
                    said = f"PatchPolicy {policy} proposes {name_of(each)}, {took:.1f} s after the push"
                    self.screen.line(Mark.POLICY, said)
                    return name_of(each)
            time.sleep(PERIOD)
        self.screen.line(Mark.BAD, f"PatchPolicy {policy} did not propose {image}")
        return ""

    def await_scan(self, policy: str, since: datetime) -> datetime:
        """Wait until a policy has looked at its registry once more; give when it did, ``since`` if it did not."""
        began = time.monotonic()
        while time.monotonic() - began < _PATIENCE:
            seen = findings.scanned_at(self.cluster.policy(policy))
            if seen is not None and seen > since:
                self.screen.line(Mark.REGISTRY, f"the registry was looked at once more, at {seen:%H:%M:%S} UTC")
                return seen
            time.sleep(PERIOD)
        self.screen.line(Mark.BAD, f"PatchPolicy {policy} did not look at its registry again")
        return since

    def watch(self, name: str, meanwhile: Callable[[], None] = lambda: None) -> Run:
        """Follow a rollout to its end, or until patience ends; look ``meanwhile`` at something else, too."""
        run, watching = Run(name), _Watching(self.cluster, self.screen)
        with self.screen.picture():
            while time.monotonic() - watching.began < _PATIENCE and run.phase not in TERMINAL:
                run.rollout = self.cluster.rollout(name)
                if run.rollout is not None:
                    watching.look(run.rollout)
                meanwhile()
                time.sleep(PERIOD)
        if run.rollout is not None:
            run.account = self.witness.account(uid_of(run.rollout))
        return run

    def _await_applied(self, merged: Merge) -> bool:
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            status = (self.cluster.repository(REPOSITORY) or {}).get("status") or {}
            if str(status.get("lastAppliedRevision", "")).endswith(merged.commit):
                return True
            if str(status.get("lastAttemptedRevision", "")).endswith(merged.commit) and (why := _stalled(status)):
                self.screen.line(Mark.BAD, f"PolicyRepository {REPOSITORY}: {why}")
                return False
            time.sleep(0.1)
        self.screen.line(Mark.BAD, f"PolicyRepository {REPOSITORY} did not apply {merged.short}")
        return False


class _Watching:
    """One rollout, and what was told of it already."""

    def __init__(self, cluster: Cluster, screen: Screen) -> None:
        self.began = time.monotonic()
        self._cluster = cluster
        self._screen = screen
        self._events: set[str] = set()
        self._told: Glance | None = None
        self._told_at = self.began

    def look(self, rollout: Raw) -> None:
        """Tell what is new."""
        now = telling.glance(rollout)
        mark = Mark.WORKLOAD if _digests(rollout) else Mark.NODE
        for sentence in telling.news(self._cluster.events(), rollout, self._events):
            self._screen.line(mark, sentence)
        if self._worth_a_line(now):
            self._screen.phase(now)
            self._told, self._told_at = now, time.monotonic()
        if self._screen.lively:
            self._screen.paint(now, self._cells(rollout), since=self.began)

    def _cells(self, rollout: Raw) -> dict[str, list[Cell]]:
        for digest in _digests(rollout):
            # Each of the demo's policies over images is called as the namespace that it is for.
            return telling.shop_cells(self._cluster.deployments(rollout["spec"]["policyRef"]["name"]), digest=digest)
        label = f"{INSTALLED}{rollout['spec']['policyRef']['name']}"
        return telling.cells(self._cluster.nodes(), label=label, change=change_id(rollout))

    def _worth_a_line(self, now: Glance) -> bool:
        if self._told is None or self._told.phase != now.phase:
            return bool(now.message)
        if self._told.wave != now.wave:
            return self._told.message != now.message
        quiet = time.monotonic() - self._told_at > _QUIET
        return not self._screen.lively and self._told.message != now.message and quiet


def _digests(rollout: Raw) -> list[str]:
    """Give what a rollout of images pins; a rollout over nodes has none."""
    return [str(each["digest"]) for each in rollout["spec"]["change"].get("images") or ()]


def _stalled(status: Raw) -> str:
    found = [each for each in status.get("conditions") or () if each["type"] == "Stalled" and each["status"] == "True"]
    return str(found[0]["message"]) if found else ""
