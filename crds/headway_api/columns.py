"""`spec.data.columns`: what a column holds and what it is for, where that is not to be told from its values."""

from __future__ import annotations

from typing import Literal

from headway_api.base import Rule, Section

Kind = Literal["number", "boolean", "category", "text", "time", "image", "series", "vector", "id"]
Role = Literal["feature", "target", "weight", "group", "time", "fold", "ignore"]

MAX_COLUMNS = 4096
"""Columns that a spec may speak of; a table may have more."""
MAX_COLUMNS_BYTES = 262_144
"""What all of `data.columns` may take as JSON: the spec goes into a Secret, which holds 1 MiB."""


class Column(Section):
    """What is known of one column."""

    rules = (
        Rule(
            cel="has(self.kind) || has(self.role)",
            message="a column needs kind, role or both: take it out where both are to be told from its values",
            holds=lambda column: column.kind is not None or column.role is not None,
        ),
    )

    kind: Kind | None = None
    """What it holds; told from its values if absent.

    `number` is a quantity, `category` one of several names, `text` words, `time` a date or time, `id` what names its
    row and is not learnt from. `vector` is a list of numbers of one length. `image` and `series` are arrays of npz:
    (rows, channels, height, width) or (rows, height, width), and (rows, time, channels).
    """
    role: Role | None = None
    """What it is for; `feature` if absent, unless `target` or `targets` names it.

    `weight` is how much a row counts in training. `group`, `time` and `fold` divide the rows as `split.method` says,
    and are not learnt from. Of a forecast, `time` orders the rows and `group` names the series. `ignore` leaves it out.
    """
