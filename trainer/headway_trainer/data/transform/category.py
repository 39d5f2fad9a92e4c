"""Categories: a feature of 0 and 1 for each of the most frequent values of the training rows. Pure."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headway_api.base import StatusSection
from headway_trainer.data.transform.graph import Graph, Tensor, rows_of_constant

Floats = npt.NDArray[np.float64]

MAX_CATEGORIES = 50
"""The most frequent values of a column that get a feature of their own."""


class Category(StatusSection):
    """One column of text. A value that has no feature of its own is all zeros.

    Where a value is missing in the training rows, that is a category of its own: who did not answer may differ from
    all who did.
    """

    kind: Literal["category"] = "category"
    inputs: tuple[str]
    """The column."""
    categories: tuple[str, ...]
    """The values with a feature of their own, the most frequent one first."""
    missing: bool = False
    """Whether an empty value has a feature of its own: the last one, `column=`."""
    fill: str | None = None
    """What stands in for an empty value where the training rows have none; none where it has its own feature."""

    @staticmethod
    def fit(name: str, train: pa.ChunkedArray) -> Category:
        """By the column's values in the training rows; equally frequent ones by the alphabet."""
        categories = tuple(value for value, _ in most_frequent(train, MAX_CATEGORIES))
        missing = known(train).null_count > 0 and len(categories) > 0
        fill = None if missing or not categories else categories[0]
        return Category(inputs=(name,), categories=categories, missing=missing, fill=fill)

    @property
    def outputs(self) -> tuple[str, ...]:
        """`column=value` for each category, `column=` for the empty value; the column's name where there is none."""
        return tuple(f"{self.inputs[0]}={value}" for value in self._keys) or self.inputs

    @property
    def _keys(self) -> tuple[str, ...]:
        """The values with a feature of their own; "" is the empty one, as no other value is that."""
        return (*self.categories, "") if self.missing else self.categories

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """A text for each row, empty where it is missing."""
        return (Tensor(name=self.inputs[0], type="string", shape=(1,)),)

    @property
    def quantities(self) -> tuple[bool, ...]:
        """None of its features is scaled."""
        return (False,) * len(self.outputs)

    def apply(self, table: pa.Table) -> Floats:
        """(rows, features), or (rows, 1) of zeros where there is no category."""
        values = known(table[self.inputs[0]])
        filled = values.fill_null(self.fill or "")
        index = pc.index_in(filled, pa.array(self._keys, pa.string())).fill_null(-1).to_numpy()
        out = np.zeros((len(index), len(self.outputs)))
        seen = np.flatnonzero(index >= 0)
        out[seen, index[seen]] = 1.0
        return out

    def onnx(self, graph: Graph) -> str:
        """The value (rows, features), double."""
        count = len(self._keys)
        codes = dict(zip(self._keys, range(count), strict=True))
        codes.setdefault("", codes[self.fill] if self.fill is not None else count)
        # OneHot would take -1 for the last class, and has no room for "none of them".
        index = graph.node(
            "LabelEncoder",
            graph.input(self.tensors[0]),
            domain="ai.onnx.ml",
            keys_strings=list(codes),
            values_int64s=list(codes.values()),
            default_int64=count,
        )
        rows = rows_of_constant(count) if count else np.zeros((1, 1))
        gathered = graph.node("Gather", graph.constant(rows), index, axis=0)
        return graph.node("Reshape", gathered, graph.constant(np.array([-1, rows.shape[1]], dtype=np.int64)))


def known(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Text with null, and never with "", for an empty value: a tensor of strings has no null."""
    return pc.if_else(pc.equal(values, ""), pa.scalar(None, pa.string()), values)


def most_frequent(values: pa.ChunkedArray, most: int) -> list[tuple[str, int]]:
    """At most `most` of the values that are not empty, and how often they are there: the most frequent first, then by
    the alphabet."""
    counts = pc.value_counts(known(values).drop_null())
    counted = pa.table({"values": counts.field("values"), "counts": counts.field("counts")})
    order = [("counts", "descending"), ("values", "ascending")]
    # Only these become objects of Python: a column may have as many values as rows.
    first = counted.take(pc.select_k_unstable(counted, k=min(most, len(counted)), sort_keys=order))
    return list(zip(first["values"].to_pylist(), first["counts"].to_pylist(), strict=True))
