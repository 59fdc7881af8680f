"""A registry in trouble: releases go out all the same, and nothing is rolled back or made older because of it."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from bench import shop, stage
from bench.process import OperatorProcess
from bench.report import Line, Section
from bench.shop import Shop
from patchwright.sandbox import progress
from support.fault_proxy import Fault
from support.threaded_servers import proxied

SPACE = "shop"
DEPLOYMENTS, REPLICAS = 2, 2
INTERVAL = "3s"
# So often somebody has a registry looked at whose release is not out yet.
AGAIN_S = 10.0
# Of the requests that a fault is about, so many have it.
SHARE = 0.04
SEED = 4


@dataclass(slots=True)
class Sometimes(Fault):
    """A fault that takes some of its requests."""

    share: float = SHARE
    dice: random.Random = field(default_factory=random.Random)

    def takes(self, method: str, path: str) -> bool:
        """Tell whether this request is hit."""
        # Not super(): a dataclass with slots is another class than the one that it was written in.
        return Fault.takes(self, method, path) and self.dice.random() < self.share


@dataclass(frozen=True, slots=True)
class Found:
    """What came of it: rollouts by the phases that they were ever in, what became older, and what was injected."""

    released: int
    succeeded: int
    created: int
    turned_back: tuple[str, ...]
    backward: tuple[str, ...]
    looks: int
    failed_looks: int
    hits: int


def faults(seed: int) -> list[Sometimes]:
    """Give what can go wrong with a registry, each time by the same dice."""
    dice = random.Random(seed)
    no_json = {"Content-Type": "text/html"}
    return [
        Sometimes("/v2/", status=503, dice=dice),
        Sometimes("/v2/", status=500, dice=dice),
        Sometimes("/v2/", status=429, retry_after=1, dice=dice, share=SHARE / 3),
        Sometimes("/v2/", reset=True, dice=dice),
        Sometimes("/v2/", delay=2.0, dice=dice),
        Sometimes("/tags/list", truncate=20, dice=dice),
        Sometimes("/tags/list", headers=no_json, replace=(b"{", b"<"), dice=dice),
        # Lists without the newest tags, and manifests that are not there for once.
        Sometimes("/tags/list", replace=(b'"1.', b'"0.'), dice=dice),
        Sometimes("/manifests/", status=404, dice=dice),
    ]


def bench(show: progress.Progress, *, images: int, rounds: int) -> list[Section]:
    """Release every image so many times, each under a policy of its own, while the registry is in trouble."""
    with shop.opened(images * DEPLOYMENTS * REPLICAS, show) as opened, proxied(opened.on.plane.registry_url) as proxy:
        mine = opened.through(proxy.url)
        _fill(mine, images, show)
        rollouts = stage.Sight(opened.on.api, f"{stage.OURS}/patchrollouts")
        rollouts.start(phases)
        moves = stage.Sight(opened.on.api, f"/apis/apps/v1/namespaces/{SPACE}/deployments")
        moves.start(versions)
        with opened.on.operator() as operator:
            _until_known(mine, images)
            injected = [proxy.inject(fault) for fault in faults(SEED)]
            for number in range(1, rounds + 1):
                show.step(f"Release {number} of {rounds} of {images} images, in trouble")
                _release(mine, images, rollouts, tag=f"1.{number}.0")
            # Nothing is new now, and the trouble goes on.
            time.sleep(5 * rounds)
            hits = sum(fault.hits for fault in injected)
            found = _found(operator, rollouts, moves, released=images * rounds, hits=hits)
    return [section(images, found)]


def _repository(number: int) -> str:
    return f"shop/app-{number}"


def _fill(mine: Shop, images: int, show: progress.Progress) -> None:
    mine.space(SPACE)
    found = []
    for number in range(images):
        pushed = mine.store.push(f"{_repository(number)}:1.0.0")
        running = {"app": f"{mine.host}/{_repository(number)}:1.0.0@{pushed.digest}"}
        found += [shop.deployment(f"app-{number}-{each}", running, replicas=REPLICAS) for each in range(DEPLOYMENTS)]
    show.step(f"Creating {len(found)} Deployments", total=len(found))
    mine.run(SPACE, found, show)
    strategy = {"canary": {"count": 1, "soak": "1s"}, "maxUnavailable": 1}
    for number in range(images):
        followed = [shop.entry(f"{mine.host}/{_repository(number)}", interval=INTERVAL)]
        policy = shop.policy(f"app-{number}", followed, strategy=strategy, trigger="Automatic")
        mine.on.create("patchpolicies", policy)


def _until_known(mine: Shop, images: int) -> None:
    def known(listed: stage.Manifest) -> bool:
        found = [image for one in listed["items"] for image in (one.get("status") or {}).get("images") or ()]
        return len(found) == images and all(image["reason"] == "UpToDate" for image in found)

    mine.on.api.wait(f"{stage.OURS}/patchpolicies", known, timeout=120, every=0.5)


def _release(mine: Shop, images: int, rollouts: stage.Sight, *, tag: str) -> None:
    for number in range(images):
        mine.store.push(f"{_repository(number)}:{tag}")
    deadline = time.monotonic() + 300
    while missing := [number for number in range(images) if not _is_out(mine, rollouts, number, tag)]:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{tag} of {', '.join(map(_repository, missing))} did not go out in five minutes")
        for number in missing:
            # After some answers the operator waits for minutes by itself; a person would not.
            body = {"metadata": {"annotations": {"patchwright.dev/requestedAt": f"{time.time()}"}}}
            mine.on.api.patch(f"{stage.OURS}/patchpolicies/app-{number}", body)
        time.sleep(AGAIN_S)


def _is_out(mine: Shop, rollouts: stage.Sight, number: int, tag: str) -> bool:
    return f"{mine.host}/{_repository(number)}:{tag} Succeeded" in rollouts.seen


def phases(rollout: stage.Manifest) -> list[str]:
    """Give a rollout's image and the phase that it is in."""
    [pin] = rollout["spec"]["change"]["images"]
    phase = (rollout.get("status") or {}).get("phase") or "Pending"
    return [f"{pin['image']}:{pin['tag']} {phase}", f"created {rollout['metadata']['uid']}"]


