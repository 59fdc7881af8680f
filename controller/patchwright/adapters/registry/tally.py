"""How often registries were asked about which image: for benchmarks, and for whoever wants to know why."""

from __future__ import annotations

from collections import Counter


class Tally:
    """Implements ``image_ports.RegistryMeter`` in memory, image by image."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, str, str]] = Counter()

    def registry_asked(self, image: str, *, registry: str, what: str, code: str) -> None:  # noqa: ARG002 - in the name
        """Count one request."""
        self._requests[image, what, code] += 1

    def of(self, image: str = "", *, what: str = "", code: str = "") -> int:
        """Count the requests so far; what is empty does not matter."""
        return sum(
            count
            for (whose, asked, answered), count in self._requests.items()
            if image in ("", whose) and what in ("", asked) and code in ("", answered)
        )

    def images(self) -> tuple[str, ...]:
        """Give the images that were asked about, sorted."""
        return tuple(sorted({image for image, _, _ in self._requests}))
