"""What a container runs, as rollouts and health checks spell it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from patchwright.api.base import Unique, WireModel
from patchwright.api.scalars import Argument, matching


class EnvVar(WireModel):
    """An environment variable with a plain value."""

    hints: ClassVar[Mapping[str, str]] = {
        "valueFrom": "valueFrom is not supported; mount or fetch secrets inside the image"
    }
    name: Annotated[
        str,
        Field(min_length=1, max_length=253),
        matching("^[A-Za-z_][A-Za-z0-9_.-]*$", "must be the name of an environment variable"),
    ]
    """The variable's name; unique in the list."""
    value: Argument | None = None
    """Its value; left out, empty. It is not for secrets: everybody who may read the object can read it."""


Command = Annotated[tuple[Argument, ...], Field(max_length=64)]
Env = Annotated[tuple[EnvVar, ...], Field(max_length=64), Unique("name")]
