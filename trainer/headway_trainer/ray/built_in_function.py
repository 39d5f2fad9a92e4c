"""What runs in each training process: it builds the loop from what the driver sends, and judges the finished model."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from safetensors.torch import load
from torch import distributed, nn

from headway_api import wire
from headway_api.metrics import METRICS
from headway_api.model import Model
from headway_api.training import Training
from headway_api.understand import read_run_file
from headway_trainer.data import DataInfo, read_split
from headway_trainer.data.batches import Feed
from headway_trainer.data.info import SPLITS, Split
from headway_trainer.data.shards import read_weights
from headway_trainer.entrypoints import add_to_path, load_function
from headway_trainer.errors import StorageError, UserError
from headway_trainer.evaluation import Evaluation, chosen_metrics, evaluate
from headway_trainer.evaluation.baseline import baseline
from headway_trainer.evaluation.evaluate import Shard
from headway_trainer.export.record import staged
from headway_trainer.metrics.base import finite
from headway_trainer.models import build
from headway_trainer.ray.device import own_device
from headway_trainer.ray.kv_link import WorkerLink
from headway_trainer.ray.stock import stock
from headway_trainer.report.model import KeptModel
from headway_trainer.seeds import init_seed
from headway_trainer.storage import Store
from headway_trainer.tasks import Task, task_of
from headway_trainer.tasks.balance import balanced_weights
from headway_trainer.training.checkpoints.state import seed_everything
from headway_trainer.training.checkpoints.store import Checkpoints, Damaged, Manifest
from headway_trainer.training.compiler_stub import without_compiler
from headway_trainer.training.exceptions import raise_as_users
from headway_trainer.training.link import Link, Silence, TrainEnd, TrainProgress
from headway_trainer.training.loop import Loop, best_metric
from headway_trainer.training.loop_inputs import LoopInputs
from headway_trainer.training.precision import autocast, make_reproducible
from headway_trainer.training.process_group import Group, current_group
from headway_trainer.training.sampler import shard_rows

JUDGED_TRAIN_ROWS = 20_000
"""Of a training part with more rows, about so many are judged at the end."""
_REMEDY = "lower training.optimizer.lr, set training.clip, or look for extreme values in the data"


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
    with without_compiler() if built_in and not stock() else contextlib.nullcontext():
        end = Loop(inputs).run()
    if not end.finished:
        return end if inputs.group.rank == 0 else None
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
    judged = _judge(place, inputs, end)
    return _exported(place, inputs, judged) if inputs.group.rank == 0 else None


def _inputs(place: _Place) -> LoopInputs:
    run, info = place.run, place.info
    group = current_group(place.device)
    train = read_split(place.store, info, "train", group.rank, group.world_size)
    seed_everything(init_seed(run.spec.seed))
    model = build(run.spec.model or Model(name="mlp"), info, load_function=load_function)
    return LoopInputs(
        spec=run.spec.training or Training(),
        seed=run.spec.seed,
        info=info,
        model=model,
        train=train,
        validation=read_split(place.store, info, "validation", group.rank, group.world_size),
        group=group,
        checkpoints=Checkpoints(place.store, run.attempt),
        link=place.link,
        device=place.device,
        train_weights=_train_weights(place, train[1], group),
        validation_weights=read_weights(place.store, info, "validation", group.rank, group.world_size),
    )


def _train_weights(place: _Place, y: torch.Tensor, group: Group) -> torch.Tensor | None:
    """Of this rank's rows of the training part. Raises UserError for weights of classes where there are none."""
    weights = read_weights(place.store, place.info, "train", group.rank, group.world_size)
    if (place.run.spec.training or Training()).class_weights == "none":
        return weights
    if place.info.classes is None:
        raise UserError(
            f"training.classWeights: balanced is for classes, and this is a {place.info.task}: take it out, or set "
            "data.task to classification"
        )
    return balanced_weights(y, place.info.outputs, weights, group)


