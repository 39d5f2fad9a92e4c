"""A torch module as an ONNX graph from features to outputs."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator

import onnx
import torch
from torch import nn

from headway_trainer.export.graph import BATCH, IR_VERSION, OPSET
from headway_trainer.export.layers import UnknownLayerError, layers_body

_ROWS = 2
"""A batch of one row would be taken for the only size there is."""
_MAX_BYTES = 1_900_000_000
"""An ONNX file is one message of protobuf, which holds 2 GiB."""
_MAX_REASON = 300
_LOGGERS = ("torch.onnx", "torch.export", "torch._export", "torch._dynamo", "torch.fx", "torch.fx.experimental")
FEATURES, OUTPUTS = "features", "outputs"


class NotExportableError(Exception):
    """The model has no ONNX form. The message says why."""


def export_body(model: nn.Module, input_shape: tuple[int, ...]) -> onnx.ModelProto:
    """The graph of a model on the CPU, in evaluation mode: `features`, float (N, *input_shape), to `outputs`.

    Raises NotExportableError, and whatever torch does, for example where a model decides by its input's values what it
    does: `reason` has the sentence.
    """
    size = sum(value.numel() * value.element_size() for value in model.state_dict().values())
    if size > _MAX_BYTES:
        raise NotExportableError(f"its weights take {size / 2**30:.1f} GiB, and an ONNX file holds 2 GiB")
    with contextlib.suppress(UnknownLayerError):
        return layers_body(model, input_shape, FEATURES, OUTPUTS)
    return _traced(model, input_shape)


def _traced(model: nn.Module, input_shape: tuple[int, ...]) -> onnx.ModelProto:
    """The graph by torch's own exporter, which is slow to import."""
    batch = torch.zeros(_ROWS, *input_shape)
    with _quiet(), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        program = torch.onnx.export(
            model,
            (batch,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[FEATURES],
            output_names=[OUTPUTS],
            dynamic_shapes=({0: torch.export.Dim(BATCH)},),
            external_data=False,
            verbose=False,
        )
    assert program is not None  # noqa: S101 - it is none only where a file is asked for
    body = program.model_proto
    body.ir_version = IR_VERSION
    return body


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch logs and warns of on the way, which is about itself."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        with warnings.catch_warnings():
            # As of torch's own recurrent layers, that their weights are listed anew: the parity tells what comes of it.
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def reason(error: BaseException) -> str:
    """Why a model could not be exported: the first line of what is behind an exporter's error, which adds pages."""
    while error.__cause__ is not None:
        error = error.__cause__
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    if isinstance(error, NotExportableError):
        return line
    if type(error).__name__ == "GuardOnDataDependentSymNode":
        return "what its forward does depends on the values of its input, for example in an if"
    told = f"{type(error).__name__}: {line}" if line else type(error).__name__
    return told if len(told) <= _MAX_REASON else told[: _MAX_REASON - 1] + "…"
