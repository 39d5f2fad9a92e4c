"""The schema of a source of arrays: what each array holds, as columns of a table are told. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headway_api.columns import Kind
from headway_trainer.data.content import ArrayContent
from headway_trainer.data.schema import Column, ColumnStats
from headway_trainer.data.statistics import describe
from headway_trainer.data.targets import Target


def array_columns(content: ArrayContent, target: Target | None) -> list[Column]:
    """The arrays as columns: each feature where they have names, otherwise the array as a whole."""
    x = content.x
    columns = []
    if x.ndim == 2 and content.feature_names is not None:  # noqa: PLR2004 - rows and features
        for name, values in zip(content.feature_names, x.T, strict=True):
            stats = describe(pa.chunked_array([pa.array(values, from_pandas=True)]))
            columns.append(
                Column(
                    name=name, kind="number", dtype=str(x.dtype), nullable=stats.missing > 0, why="numbers", stats=stats
                )
            )
    else:
        columns.append(_array_column(content))
    shown = content.y if content.class_names is None else np.array(content.class_names, dtype=object)[content.y]
    if shown.ndim == 1:
        stats = describe(pa.chunked_array([pa.array(shown, from_pandas=True)]))
    else:
        least, most = _bounds(shown)
        stats = ColumnStats(rows=len(shown), min=least, max=most)
    kind: Kind = "category" if target is not None and target.classes is not None else "number"
    why = target.why if target is not None else "numbers"
    columns.append(
        Column(name=content.target, kind=kind, role="target", dtype=str(content.y.dtype), why=why, stats=stats)
    )
    return columns


def _array_column(content: ArrayContent) -> Column:
    x = content.x
    side = " x ".join(str(size) for size in x.shape[1:])
    image = x.ndim == 4  # noqa: PLR2004 - rows, channels, height, width
    empty = int(np.isnan(x).reshape(len(x), -1).any(axis=1).sum()) if x.dtype.kind == "f" else 0
    least, most = _bounds(x)
    stats = ColumnStats(rows=len(x), missing=empty, min=least, max=most)
    return Column(
        name="x",
        kind="image" if image else "vector",
        dtype=str(x.dtype),
        nullable=empty > 0,
        why=f"{'images' if image else 'rows'} of {side} numbers",
        stats=stats,
    )


def _bounds(x: npt.NDArray[Any]) -> tuple[float | None, float | None]:
    """The least and the greatest finite number; none where there is none."""
    if x.dtype.kind not in "iufb" or not x.size:
        return None, None
    known = x[np.isfinite(x)] if x.dtype.kind == "f" else x
    return (float(known.min()), float(known.max())) if known.size else (None, None)
