"""Random workloads, images, people and faults, all from one seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from random import Random

from patchwright.domain.model import Canary, PatchPolicy, Quantity, Rollback, RollbackScope, Strategy, Wave
from support.simulator import loop
from support.simulator.chance import ABORT, LIMIT, QUIET, TIDY
from support.simulator.cluster import Cluster, Scenario
from support.simulator.deployments import Deployed, Life
from support.simulator.people import People
from support.simulator.shops import (
    CHANGE,
    CRASHES,
    FLUX,
    FOLLOWING,
    IMAGES,
    NOT_PULLED,
    OLD,
    PINNED,
    TAGGED,
    THROUGH_GIT,
    unless,
)

Acts = list[tuple[float, Callable[[], None]]]
KINDS = ("Deployment", "Deployment", "Deployment", "StatefulSet", "CronJob")
FATES = (CRASHES, NOT_PULLED, Life(crashes_after=20.0), Life(ready_in=30.0), Life(ready_in=None, waiting="Creating"))


def scenario(seed: int) -> Scenario:
    """Draw a scenario."""
    random = Random(f"images {seed}")
    count = random.randint(2, 8)
    shops = tuple(_deployed(random, number) for number in range(count))
    special = {
        f"{each.namespace}/{each.name}": random.choice(FATES) for each in shops if random.random() < 0.15
    }  # fmt: skip
    policy = replace(IMAGES, strategy=_strategy(random), rollback=_rollback(random))
    # Dice of its own, so that what was drawn before it came stays as it was.
    dice = Random(f"git {seed}")
    if dice.random() < 0.3:
        policy = replace(policy, write=THROUGH_GIT.write)
        shops = tuple(replace(each, gitops=FLUX if dice.random() < 0.7 else each.gitops) for each in shops)
    policy, shops = _by_pods(Random(f"pods {seed}"), policy, shops)
    found = Scenario(
        nodes=1,
        policy=policy,
        change=CHANGE,
        shops=shops,
        fate=unless(special),
        people=_people(random, shops),
        quiet_after=QUIET,
        limit=LIMIT,
    )
    return _followed(random, found) if random.random() < 0.5 else found


def _by_pods(
    dice: Random, policy: PatchPolicy, shops: tuple[Deployed, ...]
) -> tuple[PatchPolicy, tuple[Deployed, ...]]:
    """Have some pods of each workload be the canary."""
    if dice.random() < 0.5:
        return policy, shops
    canary = replace(policy.strategy.canary, pods=dice.choice((Quantity(1), Quantity(2), Quantity(50, percent=True))))
    others = tuple(
        replace(each, kind="DaemonSet") if each.kind == "Deployment" and dice.random() < 0.3 else each for each in shops
    )
    return replace(policy, strategy=replace(policy.strategy, canary=canary)), others


def _followed(random: Random, found: Scenario) -> Scenario:
    """Have the image followed, by a registry that does not answer for a while, or has lost what runs."""
    begin, span = random.uniform(0, 100), random.choice((0, 0, 20, 200))
    return replace(
        found,
        policy=replace(found.policy, target=FOLLOWING),
        gone=frozenset({OLD}) if random.random() < 0.2 else frozenset(),
        silent=lambda: begin <= (loop.now() - loop.EPOCH).total_seconds() < begin + span,
    )


def _deployed(random: Random, number: int) -> Deployed:
    kind = random.choice(KINDS)
    return Deployed(
        random.choice(("pay", "shop")),
        f"web-{number}",
        random.choice((TAGGED, TAGGED, PINNED)),
        kind=kind,
        replicas=0 if random.random() < 0.1 else random.randint(1, 3),
        running=OLD,
        paused=random.random() < 0.05,
        recreate=random.random() < 0.05,
        owner="Prometheus k8s" if random.random() < 0.05 else "",
        gitops="Flux Kustomization a/b" if random.random() < 0.05 else "",
    )


def _strategy(random: Random) -> Strategy:
    waves = tuple(Wave(Quantity(2), timedelta(seconds=random.choice((0, 20)))) for _ in range(random.randint(0, 2)))
    return Strategy(
        canary=Canary(Quantity(random.randint(1, 2)), soak=timedelta(seconds=random.choice((0, 30, 120)))),
        waves=waves,
        max_unavailable=Quantity(random.choice((1, 2, 3))),
        failure_threshold=Quantity(random.choice((1, 1, 2))),
        progress_deadline=timedelta(seconds=random.choice((60, 300))),
    )


def _rollback(random: Random) -> Rollback:
    return Rollback(random.random() < 0.9, random.choice(tuple(RollbackScope)))


def _people(
    random: Random, shops: Sequence[Deployed]
) -> Callable[[Cluster], Sequence[tuple[float, Callable[[], None]]]]:
    busy = random.choice((0, 0, 2, 6))
    draw = Random(random.random())

    def acts(cluster: Cluster) -> Acts:
        people = People(cluster)
        drawn = [_act(people, draw, shops) for _ in range(busy)]
        late: Acts = [(TIDY, people.tidy), (ABORT, people.abort_all)] if busy else [(ABORT, people.abort_all)]
        return sorted([act for found in drawn for act in found] + late, key=lambda act: act[0])

    return acts


def _act(people: People, random: Random, shops: Sequence[Deployed]) -> Acts:
    at = random.uniform(0, 300)
    later = at + random.uniform(5, 200)
    each = random.choice(shops)
    key, number, dice = f"{each.namespace}/{each.name}", random.randint(0, 4), random.random()
    kinds: list[Acts] = [
        [(at, lambda: people.set_image(key, f"registry.example/shop/web:9.{number}"))],
        [(at, lambda: people.set_image(key, TAGGED))],
        [(at, lambda: people.workload(key, paused=True)), (later, lambda: people.workload(key, paused=False))],
        [(at, lambda: people.workload(key, paused=True))],
        [(at, lambda: people.workload(key, replicas=number))],
        [(at, lambda: people.annotate_workload(key, None))],
        [(at, lambda: people.annotate_workload(key, '{"v": 7}'))],
        [(at, lambda: people.remove_workload(key))],
        [(at, lambda: people.workload(key, gitops="Argo CD application shop"))],
        [(at, lambda: people.rollout(paused=True)), (later, lambda: people.rollout(paused=False))],
        [(at, lambda: people.rollout(abort=True))] if dice < 0.4 else [],
        [(at, lambda: people.rollout(deleting=True))] if dice < 0.4 else [],
        [(at, lambda: people.suspend(True)), (later, lambda: people.suspend(False))],
        [(at, lambda: people.pin(f"rev-{number + 2}"))],
        [(at, lambda: people.supersede("kernel-2"))] if dice < 0.4 else [],
        [(at, people.delete_policy)] if dice < 0.2 else [],
    ]
    return random.choice(kinds)
