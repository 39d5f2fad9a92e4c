"""What a transform needs of an ONNX graph to write itself into it. Pure: onnx itself is behind the protocol."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from headway_api.base import StatusSection
from headway_api.bundle import TensorType


class Tensor(StatusSection):
    """One input of a chain, as whoever feeds the exported graph sees it."""

    name: str
    """The column's name, or the array's."""
    type: TensorType
    """The type of its elements."""
    shape: tuple[int, ...]
    """The shape of one row; (1,) for a column."""


class Graph(Protocol):
    """An ONNX graph that is being written. Values go by name."""

    def input(self, tensor: Tensor) -> str:
        """The value (rows, *shape) of an input, which is declared the first time it is asked for."""

    def constant(self, array: npt.NDArray[Any]) -> str:
        """A constant value, in the array's type and shape."""

    def node(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """The first output of a new node; domain is `""` for ONNX's own operators or `ai.onnx.ml`."""

    def outputs(self, count: int, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> list[str]:
        """All `count` outputs of a new node."""

    def tokens(self, text: str, separator: str) -> str:
        """The parts of texts (rows,) between separators, (rows, most parts), with "" after a row's last one.

        separator: a regular expression of RE2, of one character; the empty one divides a text into its characters.
        """


def rows_of_constant(width: int) -> npt.NDArray[np.float64]:
    """(width + 1, width): a row of 0 and 1 for each of width values, and a last row of zeros for every other value."""
    return np.vstack([np.eye(width), np.zeros((1, width))])
