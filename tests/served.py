"""A model to serve that nobody trained: it gives back what it was given, so that tests know every answer."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper
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


def echo() -> bytes:
    """label: the town; probabilities: the size, and the size doubled."""
    nodes = [
        helper.make_node("Reshape", ["town", "flat"], ["label"]),
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
        [helper.make_tensor("flat", TensorProto.INT64, [1], [-1])],
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


def feeds(sizes: list[float], towns: list[str]) -> Mapping[str, Any]:
    """Rows as the echo takes them."""
    return {
        "size": np.array(sizes, np.float64).reshape(-1, 1),
        "town": np.array(towns, dtype=object).reshape(-1, 1),
    }
