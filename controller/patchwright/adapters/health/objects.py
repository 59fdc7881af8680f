"""The ``object`` check: any object of the API, by the words of ``kubectl wait``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from patchwright.adapters.health.cluster import Cluster, segment
from patchwright.adapters.health.looks import Look, empty, short
from patchwright.adapters.kube import selectors
from patchwright.domain import expressions
from patchwright.domain.checks import ObjectCheck
from patchwright.domain.health import Finding
from patchwright.domain.model import Selector
from patchwright.errors import HealthProbeError, NotFound

_API_VERSION: Final = re.compile(r"(?:[a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?v[0-9][a-z0-9]*")


@dataclass(frozen=True, slots=True)
class Resource:
    """Where a kind is served."""

    base: str
    plural: str
    namespaced: bool


class Objects:
    """Object checks, with the discovered resources in memory."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._resources: dict[tuple[str, str], Resource] = {}

    async def look(self, check: ObjectCheck, *, namespace: str, tenant: bool) -> Look:
        """Look at the named object, or at all that are selected, in ``namespace`` unless the check names another.

        A ``tenant``'s policy sees namespaced objects of its own namespace only.

        Raises:
            HealthProbeError: the check cannot be read, is not allowed, or the API server does not let us look.
        """
        expression = _expression(check)
        resource = await self._resource(check)
        path = f"{resource.base}{_scope(check, resource, namespace=namespace, tenant=tenant)}/{resource.plural}"
        try:
            found = await self._objects(check, path)
        except NotFound:
            # The kind may have gone with its CRD, or moved to another version; ask again next time.
            self._resources.pop((check.api_version, check.kind), None)
            found = []
        if not found:
            return empty(_nothing(check, namespace if resource.namespaced else None))
        return Look(tuple(f for manifest in found for f in _judge(check, expression, manifest)), len(found))

    async def _objects(self, check: ObjectCheck, path: str) -> list[Mapping[str, Any]]:
        if check.name is not None:
            return [await self._cluster.get(f"{path}/{segment(check.name)}")]
        return await self._cluster.items(path, check.selector or Selector())

    async def _resource(self, check: ObjectCheck) -> Resource:
        key = (check.api_version, check.kind)
        if key not in self._resources:
            self._resources[key] = await self._discover(check)
        return self._resources[key]

    async def _discover(self, check: ObjectCheck) -> Resource:
        version = check.api_version
        if not _API_VERSION.fullmatch(version):
            raise HealthProbeError(f'apiVersion "{short(version)}" is none; write v1 or group/v1, as in a manifest')
        if (version, check.kind) == ("v1", "Secret"):
            # Whoever may write a policy could ask for a Secret's content bit by bit, with the operator's rights.
            raise HealthProbeError("health checks do not read Secrets; check what the Secret is for")
        base = f"/apis/{version}" if "/" in version else f"/api/{version}"
        try:
            listed = await self._cluster.get(base)
        except NotFound:
            listed = {}
        for entry in listed.get("resources") or ():
            if entry.get("kind") == check.kind and "/" not in entry["name"] and "list" in entry.get("verbs", ()):
                return Resource(base, entry["name"], bool(entry.get("namespaced")))
        raise HealthProbeError(
            f"the API server has no kind {short(check.kind)} in {version}; correct the health check or install its CRD"
        )


def _expression(check: ObjectCheck) -> expressions.Expression:
    try:
        return expressions.parse(check.wait_for)
    except expressions.ExpressionError as error:
        raise HealthProbeError(f"for: {error}; correct it in the health check") from error


def _scope(check: ObjectCheck, resource: Resource, *, namespace: str, tenant: bool) -> str:
    if not resource.namespaced:
        if tenant:
            raise HealthProbeError(
                f"{check.kind} is cluster-scoped, and the policy's namespace {namespace} may look only at its own "
                "objects; move the policy to the operator's namespace"
            )
        return ""
    wanted = check.namespace or namespace
    if tenant and wanted != namespace:
        raise HealthProbeError(
            f"the policy's namespace {namespace} may look only at its own objects, not at those of {short(wanted)}; "
            "move the policy to the operator's namespace"
        )
    return f"/namespaces/{segment(wanted)}"


def _nothing(check: ObjectCheck, namespace: str | None) -> str:
    where = f" in namespace {check.namespace or namespace}" if namespace else ""
    if check.name is not None:
        return f"{check.kind} {check.name} does not exist{where}"
    labels = selectors.query(check.selector or Selector())
    return f'there is no {check.kind} with labels "{short(labels)}"{where}; a check of nothing does not pass'


def _judge(check: ObjectCheck, expression: expressions.Expression, manifest: Mapping[str, Any]) -> list[Finding]:
    metadata = manifest["metadata"]
    name = "/".join(part for part in (metadata.get("namespace"), metadata["name"]) if part)
    try:
        lack = expressions.shortfall(expression, manifest)
    except expressions.ExpressionError as error:
        raise HealthProbeError(f"{check.kind} {name}: {error}; correct the health check") from error
    return [Finding(f"{check.kind}/{name}", f"{check.kind} {name} {lack}")] if lack else []
