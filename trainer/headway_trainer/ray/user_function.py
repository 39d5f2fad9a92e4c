"""What runs in each training process of a job with a training function of its own (`training.entrypoint`).

The function is called as Ray Train would call it, and all of Ray Train's own functions work in it.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray.train
import torch

from headway_api.training import Training
from headway_api.understand import read_run_file
from headway_trainer import api
from headway_trainer.data.info import DataInfo
from headway_trainer.entrypoints import add_to_path, load_function
from headway_trainer.errors import StorageError, UserError
from headway_trainer.ray.device import own_device
from headway_trainer.ray.own_trial import judged, of_its_own
from headway_trainer.ray.storage_guard import guard, storage_fault
from headway_trainer.seeds import process_seed
from headway_trainer.storage import Store
from headway_trainer.training.checkpoints.state import seed_everything
from headway_trainer.training.checkpoints.store import Checkpoints
from headway_trainer.training.exceptions import raise_as_users


def train(config: dict[str, Any]) -> bool:
    """Call the user's function; whether it came to its own end, and was no trial that was stopped.

    config: `run` and `info` as JSON (info may be none), `secret_dir`, `code_dir`, `threads`; of a trial `scope`,
    `rows_uri`, `compared_at` and `metric`.
    """
    run = read_run_file(config["run"])
    info = None if config["info"] is None else DataInfo.model_validate_json(config["info"])
    spec = run.spec.training or Training()
    context = ray.train.get_context()
    rank, world_size = context.get_world_rank(), context.get_world_size()
    store = Store.open(run.storage_uri, config["secret_dir"])
    fence = Checkpoints(store, run.attempt).refuse_if_fenced
    rows_uri = config["rows_uri"]
    rows = None if rows_uri is None else Store.open(rows_uri, config["secret_dir"])
    api.enter(api.Here(store, info, rank, world_size, fence, own_device(), run.spec.seed, rows=rows))
    guard(store, fence)
    torch.set_num_threads(config["threads"])
    seed_everything(process_seed(run.spec.seed, rank))
    with contextlib.ExitStack() as around:
        folder = add_to_path(config["code_dir"])
        if config["metric"] is not None:
            around.enter_context(of_its_own(folder, spec.entrypoint or ""))
            around.enter_context(judged(config["scope"], config["metric"], frozenset(config["compared_at"])))
        return _call(spec, store, folder)


def _call(spec: Training, store: Store, folder: str | None) -> bool:
    name = spec.entrypoint or ""
    function = load_function(name)
    arguments = [dict(spec.arguments)] if takes_arguments(function, name) else []
    try:
        function(*arguments)
    except api.TrialStopped:
        return False
    except (UserError, StorageError):
        raise
    except Exception as error:
        if (fault := storage_fault(error, store)) is not None:
            raise fault from error
        raise_as_users(error, f"training.entrypoint {spec.entrypoint}", _folder(folder))
        raise
    return True


def takes_arguments(function: Callable[..., Any], name: str, field: str = "training.entrypoint") -> bool:
    """Whether the function takes the dict of arguments. Raises UserError for one that needs more than that.

    field: the one of the spec that names it.
    """
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return True
    positional = [one for one in parameters if one.kind in {one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD}]
    needed = [one for one in positional if one.default is one.empty]
    needed += [one for one in parameters if one.kind is one.KEYWORD_ONLY and one.default is one.empty]
    if len(needed) > 1:
        names = ", ".join(one.name for one in needed)
        raise UserError(f"{field} {name} needs {names}: it must take one dict of arguments, or nothing")
    return bool(positional)


def _folder(path: str | None) -> Path | None:
    return Path(path) if path else None
