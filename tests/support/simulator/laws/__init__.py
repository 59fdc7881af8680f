"""The laws of a rollout as an observer sees them: the server's true history, not what the operator believes."""

from __future__ import annotations

from support.simulator.laws.observer import Observer

__all__ = ["Observer"]
