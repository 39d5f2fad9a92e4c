"""Optimisers by name, and their state as safetensors and JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import nn

from headway_api.training import Optimizer
from headway_trainer.errors import UserError
from headway_trainer.programs.base import MAIN

Tensors = dict[str, torch.Tensor]


def build_optimizer(spec: Optimizer, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """The optimiser over the parameters that are trained, in the implementation that goes over them only once."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    if spec.name == "sgd":
        return torch.optim.SGD(trained, lr=spec.lr, momentum=spec.momentum, weight_decay=spec.weight_decay, fused=True)
    return torch.optim.AdamW(trained, lr=spec.lr, weight_decay=spec.weight_decay, fused=True)


def optimizer_tensors(optimizers: Mapping[str, torch.optim.Optimizer]) -> Tensors:
    """The optimisers' tensors, where they are, by `<parameter index>.<name>`; of one with another name than `main`, by
    `<optimiser>/<parameter index>.<name>`.

    Raises UserError for what cannot be kept as a tensor, so that a resume could not be exact.
    """
    tensors: Tensors = {}
    for key, optimizer in optimizers.items():
        for index, values in optimizer.state_dict()["state"].items():
            for name, value in values.items():
                if isinstance(value, torch.Tensor):
                    tensors[f"{_prefix(key)}{index}.{name}"] = value.detach()
                elif value is not None:
                    raise UserError(
                        f"the optimiser {key} ({type(optimizer).__name__}) keeps {name} as {type(value).__name__},"
                        " which no checkpoint can hold: take one whose state is tensors"
                    )
    return tensors


def load_optimizer_tensors(optimizers: Mapping[str, torch.optim.Optimizer], tensors: Tensors) -> None:
    """Put back what optimizer_tensors gave, for optimisers that were built from the same spec and model."""
    for key, optimizer in optimizers.items():
        state: dict[int, dict[str, torch.Tensor]] = {}
        for index, name, tensor in of_optimizer(key, tensors):
            state.setdefault(index, {})[name] = tensor
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def of_optimizer(key: str, tensors: Mapping[str, torch.Tensor]) -> list[tuple[int, str, torch.Tensor]]:
    """Those of one optimiser, as (parameter index, name, tensor)."""
    found = []
    for path, tensor in tensors.items():
        prefix, slash, rest = path.rpartition("/")
        if f"{prefix}{slash}" == _prefix(key):
            index, _, name = rest.partition(".")
            found.append((int(index), name, tensor))
    return found


def _prefix(key: str) -> str:
    return "" if key == MAIN else f"{key}/"
