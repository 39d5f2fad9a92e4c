"""`model.json`, which lies beside a finished model: what its files are, what it takes and gives, and where it comes
from. The trainer writes it; whoever predicts or serves reads it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any, Generic, Literal, TypeVar

from pydantic import Field, JsonValue

from headway_api.base import StatusSection
from headway_api.model import Model
from headway_api.wording import listed

MODEL_INFO_FILE = "model.json"
ONNX_FILE = "model.onnx"
LABEL, PROBABILITIES, VALUE, ANOMALY_SCORE = "label", "probabilities", "value", "anomaly_score"
VERSION = 2
TensorType = Literal["double", "float", "uint8", "string"]
"""The element types of inputs. A missing number is NaN, a missing text is empty."""
D = TypeVar("D")


class FileDigest(StatusSection):
    """A file as it was written."""

    name: str
    """Its path in the folder that it is told of."""
    sha256: str
    """Its digest, in hex."""
    size_bytes: int
    """How long it is."""

    @property
    def in_folder(self) -> bool:
        """Whether its name leads to that folder itself, and nowhere else."""
        return PurePath(self.name).name == self.name and self.name not in ("", ".", "..") and "\0" not in self.name


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


class BundleInfo(StatusSection, Generic[D]):
    """All that is needed to serve the model, or to build it again. D: what `data` is to its reader."""

    version: int = VERSION
    """The version of this format."""
    files: dict[str, FileDigest] = Field(default_factory=dict)
    """The other files of the model, by what they are: `weights`, `onnx`, `reference`, `vocabulary`."""
    model: Model | None = None
    """`spec.model`; null for a training function that brings its own."""
    data: D | None = None
    """Task, classes, input shape, transforms and more of the data that it was trained on."""
    read: dict[str, JsonValue] = Field(default_factory=dict)
    """`spec.data.read`: how the text of files with new rows is to be read."""
    signature: Signature | None = None
    """What model.onnx takes and gives; null where there is none."""
    parity: Parity | None = None
    """How model.onnx compares with the trained model; null where there is none."""
    provenance: Provenance = Provenance()
    """Where it comes from."""


def mismatch(takes: Sequence[Any], gives: Sequence[Any], told: Signature) -> str | None:
    """How a graph's inputs and outputs differ from a signature: the end of a sentence; None if they do not.

    takes, gives: what onnxruntime tells of them, each with `name`, `type` and `shape`.
    """
    sides: list[tuple[str, Sequence[Any], Sequence[Input | Output]]] = [
        ("takes", takes, told.inputs),
        ("gives", gives, told.outputs),
    ]
    for what, nodes, tensors in sides:
        expected = {one.name: one for one in tensors}
        odd = [one for one in nodes if one.name not in expected or not _fits(one, expected[one.name])]
        if odd or len(nodes) != len(tensors):
            return f"{what} {listed([_shown(one) for one in odd or nodes]) or 'nothing'}"
    return None


def _fits(declared: Any, told: Input | Output) -> bool:
    """Whether an input or output is declared as told: a size that the graph leaves open may be any."""
    sizes = list(declared.shape)
    same = all(
        found in (size, None) or isinstance(found, str) for found, size in zip(sizes[1:], told.shape, strict=False)
    )
    return declared.type == f"tensor({told.type})" and len(sizes) == 1 + len(told.shape) and same


def _shown(declared: Any) -> str:
    return f"{declared.name!r}, a {declared.type} of shape {declared.shape}"
