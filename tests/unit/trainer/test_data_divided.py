"""`data.split` from the file to the parts: the column that divides is not learnt from, and no row is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from headway_api.data import Data
from headway_trainer.data import SPLITS, DataInfo, prepare, read_split
from headway_trainer.errors import UserError
from headway_trainer.storage import Store

ROWS = 120


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A table of 120 rows, each with its number as the target: of 30 patients, over 120 days, in 10 folds."""
    order = np.random.RandomState(0).permutation(ROWS)
    lines = ["x,patient,day,fold,part,y"]
    for row in order.tolist():
        part = "test" if row % 10 == 9 else "train"
        day = np.datetime64("2024-01-01") + np.timedelta64(row, "D")
        lines.append(f"{row * row % 17},p{row % 30},{day},{row % 10},{part},{row}.0")
    (tmp_path / "rows.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def _prepared(folder: Path, run: str = "run", **data: Any) -> tuple[DataInfo, list[list[int]]]:
    """What is known of the rows, and which of them each part has, by their targets."""
    store = Store.open(str(folder / run))
    spec = {"source": {"uri": str(folder / "rows.csv")}, "target": "y", "task": "regression", **data}
    info = prepare(Data.model_validate(spec), seed=3, store=store)
    values = [read_split(store, info, split)[1].double() for split in SPLITS]
    units = [value * info.target_std[0] + info.target_mean[0] for value in values]
    return info, [sorted(torch.round(unit).long().flatten().tolist()) for unit in units]


def _others_ignored(*kept: str) -> dict[str, dict[str, str]]:
    return {name: {"role": "ignore"} for name in ("patient", "day", "fold", "part") if name not in kept}


@pytest.mark.parametrize(
    ("column", "role"), [("patient", "group"), ("day", "time"), ("fold", "fold"), ("part", "fold")]
)
def test_every_row_is_in_one_part_and_the_column_that_divides_is_no_feature(
    folder: Path, column: str, role: str
) -> None:
    info, parts = _prepared(folder, columns={column: {"role": role}, **_others_ignored(column)})
    assert sorted(row for part in parts for row in part) == list(range(ROWS))
    assert info.feature_names == ["x"]


def test_no_patient_is_in_two_parts(folder: Path) -> None:
    _, parts = _prepared(folder, columns={"patient": {"role": "group"}, **_others_ignored("patient")})
    patients = [{row % 30 for row in part} for part in parts]
    assert [len(each) for each in patients] == [21, 6, 3]
    assert len(patients[0] | patients[1] | patients[2]) == 30


def test_the_latest_days_test(folder: Path) -> None:
    _, parts = _prepared(folder, columns={"day": {"role": "time"}, **_others_ignored("day")})
    assert parts == [list(range(84)), list(range(84, 108)), list(range(108, 120))]


def test_the_highest_fold_tests_and_folds_stay_whole(folder: Path) -> None:
    _, parts = _prepared(folder, columns={"fold": {"role": "fold"}, **_others_ignored("fold")})
    assert [sorted({row % 10 for row in part}) for part in parts] == [[0, 1, 2, 3, 4, 5, 6], [7, 8], [9]]


def test_a_column_of_words_says_the_test_and_validation_is_taken_from_the_rest(folder: Path) -> None:
    _, parts = _prepared(folder, columns={"part": {"role": "fold"}, **_others_ignored("part")})
    assert parts[2] == [row for row in range(ROWS) if row % 10 == 9]
    assert [len(part) for part in parts] == [84, 24, 12]


def test_the_splits_seed_alone_decides_which_rows_test(folder: Path) -> None:
    ignored = _others_ignored()
    first = _prepared(folder, "a", columns=ignored, split={"seed": 5})[1]
    again = _prepared(folder, "b", columns=ignored, split={"seed": 5})[1]
    other = _prepared(folder, "c", columns=ignored, split={"seed": 6})[1]
    assert first == again
    assert first[2] != other[2]


def test_how_the_rows_were_divided_is_told(folder: Path) -> None:
    info, _ = _prepared(folder, columns={"patient": {"role": "group"}, **_others_ignored("patient")})
    assert any("Each of the 30 groups of the column 'patient' is in one part." in note for note in info.notes)


@pytest.mark.parametrize(
    ("columns", "words"),
    [({"patience": {"role": "group"}}, "patience"), ({"part": {"role": "time", "kind": "time"}}, "part")],
)
def test_a_column_that_cannot_divide_is_named(folder: Path, columns: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        _prepared(folder, columns=columns)
