"""Manifests that are right and manifests that are wrong, for the models and for the API server alike.

Each wrong one changes one thing about a right one. A rule that both sides know is told in the same words by both; where
only one side can know (the model: that a time zone does not exist) the case says so.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

API_VERSION: Final = "patchwright.dev/v1alpha1"
PLURALS: Final = {
    "PatchPolicy": "patchpolicies",
    "PatchRollout": "patchrollouts",
    "PolicyRepository": "policyrepositories",
}
Manifest = dict[str, Any]
GONE: Final = object()
DIGEST: Final = "sha256:" + "0" * 64


def _manifest(kind: str, spec: Manifest) -> Manifest:
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": "openssl"}, "spec": spec}


SELECTOR: Final = {
    "matchLabels": {"node-role.kubernetes.io/worker": "", "team": "edge"},
    "matchExpressions": [
        {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["a", "b"]},
        {"key": "patchwright.dev/risk", "operator": "DoesNotExist"},
    ],
}
_STEP: Final = {
    "image": f"registry.example:5000/tools/patch@{DIGEST}",
    "command": ["/patch"],
    "args": ["--now", ""],
    "env": [{"name": "MODE", "value": "fast"}],
    "timeout": "10m",
}

MINIMAL: Final[Mapping[str, Manifest]] = {
    "PatchPolicy": _manifest("PatchPolicy", {"target": {"nodes": {"selector": {}}}}),
    "PatchRollout": _manifest(
        "PatchRollout",
        {
            "policyRef": {"name": "workers"},
            "change": {"script": {"version": "3.0.17", "image": "registry.example/patch:v1"}},
        },
    ),
    "PolicyRepository": _manifest("PolicyRepository", {"url": "https://git.example/org/fleet"}),
}

FULL: Final[Mapping[str, Manifest]] = {
    "PatchPolicy": _manifest(
        "PatchPolicy",
        {
            "target": {
                "nodes": {
                    "selector": SELECTOR,
                    "driver": "script",
                    "tolerations": [
                        {"key": "dedicated", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"},
                        {"operator": "Exists", "effect": "NoExecute"},
                    ],
                }
            },
            "trigger": "Manual",
            "strategy": {
                "canary": {"count": 2, "soak": "10m"},
                "waves": [{"size": 5, "soak": "5m"}, {"size": "50%"}],
                "maxUnavailable": "10%",
                "failureThreshold": 2,
                "topologyKey": "topology.kubernetes.io/zone",
                "progressDeadlineSeconds": 900,
            },
            "maintenanceWindows": [{"start": "0 22 * * SAT", "duration": "4h", "timeZone": "Europe/Paris"}],
            "drain": {
                "enabled": True,
                "force": False,
                "timeout": "15m",
                "gracePeriod": 30,
                "deleteEmptydirData": True,
                "ignoreDaemonSets": True,
                "disableEviction": False,
                "skipWaitForDeleteTimeout": 60,
                "podSelector": {"matchLabels": {"app": "web"}},
                "onTimeout": "Abort",
                "excludeFromLoadBalancers": True,
                "loadBalancerWait": "45s",
                "waitForVolumeDetach": True,
            },
            "healthChecks": [
                {
                    "name": "apps",
                    "workloads": {
                        "namespaceSelector": {"matchLabels": {"env": "prod"}},
                        "selector": {"matchLabels": {"tier": "web"}},
                        "kinds": ["Deployment", "StatefulSet"],
                    },
                    "interval": "10s",
                    "timeout": "2m",
                    "probeTimeout": "3s",
                    "baseline": "Exclude",
                },
                {
                    "name": "errors",
                    "prometheus": {
                        "address": "http://prometheus.monitoring:9090",
                        "unhealthy": "rate(errors_total[1m]) > 5",
                        "require": "up == 1",
                    },
                },
                {
                    "name": "front",
                    "http": {"url": "https://shop.example/healthz?full=1", "expectedStatuses": [200, 204]},
                },
                {
                    "name": "db",
                    "object": {
                        "apiVersion": "db.example/v1",
                        "kind": "Cluster",
                        "namespace": "data",
                        "name": "main",
                        "for": "condition=Ready",
                    },
                },
                {
                    "name": "dbs",
                    "object": {
                        "apiVersion": "v1",
                        "kind": "Pod",
                        "selector": {"matchLabels": {"app": "db"}},
                        "for": "jsonpath={.status.phase}=Running",
                    },
                },
                {
                    "name": "smoke",
                    "job": {
                        "image": "smoke:1",
                        "command": ["smoke"],
                        "args": ["--buy"],
                        "env": [{"name": "SHOP", "value": "shop"}, {"name": "EMPTY"}],
                        "serviceAccountName": "smoke",
                    },
                },
            ],
            "rollback": {"enabled": True, "scope": "All"},
            "policy": {"package": "patchwright.rollout", "failurePolicy": "Fail"},
            "suspend": False,
        },
    ),
    "PatchRollout": _manifest(
        "PatchRollout",
        {
            "policyRef": {"name": "workers"},
            "change": {
                "script": {
                    "version": "3.0.17-1~deb12u3",
                    "image": "registry.example/patch:v1",
                    "command": ["/patch"],
                    "args": ["openssl"],
                    "env": [{"name": "DEBIAN_FRONTEND", "value": "noninteractive"}, {"name": "EMPTY"}],
                    "apply": _STEP,
                    "prepare": {"args": ["prepare"], "timeout": "20m"},
                    "verify": {"args": ["verify"]},
                    "rollback": {"args": ["rollback"], "timeout": "1h30m"},
                    "reboot": "WhenRequested",
                    "privileged": True,
                    "hostPath": "/",
                    "serviceAccountName": "patcher",
                }
            },
            "advisories": ["CVE-2026-1234", "DSA-5764-1"],
            "releasedAt": "2026-11-20T08:00:00Z",
            "paused": True,
        },
    ),
    "PolicyRepository": _manifest(
        "PolicyRepository",
        {
            "url": "ssh://git@git.example:2222/org/fleet.git",
            "ref": {
                "branch": "main",
                "tag": "v1.2.0",
                "semver": ">=1.2.0 <2.0.0",
                "name": "refs/heads/main",
                "commit": "0" * 40,
            },
            "path": "./clusters/prod",
            "interval": "1m",
            "timeout": "60s",
            "secretRef": {"name": "git"},
            "verify": {"mode": "TagAndHEAD", "secretRef": {"name": "signers"}},
            "ignore": "/*\n!/clusters\n",
            "prune": True,
            "suspend": False,
            "serviceAccountName": "patcher",
            "rego": {"path": "policy"},
            "pullRequest": {
                "provider": "GitLab",
                "address": "https://git.example/api/v4",
                "secretRef": {"name": "gitlab"},
                "folder": "proposed",
            },
        },
    ),
}


# The same for workloads, which exclude nodes; the fields that both have are in the ones above.
# An image that is followed, with everything that may be said of it.
CHOICE: Final[Mapping[str, Any]] = {
    "policy": {"semver": {"range": ">=1.2.0-0 <2 || 3.x"}},
    "filterTags": {"pattern": "^v(?P<v>[0-9.]+)(-(alpine))?$", "extract": "$v"},
    "patchedSuffix": "-patched(-[0-9]+)?",
    "digestReflectionPolicy": "IfNotPresent",
    "minimumReleaseAge": "72h",
    "minimumReleaseAgeBehaviour": "timestamp-required",
    "allowDowngrade": False,
    "platforms": ["linux/amd64", "linux/arm64/v8"],
}
WORKLOADS: Final[Mapping[str, Manifest]] = {
    "PatchPolicy": _manifest(
        "PatchPolicy",
        {
            "target": {
                "workloads": {
                    "namespaceSelector": {"matchLabels": {"env": "production"}},
                    "selector": SELECTOR,
                    "kinds": ["Deployment", "CronJob"],
                    "images": [
                        {"image": "ghcr.io/acme/api", **CHOICE, "interval": "5m", "secretRef": {"name": "login"}},
                        {"image": "registry.example:5000/team/*", "policy": {"semver": {"range": "~1.4"}}},
                        {"image": "nginx", "policy": {"digest": {}}, "digestReflectionPolicy": "Always"},
                        {"image": "redis", "policy": {"alphabetical": {"order": "desc"}}},
                        {"image": "postgres", "policy": {"numerical": {"order": "asc"}}},
                        {"image": "docker.io/library/covered"},
                    ],
                    "allowRecreate": True,
                    "verify": {
                        "provider": "cosign",
                        "secretRef": {"name": "cosign-keys"},
                        "matchOIDCIdentity": [
                            {
                                "issuer": "^https://token\\.actions\\.githubusercontent\\.com$",
                                "subject": "^https://github\\.com/acme/",
                            }
                        ],
                        "trustedRootSecretRef": {"name": "our-sigstore"},
                    },
                }
            },
            "trigger": "Automatic",
            "strategy": {"canary": {"count": 1, "pods": "10%", "soak": "10m"}},
            "write": {
                "mode": "Auto",
                "git": {
                    "url": "ssh://git@git.example:2222/acme/shop.git",
                    "ref": {"branch": "main"},
                    "branch": "patches",
                    "path": "clusters/prod",
                    "secretRef": {"name": "git-write"},
                    "author": {"name": "Patch Robot", "email": "robot@shop.example"},
                    "pullRequest": {
                        "provider": "GitLab",
                        "address": "https://git.example/api/v4",
                        "secretRef": {"name": "gitlab"},
                    },
                },
            },
        },
    ),
    "PatchRollout": _manifest(
        "PatchRollout",
        {
            "policyRef": {"name": "api"},
            "change": {
                "images": [
                    {"image": "ghcr.io/acme/api", "tag": "1.4.3", "digest": DIGEST, "from": "1.4.2"},
                    {"image": "nginx", "digest": DIGEST, "from": DIGEST},
                    {"image": "redis", "digest": DIGEST, "fromAny": ["7.2", DIGEST]},
                ]
            },
        },
    ),
}
_OF_WORKLOADS: Final = ("spec.target.workloads", "spec.change.images", "spec.write.")


@dataclass(frozen=True, slots=True)
class Wrong:
    """A wrong manifest: ``at`` is set to ``value`` in the full one; the model says ``words`` about ``path``.

    Which full one, of nodes or of workloads, the path says.

    ``server`` is what the API server says instead, ``None`` when it cannot know. ``path`` is ``at`` when it is empty.
    """

    kind: str
    at: str
    value: Any
    words: str
    path: str = ""
    server: str | None = ""

    @property
    def full(self) -> Manifest:
        """Give the right manifest."""
        return (WORKLOADS if self.at.startswith(_OF_WORKLOADS) else FULL)[self.kind]

    @property
    def manifest(self) -> Manifest:
        """Give the manifest."""
        return changed(self.full, self.at, self.value)

    @property
    def blamed(self) -> str:
        """Give the path that the fault must name."""
        return self.path or self.at

    @property
    def told_by_server(self) -> str | None:
        """Give the words that the API server must use; ``None`` when it accepts the manifest."""
        return self.words if self.server == "" else self.server

    def __str__(self) -> str:
        """Give the test's name."""
        shown = "gone" if self.value is GONE else repr(self.value)
        return f"{self.kind}:{self.at}={shown}"[:110]


def changed(manifest: Manifest, at: str, value: Any) -> Manifest:
    """Give a copy in which the field at a path such as ``spec.a[0].b`` has another value, or is gone."""
    found = copy.deepcopy(manifest)
    here: Any = found
    *way, last = [int(part[1:-1]) if part[0] == "[" else part for part in re.findall(r"[^.\[\]]+|\[\d+\]", at)]
    for part in way:
        if isinstance(here, dict):
            here.setdefault(part, {})
        here = here[part]
    if value is GONE:
        del here[last]
    else:
        here[last] = value
    return found


P, R, G = "PatchPolicy", "PatchRollout", "PolicyRepository"
SCRIPT: Final = "spec.change.script"
