"""Data that is larger than memory is prepared on the disk, to the very bytes that memory gives."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from pyarrow import parquet

from headway_api.data import Data
from headway_api.model import Model, TokenOptions
from headway_trainer.data import DataInfo, prepare, scratch
from headway_trainer.data.info import Blocks
from headway_trainer.data.read import jsonl, npz, streams
from headway_trainer.data.read import memory as memory_module
from headway_trainer.data.read import parquet as parquet_module
from headway_trainer.data.read.jsonl import promoted
from headway_trainer.data.read.streams import BrokenFile
from headway_trainer.data.scratch import Scratch
from headway_trainer.entrypoints import load_function
from headway_trainer.errors import UserError
from headway_trainer.models import build
from headway_trainer.storage import Store
from headway_trainer.training.loop_inputs import LoopInputs
from series import sales, spec_of
from texts import write_reviews
from training_runs import finish, job_of, run_until, same, training

ROWS = 700
Spec = dict[str, Any]


def _table(rows: int = ROWS) -> pa.Table:
    chance = np.random.default_rng(4)
    numbers = chance.standard_normal(rows)
    words = np.array(["red", "green", "blue", "00", "1e3"])
    days = np.datetime64("2024-01-01T00:00:00", "us") + chance.integers(0, 10**13, rows)
    return pa.table(
        {
            "name": pa.array([f"row {index}" for index in range(rows)]),
            "number": pa.array(np.where(chance.random(rows) < 0.1, np.nan, numbers), from_pandas=True),
            "whole": pa.array(chance.integers(-5, 5, rows).astype(np.int8)),
            "flag": pa.array([None if one < 0.1 else one < 0.5 for one in chance.random(rows)]),
            "colour": pa.array([None if one == 5 else str(words[one]) for one in chance.integers(0, 6, rows)]),
            "said": pa.array([f"one {index % 7} two {index % 3} three{index}" for index in range(rows)]),
            "day": pa.array(days),
            "code": pa.array([f"{number:03d}" for number in chance.integers(0, 40, rows)]),
            "group": pa.array(chance.integers(0, 30, rows)),
            "weight": pa.array(chance.random(rows) + 0.5),
            "label": pa.array([["no", "yes"][one] for one in (numbers + chance.standard_normal(rows) > 0).astype(int)]),
        }
    )


def _csv(folder: Path) -> Spec:
    from pyarrow import csv

    (folder / "in").mkdir()
    table = _table()
    for part, start in enumerate((0, 300)):
        csv.write_csv(table.slice(start, 300 if part == 0 else ROWS), folder / "in" / f"{part}.csv")
    return {"source": {"uri": str(folder / "in")}, "target": "label"}


def _parquet(folder: Path) -> Spec:
    table = _table()
    lists = np.random.default_rng(1).standard_normal((ROWS, 6)).tolist()
    table = table.append_column("vector", pa.array([None if row % 9 == 0 else lists[row] for row in range(ROWS)]))
    table = table.append_column("kind", table["colour"].dictionary_encode())
    (folder / "in").mkdir()
    for part, start in enumerate((0, 300)):
        some = table.slice(start, 300 if part == 0 else ROWS)
        if part:
            some = some.set_column(2, "whole", some["whole"].cast(pa.float64()))
        parquet.write_table(some, folder / "in" / f"{part}.parquet", row_group_size=64)
    return {"source": {"uri": str(folder / "in")}, "target": "label"}


def _jsonl(folder: Path) -> Spec:
    rows = [{name: value for name, value in row.items() if value is not None} for row in _table().to_pylist()]
    for row in rows:
        row["day"] = row["day"].isoformat()
    # What a first block of lines tells of a column need not hold for the next.
    rows[-1]["whole"] = 2.5
    (folder / "data.jsonl").write_text("\n\n".join(map(json.dumps, rows)))
    return {"source": {"uri": str(folder / "data.jsonl")}, "target": "label"}


def _regression(folder: Path) -> Spec:
    parquet.write_table(_table(), folder / "data.parquet", row_group_size=100)
    return {
        "source": {"uri": str(folder / "data.parquet")},
        "targets": ["number", "whole"],
        "missingTargets": "drop",
        "columns": {"weight": {"role": "weight"}, "group": {"role": "group"}},
    }


def _arrays(folder: Path, save: Callable[..., None] = np.savez, order: Any = "C") -> Spec:
    chance = np.random.default_rng(2)
    x = chance.standard_normal((ROWS, 9)).astype(np.float32)
    x[chance.random(x.shape) < 0.05] = np.nan
    save(folder / "data.npz", x=np.array(x, order=order), y=chance.integers(0, 3, ROWS))
    return {"source": {"uri": str(folder / "data.npz")}}


def _packed_arrays(folder: Path) -> Spec:
    return _arrays(folder, np.savez_compressed)


def _folds_of_arrays(folder: Path) -> Spec:
    return _arrays(folder) | {"split": {"folds": 3}}


def _folds(folder: Path) -> Spec:
    return _csv(folder) | {"split": {"folds": 3}}


def _turned_arrays(folder: Path) -> Spec:
    return _arrays(folder, order="F") | {"split": {"stratify": "never"}}


def _parts_of_arrays(folder: Path) -> Spec:
    (folder / "in").mkdir()
    for part, rows in (("train", 400), ("test", 100)):
        x = np.random.default_rng(rows).integers(0, 256, (rows, 1, 5, 4), dtype=np.uint8)
        np.savez(folder / "in" / f"{part}.npz", x=x, y=np.arange(rows) % 4)
    return {"source": {"uri": str(folder / "in")}, "columns": {"x": {"kind": "image"}}}


def _images(folder: Path) -> Spec:
    from PIL import Image

    chance = np.random.default_rng(3)
    for index in range(60):
        path = folder / "in" / f"class {index % 3}" / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        size = (8, 9, 3) if index != 7 else (12, 9, 3)
        Image.fromarray(chance.integers(0, 256, size, dtype=np.uint8)).save(path)
    return {"source": {"uri": str(folder / "in")}}


def _bags_of_words(folder: Path) -> Spec:
    return {"source": {"uri": write_reviews(folder, ROWS)}, "target": "label"}


def _texts(folder: Path) -> Spec:
    return _bags_of_words(folder) | {"tokens": TokenOptions(length=8)}


def _reconstruction(folder: Path) -> Spec:
    parquet.write_table(_table().drop_columns(["label"]), folder / "data.parquet", row_group_size=100)
    return {"source": {"uri": str(folder / "data.parquet")}, "task": "reconstruction"}


def _images_reconstructed(folder: Path) -> Spec:
    return _images(folder) | {"task": "reconstruction"}


def _forecast(folder: Path) -> Spec:
    parquet.write_table(sales([200, 150]), folder / "sales.parquet", row_group_size=100)
    return spec_of(folder / "sales.parquet", 14, 3).model_dump(by_alias=True, exclude_unset=True)


SOURCES = [
    _csv, _parquet, _jsonl, _regression, _arrays, _packed_arrays, _turned_arrays, _folds,
    _folds_of_arrays, _parts_of_arrays, _images, _bags_of_words, _texts, _reconstruction, _images_reconstructed,
    _forecast,
]  # fmt: skip


def _prepared(spec: Spec, folder: Path, process_memory: int | None = None) -> tuple[DataInfo, dict[str, bytes]]:
    store, fields = Store.open(str(folder)), dict(spec)
    tokens = fields.pop("tokens", None)
    data = Data.model_validate(fields)
    info = prepare(data, seed=11, store=store, tokens=tokens, process_memory=process_memory)
    return info, {name: store.read(name) for name, _ in store.walk() if not name.endswith("info.json")}


def _told(info: DataInfo) -> dict[str, float]:
    """The columns' means: sums over chunks of a column, so that their last digits are those of the chunks."""
    columns = info.profile.columns
    return {one.name: one.stats.mean for one in columns if one.stats is not None and one.stats.mean is not None}


