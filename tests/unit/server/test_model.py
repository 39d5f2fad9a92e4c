"""What is served is what the run wrote, and tensors are checked before they reach it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from headway_server.errors import BadModel, InvalidRequest
from headway_server.model import ServedModel, TensorInfo
from served import ECHO_SIGNATURE, OPSET, bundle, echo, feeds


@pytest.fixture
def model(tmp_path: Path) -> ServedModel:
    return ServedModel.open(str(bundle(tmp_path / "run")))


def test_a_model_tells_what_it_takes_and_gives_and_is_called_as_its_job(model: ServedModel) -> None:
    assert (model.name, model.version) == ("churn", "1")
    assert model.inputs == (TensorInfo("size", "FP64", (-1, 1)), TensorInfo("town", "BYTES", (-1, 1)))
    assert model.outputs == (TensorInfo("label", "BYTES", (-1,)), TensorInfo("probabilities", "FP32", (-1, 2)))


def test_it_answers_rows_in_their_order(model: ServedModel) -> None:
    rows = feeds([1.5, 2.0, -3.0], ["Kobe", "Łódź", ""])
    assert model.check(rows) == 3
    told = model.run(rows)
    assert list(told["label"]) == ["Kobe", "Łódź", ""]
    assert told["probabilities"].tolist() == [[1.5, 3.0], [2.0, 4.0], [-3.0, -6.0]]


def test_a_folder_may_be_a_file_uri_and_what_it_is_called_may_be_given(tmp_path: Path) -> None:
    folder = bundle(tmp_path / "a run")
    model = ServedModel.open(f"file://{folder}".replace(" ", "%20"), name="own", version="7")
    assert (model.name, model.version) == ("own", "7")


def _external() -> bytes:
    model = onnx.load_from_string(echo())
    tensor = numpy_helper.from_array(np.array([-1]), "flat")
    onnx.external_data_helper.set_external_data(tensor, "../secret")
    tensor.ClearField("raw_data")
    model.graph.initializer[0].CopyFrom(tensor)
    return bytes(model.SerializeToString())


def _other_graph() -> bytes:
    taken = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])
    given = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "other", [taken], [given])
    return bytes(helper.make_model(graph, opset_imports=OPSET, ir_version=10).SerializeToString())


def _without_info(folder: Path) -> None:
    (bundle(folder) / "model.json").unlink()


def _edited_info(**change: Any) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        file = bundle(folder) / "model.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | change))

    return make


def _other_bytes(folder: Path) -> None:
    with (bundle(folder) / "model.onnx").open("ab") as stream:
        stream.write(b"x")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda _: None, "model.json is not there: give the folder of a finished run"),
        (_without_info, "model.json is not there"),
        (lambda folder: (bundle(folder) / "model.json").write_text("{"), "is not what this version of Headway reads"),
        (_edited_info(version=99), "made by a newer version of Headway"),
        (_edited_info(files={}), "report.md there says why"),
        (_edited_info(signature=None), "report.md there says why"),
        (_other_bytes, "copy the folder again"),
        (lambda folder: (bundle(folder) / "model.onnx").unlink(), "model.onnx is not there"),
        (lambda folder: bundle(folder, b"no model"), "model.onnx is no"),
        (lambda folder: bundle(folder, _external()), "keeps tensors in other files"),
        (lambda folder: bundle(folder, _other_graph()), "takes 'x', a tensor(float) of shape ['N', 3]"),
    ],
)
def test_a_folder_that_holds_no_such_model_is_refused_with_a_sentence(
    make: Callable[[Path], object], words: str, tmp_path: Path
) -> None:
    make(tmp_path / "run")
    with pytest.raises(BadModel) as refused:
        ServedModel.open(str(tmp_path / "run"))
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_storage_elsewhere_is_said_to_be_not_read() -> None:
    with pytest.raises(BadModel, match="s3://bucket/run: the server reads folders of this machine"):
        ServedModel.open("s3://bucket/run")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"size": None}, "'size' is missing"),
        ({"other": np.zeros((2, 1))}, "has no input 'other'"),
        ({"size": np.zeros((2, 1), np.float32)}, "'size' must be FP64, but it is an array of float32"),
        ({"size": np.zeros(2)}, "'size' must have the shape [-1, 1], -1 being the rows, not [2]"),
        ({"size": np.zeros((2, 2))}, "not [2, 2]"),
        ({"size": np.array(1.0)}, "not []"),
        ({"size": np.zeros((3, 1))}, "has 2 rows, the inputs before it 3"),
    ],
)
def test_tensors_that_the_model_does_not_take_are_told_by_name(
    change: dict[str, Any], words: str, model: ServedModel
) -> None:
    rows = {name: one for name, one in (dict(feeds([1, 2], ["a", "b"])) | change).items() if one is not None}
    with pytest.raises(InvalidRequest) as refused:
        model.check(rows)
    assert words in str(refused.value)


def test_no_rows_are_no_request(model: ServedModel) -> None:
    with pytest.raises(InvalidRequest, match="there is no row"):
        model.check(feeds([], []))


def test_signature_and_graph_agree_by_the_rule_that_the_trainer_uses(model: ServedModel) -> None:
    assert model.signature == ECHO_SIGNATURE
