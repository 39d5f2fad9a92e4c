"""A clock for commands that wait."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from headway_cli.cluster.polling import Clock

NOW = datetime(2026, 11, 29, 19, 0, tzinfo=UTC)
"""Soon after what kubectl_answers tell of."""


class Hasty(Clock):
    """A clock on which only waiting takes time; it begins at NOW."""

    def __init__(self) -> None:
        self.passed = 0.0

    def now(self) -> datetime:
        """See Clock."""
        return NOW + timedelta(seconds=self.passed)

    def monotonic(self) -> float:
        """See Clock."""
        return self.passed

    def sleep(self, seconds: float) -> None:
        """See Clock."""
        self.passed += seconds
