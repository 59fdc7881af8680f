"""The stories of what is pushed: a policy follows an image, and nobody merges anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Final

from patchwright.demo import findings
from patchwright.demo.cluster import STOREFRONT, Raw, change_id
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
    total = len(stage.cluster.deployments(STOREFRONT))
    told = stage.begin(
        "4. A patch appears in the registry",
        f"{total} Deployments run {NAME} {FIRST_RELEASE}, and a policy follows it. {GOOD} goes to one, then to all.",
    )
    image = stage.push(GOOD)
    run, exposed = rolled_out(stage, POLICY, image)
    claims = [
        Claim.of(f"PatchPolicy {POLICY} has proposed it by itself", _proposed(run, image)),
        Claim.of("it ended as Succeeded", findings.ended(run.rollout, run.name, phase="Succeeded")),
        *_good_claims(stage, run, exposed),
    ]
    seen = f"{run.phase}, {run.status.get('updated', '0')} workloads"
    return told.end(f"Succeeded, {total}/{total} workloads", seen, claims, touched(exposed))


def _good_claims(stage: Stage, run: Run, exposed: Exposed) -> Iterator[Claim]:
    # Asked again, now: what the registry says that the tag is, not what was pushed.
    image, shops = stage.publisher.pinned(GOOD), stage.cluster.deployments(STOREFRONT)
    yield Claim.of(
        f"all {len(shops)} Deployments name {GOOD} by the digest that the registry has", _pinned(shops, image)
    )
    pods = stage.cluster.pods(STOREFRONT)
    yield Claim.of(f"all {len(pods)} pods are Ready and run it", findings.runs(pods, digest_of(image)))
    passed = run.account.passed
    first = findings.canary_first(exposed.workloads, CANARIES, passed=passed, what="Deployments")
    yield Claim.of("no other Deployment had a pod of it before the canary had passed", first)
    yield tidy(shops)


def bad_release(stage: Stage) -> Result:
    """Story 5: a release crashes; it is put back, and no later look at the registry tries it again."""
    told = stage.begin(
        "5. A patch that crashes appears in the registry",
        f"The pods of {NAME} {BAD} crash as soon as they start.",
    )
    before = stage.cluster.deployments(STOREFRONT)
    image = stage.push(BAD)
    run, exposed = rolled_out(stage, POLICY, image)
    reason = findings.ended(run.rollout, run.name, phase="RolledBack", reason="CanaryFailed")
    claims = [
        Claim.of(f"PatchPolicy {POLICY} has proposed it by itself", _proposed(run, image)),
        Claim.of("it ended as RolledBack, because the canary failed", reason),
        *_bad_claims(stage, exposed, before),
    ]
    stage.screen.claims(claims)
    more = list(again(stage, run, POLICY, version=f"web:{BAD}")) if run.rollout is not None else []
    return told.end("RolledBack, not tried again", _seen(run.phase, more), more, touched(exposed), told_already=claims)


def _bad_claims(stage: Stage, exposed: Exposed, before: Sequence[Raw]) -> Iterator[Claim]:
    names = ", ".join(sorted(exposed.workloads)) or "nobody"
    contained = findings.contained(exposed.workloads, CANARIES, what="Deployments")
    yield Claim.of(f"only the canary ever had pods of it: {names}, {_count(len(exposed.pods), 'pod')}", contained)
    image, shops = stage.publisher.pinned(GOOD), stage.cluster.deployments(STOREFRONT)
    yield Claim.of("every Deployment has exactly the pod template it had", findings.same_templates(before, shops))
    yield Claim.of(f"all name {GOOD} by the digest that the registry has", _pinned(shops, image))
    yield Claim.of("all pods are Ready and run it", findings.runs(stage.cluster.pods(STOREFRONT), digest_of(image)))
    yield tidy(shops)


def again(stage: Stage, run: Run, name: str, *, version: str) -> Iterator[Claim]:
    """Let the policy of this name look again, with what has crashed still the newest tag that there is."""
    assert run.rollout is not None
    ended, before = datetime.fromisoformat(run.status["finishedAt"]), stage.cluster.proposed(name)
    # Two looks: whatever came of the first one is there when the second one is.
    stage.await_scan(name, stage.await_scan(name, ended))
    policy, after = stage.cluster.policy(name), stage.cluster.proposed(name)
    stage.screen.line(Mark.POLICY, f"PatchPolicy {name} says: {findings.word(policy)}")
    memory = findings.remembered(policy, change=change_id(run.rollout), version=version)
    yield Claim.of(f"PatchPolicy {name} remembers {version} in status.failedChanges", memory)
    silent = findings.not_tried_again(policy, before, after, since=ended)
    yield Claim.of("no later look proposes it again: Refused, FailedBefore", silent)


def rolled_out(
    stage: Stage, policy: str, image: str, *, meanwhile: Callable[[], None] = lambda: None
) -> tuple[Run, Exposed]:
    """Wait for what a policy proposes by itself, and follow it to its end."""
    name = stage.await_proposed(policy, image)
    run = stage.watch(name, meanwhile) if name else Run(f"{policy} of {image}")
    return run, stage.witness.exposed(image)


def _proposed(run: Run, image: str) -> Iterator[str]:
    return findings.proposed(run.rollout, policy=POLICY, image=image)


def _pinned(shops: Sequence[Raw], image: str) -> Iterator[str]:
    return findings.pinned(shops, image)


def _seen(phase: str, later: Sequence[Claim]) -> str:
    silent = later and not any(claim.faults for claim in later)
    return f"{phase}, not tried again" if silent else phase


def touched(exposed: Exposed) -> str:
    """Count the workloads that had pods of it."""
    return _count(len(exposed.workloads), "workload")


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def tidy(shops: Sequence[Raw]) -> Claim:
    """L6: nothing of ours may be left on them."""
    return Claim.of("no annotation is left", findings.marks(shops))
