"""The composition root: every adapter is made here and handed to the pipeline as a port."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from patchwright import errors, image_ports, ports, source_ports
from patchwright.adapters.cosign import CosignVerifier
from patchwright.adapters.forge import ForgeClient
from patchwright.adapters.git.credentials import credentials_from_secret, verification_from_secret
from patchwright.adapters.git.source import GitSource
from patchwright.adapters.git.writeback import GitWriteBack
from patchwright.adapters.health.probes import Probes
from patchwright.adapters.kube import budgets
from patchwright.adapters.kube.apply import KubeApplier
from patchwright.adapters.kube.client import KubeApi
from patchwright.adapters.kube.fleet import KubeFleet
from patchwright.adapters.kube.fleet_cache import FleetCache
from patchwright.adapters.kube.image_memories import KubeScanMemories
from patchwright.adapters.kube.journal import KubeJournal
from patchwright.adapters.kube.optional import OptionalReflector
from patchwright.adapters.kube.policies import KubePolicies
from patchwright.adapters.kube.proposals import KubeProposals
from patchwright.adapters.kube.reflector import Reflector
from patchwright.adapters.kube.reports import KubeReports
from patchwright.adapters.kube.repositories import KubeRepositories, RepositoryCache
from patchwright.adapters.kube.rollout_cache import RolloutCache
from patchwright.adapters.kube.rollouts import KubeRollouts
from patchwright.adapters.kube.standalone import KubeStandalones
from patchwright.adapters.kube.workloads import KubeWorkloads
from patchwright.adapters.kube.workloads_cache import WorkloadCache
from patchwright.adapters.kube.workloads_projection import COLLECTIONS, OPTIONAL
from patchwright.adapters.manifests.parse import parse_manifests
from patchwright.adapters.metrics.registry import Metrics
from patchwright.adapters.opa.builder import BundleBuilder
from patchwright.adapters.opa.bundle import Bundle
from patchwright.adapters.opa.engine import OpaPolicyEngine
from patchwright.adapters.opa.server import BundleServer
from patchwright.adapters.registry import RegistryClient
from patchwright.adapters.registry.addresses import Addresses
from patchwright.api import parse, proposals, rolloutstate, status
from patchwright.domain.model import Key
from patchwright.domain.nodes import labels
from patchwright.domain.policy import PolicyDecision, PolicyQuestion
from patchwright.domain.sources import Credentials
from patchwright.domain.sync import Manifest
from patchwright.drivers import script
from patchwright.handlers.settings import Settings
from patchwright.pipeline.git_writes import GitWrites
from patchwright.pipeline.kept import KeptImages
from patchwright.pipeline.pullrequests import GitProposals
from patchwright.pipeline.trust import TrustDesk

Take = Callable[[Mapping[str, Any]], None]


class UtcClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Give the time."""
        return datetime.now(UTC)


class Wire:
    """How our kinds are spelled, for the caches."""

    parse_policy = staticmethod(parse.parse_policy)
    parse_rollout = staticmethod(parse.parse_rollout)
    status_to_state = staticmethod(rolloutstate.status_to_state)
    state_to_status = staticmethod(rolloutstate.state_to_status)
    status_to_policy_state = staticmethod(status.status_to_policy_state)
    policy_state_to_status = staticmethod(status.policy_state_to_status)


class Git(GitSource):
    """Git, with the spelling of its Secrets; implements ``source_ports.Sources``."""

    credentials = staticmethod(credentials_from_secret)
    verification = staticmethod(verification_from_secret)


class Secrets:
    """Secrets for Git, with their spelling; implements ``writeback_ports.GitSecrets``."""

    def __init__(self, repositories: KubeRepositories) -> None:
        self._repositories = repositories

    async def credentials(self, key: Key, *, name: str) -> Credentials:
        """Read a Secret."""
        return credentials_from_secret(await self._repositories.secret(key), name=name)


class ManifestFiles:
    """Turns files into objects of our kinds; implements ``source_ports.Manifests``."""

    def parse(self, files: Mapping[str, bytes], *, namespace: str) -> tuple[Manifest, ...]:
        """Parse and validate."""
        return parse_manifests(files, namespace=namespace, validate=parse.validate)


class Bundles:
    """Builds policy bundles and serves them to OPA; implements ``source_ports.PolicyBundles``."""

    def __init__(self, builder: BundleBuilder, server: BundleServer) -> None:
        self._builder = builder
        self._server = server

    async def build(self, files: Mapping[str, bytes], revision: str) -> Bundle:
        """Check, test and pack Rego."""
        return await self._builder.build(files, revision)

    async def builtin(self) -> Bundle:
        """Give the bundle of the library alone."""
        return await self._builder.builtin()

    def publish(self, bundle: source_ports.Bundle) -> None:
        """Have OPA load it."""
        assert isinstance(bundle, Bundle)
        self._server.publish(bundle)

    def published(self) -> str:
        """Give the published revision, empty before the first."""
        return self._server.revision or ""


class PinnedEngine:
    """OPA, pinned to what is published; implements ``ports.PolicyEngine``."""

    def __init__(self, engine: OpaPolicyEngine, server: BundleServer) -> None:
        self._engine = engine
        self._server = server

    def revision(self) -> str:
        """Give the published revision."""
        return self._server.revision or ""

    async def evaluate(self, question: PolicyQuestion) -> PolicyDecision:
        """Ask OPA; before any policy is published there is nobody to ask."""
        if not question.expected_revision:
            raise errors.PolicyUnavailable(
                "no policy is active yet: the PolicyRepository that brings it was not fetched; see its status"
            )
        return await self._engine.evaluate(question)


