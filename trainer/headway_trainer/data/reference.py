"""`reference.json`: what the training rows looked like, in bounded space, so that drift can be told later. Pure."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headway_api.training_rows import MAX_FEATURES, MAX_TEXT, MAX_VALUES, Numbers, Reference, Values
from headway_trainer.data.transform import Chain, ColumnTransform, TableChain, Times, Tokens, Vector, Words
from headway_trainer.data.transform.category import known, most_frequent
from headway_trainer.data.transform.times import microseconds
from headway_trainer.data.transform.tokens import FIRST
from headway_trainer.data.transform.vector import numbers_of

_MAX_ROWS = 100_000
_MAX_NUMBERS = 4_000_000
_TEXTS = 4096
_BINS = 20
_QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
_IMAGE_AXES = 4
_MOST_SINGLE = 1e38
"""A number of single precision has another one above it, at the least up to here."""
_MOST_WHOLE = 2.0**24
"""Up to here it has each whole number."""


def rows_to_see(chain: Chain) -> int:
    """Of how many training rows the figures are to be: so many that time and memory are bounded."""
    return max(1, min(_MAX_ROWS, _MAX_NUMBERS // math.prod(chain.input_shape)))


def refer(
    seen: pa.Table | npt.NDArray[Any],
    chain: Chain,
    target: npt.NDArray[Any],
    classes: list[str] | None,
    *,
    rows: int,
    index: npt.NDArray[np.int64] | None = None,
) -> Reference:
    """Describe training rows: a table or an array, and their targets, labels (rows,) or values (rows, targets).

    rows: how many training rows there are, of which these are some. index: the numbers of these in `seen`, of which one
    column after the other is picked out; none for all of them.
    """
    if isinstance(chain, TableChain):
        count = sum(
            1 if len(tensor.shape) == 1 and tensor.shape[0] == 1 else tensor.shape[0] for tensor in chain.tensors
        )
        found = (one for transform in chain.transforms for one in _described(transform, _of(seen, transform, index)))
        features = list(itertools.islice(found, MAX_FEATURES))
    else:
        seen = seen if index is None else seen[index]
        columns, count = _features(np.asarray(seen)), _feature_count(np.asarray(seen))
        names = chain.names or [f"{chain.tensor.name}[{index}]" for index in range(count)]
        features = [_numbers(name, column) for name, column in zip(names, columns, strict=False)]
    return Reference(
        rows=rows,
        seen=len(seen) if index is None else len(index),
        features=features,
        left_out=max(0, count - MAX_FEATURES),
        target=_target(target, classes),
    )


def predicted(matrix: list[list[int]], classes: list[str]) -> Values:
    """What a model has said of rows. matrix: rows by their class, and by the one that was predicted."""
    counts = [sum(row[place] for row in matrix) for place in range(len(classes))]
    ordered = sorted(zip(classes, counts, strict=True), key=lambda pair: (-pair[1], pair[0]))
    return _values("prediction", ordered, sum(counts), 0)


def _of(table: pa.Table, transform: ColumnTransform, index: npt.NDArray[np.int64] | None) -> pa.Table:
    """The columns of a transform, and of these the rows of index."""
    columns = table.select(list(transform.inputs))
    return columns if index is None else columns.take(pa.array(index))


def _described(transform: ColumnTransform, seen: pa.Table) -> Iterator[Numbers | Values]:
    """A column: of text its words rather than the texts, of vectors each number, of times microseconds since 1970."""
    name = transform.inputs[0]
    if isinstance(transform, Words):
        rows = transform.apply(seen).sum(axis=0).astype(np.int64).tolist()
        counts = sorted(zip(transform.words, rows, strict=False), key=lambda pair: (-pair[1], pair[0]))[:MAX_VALUES]
        missing = seen[name].null_count
        yield Values(name=name, rows=len(seen), missing=missing, counts=dict(counts), others=0)
    elif isinstance(transform, Tokens):
        yield _tokens(transform, seen[name])
    elif isinstance(transform, Vector):
        yield from map(_numbers, transform.outputs, numbers_of(seen[name]).T)
    elif isinstance(transform, Times):
        yield _numbers(name, microseconds(seen[name]))
    else:
        yield _column(name, seen[name])


def _tokens(transform: Tokens, column: pa.ChunkedArray) -> Values:
    """Rows by the tokens that they have, of those that the model sees."""
    rows = np.zeros(transform.vocabulary + FIRST, dtype=np.int64)
    for start in range(0, len(column), _TEXTS):
        for numbers in transform.numbers(column.slice(start, _TEXTS).fill_null("").to_pylist()).astype(np.int64):
            rows[np.unique(numbers)] += 1
    frequent = np.argsort(-rows[FIRST:], kind="stable")[:MAX_VALUES] + FIRST
    names: dict[int, str] = {}
    for form, number in transform.forms.items():
        names.setdefault(number, form)  # the word itself stands before other ways to write it
    counts = {names[number][:MAX_TEXT]: int(rows[number]) for number in frequent.tolist()}
    return Values(name=transform.inputs[0], rows=len(column), missing=column.null_count, counts=counts, others=0)


def _column(name: str, column: pa.ChunkedArray) -> Numbers | Values:
    if pa.types.is_string(column.type):
        counts = most_frequent(column, MAX_VALUES)
        return _values(name, counts, len(column), known(column).null_count)
    if pa.types.is_boolean(column.type):
        there = column.drop_null()
        true = pc.sum(there).as_py() or 0
        return _values(name, [("true", true), ("false", len(there) - true)], len(column), column.null_count)
    return _numbers(name, column.cast(pa.float64(), safe=False).fill_null(float("nan")).to_numpy())


def _values(name: str, counts: list[tuple[str, int]], rows: int, missing: int) -> Values:
    """counts: the most frequent values first, all or some of them."""
    kept: dict[str, int] = {}
    for value, count in counts[:MAX_VALUES]:
        kept[value[:MAX_TEXT]] = kept.get(value[:MAX_TEXT], 0) + count
    others = rows - missing - sum(kept.values())
    return Values(name=name, rows=rows, missing=missing, counts=kept, others=others)


def _numbers(name: str, values: npt.NDArray[Any]) -> Numbers:
    known = values[~np.isnan(values)].astype(np.float64)
    missing = values.size - known.size
    if not known.size:
        return Numbers(name=name, rows=values.size, missing=missing)
    quantiles = np.quantile(known, _QUANTILES)
    # Every bin holds about as many rows, so that a long tail does not empty the others.
    edges = np.unique(np.quantile(known, np.linspace(0, 1, _BINS + 1)))
    if len(edges) > 1 and np.count_nonzero(known == edges[-1]) > 1:
        # Else the greatest value and the one before it, such as 1 and 0, would share a bin.
        edges = np.append(edges, edges[-1])
    counts = np.histogram(known, edges)[0] if len(edges) > 1 else np.array([known.size])
    edges = edges if len(edges) > 1 else np.array([edges[0], edges[0]])
    return Numbers(
        name=name,
        rows=values.size,
        missing=missing,
        mean=float(known.mean()),
        std=float(known.std()),
        quantiles={str(share): float(value) for share, value in zip(_QUANTILES, quantiles, strict=True)},
        edges=_between(edges, values, known).tolist(),
        counts=counts.tolist(),
    )


def _between(
    edges: npt.NDArray[np.float64], values: npt.NDArray[Any], known: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """The edges, or where all numbers were stored in single precision, the places half a step of it below them; the
    last one above. 0.1 is 0.100000001490116 in such a column, and clients send either: both fall into the same bin."""
    most = np.abs(known).max()
    exact = values.dtype != np.float64 or (most <= _MOST_WHOLE and np.array_equal(known, np.rint(known)))
    if exact or most > _MOST_SINGLE or not np.array_equal(known.astype(np.float32), known):
        # What is read of requests is as exact as what was counted.
        return edges
    at_least = edges.astype(np.float32)
    at_least = np.where(at_least < edges, np.nextafter(at_least, np.float32(np.inf)), at_least)
    last = np.float64(at_least[-1]) + np.nextafter(at_least[-1], np.float32(np.inf))
    below = np.float64(at_least) + np.nextafter(at_least, np.float32(-np.inf))
    return np.append(below[:-1], last) / 2


def _feature_count(x: npt.NDArray[Any]) -> int:
    return x.shape[1] if x.ndim == _IMAGE_AXES else int(np.prod(x.shape[1:]))


def _features(x: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    """The values of each channel of images, or of each feature."""
    if x.ndim == _IMAGE_AXES:
        return [x[:, channel].ravel() for channel in range(x.shape[1])]
    flat = x.reshape(len(x), -1)
    return [flat[:, index] for index in range(min(flat.shape[1], MAX_FEATURES))]


def _target(target: npt.NDArray[Any], classes: list[str] | None) -> list[Numbers | Values]:
    if classes is not None:
        counts = np.bincount(target, minlength=len(classes))
        ordered = sorted(zip(classes, counts.tolist(), strict=True), key=lambda pair: (-pair[1], pair[0]))
        return [_values("target", ordered, len(target), 0)]
    columns = target.reshape(len(target), -1).T
    return [
        _numbers("target" if len(columns) == 1 else f"target[{index}]", column) for index, column in enumerate(columns)
    ]
