"""PatchRollout: one exact change, run once. Everything but ``paused`` is immutable."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from patchwright.api.base import Immutable, Rule, Unique, WireModel, at_most_one_of, exactly_one_of
from patchwright.api.containers import Command, Env
from patchwright.api.scalars import (
    Bool,
    Digest,
    Duration,
    Image,
    Instant,
    Label,
    Name,
    Repository,
    Tag,
    TagOrDigest,
    given,
    matching,
)
from patchwright.domain import model

_SAYS_WHAT = "has(self.{0}.image) || has(self.{0}.command) || has(self.{0}.args) || has(self.{0}.env)"


class Step(WireModel):
    """One Job on a node. What it leaves out is the script's; a `command` of its own drops the script's args."""

    image: Image | None = None
    """The image to run; left out, the script's."""
    command: Command | None = None
    """The entry point; left out, the script's."""
    args: Command | None = None
    """The arguments; left out, the script's, unless `command` is given."""
    env: Env | None = None
    """Environment variables, added to the script's; the same name replaces."""
    timeout: Duration | None = None
    """How long the Job may run before it has failed; left out, `strategy.progressDeadlineSeconds` alone bounds it."""

    def domain(self, script: Script) -> model.Step:
        """Convert to the domain, with what is taken from the script filled in."""
        env = {one.name: one.value or "" for one in (*(script.env or ()), *(self.env or ()))}
        args = script.args if self.command is None else None
        return model.Step(
            given(self.command, script.command or ()),
            given(self.args, args or ()),
            env=tuple(env.items()),
            image=self.image,
            timeout=self.timeout,
        )


def _says_what(name: str, otherwise: str = "again") -> Rule:
    return Rule(
        f"!has(self.{name}) || {_SAYS_WHAT.format(name)}",
        f"{name} must set image, command, args or env, or it would run the apply step {otherwise}",
        lambda script: _differs(getattr(script, name)),
        field=f".{name}",
    )


def _differs(step: Step | None) -> bool:
    return step is None or any(part is not None for part in (step.image, step.command, step.args, step.env))


class Script(WireModel):
    """A change made by running an image on each node, as a Plan of system-upgrade-controller does."""

    rules = (_says_what("prepare", "before the cordon"), _says_what("verify"), _says_what("rollback"))
    hints: ClassVar[Mapping[str, str]] = {
        "upgrade": "system-upgrade-controller's upgrade is apply here",
        "envFrom": "envFrom is not supported; list the variables in env",
        "channel": "channels are not followed: a rollout is one exact version",
    }
    version: Annotated[
        str,
        Field(min_length=1, max_length=128),
        matching(r"^[A-Za-z0-9][A-Za-z0-9_.+:~-]*$", "must be a version such as 1.4.2 or 3.0.17-1~deb12u3"),
    ]
    """What the change installs. When the verify step's termination message names a version, it must be this one."""
    image: Image
    """The image that every step runs, pinned by a tag other than `latest` or by a digest."""
    command: Command | None = None
    """The entry point of every step; left out, the image's."""
    args: Command | None = None
    """The arguments of every step."""
    env: Env | None = None
    """Environment variables of every step."""
    apply: Step | None = None
    """How the change is made; left out, the script's own image, command, args and env."""
    prepare: Step | None = None
    """What runs before the node is cordoned and drained, to fetch what the change needs: where it fails, the node was
    never touched. It must not change anything."""
    verify: Step | None = None
    """How it is proved that the node runs the wanted version: exit code 0. Left out, the health checks decide."""
    rollback: Step | None = None
    """How exactly what was there before is put back; required by policies with `rollback.enabled`."""
    reboot: Literal["Never", "Always", "WhenRequested"] | None = None
    """Whether the apply step reboots the node: `Never` (the default), `Always`, or `WhenRequested` by its termination
    message (`{"rebootRequired": true}`). A reboot is proved by a new boot ID."""
    privileged: Bool | None = None
    """Whether the steps run privileged in the host's PID, IPC and network namespaces; left out, true."""
    host_path: (
        Annotated[
            str,
            Field(max_length=1024),
            matching(r"^(/[^/]+)*/?$", "must be an absolute path such as / or /opt"),
        ]
        | None
    ) = None
    """The host's folder that is mounted at `/host`; left out, `/`. An empty text mounts nothing."""
    service_account_name: Name | None = None
    """The service account of the steps' pods, in the rollout's namespace; left out, the namespace's default one."""

    def domain(self) -> model.ScriptChange:
        """Convert to the domain."""
        return model.ScriptChange(
            self.version,
            self.image,
            apply=(self.apply or Step()).domain(self),
            prepare=self.prepare.domain(self) if self.prepare else None,
            verify=self.verify.domain(self) if self.verify else None,
            rollback=self.rollback.domain(self) if self.rollback else None,
            reboot=model.Reboot(given(self.reboot, "Never")),
            privileged=given(self.privileged, True),
            host_path=given(self.host_path, "/") or None,
            service_account=self.service_account_name,
        )


