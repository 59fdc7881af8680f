"""A scenario and its circumstances from a seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from random import Random

from patchwright import errors
from patchwright.domain.actions import JobStep
from patchwright.domain.checks import HealthCheck, HttpCheck, JobCheck
from patchwright.domain.health import Finding
from patchwright.domain.model import (
    Canary,
    Drain,
    MaintenanceWindow,
    OnTimeout,
    Operator,
    PatchPolicy,
    Quantity,
    Reboot,
    Requirement,
    Rollback,
    RollbackScope,
    ScriptChange,
    Selector,
    Strategy,
    Wave,
)
from patchwright.domain.nodes.view import Owner
from patchwright.domain.policy import PolicyQuestion, Violation
from support.simulator import loop
from support.simulator.cluster import CHANGE, POLICY, PREPARED, Circumstances, Cluster, Scenario
from support.simulator.hardware import FOREVER, Act, Script
from support.simulator.people import People
from support.simulator.things import ZONE
from support.simulator.workloads import App

ROLE = "role"
WORKERS = Selector((Requirement(ROLE, Operator.NOT_IN, frozenset({"none"})),))
WINDOWS = (
    MaintenanceWindow("0 9 * * *", timedelta(minutes=40)),
    MaintenanceWindow("30 10 * * *", timedelta(hours=9)),
)
# By then people have tidied up; some time later the last word is an abort.
QUIET, TIDY, ABORT, LIMIT = 720.0, 4000.0, 9000.0, 20000.0


def scenario(seed: int) -> Scenario:
    """Draw a fleet, a policy, a change and what becomes of them."""
    random = Random(f"scenario {seed}")
    nodes = random.randint(4, 16)
    change = _change(random)
    found = Scenario(
        nodes=nodes,
        zones=random.randint(1, 4),
        policy=_policy(random, nodes),
        change=change,
        script=_script(random, nodes, change),
        apps=_apps(random, nodes),
        verdict=_verdict(random),
        trouble=_trouble(random),
        look=_look(random),
        away=_spells(random, 0.15),
        people=_people(random, nodes),
        control_planes=random.choice((0, 0, 0, 1, 3)),
        own_node=random.choice(("", f"node-{nodes:02d}", "node-01")),
        overload=random.choice((0.0, 0.0, 0.2)),
        quiet_after=QUIET,
        limit=LIMIT,
    )
    return _gentle(Random(f"gentle {seed}"), found)


def _gentle(random: Random, found: Scenario) -> Scenario:
    """Let every other fleet be behind load balancers, and every other drain wait for volumes."""
    drain = replace(
        found.policy.drain,
        exclude_from_load_balancers=random.random() < 0.5,
        load_balancer_wait=timedelta(seconds=random.choice((0, 5, 40))),
        wait_for_volume_detach=random.random() < 0.5,
    )
    agent = App("agent", found.nodes, owner=Owner.DAEMON_SET, detaches_in=0.0)
    detaches = random.choice((1.0, 8.0, 8.0, 100.0, FOREVER))
    apps = tuple(replace(app, detaches_in=detaches) if app.owner is Owner.OTHER else app for app in found.apps)
    return replace(
        found,
        policy=replace(found.policy, drain=drain),
        apps=(*apps, agent) if drain.wait_for_volume_detach else found.apps,
        people=_labelling(random, found) if drain.exclude_from_load_balancers else found.people,
    )


def _labelling(random: Random, found: Scenario) -> Callable[[Cluster], Sequence[tuple[float, Callable[[], None]]]]:
    """Have people keep load balancers away from nodes too, and take away labels that are not theirs."""
    draw = Random(random.random())

    def acts(cluster: Cluster) -> Sequence[tuple[float, Callable[[], None]]]:
        people, hands = People(cluster), []
        for _ in range(draw.choice((0, 1, 4, found.nodes))):
            name, at = f"node-{draw.randint(1, found.nodes):02d}", draw.uniform(0, 500)
            value = draw.choice((None, None, "", "true"))
            hands.append((at, partial(people.exclude, name, value)))
        return sorted([*hands, *found.people(cluster)], key=lambda act: act[0])

    return acts


def circumstances(seed: int) -> Circumstances:
    """Draw what happens to the operator."""
    random = Random(f"circumstances {seed}")
    return Circumstances(
        seed=seed,
        chance=random.choice((0.0, 0.02, 0.1)),
        crash_chance=random.choice((0.0, 0.01, 0.05)),
        crashes=random.randint(1, 5),
        fitful=random.random() < 0.8,
        restart=random.choice((1.0, 5.0, 30.0)),
        replicas=random.choice((1, 1, 1, 2)),
    )


def _policy(random: Random, nodes: int) -> PatchPolicy:
    waves = tuple(
        Wave(random.choice((Quantity(2), Quantity(25, percent=True))), timedelta(seconds=random.choice((0, 20))))
        for _ in range(random.randint(0, 2))
    )
    strategy = Strategy(
        canary=Canary(Quantity(random.randint(1, 2)), soak=timedelta(seconds=random.choice((0, 30, 120)))),
        waves=waves,
        max_unavailable=Quantity(random.choice((1, 2, 3, nodes))),
        failure_threshold=Quantity(random.choice((1, 1, 2, 3))),
        topology_key=random.choice((None, None, ZONE)),
        progress_deadline=timedelta(seconds=random.choice((60, 300))),
    )
    timeout = timedelta(seconds=random.choice((0, 30)))
    checks: tuple[HealthCheck, ...] = (HealthCheck("probe", HttpCheck("http://web"), timeout=timeout),)
    if random.random() < 0.4:
        checks += (HealthCheck("smoke", JobCheck("smoke:1"), timeout=timeout, probe_timeout=timedelta(seconds=60)),)
    return replace(
        POLICY,
        target=replace(POLICY.target, selector=WORKERS),
        strategy=strategy,
        drain=_drain(random),
        windows=WINDOWS if random.random() < 0.2 else (),
        health_checks=checks if random.random() < 0.4 else (),
        rollback=Rollback(random.random() < 0.9, random.choice(tuple(RollbackScope))),
    )


def _drain(random: Random) -> Drain:
    return Drain(
        enabled=random.random() < 0.8,
        timeout=timedelta(seconds=random.choice((30, 120))),
        on_timeout=random.choice(tuple(OnTimeout)),
        disable_eviction=random.random() < 0.1,
    )


def _change(random: Random) -> ScriptChange:
    return replace(
        CHANGE,
        reboot=random.choice(tuple(Reboot)),
        prepare=PREPARED.prepare if random.random() < 0.4 else None,
        verify=CHANGE.verify if random.random() < 0.7 else None,
    )


def _script(random: Random, nodes: int, change: ScriptChange) -> Script:
    """Let most nodes do well, and some of them each in a way of its own."""
    bad = random.choice((0.0, 0.0, 0.05, 0.2))
    reboots = 15.0 if change.reboot is not Reboot.NEVER else None
    says = '{"version": "1.1", "rebootRequired": true}' if change.reboot is Reboot.WHEN_REQUESTED else ""
    plans: dict[tuple[str, JobStep], Act] = {}
    for number in range(1, nodes + 4):
        for step in JobStep:
            takes = random.uniform(0.5, 8.0)
            good = Act(takes, says=says, reboots=None if step in (JobStep.PREPARE, JobStep.VERIFY) else reboots)
            plans[(f"node-{number:02d}", step)] = _bad(random, good) if random.random() < bad else good
    return lambda node, step: plans.get((node, step), Act())


def _bad(random: Random, good: Act) -> Act:
    return random.choice((
        Act(good.takes, exit_code=1, says="it broke"),
        replace(good, says=None),
        replace(good, hangs=True),
        replace(good, waiting="ImagePullBackOff"),
        replace(good, reboots=FOREVER),
        replace(good, reboots=None, sick=40.0),
        replace(good, reboots=None, sick=FOREVER),
        replace(good, says='{"version": "1.0"}', keeps_old=True),
    ))  # fmt: skip


def _apps(random: Random, nodes: int) -> tuple[App, ...]:
    web = App("web", nodes, min_available=random.choice((None, nodes - 1, nodes - 3, nodes)), ends_in=2.0)
    slow = App("slow", 3, ends_in=random.choice((1.0, 40.0, FOREVER)))
    twice = App("twice", 2, min_available=1, budgets=2)
    return tuple(app for app in (web, slow, twice) if random.random() < (0.1 if app is twice else 0.4))


def _spells(random: Random, likely: float) -> Callable[[], bool]:
    """Be true during a few minutes, with some likelihood at all."""
    if random.random() >= likely:
        return lambda: False
    begins = random.uniform(0, 400)
    ends = begins + random.choice((15, 90, 600))
    return lambda: begins <= (loop.now() - loop.EPOCH).total_seconds() < ends


def _verdict(random: Random) -> Callable[[PolicyQuestion], Sequence[Violation]]:
    frozen = _spells(random, 0.15)
    until = random.random() < 0.5
    return lambda _: (
        (Violation("no changes now", "freeze/deny", until=loop.now() + timedelta(seconds=60) if until else None),)
        if frozen()
        else ()
    )


def _trouble(random: Random) -> Callable[[], errors.PolicyError | None]:
    away, undefined = _spells(random, 0.15), _spells(random, 0.05)

    def trouble() -> errors.PolicyError | None:
        if away():
            return errors.PolicyUnavailable("OPA refused the connection")
        return errors.PolicyUndefined("the answer has no result") if undefined() else None

    return trouble


def _look(random: Random) -> Callable[[str], Sequence[Finding]]:
    sick = _spells(random, 0.25)
    return lambda _: (Finding("web", "web answers 500"),) if sick() else ()


def _people(random: Random, nodes: int) -> Callable[[Cluster], Sequence[tuple[float, Callable[[], None]]]]:
    busy = random.choice((0, 0, 2, 6))
    draw = Random(random.random())

    def acts(cluster: Cluster) -> Sequence[tuple[float, Callable[[], None]]]:
        people = People(cluster)
        drawn = [_act(people, draw, nodes) for _ in range(busy)]
        late = [(TIDY, people.tidy), (ABORT, people.abort_all)]
        return sorted([act for found in drawn for act in found] + late, key=lambda act: act[0])

    return acts


def _act(people: People, random: Random, nodes: int) -> list[tuple[float, Callable[[], None]]]:
    at, name = random.uniform(0, 500), f"node-{random.randint(1, nodes):02d}"
    later = at + random.uniform(5, 200)
    number = random.randint(1, 4)
    dice = random.random()
    kinds: list[list[tuple[float, Callable[[], None]]]] = [
        [(at, lambda: people.cordon(name)), (later, lambda: people.uncordon(name))],
        [(at, lambda: people.cordon(name))],
        [(at, lambda: people.uncordon(name))],
        [(at, lambda: people.annotate(name, None))],
        [(at, lambda: people.garble(name))],
        [(at, lambda: people.annotate(name, '{"v": 7}'))],
        [(at, lambda: people.delete_job(random))],
        [(at, lambda: people.label(name, ROLE, "none"))],
        [(at, lambda: people.opt_out(name))],
        [(at, lambda: people.remove(name))],
        [(at, lambda: people.join(nodes + number))],
        [(at, lambda: people.node(name, foreign="kured")), (later, lambda: people.node(name, foreign=""))],
        [(at, lambda: people.node(name, ready=False)), (later, lambda: people.node(name, ready=True))],
        [(at, lambda: people.rollout(paused=True)), (later, lambda: people.rollout(paused=False))],
        [(at, lambda: people.rollout(abort=True))] if dice < 0.4 else [],
        [(at, lambda: people.rollout(deleting=True))] if dice < 0.4 else [],
        [(at, lambda: people.budget(number))],
        [(at, lambda: people.suspend(True)), (later, lambda: people.suspend(False))],
        [(at, lambda: people.pin(f"rev-{number + 1}"))],
        [(at, lambda: people.supersede("kernel-2"))] if dice < 0.4 else [],
        [(at, people.delete_policy)] if dice < 0.2 else [],
        [(at, people.tear)],
        [(at, people.misspell), (later, lambda: people.misspell(corrected=True))],
        [(at, people.misspell), (later, lambda: people.rollout(deleting=True))] if dice < 0.4 else [],
    ]
    return random.choice(kinds)
