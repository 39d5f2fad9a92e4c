"""Raw rows as the tensors that a chain's exported graph takes. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headway_trainer.data.transform.graph import Tensor
from headway_trainer.data.transform.times import microseconds
from headway_trainer.data.transform.vector import numbers_of

_NUMPY = {"double": np.float64, "float": np.float32, "uint8": np.uint8}


def column_feed(column: pa.ChunkedArray, tensor: Tensor) -> npt.NDArray[Any]:
    """A column as (rows, 1): numbers and booleans as float64 with NaN for a missing one, text with "" for it; times as
    microseconds since 1970, UTC. A column of lists as (rows, length).

    Raises pa.ArrowInvalid, or pa.ArrowNotImplementedError, for values that are of another type.
    """
    if tensor.type == "string":
        text = column.cast(pa.string()).fill_null("")
        return np.array(text.to_pylist(), dtype=object).reshape(-1, 1)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        raise pa.ArrowInvalid("it holds text")
    if pa.types.is_fixed_size_list(column.type):
        return numbers_of(column)
    if pa.types.is_temporal(column.type):
        return microseconds(column).reshape(-1, 1)
    numbers = pc.cast(column, pa.float64(), safe=False).fill_null(float("nan"))
    return np.asarray(numbers.to_numpy(), dtype=np.float64).reshape(-1, 1)


def array_feed(x: npt.NDArray[Any], tensor: Tensor) -> npt.NDArray[Any]:
    """An array (rows, *row_shape) in the tensor's type. Raises ValueError for another shape or what is no number."""
    if x.shape[1:] != tensor.shape or x.dtype.kind not in "iufb":
        raise ValueError(f"an array of {x.dtype} of shape {x.shape} is no array of rows of shape {tensor.shape}")
    return x.astype(_NUMPY[tensor.type])
