"""A Git repository that a scene's PolicyRepository follows: pushed to and fetched over HTTP, told by a webhook."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from support.git_servers import Upstream, git
from support.observer import SYSTEM, Raw
from support.operator_scene import Scene
from support.operator_stage import HOOK_TOKEN
from support.threaded_servers import GitHost

REGO = """# METADATA
# title: What these tests allow
package patchwright.rollout

# METADATA
# title: A version that nobody may have
deny_versions contains violation if {
	endswith(input.rollout.change.version, "%s")
	violation := {"msg": sprintf("version %%s is not wanted here; choose another", [input.rollout.change.version])}
}
"""


class Origin:
    """The repository, and the PolicyRepository that follows it."""

    def __init__(self, scene: Scene, root: Path, host: GitHost, *, name: str = "") -> None:
        self.scene, self.host = scene, host
        self.name = name or scene.name
        self.upstream = Upstream(root, name=f"{self.name}.git")

    @property
    def url(self) -> str:
        return self.host.url(f"{self.name}.git")

    def commit(self, files: Mapping[str, str | Raw | None]) -> str:
        """Commit files (an object is written as YAML, ``None`` removes), push them as a user does; give the commit."""
        texts = {path: yaml.safe_dump(each) if isinstance(each, dict) else each for path, each in files.items()}
        self.upstream.commit(texts, push=False)
        self.push()
        return self.upstream.head()

    def push(self) -> None:
        git("push", "--quiet", "--force", self.url, "HEAD:refs/heads/main", cwd=self.upstream.work)

    def follow(self, **spec: Any) -> None:
        """Create the PolicyRepository. Only what a webhook tells is noticed soon: the interval is an hour."""
        body = {"url": self.url, "ref": {"branch": "main"}, "path": "fleet", "interval": "1h", **spec}
        self.scene.create(self.scene.manifest("PolicyRepository", self.name, body))

    def hook(self) -> int:
        """Tell the operator that there is something new; give the HTTP status."""
        headers = {"Authorization": f"Bearer {HOOK_TOKEN}"}
        return self.scene.operator.request("POST", f"/hook/{SYSTEM}/{self.name}", headers)[0]

    # --- what is seen ---------------------------------------------------------------------------------------------

    @property
    def status(self) -> dict[str, Any]:
        return (self.scene.observer.get("PolicyRepository", self.name) or {}).get("status") or {}

    def condition(self, kind: str) -> dict[str, str]:
        found = (each for each in self.status.get("conditions", ()) if each["type"] == kind)
        return next(found, {})

    def until_applied(self, commit: str) -> dict[str, Any]:
        """Wait until a commit is applied; give the status."""
        wanted = f"main@sha1:{commit}"
        self.scene.until(
            lambda: self.status.get("lastAppliedRevision") == wanted and self.condition("Ready")["status"] == "True",
            lambda: f"{wanted} being applied; it says {self.condition('Ready')}",
        )
        self.scene.observer.settle("PatchPolicy", "PatchRollout")
        return self.status

    def until_refused(self, reason: str) -> str:
        """Wait until the repository is not ready for a reason; give the sentence."""

        def refused() -> bool:
            ready = self.condition("Ready")
            return (ready.get("status"), ready.get("reason")) == ("False", reason)

        self.scene.until(refused, lambda: f"Ready=False for {reason}; it says {self.condition('Ready')}")
        self.scene.observer.settle("PatchPolicy", "PatchRollout")
        return self.condition("Ready")["message"]

    def said(self) -> list[str]:
        """Give every sentence of the condition Ready so far."""
        seen = [each.after for each in self.scene.observer.since(self.scene.mark) if each.kind == "PolicyRepository"]
        mine = [(one or {}).get("status") or {} for one in seen if one and one["metadata"]["name"] == self.name]
        return [each["message"] for status in mine for each in status.get("conditions", ()) if each["type"] == "Ready"]

    def inventory(self) -> list[str]:
        return sorted(entry["id"] for entry in self.status.get("inventory", {}).get("entries", ()))


@contextlib.contextmanager
def served(scene: Scene, root: Path, *, credentials: tuple[str, str] | None = None) -> Iterator[Origin]:
    """Serve one repository, whose pushes the operator is told of."""
    told: list[Origin] = []

    def pushed(_: str) -> None:
        for each in told:
            each.hook()

    host = GitHost(root, credentials=credentials, on_push=pushed)
    with host.serving():
        origin = Origin(scene, root, host)
        told.append(origin)
        yield origin
