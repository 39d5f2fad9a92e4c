"""What prepared data is: the DataInfo that stands beside the arrays, and the names of both on the store."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from pydantic import Field

from headway_api.base import StatusSection
from headway_api.metrics import Task
from headway_trainer.data.forecast.info import ForecastInfo
from headway_trainer.data.profile import Profile
from headway_trainer.data.schema import Written
from headway_trainer.data.transform import Chain, Scale, TableChain, Tokens

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
INFO_FILE = "data/info.json"
BLOCK_BYTES = 1024 * 1024
"""Rows that are read at once: less costs an object store as much."""
WINDOW_BYTES = 64 * 1024 * 1024
"""Rows of a window. Two are in memory: one is being read while the other is learnt from."""
LARGEST = 1e30
"""No number of the data may be beyond it: sums of their squares, and 32 bits, have to hold them."""


def x_file(split: str) -> str:
    """The features of a part: float32, or uint8 that is not scaled yet; shape (rows, *input_shape). Of a forecast,
    where each window begins in `SERIES_FILE`: int64 (rows,)."""
    return f"data/{split}.x.npy"


def y_file(split: str) -> str:
    """The targets of a part: int64 labels (rows,), or float32 (rows,) or (rows, outputs), standardised; of a forecast,
    those of each step one after the other; of a reconstruction (rows, 0)."""
    return f"data/{split}.y.npy"


def w_file(split: str) -> str:
    """The rows' weights, where `DataInfo.weighted`: float32 (rows,), their mean over the training part 1."""
    return f"data/{split}.w.npy"


class TokenColumns(NamedTuple):
    """Where a row has the tokens of one text: their numbers in its vocabulary, 0 after the text's end."""

    start: int
    """The first feature."""
    stop: int
    """The feature after the last one."""
    vocabulary: int
    """Tokens that are known: their numbers are from 2 to vocabulary + 1."""


class Blocks(StatusSection):
    """How the rows of parts that memory does not hold are read."""

    rows: int
    """Rows of a block."""
    window: int
    """Blocks of a window."""

    @staticmethod
    def of(row_bytes: int) -> Blocks:
        """Blocks and windows of rows of so many bytes."""
        rows = max(1, BLOCK_BYTES // max(1, row_bytes))
        return Blocks(rows=rows, window=max(1, WINDOW_BYTES // (rows * max(1, row_bytes))))


class DataInfo(StatusSection):
    """All that models, training, evaluation and the report have to know of the data."""

    task: Task
    """What is learnt."""
    input_shape: tuple[int, ...]
    """The shape of one row: (features,), or (channels, height, width) for images, or (history, features) for a window
    of a forecast."""
    outputs: int
    """The width of the model's output: the number of classes, or of targets; of a forecast, targets times horizon; of a
    reconstruction, the number of features."""
    classes: list[str] | None = None
    """The class names in the order of their labels; none for other tasks than classification."""
    forecast: ForecastInfo | None = None
    """The windows of a forecast, which are what its rows are; none for other tasks."""
    feature_names: list[str] | None = None
    """The features' names, where rows are flat and have some."""
    transforms: Chain | None = None
    """How raw rows became features; none where no rows were prepared."""
    rows: dict[str, int]
    """Rows of train, validation and test."""
    class_balance: dict[str, dict[str, int]] | None = None
    """Rows of each class in each part; none for other tasks than classification."""
    content_hash: str
    """sha256 over the source's content, however it is divided into files."""
    target_names: list[str] = Field(default_factory=list)
    """The name of each target of numbers; empty for classification."""
    target_mean: list[float] = Field(default_factory=list)
    """The mean of each target over the training part; empty for other tasks."""
    target_std: list[float] = Field(default_factory=list)
    """The standard deviation of each target over the training part, 1 for a constant one; empty for other tasks.

    Targets are stored, and learnt, as `(target - mean) / std`.
    """
    written: dict[str, Written] = Field(default_factory=dict)
    """How the text of columns was written, where that had to be told from their values."""
    blocks: Blocks | None = None
    """How training reads rows that its processes cannot hold; none where they are in memory, in any order."""
    weighted: bool = False
    """Whether rows have weights."""
    profile: Profile = Profile(rows=0)
    """What the source holds, what was made of each column, and what people should know."""
    digest: str
    """Identifies the data section and the seed that this was prepared from."""

    @property
    def warnings(self) -> list[str]:
        """What may cost people something: for the terminal, the status and the report."""
        return self.profile.warnings

    @property
    def notes(self) -> list[str]:
        """What else was done: for the report."""
        return self.profile.notes

    @property
    def scaling(self) -> Scale:
        """How features were scaled."""
        return self.transforms.scale if self.transforms is not None else Scale()

    @property
    def tokens(self) -> list[TokenColumns]:
        """The texts that stand in a row as tokens, in the order of its features."""
        found, start = list[TokenColumns](), 0
        for one in self.transforms.transforms if isinstance(self.transforms, TableChain) else ():
            stop = start + len(one.outputs)
            if isinstance(one, Tokens):
                found.append(TokenColumns(start, stop, one.vocabulary))
            start = stop
        return found

    @property
    def features(self) -> int:
        """The number of features of one row, over all axes."""
        return math.prod(self.input_shape)
