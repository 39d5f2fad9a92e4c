"""The metrics that choose checkpoints, stop training, are reported and are gates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from headway_api.base import BrokenRule
from headway_api.catalogue import of_another_package
from headway_api.consistency.facts import facts, has_part, own_loop, task_of
from headway_api.consistency.known import OWN, Known
from headway_api.evaluation import Gate
from headway_api.metrics import METRICS, Metric, names
from headway_api.model import estimator_of
from headway_api.objectives import MODEL_BYTES
from headway_api.training import Checkpoint, EarlyStopping
from headway_api.wording import listed, nearest, shown

if TYPE_CHECKING:
    from headway_api.job import TrainingJobSpec
    from headway_api.tuning import Tuning

Path = tuple[str | int, ...]
PARTS = ("train", "validation", "test")


def named(spec: TrainingJobSpec) -> dict[str, Path]:
    """The metrics that a spec names, with the first place where it does; none where a function of the user's trains."""
    if own_loop(spec):  # it reports by names of its own
        return {}
    places: list[tuple[str, Path]] = [
        (name, ("evaluation", "metrics", index)) for index, name in enumerate(spec.evaluation.metrics or ())
    ]
    if spec.training is not None:
        places.append((_plain(spec.training.checkpoint.metric), ("training", "checkpoint", "metric")))
        if spec.training.early_stopping is not None:
            places.append((_plain(spec.training.early_stopping.metric), ("training", "earlyStopping", "metric")))
    if spec.tuning is not None:
        places += [(_plain(metric), path) for metric, path in _of_trials(spec.tuning)]
    for index, gate in enumerate(spec.evaluation.gates or ()):
        places.append((gate.part_and_name[1], ("evaluation", "gates", index, "metric")))
    found: dict[str, Path] = {}
    for name, path in places:
        found.setdefault(name, path)
    return found


def _of_trials(tuning: Tuning) -> Iterator[tuple[str, Path]]:
    """The metrics that trials are compared by, but for the size of their models."""
    if tuning.metric is not None:
        yield tuning.metric, ("tuning", "metric")
    for metric, place in tuning.compared:
        if metric != MODEL_BYTES:
            yield metric, ("tuning", *place, "metric")


def named_of_packages(spec: TrainingJobSpec) -> dict[str, Path]:
    """Those of them that are other packages'."""
    return {name: path for name, path in named(spec).items() if of_another_package(name)}


def _plain(metric: str) -> str:
    return metric.rpartition("/")[2]


def _unfit(spec: TrainingJobSpec, name: str, known: Known) -> str | None:
    """Why a metric of this name is none that the task has as one number; None where it is, or nobody knows it here."""
    task = task_of(spec)
    there = names(task, scalar=True, among=known.metrics)
    metric = known.metrics.get(name)
    if metric is None and of_another_package(name):
        return None
    if metric is None:
        near = nearest(name, there)
        return f"{shown(name)} is no metric" + (
            f"; did you mean {near}?" if near else f": write one of {listed(there)}, or package.name of another package"
        )
    if not metric.scalar:
        return f"{name} is not a single number, so nothing can be compared with it: write one of {listed(there)}"
    if task is not None and task not in metric.tasks:
        return f"{name} is no metric of {task}: write one of {listed(there)}"
    return None


def named_wrongly(spec: TrainingJobSpec, part: str, name: str, known: Known, *, watched: bool) -> str | None:
    """Why `part/name` cannot be had; None where it can. watched: while models are trained, and not at the end."""
    parts = PARTS[:2] if watched else PARTS
    if watched and part == "test":
        return "the test part is not looked at before the end, so it chooses nothing: write validation/" + name
    if part not in parts:
        near = nearest(part, parts)
        return f"{shown(part)} is no part of the data: write {near or ' or '.join(parts)}/{name}"
    unfit = _unfit(spec, name, known)
    if unfit is None and part == "train" and name != "loss":
        return f"of the train part only train/loss is known: write train/loss or validation/{name}"
    return unfit


def without_part(name: str) -> str:
    """That a metric does not say of which part it is."""
    meant = name if name in METRICS or of_another_package(name) else nearest(name, list(METRICS)) or "loss"
    return f"{shown(name)} does not say of which part: write validation/{meant}"


def _watched(spec: TrainingJobSpec, known: Known) -> Iterator[tuple[Path, Checkpoint | EarlyStopping]]:
    if spec.training is not None and estimator_of(spec.model, known.models) is None:
        yield ("training", "checkpoint"), spec.training.checkpoint
        if spec.training.early_stopping is not None:
            yield ("training", "earlyStopping"), spec.training.early_stopping


def metric_that_is_never_there(spec: TrainingJobSpec, known: Known = OWN) -> Iterator[BrokenRule]:
    """A metric that the loop will never have when it looks for it."""
    for path, watching in _watched(spec, known) if not own_loop(spec) else ():
        part, slash, name = watching.metric.partition("/")
        if not slash:
            yield BrokenRule(without_part(part), (*path, "metric"))
            continue
        said = named_wrongly(spec, part, name, known, watched=True)
        if said is not None:
            yield BrokenRule(said, (*path, "metric"))
        elif _without_rows(spec, part) and _is_not_told_elsewhere(spec, watching):
            yield BrokenRule(
                "the validation part is empty: set data.split.validation above 0, or write train/loss",
                (*path, "metric"),
            )


