"""The stories of what is merged: what it is, what should come of it, and what is looked at afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from patchwright.demo import examples, findings, owned, releases
from patchwright.demo.cluster import Cluster, Raw, change_id
from patchwright.demo.findings import Claim
from patchwright.demo.screen import Mark, Screen
from patchwright.demo.stage import PERIOD, Result, Run, Stage

if TYPE_CHECKING:
    from patchwright.demo.desk import Merge

POLICY: Final = "security-updates"
CANARIES: Final = 3
RULE: Final = "patchwright.rollout/deny_reboot"
_BAD_VERSION: Final = "1.9.0"

Story = Callable[[Stage], Result]


def good_patch(stage: Stage) -> Result:
    """Story 1: a good patch goes through the fleet."""
    total = len(stage.cluster.nodes())
    told = stage.begin(
        "1. A good patch is merged",
        f"openssl 3.0.17 goes to {CANARIES} canaries, is watched there, then goes wave by wave to all {total} nodes.",
    )
    manifest, subject = examples.repository()[examples.HELD_BACK], "openssl 3.0.17-1~deb12u3 (DSA-6015-1)"
    stage.merge("openssl-3.0.17", manifest, file=examples.HELD_BACK, subject=subject)
    run = stage.watch("openssl-3.0.17-1-deb12u3")
    claims = [
        Claim.of("it ended as Succeeded", findings.ended(run.rollout, run.name, phase="Succeeded")),
        *(_good_claims(stage.cluster, run, total) if run.rollout else ()),
    ]
    seen = f"{run.phase}, {run.status.get('updated', '0')} nodes"
    return told.end(f"Succeeded, {total}/{total} nodes", seen, claims, touched=_nodes(len(run.exposed)))


def _good_claims(cluster: Cluster, run: Run, total: int) -> Iterator[Claim]:
    assert run.rollout is not None
    nodes, change = cluster.nodes(), change_id(run.rollout)
    label = f"{findings.INSTALLED}{POLICY}={change}"
    yield Claim.of(f"all {total} nodes are labelled {label}", findings.installed(nodes, POLICY, change))
    first = findings.canary_first(run.account.exposed, CANARIES, passed=run.account.passed)
    yield Claim.of(f"nobody else was touched before the {CANARIES} canaries had passed", first)
    yield _tidy(cluster)


def bad_patch(stage: Stage) -> Result:
    """Story 2: a bad patch is stopped at the canary, put back, and not tried again."""
    told = stage.begin(
        "2. A bad patch is merged",
        "acme-cni 1.9.0 installs without a complaint, and then the pods on the patched nodes crash.",
    )
    before, file = stage.cluster.nodes(), "acme-cni-1.9.0.yaml"
    manifest, subject = examples.pull_request(file), "acme-cni 1.9.0 (ACME-2026-014)"
    stage.merge("acme-cni-1.9.0", manifest, file=f"fleet/rollouts/{file}", subject=subject)
    run = stage.watch("acme-cni-1.9.0")
    reason = findings.ended(run.rollout, run.name, phase="RolledBack", reason="HealthCheckFailed")
    claims = [Claim.of("it ended as RolledBack, because a health check failed", reason)]
    if run.rollout is not None:
        claims += _bad_claims(stage.cluster, run, before)
    stage.screen.claims(claims)
    again = _once_more(stage)
    refused = findings.ended(again.rollout, again.name, phase="Denied", reason="FailedBefore")
    more = [
        Claim.of("the same change under another name is refused: FailedBefore", refused),
        Claim.of("it touched no node", findings.untouched(again.exposed)),
    ]
    touched = _nodes(len(run.exposed) + len(again.exposed))
    seen = f"{run.phase}, then {again.phase}"
    return told.end("RolledBack, then Denied", seen, more, touched=touched, told_already=claims)


def _bad_claims(cluster: Cluster, run: Run, before: Sequence[Raw]) -> Iterator[Claim]:
    assert run.rollout is not None
    _settle(cluster)
    names = ", ".join(sorted(run.exposed)) or "nobody"
    yield Claim.of(f"only the canaries ever had it: {names}", findings.contained(run.exposed, CANARIES))
    yield Claim.of("every node is exactly what it was before", findings.unchanged(before, cluster.nodes()))
    yield Claim.of("every agent runs again", findings.healthy(cluster.agents()))
    yield _tidy(cluster)
    memory = findings.remembered(cluster.policy(POLICY), change=change_id(run.rollout), version=_BAD_VERSION)
    yield Claim.of(f"PatchPolicy {POLICY} remembers {_BAD_VERSION} in status.failedChanges", memory)


def _settle(cluster: Cluster, seconds: float = 20.0) -> None:
    """Wait for the agents: kubelets restart crashed containers a moment after the node is well again."""
    deadline = time.monotonic() + seconds
    while any(findings.healthy(cluster.agents())) and time.monotonic() < deadline:
        time.sleep(PERIOD)


def _once_more(stage: Stage) -> Run:
    file = "acme-cni-1.9.0-once-more.yaml"
    stage.screen.line(Mark.HINT, "Somebody merges the same change again, under another name:")
    manifest, branch = examples.pull_request(file), "acme-cni-1.9.0-once-more"
    stage.merge(branch, manifest, file=f"fleet/rollouts/{file}", subject="acme-cni 1.9.0, once more")
    return stage.watch("acme-cni-1.9.0-once-more")


def denied(stage: Stage) -> Result:
    """Story 3: a change that policy refuses touches nothing."""
    told = stage.begin(
        "3. A change that policy refuses is merged",
        "A kernel, in a hurry, under the policy for updates without a reboot. A rule of the repository's own says no.",
    )
    before, file = stage.cluster.nodes(), "linux-6.1.158.yaml"
    manifest, subject = examples.pull_request(file), "linux 6.1.158-1 (DSA-6053-1), in a hurry"
    merged = stage.merge("linux-6.1.158", manifest, file=f"fleet/rollouts/{file}", subject=subject)
    run = stage.watch("linux-6.1.158-1")
    _tell_decision(stage.screen, run)
    claims = list(_denied_claims(stage.cluster, run, merged, before))
    return told.end("Denied", run.phase, claims, _nodes(len(run.exposed)))


def _denied_claims(cluster: Cluster, run: Run, merged: Merge, before: Sequence[Raw]) -> Iterator[Claim]:
    ended = findings.ended(run.rollout, run.name, phase="Denied", reason="Denied")
    yield Claim.of("it ended as Denied", ended)
    refused = findings.refused(run.rollout, rule=RULE, commit=merged.commit)
    yield Claim.of(f"the rule {RULE} of commit {merged.short} refused it", refused)
    yield Claim.of("it touched no node", findings.untouched(run.exposed))
    yield Claim.of("every node is exactly what it was before", findings.unchanged(before, cluster.nodes()))
    yield _tidy(cluster)


def _tell_decision(screen: Screen, run: Run) -> None:
    decision = run.status.get("policy") or {}
    for violation in decision.get("violations") or ():
        screen.line(Mark.POLICY, f"rule {violation.get('rule')}, severity {violation.get('severity')}")
    if decision:
        screen.line(Mark.POLICY, f"OPA decision {decision.get('decisionID')}, Rego of {decision.get('revision')}")


def _nodes(count: int) -> str:
    return "1 node" if count == 1 else f"{count} nodes"


def _tidy(cluster: Cluster) -> Claim:
    return Claim.of("no cordon, annotation or Job is left", findings.leftovers(cluster.nodes(), cluster.jobs()))


ALL: Final[tuple[Story, ...]] = (
    good_patch,
    bad_patch,
    denied,
    releases.good_release,
    releases.bad_release,
    owned.bad_release,
)
