"""The training loop as an estimator: it builds the torch module, trains it, and takes the best checkpoint's weights."""

from __future__ import annotations

import contextlib
import math
from functools import partial

import torch
from safetensors.torch import load
from torch import nn

from headway_api.model import Model
from headway_api.training import Training
from headway_trainer.entrypoints import load_function
from headway_trainer.errors import StorageError, UserError
from headway_trainer.estimators.base import Fitted, Place
from headway_trainer.estimators.rows import series_of, split_of, weights_of
from headway_trainer.export.record import Export, staged
from headway_trainer.models import build
from headway_trainer.report.model import KeptModel
from headway_trainer.seeds import init_seed
from headway_trainer.tasks.balance import train_weights
from headway_trainer.training.checkpoints.state import seed_everything
from headway_trainer.training.checkpoints.store import Checkpoints, Damaged, Manifest
from headway_trainer.training.compiler_stub import without_compiler
from headway_trainer.training.link import TrainEnd
from headway_trainer.training.loop import Loop, best_metric
from headway_trainer.training.loop_inputs import LoopInputs
from headway_trainer.training.precision import autocast

REMEDY = "lower training.optimizer.lr, set training.clip, or look for extreme values in the data"


class LoopEstimator:
    """Gradient descent, epoch by epoch, on all ranks together."""

    def __init__(self, *, stub: bool) -> None:
        """stub: whether a model of Headway's own may do without torch's compiler, which takes long to import."""
        self._stub = stub

    def fit(self, place: Place) -> Fitted | TrainEnd:
        """Train, and take the best checkpoint. Raises UserError, StorageError, and what the model raises."""
        inputs = loop_inputs(place)
        built_in = place.run.spec.model is not None and place.run.spec.model.entrypoint is None
        with without_compiler() if built_in and self._stub else contextlib.nullcontext():
            end = Loop(inputs).run()
        if not end.finished:
            return end
        return chosen(inputs, end) if place.is_trial and not place.is_fold else best(place, inputs, end)


def loop_inputs(place: Place) -> LoopInputs:
    """What the loop is given in this process. Raises UserError for a model or weights that do not fit the data."""
    run, info, group = place.run, place.info, place.group
    train = split_of(place, "train")
    seed_everything(init_seed(run.spec.seed))
    program = build(run.spec.model or Model(name="mlp"), info, load_function=load_function)
    spec = run.spec.training or Training()
    weights = weights_of(place, "train")
    return LoopInputs(
        spec=spec,
        seed=run.spec.seed,
        info=info,
        program=program,
        train=train,
        validation=split_of(place, "validation"),
        group=group,
        checkpoints=Checkpoints(place.store, run.attempt),
        link=place.link,
        compared_at=place.compared_at,
        until=place.until,
        device=place.device,
        series=series_of(place),
        train_weights=train_weights(spec, info, train[1], weights, group),
        validation_weights=weights_of(place, "validation"),
    )


def chosen(inputs: LoopInputs, end: TrainEnd) -> TrainEnd:
    """What there is to tell of a trial: its best epoch is known by its validation metrics, and no model is loaded."""
    if inputs.group.rank != 0:
        return end
    metric, _ = best_metric(inputs)
    manifest = inputs.checkpoints.by_merit(metric, inputs.spec.checkpoint.better)[0]
    return end.model_copy(update={"chosen": manifest.name, "kept": _kept(inputs, end, manifest, metric)})


def best(place: Place, inputs: LoopInputs, end: TrainEnd) -> Fitted:
    """The best model of a finished loop.

    Raises UserError for a model that holds numbers that are not finite: it may be the best that there is, and is still
    none.
    """
    metric, _ = best_metric(inputs)
    inputs.model.zero_grad(set_to_none=True)  # they take the memory of a second model
    manifest, notes = _load_best(inputs, metric)
    _refuse_not_finite(inputs.model)
    told = end.model_copy(
        update={
            "chosen": manifest.name,
            "kept": _kept(inputs, end, manifest, metric),
            "checkpoint": inputs.checkpoints.status(manifest),
            "notes": [*end.notes, *notes],
        }
    )
    return Fitted(
        program=inputs.program,
        end=told,
        export=partial(_export, place, inputs.model),
        remedy=REMEDY,
        batch_size=max(1, inputs.spec.batch_size // inputs.group.world_size),
        context=partial(autocast, end.precision_used, inputs.device),
    )


def _export(place: Place, model: nn.Module) -> Export:
    """Export the model here, where the user's own code may run, and where a model fits the memory."""
    # Imported here, as onnx is slow to import and nobody's first step is to wait for it.
    from headway_trainer.export.stage import export

    return export(model.to("cpu"), place.info, place.store, staged(place.run.attempt))


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


def _refuse_not_finite(model: nn.Module) -> None:
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise UserError(f"{name} of the model that was kept holds numbers that are not finite: {REMEDY}")


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
