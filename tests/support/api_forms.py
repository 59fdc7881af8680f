"""What has the wrong form, in the words of each side; what only the model can know; and what is right."""

from __future__ import annotations

from typing import Final

from support.api_manifests import DIGEST, GONE, SCRIPT, G, P, R, Wrong

_TEXT = "must be a text"
_UNKNOWN = "unknown field"
_SECRET: Final = "spec.target.workloads.images[0].secretRef"
_FROM_ANY: Final = "spec.change.images[2].fromAny"

# What the schema itself says on the server, and we in our words.
FORMS: Final = (
    Wrong(P, "spec", GONE, "is required", server="spec: Required value"),
    Wrong(P, "spec.target", GONE, "is required", server="spec.target: Required value"),
    Wrong(P, "spec.target.nodes.selector", GONE, "is required", server="selector: Required value"),
    Wrong(P, "spec.target.nodes.selector", [], "must be an object", server="must be of type object"),
    Wrong(P, "spec.target.nodes.driver", "apt", "must be 'script'; got 'apt'", server='supported values: "script"'),
    Wrong(
        P,
        "spec.trigger",
        "manual",
        "must be 'Automatic' or 'Manual'; got 'manual'; did you mean 'Manual'?",
        server="Unsupported value",
    ),
    Wrong(
        P,
        "spec.drain.onTimeout",
        "abort",
        "must be 'Abort' or 'Force'; got 'abort'; did you mean 'Abort'?",
        server="Unsupported value",
    ),
    Wrong(P, "spec.drain.force", "yes", "must be true or false; got 'yes'", server="must be of type boolean"),
    Wrong(P, "spec.drain.gracePeriod", "30s", "must be a whole number; got '30s'", server="must be of type integer"),
    Wrong(
        P, "spec.drain.gracePeriod", -2, "must be at least -1; got -2", server="should be greater than or equal to -1"
    ),
    Wrong(P, "spec.drain.timeout", 600, "reads it as nanoseconds", server="must be of type string"),
    Wrong(
        P,
        "spec.drain.timeout",
        "10 minutes",
        "must be a duration such as 30s, 10m or 1h30m; got '10 minutes'",
        server="should match",
    ),
    Wrong(P, "spec.strategy.canary.soak", "-5m", "must be a duration such as", server="should match"),
    Wrong(P, "spec.strategy.topologyKey", "zone!", "must be a label key", server="should match"),
    Wrong(
        P,
        "spec.strategy.progressDeadlineSeconds",
        0,
        "must be at least 1; got 0",
        server="should be greater than or equal to 1",
    ),
    Wrong(
        P,
        "spec.strategy.progressDeadlineSeconds",
        86_401,
        "must be at most 86400",
        server="should be less than or equal to 86400",
    ),
    Wrong(
        P,
        "spec.strategy.progressDeadlineSeconds",
        1.5,
        "must be a whole number; got 1.5",
        server="must be of type integer",
    ),
    Wrong(
        P,
        "spec.strategy.waves",
        [{"size": 1}] * 21,
        "must have at most 20 entries; got 21",
        server="must have at most 20 items",
    ),
    Wrong(P, "spec.strategy.waves", "10%", "must be a list", server="must be of type array"),
    Wrong(P, "spec.strategy.waves[0].size", GONE, "is required", server="Required value"),
    Wrong(
        P, "spec.maintenanceWindows[0].start", "@weekly", "must be a cron expression of 5 fields", server="should match"
    ),
    Wrong(
        P,
        "spec.maintenanceWindows[0].start",
        "0 0 22 * * SAT",
        "must be a cron expression of 5 fields",
        server="should match",
    ),
    Wrong(P, "spec.maintenanceWindows[0].timeZone", "", "must not be empty", server="should be at least 1 chars long"),
    Wrong(P, "spec.healthChecks[0].name", "Apps", "must be a name of lower-case letters", server="should match"),
    Wrong(
        P,
        "spec.healthChecks[1].name",
        "apps",
        "'apps' is already taken by spec.healthChecks[0]",
        "spec.healthChecks[1].name",
        server="Duplicate value",
    ),
    Wrong(
        P,
        "spec.healthChecks[0].workloads.kinds[0]",
        "deployment",
        "did you mean 'Deployment'?",
        server="Unsupported value",
    ),
    Wrong(P, "spec.healthChecks[1].prometheus.unhealthy", "  ", "must not be blank", server="should match"),
    Wrong(
        P,
        "spec.healthChecks[2].http.expectedStatuses[0]",
        99,
        "must be at least 100",
        server="should be greater than or equal to 100",
    ),
    Wrong(P, "spec.healthChecks[3].object.for", "Ready", "must be as in kubectl wait --for", server="should match"),
    Wrong(P, "spec.healthChecks[3].object.kind", "cluster", "must be a kind such as Deployment", server="should match"),
    Wrong(P, "spec.healthChecks[3].object.apiVersion", "apps", "must be an API version", server="should match"),
    Wrong(P, "spec.policy.package", "a-b", "must be a Rego package", server="should match"),
    Wrong(R, "spec.policyRef.name", "a" * 64, "must be at most 63 characters long", server="may not be more than 63"),
    Wrong(
        R, f"{SCRIPT}.version", 3.1, 'must be a text; got 3.1; put it in quotes: "3.1"', server="must be of type string"
    ),
    Wrong(R, f"{SCRIPT}.version", "3 1", "must be a version such as", server="should match"),
    Wrong(R, f"{SCRIPT}.image", "Registry/Patch:v1", "must be an image reference", server="should match"),
    Wrong(R, f"{SCRIPT}.image", f"patch@{DIGEST[:-1]}", "must be an image reference", server="should match"),
    Wrong(R, f"{SCRIPT}.command", "/patch", "must be a list; got '/patch'", server="must be of type array"),
    Wrong(R, f"{SCRIPT}.args[0]", 5, 'must be a text; got 5; put it in quotes: "5"', server="must be of type string"),
    Wrong(
        R,
        f"{SCRIPT}.env[1].name",
        "DEBIAN_FRONTEND",
        "is already taken by spec.change.script.env[0]",
        server="Duplicate value",
    ),
    Wrong(R, f"{SCRIPT}.env[0].value", 5, _TEXT, server="must be of type string"),
    Wrong(R, f"{SCRIPT}.hostPath", "opt", "must be an absolute path", server="should match"),
    Wrong(
        R,
        f"{SCRIPT}.reboot",
        True,
        "must be 'Never', 'Always' or 'WhenRequested'; got true",
        server="must be of type string",
    ),
    Wrong(R, f"{SCRIPT}.apply.timeout", 600, "reads it as nanoseconds", server="must be of type string"),
    Wrong(
        R,
        "spec.advisories",
        ["A", "A"],
        "'A' is already taken by spec.advisories[0]",
        "spec.advisories[1]",
        server="Duplicate value",
    ),
    Wrong(R, "spec.advisories[0]", "CVE 1", "must be an advisory's name", server="should match"),
    Wrong(R, "spec.releasedAt", "yesterday", "must be a time such as", server="must be of type date-time"),
    Wrong(R, "spec.releasedAt", "2026-11-20", "must be a time", server="must be of type date-time"),
    Wrong(R, "spec.paused", "true", "must be true or false", server="must be of type boolean"),
    Wrong(G, "spec.url", GONE, "is required", server="Required value"),
    Wrong(G, "spec.ref.commit", "abc", "must be a whole commit", server="should match"),
    Wrong(G, "spec.ref.branch", "-b", "must be the name of a Git reference", server="should match"),
    Wrong(G, "spec.ref.semver", "$(x)", "must be a range of versions", server="should match"),
    Wrong(G, "spec.verify.secretRef", GONE, "is required", server="Required value"),
    Wrong(P, "spec.target.workloads.selector", GONE, "is required", server="selector: Required value"),
    Wrong(P, "spec.target.workloads.images", GONE, "is required", server="images: Required value"),
    Wrong(P, "spec.target.workloads.images", [], "at least 1", server="should have at least 1 items"),
    Wrong(P, "spec.target.workloads.images[0].image", "nginx:1.2", "without tag and digest", server="should match"),
    Wrong(P, "spec.target.workloads.images[0].image", "ghcr.io/*/api", "without tag and digest", server="should match"),
    Wrong(
        P,
        "spec.target.workloads.images[1].image",
        "ghcr.io/acme/api",
        "is already taken by spec.target.workloads.images[0]",
        server="Duplicate value",
    ),
    Wrong(P, "spec.target.workloads.kinds[0]", "Job", "must be", server="Unsupported value"),
    Wrong(P, "spec.target.workloads.kinds[1]", "Deployment", "is already taken", server="Duplicate value"),
    Wrong(P, "spec.target.workloads.allowRecreate", "yes", "must be true or false", server="must be of type boolean"),
    Wrong(R, "spec.change.images", [], "at least 1", server="should have at least 1 items"),
    Wrong(R, "spec.change.images[0].image", "nginx@sha256:0", "without tag and digest", server="should match"),
    Wrong(R, "spec.change.images[0].digest", GONE, "is required", server="digest: Required value"),
    Wrong(R, "spec.change.images[0].digest", "sha256:12", "sha256: and 64 hexadecimal", server="should match"),
    Wrong(R, "spec.change.images[0].tag", ":1", "must be a tag such as 1.4.2", server="should match"),
    Wrong(P, "spec.target.workloads.images[0].secretRef", {}, "is required", f"{_SECRET}.name", "Required value"),
    Wrong(
        P, "spec.target.workloads.images[0].interval", 60, "reads it as nanoseconds", server="must be of type string"
    ),
    Wrong(R, "spec.change.images[2].fromAny", [], "at least 1", server="at least 1 items"),
    Wrong(
        R,
        "spec.change.images[2].fromAny",
        ["7", "~7"],
        "must be a tag such as 1.4.2, or a digest",
        f"{_FROM_ANY}[1]",
        "should match",
    ),
    Wrong(R, "spec.change.images[2].fromAny", ["7", "7"], "is already taken by", f"{_FROM_ANY}[1]", "Duplicate value"),
    Wrong(R, "spec.change.images[0].from", "~1.4", "must be a tag such as 1.4.2, or a digest", server="should match"),
    Wrong(
        R,
        "spec.change.images[1].image",
        "ghcr.io/acme/api",
        "is already taken by spec.change.images[0]",
        server="Duplicate value",
    ),
    Wrong(G, "spec.verify.mode", "head", "did you mean 'HEAD'?", server="Unsupported value"),
    Wrong(G, "spec.secretRef.name", "Git_Secret", "must be a name of lower-case letters", server="should match"),
    Wrong(G, "spec.rego.path", GONE, "is required", server="Required value"),
)

