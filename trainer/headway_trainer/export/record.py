"""What the trainer writes into `model.json`, and what came of the export. Pure."""

from __future__ import annotations

from headway_api.base import StatusSection
from headway_api.bundle import (
    ANOMALY_SCORE,
    LABEL,
    PROBABILITIES,
    VALUE,
    BundleInfo,
    FileDigest,
    Input,
    Output,
    Parity,
    Signature,
)
from headway_trainer.data.info import DataInfo
from headway_trainer.data.transform import Tensor
from headway_trainer.data.transform.restore import Restore

RESERVED = ("in/", "model/", "out/")
"""What begins the names of values inside the graph."""


class ModelInfo(BundleInfo[DataInfo]):
    """All that is needed to serve the model, or to build it again."""


class Export(StatusSection):
    """What came of the export. Without a file, `problem` says why there is none."""

    file: FileDigest | None = None
    """The exported model."""
    signature: Signature | None = None
    """What it takes and gives."""
    parity: Parity | None = None
    """How it compares with the trained model."""
    problem: str | None = None
    """Why there is no exported model: a sentence."""


def graph_names(tensors: list[Tensor]) -> dict[str, str]:
    """The inputs' names in the graph by those of the tensors: their own, unless that is empty or taken."""
    taken = {LABEL, PROBABILITIES, VALUE, ANOMALY_SCORE}
    names: dict[str, str] = {}
    free = {one.name for one in tensors if one.name and one.name not in taken and not one.name.startswith(RESERVED)}
    for index, tensor in enumerate(tensors):
        name = tensor.name if tensor.name in free else f"column {index + 1}"
        while name != tensor.name and name in free:
            name += "_"
        names[tensor.name] = name
    return names


def signature(info: DataInfo) -> Signature:
    """What the exported graph of a model of this data takes and gives. Raises ValueError without transforms."""
    if info.transforms is None:
        raise ValueError("no rows were prepared")
    tensors = info.transforms.tensors
    names = graph_names(tensors)
    history = info.forecast.history if info.forecast is not None else None
    inputs = [
        Input(
            name=names[one.name],
            column=one.name,
            type=one.type,
            shape=list(one.shape if history is None else window_shape(one.shape, history)),
            missing="empty text"
            if one.type == "string"
            else "NaN"
            if one.type != "uint8" and len(one.shape) == 1
            else None,
        )
        for one in tensors
    ]
    return Signature(history=history, inputs=inputs, outputs=_outputs(info))


def value_shape(info: DataInfo) -> tuple[int, ...]:
    """The shape of one row of `value`: a number for each target; of a forecast, for each step ahead and target."""
    return (info.outputs,) if info.forecast is None else (info.forecast.horizon, len(info.target_names))


def window_shape(shape: tuple[int, ...], history: int) -> tuple[int, ...]:
    """The shape of one window of rows of a shape: of a column (1,), its values alone."""
    return (history,) if shape == (1,) else (history, *shape)


def _outputs(info: DataInfo) -> list[Output]:
    if info.task == "reconstruction":
        restore = Restore.of(info.transforms, info.input_shape)
        score = Output(name="anomaly_score", type="double", shape=[])
        value = Output(name="value", type="double", shape=list(restore.row_shape), names=restore.names)
        return [score, value] if all(restore.row_shape) else [score]
    if info.classes is None:
        return [Output(name="value", type="double", shape=list(value_shape(info)), names=info.target_names)]
    return [
        Output(name="label", type="string", shape=[]),
        Output(name="probabilities", type="float", shape=[info.outputs], names=info.classes),
    ]


def staged(attempt: int) -> str:
    """Where the exported model of an attempt lies until the run has ended: no other attempt writes there."""
    return f"data/model-{attempt}.onnx"
