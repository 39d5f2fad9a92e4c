"""What is taken of an answered request at once, as numbers and no more; a thread has the time to count them. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from headway_api.training_rows import MAX_TEXT
from headway_server.drift.plan import Counted, Plan
from headway_server.model import Array, Tensors

MOST_ROWS = 100
"""Of one request: of more, so many that are equally far apart."""
MISSING, UNSEEN = -1.0, -2.0
"""Texts that are in no cell."""
_PREDICTION = "\0prediction"
"""Among the inputs' names: no column is called so."""
Taken = dict[str, Array]
"""Of each input its rows, (rows, numbers); of one with texts, the cell of each."""


class Taker:
    """Copies rows. Belongs to the event loop: what it does for a request is bounded, whatever the request holds."""

    def __init__(self, plan: Plan) -> None:
        by_input: dict[str, list[Counted]] = defaultdict(list)
        self._prediction: Counted | None = None
        for one in plan.features:
            if one.told.prediction:
                self._prediction = one
            else:
                by_input[one.input].append(one)
        self._texts = {name: found[0] for name, found in by_input.items() if found[0].codes}
        self._numbers = {
            name: 1 + max(one.place for one in found) for name, found in by_input.items() if name not in self._texts
        }

    def take(self, feeds: Tensors, outputs: Tensors) -> tuple[Taken, int]:
        """Copies, which hold nothing of the request, and how many rows they are."""
        rows = len(next(iter(feeds.values())))
        step = -(-rows // MOST_ROWS)
        taken: Taken = {}
        for name, width in self._numbers.items():
            part = feeds[name][::step]
            taken[name] = part.reshape(len(part), -1)[:, :width].copy()
        for name, one in self._texts.items():
            taken[name] = _cells(one, feeds[name][::step].ravel().tolist())
        if (said := self._prediction) is not None:
            taken[_PREDICTION] = _cells(said, outputs[said.input][::step].ravel().tolist())
        return taken, -(-rows // step)


def _cells(one: Counted, texts: Sequence[str]) -> Array:
    """The cell of each text: a text itself is not kept."""
    get, other = one.codes.get, UNSEEN if one.others is None else float(one.others)
    # An empty text is a missing one.
    return np.array([get(text[:MAX_TEXT], other) if text else MISSING for text in texts], dtype=np.float64)[:, None]


def size_of(taken: Taken) -> int:
    """Bytes that it holds, about."""
    return sum(200 + array.nbytes for array in taken.values())


def counted(plan: Plan, several: Sequence[Taken]) -> Iterator[npt.NDArray[np.int64]]:
    """The counts of some rows, of one feature after the other: its cells, then missing, below, above and unseen."""
    together = {name: np.concatenate([one[name] for one in several]) for name in several[0]}
    for one in plan.features:
        name = _PREDICTION if one.told.prediction else one.input
        yield _count(one, together[name][:, one.place].astype(np.float64))


def _count(one: Counted, values: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    cells = len(one.told.cells)
    missing, below, above, unseen = range(cells, cells + 4)
    if one.edges is not None:
        # Bins are as numpy's histogram has them: the last one alone has its upper bound, too.
        found = np.minimum(np.searchsorted(one.edges, values, side="right"), cells) - 1
        found = np.where(values < one.edges[0], below, np.where(values > one.edges[-1], above, found))
    elif one.booleans:
        found = np.full(len(values), unseen)
        for value, cell in one.booleans.items():
            found[values == value] = cell
    else:
        found = np.where(values == UNSEEN, unseen, np.where(values == MISSING, missing, values)).astype(np.int64)
    found = np.where(np.isnan(values), missing, found)
    return np.bincount(found, minlength=cells + 4).astype(np.int64)
