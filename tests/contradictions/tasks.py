"""Contradictions about tasks that need more said of the data: forecasts, reconstructions, labelled files."""

from __future__ import annotations

from contradictions.specs import DIABETES, DIGITS, IN_PARTS, LABELLED, SALES, TABLE, UNLABELLED, column, made

OF_FORECASTS = [
    made(SALES, {"data/forecast": None}, "data.forecast", "is missing", "history: 48"),
    made(SALES, {"data/task": None}, "data.forecast", "data.task is not set", "forecasting"),
    made(
        SALES,
        {"data/task": "regression", "data/columns": None},
        "data.forecast",
        "data.task is regression",
        "forecasting",
    ),
    made(SALES, {"data/columns": {"store": {"role": "group"}}}, "data.columns", "the role time", "NAME: {role: time}"),
    made(SALES, {"data/columns": None}, "data.columns", "the role time"),
    made(SALES, {"data/source/uri": "sales.npz", "data/columns": None}, "data.task", "npz", "csv, parquet or jsonl"),
    made(DIABETES, {"data/task": "forecasting", "data/forecast": {"history": 4, "horizon": 2}}, "data.task", "regr"),
    made(SALES, {"data/source": IN_PARTS}, "data.source.parts", "parts cannot be given", "one uri"),
    made(SALES, {"data/split/method": "random"}, "data.split.method", "random would let the model see", "write time"),
    made(SALES, {"data/split/method": "group"}, "data.split.method", "group would let the model see"),
    made(SALES, {"data/split/seed": 3}, "data.split.seed", "a split by time draws nothing"),
    made(SALES, {"data/columns/part": {"role": "fold"}}, "data.columns.part.role", "fold has no use"),
    made(SALES, {"data/columns/w": {"role": "weight"}}, "data.columns.w.role", "weight has no use", "many rows"),
    made(SALES, {"data/columns/sold": {"kind": "category"}}, "data.columns.sold.kind", "forecasting", "number"),
    made(SALES, {"data/missingTargets": "drop"}, "data.missingTargets", "take steps out", "fill in the targets"),
    made(SALES, {"data/forecast/season": 52}, "data.forecast.season", "52", "the history of 28"),
    made(SALES, {"training/classWeights": "balanced"}, "training.classWeights", "a forecast has none"),
    made(SALES, {"model/name": "cnn"}, "model.name", "cnn is for images", "mlp or gru"),
    made(TABLE, {"model/name": "gru"}, "model.name", "gru is for series", "parquet holds a table", "mlp"),
    made(SALES, {"evaluation/metrics": ["mase", "f1"]}, "evaluation.metrics[1]", "f1 is no metric of forecasting"),
    made(DIABETES, {"evaluation/metrics": ["mase"]}, "evaluation.metrics[0]", "mase is no metric of regression"),
]

OF_RECONSTRUCTIONS = [
    made(UNLABELLED, {"data/target": "churned"}, "data.target", '"churned"', "learns the features themselves"),
    made(UNLABELLED, {"data/targets": ["a", "b"]}, "data.targets", '"a", "b" cannot', "take targets out"),
    column(UNLABELLED, "churned", {"role": "target"}, "role", "target is no role in a reconstruction", "ignore"),
    made(UNLABELLED, {"data/missingTargets": "drop"}, "data.missingTargets", "drop", "has no target"),
    made(UNLABELLED, {"model/name": "mlp"}, "model.name", "mlp is for classification", "autoencoder"),
    made(DIGITS, {"data/task": "reconstruction"}, "model.name", "data.task is reconstruction", "autoencoder"),
    made(TABLE, {"model/name": "autoencoder"}, "model.name", "never guessed", "set data.task to reconstruction"),
    made(DIGITS, {"model/name": "autoencoder", "data/task": "classification"}, "model.name", "classification", "mlp"),
    made(UNLABELLED, {"model/options": {"beta": 0.5}}, "model.options.beta", "variational"),
    made(UNLABELLED, {"training/classWeights": "balanced"}, "training.classWeights", "a reconstruction has none"),
    made(UNLABELLED, {"evaluation/metrics": ["accuracy"]}, "evaluation.metrics[0]", "accuracy", "mse"),
    made(UNLABELLED, {"training/checkpoint": {"metric": "validation/f1"}}, "training.checkpoint.metric", "f1", "mse"),
]

OF_LABELS = [
    made(LABELLED, {"data/source/labels/file": "labels.txt"}, "data.source.labels.file", '"labels.txt"', "csv"),
    made(LABELLED, {"data/source/labels/file": "a.png"}, "data.source.labels.file", "imageFolder", "parquet or jsonl"),
    made(LABELLED, {"data/source/labels/file": "http://a/b.csv"}, "data.source.labels.file", "http://", "local path"),
    made(
        LABELLED,
        {"data/source/labels/imageColumn": "species"},
        "data.source.labels.imageColumn",
        '"species" is the target',
        "another column",
    ),
    made(
        {**LABELLED, "model": {"name": "autoencoder"}},
        {"data/task": "reconstruction", "data/target": None},
        "data.source.labels",
        "learns the images themselves",
        "take labels out",
    ),
    made(
        LABELLED, {"data/columns": {"age": {"role": "feature"}}}, "data.columns.age", "from the images alone", "ignore"
    ),
    made(
        LABELLED, {"data/columns": {"age": {"kind": "number"}}}, "data.columns.age", "from the images alone", "weight"
    ),
    made(
        LABELLED,
        {"data/source/labels/imageColumn": "file", "data/columns": {"file": {"kind": "text"}}},
        "data.columns.file",
        "names the images",
        "take it out of columns",
    ),
    column(LABELLED, "note", {"kind": "image", "role": "ignore"}, "kind", "image", "csv", "category"),
    made(LABELLED, {"data/source/labels/file": "../labels.csv"}, "data.source.labels.file", "'..'", "full path"),
    made(LABELLED, {"data/source/format": "npz"}, "data.source.labels", "the source is npz", "take labels out"),
    made(
        DIGITS,
        {"data/source/labels": {"file": "a.csv"}},
        "data.source.labels",
        "the source is the built-in digits",
        "take labels out",
    ),
    made(LABELLED, {"data/target": None}, "data.target", "target is missing", "name the column of the labels"),
    made(
        LABELLED,
        {"data/source/labels/file": "labels.parquet", "data/read": {"delimiter": ";"}},
        "data.read",
        "the labels are parquet",
        "take read out",
    ),
    made(LABELLED, {"model/name": "gru"}, "model.name", "gru is for series", "holds images"),
]
