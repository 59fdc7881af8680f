"""A thousand Deployments that share forty images: until all are known and judged, whole rollouts, and at rest."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import audit, imagefloor, shop, stage
from bench.process import MIB, OperatorProcess, Usage
from bench.report import Line, Section, within
from bench.shop import Shop
from patchwright.sandbox import progress

MEMORY_MIB, IDLE = 200.0, 0.02
# What fluxcd/flux-benchmark publishes for 1,000 Kustomizations with Flux 2.9: 4m13s.
FLUX_S = 253.0
# Images' own tags, beside the one that runs: a repository has a history.
OLD_TAGS = 20
A_SPACE = 50
PARALLEL = 100
AGENT, POLICY = "fleet/agent", "fleet"
INTERVAL, ROUND_S = "10m", 600


@dataclass(frozen=True, slots=True)
class Size:
    """How many Deployments, how many images they share, and how many seconds of rest are measured.

    Each runs one of the images, and beside it the one that all of them run.
    """

    deployments: int
    images: int = 40
    rest: float = 120.0

    @property
    def sharing(self) -> int:
        """How many Deployments run one of the images."""
        return self.deployments // self.images

    @property
    def followed(self) -> int:
        """How many images are followed."""
        return self.images + 1

    def __str__(self) -> str:
        return f"{self.deployments:,} Deployments, {self.images} images and one that all run"


@dataclass(frozen=True, slots=True)
class Change:
    """One image that changes: its repository, the tag that comes, and how many Deployments run it."""

    repository: str
    tag: str
    deployments: int

    @property
    def parallel(self) -> int:
        """How many at a time: the library of policies denies more than half."""
        return min(PARALLEL, self.deployments * 2 // 5)

    def __str__(self) -> str:
        return f"{self.deployments:,} Deployments, {self.parallel} at a time"


@dataclass(frozen=True, slots=True)
class Known:
    """Seconds from the operator's start to readiness, and to the last image judged; and until all were judged again."""

    ready: float
    judged: float
    again: float


@dataclass(frozen=True, slots=True)
class Run:
    """One rollout: seconds from a push that is told to its proposal, until it runs everywhere, and until the end."""

    proposed: float
    updated: float
    ended: float
    before: Usage
    after: Usage
    requests: audit.Requests


# --- rows -----------------------------------------------------------------------------------------------------------


def bench(size: Size, show: progress.Progress, *, profile: Path | None = None) -> list[Section]:
    """Measure one size: the start, the rollout of one image and that of the one that all run, each beside its floor."""
    one = Change("fleet/app-07", "1.0.1", size.sharing)
    every = Change(AGENT, "1.0.2", size.deployments)
    with _filled(size, show) as opened:
        with _operator(opened, profile) as (operator, began):
            known = _known(opened, size, show=show, began=began, ready=time.monotonic() - began)
            runs = {one: _rolled_out(opened, operator, one, show)}
            # The new pods run the other image as well, and kwok does not say which.
            _told_by_kubelet(opened, show)
            runs[every] = _rolled_out(opened, operator, every, show)
        floors = {change: _floor(opened, change, show) for change in runs}
    return [
        _judged(size, known),
        *(_times(change, run, floors[change]) for change, run in runs.items()),
        *(_requests(change, run) for change, run in runs.items()),
    ]


def rest(size: Size, show: progress.Progress) -> list[Section]:
    """Measure what the operator needs for one size while nothing happens, and what a round of looks adds to it."""
    with _filled(size, show) as opened, _operator(opened, None) as (operator, began):
        show.step(f"Until {size} are known and judged")
        _until_judged(opened, size, since=datetime.min.replace(tzinfo=UTC))
        judged, took = operator.usage(), time.monotonic() - began
        show.step(f"The operator at rest over {size}")
        time.sleep(min(30.0, size.rest))
        before = operator.usage()
        time.sleep(size.rest)
        after = operator.usage()
    return [resting(size, judged, before, after, took=took)]


# --- the stage ------------------------------------------------------------------------------------------------------


