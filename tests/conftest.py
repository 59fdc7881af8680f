"""Options and fixtures that every tier shares."""

from __future__ import annotations
