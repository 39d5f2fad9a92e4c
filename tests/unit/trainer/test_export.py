"""Export: raw rows in, labels or values out; and it says when the exported model is not what was trained."""

from __future__ import annotations

import datetime
import random
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pytest
import torch
from pyarrow import parquet
from torch import nn

from headway_api.data import Data
from headway_api.model import Model
from headway_trainer.data import DataInfo, prepare, read_split
from headway_trainer.data.sample import MAX_ROWS, UNSEEN, read_sample, with_made_rows
from headway_trainer.data.transform import Tensor
from headway_trainer.export import stage
from headway_trainer.export.body import reason
from headway_trainer.export.parity import compare, trained
from headway_trainer.export.record import Export, graph_names, signature
from headway_trainer.export.session import Session
from headway_trainer.models import build
from headway_trainer.storage import Store

PATH = "data/model-1.onnx"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "run"))


def _prepared(store: Store, source: dict[str, Any], **data: Any) -> DataInfo:
    return prepare(Data.model_validate({"source": source, **data}), seed=0, store=store)


def _exported(store: Store, info: DataInfo, model: nn.Module) -> Export:
    return stage.export(model, info, store, PATH)


def _table(tmp_path: Path) -> str:
    rows = random.Random(1)  # noqa: S311 - no secret
    count = 300
    columns = {
        "": [rows.gauss(5, 2) if rows.random() > 0.1 else None for _ in range(count)],
        "label": [rows.choice(["a", "b", "École", "seldom"]) if rows.random() > 0.1 else None for _ in range(count)],
        "in/1": [rows.random() < 0.5 for _ in range(count)],
        "column 1": [rows.randint(0, 5) for _ in range(count)],
        "y": [rows.choice(["ja", "nein", "naïve"]) for _ in range(count)],
    }
    path = tmp_path / "rows.parquet"
    parquet.write_table(pa.table(columns), path)
    return str(path)


def test_a_table_model_takes_raw_columns_and_names_the_class(store: Store, tmp_path: Path) -> None:
    info = _prepared(store, {"uri": _table(tmp_path)}, target="y")
    torch.manual_seed(0)
    model = build(Model(name="mlp"), info, load_function=lambda _: nn.Identity).model
    exported = _exported(store, info, model)
    assert exported.problem is None
    assert exported.parity is not None
    assert exported.parity.holds
    assert exported.parity.agreement == 1.0
    assert exported.file is not None
    assert store.sha256(PATH) == exported.file.sha256
    assert exported.signature is not None
    told = {one.column: (one.name, one.type, one.missing) for one in exported.signature.inputs}
    assert told == {
        "": ("column 1_", "double", "NaN"),
        "label": ("column 2", "string", "empty text"),
        "in/1": ("column 3", "double", "NaN"),
        "column 1": ("column 1", "double", "NaN"),
    }
    session = Session(store.read(PATH), exported.signature)
    rows = {
        "column 1_": np.array([[5.0], [np.nan]]),
        "column 2": np.array([["École"], [""]], dtype=object),
        "column 3": np.array([[1.0], [np.nan]]),
        "column 1": np.array([[3.0], [4.0]]),
    }
    said = session.feed(rows)
    assert said["probabilities"].sum(axis=1) == pytest.approx([1, 1])
    assert info.classes is not None
    assert [*said["label"]] == [info.classes[index] for index in said["probabilities"].argmax(axis=1)]


def test_dates_words_and_vectors_are_told_from_raw_rows_as_well(store: Store, tmp_path: Path) -> None:
    rows = random.Random(2)  # noqa: S311 - no secret
    count = 200
    columns = {
        "day": [datetime.date(2024, 1, 1) + datetime.timedelta(days=3 * index) for index in range(count)],
        "note": [rows.choice(["good tea", "Bad tea!", "no tea here", None]) for _ in range(count)],
        "place": [[rows.random(), rows.random()] if rows.random() > 0.1 else None for _ in range(count)],
        "y": [rows.gauss(0, 1) for _ in range(count)],
    }
    parquet.write_table(pa.table(columns), tmp_path / "rows.parquet")
    kinds = {"note": {"kind": "text"}}
    info = _prepared(store, {"uri": str(tmp_path / "rows.parquet")}, target="y", columns=kinds)
    torch.manual_seed(0)
    exported = _exported(store, info, build(Model(name="mlp"), info, load_function=lambda _: nn.Identity).model)
    assert exported.problem is None
    assert exported.parity is not None
    assert exported.parity.holds
    assert exported.signature is not None
    assert [(one.column, one.type, one.shape) for one in exported.signature.inputs] == [
        ("day", "double", [1]),
        ("note", "string", [1]),
        ("place", "double", [2]),
    ]


@pytest.mark.parametrize(
    ("source", "model"),
    [("digits", {"name": "cnn"}), ("diabetes", {"name": "mlp"}), ("iris", {"name": "mlp"})],
)
def test_what_the_exported_model_says_of_raw_rows_is_what_the_trained_one_says(
    source: str, model: dict[str, Any], store: Store
) -> None:
    info = _prepared(store, {"builtin": {"name": source}})
    torch.manual_seed(0)
    module = build(Model.model_validate(model), info, load_function=lambda _: nn.Identity).model
    exported = _exported(store, info, module)
    assert exported.parity is not None
    assert exported.parity.holds
    assert exported.signature is not None
    assert module.training, "and is left in the mode that it was in"
    # The prepared features of the test part, through the model, are the expected values, row by row, for raw rows.
    assert info.transforms is not None
    sample = read_sample(store, info.transforms)
    said = Session(store.read(PATH), exported.signature).run(sample)
    features = info.transforms.apply(sample)
    with torch.no_grad():
        outputs = module.eval()(torch.from_numpy(features))
    if info.classes is not None:
        assert np.allclose(said["probabilities"], outputs.softmax(1).numpy(), atol=1e-5)
    else:
        mean, std = (np.array(numbers) for numbers in (info.target_mean, info.target_std))
        assert said["value"].dtype == np.float64
        assert np.allclose(said["value"], outputs.double().numpy() * std + mean, rtol=1e-5)
    prepared = {row.tobytes() for part in ("validation", "test") for row in read_split(store, info, part)[0].numpy()}
    assert {row.tobytes() for row in features} <= prepared


