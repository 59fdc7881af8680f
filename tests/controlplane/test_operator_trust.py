"""Images that somebody must have signed: the real cosign, the real registry, and the real operator between them."""

from __future__ import annotations

import base64
import itertools
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from patchwright.sandbox import controlplane, fleet, images, progress, settings
from support import cosigning
from support.cosigning import Cosign
from support.observer import SYSTEM
from support.workload_scene import WorkloadScene

pytestmark = pytest.mark.controlplane
NUMBERS = itertools.count(1)


@dataclass(slots=True)
class Publisher:
    """Somebody who pushes images of a ``repository`` into a registry of the test's own, and signs them."""

    plane: controlplane.ControlPlane
    cosign: Cosign
    repository: str

    def push(self, tag: str) -> str:
        """Push an image; give its digest."""
        store = images.Store(self.plane.registry_url)
        try:
            return store.push(f"shop/web:{tag}", platforms=["linux/amd64", "linux/arm64"]).digest
        finally:
            store.close()


@pytest.fixture
def publisher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Publisher]:
    cosign = cosigning.cosign(tmp_path_factory.mktemp("publisher"))
    with controlplane.ControlPlane(
        parts=[settings.REGISTRY], registry=settings.Registry(), show=progress.Lines(sys.stderr)
    ) as plane:
        yield Publisher(plane, cosign, f"{plane.registry_url.partition('://')[2]}/shop/web")


@pytest.fixture
def keys(shop: WorkloadScene, publisher: Publisher) -> Iterator[str]:
    """The Secret with the publisher's key; gives its name."""
    name = f"keys-{next(NUMBERS)}"
    where = f"/api/v1/namespaces/{SYSTEM}/secrets"
    data = {"release.pub": base64.b64encode(publisher.cosign.public_key).decode()}
    shop.api.create(where, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data})
    yield name
    shop.api.delete(f"{where}/{name}")


def run(shop: WorkloadScene, publisher: Publisher, *, keys: str) -> None:
    """Have three Deployments run an image of the repository, under a policy that trusts some keys."""
    space, repository = shop.space(), publisher.repository
    image = f"{repository}:1.0@{publisher.push('1.0')}"
    [body] = fleet.Workloads(1, replicas=2, namespace=space, image=image).deployments()
    for name in ("web", "api", "job"):
        shop.workload("Deployment", space, name, body["spec"])
    shop.until(lambda: all(shop.settled("Deployment", space, name) for name in ("web", "api", "job")), "them")
    target = {"images": [{"image": repository}], "verify": {"secretRef": {"name": keys}}}
    shop.image_policy(target=target, strategy={"canary": {"count": 1, "soak": "1s"}, "maxUnavailable": "50%"})


def rollout(shop: WorkloadScene, repository: str, tag: str, *, digest: str) -> str:
    change = {"images": [{"image": repository, "tag": tag, "digest": digest}]}
    name = f"{shop.name}-{tag}"
    shop.create(shop.manifest("PatchRollout", name, {"policyRef": {"name": shop.name}, "change": change}))
    return name


def test_a_signed_image_is_rolled_out_and_put_back_though_the_registry_is_away(
    shop: WorkloadScene, publisher: Publisher, keys: str
) -> None:
    run(shop, publisher, keys=keys)
    before = shop.images()
    digest = publisher.push("1.2-bad")
    publisher.cosign.sign(f"{publisher.repository}@{digest}")
    bad = rollout(shop, publisher.repository, "1.2-bad", digest=digest)
    shop.until(lambda: shop.begun(bad), "the canary")
    publisher.plane.stop()

    status = shop.until_phase(bad, "RolledBack")

    assert status["cause"]["reason"] == "CanaryFailed"
    assert shop.images() == before


def test_an_image_that_is_not_signed_is_waited_for_and_goes_out_once_it_is(
    shop: WorkloadScene, publisher: Publisher, keys: str
) -> None:
    run(shop, publisher, keys=keys)
    digest = publisher.push("1.3")
    name = rollout(shop, publisher.repository, "1.3", digest=digest)
    text = f"is not signed by anybody whom policy {shop.name} trusts yet: it has no signature"
    shop.until_message(name, text)
    assert shop.begun(name) == []

    publisher.cosign.sign(f"{publisher.repository}@{digest}")

    shop.until_phase(name, "Succeeded")
    assert set(shop.images().values()) == {f"{publisher.repository}:1.3@{digest}"}


def test_nothing_starts_while_nobody_can_say_who_signed(shop: WorkloadScene, publisher: Publisher, keys: str) -> None:
    run(shop, publisher, keys=keys)
    digest = publisher.push("1.4")
    publisher.plane.stop()
    name = rollout(shop, publisher.repository, "1.4", digest=digest)

    shop.until_message(name, "no policy decision: nobody can say who signed web:1.4: Registry")

    [condition] = [each for each in shop.status(name)["conditions"] if each["type"] == "PolicyEvaluated"]
    assert (condition["status"], condition["reason"]) == ("Unknown", "SignaturesUnknown")
    assert shop.begun(name) == []