@pytest.fixture
def on_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Scratch]:
    """All sources are too large from here on, and every block and bucket is small."""
    made: list[Scratch] = []

    def scratch_for(*_: object) -> Scratch:
        made.append(Scratch(str(tmp_path)))
        return made[-1]

    monkeypatch.setattr(memory_module, "scratch_for", scratch_for)
    monkeypatch.setattr(jsonl, "scratch_for", scratch_for)
    for module, name, value in (
        (scratch, "_SEGMENT", 4096),
        (scratch, "BLOCK_BYTES", 1000),
        (scratch, "BUCKET_BYTES", 3000),
        (scratch, "HELD_BYTES", 2000),
        (scratch, "UNSYNCED_BYTES", 3000),
        (parquet_module, "_READ_BYTES", 600),
        (streams, "LINES", 2000),
        (npz, "CHUNK", 100),
    ):
        monkeypatch.setattr(module, name, value)
    return made


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.__name__.strip("_"))
def test_rows_prepared_on_the_disk_are_those_of_memory_byte_for_byte(
    source: Callable[[Path], Spec], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    spec = source(tmp_path)
    expected, files = _prepared(spec, tmp_path / "memory")
    made = request.getfixturevalue("on_disk")
    info, found = _prepared(spec, tmp_path / "disk")
    assert len(made) == 1
    assert found.keys() == files.keys()
    assert {name for name in files if files[name] != found[name]} == set()
    assert info.notes[-1].startswith("The data is larger than the memory that is left here")
    assert info.model_copy(update={"profile": None}) == expected.model_copy(update={"profile": None})
    assert _told(info) == pytest.approx(_told(expected), rel=1e-12)
    assert [one.model_dump(exclude={"stats": {"mean"}}) for one in info.profile.columns] == [
        one.model_dump(exclude={"stats": {"mean"}}) for one in expected.profile.columns
    ]
    assert (info.profile.warnings, info.profile.rows) == (expected.profile.warnings, expected.profile.rows)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("tmp")], "scratch files have no names"