# Fields that do not exist, with what was probably meant.
UNKNOWN: Final = (
    Wrong(P, "spec.strategy.canarry", {}, "unknown field 'canarry'; did you mean 'canary'?", server=_UNKNOWN),
    Wrong(P, "spec.stratgy", {}, "did you mean 'strategy'?", server=_UNKNOWN),
    Wrong(
        P, "spec.concurrency", 2, "system-upgrade-controller's concurrency is strategy.maxUnavailable", server=_UNKNOWN
    ),
    Wrong(P, "spec.nodeSelector", {}, "is target.nodes.selector here", server=_UNKNOWN),
    Wrong(P, "spec.drain.deleteLocalData", True, "is called deleteEmptydirData", server=_UNKNOWN),
    Wrong(P, "spec.drain.gracePeriodSeconds", 1, "did you mean 'gracePeriod'?", server=_UNKNOWN),
    Wrong(P, "spec.maintenanceWindows[0].timezone", "UTC", "is spelled timeZone, as in CronJob", server=_UNKNOWN),
    Wrong(P, "spec.target.workloads.namespaces", [], "namespaces are selected by their labels", server=_UNKNOWN),
    Wrong(R, "spec.change.images[0].newTag", "1", "newTag is called tag", server=_UNKNOWN),
    Wrong(P, "spec.target.workloads.images[0].imagePullSecrets", [], "is given as secretRef", server=_UNKNOWN),
    Wrong(P, "spec.target.workloads.images[0].tag", "1", "which tag is wanted is said by policy", server=_UNKNOWN),
    Wrong(R, "spec.change.image", "nginx", "images are a list", server=_UNKNOWN),
    Wrong(P, "spec.updates", {}, "said by target.workloads.images[].policy", server=_UNKNOWN),
    Wrong(P, "spec.healthChecks[0].job", {}, "not supported yet", server=_UNKNOWN),
    Wrong(P, "spec.healthChecks[3].object.zzz", 1, "known fields are apiVersion, for, kind, name", server=_UNKNOWN),
    Wrong(R, "spec.change.packages", [], "the supported changes are script and images", server=_UNKNOWN),
    Wrong(R, f"{SCRIPT}.env[0].valueFrom", {}, "valueFrom is not supported", server=_UNKNOWN),
    Wrong(R, "spec.policy", "x", "is given as policyRef", server=_UNKNOWN),
    Wrong(G, "spec.sourceRef", {}, "a Flux source is not read yet", server=_UNKNOWN),
    Wrong(G, "spec.ref.brnch", "x", "did you mean 'branch'?", server=_UNKNOWN),
)

