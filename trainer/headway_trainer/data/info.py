"""What prepared data is: the DataInfo that stands beside the arrays, and the names of both on the store."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from headway_api.base import StatusSection

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
Task = Literal["classification", "regression"]
INFO_FILE = "data/info.json"
LARGEST = 1e30
"""No number of the data may be beyond it: sums of their squares, and 32 bits, have to hold them."""


def x_file(split: str) -> str:
    """The features of a part: float32, shape (rows, *input_shape)."""
    return f"data/{split}.x.npy"


def y_file(split: str) -> str:
    """The targets of a part: int64 labels (rows,), or float32 (rows,) or (rows, outputs)."""
    return f"data/{split}.y.npy"


class Scaling(StatusSection):
    """What was done to the features: `(x - offset) / divisor`, by the training part's own statistics."""

    method: Literal["standard", "minMax", "none"] = "none"
    """standard: mean and standard deviation; minMax: minimum and range."""
    per: Literal["feature", "channel"] = "feature"
    """Which axis of a row offset and divisor run along: the features, or the first axis (channels) of an image."""
    offset: list[float] = Field(default_factory=list)
    """What is taken off; empty for none."""
    divisor: list[float] = Field(default_factory=list)
    """What is divided by; 1 for a constant feature."""


class Column(StatusSection):
    """How one column of a table became features."""

    name: str
    """The column's name."""
    kind: Literal["number", "boolean", "category"]
    """boolean: 0 and 1; category: one feature of 0 and 1 for each value of `categories`."""
    fill: float | str | None = None
    """What stands in for an empty value."""
    categories: list[str] = Field(default_factory=list)
    """The values with a feature of their own; every other value is all zeros."""


class DataInfo(StatusSection):
    """All that models, training, evaluation and the report have to know of the data."""

    task: Task
    """What is learnt."""
    input_shape: tuple[int, ...]
    """The shape of one row: (features,), or (channels, height, width) for images."""
    outputs: int
    """The width of the model's output: the number of classes, or of targets."""
    classes: list[str] | None = None
    """The class names in the order of their labels; none for regression."""
    feature_names: list[str] | None = None
    """The features' names, where rows are flat and have some."""
    columns: list[Column] = Field(default_factory=list)
    """How the columns of a table became features."""
    rows: dict[str, int]
    """Rows of train, validation and test."""
    class_balance: dict[str, dict[str, int]] | None = None
    """Rows of each class in each part; none for regression."""
    content_hash: str
    """sha256 over the source's content, however it is divided into files."""
    scaling: Scaling = Scaling()
    """How features were scaled."""
    target_mean: list[float] = Field(default_factory=list)
    """The mean of each target over the training part; empty for classification."""
    target_std: list[float] = Field(default_factory=list)
    """The standard deviation of each target over the training part, 1 for a constant one; empty for classification."""
    notes: list[str] = Field(default_factory=list)
    """What people should know: what was filled in, left out or could not be stratified."""
    digest: str
    """Identifies the data section and the seed that this was prepared from."""

    @property
    def features(self) -> int:
        """The number of features of one row, over all axes."""
        return math.prod(self.input_shape)
