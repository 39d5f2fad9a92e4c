"""`spec.data`: what the model learns from, and how it is split and scaled."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from headway_api.base import DnsName, Rule, SecretRef, Section, Text, Uri, exactly_one, formed, needs, stays_inside

Format = Literal["csv", "parquet", "jsonl", "npz", "imageFolder"]
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


class Source(Section):
    """Where the rows come from."""

    rules = (
        exactly_one("builtin", "uri", "persistentVolumeClaim", of="source"),
        Rule(
            cel="!has(self.format) || !has(self.builtin)",
            message="format is for files: take it out, or replace builtin by uri or persistentVolumeClaim",
            holds=lambda source: source.format is None or source.builtin is None,
            field="format",
        ),
        needs("secretRef", "uri", "only an object store asks for credentials"),
    )

    builtin: BuiltinSource | None = None
    """A data set that ships with Headway."""
    uri: Uri | None = None
    """A file, folder or glob: a local path, `file://`, `s3://`, `gs://` or `abfs://`."""
    persistent_volume_claim: ClaimPath | None = None
    """Files in a volume, mounted read-only."""
    format: Format | None = None
    """The files' format; told from the file name's ending if absent."""
    secret_ref: SecretRef | None = None
    """Credentials for `uri`, under the names that the cloud's own tools use, for example AWS_ACCESS_KEY_ID."""


class Split(Section):
    """The shares of the rows that train, choose and judge the model. They add up to 1."""

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
    """`auto` keeps the classes' shares equal in each part where every class has rows enough."""


_TABLE_CEL = (
    "has(self.source.format) ? self.source.format in ['csv', 'parquet', 'jsonl']"
    " : has(self.source.uri) && self.source.uri.matches('[.](csv|parquet|jsonl)$')"
)


def _is_table(source: Source) -> bool:
    if source.format is not None:
        return source.format in ("csv", "parquet", "jsonl")
    return source.uri is not None and source.uri.endswith((".csv", ".parquet", ".jsonl"))


class Data(Section):
    """The data of a job."""

    rules = (
        Rule(
            cel=f"has(self.target) || !({_TABLE_CEL})",
            message="target is missing: name the column to predict, as csv, parquet and jsonl hold many",
            holds=lambda data: data.target is not None or not _is_table(data.source),
            field="target",
        ),
    )

    source: Source
    """Where the rows come from."""
    target: Text | None = None
    """The column to predict: needed for csv, parquet and jsonl; the array's name for npz (default `y`)."""
    task: Literal["classification", "regression"] | None = None
    """What is learnt; told from the target's type and number of values if absent."""
    split: Split = Split()
    """How rows are divided."""
    scale: Literal["standard", "minMax", "none"] = "standard"
    """How numeric features are scaled; the statistics come from the training part alone."""
