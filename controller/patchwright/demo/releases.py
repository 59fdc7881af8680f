"""The stories of what is pushed: a policy follows an image, and nobody merges anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from patchwright.demo import findings
from patchwright.demo.cluster import Raw, change_id
from patchwright.demo.findings import Claim
from patchwright.demo.publisher import REPOSITORY as NAME
from patchwright.demo.publisher import digest_of
from patchwright.demo.screen import Mark
from patchwright.demo.site import FIRST_RELEASE
from patchwright.demo.stage import Result, Run, Stage
from patchwright.demo.witness import Exposed

POLICY: Final = "storefront"
CANARIES: Final = 1
GOOD: Final = "1.0.1"
BAD: Final = "1.0.2"


def good_release(stage: Stage) -> Result:
    """Story 4: a release appears in the registry, and goes to all workloads that run the image."""
    total = len(stage.cluster.shops())
    told = stage.begin(
        "4. A patch appears in the registry",
        f"{total} Deployments run {NAME} {FIRST_RELEASE}, and a policy follows it. {GOOD} goes to one, then to all.",
    )
    image = stage.push(GOOD)
    run, exposed = _rolled_out(stage, image)
    claims = [
        Claim.of(f"PatchPolicy {POLICY} has proposed it by itself", _proposed(run, image)),
        Claim.of("it ended as Succeeded", findings.ended(run.rollout, run.name, phase="Succeeded")),
        *_good_claims(stage, run, exposed),
    ]
    seen = f"{run.phase}, {run.status.get('updated', '0')} workloads"
    return told.end(f"Succeeded, {total}/{total} workloads", seen, claims, _touched(exposed))


def _good_claims(stage: Stage, run: Run, exposed: Exposed) -> Iterator[Claim]:
    # Asked again, now: what the registry says that the tag is, not what was pushed.
    image, shops = stage.publisher.pinned(GOOD), stage.cluster.shops()
    yield Claim.of(
        f"all {len(shops)} Deployments name {GOOD} by the digest that the registry has", _pinned(shops, image)
    )
    pods = stage.cluster.shop_pods()
    yield Claim.of(f"all {len(pods)} pods are Ready and run it", findings.runs(pods, digest_of(image)))
    passed = run.account.passed
    first = findings.canary_first(exposed.workloads, CANARIES, passed=passed, what="Deployments")
    yield Claim.of("no other Deployment had a pod of it before the canary had passed", first)
    yield _tidy(shops)


def bad_release(stage: Stage) -> Result:
    """Story 5: a release crashes; it is put back, and no later look at the registry tries it again."""
    told = stage.begin(
        "5. A patch that crashes appears in the registry",
        f"The pods of {NAME} {BAD} crash as soon as they start.",
    )
    before = stage.cluster.shops()
    image = stage.push(BAD)
    run, exposed = _rolled_out(stage, image)
    reason = findings.ended(run.rollout, run.name, phase="RolledBack", reason="CanaryFailed")
    claims = [
        Claim.of(f"PatchPolicy {POLICY} has proposed it by itself", _proposed(run, image)),
        Claim.of("it ended as RolledBack, because the canary failed", reason),
        *_bad_claims(stage, exposed, before),
    ]
    stage.screen.claims(claims)
    again = list(_again(stage, run)) if run.rollout is not None else []
    return told.end("RolledBack, not tried again", _seen(run, again), again, _touched(exposed), told_already=claims)


def _bad_claims(stage: Stage, exposed: Exposed, before: Sequence[Raw]) -> Iterator[Claim]:
    names = ", ".join(sorted(exposed.workloads)) or "nobody"
    contained = findings.contained(exposed.workloads, CANARIES, what="Deployments")
    yield Claim.of(f"only the canary ever had pods of it: {names}, {_count(len(exposed.pods), 'pod')}", contained)
    image, shops = stage.publisher.pinned(GOOD), stage.cluster.shops()
    yield Claim.of("every Deployment has exactly the pod template it had", findings.same_templates(before, shops))
    yield Claim.of(f"all name {GOOD} by the digest that the registry has", _pinned(shops, image))
    yield Claim.of("all pods are Ready and run it", findings.runs(stage.cluster.shop_pods(), digest_of(image)))
    yield _tidy(shops)


def _again(stage: Stage, run: Run) -> Iterator[Claim]:
    """Let the policy look again, with 1.0.2 still the newest tag that there is."""
    assert run.rollout is not None
    ended, before = datetime.fromisoformat(run.status["finishedAt"]), stage.cluster.proposed(POLICY)
    # Two looks: whatever came of the first one is there when the second one is.
    stage.await_scan(POLICY, stage.await_scan(POLICY, ended))
    policy, after = stage.cluster.policy(POLICY), stage.cluster.proposed(POLICY)
    stage.screen.line(Mark.POLICY, f"PatchPolicy {POLICY} says: {findings.word(policy)}")
    memory = findings.remembered(policy, change=change_id(run.rollout), version=f"web:{BAD}")
    yield Claim.of(f"PatchPolicy {POLICY} remembers {BAD} in status.failedChanges", memory)
    silent = findings.not_tried_again(policy, before, after, since=ended)
    yield Claim.of("no later look proposes it again: Refused, FailedBefore", silent)


def _rolled_out(stage: Stage, image: str) -> tuple[Run, Exposed]:
    name = stage.await_proposed(POLICY, image)
    run = stage.watch(name) if name else Run(f"{POLICY} of {image}")
    return run, stage.witness.exposed(image)


def _proposed(run: Run, image: str) -> Iterator[str]:
    return findings.proposed(run.rollout, policy=POLICY, image=image)


def _pinned(shops: Sequence[Raw], image: str) -> Iterator[str]:
    return findings.pinned(shops, image)


def _seen(run: Run, again: Sequence[Claim]) -> str:
    silent = again and not any(claim.faults for claim in again)
    return f"{run.phase}, not tried again" if silent else run.phase


def _touched(exposed: Exposed) -> str:
    return _count(len(exposed.workloads), "workload")


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _tidy(shops: Sequence[Raw]) -> Claim:
    return Claim.of("no annotation is left", findings.marks(shops))
