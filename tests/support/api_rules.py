"""What breaks a rule that CEL and the models hold in common; both sides say the same words."""

from __future__ import annotations

from typing import Final

from support import api_images
from support.api_manifests import GONE, SCRIPT, G, P, R, Wrong

_PINNED = "must be pinned by a tag other than latest, or by a digest (@sha256:…)"
_QUANTITY = "must be a whole number from 0 or a percentage from 0% to 100%, such as 3 or 10%"
_POSITIVE = "must be a whole number from 1 or a percentage from 1% to 100%, such as 3 or 10%"
_WEB = "must be an http:// or https:// URL without user name or password"
_GIT = "must be an https://, http:// or ssh:// URL of a repository, without a password"
_EXPRESSIONS = "spec.target.nodes.selector.matchExpressions[0]"
_VERIFY = "spec.target.workloads.verify"
_TRUSTS_NOBODY = "at least one of secretRef and matchOIDCIdentity must be set, or anybody's signature would do"
_VALUES = "values must be given for In and NotIn, and only for them"
_WINDOW = "a maintenance window must be at least as long as drain.timeout (10m when left out"
_WINDOWS = "spec.maintenanceWindows"
_EXCLUDES: Final = {"excludeFromLoadBalancers": True}
_WAIT = "loadBalancerWait may only be set with excludeFromLoadBalancers: true"
_PROBE = "exactly one of workloads, prometheus, http, object and job must be set"
_CHANGED = "spec.change.images[0]"
_REF = "must be a valid Git reference (git check-ref-format)"

_FOLLOWS = "trigger Automatic or PullRequest needs an entry of target.workloads.images with a policy"
_IMAGES = "spec.target.workloads.images"
_GOES_WITH = "what is said of tags, platforms, interval and secretRef goes with policy"
# What holds for an image that is wanted holds for one that a policy follows.
_OF_IMAGES: Final = tuple(
    Wrong(P, f"{_IMAGES}[{at}].{case.at}", case.value, case.words, f"{_IMAGES}[{at}].{case.path or case.at}")
    for case in api_images.RULES
    for at in (("FULL", "MINIMAL", "DIGEST").index(case.base),)
)

