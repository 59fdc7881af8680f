"""What a registry says of an image; values only."""

from __future__ import annotations

from dataclasses import dataclass

from patchwright.domain.images.platforms import Platform


@dataclass(frozen=True, slots=True)
class Listing:
    """The tags of a repository, sorted; not ``complete`` when there are more than anybody should read."""

    tags: tuple[str, ...]
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Child:
    """The manifest of one platform in an index; ``platform`` is ``None`` when the index does not say which."""

    digest: str
    platform: Platform | None


@dataclass(frozen=True, slots=True)
class Image:
    """An image: its digest, which is the index's where there is one, and the manifests below it.

    The manifest of a single platform is its own and only child.
    """

    digest: str
    children: tuple[Child, ...]

    @property
    def platforms(self) -> tuple[Platform, ...]:
        """The platforms it runs on, sorted."""
        return tuple(sorted({child.platform for child in self.children if child.platform is not None}))

    @property
    def digests(self) -> frozenset[str]:
        """Every digest that a pod's ``imageID`` may show for it.

        Some runtimes report the index's and some the platform's manifest; whoever compares with one alone updates for
        ever (argocd-image-updater#297, and six other projects).
        """
        return frozenset({self.digest, *(child.digest for child in self.children)})
