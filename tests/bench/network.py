"""The model that servers are measured with, a small network, and a request to it."""

from __future__ import annotations

import itertools
import json
import time
from pathlib import Path

import numpy as np
import orjson
from onnx import TensorProto, helper, numpy_helper

from headway_api.bundle import Input, Output, Provenance, Signature
from headway_server.model import ServedModel
from served import OPSET, bundle

WIDTHS = (64, 128, 128, 10)


def network(folder: Path) -> Path:
    """A finished model, its weights drawn."""
    draw = np.random.default_rng(0)
    weights, nodes, last = [], [], "x"
    for layer, (wide, next_wide) in enumerate(itertools.pairwise(WIDTHS)):
        matrix = draw.normal(size=(wide, next_wide)).astype(np.float32) / wide**0.5
        weights.append(numpy_helper.from_array(matrix, f"w{layer}"))
        nodes += [
            helper.make_node("MatMul", [last, f"w{layer}"], [f"m{layer}"]),
            helper.make_node("Relu" if layer < len(WIDTHS) - 2 else "Softmax", [f"m{layer}"], [f"a{layer}"]),
        ]
        last = f"a{layer}"
    nodes[-1].output[0] = "probabilities"
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", WIDTHS[0]])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", WIDTHS[-1]])],
        weights,
    )
    data = helper.make_model(graph, opset_imports=OPSET, ir_version=10).SerializeToString()
    told = Signature(
        inputs=[Input(name="x", column="x", type="float", shape=[WIDTHS[0]], missing="NaN")],
        outputs=[Output(name="probabilities", type="float", shape=[WIDTHS[-1]])],
    )
    return bundle(folder, data, told, provenance=Provenance(job="network"))


def body() -> bytes:
    """A request's JSON."""
    values = [round(float(one), 6) for one in np.random.default_rng(1).normal(size=WIDTHS[0])]
    return json.dumps({"inputs": [{"name": "x", "shape": [1, 64], "datatype": "FP32", "data": values}]}).encode()


def in_process(folder: Path, count: int = 2000) -> float:
    """The median of JSON to a row, the run, and JSON of the answer, in milliseconds."""
    model, sent, taken = ServedModel.open(str(folder)), body(), []
    for _ in range(count):
        start = time.perf_counter()
        tensor = orjson.loads(sent)["inputs"][0]
        given = np.array(tensor["data"], dtype=np.float32).reshape(tensor["shape"])
        orjson.dumps({"data": model.run({"x": given})["probabilities"]}, option=orjson.OPT_SERIALIZE_NUMPY)
        taken.append(time.perf_counter() - start)
    return float(np.median(taken)) * 1e3