@dataclass(frozen=True, slots=True)
class Caches:
    """What the watches fill."""

    fleet: FleetCache
    workloads: WorkloadCache
    budgets: budgets.Budgets
    rollouts: RolloutCache
    repositories: RepositoryCache

    @classmethod
    def empty(cls, settings: Settings) -> Caches:
        """Give empty caches."""
        fleet = FleetCache(namespace=settings.namespace, own_node=settings.node_name, own_pod=settings.pod_name)
        workloads = WorkloadCache(operator_namespace=settings.namespace, away=fleet.away)
        held = budgets.Budgets(fleet, workloads.replicas)
        return cls(fleet, workloads, held, RolloutCache(Wire()), RepositoryCache())


def reflectors(api: KubeApi, caches: Caches) -> tuple[Reflector, ...]:
    """Give what keeps nodes, our Jobs, their pods, workloads and PodDisruptionBudgets in the caches.

    Never all pods: 20,000 of them are not ours.
    """
    fleet, apps, held, mine = caches.fleet, caches.workloads, caches.budgets, labels.ROLLOUT
    made = partial(_reflector, api)
    found = (
        made("/api/v1/nodes", take=fleet.apply_node, gone=fleet.remove_node, prune=fleet.prune_nodes),
        made("/apis/batch/v1/jobs", take=fleet.apply_job, gone=fleet.remove_job, prune=fleet.prune_jobs, selector=mine),
        made("/api/v1/pods", take=fleet.apply_pod, gone=fleet.remove_pod, prune=fleet.prune_pods, selector=mine),
        made(
            "/api/v1/namespaces",
            take=apps.apply_namespace,
            gone=apps.remove_namespace,
            prune=apps.prune_namespaces,
        ),
        made(budgets.PATH, take=held.apply, gone=held.remove, prune=held.prune),
    )
    return found + tuple(_workloads(api, apps, kind, path=path) for kind, path in COLLECTIONS.items())


def _workloads(api: KubeApi, apps: WorkloadCache, kind: str, *, path: str) -> Reflector:
    # What a list holds does not say its kind.
    take, gone, prune = partial(apps.apply, kind), partial(apps.remove, kind), partial(apps.prune, kind)
    if kind not in OPTIONAL:
        return _reflector(api, path, take=take, gone=gone, prune=prune)
    return OptionalReflector(
        api,
        path,
        kind=f"{kind} of {path.split('/')[2]}",
        take=take,
        gone=gone,
        complete=lambda all_: prune(all_.uids, all_.at),
        missing=partial(apps.missing, kind),
    )


def _reflector(
    api: KubeApi,
    path: str,
    *,
    take: Take,
    gone: Take,
    prune: Callable[[frozenset[str], int], None],
    selector: str = "",
) -> Reflector:
    return Reflector(
        api, path, take=take, gone=gone, complete=lambda all_: prune(all_.uids, all_.at), selector=selector
    )


@dataclass(frozen=True, slots=True)
class Adapters:
    """Every adapter, in one hand."""

    world: ports.World
    source_world: source_ports.SourceWorld
    image_world: image_ports.ImageWorld
    policies: KubePolicies
    fleet: KubeFleet
    standalones: KubeStandalones
    rollouts: KubeRollouts


async def adapters(
    stack: AsyncExitStack, settings: Settings, api: KubeApi, *, caches: Caches, metrics: Metrics
) -> Adapters:
    """Make every adapter; what has to be closed goes on the stack."""
    clock = UtcClock()
    server = await stack.enter_async_context(BundleServer(host=settings.bundle_host, port=settings.bundle_port))
    engine = await stack.enter_async_context(OpaPolicyEngine(settings.opa_url, token=settings.opa_token))
    journal = await stack.enter_async_context(KubeJournal(api, metrics, identity=settings.identity))
    probes = Probes(api, clock, operator_namespace=settings.namespace)
    stack.push_async_callback(probes.close)
    fleet = KubeFleet(api, caches.fleet, drivers={"script": script.render})
    standalones = KubeStandalones(api, caches.workloads, caches.rollouts.readable)
    workloads = KubeWorkloads(
        api,
        caches.workloads,
        standalones,
        away_since=caches.fleet.away_since,
        architecture=caches.fleet.architecture,
    )
    rollouts = KubeRollouts(api, caches.rollouts)
    repositories = KubeRepositories(api, caches.repositories)
    source_world = source_ports.SourceWorld(
        repositories,
        Git(settings.git_cache),
        ManifestFiles(),
        KubeApplier(api),
        Bundles(BundleBuilder(settings.opa_binary), server),
        clock,
        settings.namespace,
    )
    forge = await stack.enter_async_context(ForgeClient())
    writer = GitWriteBack(settings.git_cache / "writes")
    addresses = Addresses(frozenset(settings.plain_http_registries), dict(settings.registry_addresses))
    images = await stack.enter_async_context(RegistryClient(addresses=addresses, meter=metrics))
    image_world = image_ports.ImageWorld(
        images,
        KubeScanMemories(api),
        repositories,
        KubeReports(api),
        KubeProposals(api, rollouts, caches.rollouts),
        GitProposals(repositories, writer, forge, Secrets(repositories), clock, proposals.document),
        metrics,
    )
    kept = KeptImages(images, repositories)
    world = ports.World(
        rollouts,
        fleet,
        workloads,
        PinnedEngine(engine, server),
        probes,
        journal,
        clock,
        settings.namespace,
        kept,
        GitWrites(writer, forge, Secrets(repositories)),
        TrustDesk(images, repositories, verifier=CosignVerifier(), clock=clock, keyrings=kept.keyring),
    )
    policies = KubePolicies(rollouts, caches.rollouts)
    return Adapters(world, source_world, image_world, policies, fleet, standalones, rollouts)
