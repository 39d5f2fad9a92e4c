"""The trials of a user's own Tuner: what is believed of the process that runs it, and what is told of them."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from headway_api.parameters import MAX_PARAMETERS
from headway_trainer.report.tuning import tuning_section
from headway_trainer.report.tuning_plots import best_plot, parallel_plot, slices_plot
from headway_trainer.tuning import own_trials
from headway_trainer.tuning.own_messages import (
    LINE_BYTES,
    MOST_METRICS,
    MOST_NAME,
    Fitted,
    Over,
    Plan,
    ReportTold,
    TrialTold,
    numbers_of,
    parameters_of,
    read,
)
from headway_trainer.tuning.own_trials import OwnTrials


def told(number: int, state: str = "running", **more: Any) -> TrialTold:
    """A trial with an lr of a tenth of its number."""
    return TrialTold.model_validate({"number": number, "state": state, "parameters": {"lr": number / 10}, **more})


def reported(number: int, epoch: int, value: float | None, *, best: float | None = None, **more: Any) -> TrialTold:
    """A trial that has reported."""
    report = ReportTold(epoch=epoch, value=value, goes_on=True)
    return told(number, epochs=epoch, value=value if best is None else best, report=report, **more)


def search(mode: str = "max", metric: str = "accuracy") -> OwnTrials:
    """Trials of a Tuner that has just begun."""
    trials = OwnTrials()
    trials.plan = Plan.model_validate(
        {"planned": 4, "metric": metric, "mode": mode, "search": "OptunaSearch", "scheduler": "ASHA"}
    )
    return trials


@pytest.mark.parametrize(
    "message",
    [Plan(planned=3, metric="loss"), reported(2, 1, 0.5), Fitted(), Over(how="user", message="no")],
    ids=lambda message: type(message).__name__,
)
def test_what_is_said_is_read_as_it_was_said(message: BaseModel) -> None:
    assert read(message.model_dump_json().encode()) == message


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"null",
        b"print",
        b'{"do": "trial"}',
        b'{"do": "trial", "number": 0, "state": "running", "parameters": {}}',
        b'{"do": "trial", "number": 10001, "state": "running", "parameters": {}}',
        b'{"do": "trial", "number": 1, "state": "lost", "parameters": {}}',
        b'{"do": "trial", "number": 1, "state": "running", "parameters": {}, "value": NaN}',
        json.dumps(
            {"do": "trial", "number": 1, "state": "running", "parameters": {str(one): 1 for one in range(65)}}
        ).encode(),
        json.dumps({"do": "over", "how": "done", "message": "m" * LINE_BYTES}).encode(),
        b"\xff\xfe",
    ],
)
def test_a_line_that_has_not_the_form_is_no_message(line: bytes) -> None:
    assert read(line) is None


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists))
def test_any_value_of_a_config_can_be_told(value: object) -> None:
    message = TrialTold(number=1, state="running", parameters=parameters_of({"one": value, 3: value}))
    assert read(message.model_dump_json().encode()) == message


def test_a_config_is_told_flat_and_bounded() -> None:
    config = {
        "lr": 0.5,
        "layers": {"first": {"size": np.int64(64)}, "none": {}},
        "shape": (3, [4]),
        "on": True,
        "f": math.inf,
        "object": parameters_of,
        "nothing": None,
        "long": "x" * 5000,
        "rate": np.float32(0.25),
    }
    parameters = parameters_of(config)
    assert parameters["lr"] == 0.5
    assert parameters["layers/first/size"] == 64
    assert parameters["layers/none"] == "{}"
    assert parameters["shape"] == [3, [4]]
    assert parameters["on"] is True
    assert parameters["f"] == "inf"
    assert str(parameters["object"]).startswith("<function parameters_of")
    assert parameters["nothing"] == "None"
    assert len(str(parameters["long"])) == 500
    assert parameters["rate"] == 0.25
    many = parameters_of({f"{'n' * 200}{one}": one for one in range(5)} | {str(one): one for one in range(100)})
    assert len(many) == MAX_PARAMETERS
    assert max(map(len, many)) == MOST_NAME


def test_of_a_report_the_users_finite_numbers_are_told() -> None:
    result = {"accuracy": np.float64(0.5), "loss": math.nan, "name": "x", "pid": 7, "config/lr": 1.0, "done": False}
    assert numbers_of(result, frozenset({"pid", "config"})) == {"accuracy": 0.5}
    assert len(numbers_of({str(one): one for one in range(500)}, frozenset())) == MOST_METRICS


def test_the_status_counts_trials_and_names_the_best() -> None:
    trials = search()
    for message in (
        told(1),
        reported(1, 1, 0.7),
        told(1, "completed", value=0.7, epochs=1),
        told(2, "failed", value=0.99, cause="ValueError", message="ValueError: no"),
        reported(3, 1, 0.9),
        told(3, "stopped", value=0.9, epochs=1),
        reported(4, 1, 0.2),
        told(5, "waiting", value=0.1),
    ):
        trials.take(message)
    status = trials.status()
    assert (status.running, status.waiting, status.completed, status.stopped, status.failed) == (1, 1, 1, 1, 1)
    assert (status.planned, status.metric, status.ended) == (4, "accuracy", 3)
    assert status.best is not None
    assert (status.best.trial, status.best.value, status.best.parameters) == (3, "0.9", {"lr": "0.3"})
    assert [(one.trial, one.epoch, one.value) for one in status.running_trials] == [(4, 1, "0.2")]
    assert trials.ended == 3


@pytest.mark.parametrize(("mode", "best"), [("max", 2), ("min", 3)])
def test_the_best_is_by_the_tuners_mode_and_of_equal_ones_the_earlier(mode: str, best: int) -> None:
    trials = search(mode)
    for number, value in ((1, 0.5), (2, 0.8), (3, 0.1), (4, 0.8), (5, 0.1)):
        trials.take(told(number, "completed", value=value))
    assert trials.best is not None
    assert trials.best.number == best


def test_without_a_metric_there_is_no_best_one() -> None:
    trials = search(metric="")
    trials.take(told(1, "completed"))
    assert trials.best is None
    assert trials.status().best is None
    section = tuning_section(trials.result())
    assert "No trial has a value" in section
    assert "| metric |" not in section


def test_records_have_each_report_in_the_order_of_all() -> None:
    trials = search()
    for message in (reported(2, 1, 0.2, at=1.0), reported(1, 1, 0.4, at=2.0), reported(2, 2, None, best=0.2, at=3.0)):
        trials.take(message)
    trials.take(told(1, "completed", value=0.4, epochs=1, at=4.0))
    first, second = trials.records()
    assert [(one.order, one.epoch, one.value) for one in second.reports] == [(1, 1, 0.2), (3, 2, None)]
    assert [one.order for one in first.reports] == [2]
    assert (first.began, first.ended, first.state) == (2.0, 4.0, "completed")
    assert first.curve == [(1, 0.4)]
    assert [(one.number, one.points) for one in trials.result().curves] == [(1, [(1, 0.4)])]
    assert (second.began, second.ended, second.state, second.value) == (1.0, None, "running", 0.2)


def test_what_a_population_has_changed_is_told_as_it_is_now() -> None:
    trials = search()
    trials.take(told(1))
    trials.take(told(1, parameters={"lr": 0.7}, value=0.5))
    assert trials.records()[0].parameters == {"lr": 0.7}


def test_more_reports_than_are_kept_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_trials, "MOST_REPORTS", 3)
    trials = search()
    for epoch in range(1, 6):
        trials.take(reported(1, epoch, epoch / 10))
    assert len(trials.records()[0].reports) == 3
    assert trials.left_out == 2
    assert trials.records()[0].epochs == 5


def test_the_result_has_the_best_trials_numbers_and_can_be_drawn() -> None:
    trials = search()
    for number in range(1, 5):
        parameters = {"lr": number / 10, "name": "ab"[number % 2], "same": True}
        message = told(number, "completed", value=number / 10, epochs=2, seconds=1.5, reported={"accuracy": number / 9})
        trials.take(message.model_copy(update={"parameters": parameters}))
    result = trials.result()
    assert (result.best, result.reported, result.epochs, result.seconds) == (4, {"accuracy": 4 / 9}, 8, 6.0)
    assert (result.search, result.scheduler, result.counts) == ("OptunaSearch", "ASHA", {"completed": 4})
    assert "| lr | 0.4 |" in tuning_section(result)
    for plot in (best_plot, slices_plot, parallel_plot):
        assert plot(result), plot.__name__
