"""From `spec.model` to a checked torch module."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import nn

from headway_api.metrics import Task
from headway_api.model import MODELS as CATALOGUE
from headway_api.model import Model, parse_options
from headway_trainer.data.info import DataInfo
from headway_trainer.declared import NamedModel
from headway_trainer.entrypoints import describe
from headway_trainer.errors import UserError
from headway_trainer.programs import Program, Supervised
from headway_trainer.registry import MODELS, package_model
from headway_trainer.tasks import task_of

_CHECKED_ROWS = 2


def build(spec: Model, info: DataInfo, *, load_function: Callable[[str], Callable[..., Any]]) -> Program:
    """The model of a job and how it learns, in training mode, on the CPU, checked with a batch of zeros.

    A module without a program of its own learns as plain supervised learning does.

    load_function turns `module:function` into the function. The caller seeds torch beforehand.
    Raises UserError where the model does not fit the data, or the user's own function fails.
    """
    if spec.entrypoint is None:
        name = f"model.name {spec.name}"
        made = _named(spec, info)
    else:
        name = f"model.entrypoint {spec.entrypoint}"
        function = load_function(spec.entrypoint)
        made = _called(lambda: function(info, **spec.options), name)
    program = made if isinstance(made, Program) else Supervised(made, task_of(info))
    _check_shape(program.model, info, name)
    return program


def parameter_count(model: nn.Module) -> int:
    """Trainable parameters."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def _named(spec: Model, info: DataInfo) -> nn.Module | Program:
    name = spec.name or ""
    if name not in CATALOGUE:
        return _of_package(name, spec, info)
    refuse_other_task(name, CATALOGUE[name].tasks, info)
    made: nn.Module | Program = MODELS.of(name)(info, parse_options(name, spec.options))
    return made


def _of_package(name: str, spec: Model, info: DataInfo) -> nn.Module | Program:
    declared = package_model(name)
    if not isinstance(declared, NamedModel):
        return _called(lambda: declared(info, **spec.options), f"model.name {name}")
    refuse_other_task(name, declared.tasks, info)
    options = declared.parse(name, spec.options)
    return _called(lambda: declared.build(info, options), f"model.name {name}")


def refuse_other_task(name: str, tasks: Collection[Task], info: DataInfo) -> None:
    """Raise UserError where a model of this name, which learns these tasks, cannot learn what the data turned out to
    be for."""
    if info.task not in tasks:
        fitting = [other for other, entry in CATALOGUE.items() if info.task in entry.tasks]
        raise UserError(
            f"model.name {name} is for {' and '.join(sorted(tasks))}, and this is a {info.task}: write"
            f" {' or '.join(fitting)}, or set data.task"
        )


def _called(call: Callable[[], Any], name: str) -> nn.Module | Program:
    """What a function that is not Headway's makes of the data and the options."""
    try:
        made = call()
    except MemoryError:
        raise  # not a mistake of the function's
    except Exception as error:
        raise UserError(f"{name} raised {describe(error)}") from error
    if not isinstance(made, nn.Module | Program):
        raise UserError(
            f"{name} returned {_kind(made)}: it must return a torch.nn.Module, or a headway_trainer.Program"
        )
    return made


def _check_shape(model: nn.Module, info: DataInfo, name: str) -> None:
    """Run a batch of zeros through the model, in evaluation mode so that nothing in it changes."""
    batch = torch.zeros(_CHECKED_ROWS, *info.input_shape)
    model.eval()
    try:
        with torch.no_grad():
            output = model(batch)
    except Exception as error:
        raise UserError(
            f"{name} cannot take a batch of shape {tuple(batch.shape)}, which is what the data gives: {describe(error)}"
        ) from error
    finally:
        model.train()
    task = task_of(info)
    allowed = task.shapes(_CHECKED_ROWS)
    shape = tuple(output.shape) if isinstance(output, torch.Tensor) else _kind(output)
    if shape not in allowed:
        raise UserError(
            f"{name} gives {shape} for a batch of {_CHECKED_ROWS} rows: for this {task.name} it must give a tensor of "
            f"shape {allowed[0]}, one output for each {task.each}"
        )


def _kind(value: object) -> str:
    return f"an object of type {type(value).__name__}"
