"""Workloads, images and their fates: the scenarios that tests of workloads go through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from patchwright.domain.images.imagepolicy import Followed, ImagePolicy, SemVer
from patchwright.domain.images.trust import Verify
from patchwright.domain.model import (
    Canary,
    ImagePin,
    ImagesChange,
    Quantity,
    Selector,
    Strategy,
    Wave,
    WorkloadTarget,
)
from patchwright.domain.workloads import beside
from patchwright.domain.writeback.settings import GitTarget, Write
from support.simulator.cluster import POLICY, Scenario
from support.simulator.deployments import Deployed, Fate, Life

REPOSITORY = "registry.example/shop/web"
OLD, NEW = f"sha256:{'0' * 64}", f"sha256:{'1' * 64}"
CHANGE = ImagesChange((ImagePin(REPOSITORY, NEW, tag="1.1"),))
WANTED = CHANGE.images[0].wanted
TAGGED = f"{REPOSITORY}:1.0"
PINNED = f"{TAGGED}@{OLD}"
STRATEGY = Strategy(
    canary=Canary(Quantity(1), soak=timedelta(seconds=60)),
    waves=(Wave(Quantity(2), timedelta(seconds=10)),),
    max_unavailable=Quantity(2),
    failure_threshold=Quantity(1),
    progress_deadline=timedelta(seconds=300),
)
TARGET = WorkloadTarget((REPOSITORY,), namespaces=Selector())
IMAGES = replace(POLICY, target=TARGET, strategy=STRATEGY)
FOLLOWING = replace(TARGET, followed=(Followed(REPOSITORY, ImagePolicy(SemVer("1.x"))),))
FOLLOWED_IMAGES = replace(IMAGES, target=FOLLOWING)
CRASHES = Life(ready_in=None)
NOT_PULLED = Life(ready_in=None, waiting="ImagePullBackOff")


def deployed(count: int, *, spaces: tuple[str, ...] = ("pay", "shop")) -> tuple[Deployed, ...]:
    """Give Deployments over the namespaces in turn, their image by a tag that may move."""
    return tuple(
        Deployed(spaces[number % len(spaces)], f"web-{number + 1}", TAGGED, running=OLD) for number in range(count)
    )


def unless(special: Mapping[str, Life], otherwise: Life = Life()) -> Fate:  # noqa: B008 (frozen)
    """Give a fate of the new image that is the same everywhere but on the named workloads; the old one is well."""
    return lambda workload, image: special.get(workload, otherwise) if image == WANTED else Life()


PLAIN = Scenario(nodes=2, policy=IMAGES, change=CHANGE, shops=deployed(6))
FAILED_CANARY = replace(PLAIN, fate=unless({"pay/web-1": CRASHES}))
SECOND_WAVE = replace(PLAIN, fate=unless({"pay/web-5": NOT_PULLED}))
STATEFUL = tuple(replace(each, kind="StatefulSet") for each in deployed(4))
STUCK_SETS = replace(PLAIN, shops=STATEFUL, fate=unless({"pay/web-3": CRASHES}))
FOLLOWED = replace(PLAIN, policy=FOLLOWED_IMAGES)
GONE = replace(FOLLOWED, gone=frozenset({OLD}))
FLUX = "Flux Kustomization flux-system/shop"
FROM_GIT = tuple(replace(each, gitops=FLUX) for each in deployed(6))
THROUGH_GIT = replace(IMAGES, write=Write(git=GitTarget("https://git.example/acme/shop")))
GIT = Scenario(nodes=2, policy=THROUGH_GIT, change=CHANGE, shops=FROM_GIT)
GIT_FAILED_CANARY = replace(GIT, fate=unless({"pay/web-1": CRASHES}))
GIT_SECOND_WAVE = replace(GIT, fate=unless({"pay/web-5": NOT_PULLED}))
ONE_POD = replace(IMAGES, strategy=replace(STRATEGY, canary=replace(STRATEGY.canary, pods=Quantity(1))))
SETS_BY_POD = replace(PLAIN, policy=ONE_POD, shops=STATEFUL)
SETS_BY_POD_FAIL = replace(SETS_BY_POD, fate=unless({"pay/web-1": CRASHES}))
AGENTS_BY_POD = replace(SETS_BY_POD, shops=tuple(replace(each, kind="DaemonSet") for each in STATEFUL))
AGENTS_BY_POD_FAIL = replace(AGENTS_BY_POD, fate=unless({"pay/web-1": CRASHES}))
DEPLOYMENTS_BY_POD = replace(PLAIN, policy=ONE_POD)
CANARY_CRASHES = f"pay/{beside.name('web-1', 'workload-0003')}"
DEPLOYMENTS_BY_POD_FAIL = replace(DEPLOYMENTS_BY_POD, fate=unless({CANARY_CRASHES: CRASHES}))
VERIFIED = replace(IMAGES, target=replace(TARGET, verify=Verify("keys")))
STORIES = {
    "images": PLAIN,
    "images that are followed": FOLLOWED,
    "images through Git": GIT,
    "a canary through Git that crashes": GIT_FAILED_CANARY,
    "an image through Git that is not pulled in the last wave": GIT_SECOND_WAVE,
    "a canary that crashes": FAILED_CANARY,
    "an image that is not pulled in the last wave": SECOND_WAVE,
    "a StatefulSet that is stuck": STUCK_SETS,
    "one pod beside a Deployment first": DEPLOYMENTS_BY_POD,
    "one pod beside a Deployment that crashes": DEPLOYMENTS_BY_POD_FAIL,
    "one pod of a DaemonSet first": AGENTS_BY_POD,
    "one pod of a DaemonSet that crashes": AGENTS_BY_POD_FAIL,
    "one pod of a StatefulSet first": SETS_BY_POD,
    "one pod of a StatefulSet that crashes": SETS_BY_POD_FAIL,
}
