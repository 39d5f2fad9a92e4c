"""Whatever a file holds, preparation ends in data or in a sentence for people, and never in a bare exception."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from headway_api.data import Data
from headway_trainer.data import prepare, read_split
from headway_trainer.errors import UserError
from headway_trainer.storage import Store

CELLS = st.one_of(
    st.none(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.booleans(),
    st.text(max_size=6),
    st.sampled_from(["", " ", "1", "1.5", "-0", "nan", "inf", "true", "2020-01-01", "12:30", "1e400", "NA", "\ufeff"]),
)
PLAIN = st.one_of(CELLS, st.sampled_from([{"deep": 1}, [1, "x"]]))
SETTINGS = settings(max_examples=40, suppress_health_check=list(HealthCheck))


def _prepared_or_refused(name: str, data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        spec = {"source": {"uri": str(path if path.parent == Path(folder) else folder)}, "target": "y"}
        store = Store.open(f"{folder}/run")
        try:
            info = prepare(Data.model_validate(spec), seed=0, store=store)
        except UserError:
            return
        x, y = read_split(store, info, "train")
        assert bool(np.isfinite(x.numpy()).all())
        assert len(x) == len(y) == info.rows["train"] > 0


@SETTINGS
@given(
    rows=st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=12)
    | st.lists(st.tuples(CELLS, CELLS, st.sampled_from("pq")), min_size=4, max_size=12),
    ending=st.sampled_from(["\n", "\r\n"]),
)
def test_any_cells_in_a_csv_file(rows: list[tuple[Any, ...]], ending: str) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=ending).writerows([("a", "b", "y"), *rows])
    _prepared_or_refused("data.csv", text.getvalue().encode("utf-8", "replace"))


@SETTINGS
@given(
    rows=st.lists(st.dictionaries(st.sampled_from(["a", "b", "y"]), PLAIN), max_size=12)
    | st.lists(st.fixed_dictionaries({"a": CELLS, "y": st.integers(0, 1)}), min_size=4, max_size=12)
)
def test_any_values_in_a_jsonl_file(rows: list[dict[str, Any]]) -> None:
    _prepared_or_refused("data.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())


COLUMN = st.one_of(
    st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)), min_size=8, max_size=8).map(
        lambda values: pa.array(values, pa.int64())
    ),
    st.lists(st.one_of(st.none(), st.floats()), min_size=8, max_size=8).map(
        lambda values: pa.array(values, pa.float64())
    ),
    st.lists(st.one_of(st.none(), st.text(max_size=3)), min_size=8, max_size=8).map(
        lambda values: pa.array(values, pa.string())
    ),
    st.lists(st.one_of(st.none(), st.booleans()), min_size=8, max_size=8).map(pa.array),
    st.lists(st.binary(max_size=2), min_size=8, max_size=8).map(pa.array),
    st.just(pa.nulls(8)),
)


@SETTINGS
@given(a=COLUMN, b=COLUMN, y=COLUMN | st.just(pa.array([0, 1] * 4)))
def test_any_columns_in_a_parquet_file(a: pa.Array, b: pa.Array, y: pa.Array) -> None:
    sink = pa.BufferOutputStream()
    parquet.write_table(pa.table({"a": a, "b": b, "y": y}), sink)
    _prepared_or_refused("data.parquet", sink.getvalue().to_pybytes())


ARRAYS = st.one_of(
    st.lists(st.floats(width=32), min_size=6, max_size=6).map(np.array),
    st.lists(st.integers(-(2**62), 2**62), min_size=6, max_size=6).map(np.array),
    st.lists(st.text(max_size=3), min_size=6, max_size=6).map(np.array),
    st.lists(st.booleans(), min_size=6, max_size=6).map(np.array),
    st.just(np.zeros((6, 2, 0))),
    st.just(np.array(3.0)),
)


@SETTINGS
@given(x=ARRAYS, y=ARRAYS | st.just(np.array([0, 1] * 3)), wide=st.booleans())
@example(x=np.array([1e308, -1e308, 0, 0, 0, 0]), y=np.arange(6.0), wide=True)
def test_any_arrays_in_an_npz_file(x: Any, y: Any, wide: bool) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, x=np.stack([x, x], axis=-1) if wide else x, y=y)
    _prepared_or_refused("data.npz", buffer.getvalue())


@pytest.mark.parametrize("name", ["data.csv", "data.jsonl", "data.parquet", "data.npz", "data.csv.gz", "a/image.png"])
@settings(max_examples=15, suppress_health_check=list(HealthCheck))
@given(data=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
@example(data=b"PAR1" * 20)
@example(data=b"PK\x05\x06" + b"\0" * 18)
@example(data=b"\x1f\x8b\x08" + b"\0" * 20)
@example(data=b"\x89PNG\r\n\x1a\n" + b"\0" * 40)
@example(data=b"a,y\n1\0,2\n")
def test_any_bytes_in_a_file(name: str, data: bytes) -> None:
    _prepared_or_refused(name, data)
