"""What the demo shortens: production values of the example repository become values for a demo of minutes.

Nothing else is changed, and it is no secret: it is the second commit of the demo's repository, with a diff to read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from patchwright.demo import publisher

_POLICY: Final = "fleet/policies/security-updates.yaml"
_STOREFRONT: Final = "fleet/policies/storefront.yaml"
_CHECKOUT: Final = "fleet/policies/checkout.yaml"
_PARAMETERS: Final = "rego/parameters.yaml"
_APPLICATION_URL: Final = "https://git.example.com/checkout/deploy.git"
_APPLICATION_IMAGE: Final = re.compile(re.escape(f"{publisher.EXAMPLE_HOST}/{publisher.APPLICATION}:") + r"[\w.@:]+")

SUBJECT: Final = "For the demo: seconds instead of hours"
BODY: Final = """\
Soaks, the health check's patience and the least canary soak that the policy
asks for are cut down to seconds, the maintenance window is always open, the
freeze at the end of the year is lifted, a release may be new, and registry and
Git are those on this machine, the registry looked at every second. Sizes, budgets
and rules stay.
"""


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace ``old``, which is in the file ``times`` times exactly, by ``new``."""

    path: str
    old: str
    new: str
    times: int = 1


EDITS: Final = (
    Edit(_POLICY, "      soak: 30m\n", "      soak: 6s\n"),
    Edit(_POLICY, "soak: 15m}", "soak: 2s}", times=3),
    Edit(_POLICY, 'start: "0 22 * * MON-FRI"', 'start: "* * * * *"'),
    Edit(_POLICY, "      interval: 10s\n", "      interval: 1s\n"),
    Edit(_POLICY, "      timeout: 2m\n", "      timeout: 3s\n"),
    Edit(_STOREFRONT, "      soak: 30m\n", "      soak: 6s\n"),
    Edit(_STOREFRONT, "soak: 15m}", "soak: 2s}", times=2),
    Edit(_STOREFRONT, "minimumReleaseAge: 72h", "minimumReleaseAge: 0s"),
    Edit(_STOREFRONT, "interval: 5m", "interval: 1s"),
    Edit(_CHECKOUT, "      soak: 30m\n", "      soak: 6s\n"),
    Edit(_CHECKOUT, "minimumReleaseAge: 72h", "minimumReleaseAge: 0s"),
    Edit(_CHECKOUT, "interval: 5m", "interval: 1s"),
    Edit(_PARAMETERS, "  days: 3\n", "  days: 0\n"),
    Edit(_PARAMETERS, "minimumSoakSeconds: 1800", "minimumSoakSeconds: 5"),
    Edit(_PARAMETERS, 'start: "2026-12-18T18:00:00+01:00"', 'start: "2020-12-18T18:00:00+01:00"'),
    Edit(_PARAMETERS, 'end: "2027-01-04T06:00:00+01:00"', 'end: "2021-01-04T06:00:00+01:00"'),
)


def shortened(files: Mapping[str, str], *, registry: str, application: str) -> dict[str, str]:
    """Give the files that change, as they are in the demo.

    ``registry`` is where its images are, ``application`` the URL of the repository that new releases are committed to.

    Raises:
        ValueError: the example and the edits no longer fit together; a test sees that before a user does.
    """
    found: dict[str, str] = {}
    places = (
        *(Edit(path, f"{publisher.EXAMPLE_HOST}/", f"{registry}/") for path in (_STOREFRONT, _CHECKOUT)),
        Edit(_CHECKOUT, _APPLICATION_URL, application),
    )
    for edit in (*EDITS, *places):
        text = found.get(edit.path, files[edit.path])
        if text.count(edit.old) != edit.times:
            raise ValueError(f"{edit.path} has {edit.old!r} {text.count(edit.old)} times and not {edit.times}")
        found[edit.path] = text.replace(edit.old, edit.new)
    return found


def application(files: Mapping[str, str], *, image: str) -> dict[str, str]:
    """Give the files of the application, with the image that the demo's registry has."""
    return {name: _APPLICATION_IMAGE.sub(image, text) for name, text in files.items()}
