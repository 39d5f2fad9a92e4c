"""How much each row counts in training, from the column with that role. Pure."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headway_trainer.data.info import LARGEST
from headway_trainer.data.schema import Schema
from headway_trainer.errors import UserError


def weights_of(
    schema: Schema, table: pa.Table | None, train: npt.NDArray[np.int64], where: Callable[[int], str]
) -> npt.NDArray[np.float32] | None:
    """The weights float32 (rows,), 1 in the mean over the rows `train`; none where no column has the role.

    Raises UserError, naming the row, for a weight that is missing, negative or no finite number, and where all training
    rows have the weight 0.
    """
    columns = schema.of("weight")
    if not columns or table is None:
        return None
    if len(columns) > 1:
        raise UserError(
            f"data.columns: {columns[0].name!r} and {columns[1].name!r} both have the role weight: give it once"
        )
    name, values = columns[0].name, table[columns[0].name]
    if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type) or pa.types.is_boolean(values.type)):
        raise UserError(f"data.columns: {name!r} has the role weight, but holds no numbers: weights are 0 or above")
    weights = pc.cast(values, pa.float64(), safe=False).fill_null(float("nan")).to_numpy()
    good = (weights >= 0) & (weights <= LARGEST)
    if not good.all():
        row = int(np.flatnonzero(~good)[0])
        shown = "empty" if values[row].as_py() is None else f"{values[row].as_py()}"
        raise UserError(
            f"data.columns: {name!r} has the role weight, but is {shown} in {where(row)}: each weight must be a number "
            f"from 0 to {LARGEST:g}"
        )
    mean = float(weights[train].mean()) if len(train) else 0.0
    if mean == 0:
        raise UserError(f"data.columns: {name!r} weighs all training rows with 0, so that nothing would be learnt")
    scaled: npt.NDArray[np.float32] = (weights / mean).astype(np.float32)
    return scaled
