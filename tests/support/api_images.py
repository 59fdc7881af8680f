"""What is right and wrong about an image that is wanted, for the models and for the API server alike.

It is no kind: it becomes an entry of a list in PatchPolicy. So the cases are about a spec that is such a list, the way
it will be embedded, and the API server gets a definition of its own for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import Field

from patchwright.api import schema
from patchwright.api.base import WireModel
from patchwright.api.imagechoice import ImageChoice
from support.api_manifests import CHOICE, GONE, changed

GROUP: Final = "test.patchwright.dev"
PLURAL: Final = "imagechoices"
_EXACTLY = "exactly one of semver, alphabetical, numerical and digest must be set"
_NO_ORDER = "filterTags, patchedSuffix and allowDowngrade do not go with policy.digest, which orders no tags"
_ALWAYS = "digestReflectionPolicy must be Always, or left out, with policy.digest"
_AGE = "minimumReleaseAgeBehaviour goes with minimumReleaseAge"
_GROUPS = "extract must ask only for groups that pattern has, such as $v for (?P<v>…)"


class Spec(WireModel):
    """A list of wanted images, as long as a policy's may be."""

    images: Annotated[tuple[ImageChoice, ...], Field(max_length=64)]
    """The images."""


MINIMAL: Final[Mapping[str, Any]] = {"policy": {"semver": {"range": "~1.4"}}}
FULL: Final = CHOICE
DIGEST: Final[Mapping[str, Any]] = {"policy": {"digest": {}}, "digestReflectionPolicy": "Always"}
ENTRIES: Final = {"MINIMAL": MINIMAL, "FULL": FULL, "DIGEST": DIGEST}


@dataclass(frozen=True, slots=True)
class Case:
    """``at`` is set to ``value`` in ``base``; the model says ``words`` about ``path``, the server ``server``.

    ``server`` is ``None`` where the server cannot know, and empty where it says the same words.
    """

    at: str
    value: Any
    words: str = ""
    path: str = ""
    server: str | None = ""
    base: str = "MINIMAL"

    @property
    def spec(self) -> dict[str, Any]:
        """Give the whole spec."""
        return {"images": [changed(dict(ENTRIES[self.base]), self.at, self.value)]}

    @property
    def blamed(self) -> str:
        """Give the path that the fault must name."""
        return f"spec.images[0].{self.path or self.at}"

    @property
    def told_by_server(self) -> str | None:
        """Give the words that the API server must use; ``None`` when it accepts the spec."""
        return self.words if self.server == "" else self.server

    def __str__(self) -> str:
        """Give the test's name."""
        shown = "gone" if self.value is GONE else repr(self.value)
        return f"{self.at}={shown}"[:90]


