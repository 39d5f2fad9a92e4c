"""What becomes of trials: what does not go together with `tuning.final` and `tuning.seeds`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from headway_api.base import BrokenRule
from headway_api.consistency.estimators import ROUNDS
from headway_api.consistency.known import OWN, Known
from headway_api.consistency.trial_metrics import epochs_of, tuned
from headway_api.model import estimator_of

if TYPE_CHECKING:
    from headway_api.job import TrainingJobSpec


def gates_on_what_is_learnt(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """Gates on metrics of the validation part, where the final model has none of them."""
    tuning = tuned(spec)
    if tuning is None or tuning.final == "best":
        return
    for index, gate in enumerate(spec.evaluation.gates or ()):
        part, name = gate.part_and_name
        if part == "validation":
            yield BrokenRule(
                "with tuning.final retrain the model is trained on the validation part, too, and has no metrics of it:"
                f" write test/{name}, or set tuning.final to best",
                ("evaluation", "gates", index, "metric"),
            )


def epochs_of_folds(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """A training for as many epochs as the best trial's, which has a best epoch for each fold."""
    tuning = tuned(spec)
    if tuning is not None and tuning.final == "retrain" and spec.has_folds:
        yield BrokenRule(
            "with data.split.folds a trial is several trainings, each with a best epoch of its own, and retrain trains"
            " for as many epochs as the best one had: write best, or take data.split.folds out",
            ("tuning", "final"),
        )


def repeats_beyond_the_budget(spec: TrainingJobSpec, known: Known = OWN) -> Iterator[BrokenRule]:
    """A budget of epochs in which no trial could be repeated."""
    tuning = tuned(spec)
    if tuning is None or tuning.seeds == 1 or tuning.budget.epochs is None:
        return
    fewest = epochs_of(spec, tuning)[0]
    if estimator_of(spec.model, known.models) is None and fewest <= tuning.budget.epochs < tuning.seeds * fewest:
        yield BrokenRule(
            f"{tuning.budget.epochs} epochs for all trials are fewer than the {tuning.seeds * fewest} of one with"
            f" {tuning.seeds} seeds, so none could be repeated: write at least {tuning.seeds * fewest}, or lower"
            " tuning.seeds",
            ("tuning", "budget", "epochs"),
        )


def seeds_of_what_has_no_chance(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """Several seeds for a model that is the same with each."""
    tuning = tuned(spec)
    if tuning is not None and tuning.seeds > 1 and spec.model is not None and spec.model.name == "linear":
        yield BrokenRule(
            "linear is fitted without chance, and each seed gives the same model: take seeds out",
            ("tuning", "seeds"),
        )


def seeds_of_folds(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """Several seeds for a trial that is several trainings already."""
    tuning = tuned(spec)
    if tuning is not None and tuning.seeds > 1 and spec.has_folds:
        yield BrokenRule(
            "with data.split.folds the value of a trial is a mean over several trainings already: take seeds out, or"
            " data.split.folds",
            ("tuning", "seeds"),
        )


def rounds_of_a_retraining(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """Early stopping where the final model learns from the validation part, too."""
    tuning, path = tuned(spec), f"model.options.{ROUNDS}"
    if tuning is None or tuning.final != "retrain":
        return
    written = spec.model is not None and spec.model.name == "xgboost" and ROUNDS in spec.model.options
    if written or path in tuning.parameters:
        yield BrokenRule(
            f"with tuning.final retrain the model is trained on the validation part, too, by whose loss {ROUNDS} ends"
            " a fit: take it out, and write model.options.iterations in tuning.parameters; or set tuning.final to best",
            ("model", "options", ROUNDS) if written else ("tuning", "parameters", path),
        )


OF_NAMES = (repeats_beyond_the_budget,)
"""Those that what is known of names decides."""
CHECKS = (
    gates_on_what_is_learnt,
    epochs_of_folds,
    rounds_of_a_retraining,
    seeds_of_what_has_no_chance,
    seeds_of_folds,
    *OF_NAMES,
)
