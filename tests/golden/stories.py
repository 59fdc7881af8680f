"""The stories of the golden transcripts: six nodes in two zones, one canary, a wave of two, and the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from golden.people import with_people
from patchwright.domain.actions import JobStep
from patchwright.domain.checks import HealthCheck, HttpCheck
from patchwright.domain.health import Finding
from patchwright.domain.model import Canary, Drain, MaintenanceWindow, Quantity, Strategy, Wave
from patchwright.domain.nodes.view import Owner
from patchwright.domain.policy import PolicyQuestion, Violation
from support.simulator import loop
from support.simulator.cluster import POLICY, PREPARED, Scenario
from support.simulator.hardware import FOREVER, Act
from support.simulator.people import People
from support.simulator.scenarios import unless
from support.simulator.workloads import App

STRATEGY = Strategy(
    canary=Canary(Quantity(1), soak=timedelta(minutes=1)),
    waves=(Wave(Quantity(2), timedelta(seconds=30)),),
    max_unavailable=Quantity(2),
    progress_deadline=timedelta(minutes=5),
)
SIX = replace(POLICY, strategy=STRATEGY, drain=Drain(timeout=timedelta(minutes=2)))
WORKS = Act(takes=8, says='{"version": "1.1", "message": "installed 4 packages"}')
BREAKS = Act(takes=5, exit_code=100, says='{"message": "unmet dependencies: libc6"}')
PLAIN = Scenario(nodes=6, zones=2, policy=SIX, script=unless({}, WORKS), apps=(App("web", 6, min_available=4),))


def seconds() -> float:
    return (loop.now() - loop.EPOCH).total_seconds()


def frozen(question: PolicyQuestion) -> Sequence[Violation]:
    """Freeze the waves, not the start, during the first ten minutes."""
    if question.input["stage"] != "wave" or seconds() > 600:
        return ()
    return (Violation("changes are frozen for the release", "freeze/deny", until=loop.EPOCH + timedelta(minutes=10)),)


def denied(_question: PolicyQuestion) -> Sequence[Violation]:
    return (Violation("the image is not pinned by digest", "patchwright.rollout/pinned"),)


def edge(who: People) -> None:
    """Keep load balancers to the first node."""
    for number in range(2, 7):
        who.exclude(f"node-{number:02d}", "")


def sick(_check: str) -> Sequence[Finding]:
    return (Finding("web", "GET http://web answers 503"),) if seconds() > 60 else ()


CHECKED = replace(SIX, health_checks=(HealthCheck("web", HttpCheck("http://web"), timeout=timedelta(seconds=20)),))
VERIFIED_BADLY = {("node-04", JobStep.VERIFY): replace(WORKS, exit_code=1, says="kubelet does not answer")}
NO_WAY_BACK = {
    ("node-01", JobStep.APPLY): BREAKS,
    ("node-01", JobStep.ROLLBACK): Act(takes=5, exit_code=1, says="no such snapshot"),
}
NEVER = replace(PLAIN, apps=(App("db", 6, min_available=6),))
TONIGHT = replace(SIX, windows=(MaintenanceWindow("0 9 * * *", timedelta(minutes=8, seconds=30)),))
BALANCED = replace(SIX, drain=Drain(timeout=timedelta(minutes=2), exclude_from_load_balancers=True))
ATTACHED = replace(SIX, drain=Drain(timeout=timedelta(minutes=2), wait_for_volume_detach=True))
AGENT = App("agent", 6, owner=Owner.DAEMON_SET, detaches_in=0.0)
DETACHES = (App("web", 6, min_available=4, detaches_in=7.0), AGENT)
STUCK = (App("web", 6, min_available=4, detaches_in=FOREVER), AGENT)
BROKEN_CANARY = replace(PLAIN, script=unless({("node-01", JobStep.APPLY): BREAKS}, WORKS))
BROKEN_LATE = replace(PLAIN, script=unless(VERIFIED_BADLY, WORKS))

PREPARES = replace(PLAIN, change=PREPARED)
NO_IMAGE = replace(PREPARES, script=unless({("node-01", JobStep.PREPARE): Act(waiting="ImagePullBackOff")}, WORKS))

STORIES: dict[str, tuple[str, Scenario]] = {
    "clean": ("A clean rollout: canary, soak, a wave of two, and the rest", PLAIN),
    "prepared": ("A clean rollout of a change with a prepare step, which runs before the cordon", PREPARES),
    "nothing-to-prepare-with": (
        "The canary cannot pull its image; it was never cordoned, no version is blamed",
        NO_IMAGE,
    ),
    "prepared-midway": (
        "While two nodes are prepared a person cordons one, and another that breaks down takes the other's place",
        with_people(
            PREPARES,
            (90, lambda who: who.cordon("node-03")),
            (93, lambda who: who.node("node-02", ready=False)),
            (94, lambda who: who.node("node-04", ready=False)),
            (120, lambda who: who.uncordon("node-03")),
            (150, lambda who: who.node("node-02", ready=True)),
            (160, lambda who: who.node("node-04", ready=True)),
        ),
    ),
    "failed-canary": ("The canary's apply step fails; it is put back, and the version is remembered", BROKEN_CANARY),
    "failure-in-wave-2": ("A node of the first wave fails to verify; everything is put back", BROKEN_LATE),
    "stuck-drain": ("A PodDisruptionBudget never allows an eviction; the drain is undone at its timeout", NEVER),
    "volumes": (
        "The volumes of the pods that go are waited for; those of a DaemonSet stay",
        replace(PLAIN, policy=ATTACHED, apps=DETACHES),
    ),
    "stuck-volume": (
        "A volume stays attached; the drain is undone at its timeout, and the volume is named",
        replace(PLAIN, policy=ATTACHED, apps=STUCK),
    ),
    "load-balancers": (
        "Nodes leave the load balancers with their cordon; one that a person keeps out stays out",
        with_people(replace(PLAIN, policy=BALANCED), (0.001, lambda who: who.exclude("node-02"))),
    ),
    "last-backend": (
        "Load balancers have one node only; it waits until they may use another one",
        with_people(replace(PLAIN, policy=BALANCED), (0.001, edge), (600, lambda who: who.exclude("node-02", None))),
    ),
    "window-closes": (
        "The maintenance window closes midway; the rest waits for the next one",
        replace(PLAIN, policy=TONIGHT, limit=90000),
    ),
    "paused": (
        "Somebody pauses the rollout in a wave, and resumes it",
        with_people(PLAIN, (85, lambda who: who.rollout(paused=True)), (200, lambda who: who.rollout(paused=False))),
    ),
    "aborted": ("Somebody aborts the rollout in a wave", with_people(PLAIN, (90, lambda who: who.rollout(abort=True)))),
    "deleted": (
        "Somebody deletes the rollout while a canary runs its apply Job",
        with_people(PLAIN, (8, lambda who: who.rollout(deleting=True))),
    ),
    "superseded": (
        "A newer change arrives in the middle of a wave",
        with_people(PLAIN, (85, lambda who: who.supersede("kernel-2"))),
    ),
    "human-cordon": (
        "Somebody has cordoned a node; it is left out, and stays cordoned",
        with_people(PLAIN, (0.001, lambda who: who.cordon("node-02"))),
    ),
    "uncordoned-midway": (
        "Somebody uncordons a node in the middle of its drain",
        with_people(PLAIN, (0.9, lambda who: who.uncordon("node-01"))),
    ),
    "node-vanishes": (
        "A node is deleted while it is patched",
        with_people(PLAIN, (86, lambda who: who.remove("node-03"))),
    ),
    "node-joins-late": (
        "A node joins while the last wave is at work",
        with_people(PLAIN, (140, lambda who: who.join(7))),
    ),
    "policy-denied": ("Policy denies the rollout before anything is touched", replace(PLAIN, verdict=denied)),
    "freeze-until": ("Policy freezes the waves for ten minutes", replace(PLAIN, verdict=frozen)),
    "unhealthy-soak": ("A health check fails while the canary soaks", replace(PLAIN, policy=CHECKED, look=sick)),
    "finalizer-removed": (
        "Somebody removes a rollout's finalizer and deletes it in the middle of a wave; a newer one follows",
        with_people(
            replace(PLAIN, nodes=4, apps=(), script=unless({}, Act(takes=8))),
            (95, lambda who: who.tear()),
            (130, lambda who: who.supersede("kernel-2")),
            (200, lambda who: who.uncordon("node-03")),
        ),
    ),
    "quarantined": (
        "The canary fails, and so does its rollback: the node is left to a person",
        replace(PLAIN, script=unless(NO_WAY_BACK, WORKS)),
    ),
}