def versions(deployment: stage.Manifest) -> list[str]:
    """Give what a Deployment runs by now, and by which generation of it."""
    metadata, [container] = deployment["metadata"], deployment["spec"]["template"]["spec"]["containers"]
    return [f"{metadata['name']} {metadata['generation']} {container['image']}"]


def backward(facts: Iterable[str]) -> list[str]:
    """Give what became older, from one generation to the next."""
    latest: dict[str, tuple[int, ...]] = {}
    found = []
    for name, _, image in sorted((fact.split() for fact in facts), key=lambda each: (each[0], int(each[1]))):
        tag = image.partition("@")[0].rpartition(":")[2]
        version = tuple(map(int, tag.split(".")))
        if version < latest.get(name, ()):
            found.append(f"{name} {tag}")
        latest[name] = version
    return found


def _found(operator: OperatorProcess, rollouts: stage.Sight, moves: stage.Sight, *, released: int, hits: int) -> Found:
    looked = shop.looks(operator)
    seen = list(rollouts.seen)
    back = tuple(fact for fact in seen if fact.split()[1] in ("RollingBack", "RolledBack", "Failed"))
    return Found(
        released=released,
        succeeded=sum(fact.endswith(" Succeeded") for fact in seen),
        created=sum(fact.startswith("created ") for fact in seen),
        turned_back=back,
        backward=tuple(backward(list(moves.seen))),
        looks=looked.total(),
        failed_looks=looked.total() - looked["Succeeded"],
        hits=hits,
    )


def section(images: int, found: Found) -> Section:
    """Give the table."""
    lines = (
        Line(("faults injected", f"{found.hits}")),
        Line(("looks at images", f"{found.looks}")),
        Line(("looks that failed, after three attempts each", f"{found.failed_looks}")),
        Line(("releases", f"{found.released}")),
        Line(("releases that went out", f"{found.succeeded}"), f"{found.released}", found.succeeded == found.released),
        Line(("rollouts created", f"{found.created}"), f"{found.released}", found.created == found.released),
        Line(("false rollbacks, and rollouts that failed", f"{len(found.turned_back)}"), "0", not found.turned_back),
        Line(("Deployments that ever became older", f"{len(found.backward)}"), "0", not found.backward),
    )
    numbers = {
        "released": found.released,
        "succeeded": found.succeeded,
        "created": found.created,
        "turned_back": found.turned_back,
        "backward": found.backward,
        "looks": found.looks,
        "failed_looks": found.failed_looks,
        "faults": found.hits,
        "seed": SEED,
    }
    note = (
        "Answers 503, 500, 404 and 429, connections cut, answers cut short, late or no JSON, and lists without the "
        f"newest tags: each on {SHARE:.0%} of the requests that it is about (429: a third of that). Every "
        f"{AGAIN_S:.0f} s the images whose release is not out are looked at by request."
    )
    title = f"Releases of {images} images, each followed by a policy of its own, from a registry in trouble"
    return Section("image-faults", title, ("what", "count"), lines, numbers, note)
