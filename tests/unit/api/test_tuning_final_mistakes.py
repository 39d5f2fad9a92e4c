"""Wrong sections of `spec.tuning` about what becomes of its trials: the final model, repeats, and earlier studies."""

from __future__ import annotations

from typing import Any

import pytest

from headway_api.consistency import final_models
from headway_api.job import TrainingJob
from headway_api.understand import understand
from headway_api.validate import problems_of
from tuning_jobs import DATA, LR, RATES, Mistake, is_told, job, of, pbt, rates

ROUNDS = "model.options.earlyStoppingRounds"
MISTAKES = [
    Mistake(
        rates(warmStart=[{"job": "a"}], search={"name": "random"}),
        "tuning.warmStart",
        "earlier trials are for searchers that learn from them, tpe and gp: take warmStart out, or write another"
        " search.name",
    ),
    Mistake(
        rates(warmStart=[{"job": "a"}, {"job": "a", "uri": "s3://b/a"}]),
        "tuning.warmStart[1]",
        "set exactly one of job, uri: they are the kinds of place",
    ),
    Mistake(
        rates(warmStart=[{"uri": "a\nb"}]),
        "tuning.warmStart[0].uri",
        '"a\\u000ab" must be one line of text without control characters',
    ),
    Mistake(
        rates(warmStart=[{"job": "a"}] * 6),
        "tuning.warmStart",
        "has too many entries: at most 5 are allowed",
    ),
    Mistake(
        rates(seeds=0),
        "tuning.seeds",
        "0 is below the least allowed value 1",
    ),
    Mistake(
        rates(seeds=11),
        "tuning.seeds",
        "11 is above the greatest allowed value 10",
    ),
    Mistake(
        rates(seeds=3),
        "tuning.seeds",
        "with data.split.folds the value of a trial is a mean over several trainings already: take seeds out, or"
        " data.split.folds",
        {"data": {**DATA, "split": {"folds": 3}}},
    ),
    Mistake(
        pbt(LR, RATES, seeds=3),
        "tuning.seeds",
        "trials of pbt take over from each other, and none can be repeated by itself: take seeds out, or write another"
        " scheduler.name",
    ),
    Mistake(
        rates(seeds=3, budget={"epochs": 29}),
        "tuning.budget.epochs",
        "29 epochs for all trials are fewer than the 30 of one with 3 seeds, so none could be repeated: write at least"
        " 30, or lower tuning.seeds",
    ),
    Mistake(
        of("model.options.alpha", {"logUniform": {"min": 0.1, "max": 9}}, metric="validation/f1", seeds=2),
        "tuning.seeds",
        "linear is fitted without chance, and each seed gives the same model: take seeds out",
        {"model": {"name": "linear"}},
    ),
    *(
        Mistake(
            of(path, {"choice": [3, 5]}, metric="validation/loss", final="retrain"),
            where,
            "with tuning.final retrain the model is trained on the validation part, too, by whose loss"
            " earlyStoppingRounds ends a fit: take it out, and write model.options.iterations in tuning.parameters; or"
            " set tuning.final to best",
            {"model": {"name": "xgboost", "options": options}},
        )
        for path, options, where in (
            ("model.options.maxDepth", {"earlyStoppingRounds": 5}, "model.options.earlyStoppingRounds"),
            (ROUNDS, {}, f"tuning.parameters.{ROUNDS}"),
        )
    ),
    Mistake(
        rates(final="last"),
        "tuning.final",
        '"last" is not one of best, retrain',
    ),
    Mistake(
        pbt(LR, RATES, final="retrain"),
        "tuning.final",
        "pbt changes values while trials are trained, and the last ones alone train another model: take final out, or"
        " write another scheduler.name",
    ),
    Mistake(
        rates(final="retrain"),
        "tuning.metric",
        "trials are compared by the validation part, which is empty: set data.split.validation above 0",
        {"data": {**DATA, "split": {"train": 0.9, "validation": 0, "test": 0.1}}},
    ),
    Mistake(
        rates(final="retrain"),
        "tuning.final",
        "with data.split.folds a trial is several trainings, each with a best epoch of its own, and retrain trains for"
        " as many epochs as the best one had: write best, or take data.split.folds out",
        {"data": {**DATA, "split": {"folds": 3}}},
    ),
    Mistake(
        rates(final="retrain"),
        "evaluation.gates[1].metric",
        "with tuning.final retrain the model is trained on the validation part, too, and has no metrics of it: write"
        " test/f1, or set tuning.final to best",
        {
            "evaluation": {
                "gates": [
                    {"name": "a", "metric": "f1", "min": 0.9},
                    {"name": "b", "metric": "validation/f1", "min": 0.9},
                ]
            }
        },
    ),
]


@pytest.mark.parametrize("mistake", MISTAKES, ids=str)
def test_a_wrong_section_is_told_in_one_sentence_where_it_is_to_be_corrected(mistake: Mistake) -> None:
    is_told(mistake)


def test_each_check_has_a_mistake() -> None:
    specs = [understand(TrainingJob, job(each.tuning, **each.spec)).spec for each in MISTAKES]
    assert [one.__name__ for one in final_models.CHECKS if not any(list(one(spec)) for spec in specs)] == []


@pytest.mark.parametrize(
    ("tuning", "spec"),
    [
        (rates(final="retrain"), {}),
        (rates(final="retrain", seeds=10, scheduler={"name": "asha"}, budget={"epochs": 100}), {}),
        (pbt(LR, RATES, seeds=1), {}),
        (rates(warmStart=[{"job": "a"}, {"uri": "out/a"}], search={"name": "gp"}), {}),
        (rates(final="retrain"), {"training": {"earlyStopping": {}, "checkpoint": {"metric": "validation/f1"}}}),
        (rates(final="retrain"), {"evaluation": {"gates": [{"name": "a", "metric": "train/loss", "min": 0.9}]}}),
        (rates(final="best"), {"evaluation": {"gates": [{"name": "a", "metric": "validation/f1", "min": 0.9}]}}),
        (pbt(LR, RATES, final="best"), {}),
    ],
    ids=str,
)
def test_what_only_looks_wrong_is_valid(tuning: dict[str, Any], spec: dict[str, Any]) -> None:
    assert problems_of(job(tuning, **spec)) == []
