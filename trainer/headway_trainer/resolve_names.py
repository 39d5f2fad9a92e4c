"""The names of other packages that a spec holds, found and judged before anything else is done: what `headway validate`
and the operator judge of Headway's own names, without the image, is judged here of theirs, by the same rules."""

from __future__ import annotations

from collections.abc import Callable

from headway_api.consistency import OF_NAMES
from headway_api.consistency.known import OWN, Known
from headway_api.consistency.metrics import named, named_of_packages
from headway_api.job import TrainingJobSpec
from headway_api.metrics import Better, better
from headway_api.model import ModelFacts
from headway_api.problems import path_text
from headway_api.training import Checkpoint, EarlyStopping, Training
from headway_trainer.declared import NamedModel
from headway_trainer.errors import UserError
from headway_trainer.registry import METRICS, MODELS, estimator_name, package_metric, package_model


def resolve_names(spec: TrainingJobSpec) -> TrainingJobSpec:
    """The spec, all of whose names this image has, with the direction of each watched metric of another package.

    Packages are imported that the spec names, and no others. Raises UserError for a name that this image has not, that
    cannot be imported or is of the wrong kind, and for what contradicts it.
    """
    own_function = spec.training is not None and spec.training.entrypoint is not None
    models = {} if own_function else _models(spec)
    for name, path in named(spec).items():
        METRICS.check(name, path_text(path))
    metrics = {name: package_metric(name, path_text(path)).facts for name, path in named_of_packages(spec).items()}
    if not models and not metrics:
        return spec
    known = Known(models={**OWN.models, **models}, metrics={**OWN.metrics, **metrics})
    for check in OF_NAMES:
        for rule in check(spec, known):
            raise UserError(f"{path_text(rule.path)}: {rule.message}")
    return _with_directions(spec, known)


def _models(spec: TrainingJobSpec) -> dict[str, ModelFacts]:
    """What the model's package declares of it; nothing for Headway's own, and where it declares nothing."""
    model = spec.model
    if model is None or model.name is None:
        return {}
    MODELS.check(model.name)
    if model.name in MODELS.own:
        return {}
    declared = package_model(model.name)
    if not isinstance(declared, NamedModel):
        return {}
    declared.parse(model.name, model.options)
    return {model.name: declared.facts(estimator=estimator_name(model) is not None)}


def _with_directions(spec: TrainingJobSpec, known: Known) -> TrainingJobSpec:
    training = spec.training or Training()

    def directed(metric: str, mode: Better | None) -> Better | None:
        entry = known.metrics.get(metric.rpartition("/")[2])
        return mode or (entry.better if entry is not None else None)

    def of(watching: Checkpoint | EarlyStopping) -> dict[str, Better | None]:
        return {"mode": directed(watching.metric, watching.mode)}

    changed: dict[str, object] = {}
    if spec.training is not None:
        stopping = training.early_stopping
        changed["training"] = training.model_copy(
            update={
                "checkpoint": training.checkpoint.model_copy(update=of(training.checkpoint)),
                "early_stopping": stopping.model_copy(update=of(stopping)) if stopping is not None else None,
            }
        )
    if spec.tuning is not None and spec.tuning.objectives is not None:
        each = [one.model_copy(update={"mode": directed(one.metric, one.mode)}) for one in spec.tuning.objectives]
        changed["tuning"] = spec.tuning.model_copy(update={"objectives": each})
    elif spec.tuning is not None:
        metric, checkpoint = spec.tuning.metric or training.checkpoint.metric, training.checkpoint
        mode = directed(metric, spec.tuning.mode or (checkpoint.mode if metric == checkpoint.metric else None))
        changed["tuning"] = spec.tuning.model_copy(update={"mode": mode})
    return spec.model_copy(update=changed)


def better_of(spec: TrainingJobSpec) -> Callable[[str], Better | None]:
    """Which values of a metric that the spec names, as `part/name` or a plain name, are better."""
    others = {name: package_metric(name).better for name in named_of_packages(spec)}
    return lambda metric: others.get(metric.rpartition("/")[2]) or better(metric)
