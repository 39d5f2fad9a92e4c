"""Names of other packages: found, and judged by what they declare before anything is imported that no job names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headway_api.consistency import not_judged
from headway_api.evaluation import Gate
from headway_api.job import TrainingJobSpec
from headway_api.overlay import with_parameters
from headway_api.validate import problems_of
from headway_trainer.errors import UserError
from headway_trainer.report.gates import judge
from headway_trainer.report.model import Metrics
from headway_trainer.resolve_names import better_of, resolve_names
from package_world import DIABETES, DIGITS, spec_of, with_metrics

DEPTHS: dict[str, Any] = {"parameters": {"model.options.depth": {"choice": [1, 2]}}}


@pytest.mark.usefixtures("acme")
@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (
            spec_of(model="acme.other"),
            r"model.name acme.other is not in this image, which has acme.both, acme.estimator",
        ),
        (spec_of(model="acme.number"), "model.name acme.number is acme_code:number, which is no function, and no"),
        (spec_of(model="acme.gone"), "model.name acme.gone cannot be imported from acme_code:gone: AttributeError"),
        (
            spec_of(model="acme.plain"),
            "model.name acme.plain is acme_code:plain, which is no headway_trainer.NamedModel",
        ),
        (
            spec_of(model="acme.both"),
            "acme.both is given by several packages, as acme_code:estimator and acme_code:net",
        ),
        (
            spec_of(model="linear"),
            "model.name linear is Headway's own, and acme_code:estimator gives it, too: uninstall",
        ),
        (
            spec_of(**with_metrics("mae", "acme.others")),
            r"evaluation.metrics\[1\] acme.others is not in this image, which has accuracy, acme.error, acme.hits",
        ),
        (
            spec_of(**with_metrics("acme.model")),
            r"evaluation.metrics\[0\] acme.model is acme_code:network, which is no .*Metric",
        ),
        (
            spec_of(**with_metrics("broken.import")),
            "broken.import cannot be imported from acme_broken:x: ModuleNotFoundError",
        ),
        (
            spec_of(**with_metrics("broken.tasks")),
            r"ValueError: tasks is \['ranking'\]: write some of classification, regr",
        ),
        (
            spec_of(DIGITS, **with_metrics("f1")),
            r"evaluation.metrics\[0\] f1 is Headway's own, and acme_code:hits gives it",
        ),
        (
            spec_of(training={"checkpoint": {"metric": "validation/acme.nothing"}}),
            "training.checkpoint.metric acme.nothing is not in this image",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_name_that_leads_to_nothing_good_is_one_sentence(spec: TrainingJobSpec, words: str) -> None:
    with pytest.raises(UserError, match=words) as told:
        resolve_names(spec)
    assert "\n" not in str(told.value)


@pytest.mark.usefixtures("acme")
@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (
            spec_of(**with_metrics("acme.hits")),
            r"evaluation.metrics\[0\]: acme.hits is no metric of regression, which has loss",
        ),
        (
            spec_of(training={"checkpoint": {"metric": "validation/acme.error", "mode": "max"}}),
            "training.checkpoint.mode: max would take the worst for the best, as less validation/acme.error is better",
        ),
        (
            spec_of(DIGITS, evaluation={"gates": [{"name": "g", "metric": "acme.hits", "min": 95}]}),
            r"evaluation.gates\[0\].min: 95 is never reached, as acme.hits is at most 1: write 0.95",
        ),
        (
            spec_of(model="acme.network"),
            "model.name: acme.network is for images, but the built-in diabetes holds a table",
        ),
        (
            spec_of(DIGITS, model="acme.estimator"),
            "model.name: acme.estimator is for tables, but the built-in digits hold",
        ),
        (
            spec_of(model="acme.estimator", training={"epochs": 3}),
            "training.epochs: is for models that are trained in epochs, and acme.estimator is fitted by an",
        ),
        (spec_of(model="acme.estimator", export={"formats": ["safetensors"]}), "safetensors would leave no model"),
        (
            spec_of(tuning={**DEPTHS, "metric": "validation/acme.error", "mode": "max"}, model="acme.estimator"),
            "tuning.mode: max would take the worst for the best, as less validation/acme.error is better",
        ),
        (
            spec_of(tuning={**DEPTHS, "scheduler": {"name": "asha"}}, model="acme.estimator"),
            "tuning.scheduler.name: asha stops trials by their epochs, and acme.estimator is fitted without any",
        ),
        (
            spec_of(DIGITS, model="acme.network", options={"deep": 1}),
            "model.options: acme.network has no option 'deep': it has depth",
        ),
        (
            spec_of(DIGITS, model="acme.network", options={"depth": 0}),
            "model.options.depth of acme.network: Input should be greater than or equal to 1",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_package_declares_is_judged_as_headways_own_names_are(spec: TrainingJobSpec, words: str) -> None:
    with pytest.raises(UserError, match=words):
        resolve_names(spec)


def test_no_package_is_imported_that_no_job_names(acme: Path) -> None:
    spec = spec_of(**with_metrics("mae"))
    assert resolve_names(spec) is spec
    assert not (acme / "acme_code.imported").exists()
    resolve_names(spec_of(**with_metrics("acme.error")))
    assert (acme / "acme_code.imported").exists()


def test_validate_takes_names_of_packages_and_says_that_it_did_not_judge_them(acme: Path) -> None:
    fields = {"model": {"name": "acme.anything"}, "data": DIABETES, **with_metrics("acme.rmsle"), "training": {}}
    job = {
        "apiVersion": "headway.dev/v1alpha1", "kind": "TrainingJob", "metadata": {"name": "a"}, "spec": fields,
    }  # fmt: skip
    assert problems_of(job) == []
    assert not_judged(TrainingJobSpec.model_validate(fields)) == {
        "acme.anything": ("model", "name"),
        "acme.rmsle": ("evaluation", "metrics", 0),
    }
    assert not (acme / "acme_code.imported").exists()


@pytest.mark.usefixtures("acme")
@pytest.mark.parametrize(
    ("metric", "fields", "better"),
    [
        ("validation/acme.hits", {}, "max"),
        ("validation/acme.hits", {"training": {"checkpoint": {"metric": "validation/acme.hits"}}}, "max"),
        (None, {"training": {"checkpoint": {"metric": "validation/acme.hits"}}}, "max"),
        (None, {"evaluation": {"metrics": ["acme.hits"]}}, "min"),
    ],
)
def test_trials_are_compared_by_a_packages_metric_in_its_own_direction(
    metric: str | None, fields: dict[str, Any], better: str
) -> None:
    rates = {"parameters": {"training.optimizer.lr": {"choice": [0.1, 0.2]}}, "metric": metric}
    spec = resolve_names(spec_of(DIGITS, tuning=rates, **fields))
    assert spec.tuning is not None
    assert spec.tuning.better(metric or "validation/acme.hits") == better
    trial = resolve_names(with_parameters(spec, {"training.optimizer.lr": 0.1}))
    assert trial.training is not None
    assert trial.training.checkpoint.better == better


@pytest.mark.usefixtures("acme")
def test_a_metric_says_which_values_are_better_wherever_it_chooses() -> None:
    watched = {"checkpoint": {"metric": "validation/acme.hits"}, "earlyStopping": {"metric": "validation/acme.hits"}}
    gate = {"name": "g", "metric": "acme.hits", "against": {"baseline": True}}
    spec = resolve_names(spec_of(DIGITS, training=watched, evaluation={"gates": [gate]}))
    assert spec.training is not None
    assert spec.training.early_stopping is not None
    assert (spec.training.checkpoint.better, spec.training.early_stopping.better) == ("max", "max")
    metrics = Metrics.model_validate({"test": {"acme.hits": 0.9}, "baseline": {"acme.hits": 0.5}})
    (passed,) = judge([Gate.model_validate(gate)], metrics, better_of=better_of(spec))
    assert passed.passed
    less = metrics.model_copy(update={"test": {"acme.hits": 0.4}})
    assert not judge([Gate.model_validate(gate)], less, better_of=better_of(spec))[0].passed
