"""`spec.data`: what the model learns from, and how it is split and scaled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from headway_api.base import (
    DnsName,
    Rule,
    SecretRef,
    Section,
    Text,
    Uri,
    all_different,
    at_most_one,
    exactly_one,
    formed,
    stays_inside,
)
from headway_api.columns import MAX_COLUMNS, MAX_COLUMNS_BYTES, Column
from headway_api.forecast import Forecast
from headway_api.metrics import Task
from headway_api.reading import Read

Format = Literal["csv", "parquet", "jsonl", "npz", "imageFolder"]
TABLES: tuple[Format, ...] = ("csv", "parquet", "jsonl")
ENDINGS: Mapping[Format, tuple[str, ...]] = MappingProxyType(
    {
        "csv": (".csv", ".tsv", ".csv.gz", ".tsv.gz"),
        "parquet": (".parquet", ".pq"),
        "jsonl": (".jsonl", ".ndjson", ".jsonl.gz"),
        "npz": (".npz",),
        "imageFolder": (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"),
    }
)
"""What the names of files of each format end with, in lower case."""
SCHEMES = ("file", "s3", "gs", "gcs", "abfs", "abfss")
"""The schemes of URIs that can be read; what has none is a path."""
BUILTIN_TASKS: Mapping[str, Task] = MappingProxyType(
    {
        "digits": "classification",
        "breast_cancer": "classification",
        "wine": "classification",
        "iris": "classification",
        "diabetes": "regression",
    }
)
"""What each built-in data set is for."""
Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]

SHARES_TOLERANCE = 0.001
"""How far the shares of a split may be from 1: room for thirds written with three digits."""
_SHARES = "self.train + self.validation + self.test"


class BuiltinSource(Section):
    """A small real data set that ships with scikit-learn: nothing is downloaded."""

    name: Literal["digits", "breast_cancer", "wine", "iris", "diabetes"]
    """Which data set."""


class ClaimPath(Section):
    """A folder or file in a PersistentVolumeClaim of the job's namespace."""

    rules = (stays_inside("path"),)

    name: DnsName
    """The PersistentVolumeClaim's name."""
    path: Annotated[
        str, formed(r"^([^/].*)?$", "must be a path within the volume, which does not begin with '/'", max_length=1024)
    ] = ""
    """The path in the volume; its root if empty."""


class SourceParts(Section):
    """Files that are divided already."""

    train: Uri
    """A file, folder or glob with the rows that the model is fitted to, as in `uri`."""
    validation: Uri | None = None
    """The same for the validation part; a share of the training rows if absent, as `split` says."""
    test: Uri | None = None
    """The same for the test part; a share of the training rows if absent, as `split` says."""


class Labels(Section):
    """A table that says what is on each image, where no folder does."""

    file: Text
    """A csv, parquet or jsonl file: its path below the images' folder, or below each part's; or a full path or URI."""
    image_column: Text | None = None
    """The column that names the images, by the end of their paths; told from its values if absent."""


class Source(Section):
    """Where the rows come from."""

    rules = (
        exactly_one("builtin", "uri", "persistentVolumeClaim", "parts", of="source"),
        Rule(
            cel="!has(self.format) || !has(self.builtin)",
            message="format is for files: take it out, or replace builtin by uri or persistentVolumeClaim",
            holds=lambda source: source.format is None or source.builtin is None,
            field="format",
        ),
        Rule(
            cel="!has(self.secretRef) || has(self.uri) || has(self.parts)",
            message="secretRef needs uri or parts: only an object store asks for credentials",
            holds=lambda source: source.secret_ref is None or source.uri is not None or source.parts is not None,
            field="secretRef",
        ),
    )

    builtin: BuiltinSource | None = None
    """A data set that ships with Headway."""
    uri: Uri | None = None
    """A file, folder or glob: a local path, `file://`, `s3://`, `gs://` or `abfs://`."""
    persistent_volume_claim: ClaimPath | None = None
    """Files in a volume, mounted read-only."""
    parts: SourceParts | None = None
    """Training, validation and test rows in files of their own."""
    format: Format | None = None
    """The files' format; told from the file name's ending if absent."""
    labels: Labels | None = None
    """A table that says what is on the images; their folders' names do if absent."""
    secret_ref: SecretRef | None = None
    """Credentials for `uri` and `parts`, under the names of the cloud's own tools, for example AWS_ACCESS_KEY_ID."""


