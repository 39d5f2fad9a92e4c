"""Runs an exported model: onnxruntime alone, without torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pyarrow as pa
from onnxruntime.capi import onnxruntime_pybind11_state as runtime

from headway_api.bundle import Signature, mismatch
from headway_trainer.data.sample import Rows
from headway_trainer.data.transform.feeds import array_feed, column_feed
from headway_trainer.data.transform.graph import Tensor
from headway_trainer.errors import UserError

RUNTIME_ERRORS = tuple(
    kind for kind in vars(runtime).values() if isinstance(kind, type) and issubclass(kind, Exception)
)
"""What onnxruntime raises for a model that it cannot load or run: it has no common base for them."""
Outputs = dict[str, npt.NDArray[Any]]


class _InferenceSession(onnxruntime.InferenceSession):  # type: ignore[misc]  # onnxruntime has no types
    def _validate_input(self, names: list[str]) -> None:
        """Leaves that to the runtime: here it looks each input up in a list, which of 20,000 takes seconds a run."""


class Session:
    """A model that takes raw rows."""

    def __init__(self, model: bytes | str, signature: Signature, *, threads: int = 0) -> None:
        """model: the ONNX file's bytes, or its path; threads: 0 for as many as there are cores."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4  # errors are raised; warnings are about what it does to the graph
        # Else the bytes of a model may choose a format of onnxruntime's own.
        options.add_session_config_entry("session.load_model_format", "ONNX")
        self._session = _InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._inputs = signature.inputs
        self._history = signature.history or 1
        self._outputs = signature.outputs

    def mismatch(self, told: Signature) -> str | None:
        """How the graph's inputs and outputs differ from a signature: the end of a sentence; None if they do not."""
        return mismatch(self._session.get_inputs(), self._session.get_outputs(), told)

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
        """The outputs for tensors by the inputs' names. Raises UserError where the model fails, or gives other shapes
        than its signature."""
        try:
            found = self._session.run([one.name for one in self._outputs], dict(feeds))
        except RUNTIME_ERRORS as error:
            raise UserError(f"onnxruntime cannot run the model on these rows: {str(error).splitlines()[0]}") from error
        for one, values in zip(self._outputs, found, strict=True):
            if values.shape[1:] != tuple(one.shape):
                raise UserError(
                    f"the model gives {one.name!r} of shape {values.shape[1:]} a row, not {tuple(one.shape)}"
                )
        return {one.name: values for one, values in zip(self._outputs, found, strict=True)}

    def run_in_batches(self, rows: Rows, size: int) -> Iterator[Outputs]:
        """The outputs for at most `size` rows, or windows of rows, at once, in their order."""
        for start in range(0, len(rows), step := size * self._history):
            yield self.run(_slice(rows, start, step))


def _slice(rows: Rows, start: int, size: int) -> Rows:
    return rows.slice(start, size) if isinstance(rows, pa.Table) else rows[start : start + size]
