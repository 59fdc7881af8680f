"""What following images needs of the API server: a memory that two cannot write at once, proposals, and reports."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from patchwright import errors
from patchwright.adapters.kube import client as kube_client
from patchwright.adapters.kube import image_memories
from patchwright.adapters.kube.client import KubeApi
from patchwright.adapters.kube.image_memories import KubeScanMemories
from patchwright.adapters.kube.proposals import KubeProposals
from patchwright.adapters.kube.reports import KubeReports
from patchwright.adapters.kube.rollout_cache import RolloutCache
from patchwright.adapters.kube.rollouts import KubeRollouts
from patchwright.api import crds as api_crds
from patchwright.domain.images import knowledge
from patchwright.domain.images.facts import Container
from patchwright.domain.images.proposals import PROPOSED_BY, Proposal
from patchwright.domain.images.urgency import Report, Severity, Vulnerability
from patchwright.domain.model import Key, PatchPolicy
from patchwright.handlers.wiring import Wire
from patchwright.sandbox import client, controlplane
from support.fault_proxy import Fault, FaultProxy
from support.images import digest
from support.look_builders import following, inside, learnt, look, pin

pytestmark = pytest.mark.controlplane
IMAGE = "ghcr.io/acme/web"
KNOWN = learnt(look(0, v1="a", contents={digest("a"): inside("linux/amd64", manifests=["amd"])}), look(1, v1="b"))


@pytest.fixture
async def kube(sandbox: controlplane.ControlPlane) -> AsyncIterator[KubeApi]:
    api = await kube_client.connect(sandbox.kubeconfig)
    yield api
    await api.close()


@pytest.fixture
def crds(api: client.Client) -> client.Client:
    """The administrator's client of a server that knows our kinds."""
    where = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    for kind in api_crds.KINDS:
        body = api_crds.definition(kind)
        api.apply(f"{where}/{body['metadata']['name']}", body, manager="test-ports")
        api.wait(f"{where}/{body['metadata']['name']}", _established)
    return api


def _established(found: Any) -> bool:
    conditions = found.get("status", {}).get("conditions") or ()
    return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)


@pytest.fixture
def policy(crds: client.Client, namespace: str) -> PatchPolicy:
    """A policy that is there."""
    images = [{"image": IMAGE, "policy": {"semver": {"range": "1.x"}}}]
    spec = {"target": {"workloads": {"selector": {}, "images": images}}}
    body = {"apiVersion": "patchwright.dev/v1alpha1", "kind": "PatchPolicy", "metadata": {"name": "web"}, "spec": spec}
    made = crds.create(f"/apis/patchwright.dev/v1alpha1/namespaces/{namespace}/patchpolicies", body)
    return replace(following(), key=Key(namespace, "web"), uid=made["metadata"]["uid"])


def packed(text: str) -> str:
    return base64.b64encode(zlib.compress(text.encode())).decode()


# --- what is remembered ---------------------------------------------------------------------------------------------


async def test_what_is_known_comes_back_as_it_was_kept(kube: KubeApi, policy: PatchPolicy) -> None:
    memories = KubeScanMemories(kube)
    assert (await memories.recall(policy, IMAGE)).known == knowledge.NOTHING
    version = await memories.keep(policy, IMAGE, known=KNOWN, version="")
    again = await KubeScanMemories(kube).recall(policy, IMAGE)
    assert (again.known, again.version) == (KNOWN, version)
    newer = knowledge.learn(KNOWN, look(2, v1="b"))
    assert await memories.keep(policy, IMAGE, known=newer, version=version) != version
    assert (await memories.recall(policy, IMAGE)).known == newer


async def test_of_two_that_have_learnt_from_the_same_one_is_refused(kube: KubeApi, policy: PatchPolicy) -> None:
    one, other = KubeScanMemories(kube), KubeScanMemories(kube)
    version = await one.keep(policy, IMAGE, known=KNOWN, version="")
    with pytest.raises(errors.Conflict):
        await other.keep(policy, IMAGE, known=knowledge.NOTHING, version="")
    await other.keep(policy, IMAGE, known=knowledge.learn(KNOWN, look(2, v1="b")), version=version)
    with pytest.raises(errors.Conflict):
        await one.keep(policy, IMAGE, known=KNOWN, version=version)


