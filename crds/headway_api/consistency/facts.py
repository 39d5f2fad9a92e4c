"""What a spec tells by itself: of its data before any of it is read, and of what its user has written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headway_api.base import Section
from headway_api.columns import Column, Role
from headway_api.data import BUILTIN_TASKS, TABLES, Data, Format, format_of
from headway_api.metrics import Task
from headway_api.model import Rows

if TYPE_CHECKING:
    from headway_api.job import TrainingJobSpec
    from headway_api.tuning import Tuning

DIVIDING: tuple[Role, ...] = ("group", "time", "fold")
"""The roles that divide the rows: split.method has a method of the name of each."""


@dataclass(frozen=True)
class Facts:
    """What is known of a source by its name alone."""

    name: str
    """How messages name it."""
    format: Format | None
    """The files' format; None where it is not known yet, or there are no files."""
    rows: Rows | None
    """What a row is, where that is known."""
    task: Task | None
    """What is learnt, where the source leaves no choice."""
    has_columns: bool
    """Whether the user may say which columns there are and which is the target."""

    @property
    def may_hold(self) -> frozenset[Rows]:
        """What its rows may be for a model, which the values tell: a table of files may have columns of text, and an
        array may be of any shape. Empty where nothing is known."""
        if self.rows == "table" and self.format in TABLES:
            return frozenset(("table", "tokens"))
        if self.rows is None and self.format == "npz":
            return frozenset(("table", "image", "series"))
        return frozenset((self.rows,) if self.rows is not None else ())


def facts(data: Data) -> Facts:
    """What is known of the source of the data."""
    source = data.source
    if source.builtin is not None:
        name = source.builtin.name
        rows: Rows = "image" if name == "digits" else "table"
        return Facts(f"the built-in {name}", None, rows, BUILTIN_TASKS[name], has_columns=False)
    uri = source.uri or (source.parts.train if source.parts is not None else "")
    form = source.format or ("imageFolder" if source.labels is not None else format_of(uri))
    if form == "imageFolder" and source.labels is not None:
        return Facts("a folder of images with labels", form, "image", None, has_columns=True)
    if form == "imageFolder":
        return Facts("a folder of images", form, "image", "classification", has_columns=False)
    told = (
        "series" if forecasts(data) else "table" if form in TABLES else _rows_of_arrays(data) if form == "npz" else None
    )
    return Facts(form or "the source", form, told, None, has_columns=True)


def _rows_of_arrays(data: Data) -> Rows | None:
    """What the rows of an npz file are, where `data.columns` says it."""
    kinds = {column.kind for column in columns_of(data).values() if column.role in (None, "feature")}
    return "image" if kinds == {"image"} else "series" if kinds == {"series"} else None


def written_as(data: Data) -> Format | None:
    """The format of the files that hold the columns, where that is known: of labels beside images, theirs."""
    labels = data.source.labels
    return facts(data).format if labels is None else format_of(labels.file)


def forecasts(data: Data) -> bool:
    """Whether the next steps of series are learnt: also where the task that says so was forgotten."""
    return data.task == "forecasting" or (data.task is None and data.forecast is not None)


def task_of(spec: TrainingJobSpec) -> Task | None:
    """What is learnt, as far as the file tells."""
    return None if spec.data is None else spec.data.task or facts(spec.data).task


def own_loop(spec: TrainingJobSpec) -> bool:
    """Whether a function of the user's trains: one model, or the trials of a Tuner of its own."""
    return own_tuner(spec) or (spec.training is not None and spec.training.entrypoint is not None)


def own_tuner(spec: TrainingJobSpec) -> bool:
    """Whether a function of the user's runs a `ray.tune.Tuner` of its own."""
    return spec.tuning is not None and spec.tuning.entrypoint is not None


def searched(spec: TrainingJobSpec) -> Tuning | None:
    """What is searched by Headway, in trials of the built-in loop or of a function of the user's, if anything is."""
    return None if own_tuner(spec) else spec.tuning


def own_function(spec: TrainingJobSpec) -> str:
    """The field that names the function that trains, where one of the user's does."""
    return "tuning.entrypoint" if own_tuner(spec) else "training.entrypoint"


def columns_of(data: Data) -> dict[str, Column]:
    """What `data.columns` says, but for what is no column at all, which has a problem of its own."""
    return {name: column for name, column in (data.columns or {}).items() if isinstance(column, Column)}


def roles(data: Data, role: Role) -> list[str]:
    """The columns that have a role by `data.columns`."""
    return [name for name, column in columns_of(data).items() if column.role == role]


def by_fold(data: Data) -> bool:
    """Whether a column says to which part a row belongs."""
    method = data.split.method
    return method == "fold" or (method == "auto" and bool(roles(data, "fold")))


def has_part(data: Data, part: str) -> bool:
    """Whether a part of the data has rows, as far as the file tells."""
    if part == "train" or by_fold(data):
        return True
    parts = data.source.parts
    if parts is not None and getattr(parts, part) is not None:
        return True
    share: float = getattr(data.split, part)
    return share > 0


def other_than_default(section: Section) -> list[str]:
    """The fields, as users write them, that do not have their default: the API server fills defaults in, so of the
    others nobody knows whether the user wrote them."""
    return [
        info.alias or name
        for name, info in type(section).model_fields.items()
        if getattr(section, name) != info.get_default(call_default_factory=True)
    ]