class ImageChange(WireModel):
    """One image, pinned by its digest."""

    rules = (at_most_one_of("from", "fromAny"),)
    hints: ClassVar[Mapping[str, str]] = {
        "name": "the image's repository is called image",
        "newName": "another repository is another image; image names the one that the containers run",
        "newTag": "kustomize's newTag is called tag, and needs a digest beside it",
        "version": "the version is called tag, and needs a digest beside it",
    }
    image: Repository
    """The image's repository without tag and digest, such as `ghcr.io/acme/api`; containers that run it are changed."""
    tag: Tag | None = None
    """The tag that is written before the digest, for people; left out, the digest stands alone."""
    digest: Digest
    """The digest that is run: `sha256:` and 64 hexadecimal digits. Of an image for several platforms, its index."""
    from_: Annotated[TagOrDigest | None, Field(alias="from")] = None
    """The tag or the digest that is replaced; containers that run another one are left out. Left out, any."""
    from_any: Annotated[tuple[TagOrDigest, ...], Field(min_length=1, max_length=32), Unique()] | None = None
    """The tags and digests that are replaced, instead of one in `from`."""

    def domain(self) -> model.ImagePin:
        """Convert to the domain."""
        replaces = given(self.from_any, (self.from_,) if self.from_ else ())
        return model.ImagePin(self.image, self.digest, tag=self.tag, replaces=replaces)


class Change(WireModel):
    """What is changed: exactly one kind of change."""

    rules = (exactly_one_of("script", "images"),)
    hints: ClassVar[Mapping[str, str]] = {
        "packages": "packages as a change are not supported yet; the supported changes are script and images",
        "osImage": "osImage as a change is not supported yet; the supported changes are script and images",
        "image": "images are a list: images: [{image: …, digest: …}]",
    }
    script: Script | None = None
    """An image that is run on each node."""
    images: Annotated[tuple[ImageChange, ...], Field(min_length=1, max_length=16), Unique("image")] | None = None
    """Images that workloads run from then on."""

    def domain(self) -> model.Change:
        """Convert to the domain."""
        if self.images is not None:
            return model.ImagesChange(tuple(one.domain() for one in self.images))
        assert self.script is not None  # by the rule above
        return self.script.domain()


class RolloutPolicyRef(WireModel):
    """The PatchPolicy of a rollout."""

    name: Label
    """The name of a PatchPolicy in the same namespace."""


class PatchRolloutSpec(WireModel):
    """One exact change. Everything but `paused` is immutable: another change is another PatchRollout."""

    immutable = (
        Immutable("policyRef", "PatchRollout", required=True),
        Immutable("change", "PatchRollout", required=True),
        Immutable("advisories", "PatchRollout"),
        Immutable("releasedAt", "PatchRollout"),
    )
    hints: ClassVar[Mapping[str, str]] = {
        "policy": "the policy's name is given as policyRef: {name: …}",
        "policyName": "the policy's name is given as policyRef: {name: …}",
        "script": "script belongs into change: {script: …}",
        "suspend": "a rollout is held with paused: true; suspend belongs to PatchPolicy",
    }
    policy_ref: RolloutPolicyRef
    """The policy that says which targets, when and how carefully."""
    change: Change
    """What is changed, pinned."""
    advisories: (
        Annotated[
            tuple[
                Annotated[
                    str,
                    Field(min_length=1, max_length=64),
                    matching("^[A-Za-z0-9][A-Za-z0-9:._-]*$", "must be an advisory's name such as CVE-2026-1234"),
                ],
                ...,
            ],
            Field(max_length=128),
            Unique(),
        ]
        | None
    ) = None
    """The advisories that the change answers, such as `CVE-2026-1234`; policies can read them."""
    released_at: Instant | None = None
    """When the version was published, such as `2026-11-23T12:00:00Z`; a minimum release age counts from it."""
    paused: Bool | None = None
    """Start nothing new; targets in flight finish. Left out, false. It is the one field that may change."""