@contextmanager
def _filled(size: Size, show: progress.Progress) -> Iterator[Shop]:
    with shop.opened(2 * size.deployments, show) as opened:
        _push(opened, size, show)
        spaces = [opened.space(f"team-{number}") for number in range(-(-size.deployments // A_SPACE))]
        show.step(f"Creating {size.deployments:,} Deployments", total=size.deployments)
        for number, space in enumerate(spaces):
            mine = range(number * A_SPACE, min((number + 1) * A_SPACE, size.deployments))
            found = [_deployment(opened, f"app-{each}", _app(each % size.images)) for each in mine]
            opened.run(space, found, show)
        _told_by_kubelet(opened, show)
        yield opened


@contextmanager
def _operator(opened: Shop, profile: Path | None) -> Iterator[tuple[OperatorProcess, float]]:
    """Start the operator, whose policy is there already; give when that began, too."""
    followed = [shop.entry(f"{opened.host}/fleet/*", interval=INTERVAL)]
    policy = shop.policy(POLICY, followed, strategy={}, trigger="Automatic")
    opened.on.create("patchpolicies", policy)
    began = time.monotonic()
    with opened.on.operator(profile) as operator:
        yield operator, began


def _app(number: int) -> str:
    return f"fleet/app-{number:02}"


def _deployment(opened: Shop, name: str, repository: str) -> stage.Manifest:
    # Not pinned, as people have it: which digest runs is told by the pods alone.
    running = {"app": f"{opened.host}/{repository}:1.0.0", "agent": f"{opened.host}/{AGENT}:1.0.0"}
    return shop.deployment(name, running, replicas=1)


def _push(opened: Shop, size: Size, show: progress.Progress) -> None:
    """Push every image, with a history."""
    repositories = [AGENT, *map(_app, range(size.images))]
    show.step(f"Pushing {len(repositories)} images", total=len(repositories))
    for repository in repositories:
        old = opened.store.push(f"{repository}:0.9.0")
        for number in range(1, OLD_TAGS):
            opened.store.tag(repository, old.digest, tag=f"0.9.{number}")
        opened.store.push(f"{repository}:1.0.0")
        show.advance()


def _told_by_kubelet(opened: Shop, show: progress.Progress) -> None:
    """Have each pod tell the digests that it runs, as kubelet does: kwok says what the pod's spec says."""
    pods = [raw for raw in opened.on.api.items("/api/v1/pods") if raw["metadata"]["namespace"].startswith("team-")]
    statuses = {id(raw): raw["status"]["containerStatuses"] for raw in pods}
    images = {each["image"] for found in statuses.values() for each in found if "@" not in each["image"]}
    ids = {image: _image_id(opened, image) for image in images}
    show.step("Pods tell their digests", total=len(pods))

    def tell(raw: stage.Manifest) -> None:
        metadata = raw["metadata"]
        told = [{**each, "imageID": ids.get(each["image"], each["imageID"])} for each in statuses[id(raw)]]
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/status"
        opened.on.api.patch(path, {"status": {"containerStatuses": told}})
        show.advance()

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(tell, pods))


def _image_id(opened: Shop, image: str) -> str:
    name = image.partition("/")[2]
    digest = hashlib.sha256(opened.store.manifest(name)).hexdigest()
    return f"{image.rpartition(':')[0]}@sha256:{digest}"


# --- what is measured -----------------------------------------------------------------------------------------------


def judged(size: Size, since: datetime) -> Callable[[stage.Manifest], list[str]]:
    """Give what a policy's status tells: that it selects all, and has judged every image by a look after ``since``."""

    def facts(policy: stage.Manifest) -> list[str]:
        status = policy.get("status") or {}
        images = status.get("images") or ()
        known = status.get("selected") == size.deployments and len(images) == size.followed
        return ["judged"] if known and all(_is_judged(image, since) for image in images) else []

    return facts


def _is_judged(image: stage.Manifest, since: datetime) -> bool:
    at = image.get("scannedAt")
    return image.get("reason") == "UpToDate" and at is not None and datetime.fromisoformat(at) >= since


def _known(opened: Shop, size: Size, *, show: progress.Progress, began: float, ready: float) -> Known:
    show.step(f"Until {size} are known and judged")
    first = _until_judged(opened, size, since=datetime.min.replace(tzinfo=UTC)) - began
    asked, now = time.monotonic(), datetime.now(UTC)
    body = {"metadata": {"annotations": {"patchwright.dev/requestedAt": now.isoformat()}}}
    opened.on.api.patch(f"{stage.OURS}/patchpolicies/{POLICY}", body)
    return Known(ready, first, _until_judged(opened, size, since=now) - asked)


def _until_judged(opened: Shop, size: Size, *, since: datetime) -> float:
    path = f"{stage.OURS}/patchpolicies"
    facts = judged(size, since)
    sight = stage.Sight(opened.on.api, path)
    sight.start(facts)
    if any(facts(found) for found in opened.on.api.items(path)):
        return time.monotonic()
    return sight.wait("judged", timeout=120 + size.deployments / 5)


def _rolled_out(opened: Shop, operator: OperatorProcess, change: Change, show: progress.Progress) -> Run:
    show.step(f"{change.repository}:{change.tag} on {change}")
    where = f"{stage.OURS}/patchpolicies/{POLICY}"
    opened.on.api.patch(where, {"spec": {"strategy": {"maxUnavailable": change.parallel}}})
    sight = stage.Sight(opened.on.api, f"{stage.OURS}/patchrollouts")
    sight.start(progress_of)
    opened.store.push(f"{change.repository}:{change.tag}")
    position, before, began = audit.mark(opened.on.plane.audit_log), operator.usage(), time.monotonic()
    body = {"metadata": {"annotations": {"patchwright.dev/requestedAt": change.tag}}}
    opened.on.api.patch(where, body)
    proposed = sight.wait(f"{change.tag} created", timeout=120)
    ended = sight.wait(f"{change.tag} Succeeded", timeout=120 + change.deployments)
    after = operator.usage()
    updated = sight.wait(f"{change.tag} updated {change.deployments}", timeout=1)
    time.sleep(2)  # The audit log is written in batches, and events after the fact.
    requests = audit.since(opened.on.plane.audit_log, position)
    return Run(proposed - began, updated - proposed, ended - proposed, before, after, requests)


def progress_of(rollout: stage.Manifest) -> list[str]:
    """Give what a rollout's status tells, by the tag that it brings."""
    tag, status = rollout["spec"]["change"]["images"][0]["tag"], rollout.get("status") or {}
    facts = [f"{tag} created"]
    facts += [f"{tag} {status['phase']}"] if status.get("phase") else []
    return facts + ([f"{tag} updated {status['counts']['updated']}"] if status.get("counts") else [])


def _floor(opened: Shop, change: Change, show: progress.Progress) -> float:
    show.step(f"Floor script, {change}")
    repository = f"{opened.host}/{change.repository}"
    return imagefloor.run(opened.on, repository, tag=f"{change.tag}-floor", parallel=change.parallel)


# --- tables ---------------------------------------------------------------------------------------------------------


def _judged(size: Size, known: Known) -> Section:
    lines = (
        Line(("operator's start to readiness, s", f"{known.ready:.1f}")),
        Line(("start to every workload known and every image judged, s", f"{known.judged:.1f}")),
        Line(("all of it again, asked for by an annotation, s", f"{known.again:.1f}")),
    )
    numbers = {"ready_s": known.ready, "judged_s": known.judged, "again_s": known.again}
    note = (
        f"No image is pinned, so that {size.deployments:,} lists of pods tell which digests run; each repository has "
        f"{OLD_TAGS + 1} tags. All images come from one registry, which is spared more than ten requests a second."
    )
    return Section(
        f"images-{size.deployments}", f"Known and judged: {size}", ("what", "measured"), lines, numbers, note
    )


def _times(change: Change, run: Run, floor: float) -> Section:
    cpu = run.after.cpu - run.before.cpu
    lines = [
        Line(("registry looked at (asked for) to rollout proposed, s", f"{run.proposed:.1f}")),
        Line(("floor script, s", f"{floor:.1f}")),
        Line(("operator, s, until the new image runs everywhere", f"{run.updated:.1f}")),
        Line(("operator, s, until nothing of ours is left", f"{run.ended:.1f}")),
        Line(("operator / floor", f"{run.ended / floor:.2f}")),
        Line(("operator CPU, ms per Deployment, the looks included", f"{1000 * cpu / change.deployments:.1f}")),
        Line(("operator memory, MiB at most", f"{run.after.peak / MIB:.0f}")),
    ]
    if change.deployments == 1000:
        text = f"times as fast as Flux for 1,000 Kustomizations ({FLUX_S:.0f} s, published, elsewhere)"
        lines.insert(5, Line((text, f"{FLUX_S / run.ended:.1f}"), "≥ 1", within(run.ended, FLUX_S)))
    numbers: dict[str, Any] = {
        "deployments": change.deployments,
        "parallel": change.parallel,
        "proposed_s": run.proposed,
        "floor_s": floor,
        "updated_s": run.updated,
        "ended_s": run.ended,
        "cpu_s": cpu,
        "peak_bytes": run.after.peak,
    }
    title = f"Rollout of one image: a canary, then the others of {change}"
    return Section(f"image-rollout-{change.deployments}", title, ("what", "measured"), tuple(lines), numbers)


def _requests(change: Change, run: Run) -> Section:
    found, count = run.requests, change.deployments
    few = max(2, count // 50)
    lines = [Line((kind, f"{n}", f"{n / count:.2f}")) for kind, n in found.ours.most_common() if n > few]
    rest = sum(n for n in found.ours.values() if n <= few)
    lines += [
        Line(("all the others", f"{rest}", f"{rest / count:.2f}")),
        Line(("the operator's work", f"{found.ours.total()}", f"{found.ours.total() / count:.2f}")),
    ]
    numbers = {"ours": dict(found.ours), "lease": dict(found.lease), "watches": dict(found.watches)}
    title = f"Requests to the API server, one image of {change}"
    columns = ("request (audit log, by user agent)", "count", "per Deployment")
    return Section(f"image-requests-{count}", title, columns, tuple(lines), numbers)


def resting(size: Size, judged: Usage, before: Usage, after: Usage, *, took: float) -> Section:
    """Give the table of the operator at rest; ``judged`` is its account ``took`` seconds after it was started."""
    still = (after.cpu - before.cpu) / (after.at - before.at)
    # All that comes again every ten minutes was done once until then: each look, and each list of pods.
    idle, peak = still + judged.cpu / ROUND_S, after.peak / MIB
    lines = (
        Line(("memory at rest, MiB", f"{after.rss / MIB:.0f}")),
        Line(("memory at most, start included, MiB", f"{peak:.0f}"), f"< {MEMORY_MIB:.0f}", within(peak, MEMORY_MIB)),
        Line((f"CPU of its start until all is judged ({took:.0f} s), s", f"{judged.cpu:.1f}")),
        Line(("CPU at rest between looks, % of a core", f"{100 * still:.2f}")),
        Line(
            ("CPU at rest, looks included, % of a core", f"{100 * idle:.2f}"), f"< {100 * IDLE:.0f}", within(idle, IDLE)
        ),
    )
    numbers = {
        "rest_bytes": after.rss,
        "peak_bytes": after.peak,
        "start_cpu_s": judged.cpu,
        "still_cpu": still,
        "idle_cpu": idle,
        "rest_s": size.rest,
    }
    note = (
        f"Images are looked at every {INTERVAL}, the default, and as often the pods of what is not pinned are listed. "
        f"Both are done once in the start, whose CPU, all of it, is spread over {ROUND_S} s and added to what was "
        f"measured over {size.rest:.0f} s without a look: a bound from above."
    )
    title = f"The operator at rest over {size}"
    return Section(f"images-rest-{size.deployments}", title, ("what", "measured"), lines, numbers, note)
