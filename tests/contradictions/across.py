"""Contradictions between sections that lie far from each other."""

from __future__ import annotations

from typing import Any

from contradictions.specs import (
    ARRAYS,
    CSV,
    DIABETES,
    FOREST,
    IMAGES,
    IN_PARTS,
    IRIS,
    NO_VALIDATION,
    PARTS,
    SALES,
    STOP,
    TABLE,
    UNLABELLED,
    gate,
    made,
)

_BOOSTING: dict[str, Any] = {**FOREST, "model": {"name": "gradientBoosting"}}
_XGBOOST: dict[str, Any] = {**FOREST, "model": {"name": "xgboost"}}
_LINEAR: dict[str, Any] = {**DIABETES, "model": {"name": "linear"}, "training": {}}
_HERE = {"history": 4, "horizon": 2}
_TWO = {"source": {"uri": "a.csv"}, "targets": ["x", "y"]}

ACROSS_SECTIONS = [
    # Gates against what is learnt, and against what a metric can be.
    gate(UNLABELLED, {"metric": "accuracy", "min": 0.9}, "metric", "accuracy is no metric of reconstruction", "mse"),
    gate(UNLABELLED, {"metric": "validation/f1", "min": 0.9}, "metric", "f1 is no metric of reconstruction"),
    gate(UNLABELLED, {"metric": "mase", "max": 1}, "metric", "mase is no metric of reconstruction"),
    gate(SALES, {"metric": "accuracy", "min": 0.9}, "metric", "accuracy is no metric of forecasting", "mase"),
    gate(SALES, {"metric": "rocAuc", "against": {"baseline": True}}, "metric", "rocAuc is no metric of forecasting"),
    gate(DIABETES, {"metric": "mase", "max": 1}, "metric", "mase is no metric of regression", "rmse"),
    gate(_BOOSTING, {"metric": "train/accuracy", "min": 0.9}, "metric", "only train/loss", "validation/accuracy"),
    gate(TABLE, {"metric": "f1", "min": 0}, "min", "0 is always met, as f1 is at least 0", "write more"),
    gate(TABLE, {"metric": "validation/rocAuc", "max": 1}, "max", "1 is always met", "at most 1", "write less"),
    gate(SALES, {"metric": "mae", "min": -1}, "min", "-1 is always met", "at least 0"),
    gate(TABLE, {"metric": "accuracy", "against": {"baseline": True}, "minDelta": 5}, "minDelta", "5 is never", "0.05"),
    gate(TABLE, {"metric": "f1", "against": {"job": "a"}, "minDelta": 1.5}, "minDelta", "from 0 to 1", "write 0.015"),
    gate(TABLE, {"metric": "f1", "against": {"job": "a"}, "minDelta": -2}, "minDelta", "-2 is always met"),
    gate(
        {**SALES, "evaluation": {}},
        {"metric": "validation/mase", "against": {"baseline": True}},
        "against.baseline",
        "the test part alone",
    ),
    # Forecasts of what has no time, and by what cannot forecast.
    made(IMAGES, {"data/task": "forecasting", "data/forecast": _HERE}, "data.task", "a folder of images"),
    made(IMAGES, {"data/task": "forecasting"}, "data.task", "forecasting does not fit", "write classification"),
    made(IMAGES, {"data/forecast": _HERE}, "data.forecast", "a folder of images", "take forecast out"),
    made(IRIS, {"data/forecast": _HERE}, "data.forecast", "the built-in iris", "take forecast out"),
    made(UNLABELLED, {"data/forecast": _HERE}, "data.forecast", "data.task is reconstruction", "forecasting"),
    made(SALES, {"model/name": "gradientBoosting", "training": {}}, "model.name", "series to forecast", "mlp or gru"),
    made(SALES, {"model/name": "linear", "training": {}}, "model.name", "linear is for images and tables"),
    made(SALES, {"model/name": "lstm"}, "model.name", "tables with a column of text", "mlp or gru"),
    made(SALES, {"model/name": "autoencoder"}, "model.name", "autoencoder is for images and tables", "gru"),
    made(SALES, {"data/split/stratify": "never"}, "data.split.stratify", "a forecast has no classes"),
    made(SALES, {"data/columns/store": {"role": "time"}}, "data.columns.store.role", "time is already the role"),
    made(SALES, {"data/columns/sold": {"role": "group"}}, "data.columns.sold.role", "group contradicts data.target"),
    made(SALES, {"data/columns/day": {"role": "time", "kind": "text"}}, "data.columns.day.kind", "text cannot be"),
    made(
        SALES,
        {"data/split": NO_VALIDATION, STOP: {}},
        "training.earlyStopping.metric",
        "the validation part is empty",
        "train/loss",
    ),
    made(
        TABLE,
        {"data/split": NO_VALIDATION, "data/columns": {"age": {"kind": "number"}}, STOP: {}},
        "training.earlyStopping.metric",
        "the validation part is empty",
    ),
    # Reconstructions.
    made(UNLABELLED, {"data/split/stratify": "never"}, "data.split.stratify", "a reconstruction has no classes"),
    made(UNLABELLED, {"model/name": "randomForest", "training": {}}, "model.name", "data.task is reconstruction"),
    made(UNLABELLED, {"model/name": "lstm"}, "model.name", "lstm is for classification and regression", "autoencoder"),
    made(
        {**UNLABELLED, **ARRAYS, "model": {"name": "autoencoder"}},
        {"data/task": "reconstruction", "data/target": "y"},
        "data.target",
        '"y"',
        "take target out",
    ),
    # Models that scikit-learn fits.
    made(_BOOSTING, {"training/checkpoint": {"keepBest": 3}}, "training.checkpoint", "fitted by scikit-learn"),
    made(_BOOSTING, {"training/precision": "fp16"}, "training.precision", "gradientBoosting", "take it out"),
    made(_BOOSTING, {"workers": {"resources": {"gpu": 2}}}, "workers.resources.gpu", "2 has no effect", "take gpu out"),
    made(_BOOSTING, {"workers": {"processes": 4}}, "workers.processes", "4 have no effect", "workers.resources.cpu"),
    made(_XGBOOST, {"training/epochs": 3}, "training.epochs", "xgboost is fitted by XGBoost", "take it out"),
    made(_XGBOOST, {"workers/resources": {"gpu": 1}}, "workers.resources.gpu", "fitted by XGBoost in one process"),
    made(_XGBOOST, {"model/options": {"maxDepth": 0}}, "model.options.maxDepth", "0 is no bound", "write maxLeaves"),
    made(_XGBOOST, {"model/options": {"eta": 0.3}}, "model.options.eta", "unknown field `eta`"),
    made(
        _XGBOOST,
        {"model/options": {"earlyStoppingRounds": 5}, "data/split": NO_VALIDATION},
        "model.options.earlyStoppingRounds",
        "the validation part, which is empty",
        "set data.split.validation above 0",
    ),
    made(FOREST, {"training/gradientAccumulation": 4}, "training.gradientAccumulation", "unknown field"),
    made(_LINEAR, {"model/options": {"maxIterations": 50}}, "model.options.maxIterations", "solved at once"),
    made(_LINEAR, {"training/classWeights": "balanced"}, "training.classWeights", "a regression has none"),
    made(ARRAYS, {"model/name": "lstm"}, "model.name", "npz holds arrays of numbers", "mlp or cnn"),
    made(ARRAYS, {"model/name": "transformer", "data/columns": {"w": {"kind": "series"}}}, "model.name", "series"),
    made(ARRAYS, {"model/name": "cnn", "data/columns": {"w": {"kind": "series"}}}, "model.name", "cnn is for images"),
    made(ARRAYS, {"model/name": "gru", "data/columns": {"w": {"kind": "image"}}}, "model.name", "gru is for series"),
    made(IMAGES, {"model/name": "gru"}, "model.name", "a folder of images holds images", "cnn"),
    made(IMAGES, {"model/name": "autoencoder"}, "model.name", "set data.task to reconstruction"),
    made(TABLE, {"model/options": {"hidden": [], "dropout": 0.5}}, "model.options.dropout", "hidden is empty"),
    # Ways to divide the rows.
    made(DIABETES, {"data/split/stratify": "never"}, "data.split.stratify", "a regression has no classes"),
    made(PARTS, {"data/split/stratify": "never"}, "data.split.stratify", "nothing is left to divide"),
    made(
        TABLE,
        {"data/columns": {"a": {"role": "group"}}, "data/split/stratify": "never"},
        "data.split.stratify",
        "a split by group goes by its column alone",
    ),
    made(
        CSV,
        {"data/source": IN_PARTS, "data/columns": {"a": {"role": "fold"}}},
        "data.columns.a.role",
        "fold divides the rows into parts, and so does data.source.parts",
    ),
    made(
        CSV,
        {"data/source": {"parts": {"train": "a.csv", "validation": "b.csv"}}, "data/split/folds": 3},
        "data.split.folds",
        "data.source.parts.validation",
    ),
    made(IRIS, {"data/missingTargets": "drop"}, "data.missingTargets", "each row of the built-in iris has a target"),
    made(IMAGES, {"data/missingTargets": "drop"}, "data.missingTargets", "a folder of images"),
    made(
        CSV,
        {"data": {**_TWO, "columns": {"y": {"kind": "category"}}}},
        "data.columns.y.kind",
        "category cannot be one of 2 targets",
        "numbers",
    ),
    # Forms of the model.
    made(_BOOSTING, {"export": {"formats": ["safetensors"]}}, "export.formats", "left as onnx alone"),
    made(TABLE, {"export": {"formats": ["pickle"]}}, "export.formats[0]", "safetensors", "onnx"),
    made(SALES, {"export": {"formats": ["onnx", "onnx"]}}, "export.formats", "onnx twice"),
]
