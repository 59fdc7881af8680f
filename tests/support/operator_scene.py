"""A scene: one test's own nodes, policies and rollouts on the stage, told apart by a label.

What a scene does is what people do, and the observer is told so; what it asks is what the observer saw.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from patchwright import errors
from patchwright.sandbox import fleet
from support import operator_audit, operator_laws, operator_story, operator_world
from support.observer import KINDS, SYSTEM, TARGETS, Change, Raw
from support.operator_hands import IMAGE, LEASE, Hands, path
from support.operator_process import OperatorProcess
from support.operator_stage import Stage

STATE: Final = "patchwright.dev/state"
SCENE: Final = "test.patchwright.dev/scene"
TERMINAL: Final = ("Succeeded", "RolledBack", "Failed", "Denied", "Superseded")
# What would be a bug of ours if it stood in the log.
_BUGS = re.compile(r"unexpected error|never awaited|was never retrieved|Unclosed|File \"[^\"]*/patchwright/")


_NUMBERS = itertools.count(1)


class Scene(Hands):
    """One test's nodes, policies and rollouts, and what people do to them."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage, f"s{next(_NUMBERS)}")
        self.nodes: list[str] = []
        self.crashed = False
        self._began = datetime.now(UTC)
        self.jobs_deleted: set[tuple[str, str]] = set()
        self.torn: set[str] = set()
        self._namespaces: list[str] = []
        self._log_from = len(stage.operator.log)
        self.mark, self.before = self.observer.place()
        stage.operator.start()
        stage.operator.await_ready()

    @property
    def label(self) -> str:
        """The selector of this scene's objects."""
        return f"{SCENE}={self.name}"

    @property
    def selector(self) -> dict[str, str]:
        """The labels of this scene's nodes."""
        return {SCENE: self.name}

    @property
    def operator(self) -> OperatorProcess:
        """The first replica."""
        return self.stage.operator

    # --- what there is --------------------------------------------------------------------------------------------

    def add_nodes(self, count: int, *, prefix: str = "node", **options: Any) -> list[str]:
        """Create nodes of this scene; give their names."""
        labels = {SCENE: self.name, **options.pop("labels", {})}
        names = self.stage.plane.add_nodes(count, prefix=f"{self.name}-{prefix}", labels=labels, **options)
        self.nodes += names
        self.observer.until(lambda: all(self.node(name) for name in names), "the nodes being there")
        return names

    def add_workloads(self, count: int, *, replicas: int = 2, **options: Any) -> str:
        """Create Deployments that run on this scene's nodes; give their namespace."""
        space = self.namespace()
        found = fleet.Workloads(count, replicas=replicas, namespace=space, **options)
        kept = tuple(self._kept_here(each) for each in found.deployments())
        self.api.create_all(f"/apis/policy/v1/namespaces/{space}/poddisruptionbudgets", found.budgets())
        self.api.create_all(f"/apis/apps/v1/namespaces/{space}/deployments", kept)
        self.await_available(space, count * replicas)
        return space

    def add_pending(self, space: str, app: str) -> None:
        """Have one more pod under a workload's budget that never runs, so that the budget has none to spare."""
        pod = {"nodeSelector": {"no": "such-node"}, "containers": [{"name": "app", "image": IMAGE}]}
        template = {"metadata": {"labels": {"app": app, "pending": "true"}}, "spec": pod}
        spec = {"replicas": 1, "selector": {"matchLabels": {"pending": "true"}}, "template": template}
        body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": f"{app}-pending"}, "spec": spec}
        self.api.create(f"/apis/apps/v1/namespaces/{space}/deployments", body)
        where = f"/apis/policy/v1/namespaces/{space}/poddisruptionbudgets/{app}"
        self.api.wait(where, lambda it: it["status"]["disruptionsAllowed"] == 0)

    def namespace(self) -> str:
        """Give this scene's namespace for pods, created when it is first asked for."""
        if not self._namespaces:
            self._namespaces.append(self.stage.plane.add_namespace(f"{self.name}-apps"))
        return self._namespaces[0]

    def _kept_here(self, deployment: Raw) -> Raw:
        deployment["spec"]["template"]["spec"]["nodeSelector"] |= {SCENE: self.name}
        return deployment

    def await_available(self, space: str, pods: int, *, timeout: float = 90.0) -> None:
        """Wait until so many replicas are available in a namespace."""

        def available(listed: Raw) -> bool:
            return bool(sum(one["status"].get("availableReplicas", 0) for one in listed["items"]) == pods)

        self.api.wait(f"/apis/apps/v1/namespaces/{space}/deployments", available, timeout=timeout)

    def policy(self, name: str = "", /, *, strategy: Mapping[str, Any] | None = None, **spec: Any) -> str:
        """Create a PatchPolicy over this scene's nodes; give its name."""
        name = name or self.name
        body = self.manifest("PatchPolicy", name, {**self.policy_spec(strategy=strategy), **spec})
        self.create(body)
        return name

    def policy_spec(self, *, strategy: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Give the spec of a quick policy over this scene's nodes."""
        found = {
            "canary": {"count": 1, "soak": "1s"},
            "maxUnavailable": "50%",
            "progressDeadlineSeconds": 60,
            **(strategy or {}),
        }
        return {"target": {"nodes": {"selector": {"matchLabels": {SCENE: self.name}}}}, "strategy": found}

    def rollout(
        self, version: str, *, policy: str = "", annotations: Mapping[str, str] | None = None, **spec: Any
    ) -> str:
        """Create a PatchRollout of a version; give its name."""
        body = self.rollout_manifest(version, policy=policy, **spec)
        if annotations:
            body["metadata"]["annotations"] = dict(annotations)
        self.create(body)
        return str(body["metadata"]["name"])

    def rollout_manifest(
        self,
        version: str,
        *,
        policy: str = "",
        words: Sequence[str] = (),
        name: str = "",
        script: Mapping[str, Any] | None = None,
        **spec: Any,
    ) -> Raw:
        """Give a PatchRollout whose Jobs take a moment."""
        policy = policy or self.name
        steps = {
            "version": version,
            "image": IMAGE,
            "apply": {"args": [f"--version={version}", *words, "--duration=200ms"]},  # the first of a kind counts
            "rollback": {"args": ["rollback", "--duration=200ms"]},
            **(script or {}),
        }
        body = {"policyRef": {"name": policy}, "change": {"script": steps}, **spec}
        return self.manifest("PatchRollout", name or f"{policy}-{version}", body)

    def manifest(self, kind: str, name: str, spec: Mapping[str, Any]) -> Raw:
        """Give one of our objects."""
        metadata = {"name": name, "namespace": SYSTEM, "labels": {SCENE: self.name}}
        return {"apiVersion": "patchwright.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": dict(spec)}

    def tear(self, rollout: str) -> None:
        """Delete a rollout and remove its finalizer by hand, as people do with what does not want to go."""
        self.torn.add(rollout)
        self.delete("PatchRollout", rollout)
        with contextlib.suppress(errors.NotFound):
            self.change("PatchRollout", rollout, {"metadata": {"finalizers": None}})
        self.until_gone(rollout)

    def restart(self) -> None:
        """Stop the operator in an orderly way, and start it again."""
        assert self.operator.stop() == 0
        self.operator.start()
        self.operator.await_ready()

    def keep_running(self) -> None:
        """Do as the kubelet does: start the operator again if it has ended, and wait until it is ready."""
        self.operator.start()
        self.operator.await_ready(again=True)

    # --- what is seen ---------------------------------------------------------------------------------------------

    def node(self, name: str) -> Raw | None:
        """Give a node as it is."""
        return self.observer.get("Node", name)

    def record(self, name: str) -> dict[str, Any]:
        """Give our record on a node, empty when there is none."""
        node = self.node(name)
        text = (node or {"metadata": {}})["metadata"].get("annotations", {}).get(STATE, "{}")
        found: dict[str, Any] = json.loads(text)
        return found

    def marks(self) -> dict[str, str]:
        """Give the mark of every node of this scene that has a record."""
        return {name: record["mark"] for name in self.nodes if (record := self.record(name))}

    def cordoned(self) -> list[str]:
        """Give this scene's nodes that are cordoned."""
        return [name for name in self.nodes if (self.node(name) or {"spec": {}})["spec"].get("unschedulable")]

    def ever_cordoned(self) -> list[str]:
        """Give this scene's nodes that were cordoned at any time."""
        seen = (change.after for change in self.observer.since(self.mark) if change.kind == "Node" and change.after)
        names = {node["metadata"]["name"] for node in seen if operator_world.cordoned(node)}
        return sorted(names.intersection(self.nodes))

    def installed(self, *, policy: str = "") -> dict[str, str]:
        """Give which change each node has, by its label."""
        label = f"plan.patchwright.dev/{policy or self.name}"
        found = {name: self.node(name) for name in self.nodes}
        return {
            n: it["metadata"]["labels"][label] for n, it in found.items() if it and label in it["metadata"]["labels"]
        }

    def status(self, rollout: str) -> dict[str, Any]:
        """Give a rollout's status, empty when it has none or is gone."""
        found = self.observer.get("PatchRollout", rollout)
        return (found or {}).get("status") or {}

    def phase(self, rollout: str) -> str:
        """Give a rollout's phase."""
        return str(self.status(rollout).get("phase", ""))

    def policy_status(self, policy: str = "") -> dict[str, Any]:
        """Give a policy's status."""
        found = self.observer.get("PatchPolicy", policy or self.name)
        return (found or {}).get("status") or {}

    def jobs(self) -> list[Raw]:
        """Give the patch Jobs on this scene's nodes."""
        notes = ((one, one["metadata"].get("annotations") or {}) for one in self.observer.all("Job"))
        return [one for one, note in notes if note.get("patchwright.dev/node") in self.nodes]

    def leaving(self, space: str) -> list[str]:
        """Give the pods of a namespace that are being deleted."""
        found = (one["metadata"] for one in self.observer.all("Pod"))
        return [meta["name"] for meta in found if meta["namespace"] == space and "deletionTimestamp" in meta]

    def boot_ids(self) -> dict[str, str]:
        """Give the boot ID of each node."""
        found = {name: self.node(name) for name in self.nodes}
        return {name: it["status"]["nodeInfo"]["bootID"] for name, it in found.items() if it}

    def touched(self, rollout: str) -> list[str]:
        """Give the nodes that a rollout has cordoned to patch them, in that order."""
        return [name for name, record, _ in self._records(rollout) if record["mark"] == "Draining"]

    def decided(self, rollout: str) -> dict[str, str]:
        """Give when it was decided, in RFC 3339, that each node that a rollout has cordoned is to be patched."""
        return {name: record["since"] for name, record, _ in self._records(rollout) if record["mark"] == "Draining"}

    def claimed(self, rollout: str) -> list[str]:
        """Give the nodes that a rollout has begun to prepare, in that order."""
        return [name for name, record, _ in self._records(rollout) if record["mark"] == "Preparing"]

    def uncordoned_with(self, rollout: str) -> dict[str, str]:
        """Give the boot ID with which each node was called patched."""
        done = ((name, node) for name, record, node in self._records(rollout) if record["mark"] == "Done")
        return {name: node["status"]["nodeInfo"]["bootID"] for name, node in done}

    def _records(self, rollout: str) -> Iterator[tuple[str, dict[str, Any], Raw]]:
        """Give each new mark of a rollout on a node: the node's name, the record, the node."""
        for change in self.observer.since(self.mark):
            mine = operator_world.record(change.after) if change.kind == "Node" else {}
            if change.after is None or mine.get("rollout") != f"{SYSTEM}/{rollout}":
                continue
            before = operator_world.record(change.before)
            if (before.get("mark"), before.get("rolloutUid")) != (mine["mark"], mine["rolloutUid"]):
                yield change.after["metadata"]["name"], mine, change.after

    def until(self, holds: Callable[[], Any], what: str | Callable[[], str], *, timeout: float = 120.0) -> Any:
        """Wait for something to be seen."""
        return self.observer.until(holds, what, timeout=timeout)

    def until_phase(self, rollout: str, *phases: str, timeout: float = 180.0) -> dict[str, Any]:
        """Wait for a phase; give the status. A terminal phase that was not waited for is a failure at once."""

        def there() -> dict[str, Any] | None:
            status = self.status(rollout)
            if status.get("phase") in phases:
                return status
            assert status.get("phase") not in TERMINAL, f"{rollout} is {status['phase']}: {status['message']}"
            return None

        found = self.observer.until(there, f"{rollout} being {' or '.join(phases)}", timeout=timeout)
        assert found is not None
        # Whoever asks about nodes next must not be told what a slower watch has not heard of yet.
        self.observer.settle(*(KINDS if found["phase"] in TERMINAL else TARGETS))
        return found

    def until_gone(self, rollout: str) -> None:
        """Wait until a rollout does not exist any more, and all that was written before that has been heard of."""
        self.until(lambda: self.observer.get("PatchRollout", rollout) is None, "the rollout being gone")
        self.observer.settle()

    def until_message(self, rollout: str, text: str, *, timeout: float = 120.0) -> dict[str, Any]:
        """Wait until a rollout's sentence holds a text; give the status."""
        self.until(
            lambda: text in self.status(rollout).get("message", ""), f"{rollout} saying {text!r}", timeout=timeout
        )
        status = self.status(rollout)
        self.observer.settle(*TARGETS)
        return status

    def await_change(self, sign: Callable[[Change], object], what: str) -> None:
        """Wait until a change was seen in this scene, or find that it was already."""
        self.observer.until_change(sign, what, mark=self.mark, timeout=180.0)

    def leader(self) -> str:
        """Give the identity that holds the operator's Lease; empty when nobody does."""
        lease = self.observer.get("Lease", LEASE)
        return str((lease or {"spec": {}})["spec"].get("holderIdentity") or "")

    def leaders(self) -> list[str]:
        """Give the holders of the Lease in this scene, one after the other."""
        seen: list[str] = []
        for change in self.observer.since(self.mark):
            if change.kind == "Lease" and change.after and change.after["metadata"]["name"] == LEASE:
                holder = str(change.after["spec"].get("holderIdentity") or "")
                seen += [holder] if seen[-1:] != [holder] else []
        return seen

    def written_by_two(self) -> list[str]:
        """Give the operators' writes that the API server took from one that did not hold the Lease (L10)."""
        return operator_audit.unled(self.stage.plane.audit(), since=self._began)

    def resources_asked(self, user: str) -> list[str]:
        """Give the kinds that a user's requests have been about since this scene began."""
        audit: Iterator[Any] = self.stage.plane.audit()
        mine = (one for one in audit if one.get("user", {}).get("username") == user)
        recent = (one for one in mine if datetime.fromisoformat(one["requestReceivedTimestamp"]) >= self._began)
        return [one.get("objectRef", {}).get("resource", "") for one in recent]

    def written_as(self, account: str) -> int:
        """Count the writes that were made in the name of a service account."""
        user = f"system:serviceaccount:{SYSTEM}:{account}"
        return sum(one.get("impersonatedUser", {}).get("username") == user for one in self.stage.plane.audit())  # type: ignore[attr-defined]  # JSON

    def in_opa_s_log(self, decision: str) -> bool:
        """Tell whether OPA logged a decision."""
        return f'"decision_id":"{decision}"' in (self.stage.plane.logs / "opa.log").read_text(errors="replace")

    def phases(self, rollout: str) -> list[str]:
        """Give the phases that a rollout went through."""
        seen: list[str] = []
        for change in self.observer.since(self.mark):
            if change.kind == "PatchRollout" and change.thing["metadata"]["name"] == rollout:
                phase = ((change.after or {}).get("status") or {}).get("phase")
                if phase and seen[-1:] != [phase]:
                    seen.append(phase)
        return seen

    def events(self, reason: str, *, about: str = "") -> list[Raw]:
        """Give the events with a reason about one object (or any of this scene); names come again in other scenes."""
        found = [(one, one.get("regarding", {})) for one in self.observer.all("Event") if one.get("reason") == reason]
        mine = ("", "default", SYSTEM, *self._namespaces)
        near = [(one, about_what) for one, about_what in found if about_what.get("namespace", "") in mine]
        return [one for one, about_what in near if about_what.get("name", "") == about or not about]

    def metrics(self) -> str:
        """Give what the operator's /metrics says."""
        return self.operator.get("/metrics")[1]

    def metric(self, name: str, **labels: str) -> float | None:
        """Give the value of one series, ``None`` when there is none."""
        for line in self.metrics().splitlines():
            series, _, value = line.rpartition(" ")
            if series.split("{")[0] == name and all(f'{key}="{text}"' in series for key, text in labels.items()):
                return float(value)
        return None

    def kubectl(self, *words: str) -> str:
        """Run kubectl, and give what it prints."""
        command = [str(self.stage.plane.binary("kubectl")), "--kubeconfig", str(self.stage.plane.kubeconfig), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    # --- the end --------------------------------------------------------------------------------------------------

    def faults(self) -> list[str]:
        """Give a sentence for each broken law, and the lines of the operator's log that tell of a bug."""
        changes = self.observer.since(self.mark)
        found = self.broken(changes)
        if found:
            found = self.broken(operator_audit.timed(changes, self.stage.plane.audit()))
        if not self.crashed:
            events = (change.after for change in changes if change.kind == "Event")
            found += operator_laws.untold(changes, self.name, [one for one in events if one is not None])
        return found + [line for line in self.operator.log[self._log_from :].splitlines() if _BUGS.search(line)]

    def broken(self, changes: Sequence[Change]) -> list[str]:
        """Give a sentence for each broken law."""
        again, torn = frozenset(self.jobs_deleted), frozenset(self.torn)
        return operator_laws.broken(self.before, changes, again=again, torn=torn)

    def story(self) -> str:
        """Tell what happened, one change a line, for whoever has to find out why a test failed."""
        return operator_story.tell(self.observer.since(self.mark), self.name)

    def clear(self) -> None:
        """Delete what this scene has made; every rollout has to go by itself, finalizer and all."""
        self.operator.start()
        for repository in self._mine("PolicyRepository"):
            self._gone(path("PolicyRepository", repository))
        for rollout in self._mine("PatchRollout"):
            self._gone(path("PatchRollout", rollout))
        self.until(lambda: not self._mine("PatchRollout"), "every deleted rollout being gone")
        for policy in self._mine("PatchPolicy"):
            self._gone(path("PatchPolicy", policy))
        self.observer.settle()
        if self._brought_rules():
            # They stay in force until the operator starts again.
            self.restart()

    def _brought_rules(self) -> bool:
        seen = (change.after for change in self.observer.since(self.mark) if change.kind == "PolicyRepository")
        return any("rego" in one["spec"] for one in seen if one is not None)

    def strike(self) -> None:
        """Remove the nodes and namespaces."""
        for space in self._namespaces:
            self._gone(f"/api/v1/namespaces/{space}")
        for name in self.nodes:
            self._gone(f"/api/v1/nodes/{name}")

    def _mine(self, kind: str) -> list[str]:
        found = [one["metadata"] for one in self.observer.all(kind)]
        return [meta["name"] for meta in found if meta.get("labels", {}).get(SCENE) == self.name]

    def _gone(self, where: str) -> None:
        try:
            self.api.delete(where)
        except errors.NotFound:
            return


def pause(seconds: float) -> None:
    """Let time pass in which something must not happen."""
    time.sleep(seconds)
