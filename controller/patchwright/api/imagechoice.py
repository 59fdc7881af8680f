"""Which image is wanted, as PatchPolicy spells it: Flux's words for tags and digests, Renovate's for age.

``ImageChoice`` is a part of an ``images`` entry, which adds what it is about: the image and its containers.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from patchwright.api.base import Form, Rule, Unique, WireModel, exactly_one_of
from patchwright.api.scalars import Bool, Duration, given, matching
from patchwright.domain import semver
from patchwright.domain.images import imagepolicy, patterns

_ORDER = Literal["asc", "desc"]
_DEFAULT = imagepolicy.ImagePolicy(imagepolicy.Digest())
_NOT_WITH_DIGEST = ("filter_tags", "patched_suffix", "allow_downgrade")
# What extract asks for by name must be a group of pattern; groups by number are counted by the model alone. The API
# server estimates what that costs from the greatest lengths, for each entry of a list: hence the short template.
_NAMED = (
    "!has(self.extract) || self.extract.replace('$$', '').findAll('[$][{]?[A-Za-z0-9_]+').all(group, "
    "group.matches('^[$][{]?[0-9]+$') || "
    "self.pattern.contains('<' + group.replace('$', '').replace('{', '') + '>'))"
)


def _is_range(text: str) -> bool:
    try:
        semver.parse_range(text)
    except ValueError:
        return False
    return True


def _compiles(text: str) -> str:
    patterns.compiled(text)
    return text


def _marks(text: str) -> bool:
    return patterns.compiled(text).search("") is None


def _has_groups(tags: TagFilter) -> bool:
    pattern = patterns.compiled(tags.pattern)
    return all(pattern.has(group) for group in patterns.references(tags.extract or ""))


class SemVerPolicy(WireModel):
    """The highest version in a range."""

    range: Annotated[
        str,
        Field(min_length=1, max_length=200),
        Form(
            _is_range,
            "must be a range of versions such as ~1.4 or >=1.2 <2",
            {"pattern": r"^[0-9A-Za-z.*^~<>=!|, +-]+$"},
        ),
    ]
    """The range, such as `~1.4`, `^1`, `1.x` or `>=1.2 <2 || 3.1.4`. A version has three numbers; pre-releases count
    only where the range names one, such as `>=1.2.0-0`."""


class AlphabeticalPolicy(WireModel):
    """The last tag of the alphabet."""

    order: _ORDER | None = None
    """`asc` (the default) takes the last tag, `desc` the first."""

    def domain(self) -> imagepolicy.Alphabetical:
        """Convert to the domain."""
        return imagepolicy.Alphabetical(imagepolicy.Direction(self.order or "asc"))


class NumericalPolicy(WireModel):
    """The largest number."""

    order: _ORDER | None = None
    """`asc` (the default) takes the largest number, `desc` the smallest."""

    def domain(self) -> imagepolicy.Numerical:
        """Convert to the domain."""
        return imagepolicy.Numerical(imagepolicy.Direction(self.order or "asc"))


class DigestPolicy(WireModel):
    """Whatever the tag that the workload names is at present."""


class ImagePolicyChoice(WireModel):
    """How the newest tag is found: exactly one way."""

    rules = (exactly_one_of("semver", "alphabetical", "numerical", "digest"),)
    hints: ClassVar[Mapping[str, str]] = {
        "semVer": "it is spelled semver, as in Flux",
        "range": "range belongs into semver: {range: …}",
        "order": "order belongs into alphabetical: {order: …} or numerical: {order: …}",
    }
    semver: SemVerPolicy | None = None
    """Tags are versions; the highest in the range is chosen."""
    alphabetical: AlphabeticalPolicy | None = None
    """Tags are ordered by the alphabet."""
    numerical: NumericalPolicy | None = None
    """Tags are numbers; what is none does not count."""
    digest: DigestPolicy | None = None
    """The tag stays the one that the workload names, such as `latest`; what it names is followed. Write `{}`."""

    def domain(self) -> imagepolicy.Order:
        """Convert to the domain."""
        if self.semver is not None:
            return imagepolicy.SemVer(self.semver.range)
        ordered = self.alphabetical or self.numerical
        return ordered.domain() if ordered is not None else imagepolicy.Digest()


class TagFilter(WireModel):
    """Which tags count, and what of them is ordered."""

    rules = (
        Rule(
            _NAMED,
            "extract must ask only for groups that pattern has, such as $v for (?P<v>…)",
            _has_groups,
            field=".extract",
        ),
    )
    pattern: Annotated[str, Field(min_length=1, max_length=patterns.LONGEST), AfterValidator(_compiles)]
    """A regular expression of Go (RE2), matched anywhere in the tag, such as `^v(?P<v>.*)-alpine$`."""
    extract: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """What is ordered of a tag that matches, such as `$v`; left out, the whole tag."""

    def domain(self) -> imagepolicy.TagFilter:
        """Convert to the domain."""
        return imagepolicy.TagFilter(self.pattern, self.extract or "")


class ImageChoice(WireModel):
    """Which image is wanted, of those that the registry has."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.policy.digest) || "
            "!(has(self.filterTags) || has(self.patchedSuffix) || has(self.allowDowngrade))",
            "filterTags, patchedSuffix and allowDowngrade do not go with policy.digest, which orders no tags",
            lambda it: it.policy.digest is None or all(getattr(it, name) is None for name in _NOT_WITH_DIGEST),
            field=".policy",
        ),
        Rule(
            "!has(self.policy.digest) || !has(self.digestReflectionPolicy) || self.digestReflectionPolicy == 'Always'",
            "digestReflectionPolicy must be Always, or left out, with policy.digest",
            lambda it: it.policy.digest is None or it.digest_reflection_policy in (None, "Always"),
            field=".digestReflectionPolicy",
        ),
        Rule(
            "!has(self.minimumReleaseAgeBehaviour) || has(self.minimumReleaseAge)",
            "minimumReleaseAgeBehaviour goes with minimumReleaseAge",
            lambda it: it.minimum_release_age_behaviour is None or it.minimum_release_age is not None,
            field=".minimumReleaseAgeBehaviour",
        ),
    )
    hints: ClassVar[Mapping[str, str]] = {
        "updateStrategy": "Argo CD Image Updater's updateStrategy is policy here",
        "allowTags": "Argo CD Image Updater's allowTags is filterTags.pattern here",
        "ignoreTags": "say with filterTags.pattern which tags count; signatures and attestations never do",
        "semver": "semver belongs into policy: {semver: {range: …}}",
        "range": "range belongs into policy: {semver: {range: …}}",
    }
    policy: ImagePolicyChoice
    """How the newest tag is found."""
    filter_tags: TagFilter | None = None
    """Which tags count; left out, all but signatures and attestations, and of versions only those of the variant that
    runs (`-alpine` stays `-alpine`)."""
    patched_suffix: (
        Annotated[
            str,
            Field(min_length=1, max_length=128),
            AfterValidator(_compiles),
            Form(_marks, "must not match the empty text, or every tag would be a patched one"),
        ]
        | None
    ) = None
    """What marks a patched image at the end of its tag, a regular expression such as `-patched(-[0-9]+)?`. It comes
    right after the tag that it patches, its last number counts, and `filterTags` and `policy` look at what is left."""
    digest_reflection_policy: Literal["Never", "IfNotPresent", "Always"] | None = None
    """Whether the digest is written: `IfNotPresent` (the default) pins what was chosen, `Always` also follows a tag
    that is pushed again, `Never` writes the tag alone. With `policy.digest` it is `Always`."""
    minimum_release_age: Duration | None = None
    """How long an image must have been there before it is chosen, such as `72h`; left out, `0s`."""
    minimum_release_age_behaviour: Literal["timestamp-required", "timestamp-optional"] | None = None
    """What holds for an image of unknown age, because it was there at the first scan: `timestamp-required` (the
    default) counts from that scan, `timestamp-optional` takes it to be old enough."""
    allow_downgrade: Bool | None = None
    """Whether what runs may become older, where it is not what the policy admits; left out, false."""
    platforms: (
        Annotated[
            tuple[
                Annotated[
                    str,
                    Field(max_length=64),
                    matching(r"^[a-z0-9]+/[a-z0-9_]+(/[a-z0-9.]+)?$", "must be a platform such as linux/arm64"),
                ],
                ...,
            ],
            Field(max_length=16),
            Unique(),
        ]
        | None
    ) = None
    """The platforms that an image must have, such as `linux/arm64`; left out, none is asked for."""

    def domain_choice(self) -> imagepolicy.ImagePolicy:
        """Convert to the domain."""
        order = self.policy.domain()
        pinned = "Always" if isinstance(order, imagepolicy.Digest) else _DEFAULT.digest_reflection.value
        behaviour = given(self.minimum_release_age_behaviour, _DEFAULT.age_behaviour.value)
        return imagepolicy.ImagePolicy(
            order,
            self.filter_tags.domain() if self.filter_tags else None,
            digest_reflection=imagepolicy.DigestReflection(given(self.digest_reflection_policy, pinned)),
            minimum_release_age=given(self.minimum_release_age, timedelta(0)),
            age_behaviour=imagepolicy.AgeBehaviour(behaviour),
            allow_downgrade=given(self.allow_downgrade, _DEFAULT.allow_downgrade),
            patched_suffix=self.patched_suffix or "",
            platforms=self.platforms or (),
        )
