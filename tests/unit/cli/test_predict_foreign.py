"""headway predict with a folder that somebody has edited: a sentence that names the place, and no file of others."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pytest
import torch
from click.testing import CliRunner, Result
from onnx import numpy_helper
from pyarrow import parquet

from headway_api.data import Data
from headway_api.model import Model
from headway_cli.main import main
from headway_trainer import publish
from headway_trainer.data import prepare
from headway_trainer.export.record import ModelInfo, staged
from headway_trainer.export.stage import export
from headway_trainer.models import build
from headway_trainer.storage import Store

Edit = Callable[[Any], None]
CHANGED: list[Any] = [None, -1, "other", [], {"other": 1}]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the rows of a table, and a finished model of them in `run`."""
    folder = tmp_path_factory.mktemp("finished")
    rows = {"size": np.arange(60.0), "location": ["here", "there", "nowhere"] * 20, "fit": ["yes", "no"] * 30}
    parquet.write_table(pa.table(rows), folder / "rows.parquet")
    store = Store.open(str(folder / "run"))
    spec = Data.model_validate({"source": {"uri": str(folder / "rows.parquet")}, "target": "fit"})
    info = prepare(spec, seed=0, store=store)
    made = export(
        build(Model(name="mlp"), info, load_function=lambda _: torch.nn.Identity).model, info, store, staged(1)
    )
    assert made.problem is None
    store.write("model.safetensors", b"")
    publish.publish_model(store, None, made, ModelInfo(data=info, signature=made.signature, parity=made.parity))
    publish.tidy(store)
    return folder


def _predict(finished: Path, folder: Path) -> Result:
    return CliRunner().invoke(main, ["predict", str(folder), str(finished / "rows.parquet")])


def _edited(finished: Path, into: Path, told: Any, model: bytes | None = None) -> Path:
    """A copy of the folder with another model.json, and perhaps another model with its own digest."""
    into.mkdir(exist_ok=True)
    data = model if model is not None else (finished / "run" / "model.onnx").read_bytes()
    (into / "model.onnx").write_bytes(data)
    told["files"]["onnx"]["sha256"] = hashlib.sha256(data).hexdigest()
    (into / "model.json").write_text(json.dumps(told))
    return into


def _told(finished: Path) -> Any:
    return json.loads((finished / "run" / "model.json").read_text())


def _sentence(result: Result) -> str:
    """What the command ended with: one line, and no traceback."""
    assert isinstance(result.exception, SystemExit), repr(result.exception)
    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
    assert result.output.count("\n") == 1
    return result.output


def test_the_folder_as_it_was_written_predicts(finished: Path) -> None:
    result = _predict(finished, finished / "run")
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        (lambda told: told["signature"]["inputs"].pop(), "`signature.inputs`"),
        (lambda told: told["signature"]["inputs"][0].update(column="nosuch"), "`signature.inputs`"),
        (lambda told: told["signature"]["inputs"][0].update(shape=[2]), "`signature.inputs`"),
        (lambda told: told["signature"]["inputs"].append(told["signature"]["inputs"][0]), "`signature.inputs`"),
        (lambda told: told["signature"]["outputs"].clear(), "`signature.outputs`"),
        (lambda told: told["signature"]["outputs"][1].update(name="value"), "`signature.outputs`"),
        (lambda told: told["signature"]["outputs"][1]["names"].append("maybe"), "`signature.outputs`"),
        (lambda told: told["signature"].update(history=3), "`signature.history`"),
        (lambda told: told["signature"].update(inputs="size"), "is not what this version of Headway reads"),
        (lambda told: told.update(data=None), "`signature.inputs`"),
        (lambda told: told["data"].update(classes=["yes", "no", "maybe"], outputs=3), "`signature.outputs`"),
        (lambda told: told["data"].update(transforms=None), "`data`"),
        (lambda told: told.update(read={"delimiter": 7}), "`read`"),
    ],
)
def test_a_signature_that_was_edited_is_named(edit: Edit, named: str, finished: Path, tmp_path: Path) -> None:
    told = _told(finished)
    edit(told)
    said = _sentence(_predict(finished, _edited(finished, tmp_path / "edited", told)))
    assert named in said
    assert "model.json" in said


def _places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where every value of a document is."""
    inner: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    for key, one in inner:
        yield (*path, key)
        yield from _places(one, (*path, key))


@pytest.mark.parametrize("part", ["signature", "read"])
def test_no_value_of_the_signature_can_be_changed_into_a_traceback(part: str, finished: Path, tmp_path: Path) -> None:
    whole = _told(finished)
    whole["read"] = {"delimiter": ","}
    for *path, last in _places(whole[part]):
        for value in CHANGED:
            told = copy.deepcopy(whole)
            place = told[part]
            for key in path:
                place = place[key]
            place[last] = value
            result = _predict(finished, _edited(finished, tmp_path / "edited", told))
            if result.exit_code:
                _sentence(result)


def _model(finished: Path) -> onnx.ModelProto:
    return onnx.load(str(finished / "run" / "model.onnx"))


def test_a_model_of_other_inputs_is_none_of_this_signature(finished: Path, tmp_path: Path) -> None:
    model = _model(finished)
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 2
    said = _sentence(_predict(finished, _edited(finished, tmp_path / "m", _told(finished), model.SerializeToString())))
    assert "model.onnx" in said
    assert "as its run wrote it" in said


def test_bytes_that_are_no_model_are_called_so(finished: Path, tmp_path: Path) -> None:
    for data in (b"", b"no model", b"....ORTM location", _model(finished).SerializeToString()[:-40]):
        said = _sentence(_predict(finished, _edited(finished, tmp_path / "m", _told(finished), data)))
        assert "model.onnx" in said


@pytest.mark.parametrize("location", ["secret", "../secret", "/etc/hostname"])
def test_a_tensor_in_another_file_is_never_read(location: str, finished: Path, tmp_path: Path) -> None:
    model = _model(finished)
    tensor = next(one for one in model.graph.initializer if numpy_helper.to_array(one).dtype.kind == "f")
    inside = numpy_helper.to_array(tensor).tobytes()
    onnx.external_data_helper.set_external_data(tensor, location)
    tensor.ClearField("raw_data")
    folder = _edited(finished, tmp_path / "bundle", _told(finished), model.SerializeToString())
    for place in (folder / "secret", tmp_path / "secret"):
        place.write_bytes(inside)
    assert "keeps tensors in other files (ONNX external data)" in _sentence(_predict(finished, folder))
