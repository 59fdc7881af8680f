"""What an observer writes down."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Violation:
    """A law, when it was broken, and how."""

    law: str
    at: datetime
    what: str

    def __str__(self) -> str:
        return f"{self.law} at {self.at:%H:%M:%S.%f}: {self.what}"