# What only the model can know.
ONLY_MODEL: Final = (
    Wrong(
        P, "spec.maintenanceWindows[0].timeZone", "Europe/Pari", "must be a time zone of the IANA database", server=None
    ),
    Wrong(P, "spec.maintenanceWindows[0].timeZone", "Local", "must be a time zone of the IANA database", server=None),
    Wrong(P, "spec.maintenanceWindows[0].start", "0 25 * * *", "must be a cron expression of 5 fields", server=None),
    Wrong(P, "spec.maintenanceWindows[0].start", "0 0 31 2 *", "must be a cron expression of 5 fields", server=None),
    Wrong(
        P,
        "spec.target.nodes.selector.matchLabels",
        {"-bad-": "x"},
        "must be a label key",
        "spec.target.nodes.selector.matchLabels[-bad-]",
        server=None,
    ),
    Wrong(
        P,
        "spec.healthChecks[2].http.url",
        "http://169.254.169.254/latest",
        "must not lead to a node's own metadata",
        server=None,
    ),
    Wrong(P, "spec.healthChecks[3].object.for", "jsonpath={", "must be as in kubectl wait --for", server=None),
    Wrong(
        R,
        "metadata.annotations",
        {"patchwright.dev/abort": "yes"},
        'must be "true" or "false"; got \'yes\'',
        "metadata.annotations[patchwright.dev/abort]",
        server=None,
    ),
    Wrong(
        R,
        "metadata.annotations",
        {"patchwright.dev/retry": "True"},
        'must be "true" or "false"; got \'True\'',
        "metadata.annotations[patchwright.dev/retry]",
        server=None,
    ),
)

