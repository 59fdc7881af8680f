"""Health checks: whatever ``spec.healthChecks`` looks at, from Prometheus to single objects.

``Probes`` implements ``ports.HealthProber``. What a check finds to be bad is a ``Finding``; that it could not be made
is a ``HealthProbeError``, which counts as unhealthy and which no baseline excuses.

Law: a probe changes nothing, follows no redirect, asks no proxy of the environment, reads a bounded answer in bounded
time, and never shows a body to people. aiohttp stays in this folder; the API server is asked through adapters.kube.
"""

from patchwright.adapters.health.probes import Probes

__all__ = ["Probes"]
