"""A fitted estimator as an ONNX graph from features to outputs, and as a module that runs it."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from headway_trainer.data.info import DataInfo
from headway_trainer.errors import UserError
from headway_trainer.estimators.form import LEAST_PROBABILITY, Form, Linear, Trees
from headway_trainer.export.body import FEATURES, OUTPUTS, reason
from headway_trainer.export.graph import IR_VERSION, OnnxGraph, opsets

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


def body_of(fit: object, info: DataInfo, name: str) -> bytes:
    """The graph of what the model of this name was fitted to: of a Form, or the graph itself that another package's
    estimator gives. Raises UserError for a graph that does not fit, and for what is none: without one nothing can be
    kept, judged or served."""
    if isinstance(fit, Form):
        return _bytes(estimator_body(fit, info.input_shape))
    if not isinstance(fit, onnx.ModelProto):
        raise UserError(
            f"model.name {name}: fit gave a {type(fit).__name__}: it must give an onnx.ModelProto, or a Form of "
            "headway_trainer.estimators.form, as a model without a graph cannot be exported"
        )
    try:
        return _bytes(_checked(fit, info))
    except ValueError as error:
        raise UserError(f"model.name {name}: the graph that fit gave {error}") from error


def _bytes(graph: onnx.ModelProto) -> bytes:
    data: bytes = graph.SerializeToString()
    return data


def _checked(graph: onnx.ModelProto, info: DataInfo) -> onnx.ModelProto:
    """A package's graph in the operators of ours. Raises ValueError, with a clause, for one that does not fit."""
    given = [one.name for one in graph.graph.input], [one.name for one in graph.graph.output]
    if given != ([FEATURES], [OUTPUTS]):
        raise ValueError(f"takes {given[0]} and gives {given[1]}: name its input {FEATURES}, and its output {OUTPUTS}")
    ours = {one.domain: one.version for one in opsets()}
    theirs = {one.domain: one.version for one in graph.opset_import}
    if other := [
        f"{domain or 'ai.onnx'} {version}" for domain, version in theirs.items() if ours.get(domain) != version
    ]:
        wanted = ", ".join(f"{domain or 'ai.onnx'} {version}" for domain, version in ours.items())
        raise ValueError(f"has the operators of {', '.join(other)}: make it with {wanted}")
    graph = onnx.ModelProto.FromString(graph.SerializeToString())  # the package's own stays as it is
    graph.ir_version = IR_VERSION
    try:
        onnx.checker.check_model(graph, full_check=True)
        x = torch.zeros(2, *info.input_shape)
        made = BodyModule(_bytes(graph), 1)(x)
    except Exception as error:  # whatever the checker or the runtime says of it
        raise ValueError(f"cannot be run: {reason(error)}") from error
    if made.shape != (len(x), info.outputs) or made.dtype != torch.float32:
        raise ValueError(f"gives {made.dtype} {tuple(made.shape)} for 2 rows: it must give float32 (2, {info.outputs})")
    return graph


def _linear(graph: OnnxGraph, x: str, form: Linear) -> str:
    product = graph.node("MatMul", x, graph.constant(form.weights.astype(np.float32)))
    return graph.node("Add", product, graph.constant(form.bias.astype(np.float32)))


def _trees(graph: OnnxGraph, x: str, form: Trees) -> str:
    less = "BRANCH_LT" if form.strict else "BRANCH_LEQ"
    missing = (
        {} if form.missing_left is None else {"nodes_missing_value_tracks_true": form.missing_left.astype(int).tolist()}
    )
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
        nodes_modes=np.where(form.leaf, "LEAF", less).tolist(),
        nodes_truenodeids=form.left.tolist(),
        nodes_falsenodeids=form.right.tolist(),
        target_treeids=form.value_tree.tolist(),
        target_nodeids=form.value_node.tolist(),
        target_ids=form.value_column.tolist(),
        target_weights=form.value.tolist(),
        **missing,
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
