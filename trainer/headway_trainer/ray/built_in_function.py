"""What runs in each training process: it builds the loop from what the driver sends, and judges the finished model."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import torch
from safetensors.torch import load
from torch import distributed

from headway_api import wire
from headway_api.model import Model
from headway_api.training import Training
from headway_api.understand import read_run_file
from headway_trainer.data import DataInfo, read_split
from headway_trainer.data.info import Split
from headway_trainer.entrypoints import add_to_path, load_function
from headway_trainer.errors import StorageError, UserError
from headway_trainer.evaluation import evaluate
from headway_trainer.models import build
from headway_trainer.ray.device import own_device
from headway_trainer.ray.kv_link import WorkerLink
from headway_trainer.storage import Store
from headway_trainer.training.checkpoints.state import seed_everything
from headway_trainer.training.checkpoints.store import Checkpoints, Damaged, Manifest
from headway_trainer.training.compiler_stub import without_compiler
from headway_trainer.training.exceptions import raise_as_users
from headway_trainer.training.link import Link, Silence, TrainEnd, TrainProgress
from headway_trainer.training.loop import Loop, best_metric
from headway_trainer.training.loop_inputs import LoopInputs
from headway_trainer.training.precision import make_reproducible
from headway_trainer.training.process_group import current_group

_JUDGED: tuple[Split, ...] = ("validation", "test")


@dataclass(frozen=True)
class _Place:
    """What one process works with."""

    run: wire.RunFile
    info: DataInfo
    store: Store
    device: torch.device
    link: Link


def train(config: dict[str, Any]) -> dict[str, Any] | None:
    """The built-in training function. Rank 0 returns a TrainEnd.

    config: `run` and `info` as JSON, `secret_dir`, `code_dir`, `threads`.
    """
    run = read_run_file(config["run"])
    info = DataInfo.model_validate_json(config["info"])
    make_reproducible(config["threads"])
    add_to_path(config["code_dir"])
    link: Link = WorkerLink() if distributed.get_rank() == 0 else Silence()
    try:
        store = Store.open(run.storage_uri, config["secret_dir"])
        end = _train(_Place(run, info, store, own_device(), link))
    except (UserError, StorageError):
        raise
    except Exception as error:
        raise_as_users(error)
        raise
    finally:
        link.close()
    return None if end is None else end.model_dump(mode="json")


def _train(place: _Place) -> TrainEnd | None:
    inputs = _inputs(place)
    built_in = place.run.spec.model is not None and place.run.spec.model.entrypoint is None
    with without_compiler() if built_in else contextlib.nullcontext():
        end = Loop(inputs).run()
    if inputs.group.rank != 0:
        return None
    if not end.finished:
        return end
    place.link.tell(
        TrainProgress(
            stage="Evaluating",
            epoch=end.epochs_run,
            epochs=inputs.spec.epochs,
            step=end.step,
            done=1,
            planned=1,
            checkpoint=end.checkpoint,
            resumed_from_step=end.resumed_from_step,
            notes=end.notes,
        )
    )
    return _judge(place, inputs, end)


def _inputs(place: _Place) -> LoopInputs:
    run, info = place.run, place.info
    group = current_group(place.device)
    seed_everything(run.spec.seed)
    model = build(run.spec.model or Model(name="mlp"), info, load_function=load_function)
    return LoopInputs(
        spec=run.spec.training or Training(),
        seed=run.spec.seed,
        info=info,
        model=model,
        train=read_split(place.store, info, "train", group.rank, group.world_size),
        validation=read_split(place.store, info, "validation", group.rank, group.world_size),
        group=group,
        checkpoints=Checkpoints(place.store, run.attempt),
        link=place.link,
        device=place.device,
    )


def _judge(place: _Place, inputs: LoopInputs, end: TrainEnd) -> TrainEnd:
    """Take the best checkpoint, and evaluate it on the parts that it was not fitted to."""
    metric, _ = best_metric(inputs)
    inputs.model.zero_grad(set_to_none=True)  # they take the memory of a second model
    manifest, notes = _load_best(inputs, metric)
    metrics: dict[str, dict[str, float]] = {}
    matrix, workers = None, inputs.group.world_size
    for split in _JUDGED:
        judged = evaluate(
            inputs.model,
            inputs.info,
            # Shard by shard: no more rows at once than training has had.
            (read_split(place.store, inputs.info, split, rank, workers) for rank in range(workers)),
            metrics=place.run.spec.evaluation.metrics,
            batch_size=max(1, inputs.spec.batch_size // workers),
            precision=end.precision_used,
            device=inputs.device,
        )
        metrics[split] = judged.scalars
        matrix = judged.confusion_matrix
    trained = manifest.candidate.metrics.get("train/loss")
    metrics["train"] = {} if trained is None else {"loss": trained}
    return end.model_copy(
        update={
            "metrics": metrics,
            "confusion_matrix": matrix,
            "chosen": manifest.name,
            "model_step": manifest.candidate.step,
            "checkpoint": inputs.checkpoints.status(manifest),
            "notes": [*end.notes, *notes],
        }
    )


def _load_best(inputs: LoopInputs, metric: str) -> tuple[Manifest, list[str]]:
    notes = []
    for manifest in inputs.checkpoints.by_merit(metric, inputs.spec.checkpoint.better):
        try:
            inputs.model.load_state_dict(load(inputs.checkpoints.read(manifest, manifest.candidate.file)))
        except Damaged as error:
            notes.append(f"The checkpoint {manifest.name} would have been the best, but was passed over: {error}.")
            continue
        return manifest, notes
    raise StorageError("no checkpoint of this run can be read any more: nothing is left to make the model from")
