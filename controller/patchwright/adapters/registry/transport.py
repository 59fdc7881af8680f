"""A question about an image, asked until it is answered or given up: pace, logins, redirects, back-off, sentences."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import aiohttp
from yarl import URL

from patchwright import errors
from patchwright.adapters.registry import pace, wire
from patchwright.adapters.registry.gate import Door, Gate, Refused
from patchwright.adapters.registry.wire import Answer, Request, Trouble, Unusable
from patchwright.domain.images.keyring import Login
from patchwright.domain.images.reference import Reference
from patchwright.image_ports import RegistryMeter

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_HOPS: Final = 3
_KNOWN: Final = frozenset(status.value for status in HTTPStatus)
_LATER: Final = 30.0


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: ``what`` is "tags", "manifest" or "blob"; with an ``etag``, 304 is an answer.

    ``home`` is the registry's address: the login goes there and nowhere else. ``absent`` are the answers that mean that
    there is no such thing.
    """

    image: Reference
    what: str
    home: URL
    url: URL
    method: str = "GET"
    accept: str = "application/json"
    etag: str = ""
    limit: int = 0
    absent: frozenset[int] = frozenset({404})


class Nobody:
    """Counts nothing."""

    def registry_asked(self, image: str, *, registry: str, what: str, code: str) -> None:
        """Count nothing."""


class Transport:
    """Asks questions; knows no documents."""

    def __init__(
        self, session: aiohttp.ClientSession, *, limits: pace.Limits, timing: pace.Timing, meter: RegistryMeter
    ) -> None:
        self._session = session
        self._limits = limits
        self._timing = timing
        self._meter = meter
        self._lanes = pace.Lanes(limits, timing)
        self._gate = Gate(timing.now)

    async def ask(self, question: Question, login: Login | None) -> Answer:
        """Ask, and again while it may help; give an answer of 200 or 304.

        Raises:
            RegistryError: there is none.
        """
        lane, attempt = self._lanes.of(question.image.registry), 0
        while True:
            attempt += 1
            try:
                async with lane.turn(login):
                    answer = await self._opened(question, login)
                lane.went_well(login)
                return _judged(question, answer)
            except Trouble as trouble:
                wait = _wait(lane, login, trouble=trouble, attempt=attempt)
                if attempt >= self._limits.attempts or wait > self._limits.patience:
                    raise _unavailable(question, trouble, wait) from trouble
            except Refused as refusal:
                raise _refused(question, str(refusal)) from refusal
            except Unusable as unusable:
                raise unfit(question.image, str(unusable)) from unusable
            await self._timing.sleep(wait)

    async def _opened(self, question: Question, login: Login | None) -> Answer:
        door = Door(question.home, question.image.repository, login)
        header = self._gate.known(door)
        answer = await self._followed(question, header)
        if answer.status != 401 or not wire.same_server(answer.url, question.home):
            return answer
        challenges = answer.headers.getall("WWW-Authenticate", [])
        exchange = functools.partial(self._exchange, about=question.image, what="token")
        header = await self._gate.open(door, challenges, refused=header, exchange=exchange)
        return await self._followed(question, header)

    async def _followed(self, question: Question, authorization: str) -> Answer:
        """Ask, wherever that leads: blobs are kept elsewhere, and registry.k8s.io keeps nothing at all itself."""
        url = question.url
        for _ in range(_HOPS + 1):
            headers = {"Accept": question.accept}
            if question.etag:
                headers["If-None-Match"] = question.etag
            if authorization and wire.same_server(url, question.home):
                headers["Authorization"] = authorization
            request = Request(url, question.limit, method=question.method, headers=headers)
            answer = await self._exchange(request, about=question.image, what=question.what)
            if answer.status not in _REDIRECTS:
                return answer
            url = _target(question, answer)
        raise Unusable(f"it redirects more than {_HOPS} times")

    async def _exchange(self, request: Request, *, about: Reference, what: str) -> Answer:
        code = "none"
        try:
            answer = await wire.exchange(self._session, request)
            code = _code(answer.status)
        except Trouble as trouble:
            code = _code(trouble.status)
            raise
        finally:
            self._meter.registry_asked(about.name, registry=about.registry, what=what, code=code)
        return answer


def _wait(lane: pace.Lane, login: Login | None, *, trouble: Trouble, attempt: int) -> float:
    if trouble.status == HTTPStatus.TOO_MANY_REQUESTS or trouble.retry_after is not None:
        return lane.close(login, trouble.retry_after)
    return lane.backoff(attempt)


def _code(status: int) -> str:
    if not status:
        return "none"
    # A number nobody knows is a label of a metric, and there are nine hundred of them.
    return str(status) if status in _KNOWN else "other"


def unfit(image: Reference, phrase: str) -> errors.RegistryUnusable:
    """Say that nothing can be made of an answer."""
    return errors.RegistryUnusable(
        f"Registry {image.registry} cannot be used for {image}: {phrase}; see that this is the address of a registry, "
        "and what stands between it and the operator"
    )


def _target(question: Question, answer: Answer) -> URL:
    url = wire.target(answer, answer.header("Location"))
    if url is None:
        raise Unusable(f"it answers {answer.status} and names no address to go to")
    if url.scheme != "https" and not (url.scheme == question.home.scheme == "http"):
        raise Unusable("it redirects to an address without TLS")
    return url


def _judged(question: Question, answer: Answer) -> Answer:
    match answer.status:
        case 200:
            return answer
        case 304 if question.etag:
            return answer
        case 401 | 403:
            raise Refused(f"it answers {answer.status}")
        case status if status in question.absent:
            raise errors.ImageNotFound(
                f"Registry {question.image.registry} has no {question.image} ({question.what}: {status}); "
                "see that it was pushed, and that the pull secret may see it"
            )
        case status:
            raise Unusable(f"it answers {status}")


def _refused(question: Question, phrase: str) -> errors.RegistryAuthFailed:
    return errors.RegistryAuthFailed(
        f"Registry {question.image.registry} does not show {question.image}: {phrase}; check the pull secret, and that "
        "there is such a repository"
    )


def _unavailable(question: Question, trouble: Trouble, wait: float) -> errors.RegistryUnavailable:
    registry, image = question.image.registry, question.image
    if trouble.status == HTTPStatus.TOO_MANY_REQUESTS:
        return errors.RegistryUnavailable(
            f"Registry {registry} limits its requests and is asked again for {image} in {wait:.0f} s; give it a login "
            "with a higher limit, or a longer interval",
            reason="RateLimited",
            retry_after=wait,
        )
    return errors.RegistryUnavailable(
        f"Registry {registry} does not answer for {image}: {trouble}; it is asked again, see that it runs and can be "
        "reached from the operator",
        retry_after=max(wait, _LATER),
    )
