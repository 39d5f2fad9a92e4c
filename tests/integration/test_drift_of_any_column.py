"""Columns of every kind, read and described by the trainer, asked for in JSON as clients write them, counted by the
server and compared by the judge: rows like the training rows are like them, and what has moved is named."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from exported import exported
from headway_api.drift_wire import Watch
from headway_server.drift.counter import Counter
from headway_server.drift.plan import Plan, plan
from headway_server.drift.rows import Taker
from headway_server.judge.drift.windows import Result, result
from headway_server.model import ServedModel
from headway_server.rest.instances import Columns
from headway_server.rest.request import Bounds

ROWS = 2000
Rows = list[dict[str, Any]]
SINGLE = ("grade", "price", "vector")
"""Stored in single precision."""


def table(seed: int) -> pa.Table:
    """Rows of the same distributions."""
    draw = np.random.default_rng(seed)
    days, hours = draw.integers(0, 900, ROWS).tolist(), draw.integers(0, 24, ROWS).tolist()
    gone = draw.random(ROWS) < 0.1
    return pa.table(
        {
            "grade": pa.array((draw.integers(1, 11, ROWS) / 10).astype(np.float32)),
            "price": pa.array(np.round(draw.lognormal(3, 1, ROWS), 2).astype(np.float32)),
            "size": pa.array(draw.normal(size=ROWS)),
            "count": pa.array(draw.poisson(3, ROWS), pa.int64(), mask=gone),
            "cents": pa.array([Decimal(cents).scaleb(-2) for cents in draw.integers(0, 500, ROWS).tolist()]),
            "flag": pa.array(draw.random(ROWS) < 0.3, mask=gone),
            "town": pa.array(draw.choice(["Kobe", "Oslo", "Lima", "", "Bonn"], ROWS, p=[0.5, 0.3, 0.1, 0.09, 0.01])),
            "zip": pa.array([f"{number:05}" for number in draw.integers(0, 700, ROWS).tolist()]),
            "group": pa.array(draw.integers(1, 5, ROWS)),
            "hour": pa.array([datetime.time(hour) for hour in hours]),
            "day": pa.array([datetime.date(2020, 1, 1) + datetime.timedelta(days=day) for day in days]),
            "says": pa.array([f"{' '.join(draw.choice(['good', 'bad', 'so'], 6))} {row}" for row in range(ROWS)]),
            "vector": pa.array(list(draw.normal(size=(ROWS, 3)).astype(np.float32)), pa.list_(pa.float32(), 3)),
            "fit": pa.array(draw.choice(["yes", "no"], ROWS)),
        }
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ServedModel:
    folder = tmp_path_factory.mktemp("columns")
    parquet.write_table(table(1), folder / "rows.parquet")
    kinds = {"zip": {"kind": "category"}, "group": {"kind": "category"}}
    exported(folder / "out", {"source": {"uri": str(folder / "rows.parquet")}, "target": "fit", "columns": kinds})
    return ServedModel.open(str(folder / "out"))


def written(name: str, value: Any) -> Any:
    """As a client has it, which knows 0.1 and not 0.100000001490116."""
    if name == "group":
        return str(value)
    if isinstance(value, list):
        return [written(name, one) for one in value]
    if isinstance(value, float) and name in SINGLE:
        return float(str(np.float32(value)))
    if isinstance(value, datetime.time):
        return value.hour * 3600
    if isinstance(value, Decimal):
        return float(value)
    return value.isoformat() if isinstance(value, datetime.date) else value


def asked(model: ServedModel, change: Callable[[dict[str, Any]], dict[str, Any]] = lambda _: {}) -> Result:
    """Other rows of the same distributions, changed, in requests of a hundred."""
    found = plan(model)
    assert isinstance(found, Plan), found
    taker, counter, columns = Taker(found), Counter(found, lambda *_: None), Columns(model)
    for part in table(2).drop_columns(["fit"]).to_batches(max_chunksize=100):
        rows = [{name: written(name, value) for name, value in row.items()} for row in part.to_pylist()]
        rows = json.loads(json.dumps([row | change(row) for row in rows]))
        feeds, _ = columns.feeds({"instances": rows}, Bounds())
        counter.offer(*taker.take(feeds, model.run(feeds)))
    counter.count_waiting()
    rows_counted, counts = counter.next()
    assert rows_counted == ROWS
    return result(found.reference, counts, rows_counted, Watch())


def test_each_kind_of_column_is_watched_but_texts_and_times(model: ServedModel) -> None:
    found = plan(model)
    assert isinstance(found, Plan)
    kinds = {one.told.name: one.told.kind for one in found.features}
    assert [name for name, kind in kinds.items() if kind == "values"] == ["flag", "town", "zip", "group"]
    assert set(kinds) == {
        *("grade", "price", "size", "count", "cents", "flag", "town", "zip", "group", "hour"),
        *("vector[0]", "vector[1]", "vector[2]"),
    }
    assert found.reference.left_out == 2


def test_rows_as_they_were_are_like_the_training_rows_however_they_are_written(model: ServedModel) -> None:
    told = asked(model)
    assert (told.score, told.features, told.data_quality) == (0.0, [], []), told


@pytest.mark.parametrize(
    ("changed", "change"),
    [
        ("grade", lambda row: {"grade": max(0.1, round(row["grade"] - 0.1, 1))}),
        ("count", lambda row: {"count": 0 if row["count"] is None else row["count"]}),
        ("flag", lambda _: {"flag": True}),
        ("town", lambda row: {"town": "Bonn" if row["size"] > 1 else row["town"]}),
        ("vector[1]", lambda row: {"vector": [row["vector"][0], row["vector"][1] / 2, row["vector"][2]]}),
        ("hour", lambda row: {"hour": row["hour"] // 2}),
    ],
)
def test_what_has_moved_is_named_and_nothing_else(model: ServedModel, changed: str, change: Any) -> None:
    told = asked(model, change)
    assert [one.name for one in told.features if one.score >= 1] == [changed], told
    assert told.data_quality == []


@pytest.mark.parametrize(
    ("changed", "problem", "change"),
    [
        ("size", "Missing", lambda _: {"size": None}),
        ("price", "OutOfRange", lambda row: {"price": 100 * row["price"]}),
        ("town", "Unseen", lambda row: {"town": row["town"] and row["town"].upper()}),
    ],
)
def test_values_that_are_wrong_are_named_with_what_is_wrong(
    model: ServedModel, changed: str, problem: str, change: Any
) -> None:
    told = asked(model, change)
    assert [(one.name, one.problem) for one in told.data_quality] == [(changed, problem)]
    assert not told.alarms
