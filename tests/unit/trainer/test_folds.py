"""Folds: the properties that scikit-learn's splitters have, over drawn rows; and that no fold learns of its own."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold, TimeSeriesSplit

from headway_api.data import Data
from headway_trainer.data import prepare, read_split
from headway_trainer.data.info import x_file, y_file
from headway_trainer.data.prepared import fold_folder, prepared_folds
from headway_trainer.data.split import Column, Dividing, Parts, divide_folds
from headway_trainer.data.transform import TableChain
from headway_trainer.errors import UserError
from headway_trainer.storage import Store

Rows = npt.NDArray[np.int64]


def parts_of(rows: int, test: int, seed: int = 0) -> Parts:
    """Parts in which the last rows are the test part, and the others are dealt to the other two."""
    order = np.random.default_rng(seed).permutation(rows - test).astype(np.int64)
    return Parts((order[: len(order) // 2], order[len(order) // 2 :], np.arange(rows - test, rows)), stratified=False)


def column(values: list[Any], method: Any) -> Column:
    return Column(Dividing(method, "c"), pa.chunked_array([values]), lambda row: f"row {row + 1}")


def folded(folds: list[Parts]) -> list[tuple[Rows, Rows]]:
    assert all(len(fold.indices[2]) == 0 for fold in folds), "the test part is no fold's"
    return [(fold.indices[0], fold.indices[1]) for fold in folds]


def is_partition(folds: list[tuple[Rows, Rows]], rows: Rows) -> bool:
    """Whether each row is validated once, and trained on by all other folds."""
    validated = np.concatenate([validation for _, validation in folds])
    whole = all(set(train) | set(validation) == set(rows) for train, validation in folds)
    return whole and sorted(validated) == sorted(rows) and all(not set(one) & set(other) for one, other in folds)


@given(st.integers(2, 12), st.integers(0, 80), st.integers(0, 20), st.integers(0, 2**31 - 1))
def test_folds_at_random_are_those_of_kfold(count: int, more: int, test: int, seed: int) -> None:
    rows = count + more
    folds = folded(divide_folds(parts_of(rows + test, test), count, seed))
    assert is_partition(folds, np.arange(rows))
    theirs = KFold(count, shuffle=True, random_state=0).split(np.arange(rows))
    assert sorted(len(one) for _, one in folds) == sorted(len(one) for _, one in theirs)


@given(st.integers(2, 8), st.lists(st.integers(0, 4), min_size=16, max_size=90), st.integers(0, 2**31 - 1))
def test_stratified_folds_have_as_many_rows_of_each_class_as_those_of_stratified_kfold(
    count: int, drawn: list[int], seed: int
) -> None:
    labels = np.unique(drawn, return_inverse=True)[1].astype(np.int64)
    assume(np.bincount(labels).min() >= count)  # scikit-learn warns of fewer
    folds = folded(divide_folds(parts_of(len(labels), 0), count, seed, labels=labels))
    assert is_partition(folds, np.arange(len(labels)))
    theirs = [one for _, one in StratifiedKFold(count, shuffle=True, random_state=0).split(labels, labels)]
    for label in np.unique(labels):
        ours = sorted(int((labels[validation] == label).sum()) for _, validation in folds)
        assert ours == sorted(int((labels[validation] == label).sum()) for validation in theirs)
    assert sorted(len(one) for _, one in folds) == sorted(len(one) for one in theirs)


@given(st.integers(2, 6), st.lists(st.integers(0, 25), min_size=12, max_size=90), st.integers(0, 2**31 - 1))
def test_folds_by_group_keep_groups_whole_and_are_as_even_as_those_of_group_kfold(
    count: int, groups: list[int], seed: int
) -> None:
    named = np.array(groups)
    sizes = np.unique(named, return_counts=True)[1]
    assume(len(sizes) >= count)
    folds = folded(divide_folds(parts_of(len(named), 0), count, seed, column=column(groups, "group")))
    assert is_partition(folds, np.arange(len(named)))
    assert all(not set(named[train]) & set(named[validation]) for train, validation in folds)
    assert all(len(validation) for _, validation in folds)
    theirs = [len(one) for _, one in GroupKFold(count).split(named, named, named)]
    ours = [len(one) for _, one in folds]
    assert max(ours) <= max(theirs) + sizes.max()


@given(st.integers(2, 8), st.integers(0, 60), st.integers(0, 2**31 - 1), st.randoms(use_true_random=False))
def test_folds_by_time_are_those_of_time_series_split(count: int, more: int, seed: int, chance: Any) -> None:
    times = list(range(count + 1 + more))
    chance.shuffle(times)
    folds = folded(divide_folds(parts_of(len(times), 0), count, seed, column=column(times, "time")))
    clock, before = np.array(times), -1
    for train, validation in folds:
        assert max(clock[train]) < min(clock[validation]), "nothing is learnt from what comes later"
        assert max(clock[train]) == min(clock[validation]) - 1, "it is validated on what comes next"
        assert min(clock[train]) == 0, "the window grows"
        assert len(train) > before
        before = len(train)
    assert max(clock[folds[-1][1]]) == len(times) - 1
    theirs = [len(one) for _, one in TimeSeriesSplit(count).split(clock)]
    assert all(abs(len(one) - size) <= 1 for (_, one), size in zip(folds, theirs, strict=True))


@pytest.mark.parametrize(
    ("values", "method", "said"),
    [
        (None, None, "folds is 5, but there are 4 rows outside the test part: lower folds, or give more rows"),
        ([1, 1, 2, 3], "group", "folds is 5, but there are 3 groups outside the test part"),
        ([1, 2, 3, 4], "time", "folds is 5, but there are 4 different times outside the test part, and 6 are needed"),
    ],
)
def test_more_folds_than_there_can_be_are_an_error(values: list[int] | None, method: str | None, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        divide_folds(parts_of(4, 0), 5, 0, column=None if values is None else column(values, method))


def _csv(folder: Path, rows: int = 60) -> Path:
    chance = np.random.default_rng(3)
    lines = ["size,colour,day,price"]
    for row in range(rows):
        size = "" if row % 11 == 5 else f"{chance.normal():.3f}"
        day = datetime.date(2026, 1, 1) + datetime.timedelta(days=row)
        lines.append(f"{size},{['red', 'green', 'blue'][row % 3]},{day},{chance.normal() * 9 + row:.3f}")
    path = folder / "rows.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def _data(path: Path, **more: Any) -> Data:
    return Data.model_validate({"source": {"uri": str(path)}, "target": "price", **more})


@pytest.mark.parametrize("columns", [{}, {"day": {"role": "time"}}], ids=["random", "time"])
def test_what_is_fitted_for_a_fold_comes_from_its_training_rows_alone(tmp_path: Path, columns: dict[str, Any]) -> None:
    path = _csv(tmp_path)
    spec = _data(path, split={"folds": 3, "seed": 4}, columns=columns)
    prepare(spec, seed=0, store=(before := Store.open(str(tmp_path / "before"))))
    folds = prepared_folds(before)
    validated = _validated(before, 1, path)
    # Rows that fold 1 validates become others: nothing that was fitted for it may change, and so no row that trains it.
    lines = path.read_text().splitlines()
    for row in validated:
        lines[row + 1] = ",".join(["999.5", "blue", *lines[row + 1].split(",")[2:3], "-5000.25"])
    path.write_text("\n".join(lines) + "\n")
    prepare(spec, seed=0, store=(after := Store.open(str(tmp_path / "after"))))
    changed = prepared_folds(after)
    assert changed[0].transforms == folds[0].transforms
    assert (changed[0].target_mean, changed[0].target_std) == (folds[0].target_mean, folds[0].target_std)
    assert changed[1].target_mean != folds[1].target_mean, "the others were trained on them"
    for file in (x_file("train"), y_file("train")):
        assert after.read(f"{fold_folder(1)}/{file}") == before.read(f"{fold_folder(1)}/{file}")
    assert after.read(f"{fold_folder(1)}/{y_file('validation')}") != before.read(
        f"{fold_folder(1)}/{y_file('validation')}"
    )


def _validated(store: Store, number: int, path: Path) -> list[int]:
    """The rows of the file that a fold validates: told by their targets, which all differ."""
    info = prepared_folds(store)[number - 1]
    _, y = read_split(store.child(fold_folder(number)), info, "validation")
    values = (y.numpy().astype(np.float64) * info.target_std[0] + info.target_mean[0]).round(3)
    known = {round(float(line.split(",")[3]), 2): row for row, line in enumerate(path.read_text().splitlines()[1:])}
    rows = [known[round(float(value), 2)] for value in values]
    assert len(set(rows)) == len(rows) > 5
    return rows


def test_a_file_is_read_once_however_many_folds_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from headway_trainer.data import sources

    reads, load = list[Data](), sources.load

    def counted(spec: Data, **folders: str) -> Any:
        reads.append(spec)
        return load(spec, **folders)

    monkeypatch.setattr(sources, "load", counted)
    info = prepare(_data(_csv(tmp_path), split={"folds": 7}), seed=0, store=Store.open(str(tmp_path / "run")))
    assert len(reads) == 1
    folds = prepared_folds(Store.open(str(tmp_path / "run")))
    assert [one.rows["test"] for one in folds] == [0] * 7
    assert {one.rows["train"] + one.rows["validation"] for one in folds} == {60 - info.rows["test"]}
    assert all(isinstance(one.transforms, TableChain) for one in folds)


def test_the_rows_of_the_model_that_is_kept_are_those_of_a_job_without_folds(tmp_path: Path) -> None:
    path, stores = _csv(tmp_path), [Store.open(str(tmp_path / name)) for name in ("with", "without")]
    for store, split in zip(stores, ({"folds": 3}, {}), strict=True):
        prepare(_data(path, split=split), seed=0, store=store)
    for part in ("train", "validation", "test"):
        assert stores[0].read(x_file(part)) == stores[1].read(x_file(part))


def test_a_class_that_a_fold_cannot_learn_is_told(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    rows = "".join(f"{row}.5,{'ab'[row % 2]}\n" for row in range(40))
    path.write_text("x,label\n" + rows + "7.5,c\n")
    spec = {"source": {"uri": str(path)}, "target": "label", "split": {"folds": 3, "test": 0, "train": 0.8}}
    info = prepare(Data.model_validate(spec), seed=0, store=Store.open(str(tmp_path / "run")))
    assert any(one.startswith("Class 'c' has no row in the training part of fold") for one in info.warnings)


def test_more_folds_than_rows_are_an_error_that_names_the_field(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^data\.split: folds is 90, but there are 54 rows outside the test part"):
        prepare(_data(_csv(tmp_path), split={"folds": 90}), seed=0, store=Store.open(str(tmp_path / "run")))
