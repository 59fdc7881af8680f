"""VulnerabilityReports of trivy-operator: the port ``Reports`` on the Kubernetes API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from patchwright import errors
from patchwright.adapters.kube.client import LIST_TIMEOUT, KubeApi
from patchwright.adapters.kube.jobs import EPOCH
from patchwright.adapters.kube.projection import instant
from patchwright.domain.images.facts import Container
from patchwright.domain.images.urgency import Report, Severity, Vulnerability
from patchwright.domain.workloads.images import repository

_GROUP: Final = "/apis/aquasecurity.github.io/v1alpha1"
_LABELS: Final = "trivy-operator"
# A report of one image may have a megabyte.
_PAGE: Final = "20"
_HUB: Final = frozenset({"index.docker.io", "docker.io"})


class KubeReports:
    """Implements ``image_ports.Reports``."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api

    async def reports(self, namespaces: Collection[str], images: Collection[str]) -> Sequence[Report]:
        """Give the reports of some namespaces; none where trivy-operator is not installed, or may not be read."""
        names = {repository(image): image for image in images}
        found: list[Report] = []
        for namespace in sorted(namespaces):
            try:
                # Thousands of vulnerabilities each: only those that are asked for are kept.
                found += [
                    replace(report, image=name)
                    async for report in self._of(namespace)
                    if (name := names.get(repository(report.image))) is not None
                ]
            except (errors.NotFound, errors.Denied):
                return ()
        return found

    async def _of(self, namespace: str) -> AsyncIterator[Report]:
        query = {"limit": _PAGE}
        while True:
            path = f"{_GROUP}/namespaces/{namespace}/vulnerabilityreports"
            body = await self._api.call("GET", path, what=path, query=query, limit=LIST_TIMEOUT)
            for raw in body.get("items") or ():
                if (report := project(raw)) is not None:
                    yield report
            token = body["metadata"].get("continue")
            if not token:
                return
            query = {**query, "continue": token}


def project(raw: Mapping[str, Any]) -> Report | None:
    """Project a raw report; ``None`` where it does not say what it is about."""
    labels, body = raw["metadata"].get("labels") or {}, raw.get("report") or {}
    artifact = body.get("artifact") or {}
    kind, workload = labels.get(f"{_LABELS}.resource.kind", ""), labels.get(f"{_LABELS}.resource.name", "")
    if not (kind and workload and artifact.get("repository")):
        return None
    if kind == "ReplicaSet":
        # Of a Deployment: its name, and the hash of the template.
        kind, workload = "Deployment", workload.rpartition("-")[0]
    container = Container(
        kind,
        labels.get(f"{_LABELS}.resource.namespace", raw["metadata"]["namespace"]),
        workload,
        labels.get(f"{_LABELS}.container.name", ""),
    )
    return Report(
        container,
        _image(body, artifact),
        str(artifact.get("tag") or ""),
        str(artifact.get("digest") or ""),
        at=instant(body.get("updateTimestamp")) or EPOCH,
        vulnerabilities=tuple(_vulnerabilities(body)),
    )


def _image(body: Mapping[str, Any], artifact: Mapping[str, Any]) -> str:
    server = str((body.get("registry") or {}).get("server") or "")
    return f"{'docker.io' if server in _HUB or not server else server}/{artifact['repository']}"


def _vulnerabilities(body: Mapping[str, Any]) -> Iterator[Vulnerability]:
    for each in body.get("vulnerabilities") or ():
        word = str(each.get("severity", "")).upper()
        yield Vulnerability(
            str(each.get("vulnerabilityID", "")),
            Severity[word] if word in Severity.__members__ else Severity.UNKNOWN,
            package=str(each.get("resource", "")),
            fixed_version=str(each.get("fixedVersion") or ""),
            score=float(each["score"]) if isinstance(each.get("score"), int | float) else None,
            published=instant(each.get("publishedDate")),
        )
