"""The three stories: what is merged, what should come of it, and what is looked at afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from patchwright.demo import examples, findings, telling
from patchwright.demo.cluster import Cluster, Raw, change_id, uid_of
from patchwright.demo.desk import Desk, Merge
from patchwright.demo.screen import Mark, Screen
from patchwright.demo.site import REPOSITORY
from patchwright.demo.telling import Glance
from patchwright.demo.witness import Witness
from patchwright.domain.state import TERMINAL

POLICY: Final = "security-updates"
LABEL: Final = f"plan.patchwright.dev/{POLICY}"
CANARIES: Final = 3
RULE: Final = "patchwright.rollout/deny_reboot"
# Much longer than it takes: a busy machine must not make a good demo fail.
_PATIENCE: Final = 150.0
_PERIOD: Final = 0.25
# Without a picture, how often a new sentence within one phase is worth a line.
_QUIET: Final = 5.0


@dataclass(frozen=True, slots=True)
class Result:
    """How a story went; ``differences`` is empty when it went as it should."""

    title: str
    expected: str
    seen: str
    touched: int
    seconds: float
    differences: tuple[str, ...]


@dataclass(slots=True)
class Run:
    """One rollout, watched to its end; ``canary_passed`` is when the first wave after the canary was seen."""

    name: str
    rollout: Raw | None = None
    exposed: dict[str, float] = field(default_factory=dict)
    canary_passed: float | None = None

    @property
    def status(self) -> Raw:
        """Give its status."""
        return (self.rollout or {}).get("status") or {}

    @property
    def phase(self) -> str:
        """Give its phase."""
        return str(self.status.get("phase", "nothing"))


class Stage:
    """What the stories are played on."""

    def __init__(self, cluster: Cluster, person: Desk, witness: Witness, screen: Screen) -> None:
        self.cluster = cluster
        self._person = person
        self._witness = witness
        self.screen = screen
        self._number = 0

    def merge(self, branch: str, manifest: str, *, file: str, subject: str) -> Merge:
        """Merge a pull request that adds one rollout, and wait until the operator has applied that commit."""
        self._number += 1
        merged = self._person.pull_request(self._number, branch, {file: manifest}, subject=subject)
        pushed = time.monotonic()
        self.screen.line(Mark.GIT, f'merged pull request #{self._number} to main: {merged.short} "{subject}" ({file})')
        applied = self._await_applied(merged)
        if applied:
            took = time.monotonic() - pushed
            self.screen.line(Mark.GIT, f"PolicyRepository {REPOSITORY} applied main@{merged.short}, {took:.1f} s later")
        return merged

    def watch(self, name: str) -> Run:
        """Follow a rollout to its end, or until patience ends."""
        run, known = Run(name), set[str]()
        began = told_at = time.monotonic()
        told: Glance | None = None
        with self.screen.picture():
            while time.monotonic() - began < _PATIENCE:
                run.rollout = self.cluster.rollout(name)
                if run.rollout is not None:
                    now = telling.glance(run.rollout)
                    _note_canary(run, now)
                    for sentence in telling.news(self.cluster.events(), run.rollout, known):
                        self.screen.line(Mark.NODE, sentence)
                    if self._worth_a_line(told, now, told_at):
                        self.screen.line(Mark.PHASE, f"{now.phase}: {now.message}")
                        told, told_at = now, time.monotonic()
                    if now.phase in TERMINAL:
                        break
                    self._paint(run.rollout, now, began)
                time.sleep(_PERIOD)
        if run.rollout is not None:
            run.exposed = self._witness.exposed(uid_of(run.rollout))
        return run

    def _await_applied(self, merged: Merge) -> bool:
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            status = (self.cluster.repository(REPOSITORY) or {}).get("status") or {}
            if str(status.get("lastAppliedRevision", "")).endswith(merged.commit):
                return True
            if str(status.get("lastAttemptedRevision", "")).endswith(merged.commit) and _failed(status):
                self.screen.line(Mark.BAD, f"PolicyRepository {REPOSITORY}: {_failed(status)}")
                return False
            time.sleep(0.1)
        return False

    def _worth_a_line(self, told: Glance | None, now: Glance, told_at: float) -> bool:
        if told is None or told.chapter != now.chapter:
            return bool(now.message)
        return not self.screen.lively and told.message != now.message and time.monotonic() - told_at > _QUIET

    def _paint(self, rollout: Raw, now: Glance, began: float) -> None:
        if self.screen.lively:
            zones = telling.cells(self.cluster.nodes(), label=LABEL, change=change_id(rollout))
            self.screen.paint(now, zones, since=began)


def _failed(status: Raw) -> str:
    stalled = [
        each for each in status.get("conditions") or () if each["type"] == "Stalled" and each["status"] == "True"
    ]
    return str(stalled[0]["message"]) if stalled else ""


def _note_canary(run: Run, now: Glance) -> None:
    if run.canary_passed is None and now.wave not in ("", "canary"):
        run.canary_passed = time.monotonic()


Story = Callable[[Stage], Result]


def good_patch(stage: Stage) -> Result:
    """Story 1: a good patch goes through the fleet."""
    began = time.monotonic()
    title = "1  A good patch is merged"
    stage.screen.heading(title, "openssl 3.0.17 goes to 3 canaries, soaks, and then wave by wave to all 60 nodes.")
    stage.merge(
        "openssl-3.0.17",
        examples.repository()[examples.HELD_BACK],
        file=examples.HELD_BACK,
        subject="openssl 3.0.17-1~deb12u3 (DSA-6015-1)",
    )
    run = stage.watch("openssl-3.0.17-1-deb12u3")
    differences = tuple(_good_faults(stage.cluster, run))
    _tell(stage.screen, differences, "all 60 nodes have the new version; no cordon, annotation or Job is left")
    seen = f"{run.phase}, {run.status.get('updated', '0')} nodes"
    return Result(title, "Succeeded, 60/60 nodes", seen, len(run.exposed), time.monotonic() - began, differences)


def _good_faults(cluster: Cluster, run: Run) -> Iterator[str]:
    yield from findings.ended(run.rollout, run.name, phase="Succeeded")
    if run.rollout is None:
        return
    nodes = cluster.nodes()
    yield from findings.installed(nodes, POLICY, change_id(run.rollout))
    yield from findings.leftovers(nodes, cluster.jobs())
    yield from findings.canary_first(run.exposed, CANARIES, passed_at=run.canary_passed)


def bad_patch(stage: Stage) -> Result:
    """Story 2: a bad patch is stopped at the canary, put back, and not tried again."""
    began = time.monotonic()
    title = "2  A bad patch is merged"
    what = "acme-cni 1.9.0 installs without a complaint, and then the pods on the patched nodes crash."
    stage.screen.heading(title, what)
    before = stage.cluster.nodes()
    file = "acme-cni-1.9.0.yaml"
    manifest = examples.pull_request(file)
    stage.merge("acme-cni-1.9.0", manifest, file=f"fleet/rollouts/{file}", subject="acme-cni 1.9.0 (ACME-2026-014)")
    run = stage.watch("acme-cni-1.9.0")
    differences = list(_bad_faults(stage.cluster, run, before))
    _tell(stage.screen, differences, "every node is as it was before; the version is remembered as failed")
    again = _once_more(stage)
    more = list(_again_faults(again))
    _tell(stage.screen, more, "the same change under another name is refused, and no node was touched")
    seen = f"{run.phase}, then {again.phase}"
    return Result(
        title,
        "RolledBack, then Denied",
        seen,
        len(run.exposed) + len(again.exposed),
        time.monotonic() - began,
        (*differences, *more),
    )


def _bad_faults(cluster: Cluster, run: Run, before: list[Raw]) -> Iterator[str]:
    yield from findings.ended(run.rollout, run.name, phase="RolledBack", reason="HealthCheckFailed")
    if run.rollout is None:
        return
    _settle(cluster)
    nodes = cluster.nodes()
    yield from findings.unchanged(before, nodes)
    yield from findings.leftovers(nodes, cluster.jobs())
    yield from findings.contained(run.exposed, CANARIES)
    yield from findings.healthy(cluster.agents())
    yield from findings.remembered(cluster.policy(POLICY), change=change_id(run.rollout), version="1.9.0")


def _settle(cluster: Cluster, seconds: float = 20.0) -> None:
    """Wait for the agents: kubelets restart crashed containers a moment after the node is well again."""
    deadline = time.monotonic() + seconds
    while any(findings.healthy(cluster.agents())) and time.monotonic() < deadline:
        time.sleep(_PERIOD)


def _once_more(stage: Stage) -> Run:
    file = "acme-cni-1.9.0-once-more.yaml"
    manifest, branch = examples.pull_request(file), "acme-cni-1.9.0-once-more"
    stage.merge(branch, manifest, file=f"fleet/rollouts/{file}", subject="acme-cni 1.9.0, once more")
    return stage.watch("acme-cni-1.9.0-once-more")


def _again_faults(run: Run) -> Iterator[str]:
    yield from findings.ended(run.rollout, run.name, phase="Denied", reason="FailedBefore")
    yield from findings.untouched(run.exposed)


def denied(stage: Stage) -> Result:
    """Story 3: a change that policy refuses touches nothing."""
    began = time.monotonic()
    title = "3  A change that policy refuses is merged"
    stage.screen.heading(
        title, "A kernel, through the lane for updates without a reboot. The repository's own Rego says no."
    )
    before = stage.cluster.nodes()
    file = "linux-6.1.158.yaml"
    manifest, subject = examples.pull_request(file), "linux 6.1.158-1 (DSA-6053-1), in a hurry"
    merged = stage.merge("linux-6.1.158", manifest, file=f"fleet/rollouts/{file}", subject=subject)
    run = stage.watch("linux-6.1.158-1")
    _tell_decision(stage.screen, run)
    differences = tuple(_denied_faults(stage.cluster, run, merged, before))
    _tell(stage.screen, differences, "no node was touched")
    return Result(title, "Denied", run.phase, len(run.exposed), time.monotonic() - began, differences)


def _denied_faults(cluster: Cluster, run: Run, merged: Merge, before: list[Raw]) -> Iterator[str]:
    yield from findings.ended(run.rollout, run.name, phase="Denied", reason="Denied")
    yield from findings.refused(run.rollout, rule=RULE, commit=merged.commit)
    yield from findings.untouched(run.exposed)
    nodes = cluster.nodes()
    yield from findings.unchanged(before, nodes)
    yield from findings.leftovers(nodes, cluster.jobs())


def _tell_decision(screen: Screen, run: Run) -> None:
    decision = run.status.get("policy") or {}
    for violation in decision.get("violations") or ():
        screen.line(Mark.POLICY, f"{violation.get('rule')} ({violation.get('severity')}): {violation['msg']}")
        if remediation := violation.get("remediation"):
            screen.line(Mark.POLICY, f"what to do: {remediation}")
    if revision := decision.get("revision"):
        screen.line(Mark.POLICY, f"decided by OPA with the Rego of {revision}, decision {decision.get('decisionID')}")


def _tell(screen: Screen, differences: tuple[str, ...] | list[str], good: str) -> None:
    for difference in differences:
        screen.line(Mark.BAD, difference)
    if not differences:
        screen.line(Mark.GOOD, f"checked at the API server: {good}")


ALL: Final[tuple[Story, ...]] = (good_patch, bad_patch, denied)
