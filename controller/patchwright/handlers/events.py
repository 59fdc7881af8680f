"""The kopf handlers: every watch event of our own kinds goes into a cache, and whoever it concerns is woken.

Nodes, Jobs and pods, of which there are many, come by ``adapters.kube.reflector``. There are no create, update or
delete handlers, on purpose: kopf would write annotations and finalizers on objects (kopf#635, kopf#652), and a
level-based operator has no use for the difference.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import kopf

from patchwright.adapters.kube import lists
from patchwright.domain.model import Key
from patchwright.handlers import memoryless

GROUP, VERSION = "patchwright.dev", "v1alpha1"
Raw = Mapping[str, Any]


class Feed(Protocol):
    """What takes the events: an upsert, or a removal when ``gone``."""

    def rollout(self, raw: Raw, *, gone: bool) -> None:
        """Take a PatchRollout."""

    def policy(self, raw: Raw, *, gone: bool) -> None:
        """Take a PatchPolicy."""

    def repository(self, raw: Raw, *, gone: bool) -> None:
        """Take a PolicyRepository."""

    def listed(self) -> None:
        """Take in that a watch has begun, or begun anew, with a list: what went before that is never told."""


def registry(feed: Feed, *, kubeconfig: Path | None = None) -> kopf.OperatorRegistry:
    """Give a registry in which every event that concerns us reaches the feed, from the cluster of ``kubeconfig``."""
    found = kopf.OperatorRegistry()
    kopf.on.startup(registry=found)(_configure)
    kopf.on.login(registry=found)(login(kubeconfig))
    for resource, take in _resources(feed):
        kopf.on.event(*resource, registry=found)(_handler(take, feed.listed))
    return found


Take = Callable[..., None]


def _resources(feed: Feed) -> list[tuple[tuple[str, ...], Take]]:
    return [
        ((GROUP, VERSION, "patchrollouts"), feed.rollout),
        ((GROUP, VERSION, "patchpolicies"), feed.policy),
        ((GROUP, VERSION, "policyrepositories"), feed.repository),
    ]


def _handler(take: Take, listed: Callable[[], None]) -> Callable[..., Any]:
    async def handle(event: kopf.RawEvent, **_: Any) -> None:
        if event["type"] is None:
            listed()
        take(event["object"], gone=event["type"] == "DELETED")

    return handle


async def _configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    settings.posting.enabled = False  # our events are written by the journal, in step with the status
    settings.scanning.disabled = True  # our kinds are there before we are; watching every CRD would need more rights
    settings.watching.chunk_size = lists.FULL_PAGE
    settings.persistence.diffbase_storage = memoryless.NoDiffBase()
    settings.persistence.progress_storage = memoryless.NoProgress()
    # One worker per object, and each keeps its last event while it lingers.
    settings.queueing.idle_timeout = 0.1


def login(kubeconfig: Path | None) -> Callable[..., Any]:
    """Give the login that picks the same cluster as ``adapters.kube.client.connect``.

    If the two differed, the operator would watch one cluster and write to another.
    """

    async def log_in(**kwargs: Any) -> kopf.ConnectionInfo | None:
        if kubeconfig is not None:
            # kopf reads its path from there and from nowhere else.
            os.environ["KUBECONFIG"] = str(kubeconfig)
        if "KUBECONFIG" not in os.environ and "KUBERNETES_SERVICE_HOST" in os.environ:
            return kopf.login_with_service_account(**kwargs)
        return kopf.login_with_kubeconfig(**kwargs)

    return log_in


def key_of(raw: Raw) -> Key:
    """Give the namespace and name of a raw object."""
    metadata = raw["metadata"]
    return Key(metadata.get("namespace", ""), metadata["name"])
