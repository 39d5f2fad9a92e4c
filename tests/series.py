"""Small tables of series, for the tests of forecasts."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from headway_api.data import Data
from headway_trainer.data import DataInfo, prepare
from headway_trainer.storage import Store

FIRST_DAY = datetime.datetime(2024, 1, 1)  # noqa: DTZ001 - as a table has it, without a zone


def sales(lengths: list[int], seed: int = 0, begin: list[int] | None = None) -> pa.Table:
    """Days of shops: `sold` and `visitors` with a week in them, a price, the weather; in an order by chance."""
    draw = np.random.default_rng(seed)
    days = [np.arange(length) + first for length, first in zip(lengths, begin or [0] * len(lengths), strict=True)]
    day, shop = np.concatenate(days), np.repeat(np.arange(len(lengths)), lengths)
    rows = len(day)
    weekday = np.array([0, 1, 2, 3, 8, 20, 15])[day % 7]
    sold = 100 * (shop + 1) + weekday + draw.normal(0, 1, rows)
    weather = draw.choice(np.array(["sun", "rain", "snow"]), rows).tolist()
    columns = {
        "day": pa.array([FIRST_DAY + datetime.timedelta(days=int(one)) for one in day], pa.timestamp("us")),
        "shop": pa.array([f"shop {one}" for one in shop]),
        "sold": pa.array(sold),
        "visitors": pa.array(3 * sold + draw.normal(0, 5, rows)),
        "price": pa.array(draw.normal(5, 1, rows), mask=draw.random(rows) < 0.1),
        "weather": pa.array([None if draw.random() < 0.1 else one for one in weather]),
    }
    return pa.table(columns).take(pa.array(draw.permutation(rows)))


def spec_of(path: Path, history: int, horizon: int, **data: Any) -> Data:
    """The data section of a forecast of that table."""
    forecast = {"history": history, "horizon": horizon, **data.pop("forecast", {})}
    columns = {"day": {"role": "time"}, "shop": {"role": "group"}}
    fields = {"target": "sold", "columns": columns, **data}
    return Data.model_validate({"source": {"uri": str(path)}, "task": "forecasting", "forecast": forecast, **fields})


def prepared(table: pa.Table, folder: Path, history: int, horizon: int, **data: Any) -> tuple[DataInfo, Store]:
    """The table, prepared to be forecast."""
    folder.mkdir(parents=True, exist_ok=True)
    parquet.write_table(table, folder / "sales.parquet")
    store = Store.open(str(folder / "run"))
    return prepare(spec_of(folder / "sales.parquet", history, horizon, **data), seed=3, store=store), store
