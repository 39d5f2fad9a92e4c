"""What a program is: a model, the step that the loop takes over and over, and how rows are judged.

The loop keeps the order of rows, checkpoints, stopping and the learning rate, and asks the program for the rest. What a
step needs of the loop is its Turn: it knows of mixed precision, clipping, and how many ranks there are, so that a
program need not.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any, ClassVar, NamedTuple, Protocol

import torch
from torch import nn

from headway_trainer.data.batches import Batch
from headway_trainer.tasks import Task

MAIN = "main"
"""The name of a program's optimiser, where it has only one."""
MakeOptimizer = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
"""The optimiser of `spec.training.optimizer` over some parameters."""


class JudgedRows(NamedTuple):
    """What the metrics need of some rows."""

    outputs: torch.Tensor
    """What the model gives for them: (rows, ...), of any float type."""
    target: torch.Tensor
    """What it is compared with: `task.target(batch)`."""
    losses: torch.Tensor | None = None
    """The loss of each row, (rows,); the task's loss of the two if absent."""


class Turn(Protocol):
    """What the loop lends to one step."""

    position: int
    """Steps before this one, from the first epoch on. What changes over a run follows from it: so a resume is exact."""
    planned: int
    """The steps of all planned epochs."""

    def model(self, x: torch.Tensor) -> Any:
        """The program's model of x. Of a `single_pass` program, it has the gradients exchanged while they come."""

    def autocast(self) -> AbstractContextManager[None]:
        """The context for forward passes and losses, of `training.precision`."""

    def update(self, loss: torch.Tensor, optimizer: str = MAIN) -> None:
        """One update of the parameters of an optimiser by the gradients of loss, (), a mean over the batch's rows.

        The gradients are those of the mean over the rows of all ranks, however uneven their batches are; they are
        clipped as `training.clip` says. Other parameters get none. Every rank has to make the same calls.
        """

    def log(self, name: str, value: torch.Tensor | float) -> None:
        """Tell a part of the loss, or another number, by name: a mean over the batch's rows, ().

        `train/NAME` in progress, status and report is its mean over the rows of the epoch, on all ranks. Nothing is
        learnt from it, and it chooses no checkpoint. At most 16 names; a step need not log all of them.
        """


class Program(abc.ABC):
    """A model that is being trained.

    All that training changes is in `model`, as parameters or buffers, and in the optimisers: checkpoints hold them, and
    the state of torch's, numpy's and Python's global random generators, so that a resume is exact.
    """

    single_pass: ClassVar[bool] = False
    """Whether each step is one pass of `turn.model` and one update: only then can the ranks exchange gradients while
    the backward pass goes on (DistributedDataParallel). Otherwise they do after it."""

    def __init__(self, model: nn.Module, task: Task) -> None:
        """model: what is kept, judged and exported; its forward gives the task's outputs in evaluation mode."""
        self.model = model
        self.task = task

    def optimizers(self, make: MakeOptimizer) -> dict[str, torch.optim.Optimizer]:
        """The optimisers by name, over parameters of `model`, which is on its device; called once."""
        return {MAIN: make(self.model.parameters())}

    @abc.abstractmethod
    def step(self, batch: Batch, turn: Turn) -> torch.Tensor:
        """Learn from a batch, with the model in training mode; the mean loss of its rows, (), as `train/loss` tells."""

    def judge(self, batch: Batch) -> JudgedRows:
        """Judge rows; without gradients, and with the model in evaluation mode. It changes and draws nothing."""
        return JudgedRows(self.model(batch.x), self.task.target(batch))
