"""A rank's optimisers and what each update goes through: loss scaling, the other ranks' gradients, clipping."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import torch
from torch import nn

from headway_api.training import Precision
from headway_trainer.errors import UserError
from headway_trainer.programs.base import MAIN
from headway_trainer.training.link import PART
from headway_trainer.training.logged import Logged
from headway_trainer.training.loop_inputs import LoopInputs
from headway_trainer.training.optimizers import build_optimizer
from headway_trainer.training.precision import autocast, grad_scaler
from headway_trainer.training.sampler import loss_weight
from headway_trainer.training.schedules import lr_factor


class Updates:
    """`programs.Turn` for every step of a run: the loop says when one begins and ends."""

    def __init__(self, inputs: LoopInputs, precision: Precision, planned: int) -> None:
        """planned: the steps of all planned epochs. Raises UserError for optimisers that no checkpoint could hold."""
        self.position, self.planned = 0, planned
        self.optimizers = _checked(inputs)
        self.scaler = grad_scaler(precision, inputs.device)
        self.steps = self.count = 0
        """Steps that this process has begun, and the updates in them."""
        self.logged = Logged(inputs.device)
        """What the steps of the running epoch have logged."""
        self._norms: dict[str, torch.Tensor] = {}
        """Of each optimiser, the norm of the gradients of its newest update, before they were clipped."""
        self._inputs, self._precision = inputs, precision
        self._parallel: nn.Module = inputs.model
        self._lr = {name: [group["lr"] for group in one.param_groups] for name, one in self.optimizers.items()}
        self._weight, self._rows = 1.0, 0
        self._stepped: set[str] = set()

    def start(self) -> None:
        """Join the other ranks: all begin with the weights of the first."""
        if self._inputs.program.single_pass:
            self._parallel = self._inputs.group.parallel(self._inputs.model)
        else:
            self._inputs.group.share(self._inputs.model.state_dict().values())

    def begin(self, position: int, rows: int, all_rows: int) -> None:
        """Begin the step at position, with so many rows of this rank's, and of all ranks."""
        self.position = position
        self.steps += 1
        factor = lr_factor(self._inputs.spec.schedule, position, self.planned)
        for name, optimizer in self.optimizers.items():
            for group, lr in zip(optimizer.param_groups, self._lr[name], strict=True):
                group["lr"] = lr * factor
        self._weight, self._rows = loss_weight(rows, all_rows, self._inputs.group.world_size), rows

    def end(self) -> None:
        """End the step."""
        if self._stepped:
            self.scaler.update()
            self._stepped.clear()

    @property
    def learning_rate(self) -> float:
        """That of the first optimiser."""
        lr: float = next(iter(self.optimizers.values())).param_groups[0]["lr"]
        return lr

    def measured(self) -> dict[str, float]:
        """The learning rate, and where gradients are clipped, so that it is known, the norm of those of each
        optimiser's newest update, before that. It waits for the device."""
        norms = {f"{PART}/gradient_norm{'' if name == MAIN else f'_{name}'}": one for name, one in self._norms.items()}
        return {"learning_rate": self.learning_rate} | {name: norm.item() for name, norm in norms.items()}

    def model(self, x: torch.Tensor) -> Any:
        """The model of x, with the other ranks where they exchange gradients in the backward pass."""
        return self._parallel(x)

    def autocast(self) -> AbstractContextManager[None]:
        """The context of the forward pass."""
        return autocast(self._precision, self._inputs.device)

    def update(self, loss: torch.Tensor, optimizer: str = MAIN) -> None:
        """One update of an optimiser's parameters by the gradients of loss. Raises UserError for an unknown name."""
        if optimizer not in self.optimizers:
            raise UserError(f"turn.update: there is no optimiser {optimizer!r}, only {', '.join(self.optimizers)}")
        if optimizer in self._stepped:
            self.end()  # a scaler asks for it between two updates of one optimiser
        chosen = self.optimizers[optimizer]
        parameters = _parameters(chosen)
        chosen.zero_grad(set_to_none=True)
        scaled = self.scaler.scale(loss if self._weight == 1.0 else loss * self._weight)
        if self._inputs.program.single_pass:
            torch.autograd.backward(scaled)
        else:
            torch.autograd.backward(scaled, inputs=parameters)
            self._average(parameters)
        if self._inputs.spec.clip is not None:
            self.scaler.unscale_(chosen)
            self._norms[optimizer] = nn.utils.clip_grad_norm_(parameters, self._inputs.spec.clip.norm).detach()
        self.scaler.step(chosen)
        self._stepped.add(optimizer)
        self.count += 1

    def log(self, name: str, value: torch.Tensor | float) -> None:
        """Tell a number of this step by name. Raises UserError for a name or a value that cannot be told."""
        self.logged.add(name, value, self._rows)

    def _average(self, parameters: Sequence[nn.Parameter]) -> None:
        """Give every rank the mean of all ranks' gradients, in one exchange a type of number.

        A parameter without a gradient on some rank counts as 0 there; one without any stays without.
        """
        group = self._inputs.group
        if group.world_size == 1:
            return
        for dtype in dict.fromkeys(one.dtype for one in parameters):
            alike = [one for one in parameters if one.dtype == dtype]
            flat = [(torch.zeros_like(one) if one.grad is None else one.grad).flatten() for one in alike]
            there = torch.tensor([one.grad is not None for one in alike], dtype=dtype, device=flat[0].device)
            together = group.sum(torch.cat([*flat, there]))
            *sums, counts = torch.split(together, [*map(len, flat), len(alike)])
            for one, total, count in zip(alike, sums, counts.tolist(), strict=True):
                one.grad = (total / group.world_size).reshape(one.shape) if count else None


def _parameters(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    return [one for group in optimizer.param_groups for one in group["params"]]


def _checked(inputs: LoopInputs) -> dict[str, torch.optim.Optimizer]:
    """The program's optimisers."""
    program = inputs.program
    optimizers = program.optimizers(partial(build_optimizer, inputs.spec.optimizer))
    kept = {id(one) for one in program.model.parameters()}
    name = type(program).__name__
    if not optimizers:
        raise UserError(f"{name}.optimizers() gave none: give at least one, by a name")
    for key, optimizer in optimizers.items():
        if not key.isidentifier():
            raise UserError(f"{name}.optimizers() names one {key!r}: write letters, digits and '_'")
        if any(id(one) not in kept for one in _parameters(optimizer)):
            raise UserError(
                f"the optimiser {key} of {name} has a parameter that is not in its model, so that no checkpoint would"
                " hold it: make it a part of the model"
            )
    return optimizers
