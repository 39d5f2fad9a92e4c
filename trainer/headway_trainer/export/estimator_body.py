"""A fitted estimator as an ONNX graph from features to outputs, and as a module that runs it."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from headway_trainer.estimators.form import LEAST_PROBABILITY, Form, Linear, Trees
from headway_trainer.export.body import FEATURES, OUTPUTS
from headway_trainer.export.graph import OnnxGraph

_LEAST = np.array(math.log(LEAST_PROBABILITY), np.float32)


def estimator_body(form: Form, input_shape: tuple[int, ...]) -> onnx.ModelProto:
    """The graph: `features`, float (N, *input_shape), to `outputs`, float (N, outputs): standardised targets, or the
    logarithms of the classes' probabilities."""
    graph = OnnxGraph("")
    x = graph.value(FEATURES, "float", input_shape)
    if len(input_shape) > 1:
        x = graph.node("Flatten", x, axis=1)
    raw = _linear(graph, x, form.raw) if isinstance(form.raw, Linear) else _trees(graph, x, form.raw)
    outputs = raw if form.gives == "values" else _logarithms(graph, raw, form)
    return graph.model({OUTPUTS: (outputs, "float", (form.outputs,))})


def _linear(graph: OnnxGraph, x: str, form: Linear) -> str:
    product = graph.node("MatMul", x, graph.constant(form.weights.astype(np.float32)))
    return graph.node("Add", product, graph.constant(form.bias.astype(np.float32)))


def _trees(graph: OnnxGraph, x: str, form: Trees) -> str:
    total = graph.node(
        "TreeEnsembleRegressor",
        x,
        domain="ai.onnx.ml",
        aggregate_function="SUM",
        post_transform="NONE",
        n_targets=form.columns,
        base_values=form.base.tolist(),
        nodes_treeids=form.tree.tolist(),
        nodes_nodeids=form.node.tolist(),
        nodes_featureids=form.feature.tolist(),
        nodes_values=form.threshold.tolist(),
        nodes_modes=np.where(form.leaf, "LEAF", "BRANCH_LEQ").tolist(),
        nodes_truenodeids=form.left.tolist(),
        nodes_falsenodeids=form.right.tolist(),
        target_treeids=form.value_tree.tolist(),
        target_nodeids=form.value_node.tolist(),
        target_ids=form.value_column.tolist(),
        target_weights=form.value.tolist(),
    )
    return (
        total if form.divisor == 1.0 else graph.node("Div", total, graph.constant(np.array([form.divisor], np.float32)))
    )


def _logarithms(graph: OnnxGraph, raw: str, form: Form) -> str:
    """Of the probabilities of all classes; those without a training row get the least one."""
    if form.gives == "margins":
        logarithms = graph.node("Max", graph.node("LogSoftmax", raw, axis=1), graph.constant(_LEAST))
    else:
        least = graph.constant(np.array(LEAST_PROBABILITY, np.float32))
        logarithms = graph.node("Log", graph.node("Max", raw, least))
    if form.labels == tuple(range(form.outputs)):
        return logarithms
    places = {label: column for column, label in enumerate(form.labels)}
    chosen = [places.get(label, len(places)) for label in range(form.outputs)]
    with_least = graph.node("Pad", logarithms, graph.constant(np.array([0, 0, 0, 1])), graph.constant(_LEAST))
    return graph.node("Gather", with_least, graph.constant(np.array(chosen)), axis=1)


class BodyModule(nn.Module):
    """Runs such a graph on the CPU."""

    def __init__(self, body: bytes, threads: int) -> None:
        super().__init__()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        # So that the module's state tells which model it is, as others' weights do.
        self.register_buffer("digest", torch.frombuffer(bytearray(hashlib.sha256(body).digest()), dtype=torch.uint8))
        self._session = onnxruntime.InferenceSession(body, options, providers=["CPUExecutionProvider"])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: float32 (rows, *input_shape). Returns float32 (rows, outputs) on the device of x."""
        outputs = self._session.run([OUTPUTS], {FEATURES: x.cpu().numpy()})[0]
        return torch.from_numpy(outputs).to(x.device)