NATURES: list[tuple[Callable[[Path], Spec], dict[str, Any]]] = [
    (_texts, {"name": "lstm", "options": {"embedding": 4, "hidden": 3}}),
    (_reconstruction, {"name": "autoencoder", "options": {"hidden": [5], "latent": 2}}),
    (_forecast, {"name": "gru", "options": {"hidden": 4}}),
]


def _job(info: DataInfo, folder: Path, model: dict[str, Any], run: str, attempt: int = 1) -> LoopInputs:
    torch.manual_seed(0)
    program = build(Model.model_validate(model), info, load_function=load_function)
    spec, store = training(epochs=2, checkpoint={"everySteps": 3}), Store.open(str(folder))
    return job_of(info, store, program, spec, run=store.child("runs", run), attempt=attempt)


@pytest.mark.parametrize(("source", "model"), NATURES, ids=lambda one: getattr(one, "__name__", ""))
def test_each_nature_learns_from_the_disk_what_it_learns_from_memory(
    source: Callable[[Path], Spec], model: dict[str, Any], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    spec = source(tmp_path)
    info, _ = _prepared(spec, tmp_path / "memory")
    _, weights = finish(_job(info, tmp_path / "memory", model, "whole"))
    request.getfixturevalue("on_disk")
    info, _ = _prepared(spec, tmp_path / "disk")
    _, again = finish(_job(info, tmp_path / "disk", model, "whole"))
    assert same(weights, again)


@pytest.mark.usefixtures("on_disk")
@pytest.mark.parametrize(("source", "model"), NATURES, ids=lambda one: getattr(one, "__name__", ""))
def test_each_nature_learns_in_blocks_and_goes_on_exactly(
    source: Callable[[Path], Spec], model: dict[str, Any], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    info, _ = _prepared(source(tmp_path), folder, process_memory=1000)
    # Windows of a forecast are made of its series, which are far smaller.
    assert (info.blocks is None) is (info.forecast is not None)
    if info.blocks is not None:
        info = info.model_copy(update={"blocks": Blocks(rows=8, window=3)})
    whole, weights = finish(_job(info, folder, model, "whole"))
    run_until(_job(info, folder, model, "killed"), 5)
    resumed, again = finish(_job(info, folder, model, "killed", attempt=2))
    assert resumed.resumed_from_step == 3
    assert resumed.step == whole.step
    assert same(weights, again)


@pytest.mark.parametrize(
    ("texts", "refused"), [([f"a text of its own {row}" for row in range(2000)], True), (["the same"] * 2000, False)]
)
def test_texts_that_memory_does_not_hold_are_refused_by_their_columns_name(
    texts: list[str], monkeypatch: pytest.MonkeyPatch, *, refused: bool
) -> None:
    monkeypatch.setattr(memory_module, "available_bytes", lambda: 50_000)
    table = pa.table({"review": texts, "stars": [1] * 2000})
    if not refused:
        memory_module.check_texts(table)
        return
    told = r"column 'review', whose texts differ .* takes about .* data\.columns: \{review: \{role: ignore\}\}"
    with pytest.raises(UserError, match=told):
        memory_module.check_texts(table)


@pytest.mark.parametrize(("save", "others"), [(np.savez, {}), (np.savez_compressed, {"y": np.zeros(10**6)})])
def test_more_rows_of_an_npz_file_than_memory_holds_in_any_case_are_refused(
    save: Callable[..., None], others: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "data.npz", x=np.zeros((10**6, 2), np.uint8), **others)
    monkeypatch.setattr(memory_module, "available_bytes", lambda: 10**6)
    with pytest.raises(UserError, match=r"the 1,000,000 rows of .*data\.npz, even where"):
        _prepared({"source": {"uri": str(tmp_path / "data.npz")}}, tmp_path / "run")


INT, DOUBLE, TEXT, STAMP = pa.int64(), pa.float64(), pa.string(), pa.timestamp("s")


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (pa.null(), INT, INT),
        (INT, pa.null(), INT),
        (INT, DOUBLE, DOUBLE),
        (STAMP, TEXT, TEXT),
        (pa.list_(INT), pa.list_(DOUBLE), pa.list_(DOUBLE)),
        (pa.list_(pa.null()), pa.list_(INT), pa.list_(INT)),
    ],
)
def test_blocks_of_json_lines_have_the_type_of_the_whole_file(
    one: pa.DataType, other: pa.DataType, both: pa.DataType
) -> None:
    assert promoted(one, other) == promoted(other, one) == both


