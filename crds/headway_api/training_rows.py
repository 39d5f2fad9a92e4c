"""`reference.json`, which lies beside a finished model: what its training rows looked like, in bounded space. Pure."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from headway_api.base import StatusSection

REFERENCE_FILE = "reference.json"
"""Its name beside the finished model; while the run lasts it lies in data/."""
MAX_FEATURES = 1000
"""Columns, or features of an array, beyond it are left out, and counted."""
MAX_VALUES = 50
MAX_TEXT = 200


class Numbers(StatusSection):
    """How the numbers of a feature are spread over the training rows. Empty lists where it has none."""

    kind: Literal["numbers"] = "numbers"
    name: str
    """The column, or the feature of an array."""
    rows: int
    """Values, missing ones included."""
    missing: int
    """Of them, how many are missing."""
    mean: float | None = None
    """The mean of those that are there."""
    std: float | None = None
    """Their standard deviation."""
    quantiles: dict[str, float] = Field(default_factory=dict)
    """Values by the share of values that are not above them, from `0.0` (the minimum) to `1.0` (the maximum)."""
    edges: list[float] = Field(default_factory=list)
    """The histogram's edges: `counts[i]` values are from `edges[i]` up to `edges[i + 1]`, the last bin's end included.
    The last two are equal where several rows have the greatest value: that bin is this value alone. Of numbers that
    were stored in single precision each edge is half a step of it lower, and the last one higher: 0.1 is
    0.100000001490116 there, and requests have either."""
    counts: list[int] = Field(default_factory=list)
    """Values in each bin."""


class Values(StatusSection):
    """How often the values of a feature are there in the training rows."""

    kind: Literal["values"] = "values"
    name: str
    """The column."""
    rows: int
    """Values, missing ones included."""
    missing: int
    """Of them, how many are missing."""
    counts: dict[str, int]
    """The most frequent values, at most 50; of text, rows by words. Values are cut after 200 characters."""
    others: int
    """Rows with any other value."""


class Reference(StatusSection):
    """The features, and the target, of the training rows."""

    version: int = 1
    """The version of this format."""
    rows: int
    """Training rows."""
    seen: int
    """Of them, those that the figures below are of: equally far apart where they are not all."""
    features: list[Numbers | Values]
    """Each feature as it is in the source, before any transform; channels of images."""
    left_out: int = 0
    """Features beyond the first 1000."""
    target: list[Numbers | Values]
    """The classes, or each target in its units."""
    predictions: list[Numbers | Values] = Field(default_factory=list)
    """What the finished model says of test rows, `prediction`: the classes, of classifiers whose evaluation has counted
    them for a confusion matrix. Not there for others."""
