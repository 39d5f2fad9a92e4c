"""Copies of a served image model that are wrong in one way each: they fail, are slow, or give other labels.

What fails or is slow does so for requests of MANY rows alone, so that a server warms up and becomes ready all the same.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from headway_api.bundle import MODEL_INFO_FILE, ONNX_FILE

MANY = 10
Bend = Callable[[str, str], list[Any]]
"""From the names of the graph's input and of what it is to be in its place, to the nodes and initializers for it."""


def copy(source: Path, target: Path, bend: Bend | None = None) -> str:
    """A copy of a model's folder, bent or not, that is otherwise whole; the digest by which a deployment names it."""
    shutil.copytree(source, target)
    info_file = target / MODEL_INFO_FILE
    info: dict[str, Any] = json.loads(info_file.read_text())
    if bend is not None:
        _bend(target / ONNX_FILE, bend)
        data = (target / ONNX_FILE).read_bytes()
        info["files"]["onnx"].update(sha256=hashlib.sha256(data).hexdigest(), sizeBytes=len(data))
        info_file.write_text(json.dumps(info))
    for path in (target, *target.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return f"sha256:{hashlib.sha256(info_file.read_bytes()).hexdigest()}"


def _bend(file: Path, bend: Bend) -> None:
    model = onnx.load(file)
    graph, name = model.graph, model.graph.input[0].name
    for node in graph.node:
        node.input[:] = ["bent/x" if each == name else each for each in node.input]
    made = bend(name, "bent/x")
    nodes = [each for each in made if isinstance(each, onnx.NodeProto)]
    graph.initializer.extend(each for each in made if isinstance(each, onnx.TensorProto))
    kept = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *kept])
    onnx.checker.check_model(model)
    onnx.save(model, file)


def _constant(name: str, value: Any, dtype: Any) -> Any:
    return numpy_helper.from_array(np.array(value, dtype), name)


def _many(name: str) -> list[Any]:
    """bent/many: whether there are many rows."""
    return [
        helper.make_node("Shape", [name], ["bent/rows"], start=0, end=1),
        _constant("bent/limit", [MANY], np.int64),
        helper.make_node("GreaterOrEqual", ["bent/rows", "bent/limit"], ["bent/many"]),
    ]


def upside_down(name: str, bent: str) -> list[Any]:
    """Each image is turned: most labels are others, and no request fails."""
    return [
        _constant("bent/starts", [-1], np.int64),
        _constant("bent/ends", [-(2**31)], np.int64),
        _constant("bent/axes", [2], np.int64),
        _constant("bent/steps", [-1], np.int64),
        helper.make_node("Slice", [name, "bent/starts", "bent/ends", "bent/axes", "bent/steps"], [bent]),
    ]


def failing(share: float) -> Bend:
    """So many of the runs with many rows end in an error of the graph."""

    def nodes(name: str, bent: str) -> list[Any]:
        return [
            *_many(name),
            helper.make_node("RandomUniform", [], ["bent/drawn"], shape=[1], low=0.0, high=1.0, seed=7.0),
            _constant("bent/share", [share], np.float32),
            helper.make_node("Less", ["bent/drawn", "bent/share"], ["bent/hit"]),
            helper.make_node("And", ["bent/hit", "bent/many"], ["bent/bad"]),
            helper.make_node("Cast", ["bent/bad"], ["bent/index"], to=onnx.TensorProto.INT64),
            # There is no element of index 1.
            _constant("bent/nothing", [0.0], np.float64),
            helper.make_node("Gather", ["bent/nothing", "bent/index"], ["bent/zero"]),
            helper.make_node("Add", [name, "bent/zero"], [bent]),
        ]

    return nodes


def slow(size: int) -> Bend:
    """A run with many rows multiplies two matrices of size x size first."""

    def nodes(name: str, bent: str) -> list[Any]:
        return [
            *_many(name),
            _constant("bent/large", [size], np.int64),
            _constant("bent/small", [1], np.int64),
            helper.make_node("Where", ["bent/many", "bent/large", "bent/small"], ["bent/size"]),
            helper.make_node("Concat", ["bent/size", "bent/size"], ["bent/shape"], axis=0),
            helper.make_node("ReduceMean", [name], ["bent/mean"], keepdims=0),
            helper.make_node("Cast", ["bent/mean"], ["bent/seed"], to=onnx.TensorProto.FLOAT),
            helper.make_node("Expand", ["bent/seed", "bent/shape"], ["bent/matrix"]),
            helper.make_node("MatMul", ["bent/matrix", "bent/matrix"], ["bent/product"]),
            helper.make_node("ReduceMean", ["bent/product"], ["bent/found"], keepdims=0),
            helper.make_node("Cast", ["bent/found"], ["bent/wide"], to=onnx.TensorProto.DOUBLE),
            _constant("bent/nought", 0.0, np.float64),
            helper.make_node("Mul", ["bent/wide", "bent/nought"], ["bent/zero"]),
            helper.make_node("Add", [name, "bent/zero"], [bent]),
        ]

    return nodes
