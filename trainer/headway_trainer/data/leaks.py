"""Features that are the target, or all but: what a model learns from them is gone when it has to predict. Pure.

A cheap test of one feature at a time in the training rows: it finds copies and codes of the target, values that are
only there in one class, and numbers that part the classes, or order the target, by themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headway_trainer.data.read.yaml_keys import key
from headway_trainer.data.written import quoted

MOST_ROWS = 20_000
"""Rows that are looked at: enough to see what holds for all but a few of them."""
FEWEST_SAMPLED = 2_000
MOST_VALUES = 20_000_000
"""Values that are looked at in all columns together: of very wide tables fewer rows are."""
FEWEST_ROWS = 20
_ALL_BUT = 0.995
"""The share of rows that a feature tells right by itself for it to be suspected."""
_RANK = 0.9999
"""The rank correlation from which on a number orders the target as it is."""
_ROWS_A_VALUE = 3.0
"""A value that stands in fewer rows tells their class by naming them."""
_FEWEST_OF_CLASS = 5
_MOST_CELLS = 4_000_000
"""Of a table of values by classes: what has more has no few values and no few classes."""
_MOST_NAMED = 10

Labels = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def leaks(
    table: pa.Table,
    features: Sequence[str],
    target: Labels | Floats,
    train: Labels,
    *,
    classes: bool,
    keyed: bool = True,
) -> list[str]:
    """A sentence for each suspected feature, at most ten and how many more. keyed: whether `data.columns` has them.

    train are the numbers of the training rows, and no others are looked at; target is the labels of all rows of the
    table, int64 (rows,), or their values (rows,) or (rows, outputs).
    """
    chosen = looked_at(train, len(features))
    if len(chosen) < FEWEST_ROWS:
        return []
    rows = table.select(features).take(pa.array(chosen))
    targets = target[chosen].reshape(len(chosen), -1).T
    found = [
        f"{'Column' if keyed else 'Feature'} {quoted(name)} {why}: if it is not known when the model has to predict, "
        f"leave it out{f' with data.columns: {{{key(name)}: {{role: ignore}}}}' if keyed else ''}."
        for name, why in _suspected(rows, features, targets, classes=classes)
    ]
    more = len(found) - _MOST_NAMED
    return [*found[:_MOST_NAMED], f"And {more} more columns tell the target by themselves."] if more > 0 else found


def looked_at(train: Labels, features: int) -> Labels:
    """Those of the training rows that are looked at, evenly spread: so many that time and memory are bounded."""
    most = max(FEWEST_SAMPLED, min(MOST_ROWS, MOST_VALUES // max(1, features)))
    return train[:: max(1, -(-len(train) // most))]


def _suspected(
    rows: pa.Table, features: Sequence[str], targets: npt.NDArray[np.generic], *, classes: bool
) -> Iterable[tuple[str, str]]:
    for name in features:
        codes, numbers = codes_of(rows[name])
        told = (
            _tells_class(codes, numbers, target) if classes else _tells_value(codes, numbers, target)
            for target in targets
        )
        if (why := next((why for why in told if why), None)) is not None:
            yield name, why


def codes_of(values: pa.ChunkedArray) -> tuple[Labels, Floats | None]:
    """A column's values as codes, (rows,), the empty value being one as well; and as numbers, NaN for an empty one.

    Numbers are none for text and lists. Equal codes are equal values; a larger number has a larger code.
    """
    if pa.types.is_nested(values.type):
        return np.zeros(len(values), dtype=np.int64), None
    if pa.types.is_string(values.type):
        encoded = values.combine_chunks().dictionary_encode()
        array = encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded
        indices = array.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        return np.unique(indices, return_inverse=True)[1].astype(np.int64), None
    plain = values.cast(pa.int64()) if pa.types.is_temporal(values.type) else values
    numbers = pc.cast(plain, pa.float64(), safe=False).to_numpy(zero_copy_only=False).astype(np.float64)
    filled = np.where(np.isnan(numbers), -np.inf, numbers)
    return np.unique(filled, return_inverse=True)[1].astype(np.int64), numbers


def _tells_class(codes: Labels, numbers: Floats | None, labels: npt.NDArray[np.generic]) -> str | None:
    names = np.unique(labels, return_inverse=True)[1]
    classes, values = int(names.max()) + 1, int(codes.max()) + 1
    if classes < 2 or values < 2:  # noqa: PLR2004 - nothing to tell apart
        return None
    pairs, rows = np.unique(codes * classes + names, return_counts=True)
    if len(pairs) == values == classes:
        return "is the target in other words: each of its values stands for one class"
    if values * classes > _MOST_CELLS:
        return None
    table = np.zeros((values, classes), dtype=np.int64)
    table.reshape(-1)[pairs] = rows
    base = np.bincount(names).max() / len(names)
    if len(codes) >= _ROWS_A_VALUE * values and _is_high(table.max(axis=1).sum() / len(codes), base):
        return "tells the class of nearly every training row by itself"
    if numbers is not None and _is_high(_parted(table) / len(codes), base):
        return "parts the classes of nearly all training rows by itself"
    return None


def _is_high(share: float, base: float) -> bool:
    """Whether a feature tells a share of the rows right that the most frequent class alone does not."""
    return share >= max(_ALL_BUT, 1 - (1 - base) / 20)


def _parted(table: Labels) -> int:
    """The rows that one range of numbers for each class tells right; table (values, classes) counts rows by value.

    0 where a class has so few rows that they may lie at an end of the numbers by chance.
    """
    if table.sum(axis=0).min() < _FEWEST_OF_CLASS:
        return 0
    most = table.argmax(axis=1)
    starts = np.concatenate([[0], np.flatnonzero(np.diff(most)) + 1])
    right = np.add.reduceat(table.max(axis=1), starts)
    return int(np.sort(right)[-table.shape[1] :].sum())


def _tells_value(codes: Labels, numbers: Floats | None, target: npt.NDArray[np.generic]) -> str | None:
    values = target.astype(np.float64)
    ranks = np.unique(values, return_inverse=True)[1]
    if ranks.max() == 0 or codes.max() == 0:
        return None
    if numbers is not None and np.array_equal(numbers, values):
        return "is the target itself, value for value"
    if codes.max() < _MOST_NAMED:
        return None
    correlation = float(np.corrcoef(codes, ranks)[0, 1]) if numbers is not None else 0.0
    if abs(correlation) >= _RANK:
        return "orders the rows as the target does, nearly without exception"
    return None
