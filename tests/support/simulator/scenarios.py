"""The rollouts that the crash tests go through, call by call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from patchwright.domain.actions import JobStep
from patchwright.domain.model import (
    Canary,
    Drain,
    Quantity,
    Reboot,
    Strategy,
    Wave,
)
from patchwright.domain.nodes.view import Owner
from support.simulator.cluster import CHANGE, POLICY, PREPARED, Scenario
from support.simulator.hardware import Act, Script
from support.simulator.workloads import App

STRATEGY = Strategy(
    canary=Canary(Quantity(2), soak=timedelta(seconds=60)),
    waves=(Wave(Quantity(8), timedelta(seconds=10)),),
    max_unavailable=Quantity(10),
    failure_threshold=Quantity(1),
    progress_deadline=timedelta(seconds=300),
)
FLEET = replace(POLICY, strategy=STRATEGY, drain=Drain(enabled=False))
FAILS = Act(takes=3, exit_code=1, says="dpkg was interrupted")


def unless(special: Mapping[tuple[str, JobStep], Act], otherwise: Act = Act(takes=3)) -> Script:  # noqa: B008 (frozen)
    """Give a script that does the same everywhere but in the named places."""
    return lambda node, step: special.get((node, step), otherwise)


CLEAN = Scenario(policy=FLEET, script=unless({}))
FAILED_CANARY = Scenario(policy=FLEET, script=unless({("node-01", JobStep.APPLY): FAILS}))
SECOND_WAVE = Scenario(policy=FLEET, script=unless({("node-10", JobStep.VERIFY): FAILS}))
REBOOT = Scenario(
    policy=FLEET,
    change=replace(CHANGE, reboot=Reboot.ALWAYS, verify=None),
    script=unless({}, Act(takes=3, reboots=20)),
)
DRAINS = Scenario(
    policy=replace(FLEET, drain=Drain(timeout=timedelta(seconds=120))),
    script=unless({}),
    apps=(App("web", 12, min_available=8), App("batch", 4)),
)
MISSING = Act(waiting="ImagePullBackOff")
PREPARES = Scenario(policy=FLEET, change=PREPARED, script=unless({}))
NO_IMAGE = replace(PREPARES, script=unless({("node-01", JobStep.PREPARE): MISSING}))
BOTH = Drain(
    timeout=timedelta(seconds=120),
    exclude_from_load_balancers=True,
    load_balancer_wait=timedelta(seconds=5),
    wait_for_volume_detach=True,
)
VOLUMES = (
    App("web", 8, min_available=6, detaches_in=6.0),
    App("batch", 4),
    App("agent", 12, owner=Owner.DAEMON_SET, detaches_in=0.0),
)
GENTLE = Scenario(nodes=12, policy=replace(FLEET, drain=BOTH), script=unless({}), apps=VOLUMES)
STORIES = {
    "clean": CLEAN,
    "failed canary": FAILED_CANARY,
    "failure in the second wave": SECOND_WAVE,
    "reboots": REBOOT,
    "drains": DRAINS,
    "prepares": PREPARES,
    "nothing to prepare with": NO_IMAGE,
    "load balancers and volumes": GENTLE,
    "load balancers and volumes, and back": replace(GENTLE, script=SECOND_WAVE.script),
    "load balancers and volumes, prepared": replace(GENTLE, change=PREPARED),
}
