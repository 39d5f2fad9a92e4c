"""`model.json`: what the files of a finished model are, what it takes and gives, and where it comes from. Pure."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue

from headway_api.base import StatusSection
from headway_api.model import Model
from headway_trainer.data.info import DataInfo
from headway_trainer.data.transform import Tensor
from headway_trainer.data.transform.graph import TensorType
from headway_trainer.data.transform.restore import Restore
from headway_trainer.storage import FileDigest

MODEL_INFO_FILE = "model.json"
ONNX_FILE = "model.onnx"
LABEL, PROBABILITIES, VALUE, ANOMALY_SCORE = "label", "probabilities", "value", "anomaly_score"
RESERVED = ("in/", "model/", "out/")
"""What begins the names of values inside the graph."""
VERSION = 2


class Input(StatusSection):
    """One input of model.onnx; its first axis, N, is the rows."""

    name: str
    """Its name in the graph: the column's, unless that is empty or taken."""
    column: str
    """The column of a table, or the array, that it takes."""
    type: TensorType
    """The type of its elements. Booleans are 0 and 1."""
    shape: list[int]
    """The shape of one row; [1] for a column; of a forecast, [history]: the column's values, the latest last."""
    missing: Literal["NaN", "empty text"] | None
    """What stands for a missing value; null where there can be none."""


class Output(StatusSection):
    """One output of model.onnx; its first axis, N, is the rows."""

    name: Literal["label", "probabilities", "value", "anomaly_score"]
    """label: the likeliest class; probabilities: of each class; value: of each target, in its own units, or of each
    feature that has a unit, as it is reconstructed; anomaly_score: the mean squared error of a row's features as the
    model takes them."""
    type: Literal["string", "float", "double"]
    """The type of its elements."""
    shape: list[int]
    """The shape of one row; of a forecast, [horizon, targets]."""
    names: list[str] = Field(default_factory=list)
    """What its last axis is: the classes, the targets, or the features; empty for images."""


class Signature(StatusSection):
    """What model.onnx takes and gives."""

    history: int | None = None
    """Of a forecast, the rows of a series that one row of the inputs holds, in the order of time; null for others."""
    inputs: list[Input]
    """Raw values, as they are in the source."""
    outputs: list[Output]
    """Predictions."""


class Parity(StatusSection):
    """Whether the exported model says the same as the trained one, on rows of the source that it was not fitted to."""

    rows: int
    """Rows that were compared."""
    max_difference: float | None
    """The greatest difference between probabilities, or between values in standard deviations of their target; null
    where one of the two gave no number."""
    agreement: float
    """The share of rows with the same class; 1 for values."""
    tolerance: float
    """The greatest difference that is allowed."""
    holds: bool
    """Whether it was kept to."""


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


class Provenance(StatusSection):
    """Where the model comes from."""

    job: str = ""
    """The job's name."""
    namespace: str | None = None
    """Its namespace; null outside a cluster."""
    uid: str | None = None
    """Its uid; null outside a cluster."""
    attempt: int = 1
    """The attempt that finished it."""
    seed: int = 0
    """What everything random was seeded with."""
    code_commit: str | None = None
    """The commit of the user's code, where it came from git."""
    image: str | None = None
    """The image that the job names; null for the operator's default, and outside a cluster."""
    data_hash: str | None = None
    """sha256 over the source's content."""
    finished: str = ""
    """When: RFC 3339, UTC."""
    packages: dict[str, str] = Field(default_factory=dict)
    """The versions of what it was made with, Python's among them."""


class ModelInfo(StatusSection):
    """All that is needed to serve the model, or to build it again."""

    version: int = VERSION
    """The version of this format."""
    files: dict[str, FileDigest] = Field(default_factory=dict)
    """The other files of the model, by what they are: `weights`, `onnx`, `reference`, `vocabulary`."""
    model: Model | None = None
    """`spec.model`; null for a training function that brings its own."""
    data: DataInfo | None = None
    """Task, classes, input shape, transforms and more of the data that it was trained on."""
    read: dict[str, JsonValue] = Field(default_factory=dict)
    """`spec.data.read`: how the text of files with new rows is to be read."""
    signature: Signature | None = None
    """What model.onnx takes and gives; null where there is none."""
    parity: Parity | None = None
    """How model.onnx compares with the trained model; null where there is none."""
    provenance: Provenance = Provenance()
    """Where it comes from."""


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