def _judge(place: _Place, inputs: LoopInputs, end: TrainEnd) -> TrainEnd:
    """Take the best checkpoint, and evaluate it on all parts; each rank judges its own shards.

    Raises UserError for a model that gives no finite numbers: it may be the best that there is, and is still none.
    """
    metric, _ = best_metric(inputs)
    inputs.model.zero_grad(set_to_none=True)  # they take the memory of a second model
    manifest, notes = _load_best(inputs, metric)
    _refuse_not_finite(inputs.model)
    task = task_of(inputs.info)
    names = chosen_metrics(task, place.run.spec.evaluation.metrics)
    judged: dict[Split, Evaluation] = {}
    for split in SPLITS:
        shard, told = _shard(place, inputs, split)
        judged[split] = evaluate(
            inputs.model,
            task,
            shard,
            metrics=names if split == "test" else [name for name in names if METRICS[name].scalar],
            ranks=inputs.group,
            batch_size=max(1, inputs.spec.batch_size // inputs.group.world_size),
            context=partial(autocast, end.precision_used, inputs.device),
            device=inputs.device,
            feed=Feed(inputs.info, inputs.device),
        )
        notes += [*told, *(f"The {split} part: {note}" for note in judged[split].notes)]
        if not math.isfinite(judged[split].scalars.get("loss", 0.0)):
            raise UserError(f"the loss of the model that was kept is no finite number on the {split} part: {_REMEDY}")
    return end.model_copy(
        update={
            "metrics": {split: finite(one.scalars) for split, one in judged.items()}
            | {"baseline": _baseline(place, inputs, task, names)},
            "by_target": {split: one.by_target for split, one in judged.items() if one.by_target},
            "confusion_matrix": judged["test"].confusion_matrix,
            "confusions": judged["test"].confusions,
            "chosen": manifest.name,
            "kept": _kept(inputs, end, manifest, metric),
            "checkpoint": inputs.checkpoints.status(manifest),
            "notes": [*end.notes, *notes],
        }
    )


def _baseline(place: _Place, inputs: LoopInputs, task: Task, names: Sequence[str]) -> dict[str, float | None]:
    """The metrics on the test part of what says the same of every row."""
    shard, _ = _shard(place, inputs, "test")
    metrics = [name for name in names if METRICS[name].scalar and name not in task.costly]
    # The targets stand for the rows: what is in them does not matter.
    rows = replace(shard, x=shard.y)
    return finite(
        evaluate(baseline(inputs.info), task, rows, metrics=metrics, ranks=inputs.group, device=inputs.device).scalars
    )


def _kept(inputs: LoopInputs, end: TrainEnd, manifest: Manifest, metric: str) -> KeptModel:
    model = manifest.candidate
    return KeptModel(
        checkpoint=manifest.name,
        step=model.step,
        epoch=next((record.epoch for record in end.history if record.step == model.step), None),
        metric=metric,
        better=inputs.spec.checkpoint.better,
        value=model.metrics.get(metric),
    )


def _exported(place: _Place, inputs: LoopInputs, end: TrainEnd) -> TrainEnd:
    """Export the model that was kept: here, where the user's own code may run, and where a model fits the memory."""
    # Imported here, as onnx is slow to import and nobody's first step is to wait for it.
    from headway_trainer.export.stage import export

    told = export(inputs.model.to("cpu"), inputs.info, place.store, staged(place.run.attempt))
    return end.model_copy(update={"export": told})


def _shard(place: _Place, inputs: LoopInputs, split: Split) -> tuple[Shard, list[str]]:
    """This rank's rows to judge: all, but of a large training part some, evenly spaced; and what people should know."""
    rank, world_size = inputs.group.rank, inputs.group.world_size
    x, y = read_split(place.store, inputs.info, split, rank, world_size)
    weights = read_weights(place.store, inputs.info, split, rank, world_size)
    rows = inputs.info.rows[split]
    step = -(-rows // JUDGED_TRAIN_ROWS) if split == "train" else 1
    if step <= 1:
        return Shard(x, y, rows, weights), []
    judged = sum(-(-shard_rows(rows, one, world_size) // step) for one in range(world_size))
    told = f"The metrics of the training part are those of {judged:,} of its {rows:,} rows, evenly spaced."
    return Shard(x[::step], y[::step], judged, None if weights is None else weights[::step]), [told]


def _refuse_not_finite(model: nn.Module) -> None:
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise UserError(f"{name} of the model that was kept holds numbers that are not finite: {_REMEDY}")


def _load_best(inputs: LoopInputs, metric: str) -> tuple[Manifest, list[str]]:
    """Load the best checkpoint that can be read; rank 0 chooses for all."""
    notes: list[str] = []
    chosen = _choose(inputs, metric, notes) if inputs.group.rank == 0 else None
    name = inputs.group.gather(chosen.name if chosen else "")[0]
    if chosen is None:
        chosen = inputs.checkpoints.named(name)
        inputs.model.load_state_dict(load(inputs.checkpoints.read(chosen, chosen.candidate.file)))
    return chosen, notes


def _choose(inputs: LoopInputs, metric: str, notes: list[str]) -> Manifest:
    for manifest in inputs.checkpoints.by_merit(metric, inputs.spec.checkpoint.better):
        try:
            inputs.model.load_state_dict(load(inputs.checkpoints.read(manifest, manifest.candidate.file)))
        except Damaged as error:
            notes.append(f"The checkpoint {manifest.name} would have been the best, but was passed over: {error}.")
            continue
        if math.isnan(manifest.candidate.metrics.get(metric, math.nan)):
            notes.append(f"{metric} was never a number, so it could choose no model: the newest one was kept.")
        return manifest
    raise StorageError("no checkpoint of this run can be read any more: nothing is left to make the model from")
