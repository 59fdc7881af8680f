"""The dispatcher: one check in, one measurement out, in bounded time."""

from __future__ import annotations

import asyncio

import aiohttp

from patchwright import ports
from patchwright.adapters.health import jobs, prometheus, web, workloads
from patchwright.adapters.health.cluster import Cluster
from patchwright.adapters.health.looks import Look
from patchwright.adapters.health.objects import Objects
from patchwright.adapters.health.session import new_session
from patchwright.adapters.kube.client import KubeApi
from patchwright.domain.checks import HealthCheck, HttpCheck, JobCheck, ObjectCheck, PrometheusCheck, WorkloadsCheck
from patchwright.domain.health import Measurement
from patchwright.errors import HealthProbeError, NotFound


class Probes:
    """Implements ``ports.HealthProber``.

    ``api`` stays the caller's to close. Policies outside ``operator_namespace`` are tenants: they see workloads and
    objects of their own namespace only.
    """

    def __init__(self, api: KubeApi, clock: ports.Clock, *, operator_namespace: str) -> None:
        self._clock = clock
        self._operator_namespace = operator_namespace
        self._cluster = Cluster(api)
        self._objects = Objects(self._cluster)
        self._session: aiohttp.ClientSession | None = None

    async def measure(self, check: HealthCheck, *, namespace: str) -> Measurement:
        """Make one check for a policy of ``namespace``, in at most its ``probe_timeout``.

        Raises:
            HealthProbeError: the check could not be made, in a sentence that says what, why, and what to do.
        """
        at, seconds = self._clock.now(), check.probe_timeout.total_seconds()
        try:
            async with asyncio.timeout(seconds):
                found = await self._look(check, namespace)
        except TimeoutError:
            raise HealthProbeError(
                f"{_subject(check)} did not answer within {seconds:g} s; see why it is slow, or raise probeTimeout"
            ) from None
        except NotFound as error:
            raise HealthProbeError(f"{error.message}; see that this API is served") from error
        return Measurement(at, found.findings, found.population)

    async def close(self) -> None:
        """Close the HTTP session; the API client is not ours."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _look(self, check: HealthCheck, namespace: str) -> Look:
        tenant = namespace != self._operator_namespace
        match check.probe:
            case WorkloadsCheck() as probe:
                return await workloads.look(self._cluster, probe, only=namespace if tenant else None)
            case PrometheusCheck() as probe:
                return await prometheus.look(self._web(), probe, seconds=check.probe_timeout.total_seconds())
            case HttpCheck() as probe:
                return await web.look(self._web(), probe)
            case ObjectCheck() as probe:
                return await self._objects.look(probe, namespace=namespace, tenant=tenant)
            case JobCheck() as probe:
                seconds = check.probe_timeout.total_seconds()
                return await jobs.look(self._cluster, probe, name=check.name, namespace=namespace, seconds=seconds)

    def _web(self) -> aiohttp.ClientSession:
        # Opened late, because a session belongs to the event loop that is running.
        if self._session is None:
            self._session = new_session()
        return self._session


def _subject(check: HealthCheck) -> str:
    match check.probe:
        case PrometheusCheck(address=address):
            return f"Prometheus at {address}"
        case HttpCheck(url=url):
            return f"GET {url}"
        case WorkloadsCheck() | ObjectCheck():
            return "the API server"
        case JobCheck():
            return "its Job"
