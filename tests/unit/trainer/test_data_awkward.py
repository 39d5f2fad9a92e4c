"""Awkward tables as people have them, from the file to what is learnt: none is taken for something else in silence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from headway_api.data import Data
from headway_trainer.data import DataInfo, prepare
from headway_trainer.errors import UserError
from headway_trainer.storage import Store

ROWS = 120
RANDOM = np.random.default_rng(5)
LABEL = np.array(["no", "yes"])[RANDOM.integers(0, 2, ROWS)]
NOISE = RANDOM.normal(size=ROWS).round(3)
COUNT = np.arange(ROWS)


def frame(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"noise": NOISE, **columns, "label": LABEL})


def csv(table: pd.DataFrame, **options: Any) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        table.to_csv(folder / "rows.csv", **{"index": False, **options})
        return folder / "rows.csv"

    return write


def parquet(table: pd.DataFrame) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        table.to_parquet(folder / "rows.parquet")
        return folder / "rows.parquet"

    return write


def jsonl(table: pd.DataFrame) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        table.to_json(folder / "rows.jsonl", orient="records", lines=True)
        return folder / "rows.jsonl"

    return write


def prepared(tmp_path: Path, write: Callable[[Path], Path], **fields: Any) -> DataInfo:
    spec = Data.model_validate({"source": {"uri": str(write(tmp_path))}, "target": "label", **fields})
    return prepare(spec, seed=0, store=Store.open(str(tmp_path / "run")))


SHUFFLED = frame(a=NOISE**2).sample(frac=1, random_state=0)
SORTED = frame(a=NOISE**2).sort_values("label", ignore_index=True)


@pytest.mark.parametrize(
    ("write", "out", "told"),
    [
        (csv(SORTED, index=True), "", "named like the number of a row"),
        (csv(SORTED.reset_index(), index=True), "index", "named like the number of a row"),
        (csv(SORTED, index=True, index_label="Unnamed: 0"), "Unnamed: 0", "named like the number of a row"),
        (parquet(SHUFFLED), "__index_level_0__", "named like the number of a row"),
        (csv(frame(nr=COUNT + 1000)), "nr", "one after the other"),
        (csv(frame(nr=np.sort(RANDOM.choice(10**6, ROWS, replace=False)))), "nr", "grow from row to row"),
        (csv(frame(user_id=RANDOM.permutation(10**5)[:ROWS])), "user_id", "named like an identifier"),
        (csv(frame(UserID=RANDOM.integers(0, 90, ROWS))), "UserID", "named like an identifier"),
        (jsonl(frame(key=[f"{number:08x}" for number in RANDOM.permutation(10**6)[:ROWS]])), "key", "names of rows"),
        (csv(frame(iban=[f"DE{number:020}" for number in COUNT])), "iban", "names of rows"),
        (csv(frame(id=np.where(COUNT == 0, np.nan, COUNT))), "id", "named like an identifier"),
        (csv(frame(nothing=None)), "nothing", "is empty"),
    ],
)
def test_what_names_a_row_is_left_out_and_said(
    write: Callable[[Path], Path], out: str, told: str, tmp_path: Path
) -> None:
    info = prepared(tmp_path, write)
    assert info.feature_names is not None
    assert not [name for name in info.feature_names if name == out or name.startswith(f"{out}=" if out else "=")]
    column = next(one for one in info.profile.columns if one.name == out)
    assert column.role == "ignore"
    assert told in " ".join(info.warnings)


@pytest.mark.parametrize(
    ("write", "column", "kind", "features"),
    [
        (csv(frame(plz=[f"0{number % 20:04}" for number in COUNT])), "plz", "category", 20),
        (csv(frame(region=[["AP", "EU", None][number % 3] for number in COUNT])), "region", "category", 3),
        (csv(frame(day=pd.date_range("2024-01-01", periods=ROWS, freq="9D").astype(str))), "day", "time", 5),
        (parquet(frame(day=pd.date_range("2024-01-01", periods=ROWS, freq="h", tz="UTC"))), "day", "time", 4),
        (csv(frame(year=1900 + COUNT)), "year", "number", 1),
        (csv(frame(grade=[["A", "B", "C+"][number % 3] for number in COUNT])), "grade", "category", 3),
        (csv(frame(agreed=[["TRUE", "False", ""][number % 3] for number in COUNT])), "agreed", "boolean", 1),
        (
            csv(frame(note=[f"row {number} is {'good' if number % 2 else 'bad'}" for number in COUNT])),
            "note",
            "text",
            4,
        ),
        (parquet(frame(vector=[[float(number % 7), 0.5, 2.0] for number in COUNT])), "vector", "vector", 3),
        (csv(frame(rooms=COUNT % 9)), "rooms", "number", 1),
        (parquet(frame(size=pd.Categorical(COUNT % 4))), "size", "category", 4),
        (jsonl(frame(price=[f"{number * 7 % 50}" for number in COUNT])), "price", "number", 1),
        (csv(frame(shop_id=COUNT % 6)), "shop_id", "category", 6),
    ],
)
def test_what_can_be_learnt_from_is_encoded_as_what_it_is(
    write: Callable[[Path], Path], column: str, kind: str, features: int, tmp_path: Path
) -> None:
    info = prepared(tmp_path, write)
    told = next(one for one in info.profile.columns if one.name == column)
    assert (told.kind, told.role) == (kind, "feature")
    assert info.feature_names is not None
    assert len(info.feature_names) == features + 1
    assert told.done


@pytest.mark.parametrize(
    ("write", "told"),
    [
        (csv(frame(x=["?" if number % 9 == 0 else f"{number / 4}" for number in COUNT])), 'nullValues: ["?"]'),
        (csv(frame(x=["unknown" if number % 9 == 0 else str(number * 3) for number in COUNT])), "kind: category"),
        (csv(frame(x=[f"V{number}" if number % 30 == 0 else str(number) for number in COUNT])), "kind: category"),
        (csv(frame().assign(label=np.tile([0.5, 1.0, 1.5], 40))), "data.task"),
        (csv(frame().assign(label=np.where(COUNT == 0, "", LABEL))), "data.missingTargets: drop"),
        (csv(frame().assign(label="yes")), "one value 'yes' in all 120 rows"),
        (csv(pd.DataFrame({"id": COUNT, "label": LABEL})), "'id' (whole numbers"),
        (csv(frame().rename(columns={"label": "Label"})), "did you mean 'Label'"),
    ],
)
def test_what_could_be_meant_in_two_ways_is_refused_with_what_to_write(
    write: Callable[[Path], Path], told: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError) as caught:
        prepared(tmp_path, write)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("write", "told"),
    [
        (csv(frame(copy=np.where(LABEL == "yes", "j", "n"))), "'copy' is the target in other words"),
        (
            csv(frame(score=np.where(LABEL == "yes", 1.0, -1.0) + NOISE / 100)),
            "'score' lies close about a number of its own in each class",
        ),
        (csv(frame().assign(label=np.where(NOISE > 0, LABEL, np.char.upper(LABEL)))), "case, blanks or accents alone"),
        (csv(pd.concat([frame(a=NOISE)] * 3)), "stand in the training part as well"),
    ],
)
def test_what_may_spoil_the_result_is_a_warning(write: Callable[[Path], Path], told: str, tmp_path: Path) -> None:
    assert told in " ".join(prepared(tmp_path, write).warnings)


def test_dropping_rows_without_a_target_keeps_the_rest(tmp_path: Path) -> None:
    info = prepared(tmp_path, csv(frame().assign(label=np.where(COUNT == 0, "", LABEL))), missingTargets="drop")
    assert sum(info.rows.values()) == ROWS - 1
    assert "1 of 120 rows have no target" in " ".join(info.warnings)
