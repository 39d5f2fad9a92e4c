"""Runs an exported model: onnxruntime alone, without torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pyarrow as pa

from headway_trainer.data.sample import Rows
from headway_trainer.data.transform.feeds import array_feed, column_feed
from headway_trainer.data.transform.graph import Tensor
from headway_trainer.export.record import Signature

Outputs = dict[str, npt.NDArray[Any]]


class Session:
    """A model that takes raw rows."""

    def __init__(self, model: bytes | str, signature: Signature, *, threads: int = 0) -> None:
        """model: the ONNX file's bytes, or its path; threads: 0 for as many as there are cores."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # errors alone: warnings are about what it does to the graph
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._inputs = signature.inputs
        self._history = signature.history or 1
        self._outputs = [one.name for one in signature.outputs]

    def run(self, rows: Rows) -> Outputs:
        """The outputs for raw rows, by their names; of a forecast, for windows of rows, one after the other.

        Raises what feeds raises for rows of another type.
        """
        feeds = {}
        for one in self._inputs:
            tensor = Tensor(name=one.column, type=one.type, shape=tuple(one.shape))
            feeds[one.name] = (
                array_feed(rows, tensor)
                if isinstance(rows, np.ndarray)
                else column_feed(rows[one.column], tensor).reshape(-1, *one.shape)
            )
        return self.feed(feeds)

    def feed(self, feeds: Mapping[str, npt.NDArray[Any]]) -> Outputs:
        """The outputs for tensors by the inputs' names."""
        return dict(zip(self._outputs, self._session.run(self._outputs, dict(feeds)), strict=True))

    def run_in_batches(self, rows: Rows, size: int) -> Iterator[Outputs]:
        """The outputs for at most `size` rows, or windows of rows, at once, in their order."""
        for start in range(0, len(rows), step := size * self._history):
            yield self.run(_slice(rows, start, step))


def _slice(rows: Rows, start: int, size: int) -> Rows:
    return rows.slice(start, size) if isinstance(rows, pa.Table) else rows[start : start + size]
