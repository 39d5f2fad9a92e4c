"""The metrics that choose checkpoints, stop training, are reported and are gates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from headway_api import metrics
from headway_api.base import BrokenRule
from headway_api.consistency.facts import facts, has_part, own_loop, task_of
from headway_api.evaluation import Gate
from headway_api.metrics import METRICS
from headway_api.model import estimator_of
from headway_api.training import Checkpoint, EarlyStopping
from headway_api.wording import listed, nearest, shown

if TYPE_CHECKING:
    from headway_api.job import TrainingJobSpec

Path = tuple[str | int, ...]
PARTS = ("train", "validation", "test")


def _unfit(spec: TrainingJobSpec, name: str) -> str | None:
    """Why a metric of this name is none that the task has as one number; None where it is."""
    task = task_of(spec)
    known = metrics.names(task, scalar=True)
    if name not in METRICS:
        near = nearest(name, known)
        return f"{shown(name)} is no metric" + (
            f"; did you mean {near}?" if near else f": write one of {listed(known)}"
        )
    if not METRICS[name].scalar:
        return f"{name} is not a single number, so nothing can be compared with it: write one of {listed(known)}"
    if task is not None and task not in METRICS[name].tasks:
        return f"{name} is no metric of {task}: write one of {listed(known)}"
    return None


def _named(spec: TrainingJobSpec, part: str, name: str, *, watched: bool) -> str | None:
    """Why `part/name` cannot be had; None where it can."""
    parts = PARTS[:2] if watched else PARTS
    if watched and part == "test":
        return "the test part is not looked at before the end, so it chooses nothing: write validation/" + name
    if part not in parts:
        near = nearest(part, parts)
        return f"{shown(part)} is no part of the data: write {near or ' or '.join(parts)}/{name}"
    unfit = _unfit(spec, name)
    if unfit is None and part == "train" and name != "loss":
        return f"of the train part only train/loss is known: write train/loss or validation/{name}"
    return unfit


def _watched(spec: TrainingJobSpec) -> Iterator[tuple[Path, Checkpoint | EarlyStopping]]:
    if spec.training is not None and estimator_of(spec.model) is None:
        yield ("training", "checkpoint"), spec.training.checkpoint
        if spec.training.early_stopping is not None:
            yield ("training", "earlyStopping"), spec.training.early_stopping


def metric_that_is_never_there(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """A metric that the loop will never have when it looks for it."""
    for path, watching in _watched(spec) if not own_loop(spec) else ():
        part, slash, name = watching.metric.partition("/")
        if not slash:
            meant = part if part in METRICS else nearest(part, list(METRICS)) or "loss"
            yield BrokenRule(f"{shown(part)} does not say of which part: write validation/{meant}", (*path, "metric"))
            continue
        said = _named(spec, part, name, watched=True)
        if said is not None:
            yield BrokenRule(said, (*path, "metric"))
        elif _without_rows(spec, part) and watching.metric != Checkpoint().metric:
            yield BrokenRule(
                "the validation part is empty: set data.split.validation above 0, or write train/loss",
                (*path, "metric"),
            )


def _without_rows(spec: TrainingJobSpec, part: str) -> bool:
    return spec.data is not None and not has_part(spec.data, part)


def direction(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """A direction that keeps the worst."""
    for path, watching in _watched(spec) if not own_loop(spec) else ():
        better = metrics.better(watching.metric)
        if better is not None and watching.mode is not None and watching.mode != better:
            more = "more" if better == "max" else "less"
            yield BrokenRule(
                f"{watching.mode} would take the worst for the best, as {more} {watching.metric} is better: write"
                f" {better}, or take mode out",
                (*path, "mode"),
            )


def metrics_of_another_task(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """Metrics of the final evaluation that the task does not have."""
    task = task_of(spec)
    if task is None or spec.data is None or own_loop(spec):
        return
    for index, name in enumerate(spec.evaluation.metrics or ()):
        if name in METRICS and task not in METRICS[name].tasks:
            yield BrokenRule(
                f"{name} is no metric of {task}, which has {listed(metrics.names(task))}: take it out"
                + (", or set data.task" if facts(spec.data).task is None else ""),
                ("evaluation", "metrics", index),
            )


def metrics_of_no_rows(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """Metrics that were asked for, and no part to compute them on."""
    if spec.evaluation.metrics is None or own_loop(spec):
        return
    if _without_rows(spec, "test") and _without_rows(spec, "validation"):
        yield BrokenRule(
            "there is nothing to compute them on, as data.split gives all rows to training: set data.split.test above"
            " 0, or take metrics out",
            ("evaluation", "metrics"),
        )


def _of_gate(spec: TrainingJobSpec, gate: Gate) -> str | None:
    part, name = gate.part_and_name
    said = _named(spec, part, name, watched=False)
    if said is None and _without_rows(spec, part):
        said = f"the {part} part is empty: set data.split.{part} above 0, or take a metric of another part"
    chosen = spec.evaluation.metrics
    if said is None and part != "train" and chosen is not None and name not in (*chosen, "loss"):
        said = f"{name} is not computed, as evaluation.metrics does not name it: add it there"
    return said


def gates(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """Gates on what is not there."""
    for index, gate in enumerate(spec.evaluation.gates or () if not own_loop(spec) else ()):
        said = _of_gate(spec, gate)
        if said is not None:
            yield BrokenRule(said, ("evaluation", "gates", index, "metric"))


def bounds_beyond_reach(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """Bounds that no value of the metric meets, as 95 for an accuracy."""
    for index, gate in enumerate(spec.evaluation.gates or () if not own_loop(spec) else ()):
        metric = METRICS.get(gate.part_and_name[1])
        if metric is None:
            continue
        here = ("evaluation", "gates", index)
        if gate.min is not None and metric.most is not None and gate.min > metric.most:
            share = gate.min / 100
            mend = f"write {share:.10g}" if metric.least == 0 and share <= metric.most else "write less"
            said = f"{shown(gate.min)} is never reached, as {gate.metric} is at most {metric.most:g}: {mend}"
            yield BrokenRule(said, (*here, "min"))
        if gate.max is not None and metric.least is not None and gate.max < metric.least:
            said = f"{shown(gate.max)} is never met, as {gate.metric} is at least {metric.least:g}: write more"
            yield BrokenRule(said, (*here, "max"))


def gates_against_each_other(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """Gates on one metric that no value passes together."""
    for index, gate in enumerate(spec.evaluation.gates or ()):
        if gate.max is None:
            continue
        for other in spec.evaluation.gates or ():
            if other is gate or other.part_and_name != gate.part_and_name or other.min is None:
                continue
            if other.min > gate.max:
                yield BrokenRule(
                    f"{shown(gate.max)} contradicts the gate {other.name}, which wants {gate.metric} of at least"
                    f" {shown(other.min)}: correct one of the two",
                    ("evaluation", "gates", index, "max"),
                )


CHECKS = (
    metric_that_is_never_there,
    direction,
    metrics_of_another_task,
    metrics_of_no_rows,
    gates,
    bounds_beyond_reach,
    gates_against_each_other,
)
