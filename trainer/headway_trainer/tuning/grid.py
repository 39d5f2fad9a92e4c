"""Grid search: all combinations, one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from headway_trainer.tuning.trial import Parameters, Trial


class GridSearch:
    """A Searcher that learns nothing."""

    def __init__(self, combinations: Iterator[Parameters]) -> None:
        self._combinations = combinations
        self._begun = 0

    def propose(self, trial: int) -> Parameters | None:
        """The next combination; none once there is none left."""
        combination = None
        while self._begun < trial:
            self._begun += 1
            combination = next(self._combinations, None)
        return combination

    def add(self, trial: Trial) -> None:
        """A trial that an earlier attempt began: its place in the order is its number."""

    def learn(self, earlier: Sequence[tuple[Parameters, float]]) -> None:
        """As of Searcher. Raises ValueError."""
        raise ValueError(f"{len(earlier)} earlier trials are given, and this search learns from none")

    def tell(self, trial: Trial, loss: float | None) -> None:
        """A trial has ended."""
