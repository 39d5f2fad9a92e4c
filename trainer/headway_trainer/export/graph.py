"""Writes the ONNX graph of a chain of transforms."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from headway_trainer.data.transform import Tensor
from headway_trainer.export.record import window_shape

OPSET = 20
ML_OPSET = 4
_RUNTIME = "com.microsoft"
"""Operators that onnxruntime has beyond those of ONNX, in every build of it that is published."""
IR_VERSION = 10
"""Older than what onnx writes by default: each runtime since onnxruntime 1.18 reads it."""
BATCH = "N"
"""The name of the rows' axis."""
_TYPES = {
    "double": TensorProto.DOUBLE,
    "float": TensorProto.FLOAT,
    "uint8": TensorProto.UINT8,
    "string": TensorProto.STRING,
    "int64": TensorProto.INT64,
}


def opsets() -> list[onnx.OperatorSetIdProto]:
    """The operators that all our graphs are written in."""
    return [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]


class OnnxGraph:
    """A graph that is being written: `headway_trainer.data.transform.Graph`."""

    def __init__(self, prefix: str = "in/", names: Mapping[str, str] = MappingProxyType({})) -> None:
        """prefix: what begins the name of each value that is neither input nor output; names: the inputs' names in the
        graph by those of the tensors; the same where one is not there."""
        self._prefix, self._names = prefix, names
        self._inputs: dict[str, onnx.ValueInfoProto] = {}
        self._constants: list[onnx.TensorProto] = []
        self._nodes: list[onnx.NodeProto] = []
        self._types: list[onnx.ValueInfoProto] = []
        self._values = 0

    def value(self, name: str, kind: str, shape: tuple[int, ...]) -> str:
        """An input that is no tensor of raw rows: (rows, *shape)."""
        self._inputs[name] = helper.make_tensor_value_info(name, _TYPES[kind], [BATCH, *shape])
        return name

    def input(self, tensor: Tensor) -> str:
        """The value (rows, *shape) of an input, which is declared the first time it is asked for."""
        name = self._names.get(tensor.name, tensor.name)
        self._declare(name, tensor.type, tensor.shape)
        return name

    def constant(self, array: npt.NDArray[Any]) -> str:
        """A constant value, in the array's type and shape."""
        name = self._value()
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name))
        return name

    def node(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """The only output of a new node; domain is "" for ONNX's own operators or `ai.onnx.ml`."""
        return self.outputs(1, operator, *inputs, domain=domain, **attributes)[0]

    def outputs(self, count: int, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> list[str]:
        """All outputs of a new node. The attribute `to` is a type's name."""
        if "to" in attributes:
            attributes["to"] = _TYPES[attributes["to"]]
        values = [self._value() for _ in range(count)]
        self._nodes.append(helper.make_node(operator, list(inputs), values, domain=domain, **attributes))
        return values

    def _declare(self, name: str, kind: str, shape: tuple[int, ...]) -> None:
        self._inputs.setdefault(name, helper.make_tensor_value_info(name, _TYPES[kind], [BATCH, *shape]))

    def tokens(self, text: str, separator: str) -> str:
        """The parts of texts (rows,) between separators, (rows, most parts), with "" after a row's last one."""
        (parts,) = self.outputs(
            1, "Tokenizer", text, domain=_RUNTIME, mark=0, mincharnum=1, pad_value="", separators=[separator]
        )
        # ONNX cannot tell the type of what another's operator gives, and its checker crashes on the next one without.
        self._types.append(helper.make_tensor_value_info(parts, TensorProto.STRING, [BATCH, None]))
        return parts

    def model(self, results: dict[str, tuple[str, str, tuple[int, ...]]]) -> onnx.ModelProto:
        """The finished graph. results: by name of output, the value, its type, and the shape of one row."""
        for name, (value, _, _) in results.items():
            self._nodes.append(helper.make_node("Identity", [value], [name]))
        outputs = [
            helper.make_tensor_value_info(name, _TYPES[kind], [BATCH, *shape])
            for name, (_, kind, shape) in results.items()
        ]
        graph = helper.make_graph(
            self._nodes, "headway", list(self._inputs.values()), outputs, self._constants, value_info=self._types
        )
        runtime = [helper.make_opsetid(_RUNTIME, 1)] if self._types else []
        return helper.make_model(graph, opset_imports=[*opsets(), *runtime], ir_version=IR_VERSION)

    def _value(self) -> str:
        self._values += 1
        return f"{self._prefix}{self._values}"


class WindowGraph(OnnxGraph):
    """A graph whose inputs are windows of rows: each column's values of all steps of a window. A chain that writes
    itself into it sees the rows of all windows, one after the other."""

    def __init__(self, prefix: str, names: Mapping[str, str], history: int) -> None:
        super().__init__(prefix, names)
        self._history = history
        self._rows: dict[str, str] = {}

    def input(self, tensor: Tensor) -> str:
        """The value (windows * history, *shape) of an input that is declared as (windows, history), of numbers of a
        vector as (windows, history, length)."""
        name = self._names.get(tensor.name, tensor.name)
        if name not in self._rows:
            self._declare(name, tensor.type, window_shape(tensor.shape, self._history))
            shape = self.constant(np.array([-1, *tensor.shape], dtype=np.int64))
            self._rows[name] = self.node("Reshape", name, shape)
        return self._rows[name]

    def windows(self, rows: str, width: int) -> str:
        """The value (windows, history, width) of the rows of all windows."""
        return self.node("Reshape", rows, self.constant(np.array([-1, self._history, width], dtype=np.int64)))