class _OfItsOwn(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.layer, self.kind = nn.Linear(10, 1), kind

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.layer(x)
        if self.kind == "by value" and x.sum() > 0:
            return -out
        return out[:, 0] if self.kind == "one axis" else out


def test_a_model_that_gives_one_number_a_row_is_exported_like_one_of_one_column(store: Store) -> None:
    info = _prepared(store, {"builtin": {"name": "diabetes"}})
    exported = _exported(store, info, _OfItsOwn("one axis"))
    assert exported.problem is None
    assert exported.signature is not None
    assert exported.signature.outputs[0].shape == [1]


def test_a_model_that_decides_by_values_is_not_exported_and_the_sentence_says_so(
    store: Store, capfd: pytest.CaptureFixture[str]
) -> None:
    info = _prepared(store, {"builtin": {"name": "diabetes"}})
    exported = _exported(store, info, _OfItsOwn("by value"))
    assert exported.file is None
    assert not store.exists(PATH)
    assert exported.problem == (
        "no model.onnx was written, as the model cannot be exported: what its forward does depends on the values of "
        "its input, for example in an if"
    )
    assert capfd.readouterr().out == ""


def test_an_exported_model_that_says_something_else_is_thrown_away_and_the_report_has_the_difference(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = _prepared(store, {"builtin": {"name": "iris"}})
    monkeypatch.setattr(stage, "trained", lambda *args: trained(*args) + 0.01)
    exported = _exported(store, info, build(Model(name="mlp"), info, load_function=lambda _: nn.Identity).model)
    assert exported.file is None
    assert not store.exists(PATH)
    assert exported.parity is not None
    assert exported.parity.max_difference == pytest.approx(0.01, rel=1e-3)
    assert exported.problem is not None
    assert "did not say what the trained one says" in exported.problem


def test_weights_beyond_what_a_file_holds_are_refused_before_anything_is_tried(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = _prepared(store, {"builtin": {"name": "iris"}})
    monkeypatch.setattr("headway_trainer.export.body._MAX_BYTES", 100)
    exported = _exported(store, info, build(Model(name="mlp"), info, load_function=lambda _: nn.Identity).model)
    assert exported.problem is not None
    assert "an ONNX file holds 2 GiB" in exported.problem


def test_two_values_that_are_both_no_number_agree_and_one_alone_does_not() -> None:
    info = DataInfo(
        task="regression",
        input_shape=(1,),
        outputs=1,
        target_mean=[0.0],
        target_std=[1.0],
        rows={},
        content_hash="",
        digest="",
    )
    nan = np.array([[np.nan]])
    assert compare(nan, {"value": nan}, info).holds
    assert not compare(nan, {"value": np.zeros((1, 1))}, info).holds
    assert not compare(np.zeros((1, 1)), {"value": nan}, info).holds


def test_a_reason_is_the_first_line_of_the_first_cause_and_is_cut() -> None:
    error = RuntimeError("pages")
    error.__cause__ = ValueError("first\nsecond")
    assert reason(error) == "ValueError: first"
    assert len(reason(ValueError("x" * 1000))) == 300


def test_the_batch_is_free_and_names_of_classes_are_in_the_file(store: Store) -> None:
    info = _prepared(store, {"builtin": {"name": "iris"}})
    _exported(store, info, build(Model(name="mlp"), info, load_function=lambda _: nn.Identity).model)
    model = onnx.load_model_from_string(store.read(PATH))
    shapes = {
        one.name: [axis.dim_param or axis.dim_value for axis in one.type.tensor_type.shape.dim]
        for one in (*model.graph.input, *model.graph.output)
    }
    assert shapes == {"x": ["N", 4], "label": ["N"], "probabilities": ["N", 3]}
    session = Session(store.read(PATH), signature(info))
    for rows in (1, 2, 7):
        assert session.run(np.zeros((rows, 4)))["label"].shape == (rows,)


def test_the_kept_rows_are_few_held_out_and_odd_ones_are_among_them(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    rows = [f"{index}.5,{'abc'[index % 3]},{index % 2}\n" for index in range(5000)]
    rows[17] = ",c,1\n"
    path.write_text("n,t,y\n" + "".join(rows))
    info = _prepared(store, {"uri": str(path)}, target="y", split={"train": 0.01, "validation": 0.5, "test": 0.49})
    assert info.transforms is not None
    kept = read_sample(store, info.transforms)
    assert isinstance(kept, pa.Table)
    assert kept.column_names == ["n", "t"]
    assert len(kept) == MAX_ROWS
    assert kept["n"].null_count == 1
    made = with_made_rows(kept, info.transforms)
    assert isinstance(made, pa.Table)
    assert made["t"].to_pylist()[-2:] == [None, UNSEEN]
    assert made["n"].to_pylist()[-2] is None


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        (["a", "b"], ["a", "b"]),
        (["", "column 1", "value"], ["column 1_", "column 1", "column 3"]),
        (["out/2", "model/x"], ["column 1", "column 2"]),
    ],
)
def test_inputs_keep_the_columns_names_where_they_can(columns: list[str], names: list[str]) -> None:
    tensors = [Tensor(name=name, type="double", shape=(1,)) for name in columns]
    assert [*graph_names(tensors).values()] == names