# What CEL rules say, on both sides.
RULES: Final = (
    Case("policy.semver", GONE, _EXACTLY, "policy"),
    Case("policy.digest", {}, _EXACTLY, "policy"),
    Case("policy.numerical", {"order": "asc"}, _EXACTLY, "policy"),
    Case("policy.alphabetical", {}, _EXACTLY, "policy", base="DIGEST"),
    Case("filterTags", {"pattern": "^v"}, _NO_ORDER, "policy", base="DIGEST"),
    Case("patchedSuffix", "-patched", _NO_ORDER, "policy", base="DIGEST"),
    Case("allowDowngrade", True, _NO_ORDER, "policy", base="DIGEST"),
    Case("digestReflectionPolicy", "IfNotPresent", _ALWAYS, base="DIGEST"),
    Case("digestReflectionPolicy", "Never", _ALWAYS, base="DIGEST"),
    Case("minimumReleaseAgeBehaviour", "timestamp-optional", _AGE),
    Case("filterTags.extract", "$version", _GROUPS, base="FULL"),
    Case("filterTags.extract", "${v}.${patch}", _GROUPS, base="FULL"),
    Case("filterTags.extract", "$1x", _GROUPS, base="FULL"),
)
# What the schema itself says on the server, and we in our words.
FORMS: Final = (
    Case("policy", GONE, "is required", server="Required value"),
    Case("policy.semver.range", GONE, "is required", server="Required value"),
    Case("policy.semver.range", "", "must not be empty", server="at least 1"),
    Case("policy.semver.range", "$(x)", "must be a range of versions such as ~1.4", server="should match"),
    Case("policy.semver", "~1.4", "must be an object; got '~1.4'", server="must be of type object"),
    Case("policy", {"alphabetical": {"order": "up"}}, "must be 'asc' or 'desc'", "policy.alphabetical.order", "Unsupp"),
    Case("policy", {"numerical": {"order": "ASC"}}, "did you mean 'asc'?", "policy.numerical.order", "Unsupported"),
    Case("filterTags", {}, "is required", "filterTags.pattern", server="Required value"),
    Case("filterTags", {"pattern": "x" * 513}, "at most 512", "filterTags.pattern", server="may not be more than 512"),
    Case("patchedSuffix", "", "must not be empty", server="at least 1"),
    Case("digestReflectionPolicy", "always", "did you mean 'Always'?", server="Unsupported value"),
    Case("minimumReleaseAge", 72, "reads it as nanoseconds", server="must be of type string"),
    Case("minimumReleaseAge", "3d", "must be a duration such as 30s, 10m or 1h30m; got '3d'", server="should match"),
    Case("minimumReleaseAgeBehaviour", "required", "must be 'timestamp-required'", server="Unsupported", base="FULL"),
    Case("allowDowngrade", "yes", "must be true or false; got 'yes'", server="must be of type boolean"),
    Case("platforms", ["arm64"], "must be a platform such as linux/arm64", "platforms[0]", server="should match"),
    Case(
        "platforms",
        ["linux/arm64"] * 2,
        "'linux/arm64' is already taken by spec.images[0].platforms[0]",
        "platforms[1]",
        server="Duplicate value",
    ),
)
# What only the model knows, or says otherwise.
ONLY_MODEL: Final = (
    Case("policy.semver.range", ">>1", "must be a range of versions such as ~1.4", server=None),
    Case("policy.semver.range", "1.2 || ", "must be a range of versions such as ~1.4", server=None),
    Case("filterTags", {"pattern": "("}, "RE2 know: missing ): (", "filterTags.pattern", server=None),
    Case("filterTags", {"pattern": "(?=a)"}, "RE2 know: invalid perl", "filterTags.pattern", server=None),
    Case("filterTags.extract", "$4", _GROUPS, server=None, base="FULL"),
    Case("patchedSuffix", "(?<!a)b", "is no regular expression that Go and RE2 know", server=None),
    Case("patchedSuffix", "(-p)?", "must not match the empty text", server=None),
)
UNKNOWN: Final = (
    Case("semver", "~1.4", "semver belongs into policy: {semver: {range: …}}", server="unknown field"),
    Case("policy.semver.ranges", "x", "did you mean 'range'?", server="unknown field"),
    Case("policy.digest.tag", "x", "unknown field 'tag'", server="unknown field", base="DIGEST"),
    Case("allowTags", "x", "Argo CD Image Updater's allowTags is filterTags.pattern", server="unknown field"),
    Case("minimumReleaseAgeBehavior", "x", "did you mean 'minimumReleaseAgeBehaviour'?", server="unknown field"),
)
RIGHT: Final = (
    Case("policy", {"alphabetical": {}}),
    Case("policy", {"alphabetical": {"order": "desc"}}),
    Case("policy", {"numerical": {"order": "asc"}}),
    Case("policy", {"digest": {}}),
    Case("digestReflectionPolicy", GONE, base="DIGEST"),
    Case("minimumReleaseAge", "72h", base="DIGEST"),
    Case("platforms", ["linux/arm/v7", "windows/amd64"], base="DIGEST"),
    Case("filterTags", {"pattern": r"^\d{8}$"}),
    Case("filterTags.extract", "${v}-$2-$$x-$0", base="FULL"),
    Case("filterTags", {"pattern": "^(?<v>.*)-alpine$", "extract": "$v"}),
    Case("minimumReleaseAgeBehaviour", "timestamp-optional", base="FULL"),
)
WRONG: Final = (*RULES, *FORMS, *ONLY_MODEL, *UNKNOWN)


def definition() -> dict[str, Any]:
    """Give a CustomResourceDefinition of that spec."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {"kind": "ImageChoice", "plural": PLURAL, "singular": "imagechoice"},
            "scope": "Namespaced",
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "required": ["spec"],
                            "properties": {"spec": schema.structural(Spec)},
                        }
                    },
                }
            ],
        },
    }


def manifest(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Give an object of that kind."""
    return {"apiVersion": f"{GROUP}/v1", "kind": "ImageChoice", "metadata": {"name": "api"}, "spec": dict(spec)}
