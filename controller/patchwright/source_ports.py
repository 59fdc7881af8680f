"""What syncing from Git needs from the outside; the same rules hold as for ``patchwright.ports``."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from patchwright.domain.model import Key
from patchwright.domain.repository import PolicyRepository, RepositoryState
from patchwright.domain.sources import Credentials, SourceRequest, SourceSnapshot, Verification, VerifyMode
from patchwright.domain.sync import Manifest, ObjectKey
from patchwright.ports import Clock


@dataclass(frozen=True, slots=True)
class RepositoryCase:
    """A PolicyRepository as it stands; ``repository`` is ``None`` when its spec has ``faults``."""

    key: Key
    uid: str
    generation: int
    resource_version: str
    state: RepositoryState
    repository: PolicyRepository | None = None
    faults: tuple[str, ...] = ()


class Repositories(Protocol):
    """The PolicyRepository objects, from the watch cache."""

    def keys(self) -> Sequence[Key]:
        """List every repository."""

    def get(self, key: Key) -> RepositoryCase | None:
        """Read one; ``None`` when it is gone. Reads its own writes."""

    async def save(self, case: RepositoryCase, state: RepositoryState) -> None:
        """Write the status, with the resource version as precondition."""

    async def secret(self, key: Key) -> Mapping[str, bytes]:
        """Read a Secret's data; it is neither cached nor watched.

        Raises:
            NotFound: there is none.
        """


class Sources(Protocol):
    """Git."""

    async def fetch(self, request: SourceRequest) -> SourceSnapshot:
        """Give the commit that the reference means now; raises ``SourceError`` only."""

    async def cached(self, request: SourceRequest, revision: str) -> SourceSnapshot:
        """Give a revision that was fetched before, without the network; raises ``SourceError`` only."""

    def credentials(self, data: Mapping[str, bytes], *, name: str) -> Credentials:
        """Read a Secret's data (``name`` is the field that names it); raises ``InvalidInput``."""

    def verification(self, data: Mapping[str, bytes], mode: VerifyMode, *, name: str) -> Verification:
        """Read a Secret's trusted keys; raises ``InvalidInput``."""


class Manifests(Protocol):
    """What turns files into objects."""

    def parse(self, files: Mapping[str, bytes], *, namespace: str) -> tuple[Manifest, ...]:
        """Parse and validate; raises ``InvalidInput`` with every fault, and then nothing is usable."""


class Applier(Protocol):
    """Server-side apply, as the service account that the repository names."""

    async def kept(self, keys: Collection[ObjectKey]) -> frozenset[ObjectKey]:
        """Give those of the live objects that are annotated ``patchwright.dev/prune: disabled``."""

    async def apply(self, manifest: Manifest, *, service_account: str | None, dry_run: bool) -> None:
        """Apply one object; raises ``ClusterError``."""

    async def delete(self, key: ObjectKey, *, service_account: str | None) -> None:
        """Delete one object; one that is gone already is fine."""


class Bundle(Protocol):
    """A policy bundle that has passed every check."""

    @property
    def revision(self) -> str:
        """The revision it was built from."""


class PolicyBundles(Protocol):
    """The policy that OPA is given."""

    async def build(self, files: Mapping[str, bytes], revision: str) -> Bundle:
        """Check, test and pack Rego; raises ``InvalidInput`` with every fault."""

    async def builtin(self) -> Bundle:
        """Give the bundle of the library alone."""

    def publish(self, bundle: Bundle) -> None:
        """Have OPA load it; it replaces what was published before."""

    def published(self) -> str:
        """Give the published revision, empty before the first."""


@dataclass(frozen=True, slots=True)
class SourceWorld:
    """Every port that syncing needs, in one hand."""

    repositories: Repositories
    sources: Sources
    manifests: Manifests
    applier: Applier
    bundles: PolicyBundles
    clock: Clock
    operator_namespace: str
