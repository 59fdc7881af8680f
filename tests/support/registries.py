"""Registries for tests: clients of them, logins for them, and a clock that waits for nobody."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from patchwright.adapters.registry import RegistryClient, pace
from patchwright.adapters.registry.addresses import Addresses
from patchwright.adapters.registry.tally import Tally
from patchwright.domain.images import reference
from patchwright.domain.images.reference import Reference
from patchwright.image_ports import Images

USER: Final = "robot"
PASSWORD: Final = "opensesame"
# `htpasswd -nbB robot opensesame`, with few rounds: the registry checks it at every request.
HTPASSWD: Final = f"{USER}:$2b$05$atrdP06JE8UXGtzNbad3ZunC6FdIcTdf8hChRbfQ5qLm4F0CObGte\n"
BASIC: Final = f"Basic {base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"


@dataclass(slots=True)
class Hourglass:
    """A clock that goes forward by what is slept, and at once; ``slept`` lists how long."""

    seconds: float = 1000.0
    slept: list[float] = field(default_factory=list)

    def timing(self) -> pace.Timing:
        """Give the clock, the sleep, and dice that always fall in the middle."""
        return pace.Timing(lambda: self.seconds, self._sleep, lambda: 0.5)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds


@dataclass(slots=True)
class Asking:
    """A client of one registry, by its port, and what it costs."""

    client: Images
    host: str
    tally: Tally
    time: Hourglass

    def image(self, text: str) -> Reference:
        """Give a reference into the registry, from ``shop/api:1.0``."""
        return reference.parse(f"{self.host}/{text}")


@contextlib.asynccontextmanager
async def asking(
    url: str, *, limits: pace.Limits | None = None, addresses: Addresses | None = None, host: str = ""
) -> AsyncIterator[Asking]:
    """Open a client of the registry at ``url``; its time is an hourglass's, so that no test waits."""
    time, tally = Hourglass(), Tally()
    async with RegistryClient(limits=limits, timing=time.timing(), meter=tally, addresses=addresses) as client:
        yield Asking(client, host or url.partition("://")[2].rstrip("/"), tally, time)


def secret(where: str, user: str = USER, password: str = PASSWORD) -> Mapping[str, bytes]:
    """Give the data of a pull secret for a registry, as ``kubectl create secret docker-registry`` makes it."""
    auth = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {".dockerconfigjson": json.dumps({"auths": {where: {"auth": auth}}}).encode()}
