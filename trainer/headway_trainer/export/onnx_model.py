"""The whole model as one ONNX graph: raw rows in; classes and probabilities, or values in their units, out."""

from __future__ import annotations

import math

import numpy as np
import onnx
from onnx import compose
from torch import nn

from headway_api.bundle import ANOMALY_SCORE, LABEL, PROBABILITIES, VALUE
from headway_trainer.data.info import DataInfo
from headway_trainer.export.body import FEATURES, OUTPUTS, export_body
from headway_trainer.export.graph import OnnxGraph, WindowGraph
from headway_trainer.export.record import RESERVED, graph_names
from headway_trainer.tasks import task_of
from headway_trainer.tasks.base import ClassPrediction, ForecastPrediction, RowPrediction, ValuePrediction

_IN, _BODY, _OUT = RESERVED


def onnx_model(model: nn.Module, info: DataInfo) -> onnx.ModelProto:
    """The graph of a model on the CPU, in evaluation mode, of this data. Raises NotExportableError."""
    return whole_model(export_body(model, info.input_shape), info)


def whole_model(body: onnx.ModelProto, info: DataInfo) -> onnx.ModelProto:
    """The graph from features to outputs, with what makes features of raw rows before, and predictions behind it."""
    before = _transforms(info)
    body = compose.add_prefix(body, _BODY)
    axes = len(body.graph.output[0].type.tensor_type.shape.dim) - 1
    prediction = task_of(info).prediction
    said, taken = [f"{_BODY}{OUTPUTS}"], [f"{_OUT}{OUTPUTS}"]
    if isinstance(prediction, RowPrediction):  # it compares them with what the model was given
        after = _reconstruction(prediction, info.input_shape)
        said, taken = [*said, f"{_IN}{FEATURES}"], [*taken, f"{_OUT}{FEATURES}"]
    else:
        after = _predictions(prediction, (info.outputs,) * axes)
    whole = compose.merge_models(before, body, io_map=[(f"{_IN}{FEATURES}", f"{_BODY}{FEATURES}")], outputs=said)
    whole = compose.merge_models(whole, after, io_map=list(zip(said, taken, strict=True)))
    whole.producer_name = "headway"
    onnx.checker.check_model(whole, full_check=True)
    return whole


def _transforms(info: DataInfo) -> onnx.ModelProto:
    chain = info.transforms
    if chain is None:
        raise ValueError("no rows were prepared")
    names, result = graph_names(chain.tensors), f"{_IN}{FEATURES}"
    if info.forecast is not None:
        windows = WindowGraph(_IN, names, info.forecast.history)
        features = windows.windows(chain.onnx(windows), info.input_shape[-1])
        return windows.model({result: (features, "float", info.input_shape)})
    graph = OnnxGraph(_IN, names)
    return graph.model({result: (chain.onnx(graph), "float", chain.input_shape)})


def _predictions(
    prediction: ClassPrediction | ValuePrediction | ForecastPrediction, shape: tuple[int, ...]
) -> onnx.ModelProto:
    """From a model's outputs, (rows, *shape), to what they mean, as `prediction.of` says it in torch."""
    graph = OnnxGraph(_OUT)
    outputs = graph.value(f"{_OUT}{OUTPUTS}", "float", shape)
    if isinstance(prediction, ClassPrediction):
        count = len(prediction.classes)
        index = graph.node("ArgMax", outputs, axis=1, keepdims=0)
        label = graph.node(
            "LabelEncoder",
            index,
            domain="ai.onnx.ml",
            keys_int64s=list(range(count)),
            values_strings=prediction.classes,
        )
        probabilities = graph.node("Softmax", outputs, axis=1)
        return graph.model({LABEL: (label, "string", ()), PROBABILITIES: (probabilities, "float", (count,))})
    targets = len(prediction.targets)
    row = (prediction.horizon, targets) if isinstance(prediction, ForecastPrediction) else (targets,)
    wanted = graph.constant(np.array([-1, *row], dtype=np.int64))
    value = graph.node("Reshape", graph.node("Cast", outputs, to="double"), wanted)
    mean, std = (graph.constant(np.array(numbers)) for numbers in (prediction.mean, prediction.std))
    value = graph.node("Add", graph.node("Mul", value, std), mean)
    return graph.model({VALUE: (value, "double", row)})


def _reconstruction(prediction: RowPrediction, shape: tuple[int, ...]) -> onnx.ModelProto:
    """From reconstructed features and the features, (rows, *shape), to what `prediction.of` says in torch."""
    graph = OnnxGraph(_OUT)
    outputs, features = (
        graph.node("Cast", graph.value(f"{_OUT}{name}", "float", shape), to="double") for name in (OUTPUTS, FEATURES)
    )
    flat = graph.constant(np.array([-1, math.prod(shape)], dtype=np.int64))
    errors = graph.node("Reshape", graph.node("Sub", outputs, features), flat)
    axis = graph.constant(np.array([1], dtype=np.int64))
    score = graph.node("ReduceMean", graph.node("Mul", errors, errors), axis, keepdims=0)
    results: dict[str, tuple[str, str, tuple[int, ...]]] = {ANOMALY_SCORE: (score, "double", ())}
    restore = prediction.restore
    if all(restore.row_shape):
        value = outputs
        if restore.places is not None:
            value = graph.node("Gather", outputs, graph.constant(np.array(restore.places, dtype=np.int64)), axis=1)
        if restore.statistics is not None:
            offset, divisor = (graph.constant(numbers) for numbers in restore.statistics)
            value = graph.node("Add", graph.node("Mul", value, divisor), offset)
        results[VALUE] = (value, "double", restore.row_shape)
    return graph.model(results)
