"""What health checks look at, and what their findings mean."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # The model of a policy has checks, and they have its selectors.
    from patchwright.domain.model import Selector


@dataclass(frozen=True, slots=True)
class WorkloadsCheck:
    """Deployments, StatefulSets, DaemonSets and Argo's Rollouts are available and observed at their generation."""

    namespace_selector: Selector
    selector: Selector
    kinds: tuple[str, ...] = ("Deployment", "StatefulSet", "DaemonSet")


@dataclass(frozen=True, slots=True)
class PrometheusCheck:
    """``unhealthy`` must return no series (as an alerting rule), ``require`` must return at least one."""

    address: str
    unhealthy: str | None = None
    require: str | None = None


@dataclass(frozen=True, slots=True)
class HttpCheck:
    """A GET on ``url`` must answer with one of ``expected_statuses``."""

    url: str
    expected_statuses: tuple[int, ...] = (200,)


@dataclass(frozen=True, slots=True)
class ObjectCheck:
    """An object must satisfy ``wait_for``, in the words of ``kubectl wait --for``.

    ``condition=Ready``, ``condition=Ready=false`` or ``jsonpath={.status.phase}=Running``. Exactly one of ``name`` and
    ``selector`` says which objects; all of them must satisfy it, and none found is unhealthy.
    """

    api_version: str
    kind: str
    wait_for: str
    namespace: str | None = None
    name: str | None = None
    selector: Selector | None = None


@dataclass(frozen=True, slots=True)
class JobCheck:
    """A Job with one pod must succeed; each measurement runs one, in the namespace of the policy."""

    image: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    service_account: str | None = None


Probe = WorkloadsCheck | PrometheusCheck | HttpCheck | ObjectCheck | JobCheck


class Baseline(StrEnum):
    """What a finding that was there before the patch means."""

    BLOCK = "Block"
    EXCLUDE = "Exclude"


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """A named check.

    ``timeout`` is how long it may stay unhealthy before the wave has failed; new starts are held at once.
    ``probe_timeout`` bounds one measurement. ``baseline`` decides about findings older than the rollout: ``Block`` does
    not start, ``Exclude`` starts and does not blame the patch for them.
    """

    name: str
    probe: Probe
    interval: timedelta = timedelta(seconds=10)
    timeout: timedelta = timedelta(0)
    probe_timeout: timedelta = timedelta(seconds=5)
    baseline: Baseline = Baseline.BLOCK

    @property
    def slow(self) -> bool:
        """Whether a measurement takes so long that no other check may have to wait for it."""
        return isinstance(self.probe, JobCheck)