def _is_not_told_elsewhere(spec: TrainingJobSpec, watching: Checkpoint | EarlyStopping) -> bool:
    """Whether a metric of no rows is for this check to tell.

    Without one the checkpoint goes by train/loss, if the user has named no other; and for the early stopping there is
    a rule of the API server's, which cannot see what columns and parts make of the split.
    """
    if not isinstance(watching, EarlyStopping):
        return watching.metric != Checkpoint().metric
    data = spec.data
    return data is not None and (data.columns is not None or data.source.parts is not None)


def _without_rows(spec: TrainingJobSpec, part: str) -> bool:
    return spec.data is not None and not has_part(spec.data, part)


def _better(metric: Metric | None) -> str | None:
    return metric.better if metric is not None else None


def direction(spec: TrainingJobSpec, known: Known = OWN) -> Iterator[BrokenRule]:
    """A direction that keeps the worst."""
    for path, watching in _watched(spec, known) if not own_loop(spec) else ():
        better = _better(known.metrics.get(_plain(watching.metric)))
        if better is not None and watching.mode is not None and watching.mode != better:
            more = "more" if better == "max" else "less"
            yield BrokenRule(
                f"{watching.mode} would take the worst for the best, as {more} {watching.metric} is better: write"
                f" {better}, or take mode out",
                (*path, "mode"),
            )


def metrics_of_another_task(spec: TrainingJobSpec, known: Known = OWN) -> Iterator[BrokenRule]:
    """Metrics of the final evaluation that the task does not have."""
    task = task_of(spec)
    if task is None or spec.data is None or own_loop(spec):
        return
    for index, name in enumerate(spec.evaluation.metrics or ()):
        if name in known.metrics and task not in known.metrics[name].tasks:
            yield BrokenRule(
                f"{name} is no metric of {task}, which has {listed(names(task, among=known.metrics))}: take it out"
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


def _of_gate(spec: TrainingJobSpec, gate: Gate, known: Known) -> str | None:
    part, name = gate.part_and_name
    said = named_wrongly(spec, part, name, known, watched=False)
    if said is None and _without_rows(spec, part):
        said = f"the {part} part is empty: set data.split.{part} above 0, or take a metric of another part"
    chosen = spec.evaluation.metrics
    if said is None and part != "train" and chosen is not None and name not in (*chosen, "loss"):
        said = f"{name} is not computed, as evaluation.metrics does not name it: add it there"
    return said


def gates(spec: TrainingJobSpec, known: Known = OWN) -> Iterator[BrokenRule]:
    """Gates on what is not there."""
    for index, gate in enumerate(spec.evaluation.gates or () if not own_loop(spec) else ()):
        said = _of_gate(spec, gate, known)
        if said is not None:
            yield BrokenRule(said, ("evaluation", "gates", index, "metric"))


def bounds_beyond_reach(spec: TrainingJobSpec, known: Known = OWN) -> Iterator[BrokenRule]:
    """Bounds that no value of the metric meets, as 95 for an accuracy."""
    for index, gate in enumerate(spec.evaluation.gates or () if not own_loop(spec) else ()):
        metric = known.metrics.get(gate.part_and_name[1])
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


def bounds_that_hold_nothing_back(spec: TrainingJobSpec, known: Known = OWN) -> Iterator[BrokenRule]:
    """A gate that each value of its metric passes, as at least 0 for an error."""
    for index, gate in enumerate(spec.evaluation.gates or () if not own_loop(spec) else ()):
        metric = known.metrics.get(gate.part_and_name[1])
        if metric is None or gate.against is not None:
            continue
        low = gate.min is None or (metric.least is not None and gate.min <= metric.least)
        high = gate.max is None or (metric.most is not None and gate.max >= metric.most)
        if low and high:
            field = "min" if gate.min is not None else "max"
            value = gate.min if gate.min is not None else gate.max
            bound = (
                f"at least {metric.least:g}: write more" if field == "min" else f"at most {metric.most:g}: write less"
            )
            yield BrokenRule(
                f"{shown(value)} is always met, as {gate.metric} is {bound}, or take the gate out",
                ("evaluation", "gates", index, field),
            )


def gains_beyond_reach(spec: TrainingJobSpec, known: Known = OWN) -> Iterator[BrokenRule]:
    """A gain over something else that no two values of the metric have between them, as 5 for an accuracy."""
    for index, gate in enumerate(spec.evaluation.gates or () if not own_loop(spec) else ()):
        metric, delta = known.metrics.get(gate.part_and_name[1]), gate.min_delta
        if metric is None or delta is None or metric.least is None or metric.most is None:
            continue
        if abs(delta) > metric.most - metric.least:
            share = delta / 100
            mend = f"write {share:.10g}" if abs(share) <= metric.most - metric.least else "write less"
            yield BrokenRule(
                f"{shown(delta)} is {'never reached' if delta > 0 else 'always met'}, as {gate.metric} is from"
                f" {metric.least:g} to {metric.most:g}: {mend}",
                ("evaluation", "gates", index, "minDelta"),
            )


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


OF_NAMES = (
    metric_that_is_never_there,
    direction,
    metrics_of_another_task,
    gates,
    bounds_beyond_reach,
    bounds_that_hold_nothing_back,
    gains_beyond_reach,
)
"""Those that what is known of names decides."""
CHECKS = (*OF_NAMES, metrics_of_no_rows, gates_against_each_other)
