"""The graph of a module that is made of plain layers, as Headway's own models are, written layer by layer.

torch's exporter traces any module, but it and what it imports take five seconds of a processor, at the end of every
run. Whatever is not known here to the last option is left to it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import nn

from headway_trainer.export.graph import OnnxGraph
from headway_trainer.models.autoencoder import Autoencoder, VariationalAutoencoder
from headway_trainer.models.gru import Gru

_ROWS = 2
_HOOKS = ("_forward_hooks", "_forward_pre_hooks")


class UnknownLayerError(Exception):
    """A module that has no graph here."""


def layers_body(module: nn.Module, input_shape: tuple[int, ...], features: str, outputs: str) -> onnx.ModelProto:
    """The graph of a module on the CPU, in evaluation mode: features, float (N, *input_shape), to outputs.

    Raises UnknownLayerError for a module that is not made of the layers that are known here, and what the module does.
    """
    graph = OnnxGraph("")
    value = _write(graph, module, graph.value(features, "float", input_shape))
    with torch.inference_mode():
        shape = tuple(module(torch.zeros(_ROWS, *input_shape)).shape[1:])
    return graph.model({outputs: (value, "float", shape)})


def _write(graph: OnnxGraph, module: nn.Module, x: str) -> str:
    """What a module makes of the value x."""
    writer = _WRITERS.get(type(module))
    weights = (*module.parameters(recurse=False), *module.buffers(recurse=False))
    plain = all(not one.is_floating_point() or one.dtype == torch.float32 for one in weights)
    # What hooks do, and a forward that was put into the place of the class's, is not seen here.
    if writer is None or not plain or "forward" in vars(module) or any(getattr(module, hooks) for hooks in _HOOKS):
        raise UnknownLayerError(type(module).__name__)
    return writer(graph, module, x)


_Writer: TypeAlias = Callable[[OnnxGraph, Any, str], str]


def _sequential(graph: OnnxGraph, module: nn.Sequential, x: str) -> str:
    for layer in module:
        x = _write(graph, layer, x)
    return x


def _identity(graph: OnnxGraph, module: nn.Module, x: str) -> str:  # noqa: ARG001 - as others
    return x


def _operator(name: str) -> _Writer:
    return lambda graph, _, x: graph.node(name, x)


def _flatten(graph: OnnxGraph, module: nn.Flatten, x: str) -> str:
    _require(module, (module.start_dim, module.end_dim) == (1, -1))
    return graph.node("Flatten", x, axis=1)


def _unflatten(graph: OnnxGraph, module: nn.Unflatten, x: str) -> str:
    sizes = tuple(module.unflattened_size)
    _require(module, module.dim == 1 and all(isinstance(size, int) for size in sizes))
    return graph.node("Reshape", x, graph.constant(np.array([-1, *sizes], dtype=np.int64)))


def _linear(graph: OnnxGraph, module: nn.Linear, x: str) -> str:
    product = graph.node("MatMul", x, graph.constant(_array(module.weight).T))
    return product if module.bias is None else graph.node("Add", product, graph.constant(_array(module.bias)))


def _gelu(graph: OnnxGraph, module: nn.GELU, x: str) -> str:
    return graph.node("Gelu", x, approximate=module.approximate)


def _silu(graph: OnnxGraph, module: nn.SiLU, x: str) -> str:  # noqa: ARG001 - as others
    return graph.node("Mul", x, graph.node("Sigmoid", x))


def _convolution(graph: OnnxGraph, module: nn.Conv2d, x: str) -> str:
    padding = module.padding
    if isinstance(padding, str) or module.padding_mode != "zeros":
        raise UnknownLayerError(f"padding {padding} of {module.padding_mode}")
    weights = [graph.constant(_array(one)) for one in (module.weight, module.bias) if one is not None]
    return graph.node(
        "Conv",
        x,
        *weights,
        kernel_shape=list(module.kernel_size),
        strides=list(module.stride),
        pads=[*padding, *padding],
        dilations=list(module.dilation),
        group=module.groups,
    )


def _batch_norm(graph: OnnxGraph, module: nn.BatchNorm2d, x: str) -> str:
    values = (module.weight, module.bias, module.running_mean, module.running_var)
    known = [graph.constant(_array(one)) for one in values if one is not None]
    _require(module, len(known) == len(values))
    return graph.node("BatchNormalization", x, *known, epsilon=module.eps)


def _max_pool(graph: OnnxGraph, module: nn.MaxPool2d, x: str) -> str:
    _require(module, not (module.ceil_mode or module.return_indices))
    padding = _pair(module.padding)
    return graph.node(
        "MaxPool",
        x,
        kernel_shape=_pair(module.kernel_size),
        strides=_pair(module.stride),
        pads=[*padding, *padding],
        dilations=_pair(module.dilation),
    )


def _autoencoder(graph: OnnxGraph, module: Autoencoder, x: str) -> str:
    return _write(graph, module.decoder, _write(graph, module.encoder, x))


def _variational(graph: OnnxGraph, module: VariationalAutoencoder, x: str) -> str:
    mean, _ = graph.outputs(2, "Split", _write(graph, module.encoder, x), axis=1, num_outputs=2)
    return _write(graph, module.decoder, mean)


def _gru(graph: OnnxGraph, module: Gru, x: str) -> str:
    steps = module.steps
    plain = steps.bias and steps.batch_first and not steps.bidirectional
    _require(steps, plain and type(steps) is nn.GRU)
    # onnxruntime takes the steps first, and a direction's axis after them.
    value, last = graph.node("Transpose", x, perm=[1, 0, 2]), ""
    axis = graph.constant(np.array([1], dtype=np.int64))
    for layer in range(steps.num_layers):
        weights, bias = (
            [_gates(_array(getattr(steps, f"{kind}_{of}_l{layer}"))) for of in ("ih", "hh")]
            for kind in ("weight", "bias")
        )
        states, last = graph.outputs(
            2,
            "GRU",
            value,
            *(graph.constant(one[np.newaxis]) for one in (*weights, np.concatenate(bias))),
            hidden_size=steps.hidden_size,
            linear_before_reset=1,
        )
        value = graph.node("Squeeze", states, axis)
    return _write(graph, module.head, graph.node("Squeeze", last, graph.constant(np.array([0], dtype=np.int64))))


def _gates(array: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The rows of a GRU's gates as ONNX has them: update, reset, new; torch has reset first."""
    reset, update, new = np.split(array, 3)
    return np.concatenate([update, reset, new])


def _array(tensor: torch.Tensor) -> npt.NDArray[np.float32]:
    array: npt.NDArray[np.float32] = tensor.detach().numpy()
    return array


def _pair(value: int | tuple[int, ...]) -> list[int]:
    return [value, value] if isinstance(value, int) else list(value)


def _require(module: nn.Module, known: bool) -> None:
    if not known:
        raise UnknownLayerError(f"options of {type(module).__name__}")


_WRITERS: dict[type[nn.Module], _Writer] = {
    nn.Sequential: _sequential,
    nn.Identity: _identity,
    nn.Dropout: _identity,
    nn.Flatten: _flatten,
    nn.Unflatten: _unflatten,
    nn.Linear: _linear,
    nn.ReLU: _operator("Relu"),
    nn.Tanh: _operator("Tanh"),
    nn.Sigmoid: _operator("Sigmoid"),
    nn.GELU: _gelu,
    nn.SiLU: _silu,
    nn.Conv2d: _convolution,
    nn.BatchNorm2d: _batch_norm,
    nn.MaxPool2d: _max_pool,
    Autoencoder: _autoencoder,
    VariationalAutoencoder: _variational,
    Gru: _gru,
}
"""What writes each kind of module; of a kind that is derived from one of these, nothing is known."""
