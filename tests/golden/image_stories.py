"""The stories of images: six Deployments in two namespaces, one canary, a wave of two, and the rest."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from golden.people import with_people
from patchwright.domain.model import MaintenanceWindow, Quantity
from support.simulator.deployments import Deployed
from support.simulator.shops import (
    AGENTS_BY_POD,
    CRASHES,
    DEPLOYMENTS_BY_POD,
    DEPLOYMENTS_BY_POD_FAIL,
    NOT_PULLED,
    ONE_POD,
    PLAIN,
    SETS_BY_POD,
    SETS_BY_POD_FAIL,
    STUCK_SETS,
    TAGGED,
    TARGET,
    deployed,
    unless,
)

TWO_PODS = replace(
    ONE_POD, strategy=replace(ONE_POD.strategy, canary=replace(ONE_POD.strategy.canary, pods=Quantity(2)))
)
# The next one is an hour later: until then the pods are looked at every two seconds, which a night has too many of.
TWICE = replace(ONE_POD, windows=(MaintenanceWindow("0 9,10 * * *", timedelta(minutes=6)),))
OTHERS = (
    replace(deployed(1)[0], name="owned", owner="Prometheus k8s"),
    replace(deployed(1)[0], name="synced", gitops="Flux Kustomization flux-system/apps"),
    replace(deployed(1)[0], name="outage", recreate=True),
    replace(deployed(1)[0], name="asleep", replicas=0),
    Deployed("shop", "nightly", TAGGED, kind="CronJob", replicas=1),
)
IMAGE_STORIES = {
    "images-clean": ("A new image, canary first, then wave by wave", PLAIN),
    "images-failed-canary": (
        "The canary crashes and is put back to the digest that ran",
        replace(PLAIN, fate=unless({"pay/web-1": CRASHES})),
    ),
    "images-failure-in-wave-2": (
        "An image cannot be pulled in the second wave, and everything is put back",
        replace(PLAIN, fate=unless({"shop/web-2": NOT_PULLED})),
    ),
    "images-human-midway": (
        "Somebody sets another image on the canary while its pods are still coming",
        with_people(PLAIN, (2.0, lambda who: who.set_image("pay/web-1", "registry.example/shop/web:2.0"))),
    ),
    "images-human-after": (
        "A team releases its own version on a workload that is done",
        with_people(PLAIN, (76, lambda who: who.set_image("pay/web-1", "registry.example/shop/web:2.0"))),
    ),
    "images-paused": (
        "One Deployment is paused before, and resumed in time",
        with_people(
            replace(PLAIN, shops=(replace(deployed(1)[0], name="web-0", paused=True), *deployed(3))),
            (120, lambda who: who.workload("pay/web-0", paused=False)),
        ),
    ),
    "images-paused-midway": (
        "Somebody pauses the canary in the middle, and resumes it after the deadline",
        with_people(
            replace(PLAIN, shops=deployed(2)),
            (2.0, lambda who: who.workload("pay/web-1", paused=True)),
            (400.0, lambda who: who.workload("pay/web-1", paused=False)),
        ),
    ),
    "images-superseded": (
        "A newer image supersedes one that is in its waves",
        with_people(PLAIN, (76, lambda who: who.supersede("kernel-2"))),
    ),
    "images-left-alone": (
        "What somebody else owns, an outage, a workload without pods and a CronJob",
        replace(PLAIN, shops=(*OTHERS, *deployed(2))),
    ),
    "images-canary-pods-deployment": (
        "One pod beside each canary Deployment soaks, then its rest follows, and then the others",
        DEPLOYMENTS_BY_POD,
    ),
    "images-canary-pods-deployment-failed": (
        "The pod beside the canary Deployment crashes; the Deployment itself was never touched",
        DEPLOYMENTS_BY_POD_FAIL,
    ),
    "images-canary-pods-stateful-set": (
        "One pod of the canary StatefulSet soaks behind its partition, then its rest follows",
        SETS_BY_POD,
    ),
    "images-canary-pods-stateful-set-failed": (
        "The canary's pod crashes; images and partition go back in one patch",
        SETS_BY_POD_FAIL,
    ),
    "images-canary-pods-daemon-set": (
        "Two nodes of the canary DaemonSet come first, one after the other",
        replace(AGENTS_BY_POD, policy=TWO_PODS),
    ),
    "images-canary-pods-window": (
        "The maintenance window closes in the soak; the rest waits for the next one, the canary's pods are watched",
        replace(DEPLOYMENTS_BY_POD, policy=TWICE, limit=9000),
    ),
    "images-canary-pods-not-possible": (
        "What cannot be a canary in part comes after it",
        replace(
            DEPLOYMENTS_BY_POD,
            policy=replace(ONE_POD, target=replace(TARGET, allow_recreate=True)),
            shops=(replace(deployed(1)[0], name="outage", recreate=True), replace(deployed(1)[0], replicas=1)),
        ),
    ),
    "images-stuck-stateful-set": ("A StatefulSet is stuck on its broken pod, and freed", STUCK_SETS),
}
