"""What a registry is asked: requests for each look at an image, counted by a proxy in front of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from bench import shop, stage
from bench.process import OperatorProcess
from bench.report import Line, Section
from bench.shop import Shop
from patchwright.sandbox import progress
from support.fault_proxy import FaultProxy, Seen
from support.threaded_servers import proxied

# Looks come so often here, and by default every ten minutes.
SHORT, DEFAULT_S = "15s", 600
OLD_TAGS = 20
NEWER = ("1.0.1", "1.0.2", "1.0.3")
SPACE, POLICY = "shop", "shop"


@dataclass(frozen=True, slots=True)
class Count:
    """What was asked while images were looked at so many times."""

    looks: int
    asked: Counter[str]

    @property
    def a_look(self) -> float:
        """Requests for each look."""
        return self.asked.total() / self.looks

    @property
    def an_hour(self) -> float:
        """Requests for each image in an hour at the default interval."""
        return self.a_look * 3600 / DEFAULT_S


def bench(show: progress.Progress, *, images: int, times: int) -> list[Section]:
    """Look at each image so many times while nothing is new, and as often while something newer waits for a person."""
    with shop.opened(images, show) as opened, proxied(opened.on.plane.registry_url) as proxy:
        mine = opened.through(proxy.url)
        _fill(mine, images, show)
        with opened.on.operator() as operator:
            _until(mine, images, "UpToDate")
            show.step(f"Looking at {images} images, {times} times: nothing is new")
            still = _counted(operator, proxy, looks=images * times)
            for number in range(images):
                for tag in NEWER:
                    opened.store.push(f"{_repository(number)}:{tag}")
            _until(mine, images, "Manual")
            show.step(f"Looking at {images} images, {times} times: newer ones wait")
            waiting = _counted(operator, proxy, looks=images * times)
    return [section(images, still, waiting)]


def _repository(number: int) -> str:
    return f"shop/app-{number:02}"


def _fill(mine: Shop, images: int, show: progress.Progress) -> None:
    mine.space(SPACE)
    found = []
    show.step(f"Pushing {images} images", total=2 * images)
    for number in range(images):
        repository = _repository(number)
        old = mine.store.push(f"{repository}:0.9.0")
        for tag in range(1, OLD_TAGS):
            mine.store.tag(repository, old.digest, tag=f"0.9.{tag}")
        image = f"{mine.host}/{repository}:1.0.0@{mine.store.push(f'{repository}:1.0.0').digest}"
        found.append(shop.deployment(f"app-{number}", {"app": image}, replicas=1))
        show.advance()
    mine.run(SPACE, found, show)
    followed = [shop.entry(f"{mine.host}/shop/*", interval=SHORT)]
    mine.on.create("patchpolicies", shop.policy(POLICY, followed, strategy={}, trigger="Manual"))


def _until(mine: Shop, images: int, reason: str) -> None:
    def told(policy: stage.Manifest) -> bool:
        found = (policy.get("status") or {}).get("images") or ()
        return len(found) == images and all(image.get("reason") == reason for image in found)

    mine.on.api.wait(f"{stage.OURS}/patchpolicies/{POLICY}", told, timeout=120, every=0.5)


def _counted(operator: OperatorProcess, proxy: FaultProxy, *, looks: int) -> Count:
    before, position = shop.looks(operator).total(), len(proxy.seen)
    deadline = time.monotonic() + 600
    while (now := shop.looks(operator).total() - before) < looks:
        if time.monotonic() > deadline:
            raise RuntimeError(f"there were {now} looks in ten minutes, not {looks}")
        time.sleep(0.5)
    return Count(now, kinds(proxy.seen[position:]))


def kinds(seen: Iterable[Seen]) -> Counter[str]:
    """Count requests by what they ask for."""
    return Counter(f"{each.method} {_kind(each.path)}" for each in seen)


def _kind(path: str) -> str:
    if "/tags/list" in path:
        return "tags"
    if "/manifests/" in path:
        return "manifest, by digest" if "sha256:" in path else "manifest, by tag"
    return "blob" if "/blobs/" in path else "others"


def section(images: int, still: Count, waiting: Count) -> Section:
    """Give the table of both."""
    lines: list[Line] = []
    told: dict[str, Count] = {"nothing is new": still, f"{len(NEWER)} newer tags wait for a person": waiting}
    for what, count in told.items():
        lines += [
            Line((f"{what}: {kind}", f"{n}", f"{n / count.looks:.2f}", "")) for kind, n in sorted(count.asked.items())
        ]
        lines.append(Line((f"{what}: all", f"{count.asked.total()}", f"{count.a_look:.2f}", f"{count.an_hour:.1f}")))
    numbers = {
        what: {"looks": count.looks, "asked": dict(count.asked), "per_look": count.a_look, "per_hour": count.an_hour}
        for what, count in (("still", still), ("waiting", waiting))
    }
    note = (
        f"Counted by a proxy over {still.looks} and {waiting.looks} looks (the operator's own count of them) that came "
        f"every {SHORT}; an hour has {3600 // DEFAULT_S} at the default of 10m. Each repository has {OLD_TAGS + 1} "
        "tags, one workload and no login. What a rollout asks before it changes a workload (one HEAD) is not among "
        "them."
    )
    columns = ("what", "requests", "per look", "per image and hour")
    return Section(
        "registry", f"Requests to the registry, {images} images followed", columns, tuple(lines), numbers, note
    )
