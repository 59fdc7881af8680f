"""The simulated cluster as a whole, and the run of a scenario on it to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random

from patchwright import errors
from patchwright.domain import changes
from patchwright.domain.actions import JobStep
from patchwright.domain.health import Finding
from patchwright.domain.memory import FailedChange
from patchwright.domain.model import Change, Key, NodeTarget, PatchPolicy, PatchRollout, ScriptChange, Step
from patchwright.domain.state import TERMINAL, RolloutState
from support.simulator import cache, laws, loop, outside, process
from support.simulator.calls import Fault, Wire
from support.simulator.deployments import Deployed, Deployments, Fate, well
from support.simulator.gitops import Repository
from support.simulator.hardware import Hardware, Script, smooth
from support.simulator.laws.violation import Violation
from support.simulator.process import Process
from support.simulator.server import Change as Written
from support.simulator.server import Server
from support.simulator.taints import Tainter
from support.simulator.things import ZONE, Job, Node, Policy, Rollout, Workload
from support.simulator.workloads import App, Workloads

PEOPLE = "people"
SPACE = process.NAMESPACE
POLICY = PatchPolicy(Key(SPACE, "kernel"), "policy-uid", 1, NodeTarget())
CHANGE = ScriptChange(
    "1.1", "registry.example/patch:1.1", Step(("apply",)), verify=Step(("verify",)), rollback=Step(("rollback",))
)
PREPARED = replace(CHANGE, prepare=Step(("prepare",)))


@dataclass(frozen=True, slots=True)
class Scenario:
    """A fleet, a policy, a change, and what becomes of it.

    ``people`` act at their seconds, those after ``quiet_after`` only while something still goes on; after ``limit``
    seconds the simulation should have been over. While ``unsaid``, nobody can say who signed an image.
    """

    nodes: int = 20
    zones: int = 4
    policy: PatchPolicy = POLICY
    change: Change = CHANGE
    script: Script = smooth
    shops: tuple[Deployed, ...] = ()
    fate: Fate = well
    apps: tuple[App, ...] = ()
    verdict: outside.Verdict = outside.allow
    trouble: Callable[[], errors.PolicyError | None] = lambda: None
    unsaid: Callable[[], bool] = lambda: False
    look: outside.Look = outside.well
    away: Callable[[], bool] = lambda: False
    gone: frozenset[str] = frozenset()
    silent: Callable[[], bool] = lambda: False
    people: Callable[[Cluster], Sequence[tuple[float, Callable[[], None]]]] = lambda _cluster: ()
    control_planes: int = 0
    own_node: str = ""
    overload: float = 0.0
    quiet_after: float | None = None
    limit: float = 6 * 3600.0


@dataclass(slots=True)
class Circumstances:
    """What happens to the operator, all from one seed."""

    seed: int = 0
    faults: dict[int, Fault] = field(default_factory=dict)
    fork: Callable[[int], Fault | None] = lambda _call: None
    chance: float = 0.0
    crash_chance: float = 0.0
    crashes: int = 1
    fitful: bool = False
    restart: float = 3.0
    replicas: int = 1


class Cluster:
    """Everything together."""

    def __init__(self, scenario: Scenario, circumstances: Circumstances) -> None:
        self.scenario = scenario
        self.circumstances = circumstances
        self.random = Random(circumstances.seed)
        self.server = Server()
        self.own_node = scenario.own_node
        deadline = scenario.policy.strategy.progress_deadline.total_seconds()
        self.hardware = Hardware(self.server, scenario.script, self.version_of, deadline)
        self.workloads = Workloads(self.server, scenario.apps, Random(self.random.random()), overload=scenario.overload)
        self.deployments = Deployments(self.server, scenario.fate)
        self.repository = Repository(self.server)
        self.opa = outside.Opa(scenario.verdict, trouble=scenario.trouble)
        self.trust = outside.Trust(scenario.unsaid)
        self.prober = outside.Prober(self._look, scenario.away)
        self.journal = outside.Journal()
        self.processes: list[Process] = []
        self.crashes = 0
        self.versions: dict[str, str] = {}
        # What the laws have to know besides the server's history.
        self.unwell_at: datetime | None = None
        self.pinned_at = loop.EPOCH
        self.deleted_jobs: set[tuple[str, JobStep]] = set()
        self.people_acted = False
        self.stripped: set[str] = set()
        self.unheard: set[str] = set()
        self.torn: dict[str, tuple[datetime, Rollout]] = {}
        self.given_up: list[str] = []
        self.laws = laws.Observer(self)
        # For whoever wants to tell the story.
        self.built: Callable[[], None] = lambda: None
        self.wired: Callable[[Wire], None] = lambda _wire: None
        self._finished = asyncio.Event()

    def version_of(self, rollout_uid: str) -> str:
        """Give the version that a rollout installs."""
        return self.versions[rollout_uid]

    def build(self) -> None:
        """Create the fleet, the policy and the rollout."""
        for number in range(1, self.scenario.nodes + 1):
            self.add_node(number, control_plane=number <= self.scenario.control_planes)
        self.workloads.settle()
        for each in self.scenario.shops:
            self.deployments.create(each)
        self.repository.fill()
        self.server.create(PEOPLE, Policy(self.scenario.policy))
        self.ask_for("kernel-1", self.scenario.change)
        self.server.listen(self._watch)
        self.server.listen(Tainter(self.server, self._taint_delay()).see)
        self.server.listen(self.deployments.see)
        self.server.listen(self.laws.see)
        self.built()

    def _taint_delay(self) -> Callable[[], float]:
        random = Random(self.random.random())
        # A node controller that is overloaded takes longer than the operator waits for it.
        return (lambda: random.choice((0.01, 0.1, 0.5, 3.0))) if self.circumstances.fitful else (lambda: 0.03)

    def add_node(self, number: int, *, control_plane: bool = False, **labels: str) -> Node:
        """Let a node join."""
        zone = f"zone-{'abcdefgh'[(number - 1) % self.scenario.zones]}"
        uid = self.server.uid("node")
        node = Node(f"node-{number:02d}", uid, labels={ZONE: zone, **labels}, control_plane=control_plane)
        return self.server.create(PEOPLE, node)

    def ask_for(self, name: str, change: Change, **fields: object) -> Rollout:
        """Create a rollout."""
        uid = self.server.uid("rollout")
        self.versions[uid] = change.version
        spec = PatchRollout(
            key=Key(SPACE, name),
            uid=uid,
            generation=1,
            created_at=loop.now(),
            policy_name=self.scenario.policy.key.name,
            change=change,
            change_id=changes.change_id(change),
        )
        return self.server.create(PEOPLE, Rollout(replace(spec, **fields)))  # type: ignore[arg-type]  # its own fields

    def _watch(self, change: Written) -> None:
        if change.kind is Node and change.after is None:
            self.workloads.node_gone(change.before.name)
            self.hardware.node_gone(change.before)
        if change.kind is Rollout and self.over():
            self._finished.set()

    def _look(self, check: str) -> Sequence[Finding]:
        found = self.scenario.look(check)
        if found:
            self.unwell_at = loop.now()
        return found

    def over(self) -> bool:
        """Whether every rollout has ended."""
        return all(rollout.state.phase in TERMINAL for rollout in self.server.all(Rollout)) and not any(
            rollout.spec.deleting for rollout in self.server.all(Rollout)
        )

    async def play(self) -> Result:
        """Run to the end, and some minutes beyond it unless it is stuck: what is left then is left for good."""
        self.build()
        running = asyncio.get_running_loop()
        acts = self.scenario.people(self)
        self.people_acted = bool(acts)
        for at, act in acts:
            running.call_at(at, act)
        last_act = max((at for at, _ in acts), default=0.0)
        if self.scenario.quiet_after is not None:
            last_act = self.scenario.quiet_after
        for number in range(self.circumstances.replicas):
            self._operate(f"operator-{number + 1}")
        stuck = False
        try:
            async with asyncio.timeout(self.scenario.limit):
                await self._ended(last_act)
        except TimeoutError:
            stuck = True
        took = running.time()
        await asyncio.sleep(0 if stuck else 400)
        self.laws.close(stuck=stuck)
        for each in self.processes:
            each.die()
        return self._result(took)

    async def _ended(self, last_act: float) -> None:
        running = asyncio.get_running_loop()
        while True:
            if self.over() and running.time() > last_act:
                return
            self._finished.clear()
            wait = asyncio.create_task(self._finished.wait())
            await asyncio.wait([wait], timeout=max(1.0, last_act - running.time()))
            wait.cancel()
            self.raise_failures()

    def raise_failures(self) -> None:
        """Raise what a process died of, unless it was killed."""
        for each in self.processes:
            if each.failure is not None:
                raise each.failure

    def _operate(self, name: str) -> None:
        situation, first = self.circumstances, self.crashes == 0
        random = Random(self.random.random())
        latency = process.quick(random) if situation.fitful else process.constant(0.01)
        wire = Wire(random, latency, faults=dict(situation.faults) if first else {}, chance=situation.chance)
        if first:
            wire.fork = situation.fork
        wire.crash_chance = situation.crash_chance if self.crashes < situation.crashes else 0.0
        lag = cache.fitful(random) if situation.fitful else cache.steady(0.05)
        operator = Process(self, name=name, wire=wire, lag=lag)
        self.processes.append(operator)
        self.wired(wire)
        operator.start()
        asyncio.get_running_loop().create_task(self._revive(operator)).add_done_callback(_heard)

    async def _revive(self, operator: Process) -> None:
        await operator.ended.wait()
        if operator.failure is not None:
            self._finished.set()
            return
        self.crashes += 1
        await asyncio.sleep(self.circumstances.restart)
        self._operate(operator.name)

    def _result(self, took: float) -> Result:
        self.raise_failures()
        return Result(
            states={rollout.key.name: rollout.state for rollout in self.server.all(Rollout)},
            disks={node.name: self.hardware.disk(node.uid) for node in self.server.all(Node)},
            images={each.key: each.image for each in self.server.all(Workload)},
            served={each.key: self.deployments.served(each) for each in self.server.all(Workload)},
            cordoned=frozenset(node.name for node in self.server.all(Node) if node.unschedulable),
            excluded={node.name: node.excluded for node in self.server.all(Node) if node.excluded is not None},
            jobs=sum(1 for _ in self.server.all(Job)),
            calls=self.processes[0].wire.sent,
            log=tuple(self.processes[0].wire.log),
            rounds=sum(each.rounds for each in self.processes),
            took=timedelta(seconds=took),
            violations=tuple(self.laws.violations),
            remembered=tuple(failed for policy in self.server.all(Policy) for failed in policy.failed),
            given_up=tuple(self.given_up),
            events=tuple(self.journal.events),
            at=loop.now(),
        )


def _heard(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()


@dataclass(frozen=True, slots=True)
class Result:
    """How it ended."""

    states: dict[str, RolloutState]
    disks: dict[str, str]
    images: dict[str, str]
    served: dict[str, frozenset[str]]
    cordoned: frozenset[str]
    excluded: dict[str, str]
    jobs: int
    calls: int
    log: tuple[str, ...]
    rounds: int
    took: timedelta
    violations: tuple[Violation, ...]
    remembered: tuple[FailedChange, ...]
    given_up: tuple[str, ...]
    events: tuple[outside.Event, ...]
    at: datetime

    @property
    def state(self) -> RolloutState:
        """The first rollout's state."""
        return self.states["kernel-1"]


def play(scenario: Scenario, circumstances: Circumstances | None = None) -> Result:
    """Run a scenario in a cluster of its own."""

    async def main() -> Result:
        return await Cluster(scenario, circumstances or Circumstances()).play()

    return loop.run(main())
