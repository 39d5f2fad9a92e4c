"""Whether a checkpoint fits the model that is built now: the user may have changed their code, or the spec, since."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from headway_trainer.errors import UserError
from headway_trainer.training.optimizers import of_optimizer

_REMEDY = (
    "give the code back that it was trained with, or begin again: headway run --fresh, or on a cluster a job of "
    "another name"
)
Tensors = Mapping[str, torch.Tensor]


def refuse_other_model(step: int, model: nn.Module, weights: Tensors) -> None:
    """Raise UserError, which names a parameter or buffer, where the weights of a checkpoint are another model's."""
    have = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    for name, shape in have.items():
        if name not in weights:
            raise _misfit(step, f"the model has {name}, and it has none")
        if tuple(weights[name].shape) != shape:
            there = list(weights[name].shape)
            raise _misfit(step, f"{name} has the shape {there} there, and {list(shape)} in the model")
    if others := sorted(set(weights) - set(have)):
        raise _misfit(step, f"it has {others[0]}, and the model has none")


def refuse_other_parameters(step: int, optimizers: Mapping[str, torch.optim.Optimizer], state: Tensors) -> None:
    """Raise UserError where the optimisers' state in a checkpoint, as `optimizer_tensors` gives it, is for others."""
    known = 0
    for key, optimizer in optimizers.items():
        parameters = [one for group in optimizer.param_groups for one in group["params"]]
        for index, _, value in of_optimizer(key, state):
            known += 1
            if index >= len(parameters) or (value.ndim > 0 and value.shape != parameters[index].shape):
                raise _misfit(step, "other parameters were trained")
    if known < len(state):
        raise _misfit(step, "other optimisers trained it")


def _misfit(step: int, what: str) -> UserError:
    return UserError(f"the checkpoint of step {step} does not fit the model that is built now: {what}; {_REMEDY}")
