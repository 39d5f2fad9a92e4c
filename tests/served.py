"""Models to serve that nobody trained: one gives back what it was given, so that answers are known; one is slow."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from pydantic import JsonValue

from headway_api.bundle import BundleInfo, FileDigest, Input, Output, Provenance, Signature

OPSET = [helper.make_opsetid("", 21)]
ECHO_SIGNATURE = Signature(
    inputs=[
        Input(name="size", column="size", type="double", shape=[1], missing="NaN"),
        Input(name="town", column="town", type="string", shape=[1], missing="empty text"),
    ],
    outputs=[
        Output(name="label", type="string", shape=[]),
        Output(name="probabilities", type="float", shape=[2], names=["no", "yes"]),
    ],
)
ECHO_DATA: dict[str, JsonValue] = {
    "transforms": {
        "kind": "table",
        "transforms": [
            {"kind": "number", "inputs": ["size"]},
            {"kind": "category", "inputs": ["town"], "categories": ["Kobe", "7", "true"]},
        ],
    }
}


def echo(mark: str = "") -> bytes:
    """label: the town, with a mark behind it; probabilities: the size, and the size doubled."""
    nodes = [
        helper.make_node("StringConcat", ["town", "mark"], ["marked"]),
        helper.make_node("Reshape", ["marked", "flat"], ["label"]),
        helper.make_node("Add", ["size", "size"], ["twice"]),
        helper.make_node("Concat", ["size", "twice"], ["both"], axis=1),
        helper.make_node("Cast", ["both"], ["probabilities"], to=TensorProto.FLOAT),
    ]
    graph = helper.make_graph(
        nodes,
        "echo",
        [
            helper.make_tensor_value_info("size", TensorProto.DOUBLE, ["N", 1]),
            helper.make_tensor_value_info("town", TensorProto.STRING, ["N", 1]),
        ],
        [
            helper.make_tensor_value_info("label", TensorProto.STRING, ["N"]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 2]),
        ],
        [
            helper.make_tensor("flat", TensorProto.INT64, [1], [-1]),
            numpy_helper.from_array(np.array([mark], dtype=object), "mark"),
        ],
    )
    return bytes(helper.make_model(graph, opset_imports=OPSET, ir_version=10).SerializeToString())


def bundle(folder: Path, model: bytes | None = None, signature: Signature = ECHO_SIGNATURE, **told: Any) -> Path:
    """A folder as a run leaves it, with this model in it."""
    folder.mkdir(parents=True, exist_ok=True)
    data = echo() if model is None else model
    (folder / "model.onnx").write_bytes(data)
    file = FileDigest(name="model.onnx", sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))
    info = BundleInfo[JsonValue](
        files={"onnx": file}, signature=signature, **{"provenance": Provenance(job="churn"), "data": ECHO_DATA} | told
    )
    (folder / "model.json").write_text(info.model_dump_json())
    return folder


def heavy(folder: Path) -> Path:
    """A model whose runs take milliseconds: a large matrix made of one number, multiplied again and again."""
    side, times = 384, 6
    values = ["x", *[f"x{at}" for at in range(times)]]
    nodes = [helper.make_node("Tile", ["y", "tiles"], ["x"])]
    nodes += [helper.make_node("MatMul", [a, "matrix"], [b]) for a, b in itertools.pairwise(values)]
    nodes.append(helper.make_node("ReduceMax", [values[-1], "axes"], ["most"], keepdims=0))
    nodes.append(helper.make_node("Cast", ["most"], ["anomaly_score"], to=TensorProto.DOUBLE))
    weights = {"matrix": np.eye(side, dtype=np.float32), "axes": np.array([1, 2]), "tiles": np.array([1, side, side])}
    graph = helper.make_graph(
        nodes,
        "heavy",
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 1, 1])],
        [helper.make_tensor_value_info("anomaly_score", TensorProto.DOUBLE, ["N"])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    data = helper.make_model(graph, opset_imports=OPSET, ir_version=10).SerializeToString()
    told = Signature(
        inputs=[Input(name="y", column="y", type="float", shape=[1, 1], missing=None)],
        outputs=[Output(name="anomaly_score", type="double", shape=[])],
    )
    return bundle(folder, data, told, provenance=Provenance(job="heavy"))


def feeds(sizes: list[float], towns: list[str]) -> Mapping[str, Any]:
    """Rows as the echo takes them."""
    return {
        "size": np.array(sizes, np.float64).reshape(-1, 1),
        "town": np.array(towns, dtype=object).reshape(-1, 1),
    }
