"""Routes, reports, and small worlds of servers that count: what tests of the judge are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headway_api import rollout_wire as wire
from headway_server.judge.gates import Counts

UID = "0b7f6a5e-7d3c-4a59-9a52-0d8ef33a1c11"
STABLE, CANDIDATE = 2, 3
ALL_FAST = [1000, *[0] * len(wire.SECONDS_BOUNDS)]
"""A histogram by which all that takes longer than 0.1 ms is slow."""


def route(epoch: int = 1, share: float = 0.1, **more: Any) -> wire.Route:
    """A route of one rollout."""
    told: dict[str, Any] = {"uid": UID, "stable": STABLE, "candidate": CANDIDATE, "salt": "s", **more}
    return wire.Route(epoch=epoch, share=share, **told)


def told(numbers: Counts | None) -> wire.Counts:
    """As a server tells them."""
    return wire.Counts(**{name: getattr(numbers, name) for name in Counts.__slots__}) if numbers else wire.Counts()


def counts(
    epoch: int = 1,
    share: float = 0.1,
    *,
    stable: Counts | None = None,
    candidate: Counts | None = None,
    mirrored: Counts | None = None,
    **more: Any,
) -> wire.EpochCounts:
    """An epoch's."""
    of = {"stable": told(stable), "candidate": told(candidate), "mirrored": told(mirrored)}
    return wire.EpochCounts(epoch=epoch, share=share, **{"rollout": CANDIDATE, **of, **more})


def report(*epochs: wire.EpochCounts, boot: str = "one", **more: Any) -> wire.Report:
    """A server's word, which keeps to the newest of these epochs."""
    newest = max((each.epoch for each in epochs), default=0)
    said: dict[str, Any] = {"uid": UID, "version": STABLE, "epoch": newest, **more}
    return wire.Report(boot=boot, epochs=list(epochs), **said)


@dataclass
class Server:
    """A process that counts."""

    boot: str
    epochs: dict[int, wire.EpochCounts] = field(default_factory=dict)

    def count(self, epoch: int, share: float, more: Mapping[str, Counts]) -> None:
        """Some requests more."""
        before = self.epochs.get(epoch) or counts(epoch, share)
        after = {
            which: told(
                Counts(*(getattr(getattr(before, which), name) + getattr(add, name) for name in Counts.__slots__))
            )
            for which, add in more.items()
        }
        self.epochs[epoch] = before.model_copy(update=after)

    def report(self) -> wire.Report:
        """Its word of now."""
        return report(*(self.epochs[epoch] for epoch in sorted(self.epochs)), boot=self.boot)