# What CEL rules say, on both sides.
RULES: Final = (
    *_OF_IMAGES,
    Wrong(P, f"{_IMAGES}[0].policy", GONE, _GOES_WITH, f"{_IMAGES}[0]"),
    Wrong(P, f"{_IMAGES}[5].secretRef", {"name": "login"}, _GOES_WITH, f"{_IMAGES}[5]"),
    Wrong(P, f"{_IMAGES}[5].interval", "1m", _GOES_WITH, f"{_IMAGES}[5]"),
    Wrong(P, f"{_IMAGES}[5].platforms", ["linux/amd64"], _GOES_WITH, f"{_IMAGES}[5]"),
    Wrong(P, f"{_IMAGES}[5].allowDowngrade", False, _GOES_WITH, f"{_IMAGES}[5]"),
    Wrong(P, f"{_IMAGES}[0].interval", "500ms", "must be at least 1s"),
    Wrong(P, "spec.trigger", "Automatic", _FOLLOWS),
    Wrong(P, "spec.trigger", "PullRequest", _FOLLOWS),
    Wrong(
        P,
        f"{_IMAGES}",
        [{"image": "nginx"}],
        _FOLLOWS,
        "spec.trigger",
    ),
    Wrong(R, "spec.change.images[0].fromAny", ["1.4.1"], "only one of from and fromAny may be set", _CHANGED),
    Wrong(P, "metadata.name", "a" * 64, "must be at most 63 characters", server="name must be at most 63 characters"),
    Wrong(P, "spec.target", {}, "exactly one of nodes and workloads must be set"),
    Wrong(
        P,
        "spec.target",
        {"nodes": {"selector": {}}, "workloads": {"selector": {}, "images": [{"image": "nginx"}]}},
        "exactly one of nodes and workloads must be set",
    ),
    Wrong(P, "spec.strategy.canary.selector", {}, "only one of count and selector may be set", "spec.strategy.canary"),
    Wrong(P, "spec.strategy.canary.count", "ten", _QUANTITY),
    Wrong(P, "spec.strategy.canary.pods", 0, _POSITIVE),
    Wrong(P, "spec.strategy.canary.pods", "0%", _POSITIVE),
    Wrong(P, "spec.strategy.canary.pods", 1, "strategy.canary.pods is for target.workloads only"),
    Wrong(P, "spec.strategy.canary.count", -1, _QUANTITY),
    Wrong(P, "spec.strategy.maxUnavailable", "101%", _QUANTITY),
    Wrong(P, "spec.strategy.maxUnavailable", "5.5%", _QUANTITY),
    Wrong(P, "spec.strategy.maxUnavailable", "010%", _QUANTITY),
    Wrong(P, "spec.strategy.waves[0].size", 0, _POSITIVE),
    Wrong(P, "spec.strategy.waves[1].size", "0%", _POSITIVE),
    Wrong(P, "spec.strategy.failureThreshold", 0, _POSITIVE),
    Wrong(P, "spec.maintenanceWindows[0].duration", "30m44s", _WINDOW, _WINDOWS),
    Wrong(P, "spec.maintenanceWindows[0].duration", "1844999ms", _WINDOW, _WINDOWS),
    Wrong(P, "spec.strategy.progressDeadlineSeconds", 13_456, _WINDOW, _WINDOWS),
    Wrong(P, "spec.drain.timeout", "13456s", _WINDOW, _WINDOWS),
    Wrong(P, "spec.drain", {"timeout": "13381s", "onTimeout": "Force"}, _WINDOW, _WINDOWS),
    Wrong(P, "spec.drain", {"enabled": True, "timeout": "4h"}, _WINDOW, _WINDOWS),
    Wrong(P, "spec.drain", {"timeout": "13471s", **_EXCLUDES}, _WINDOW, _WINDOWS),
    Wrong(P, "spec.drain", {"enabled": False, **_EXCLUDES, "loadBalancerWait": "13501s"}, _WINDOW, _WINDOWS),
    Wrong(P, "spec.drain.gracePeriod", 0, "must not be 0, which kills pods without notice; use 1"),
    Wrong(P, "spec.drain.excludeFromLoadBalancers", GONE, _WAIT, "spec.drain.loadBalancerWait"),
    Wrong(P, "spec.drain.excludeFromLoadBalancers", False, _WAIT, "spec.drain.loadBalancerWait"),
    Wrong(P, "spec.healthChecks[1].prometheus", GONE, _PROBE, "spec.healthChecks[1]"),
    Wrong(P, "spec.healthChecks[1].http", {"url": "http://x"}, _PROBE, "spec.healthChecks[1]"),
    Wrong(
        P,
        "spec.healthChecks[1].prometheus",
        {"address": "http://x"},
        "at least one of unhealthy and require must be set",
    ),
    Wrong(P, "spec.healthChecks[1].prometheus.address", "prometheus:9090", _WEB),
    Wrong(P, "spec.healthChecks[1].prometheus.address", "http://u:p@prometheus:9090", _WEB),
    Wrong(P, "spec.healthChecks[2].http.url", "https://token@shop.example/", _WEB),
    Wrong(P, "spec.healthChecks[2].http.url", "ftp://shop.example/", _WEB),
    Wrong(
        P,
        "spec.healthChecks[3].object.selector",
        {},
        "exactly one of name and selector must be set",
        "spec.healthChecks[3].object",
    ),
    Wrong(
        P,
        "spec.healthChecks[3].object.name",
        GONE,
        "exactly one of name and selector must be set",
        "spec.healthChecks[3].object",
    ),
    Wrong(P, _VERIFY, {}, _TRUSTS_NOBODY),
    Wrong(P, _VERIFY, {"provider": "cosign"}, _TRUSTS_NOBODY),
    Wrong(P, f"{_VERIFY}.matchOIDCIdentity", GONE, "keys need no root", f"{_VERIFY}.trustedRootSecretRef"),
    Wrong(P, f"{_EXPRESSIONS}.values", GONE, _VALUES),
    Wrong(P, f"{_EXPRESSIONS}.values", [], _VALUES),
    Wrong(P, f"{_EXPRESSIONS}.operator", "Exists", _VALUES, f"{_EXPRESSIONS}.values"),
    Wrong(P, "spec.target.nodes.tolerations[0].key", GONE, "key may only be left out with operator Exists"),
    Wrong(P, "spec.target.nodes.tolerations[1].value", "x", "value must be left out with operator Exists"),
    Wrong(P, "spec.write.git.secretRef", GONE, "an ssh:// URL needs a secretRef with identity and known_hosts"),
    Wrong(P, "spec.write.git.pullRequest", GONE, "branch names the branches of pull requests", "spec.write.git.branch"),
    Wrong(P, "spec.write.mode", "Cluster", "mode Git needs git, and mode Cluster has none", "spec.write.git"),
    Wrong(P, "spec.write", {}, "write is for target.workloads only: nodes are not made from Git"),
    Wrong(P, "spec.write.git.ref", GONE, "pullRequest needs ref.branch, which it is to be merged into"),
    Wrong(P, "spec.write.git.url", "git@git.example:acme/shop", _GIT),
    Wrong(P, "spec.write.git.path", "../x", "must be a folder inside the repository, without .."),
    Wrong(P, "spec.write.git.pullRequest.address", "git.example/api", _WEB),
    Wrong(R, "spec.change", {}, "exactly one of script and images must be set"),
    Wrong(R, f"{SCRIPT}.image", "registry.example/patch:latest", _PINNED),
    Wrong(R, f"{SCRIPT}.image", "registry.example/patch", _PINNED),
    Wrong(R, f"{SCRIPT}.image", "registry.example:5000/patch", _PINNED),
    Wrong(R, f"{SCRIPT}.apply.image", "patch", _PINNED),
    Wrong(R, f"{SCRIPT}.prepare", {}, "prepare must set image, command, args or env, or it would run the apply step"),
    Wrong(R, f"{SCRIPT}.verify", {"timeout": "1m"}, "verify must set image, command, args or env"),
    Wrong(R, f"{SCRIPT}.rollback", {}, "rollback must set image, command, args or env"),
    Wrong(G, "spec.url", "git@git.example:org/fleet", _GIT),
    Wrong(G, "spec.url", "file:///etc", _GIT),
    Wrong(G, "spec.url", "https://git.example", _GIT),
    Wrong(G, "spec.url", "https://me:secret@git.example/org/fleet", _GIT),
    Wrong(G, "spec.url", "https://token@git.example/org/fleet", _GIT),
    Wrong(G, "spec.url", "ssh://git:secret@git.example/org/fleet", _GIT),
    Wrong(G, "spec.url", "--upload-pack=touch /tmp/x", _GIT),
    Wrong(G, "spec.secretRef", GONE, "an ssh:// URL needs a secretRef with identity and known_hosts"),
    Wrong(G, "spec.ref.branch", "a..b", _REF),
    Wrong(G, "spec.ref.branch", GONE, "pullRequest needs ref.branch, which it is to be merged into", "spec.ref"),
    Wrong(G, "spec.pullRequest.folder", "../x", "must be a folder inside the repository, without .."),
    Wrong(G, "spec.ref.tag", "a.lock", _REF),
    Wrong(G, "spec.ref.name", "heads/main", "must be a full reference such as refs/heads/main"),
    Wrong(G, "spec.path", "../other", "must be a folder inside the repository, without .."),
    Wrong(G, "spec.rego.path", "a/..", "must be a folder inside the repository, without .."),
    Wrong(G, "spec.interval", "10ms", "must be at least 1s"),
    Wrong(G, "spec.timeout", "0s", "must be at least 1s"),
)

# Everything but ``paused`` of a rollout is immutable: what an update changes, and what both sides say.
IMMUTABLE: Final = (
    Wrong(R, "spec.policyRef.name", "other", "policyRef is immutable", "spec.policyRef"),
    Wrong(R, f"{SCRIPT}.version", "3.0.18", "change is immutable", "spec.change"),
    Wrong(R, f"{SCRIPT}.env[0].value", "x", "change is immutable", "spec.change"),
    Wrong(R, f"{SCRIPT}.verify", GONE, "change is immutable", "spec.change"),
    Wrong(R, "spec.change.images[0].digest", f"sha256:{'1' * 64}", "change is immutable", "spec.change"),
    Wrong(R, "spec.change.images[0].from", GONE, "change is immutable", "spec.change"),
    Wrong(R, "spec.advisories", GONE, "advisories is immutable"),
    Wrong(R, "spec.advisories", ["CVE-2026-1"], "advisories is immutable"),
    Wrong(R, "spec.releasedAt", GONE, "releasedAt is immutable"),
    Wrong(R, "spec.releasedAt", "2026-11-20T08:00:01Z", "releasedAt is immutable"),
)
