"""The final evaluation: a finished model on all parts of the data, by all ranks together; the baseline beside it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from headway_api.consistency.metrics import named_of_packages
from headway_api.metrics import is_scalar
from headway_api.training import Training
from headway_trainer.data.batches import Feed
from headway_trainer.data.info import SPLITS, Split
from headway_trainer.data.shards import read_series, read_weights, stored_split
from headway_trainer.errors import UserError
from headway_trainer.estimators.base import Fitted, Place
from headway_trainer.evaluation import Evaluation, chosen_metrics, evaluate
from headway_trainer.evaluation.baseline import baseline as constant
from headway_trainer.evaluation.evaluate import JUDGED_ROWS, Shard
from headway_trainer.evaluation.naive import beaten_by_naive, best_naive, naive_forecasts
from headway_trainer.kept_results import digest_of, keep, recall
from headway_trainer.metrics.base import finite
from headway_trainer.programs import Supervised
from headway_trainer.run_record import module_digests
from headway_trainer.tasks import Task
from headway_trainer.training.checkpoints.store import Checkpoints
from headway_trainer.training.link import Judged, TrainEnd
from headway_trainer.training.sampler import shard_rows

JUDGED_TRAIN_ROWS = 20_000
"""Of a training part with more rows, about so many are judged at the end."""


def judge(place: Place, fitted: Fitted) -> TrainEnd:
    """How good the model is: as an attempt before has found, or by evaluating it on all parts now; a trial's on the
    validation part alone.

    Raises UserError for a model that gives no finite numbers, and StorageError.
    """
    if place.is_trial:
        return fitted.end.model_copy(update={"metrics": {"validation": finite(_validate(place, fitted))}})
    first = place.group.rank == 0
    digest = _what_is_judged(place, fitted) if first else ""
    judged = recall(place.store, "evaluate", digest, Judged) if first else None
    (known,) = place.group.from_first([int(judged is not None)])
    if not known:
        judged = _evaluate(place, fitted)
        if first:
            Checkpoints(place.store, place.run.attempt).refuse_if_fenced()
            keep(place.store, "evaluate", digest, judged)
    if judged is None:
        return fitted.end  # rank 0 tells
    told = {name: getattr(judged, name) for name in Judged.model_fields}
    return fitted.end.model_copy(update=told | {"notes": [*fitted.end.notes, *judged.notes]})


def _what_is_judged(place: Place, fitted: Fitted) -> str:
    """Identifies the weights, what they were trained from, the rows, and how they are evaluated."""
    weights = hashlib.sha256()
    for name, tensor in sorted(fitted.program.model.state_dict().items()):
        weights.update(name.encode())
        weights.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    spec, info = place.run.spec, place.info
    code = module_digests(place.code_dir) if spec.model is not None and spec.model.entrypoint is not None else {}
    told: list[str | int] = [info.digest, info.content_hash, spec.seed, place.group.world_size, fitted.batch_size]
    training = spec.training or Training()
    return digest_of(weights.hexdigest(), spec.model or "", training, spec.evaluation, *told, code)


def _evaluate(place: Place, fitted: Fitted) -> Judged:
    """Evaluate the model on all parts; each rank judges its own shards.

    Raises UserError for a model that gives no finite numbers.
    """
    task = fitted.program.task
    spec = place.run.spec
    names = chosen_metrics(task, spec.evaluation.metrics, list(named_of_packages(spec)))
    judged: dict[Split, Evaluation] = {}
    notes: list[str] = []
    feed = Feed(place.info, place.device, read_series(place.rows, place.info))
    for split in SPLITS:
        shard, told = _shard(place, split)
        judged[split] = evaluate(
            fitted.program,
            shard,
            metrics=names if split == "test" else [name for name in names if is_scalar(name)],
            ranks=place.group,
            batch_size=fitted.batch_size,
            context=fitted.context,
            device=place.device,
            feed=feed,
        )
        notes += [*told, *(f"The {split} part: {note}" for note in judged[split].notes)]
        if not math.isfinite(judged[split].scalars.get("loss", 0.0)):
            raise UserError(
                f"the loss of the model that was kept is no finite number on the {split} part: {fitted.remedy}"
            )
    naive = _naive(place, task, names, feed)
    return Judged(
        metrics={split: finite(one.scalars) for split, one in judged.items()}
        | {"baseline": naive[best_naive(naive)] if naive else _baseline(place, task, names)},
        naive=naive,
        by_horizon={split: one.by_horizon for split, one in judged.items() if one.by_horizon},
        by_target={split: one.by_target for split, one in judged.items() if one.by_target},
        confusion_matrix=judged["test"].confusion_matrix,
        confusions=judged["test"].confusions,
        notes=notes,
        warnings=beaten_by_naive(judged["test"].scalars, naive),
    )


def _validate(place: Place, fitted: Fitted) -> Mapping[str, float]:
    """The scalar metrics of the validation part."""
    named = chosen_metrics(
        fitted.program.task, place.run.spec.evaluation.metrics, list(named_of_packages(place.run.spec))
    )
    shard, _ = _shard(place, "validation")
    judged = evaluate(
        fitted.program,
        shard,
        metrics=[name for name in named if is_scalar(name)],
        ranks=place.group,
        batch_size=fitted.batch_size,
        context=fitted.context,
        device=place.device,
        feed=Feed(place.info, place.device, read_series(place.rows, place.info)),
    )
    return judged.scalars


def _baseline(place: Place, task: Task, names: Sequence[str]) -> dict[str, float | None]:
    """The metrics on the test part of what says the same of every row."""
    shard, _ = _shard(place, "test")
    gates = place.run.spec.evaluation.gates or ()
    compared = {gate.part_and_name[1] for gate in gates if gate.against is not None and gate.against.baseline}
    metrics = [name for name in names if is_scalar(name) and (name not in task.costly or name in compared)]
    features = _feature_means(place) if place.info.task == "reconstruction" else None
    # Without a need for them, the targets stand for the rows: what is in them does not matter.
    rows = shard if features is not None else replace(shard, x=shard.y)
    return finite(
        evaluate(
            Supervised(constant(place.info, features), task),
            rows,
            metrics=metrics,
            ranks=place.group,
            device=place.device,
            feed=Feed(place.info, place.device) if features is not None else None,
        ).scalars
    )


def _naive(place: Place, task: Task, names: Sequence[str], feed: Feed) -> dict[str, dict[str, float | None]]:
    """The metrics on the test part of the forecasts that need no model, by their names; none for other tasks."""
    if not place.info.rows["test"]:
        return {}
    shard, _ = _shard(place, "test")
    # By the mean absolute error they are compared with the model.
    metrics = list(dict.fromkeys([*(name for name in names if is_scalar(name)), "mae"]))
    told: dict[str, dict[str, float | None]] = {}
    for name, model in naive_forecasts(place.info).items():
        program = Supervised(model, task)
        found = evaluate(program, shard, metrics=metrics, ranks=place.group, device=place.device, feed=feed)
        told[name] = finite(found.scalars)
    return told


def _feature_means(place: Place) -> torch.Tensor:
    """The mean of each feature, (*input_shape), float64, over the training rows that are judged."""
    shard, _ = _shard(place, "train")
    feed = Feed(place.info, place.device)
    total = torch.zeros(place.info.input_shape, dtype=torch.float64, device=place.device)
    for start in range(0, len(shard.y), JUDGED_ROWS):
        total += feed(shard.x[start : start + JUDGED_ROWS]).double().sum(dim=0)
    return place.group.sum(total) / shard.rows


def _shard(place: Place, split: Split) -> tuple[Shard, list[str]]:
    """This rank's rows to judge: all, but of a large training part some, evenly spaced; and what people should know."""
    rank, world_size = place.group.rank, place.group.world_size
    x, y = stored_split(place.rows, place.info, split, rank, world_size)
    weights = read_weights(place.rows, place.info, split, rank, world_size)
    rows = place.info.rows[split]
    step = -(-rows // JUDGED_TRAIN_ROWS) if split == "train" else 1
    if step <= 1:
        return Shard(x, y, rows, weights), []
    judged = sum(-(-shard_rows(rows, one, world_size) // step) for one in range(world_size))
    told = f"The metrics of the training part are those of {judged:,} of its {rows:,} rows, evenly spaced."
    some = x[::step] if isinstance(x, torch.Tensor) else x.every(step)
    return Shard(some, y[::step], judged, None if weights is None else weights[::step]), [told]
