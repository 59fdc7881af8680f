"""What the machines themselves are like: the software on each disk, power, and what a script does there.

The pipeline never sees this; the laws compare with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from patchwright.domain.actions import JobStep
from patchwright.domain.nodes.view import Outcome
from support.simulator import loop
from support.simulator.server import Server
from support.simulator.things import Job, Node

OLD = "1.0"
KUBELET = "kubelet"


@dataclass(frozen=True, slots=True)
class Act:
    """What one step does on one node; durations are in seconds.

    ``says`` is the termination message, ``None`` when it is lost. ``waiting`` is a reason for which the pod never
    starts. ``reboots`` is how long the node is away after the step, ``sick`` how long it is NotReady after it without a
    reboot, ``FOREVER`` for good. ``keeps_old`` is a step that says it succeeded and changed nothing.
    """

    takes: float = 5.0
    says: str | None = ""
    exit_code: int = 0
    hangs: bool = False
    waiting: str = ""
    reboots: float | None = None
    sick: float | None = None
    keeps_old: bool = False


FOREVER = 1e9
Script = Callable[[str, JobStep], Act]


def smooth(_node: str, _step: JobStep) -> Act:
    """Every step succeeds in five seconds."""
    return Act()


@dataclass(slots=True)
class Run:
    """One pod of a Job that really ran."""

    job: str
    node: str
    node_uid: str
    step: JobStep
    rollout_uid: str
    began: float
    ended: float | None = None
    ok: bool = False
    overlapped: str = ""


@dataclass(slots=True)
class Hardware:
    """Every machine, by node UID."""

    server: Server
    script: Script
    wanted: Callable[[str], str]
    deadline: float
    disks: dict[str, str] = field(default_factory=dict)
    before: dict[tuple[str, str], str] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)
    tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    def disk(self, node_uid: str) -> str:
        """Give the version on a machine; one that was interrupted is ``half-…``."""
        return self.disks.get(node_uid, OLD)

    def start(self, job: Job) -> None:
        """Run a Job's pod, as the Job controller, the scheduler and the kubelet would."""
        self.tasks[job.uid] = asyncio.get_running_loop().create_task(self._run(job))

    def stop(self, job: Job) -> None:
        """Delete a Job in the foreground: it is gone a second later, once its pod is."""
        task = self.tasks.pop(job.uid, None)
        if task is not None:
            task.cancel()
        for run in self.runs:
            if run.job == job.uid and run.ended is None:
                run.ended = asyncio.get_running_loop().time() + 1
        asyncio.get_running_loop().call_later(1.0, self._gone, job)

    def _gone(self, job: Job) -> None:
        known = self.server.get(Job, job.name)
        if known is not None and known.uid == job.uid:
            self.server.delete(KUBELET, known)

    async def _run(self, job: Job) -> None:
        act = self.script(job.node, job.step)
        await asyncio.sleep(0.3)
        if act.waiting:
            self._report(job, waiting=act.waiting)
            await self._overdue(job, None)
            return
        await self._powered(job)
        run = self._begin(job)
        self._report(job, running=True)
        if act.hangs:
            await self._overdue(job, run)
            return
        await asyncio.sleep(act.takes)
        await self._powered(job)
        self._finish(job, run, act)
        self._report(
            job,
            running=False,
            outcome=Outcome.FAILED if act.exit_code else Outcome.SUCCEEDED,
            exit_code=act.exit_code,
            termination=act.says,
            finished_at=loop.now(),
        )
        await self._power(job, act)

    async def _overdue(self, job: Job, run: Run | None) -> None:
        """End a pod at its Job's ``activeDeadlineSeconds``, as the Job controller does whether or not we are there."""
        await asyncio.sleep(self.deadline)
        if run is not None:
            run.ended = asyncio.get_running_loop().time()
        self._report(job, running=False, outcome=Outcome.FAILED, finished_at=loop.now(), termination="")

    def _begin(self, job: Job) -> Run:
        now = asyncio.get_running_loop().time()
        here = [run for run in self.runs if run.node_uid == job.node_uid]
        others = [run.step for run in here if run.ended is None or run.ended > now]
        run = Run(
            job.uid, job.node, job.node_uid, job.step, job.rollout_uid, now,
            overlapped=", ".join(others),
        )  # fmt: skip
        self.runs.append(run)
        if job.step is JobStep.APPLY:
            self.before.setdefault((job.node_uid, job.rollout_uid), self.disk(job.node_uid))
            self.disks[job.node_uid] = f"half-{self.wanted(job.rollout_uid)}"
        return run

    def _finish(self, job: Job, run: Run, act: Act) -> None:
        run.ended, run.ok = asyncio.get_running_loop().time(), act.exit_code == 0
        if not run.ok:
            return
        if job.step is JobStep.APPLY:
            kept = self.before[(job.node_uid, job.rollout_uid)]
            self.disks[job.node_uid] = kept if act.keeps_old else self.wanted(job.rollout_uid)
        elif job.step is JobStep.ROLLBACK:
            self.disks[job.node_uid] = self.before.get((job.node_uid, job.rollout_uid), self.disk(job.node_uid))

    async def _power(self, job: Job, act: Act) -> None:
        away = act.reboots if act.reboots is not None else act.sick
        if away is None:
            return
        await asyncio.sleep(1.0)
        self._node(job, ready=False)
        await asyncio.sleep(away)
        node = self.server.get(Node, job.node)
        boot = node.boot + (act.reboots is not None) if node else 0
        self._node(job, ready=True, boot=boot)

    async def _powered(self, job: Job) -> None:
        # Virtual time: polling costs nothing, and is the same at every run.
        while (node := self.server.get(Node, job.node)) is not None and not node.ready:  # noqa: ASYNC110
            await asyncio.sleep(1.0)

    def _node(self, job: Job, **fields: Any) -> None:
        node = self.server.get(Node, job.node)
        if node is not None and node.uid == job.node_uid:
            self.server.update(KUBELET, node, **fields)

    def _report(self, job: Job, **fields: Any) -> None:
        known = self.server.get(Job, job.name)
        if known is not None and known.uid == job.uid:
            self.server.update(KUBELET, known, **fields)

    def node_gone(self, node: Node) -> None:
        """Fail the Jobs of a machine that is gone, as the pod garbage collector would have it."""
        for job in [job for job in self.server.all(Job) if job.node_uid == node.uid and job.outcome is None]:
            task = self.tasks.pop(job.uid, None)
            if task is not None:
                task.cancel()
            asyncio.get_running_loop().call_later(5.0, self._lost, job)

    def _lost(self, job: Job) -> None:
        self._report(job, running=False, outcome=Outcome.FAILED, finished_at=loop.now(), termination="")