class Split(Section):
    """The shares of the rows that train, choose and judge the model. They add up to 1.

    Where `source.parts` gives a part, the others share the remaining rows in proportion.
    """

    rules = (
        Rule(
            cel=f"{_SHARES} > {1 - SHARES_TOLERANCE} && {_SHARES} < {1 + SHARES_TOLERANCE}",
            message="train, validation and test must add up to 1",
            holds=lambda split: abs(split.train + split.validation + split.test - 1) < SHARES_TOLERANCE,
        ),
        Rule(
            cel="self.train > 0.0",
            message="train must be above 0: nothing would be learnt",
            holds=lambda split: split.train > 0,
            field="train",
        ),
    )

    train: Annotated[float, Field(ge=0.0, le=1.0)] = 0.7
    """The share that the model is fitted to."""
    validation: Fraction = 0.2
    """The share that early stopping and the choice of the best checkpoint look at."""
    test: Fraction = 0.1
    """The share that nothing looks at before the final evaluation."""
    stratify: Literal["auto", "never"] = "auto"
    """`auto` keeps the classes' shares equal in each part where every class has rows enough; for `random` only."""
    method: Literal["auto", "random", "group", "time", "fold"] = "auto"
    """Which rows go where: `auto` follows the column with the role group, time or fold, and is `random` without one.

    `group` keeps the rows of a group in one part. `time` gives the earliest rows to training and the latest to the
    test. `fold` takes the parts from a column of the words train, validation and test; or from one of whole numbers,
    whose lowest train and whose highest test.
    """
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    """Seeds the split, so that it stays while `spec.seed` changes; `spec.seed` if absent."""
    folds: Annotated[int, Field(ge=2, le=100)] | None = None
    """Cross-validation: so many models are trained beside the one that is kept, each judged on a fold of its own.

    The rows outside the test part are divided into the folds: by group or in the order of time where a column has such
    a role, else at random. The model that is kept is trained as without folds. None if absent.
    """


_FILES = "has(self.source.uri) ? self.source.uri : has(self.source.parts) ? self.source.parts.train : ''"
_TABLE_ENDINGS = "|".join(ending.removeprefix(".").replace(".", "[.]") for form in TABLES for ending in ENDINGS[form])
_TABLE_CEL = (
    f"has(self.source.format) ? self.source.format in {list(TABLES)}"
    f" : ({_FILES}).matches('(?i)[.]({_TABLE_ENDINGS})([?].*)?$')"
)
_HAS_TARGET_CEL = (
    "has(self.target) || has(self.targets) || (has(self.columns) &&"
    " self.columns.exists(name, has(self.columns[name].role) && self.columns[name].role == 'target'))"
)


def format_of(uri: str) -> Format | None:
    """The format that the ending of a path or URI tells; None where it tells none."""
    name = (uri.partition("?")[0] if "://" in uri else uri).lower()
    return next((form for form, endings in ENDINGS.items() if name.endswith(endings)), None)


def _is_table(source: Source) -> bool:
    uri = source.uri or (source.parts.train if source.parts is not None else "")
    return (source.format or format_of(uri)) in TABLES


def _of_bearable_size(columns: dict[str, Column]) -> dict[str, Column]:
    size = len(json.dumps({name: column.model_dump(exclude_none=True) for name, column in columns.items()}))
    if size > MAX_COLUMNS_BYTES:
        raise PydanticCustomError(
            "sentence",
            "is too large: {size} bytes as JSON, at most {most} are allowed; name only the columns that are not to be"
            " told from their values",
            {"size": size, "most": MAX_COLUMNS_BYTES},
        )
    return columns


class Data(Section):
    """The data of a job."""

    rules = (
        Rule(
            cel=f"{_HAS_TARGET_CEL} || (has(self.task) && self.task == 'reconstruction') || !({_TABLE_CEL})",
            message="target is missing: name the column to predict, as csv, parquet and jsonl hold many",
            holds=lambda data: bool(data.target_names) or data.task == "reconstruction" or not _is_table(data.source),
            field="target",
        ),
        at_most_one("target", "targets", why="targets is for several columns, target for one"),
    )

    source: Source
    """Where the rows come from."""
    read: Read | None = None
    """How the text of csv and jsonl files is read; told from the files if absent."""
    columns: Annotated[dict[str, Column], Field(max_length=MAX_COLUMNS), AfterValidator(_of_bearable_size)] | None = (
        None
    )
    """What columns hold and are for, by their names; told from their values where absent.

    The name of a column without one is `""`. For npz it is the array's.
    """
    target: Text | None = None
    """The column to predict, for csv, parquet and jsonl; the array's name for npz (default `y`).

    A table needs it, `targets`, or a column with the role `target`, unless `task` is `reconstruction`.
    """
    targets: (
        Annotated[
            list[Text],
            Field(min_length=1, max_length=256, json_schema_extra={"x-kubernetes-list-type": "set"}),
            AfterValidator(all_different),
        ]
        | None
    ) = None
    """Several columns to predict at once, in place of `target`."""
    missing_targets: Literal["refuse", "drop"] = "refuse"
    """What becomes of rows without a target: an error, or they are left out, and said how many."""
    task: Task | None = None
    """What is learnt; told from the target's type and number of values if absent.

    `reconstruction` learns the features themselves, without any target. It and `forecasting` are never guessed.
    """
    forecast: Forecast | None = None
    """How far a forecast sees back and ahead; for the task `forecasting`, which needs it."""
    split: Split = Split()
    """How rows are divided."""
    scale: Literal["standard", "minMax", "none"] = "standard"
    """How numeric features are scaled; the statistics come from the training part alone."""

    @property
    def target_names(self) -> list[str]:
        """The columns that the spec names as targets, in its order; none where that is left to the source."""
        if self.targets is not None:
            return list(self.targets)
        if self.target is not None:
            return [self.target]
        return [name for name, column in (self.columns or {}).items() if column.role == "target"]