async def test_a_policy_of_the_same_name_that_comes_later_begins_anew(kube: KubeApi, policy: PatchPolicy) -> None:
    memories = KubeScanMemories(kube)
    await memories.keep(policy, IMAGE, known=KNOWN, version="")
    assert (await memories.recall(replace(policy, uid="another"), IMAGE)).known == knowledge.NOTHING
    assert (await memories.recall(policy, f"{IMAGE}-2")).known == knowledge.NOTHING


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"binaryData": None}, "it is not what an operator wrote"),
        ({"binaryData": {"knowledge": "AAAA"}}, "it is not what an operator wrote"),
        ({"binaryData": {"knowledge": packed('{"version": 7}')}}, "it is of version 7"),
        ({"binaryData": {"knowledge": packed(" " * 9_000_000)}}, "it is larger than"),
    ],
)
async def test_what_somebody_has_garbled_is_said_and_not_taken_for_empty(
    kube: KubeApi, policy: PatchPolicy, changes: dict[str, Any], words: str
) -> None:
    memories = KubeScanMemories(kube)
    await memories.keep(policy, IMAGE, known=KNOWN, version="")
    name = image_memories.name(policy, IMAGE)
    path = f"/api/v1/namespaces/{policy.key.namespace}/configmaps/{name}"
    await kube.call("PATCH", path, what="it", body=changes, content_type=kube_client.MERGE_PATCH)
    with pytest.raises(errors.InvalidInput) as refused:
        await memories.recall(policy, IMAGE)
    assert (refused.value.reason, words in str(refused.value)) == ("MemoryUnreadable", True)


async def test_as_much_as_is_ever_remembered_fits(kube: KubeApi, policy: PatchPolicy) -> None:
    tags = {f"v{number}": str(number) for number in range(knowledge.TAGS_KEPT + 20)}
    here = inside("linux/amd64", "linux/arm64", manifests=["x", "y"])
    known = knowledge.NOTHING
    for minute in range(8):
        moving: dict[str, Any] = {tag: f"{name}-{minute % 3}" for tag, name in tags.items()}
        contents = {
            digest(name): replace(here, manifests=here.manifests | {digest(f"{name}+")}) for name in moving.values()
        }
        known = knowledge.learn(known, look(minute, contents=contents, **moving))
    assert len(known.tags) == knowledge.TAGS_KEPT
    memories = KubeScanMemories(kube)
    await memories.keep(policy, IMAGE, known=known, version="")
    assert (await memories.recall(policy, IMAGE)).known == known


# --- what is proposed -----------------------------------------------------------------------------------------------


