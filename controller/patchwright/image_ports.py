"""What patching images needs from registries; the same rules hold as for ``patchwright.ports``."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from patchwright.domain.images.content import Image, Listing
from patchwright.domain.images.keyring import Keyring
from patchwright.domain.images.knowledge import Knowledge
from patchwright.domain.images.proposals import Proposal
from patchwright.domain.images.pullrequests import Answer
from patchwright.domain.images.reference import Reference
from patchwright.domain.images.trust import Attached, Evidence, Material
from patchwright.domain.images.urgency import Report
from patchwright.domain.model import Key, PatchPolicy


class Images(Protocol):
    """Image registries. Nothing is pulled; every answer is the registry's of this moment.

    What is asked for is the reference's digest, else its tag, else ``latest``. Every method raises ``RegistryError``
    only: ``RegistryUnavailable``, ``RegistryAuthFailed``, ``RegistryUnusable`` or ``ImageNotFound``.
    """

    def keyring(self, secrets: Mapping[str, Mapping[str, bytes]]) -> Keyring:
        """Read pull secrets, by name, in the order in which they are tried; raises ``InvalidInput``."""

    async def tags(self, image: Reference, keyring: Keyring) -> Listing:
        """List the tags of the repository. An answer that broke off is an error, never a short list."""

    async def digest(self, image: Reference, keyring: Keyring) -> str:
        """Give the digest that the tag means now: the index's, where there is one."""

    async def exists(self, image: Reference, keyring: Keyring) -> bool:
        """Tell whether the registry still has it; only its own "not found" is a "no"."""

    async def describe(self, image: Reference, keyring: Keyring) -> Image:
        """Give the image's digest, the platforms it is for, and the digests a pod may show for it."""

    async def created(self, image: Reference, keyring: Keyring) -> datetime | None:
        """Give when its publisher says it was built: to be told, never to be decided by."""

    async def attached(self, image: Reference, keyring: Keyring) -> Attached:
        """Give the signatures and attestations that are attached to a digest, as they are: nobody has verified them."""


class Verifier(Protocol):
    """Who verifies what is attached to images. It asks no network."""

    async def verify(self, digest: str, attached: Attached, material: Material) -> Evidence:
        """Give who vouches for a digest; raises ``InvalidInput`` when a key or the trusted root is none."""


class Secrets(Protocol):
    """The Secrets that policies name."""

    async def secret(self, key: Key) -> Mapping[str, bytes]:
        """Read a Secret's data; raises ``NotFound`` and any other ``ClusterError``."""


class RegistryMeter(Protocol):
    """Who counts the requests to registries."""

    def registry_asked(self, image: str, *, registry: str, what: str, code: str) -> None:
        """Count one request about ``image``.

        ``what`` is ``tags``, ``manifest``, ``blob`` or ``token``, ``code`` the status, or ``none`` without an answer.
        """


@dataclass(frozen=True, slots=True)
class Remembered:
    """What is known of a repository, and the version of it that a write names; empty when nothing is written yet."""

    known: Knowledge
    version: str = ""


class ScanMemories(Protocol):
    """What policies know of repositories; it outlives the operator, and goes with the policy."""

    async def recall(self, policy: PatchPolicy, image: str) -> Remembered:
        """Read what a policy knows of a repository.

        Raises:
            ClusterError: it could not be read.
            InvalidInput: somebody has garbled it; it is not taken for empty.
        """

    async def keep(self, policy: PatchPolicy, image: str, *, known: Knowledge, version: str) -> str:
        """Write what a policy knows, over the version that it was learnt from; give the new version.

        Raises:
            Conflict: somebody else wrote first.
            ClusterError: it could not be written.
        """


class Reports(Protocol):
    """What scanners say of images."""

    async def reports(self, namespaces: Collection[str], images: Collection[str]) -> Sequence[Report]:
        """Give the reports of some namespaces about some repositories, under the names that are given.

        None where nobody writes any. Raises ``ClusterError``.
        """


class Proposals(Protocol):
    """Where rollouts come from that nobody has written."""

    async def propose(self, policy: PatchPolicy, proposal: Proposal) -> str:
        """Create the rollout; give its UID.

        Raises:
            Conflict: there is one of that name already, which has been read.
            ClusterError: it was not created.
        """

    async def tidy(self, key: Key, *, uid: str) -> None:
        """Delete a rollout that is history; one that is gone is fine. Raises ``ClusterError``."""


class ProposalPullRequests(Protocol):
    """The people who decide on what policies with ``trigger: PullRequest`` propose."""

    async def ask(self, policy: PatchPolicy, proposal: Proposal) -> Answer:
        """Give what they have said; a pull request is opened if there never was one, and older ones are closed.

        Raises:
            PatchwrightError: they cannot be asked; a ``retry_after`` of ``None`` says that somebody has to change
                something first.
        """


class ScanMeter(Protocol):
    """Who counts scans."""

    def image_scanned(self, result: str) -> None:
        """Count a look at a repository: ``Succeeded``, or the reason for which it failed."""


@dataclass(frozen=True, slots=True)
class ImageWorld:
    """Every port that following images needs, in one hand."""

    images: Images
    memories: ScanMemories
    secrets: Secrets
    reports: Reports
    proposals: Proposals
    pull_requests: ProposalPullRequests
    meter: ScanMeter
