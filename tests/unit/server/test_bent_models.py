"""The wrong models of the tests of rollouts are wrong in the way that they are meant to be, and in no other."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

import bent_models
from bent_models import MANY
from headway_server.model import RUNTIME_ERRORS
from served import bundle


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A bundle of a model that gives each image back."""
    sizes: list[str | int | None] = ["N", 1, 8, 8]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "images",
        [helper.make_tensor_value_info("x", TensorProto.DOUBLE, sizes)],
        [helper.make_tensor_value_info("y", TensorProto.DOUBLE, sizes)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return bundle(tmp_path / "source", model.SerializeToString())


def opened(folder: Path) -> Any:
    """A session of the model in a folder."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(folder / "model.onnx", options)


def images(rows: int) -> Any:
    """Rows of which no two values are alike."""
    return np.arange(rows * 64, dtype=np.float64).reshape(rows, 1, 8, 8)


@pytest.mark.parametrize("bend", [None, bent_models.upside_down, bent_models.failing(0.5), bent_models.slow(10)])
def test_a_copy_is_whole_and_its_digest_is_that_of_its_model_json(source: Path, tmp_path: Path, bend: Any) -> None:
    digest = bent_models.copy(source, tmp_path / "copy", bend)
    info = (tmp_path / "copy/model.json").read_bytes()
    assert digest == f"sha256:{hashlib.sha256(info).hexdigest()}"
    told = json.loads(info)["files"]["onnx"]
    assert told["sha256"] == hashlib.sha256((tmp_path / "copy/model.onnx").read_bytes()).hexdigest()


def test_images_are_turned(source: Path, tmp_path: Path) -> None:
    bent_models.copy(source, tmp_path / "copy", bent_models.upside_down)
    [found] = opened(tmp_path / "copy").run(None, {"x": images(3)})
    assert np.array_equal(found, images(3)[:, :, ::-1])


def test_a_share_of_large_requests_fails_and_no_small_one(source: Path, tmp_path: Path) -> None:
    bent_models.copy(source, tmp_path / "copy", bent_models.failing(0.4))
    session = opened(tmp_path / "copy")

    def fails(rows: int) -> bool:
        try:
            [found] = session.run(None, {"x": images(rows)})
        except RUNTIME_ERRORS:
            return True
        assert np.array_equal(found, images(rows))
        return False

    assert 100 < sum(fails(MANY) for _ in range(400)) < 220
    assert not any(fails(MANY - 1) for _ in range(50))


def test_large_requests_are_slow_and_answered_right(source: Path, tmp_path: Path) -> None:
    bent_models.copy(source, tmp_path / "copy", bent_models.slow(600))
    session = opened(tmp_path / "copy")

    def seconds(rows: int) -> float:
        began = time.process_time()
        [found] = session.run(None, {"x": images(rows)})
        assert np.array_equal(found, images(rows))
        return time.process_time() - began

    assert min(seconds(MANY) for _ in range(3)) > 10 * min(seconds(MANY - 1) for _ in range(3))