async def test_a_proposal_is_created_once_whoever_comes_second(
    kube: KubeApi, crds: client.Client, policy: PatchPolicy
) -> None:
    def proposing() -> tuple[KubeProposals, RolloutCache]:
        cache = RolloutCache(Wire())
        return KubeProposals(kube, KubeRollouts(kube, cache), cache), cache

    released = datetime(2026, 11, 20, tzinfo=UTC)
    proposal = Proposal("web-1.1.0-x", pin("1.1.0", "1.0.0", digest("1.0.0")), ("CVE-2026-1",), released)
    (first, known), (second, stale) = proposing(), proposing()
    uid = await first.propose(policy, proposal)
    with pytest.raises(errors.Conflict):
        await second.propose(policy, proposal)

    key = Key(policy.key.namespace, proposal.name)
    for cache in (known, stale):
        facts = cache.rollout(key)
        assert facts is not None
        assert facts.rollout is not None
        assert (facts.uid, facts.rollout.images.images, facts.rollout.advisories) == (
            uid,
            (proposal.pin,),
            ("CVE-2026-1",),
        )
        assert facts.rollout.released_at == released
    raw = crds.get(f"/apis/patchwright.dev/v1alpha1/namespaces/{key.namespace}/patchrollouts/{key.name}")
    assert raw["metadata"]["labels"] == {PROPOSED_BY: "web"}
    await first.tidy(key, uid="another")
    assert crds.get(f"/apis/patchwright.dev/v1alpha1/namespaces/{key.namespace}/patchrollouts/{key.name}")
    await first.tidy(key, uid=uid)
    await first.tidy(key, uid=uid)
    rollouts = f"/apis/patchwright.dev/v1alpha1/namespaces/{key.namespace}/patchrollouts"
    assert crds.get(rollouts)["items"] == []
    [owner] = raw["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("PatchPolicy", policy.uid, True)


async def test_a_creation_whose_answer_is_lost_is_found_and_not_repeated(
    sandbox: controlplane.ControlPlane, policy: PatchPolicy, tmp_path: Path
) -> None:
    proposal = Proposal("web-1.1.0-x", pin("1.1.0", "1.0.0"))
    cache = RolloutCache(Wire())
    async with FaultProxy(sandbox.kubeconfig) as proxy:
        api = await kube_client.connect(proxy.kubeconfig(tmp_path / "kubeconfig"))
        port = KubeProposals(api, KubeRollouts(api, cache), cache)
        proxy.inject(Fault("/patchrollouts$", method="POST", lose_answer=True, times=1))
        with pytest.raises(errors.ClusterUnavailable):
            await port.propose(policy, proposal)
        assert cache.keys() == []
        with pytest.raises(errors.Conflict):
            await port.propose(policy, proposal)
        await api.close()
    assert cache.keys() == [Key(policy.key.namespace, proposal.name)]


# --- what scanners say ----------------------------------------------------------------------------------------------

REPORTS = "vulnerabilityreports.aquasecurity.github.io"


@pytest.fixture
def trivy(api: client.Client) -> Iterator[client.Client]:
    """A server that knows trivy-operator's reports, as far as they are read."""
    where = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{REPORTS}"
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1alpha1", "served": True, "storage": True, "schema": {"openAPIV3Schema": anything}}
    names = {"kind": "VulnerabilityReport", "plural": "vulnerabilityreports", "singular": "vulnerabilityreport"}
    spec = {"group": "aquasecurity.github.io", "names": names, "scope": "Namespaced", "versions": [version]}
    body = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": REPORTS}}
    api.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", {**body, "spec": spec})
    api.wait(where, _established)
    yield api
    api.delete(where)


def report(name: str, labels: dict[str, str], **body: Any) -> dict[str, Any]:
    spelled = {f"trivy-operator.{key.replace('_', '.')}": value for key, value in labels.items()}
    kind = {"apiVersion": "aquasecurity.github.io/v1alpha1", "kind": "VulnerabilityReport"}
    return {**kind, "metadata": {"name": name, "labels": spelled}, "report": body}


async def test_reports_are_read_under_the_names_of_the_policy(
    kube: KubeApi, trivy: client.Client, namespace: str
) -> None:
    of = {"resource_kind": "ReplicaSet", "resource_name": "web-5d4f8c7b9", "container_name": "app"}
    found = {"vulnerabilityID": "CVE-2026-1", "severity": "CRITICAL", "resource": "ssl", "fixedVersion": "3.0.1"}
    odd = {"vulnerabilityID": "GHSA-x", "severity": "odd", "score": 7.5, "publishedDate": "2026-11-01T00:00:00Z"}
    hub = {"artifact": {"repository": "library/nginx", "tag": "1.27"}, "registry": {"server": "index.docker.io"}}
    bodies = [
        report("web", of, **hub, updateTimestamp="2026-11-20T00:00:00Z", vulnerabilities=[found, odd]),
        report("other", of, artifact={"repository": "acme/other"}, registry={"server": "ghcr.io"}),
        report("nobody", {}, **hub),
        report("empty", of),
    ]
    where = f"/apis/aquasecurity.github.io/v1alpha1/namespaces/{namespace}/vulnerabilityreports"
    for body in bodies:
        trivy.create(where, json.loads(json.dumps(body)))

    [read] = await KubeReports(kube).reports({namespace}, {"nginx", "ghcr.io/acme/web"})

    assert read == Report(
        Container("Deployment", namespace, "web", "app"),
        "nginx",
        "1.27",
        "",
        at=datetime(2026, 11, 20, tzinfo=UTC),
        vulnerabilities=(
            Vulnerability("CVE-2026-1", Severity.CRITICAL, package="ssl", fixed_version="3.0.1"),
            Vulnerability("GHSA-x", Severity.UNKNOWN, score=7.5, published=datetime(2026, 11, 1, tzinfo=UTC)),
        ),
    )


async def test_where_nobody_writes_reports_there_are_none(kube: KubeApi, namespace: str) -> None:
    assert await KubeReports(kube).reports({namespace}, {"nginx"}) == ()
