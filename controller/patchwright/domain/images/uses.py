"""Which images run where: the places of the selected workloads that a policy follows, by repository."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from patchwright.domain.images.facts import Container, Running
from patchwright.domain.images.imagepolicy import Followed
from patchwright.domain.workloads import images, marks, reversible
from patchwright.domain.workloads.view import ImageField, Kept, WorkloadView


@dataclass(frozen=True, slots=True)
class Use:
    """One place that runs an image."""

    view: WorkloadView
    field: ImageField

    @property
    def running(self) -> Running:
        """What it runs."""
        return Running(images.tag_of(self.field.image), marks.running(self.view, self.field))

    @property
    def container(self) -> Container:
        """Where that is."""
        return Container(self.view.kind, self.view.namespace, self.view.short, self.field.name)


@dataclass(frozen=True, slots=True)
class Usage:
    """Where a repository that is followed runs. ``image`` is its name as the policy spells it."""

    image: str
    followed: Followed
    uses: tuple[Use, ...]

    @property
    def running(self) -> tuple[Running, ...]:
        """What runs of it, each once."""
        return tuple(dict.fromkeys(use.running for use in self.uses))


def of(views: Iterable[WorkloadView], followed: Sequence[Followed]) -> tuple[Usage, ...]:
    """Give every repository that is followed, by name; one that nothing runs is there, too, without a use.

    A repository that an entry names is that entry's, before ``prefix/*`` and before a shorter prefix.
    """
    nearest = reversible.nearest(tuple(followed))
    found: dict[str, tuple[Followed, list[Use]]] = {
        images.repository(each.name): (each, []) for each in followed if not each.name.endswith(images.BELOW)
    }
    # A thousand workloads run forty images.
    entries: dict[str, Followed | None] = {}
    for view in views:
        for field in view.images:
            if field.image not in entries:
                entries[field.image] = next((e for e in nearest if images.covers((e.name,), field.image)), None)
            if (entry := entries[field.image]) is not None:
                found.setdefault(images.repository(field.image), (entry, []))[1].append(Use(view, field))
    return tuple(
        Usage(_spelled(repository, entry), entry, tuple(uses)) for repository, (entry, uses) in sorted(found.items())
    )


def _spelled(repository: str, entry: Followed) -> str:
    return repository if entry.name.endswith(images.BELOW) else entry.name


def with_kept(usage: Usage, kept: Mapping[str, Kept]) -> Usage:
    """Give where an image runs, with what registries said of what may have to be put back."""
    views = {use.view.uid: replace(use.view, kept=kept) for use in usage.uses}
    return replace(usage, uses=tuple(replace(use, view=views[use.view.uid]) for use in usage.uses))


def unknown(usages: Iterable[Usage]) -> Mapping[str, WorkloadView]:
    """Give the workloads of which only their pods can tell what runs, by UID."""
    found = (use for usage in usages for use in usage.uses)
    return {use.view.uid: use.view for use in found if use.view.runs and not images.digest(use.field.image)}
