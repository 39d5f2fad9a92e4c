"""Rows without a target, which the job may want to be left out. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from headway_trainer.data.content import ArrayContent, TableContent
from headway_trainer.data.ordering import rows_where, table_where


def without_missing_targets(
    content: TableContent | ArrayContent, targets: Sequence[str]
) -> TableContent | ArrayContent:
    """The content without the rows of which a target is missing, and a warning that says how many these were."""
    table = content.beside if isinstance(content, ArrayContent) else content
    if isinstance(content, ArrayContent) and table is None:
        missing = np.isnan(content.y).reshape(len(content.y), -1).any(axis=1) if content.y.dtype.kind == "f" else None
    else:
        assert table is not None  # noqa: S101 - arrays without one were looked at
        columns = [table.table[name] for name in targets if name in table.table.column_names]
        missing = np.logical_or.reduce([column.is_null().to_numpy() for column in columns]) if columns else None
    if missing is None or not missing.any() or missing.all():
        return content
    there = ~missing
    kept = np.flatnonzero(there)
    told = f"{int(missing.sum())} of {len(missing)} rows have no target, and were left out as data.missingTargets says."
    parts = None if content.parts is None else content.parts[kept]
    warnings = [*content.warnings, told]
    if isinstance(content, ArrayContent):
        x = rows_where(content.x, there, content.scratch)
        beside = None if table is None else table.at(kept)
        return replace(content, x=x, y=content.y[kept], beside=beside, parts=parts, warnings=warnings)
    rows = table_where(content.table, there, content.scratch)
    return replace(content, table=rows, kept=kept, parts=parts, warnings=warnings)
