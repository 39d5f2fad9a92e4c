"""Some raw rows, kept until a run ends: a finished model must say the same of them in every form that it has."""

from __future__ import annotations

import io
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headway_api.bundle import FileDigest
from headway_trainer.data.transform import Category, Chain, TableChain, Tokens
from headway_trainer.storage import Store

Indices = npt.NDArray[np.int64]
Rows: TypeAlias = pa.Table | npt.NDArray[Any]
"""Raw rows: a table, or an array (rows, *row_shape)."""

SAMPLE_FILE = "data/sample.bin"
"""The rows: an Arrow file for a table, a .npy file for an array."""
MAX_ROWS = 256
_MAX_BYTES = 64 * 1024 * 1024
_ODD_SHARE = 2
"""At most one of so many rows is there because it is odd."""
UNSEEN = "a value that no training row has"


def choose_rows(content: Rows, candidates: Indices, chain: Chain) -> Rows:
    """At most MAX_ROWS of the candidate rows: those with missing values and unseen categories first, up to a half."""
    if isinstance(content, np.ndarray):
        return _of_array(content, candidates)
    assert isinstance(chain, TableChain)  # noqa: S101 - a table has no other
    table = content.select([tensor.name for tensor in chain.tensors])
    odd = np.flatnonzero(odd_rows(table, chain)[candidates])[: MAX_ROWS // _ODD_SHARE]
    even = np.setdiff1d(np.arange(len(candidates)), odd)
    chosen = np.sort(np.concatenate([odd, spread(even, MAX_ROWS - len(odd))]))
    few = table.take(pa.array(candidates[chosen]))
    while len(few) > 1 and few.nbytes > _MAX_BYTES:
        few = few.slice(0, len(few) // 2)
    return few.combine_chunks()


def with_made_rows(rows: Rows, chain: Chain, times: int = 1) -> Rows:
    """The rows, and two more of a table that need not be in it: one with nothing in it, one with unseen categories;
    each so many times."""
    if isinstance(rows, np.ndarray) or len(rows) == 0:
        return rows
    assert isinstance(chain, TableChain)  # noqa: S101 - a table has no other
    unknown = {name for one in chain.transforms if isinstance(one, Category | Tokens) for name in one.inputs}
    first = rows.slice(0, 1)
    made = {
        name: pa.array(
            [*[None] * times, *[UNSEEN if name in unknown else first[name][0].as_py()] * times],
            rows.schema.field(name).type,
        )
        for name in rows.column_names
    }
    return pa.concat_tables([rows, pa.table(made, schema=rows.schema)])


def write_sample(store: Store, rows: Rows) -> FileDigest:
    """Keep the rows in the run's folder. Raises StorageError."""
    stream = io.BytesIO()
    if isinstance(rows, pa.Table):
        with pa.ipc.new_file(stream, rows.schema) as writer:
            writer.write_table(rows)
    else:
        np.save(stream, rows, allow_pickle=False)
    return store.write_described(SAMPLE_FILE, stream.getvalue())


def read_sample(store: Store, chain: Chain) -> Rows:
    """The rows that were kept. Raises StorageError."""
    stream = io.BytesIO(store.read(SAMPLE_FILE))
    if isinstance(chain, TableChain):
        return pa.ipc.open_file(stream).read_all()
    array: npt.NDArray[Any] = np.load(stream, allow_pickle=False)
    return array


def _of_array(x: npt.NDArray[Any], candidates: Indices) -> npt.NDArray[Any]:
    row_bytes = max(1, x[:1].nbytes)
    count = max(1, min(MAX_ROWS, _MAX_BYTES // row_bytes))
    odd = np.empty(0, np.int64)
    if x.dtype.kind == "f":
        axes = tuple(range(1, x.ndim))
        step = max(1, _MAX_BYTES // row_bytes)
        some = (candidates[start : start + step] for start in range(0, len(candidates), step))
        empty = np.concatenate([np.isnan(x[index]).any(axis=axes) for index in some])
        odd = np.flatnonzero(empty)[: count // _ODD_SHARE]
    even = np.setdiff1d(np.arange(len(candidates)), odd)
    rows: npt.NDArray[Any] = x[candidates[np.sort(np.concatenate([odd, spread(even, count - len(odd))]))]]
    return rows


def odd_rows(rows: pa.Table, chain: TableChain) -> npt.NDArray[np.bool_]:
    """(rows,): which of them have a missing value or an unseen category."""
    odd = np.zeros(len(rows), dtype=bool)
    for name in rows.column_names:
        if rows[name].null_count:
            odd |= rows[name].is_null().to_numpy()
    for one in chain.transforms:
        if isinstance(one, Category):
            known = pc.is_in(rows[one.inputs[0]], pa.array(one.categories, pa.string()))
            odd |= ~known.to_numpy()
    return odd


def spread(rows: Indices, count: int) -> Indices:
    """Of rows, count that are equally far apart."""
    if len(rows) <= count:
        return rows
    return rows[np.linspace(0, len(rows) - 1, count).astype(np.int64)]
