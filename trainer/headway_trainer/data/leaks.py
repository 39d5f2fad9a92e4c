"""Features that are the target, or all but: what a model learns from them is gone when it has to predict. Pure.

A cheap test of one feature at a time in the training rows. A feature that merely tells the class well may be an honest
one, and a threshold on an income is no leak; what is suspected is the target itself under another name: as many values
as classes, one for each; an order that is the target's; values that stand close about one number for each class; values
that are there in some classes alone; the order of rows that are sorted by class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headway_api.wording import listed
from headway_trainer.data.read.yaml_keys import key
from headway_trainer.data.written import quoted

MOST_ROWS = 20_000
"""Rows that are looked at: enough to see what holds for all but a few of them."""
FEWEST_SAMPLED = 2_000
MOST_VALUES = 20_000_000
"""Values that are looked at in all columns together: of very wide tables fewer rows are."""
FEWEST_ROWS = 20
_ALL_BUT = 0.995
"""The share of rows that a feature tells right by itself for it to be called strong, or the target."""
_RANK = 0.9999
"""The rank correlation from which on a number orders the rows as the target, or the file, does."""
_CLOSE = 0.995
"""The correlation ratio (Fisher's eta squared: the share of the variance that lies between the classes) from which on
numbers are a code of the class with some noise. Two normal classes 28 standard deviations apart have it; the setosas of
Fisher's irises and the other species, which one length of a petal tells apart without a mistake, have 0.85."""
_ROWS_A_VALUE = 3.0
"""A value that stands in fewer rows tells their class by naming them."""
_FEWEST_OF_CLASS = 5
_MOST_CELLS = 4_000_000
"""Of a table of values by classes: what has more has no few values and no few classes."""
_MOST_NAMED = 10
_HEAD = r"^[\pZ\pP]*(?P<word>[\pL\pN]+)"
"""The first word of a text."""

Labels = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Leaks:
    """What was found."""

    warnings: list[str] = field(default_factory=list)
    """A sentence for each feature that seems to be the target, at most ten and how many more."""
    notes: list[str] = field(default_factory=list)
    """A sentence that names the features which tell the class of nearly all rows by themselves, and may well do so."""


@dataclass(frozen=True)
class Values:
    """A column's values, (rows,), in the ways in which they are compared with the target."""

    codes: Labels
    """Equal codes are equal values, the empty one being one as well; a larger number has a larger code."""
    empty: npt.NDArray[np.bool_]
    numbers: Floats | None = None
    """NaN for an empty one; none for text and lists."""
    heads: Labels | None = None
    """Codes of the first words of texts."""


def leaks(
    table: pa.Table,
    features: Sequence[str],
    target: Labels | Floats,
    train: Labels,
    *,
    classes: bool,
    keyed: bool = True,
) -> Leaks:
    """What each feature has of the target. keyed: whether `data.columns` has the features.

    train are the numbers of the training rows, and no others are looked at; target is the labels of all rows of the
    table, int64 (rows,), or their values (rows,) or (rows, outputs).
    """
    chosen = looked_at(train, len(features))
    if len(chosen) < FEWEST_ROWS:
        return Leaks()
    rows = table.select(features).take(pa.array(chosen))
    targets = target[chosen].reshape(len(chosen), -1).T
    names = _coded(targets[0]) if classes else None
    quantities = [] if classes else [_Quantity.of(one) for one in targets]
    places = _coded(chosen)
    what = "Column" if keyed else "Feature"
    suspected: list[str] = []
    strong: list[str] = []
    for name in features:
        values = values_of(rows[name])
        why, share = _class_told(values, names, places) if names is not None else (_value_told(values, quantities), 0.0)
        if why is not None:
            way = f" with data.columns: {{{key(name)}: {{role: ignore}}}}" if keyed else ""
            suspected.append(
                f"{what} {quoted(name)} {why}: if it is not known when the model has to predict, leave it out{way}."
            )
        elif share:
            strong.append(f"{quoted(name)} ({share:.1%})")
    more = len(suspected) - _MOST_NAMED
    beyond = [f"And {more} more columns tell the target by themselves."] if more > 0 else []
    return Leaks([*suspected[:_MOST_NAMED], *beyond], _strong(strong))


def _strong(names: Sequence[str]) -> list[str]:
    if not names:
        return []
    more = [f"{len(names) - _MOST_NAMED} more"] if len(names) > _MOST_NAMED else []
    return [
        f"The class of nearly all training rows is told by one feature alone: {listed([*names[:_MOST_NAMED], *more])}."
    ]


def looked_at(train: Labels, features: int) -> Labels:
    """Those of the training rows that are looked at, evenly spread: so many that time and memory are bounded."""
    most = max(FEWEST_SAMPLED, min(MOST_ROWS, MOST_VALUES // max(1, features)))
    return train[:: max(1, -(-len(train) // most))]


def values_of(column: pa.ChunkedArray) -> Values:
    """A column in the ways in which it is compared; a list of numbers has one value."""
    empty = column.is_null().to_numpy()
    if pa.types.is_nested(column.type):
        return Values(np.zeros(len(column), dtype=np.int64), empty)
    if pa.types.is_string(column.type):
        encoded = column.combine_chunks().dictionary_encode()
        array = encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded
        codes = _coded(array.indices.fill_null(-1).to_numpy(zero_copy_only=False))
        words = pc.struct_field(pc.extract_regex(array.dictionary, pattern=_HEAD), "word")
        heads = words.take(array.indices).dictionary_encode().indices.fill_null(-1)
        return Values(codes, empty, heads=_coded(heads.to_numpy(zero_copy_only=False)))
    plain = column.cast(pa.int64()) if pa.types.is_temporal(column.type) else column
    numbers = pc.cast(plain, pa.float64(), safe=False).to_numpy(zero_copy_only=False).astype(np.float64)
    return Values(_coded(np.where(np.isnan(numbers), -np.inf, numbers)), empty, numbers)


def _coded(values: npt.NDArray[np.generic]) -> Labels:
    codes: Labels = np.unique(values, return_inverse=True)[1].astype(np.int64)
    return codes


def _class_told(values: Values, names: Labels, places: Labels) -> tuple[str | None, float]:
    """Why a feature seems to be the class; and the share of rows whose class it tells alone, 0 where that is not high.

    names are the classes from 0 on, places the order of the rows in the source.
    """
    classes = int(names.max()) + 1
    if classes < 2 or values.codes.max() < 1:  # noqa: PLR2004 - nothing to tell apart
        return None, 0.0
    base = np.bincount(names).max() / len(names)
    why = _in_other_words(values.codes, names, base)
    if why is None and values.heads is not None and _in_other_words(values.heads, names, base):
        why = "begins with the target in other words: each first word stands for one class"
    if why is None and values.empty.any() and (there := _empty_classes(values.empty, names)):
        why = f"is empty in {there} of the {classes} classes, and in no others"
    table = _table(values.codes, names) if why is None else None
    if table is None:
        return why, 0.0
    rows = len(names)
    parted = _parted(table) / rows if values.numbers is not None else 0.0
    if values.numbers is not None and _is_high(parted, base):
        if _correlation_ratio(values.numbers, names) >= _CLOSE:
            return "lies close about a number of its own in each class", 0.0
        if _rank_correlation(values.codes, places) >= _RANK:
            return "grows or falls from row to row, and so tells the class, by which the rows are sorted", 0.0
    few = rows >= _ROWS_A_VALUE * len(table)
    share = max(parted, float(table.max(axis=1).sum() / rows) if few else 0.0)
    return None, share if _is_high(share, base) else 0.0


def _table(codes: Labels, names: Labels) -> npt.NDArray[np.int64] | None:
    """Rows by value and class, (values, classes); none where that would be too large."""
    values, classes = int(codes.max()) + 1, int(names.max()) + 1
    if values * classes > _MOST_CELLS:
        return None
    table: Labels = np.bincount(codes * classes + names, minlength=values * classes).reshape(values, classes)
    return table


def _in_other_words(codes: Labels, names: Labels, base: float) -> str | None:
    """Whether each class has a value of its own, in all rows or all but a few; in words."""
    values, classes = int(codes.max()) + 1, int(names.max()) + 1
    if values == classes and len(np.unique(codes * classes + names)) == classes:
        return "is the target in other words: each of its values stands for one class"
    table = _table(codes, names) if values >= classes else None
    if table is None:
        return None
    own = table.argmax(axis=0)
    if len(np.unique(own)) < classes:
        return None
    right = int(table[own, np.arange(classes)].sum())
    if not _is_high(right / len(codes), base):
        return None
    return f"is the target in other words in all but {len(codes) - right} of {len(codes)} rows"


def _empty_classes(empty: npt.NDArray[np.bool_], names: Labels) -> int:
    """The number of classes in whose rows, all or all but a few, a feature is empty, where it is so in them alone."""
    counts = np.bincount(names)
    holes = np.bincount(names, weights=empty)
    mostly = holes > counts / 2
    smaller = min(counts[mostly].sum(), counts[~mostly].sum())
    wrong = np.minimum(holes, counts - holes).sum()
    return int(mostly.sum()) if smaller >= _FEWEST_OF_CLASS and wrong <= (1 - _ALL_BUT) * smaller else 0


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


def _correlation_ratio(numbers: Floats, names: Labels) -> float:
    """The share of the variance of the numbers that lies between the classes (eta squared); 0 where it is unknown."""
    known = np.isfinite(numbers)
    values, names = numbers[known], names[known]
    if not len(values) or (largest := np.abs(values).max()) == 0:
        return 0.0
    values = values / largest
    counts = np.bincount(names)
    means = np.bincount(names, weights=values) / np.maximum(1, counts)
    total = ((values - values.mean()) ** 2).sum()
    within = ((values - means[names]) ** 2).sum()
    return float(1 - within / total) if total > 0 else 0.0


def _rank_correlation(codes: Labels, others: Labels) -> float:
    """The size of Spearman's correlation of two columns of codes; equal values have the mean of their ranks."""
    if codes.max() == 0 or others.max() == 0:
        return 0.0
    return abs(float(np.corrcoef(_ranks(codes), _ranks(others))[0, 1]))


def _ranks(codes: Labels) -> Floats:
    counts = np.bincount(codes)
    ranks: Floats = (np.cumsum(counts) - (counts - 1) / 2)[codes]
    return ranks


@dataclass(frozen=True)
class _Quantity:
    """A target, (rows,)."""

    values: Floats
    codes: Labels

    @staticmethod
    def of(values: npt.NDArray[np.generic]) -> _Quantity:
        numbers = values.astype(np.float64)
        return _Quantity(numbers, _coded(numbers))

    def where(self, known: npt.NDArray[np.bool_]) -> _Quantity:
        return _Quantity.of(self.values[known])


def _value_told(values: Values, targets: Sequence[_Quantity]) -> str | None:
    """Why a feature seems to be one of the targets, in the rows where it is not empty."""
    codes, numbers = values.codes, values.numbers
    if values.empty.any():
        known = ~values.empty
        targets = [target.where(known) for target in targets] if known.sum() >= FEWEST_ROWS else []
        codes, numbers = _coded(codes[known]), numbers[known] if numbers is not None else None
    return next(filter(None, (_quantity_told(codes, numbers, target) for target in targets)), None)


def _quantity_told(codes: Labels, numbers: Floats | None, target: _Quantity) -> str | None:
    count = int(codes.max()) + 1
    if count == 1 or target.codes.max() == 0:
        return None
    if numbers is not None and np.array_equal(numbers, target.values):
        return "is the target itself, value for value"
    if count <= _MOST_NAMED:
        return None
    if numbers is not None and _rank_correlation(codes, target.codes) >= _RANK:
        return "orders the rows as the target does, nearly without exception"
    several = count == target.codes.max() + 1 and len(codes) >= _ROWS_A_VALUE * count
    if several and len(np.unique(codes * count + target.codes)) == count:
        return "is the target in other words: each of its values stands for one value of it"
    return None
