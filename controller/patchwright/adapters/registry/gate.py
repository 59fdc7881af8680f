"""How a registry lets us in: anonymously, by Basic, or by a bearer token of the server that it names.

https://distribution.github.io/distribution/spec/auth/token/. A token is kept for the scopes it was given for until
shortly before it expires, one for all who ask for the same; a registry that wants Basic is sent it from then on without
being asked again. Refresh tokens are not used: no pull secret that kubelet reads has one.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from yarl import URL

from patchwright.adapters.registry import challenges
from patchwright.adapters.registry.challenges import Challenge
from patchwright.adapters.registry.wire import Answer, Request, Trouble, Unusable
from patchwright.domain.images.keyring import Login

_TOKEN_BYTES: Final = 64 * 1024
_DOORS_KEPT: Final = 1000
# What the specification says a token without `expires_in` lives at least; and nobody's lives longer than a day.
_LIFE, _LONGEST_LIFE = 60.0, 86_400.0
_MARGIN: Final = 10.0
# RFC 6750's b64token: whatever else came would end up in a header. And a header has an end.
_BEARER = re.compile(r"[A-Za-z0-9\-._~+/]{1,16384}={0,3}")

Exchange = Callable[[Request], Awaitable[Answer]]


class Refused(Exception):
    """Nobody is let in with this; ``str()`` is a phrase."""


@dataclass(frozen=True, slots=True)
class Door:
    """A repository of a registry and who wants in; ``home`` is the registry's address."""

    home: URL
    repository: str
    login: Login | None


@dataclass(slots=True)
class _Place:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    header: str = field(default="", repr=False)
    expires: float = 0.0
    scopes: frozenset[str] = frozenset()


class Gate:
    """What opens which door; ``now`` is a clock that only goes forward."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._places: dict[Door, _Place] = {}

    def known(self, door: Door) -> str:
        """Give the Authorization header that opened the door last; empty when there is none that still would."""
        place = self._places.get(door)
        return place.header if place is not None and place.expires > self._now() else ""

    async def open(self, door: Door, headers: Sequence[str], *, refused: str, exchange: Exchange) -> str:
        """Answer a 401 that came although ``refused`` was sent; give the header to try.

        ``exchange`` asks a token server.

        Raises:
            Refused: there is no login that would do.
            Trouble, Unusable: the token server did not say.
        """
        asked = challenges.parse(headers)
        place = self._place(door)
        async with place.lock:
            # Forty images of one team want the same token: the first fetches it, the others find it here.
            known = self.known(door)
            if known and known != refused:
                return known
            place.header = ""
            for challenge in asked:
                if challenge.scheme == "bearer":
                    await self._fetch(door, place, challenge=challenge, exchange=exchange)
                    return place.header
            if any(challenge.scheme == "basic" for challenge in asked):
                return self._basic(door, place, refused=refused)
        raise Refused("it asks for a login of a kind that pull secrets do not have")

    def _basic(self, door: Door, place: _Place, *, refused: str) -> str:
        if door.login is None:
            raise Refused("it wants a login")
        if (header := basic(door.login)) == refused:
            raise Refused("it refuses the login")
        place.header, place.expires = header, float("inf")
        return header

    async def _fetch(self, door: Door, place: _Place, *, challenge: Challenge, exchange: Exchange) -> None:
        # A registry may want another scope for tags than for manifests; together, neither pushes the other out.
        scopes = place.scopes | (challenge.scopes or {f"repository:{door.repository}:pull"})
        url = _realm(challenge, door).extend_query(
            [*_named("service", challenge), *(("scope", scope) for scope in sorted(scopes))]
        )
        headers = {"Authorization": basic(door.login)} if door.login else {}
        asked_at = self._now()
        try:
            answer = await exchange(Request(url, _TOKEN_BYTES, headers=headers))
        except Trouble as trouble:
            phrase = f"its token server does not answer ({trouble})"
            raise Trouble(phrase, status=trouble.status, retry_after=trouble.retry_after) from trouble
        if answer.status in (400, 401, 403):
            raise Refused(
                f"its token server refuses {'the login' if door.login else 'anonymous access'} ({answer.status})"
            )
        token, life = _token(answer)
        place.header, place.expires, place.scopes = f"Bearer {token}", asked_at + life, scopes

    def _place(self, door: Door) -> _Place:
        if door not in self._places and len(self._places) >= _DOORS_KEPT:
            stale = (each for each, place in self._places.items() if not place.lock.locked())
            self._places.pop(next(stale, door), None)
        return self._places.setdefault(door, _Place())


def basic(login: Login) -> str:
    """Give the header of a user name and password."""
    return f"Basic {base64.b64encode(f'{login.username}:{login.password}'.encode()).decode('ascii')}"


def _realm(challenge: Challenge, door: Door) -> URL:
    try:
        url = URL(challenge.parameters.get("realm", ""))
    except ValueError:
        url = URL()
    if not url.host or url.user is not None or url.password is not None:
        raise Unusable("it names no address of a token server")
    # A registry that is spoken to in the clear may name such a token server, too; no other may.
    if url.scheme != "https" and not (url.scheme == door.home.scheme == "http"):
        raise Unusable("it wants the login sent to a token server without TLS")
    return url.with_fragment(None)


def _named(name: str, challenge: Challenge) -> list[tuple[str, str]]:
    return [(name, challenge.parameters[name])] if name in challenge.parameters else []


def _token(answer: Answer) -> tuple[str, float]:
    if answer.status != 200:
        raise Unusable(f"its token server answers {answer.status}")
    try:
        document: Any = json.loads(answer.body)
        token = document.get("token") or document.get("access_token")
        life = document.get("expires_in")
    except (ValueError, RecursionError, AttributeError) as error:
        raise Unusable("its token server answers with something that is no token") from error
    if not isinstance(token, str) or not _BEARER.fullmatch(token):
        raise Unusable("its token server answers with something that is no token")
    seconds = float(min(life, _LONGEST_LIFE)) if isinstance(life, int | float) and life > 0 else _LIFE
    return token, max(0.0, seconds - min(_MARGIN, seconds / 10))