MUTABLE: Final = (
    Wrong(R, "spec.paused", False, ""),
    Wrong(R, "spec.paused", GONE, ""),
    Wrong(P, "spec.strategy.maxUnavailable", 0, ""),
    Wrong(G, "spec.ref", GONE, ""),
)
# Right, though they may look wrong.
RIGHT: Final = (
    Wrong(P, "spec.strategy.maxUnavailable", 0, ""),
    Wrong(P, "spec.strategy.maxUnavailable", "0%", ""),
    Wrong(P, "spec.strategy.maxUnavailable", "100%", ""),
    Wrong(P, "spec.strategy.canary", {"count": 0}, ""),
    Wrong(P, "spec.strategy.canary", {"selector": {}}, ""),
    Wrong(P, "spec.maintenanceWindows[0].duration", "30m45s", ""),
    Wrong(P, "spec.maintenanceWindows[0].duration", "0.5125h", ""),
    Wrong(P, "spec.maintenanceWindows", [], ""),
    Wrong(P, "spec.strategy.progressDeadlineSeconds", 13_455, ""),
    Wrong(P, "spec.drain.timeout", "13455s", ""),
    Wrong(P, "spec.drain", {"timeout": "13380s", "onTimeout": "Force"}, ""),
    Wrong(P, "spec.drain", {"enabled": False, "timeout": "5h", "onTimeout": "Force"}, ""),
    Wrong(P, "spec.drain.gracePeriod", -1, ""),
    Wrong(P, "spec.drain", {}, ""),
    Wrong(P, "spec.drain", {"excludeFromLoadBalancers": True}, ""),
    Wrong(P, "spec.drain", {"timeout": "13470s", "excludeFromLoadBalancers": True}, ""),
    Wrong(P, "spec.drain", {"timeout": "13500s", "excludeFromLoadBalancers": False}, ""),
    Wrong(P, "spec.drain.loadBalancerWait", "0s", ""),
    Wrong(P, "metadata.name", "a" * 63, ""),
    Wrong(R, f"{SCRIPT}.image", f"patch:latest@{DIGEST}", ""),
    Wrong(R, f"{SCRIPT}.image", "[2001:db8::1]:5000/patch:1", ""),
    Wrong(R, f"{SCRIPT}.hostPath", "", ""),
    Wrong(R, "spec.change.images[0].tag", GONE, ""),
    Wrong(R, "spec.change.images[0].image", "[2001:db8::1]:5000/team/api", ""),
    Wrong(P, "spec.target.workloads.namespaceSelector", GONE, ""),
    Wrong(P, "spec.target.workloads.kinds", GONE, ""),
    Wrong(R, f"{SCRIPT}.apply", GONE, ""),
    Wrong(R, "spec.releasedAt", "2026-11-20T09:00:00.5+01:00", ""),
    Wrong(R, "metadata.annotations", {"patchwright.dev/abort": "true", "patchwright.dev/retry": "false"}, ""),
    Wrong(G, "spec.url", "http://127.0.0.1:8080/fleet.git", ""),
    Wrong(G, "spec.url", "https://[2001:db8::1]/org/fleet", ""),
    Wrong(G, "spec.url", "https://git.example/~me/a@b.git", ""),
    Wrong(G, "spec.ref", {}, ""),
    Wrong(G, "spec.path", "", ""),
)
