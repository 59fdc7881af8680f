"""The ``http`` check: a GET that must answer with an expected status.

Only the status counts: the body is not read, redirects are not followed (they would lead past the address that was
reviewed), and a connection is made anew each time. No answer at all is an error and not a finding, because nobody can
tell from here whether the service or the way to it is broken; either counts as unhealthy.
"""

from __future__ import annotations

from http import HTTPStatus

import aiohttp

from patchwright.adapters.health.looks import Look
from patchwright.adapters.health.session import cause
from patchwright.domain import endpoints
from patchwright.domain.checks import HttpCheck
from patchwright.domain.health import Finding
from patchwright.errors import HealthProbeError


async def look(session: aiohttp.ClientSession, check: HttpCheck) -> Look:
    """Get the URL.

    Raises:
        HealthProbeError: there is no answer, or the URL is not one that a health check may use.
    """
    if fault := endpoints.fault(check.url):
        raise HealthProbeError(f"GET {check.url} is not made: the URL {fault}; correct it in the health check")
    try:
        async with session.get(check.url, allow_redirects=False) as response:
            status = response.status
            # The body may be endless; closing instead of releasing leaves it unread.
            response.close()
    except (aiohttp.ClientError, OSError) as error:
        raise HealthProbeError(
            f"GET {check.url} has no answer: {cause(error)}; see that it runs and can be reached from the operator"
        ) from error
    return Look() if status in check.expected_statuses else Look((_finding(check, status),))


def _finding(check: HttpCheck, status: int) -> Finding:
    expected = ", ".join(str(each) for each in check.expected_statuses)
    hint = "; redirects are not followed, so give the final URL" if 300 <= status < 400 else ""
    return Finding("status", f"GET {check.url} answers {status}{_phrase(status)}, expected {expected}{hint}")


def _phrase(status: int) -> str:
    # The server's own reason phrase is its author's text; the registered one is not.
    try:
        return f" {HTTPStatus(status).phrase}"
    except ValueError:
        return ""
