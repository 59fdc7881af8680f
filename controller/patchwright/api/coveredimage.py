"""An image of a PatchPolicy: what its rollouts may change, and which updates of it are looked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, ClassVar

from pydantic.alias_generators import to_camel

from patchwright.api.base import Rule, WireModel
from patchwright.api.imagechoice import ImageChoice, ImagePolicyChoice
from patchwright.api.scalars import PERIOD, CoveredRepository, Duration, Name, given
from patchwright.domain.images import imagepolicy

_ABOUT_TAGS = (
    "filter_tags", "patched_suffix", "digest_reflection_policy", "minimum_release_age", "minimum_release_age_behaviour",
    "allow_downgrade", "platforms", "interval", "secret_ref",
)  # fmt: skip
_SAID = " || ".join(f"has(self.{to_camel(name)})" for name in _ABOUT_TAGS)
_INTERVAL = imagepolicy.Followed("", imagepolicy.ImagePolicy(imagepolicy.Digest())).interval


def _with_policy(rule: Rule) -> Rule:
    """Ask what holds among the fields of a choice only where there is one."""
    return replace(rule, cel=f"!has(self.policy) || ({rule.cel})", holds=lambda it: it.policy is None or rule.holds(it))


class PullSecretRef(WireModel):
    """A pull secret by name."""

    name: Name
    """The name of a Secret of the type `kubernetes.io/dockerconfigjson` in the same namespace."""


class CoveredImage(ImageChoice):
    """An image that the policy covers, and which of its tags is wanted."""

    rules = (
        *map(_with_policy, ImageChoice.rules),
        Rule(
            f"has(self.policy) || !({_SAID})",
            "what is said of tags, platforms, interval and secretRef goes with policy: without it no updates are "
            "looked for",
            lambda it: it.policy is not None or all(getattr(it, name) is None for name in _ABOUT_TAGS),
        ),
    )
    hints: ClassVar[Mapping[str, str]] = {
        **ImageChoice.hints,
        "imagePullSecrets": "the pull secret is given as secretRef: {name: …}, as in Flux",
        "tag": "which tag is wanted is said by policy, such as policy: {semver: {range: ~1.4}}",
    }
    image: CoveredRepository
    """The image's repository without tag and digest, such as `ghcr.io/acme/api`, or `ghcr.io/acme/*` for all below."""
    policy: ImagePolicyChoice | None = None  # type: ignore[assignment]  # who only covers an image wants no tag of it
    """How the newest tag is found; left out, no updates are looked for, and whoever creates a rollout names them."""
    interval: Annotated[Duration, PERIOD] | None = None
    """How often the registry is looked at, a tenth more or less; left out, `10m`."""
    secret_ref: PullSecretRef | None = None
    """The pull secret with the registry's login; left out, it is asked anonymously."""

    def followed(self) -> imagepolicy.Followed | None:
        """Convert to the domain; ``None`` where no updates are looked for."""
        if self.policy is None:
            return None
        secret = self.secret_ref.name if self.secret_ref else None
        return imagepolicy.Followed(self.image, self.domain_choice(), given(self.interval, _INTERVAL), secret)
