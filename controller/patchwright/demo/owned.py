"""The story of what belongs to Git: a release is committed where the workloads come from, and taken back there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from patchwright.demo import findings, releases
from patchwright.demo.attendant import FOLDER
from patchwright.demo.cluster import CHECKOUT, Raw
from patchwright.demo.findings import Claim
from patchwright.demo.publisher import APPLICATION as NAME
from patchwright.demo.publisher import digest_of
from patchwright.demo.screen import Mark
from patchwright.demo.site import APPLICATION_RELEASE
from patchwright.demo.stage import Result, Run, Stage
from patchwright.sandbox import syncer

if TYPE_CHECKING:
    from patchwright.demo.desk import Commit, Desk

POLICY: Final = "checkout"
BAD: Final = "2.4.1"


def bad_release(stage: Stage) -> Result:
    """Story 6: a release crashes in a workload that Git owns; both ways are commits, and it is not tried again."""
    told = stage.begin(
        "6. A patch crashes where Git owns the workloads",
        f"Two Deployments of {NAME} are what checkout.git says. {BAD} is committed there, crashes, and is taken back.",
    )
    stage.screen.line(
        Mark.HINT, "checkout.git is applied by a small stand-in for Flux's kustomize-controller; it is not Flux itself"
    )
    before, log = stage.cluster.deployments(CHECKOUT), _Log(stage)
    image = stage.push(BAD, NAME)
    run, exposed = releases.rolled_out(stage, POLICY, image, meanwhile=log.look)
    ended = findings.ended(run.rollout, run.name, phase="RolledBack", reason="CanaryFailed")
    claims = [
        Claim.of(
            f"PatchPolicy {POLICY} has proposed it by itself",
            findings.proposed(run.rollout, policy=POLICY, image=image),
        ),
        Claim.of("it ended as RolledBack, because the canary failed", ended),
        Claim.of(
            f"only the canary ever had pods of it: {', '.join(exposed.workloads) or 'nobody'}",
            findings.contained(exposed.workloads, 1, what="Deployments"),
        ),
        *log.claims(before=stage.publisher.pinned(APPLICATION_RELEASE, NAME), after=image),
        *_cluster_claims(stage, before),
    ]
    stage.screen.claims(claims)
    again = list(_again(stage, run, log)) if run.rollout is not None else []
    seen = f"{run.phase}, in Git too" if log.turned else run.phase
    return told.end("RolledBack, in Git too", seen, again, releases.touched(exposed), told_already=claims)


def _cluster_claims(stage: Stage, before: Sequence[Raw]) -> Iterator[Claim]:
    image, now = stage.publisher.pinned(APPLICATION_RELEASE, NAME), stage.cluster.deployments(CHECKOUT)
    yield Claim.of("both Deployments have exactly the pod template they had", findings.same_templates(before, now))
    yield Claim.of(f"nobody but {syncer.MANAGER} wrote an image", findings.written_by(now, syncer.MANAGER))
    runs = findings.runs(stage.cluster.pods(CHECKOUT), digest_of(image))
    yield Claim.of(f"all pods are Ready and run {APPLICATION_RELEASE} again", runs)
    yield releases.tidy(now)


def _again(stage: Stage, run: Run, log: _Log) -> Iterator[Claim]:
    yield from releases.again(stage, run, POLICY, version=f"app:{BAD}")
    log.look()
    yield Claim.of("nor has it come to checkout.git again", findings.committed(log.subjects, ["Set", "Put back"]))


class _Log:
    """What the server of checkout.git has on main since now; each commit is told when it is seen first."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._desk: Desk = stage.application
        self._began = self._desk.fetch()
        self._seen: list[Commit] = []

    @property
    def subjects(self) -> list[str]:
        """Give the first lines of the commits."""
        return [one.subject for one in self._seen]

    @property
    def turned(self) -> bool:
        """Whether there is one way and the way back."""
        return not list(findings.committed(self.subjects, ["Set", "Put back"]))

    def look(self) -> None:
        """Tell of what is new."""
        for one in self._desk.news(self._began)[len(self._seen) :]:
            self._seen.append(one)
            self._stage.screen.line(Mark.GIT, f'{one.short} "{one.subject}", by {one.author}')
            for file, (gone, come) in one.lines.items():
                for sign, lines in (("-", gone), ("+", come)):
                    for line in lines:
                        self._stage.screen.line(Mark.HINT, f"  {file} {sign} {_short(line)}")

    def claims(self, *, before: str, after: str) -> Iterator[Claim]:
        """Compare what has come with what should: there and back, and nothing but the image."""
        self.look()
        said = " and ".join(one.short for one in self._seen) or "nothing"
        ways = findings.committed(self.subjects, ["Set", "Put back"])
        yield Claim.of(f"main of checkout.git has two commits more, there and back: {said}", ways)
        for one, (old, new) in zip(self._seen, ((before, after), (after, before)), strict=False):
            yield Claim.of(
                f"{one.short} changes the image in one line of one file below {FOLDER}/, and no other byte",
                findings.image_alone(one.lines, old=old, new=new),
            )


def _short(line: str) -> str:
    """Shorten a line with a digest to what a person reads of it."""
    before, at, digest = line.strip().partition("@sha256:")
    return f"{before}{at}{digest[:8]}…" if at else before