def test_blocks_of_json_lines_with_text_and_numbers_are_told_of() -> None:
    with pytest.raises(BrokenFile, match="int64 in some lines and string in others"):
        promoted(INT, TEXT)


@pytest.mark.parametrize(
    ("left", "expected"), [(None, False), (10_000_000, False), (5_000_000, True)], ids=["unknown", "enough", "less"]
)
def test_the_disk_is_used_where_memory_does_not_do(
    left: int | None, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_module, "available_bytes", lambda: left)
    assert memory_module.scratch_for(10_000_000, 100, 1_000_000, "a.csv").on_disk is expected


def test_more_rows_than_memory_holds_in_any_case_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_module, "available_bytes", lambda: 60_000_000)
    told = r"the 1,000,000 rows of a\.csv, even where .* takes about 65 MiB of memory, but 57 MiB are left"
    with pytest.raises(UserError, match=told):
        memory_module.scratch_for(10**9, 1_000_000, 1_000_000, "a.csv")


def test_data_larger_than_the_disk_as_well_is_refused_with_both_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_module, "available_bytes", lambda: 10**9)
    told = r"a\.csv takes about 3\.0 GiB of memory, of which 954 MiB are left, or 2048\.0 GiB of disk in .*TMPDIR"
    with pytest.raises(UserError, match=told):
        memory_module.scratch_for(3 * 2**30, 100, 2**40, "a.csv")


def test_the_limit_of_a_control_group_counts_in_both_versions(tmp_path: Path) -> None:
    (tmp_path / "own").write_text("5:memory:/some/job\n0::/another\n")
    first, second = tmp_path / "cgroup/memory/some/job", tmp_path / "cgroup/another"
    for folder in (first, second):
        folder.mkdir(parents=True)
    (first / "memory.limit_in_bytes").write_text("3000000\n")
    (first / "memory.usage_in_bytes").write_text("2000000\n")
    (first / "memory.stat").write_text("inactive_file 1\ntotal_active_file 400000\ntotal_inactive_file 500000\n")
    left = memory_module.available_bytes(tmp_path / "none", tmp_path / "cgroup", tmp_path / "own")
    assert left == 3_000_000 - 2_000_000 + 900_000
    (second / "memory.max").write_text("1000000\n")
    (second / "memory.current").write_text("900000\n")
    (second / "memory.stat").write_text("active_file 0\n")
    assert memory_module.available_bytes(tmp_path / "none", tmp_path / "cgroup", tmp_path / "own") == 100_000
