"""The stage of a user's own Tuner: what it leaves, what the next attempt takes, and what it deletes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from headway_api.tuning import Tuning
from headway_trainer.errors import UserError
from headway_trainer.ray.tuner_stage import AllFailedError
from headway_trainer.report.trial_records import read_trials
from headway_trainer.run import Run
from headway_trainer.stages.own_tuner import end_of, run_own_tuner
from headway_trainer.storage import Store
from headway_trainer.tuning.own_messages import Plan, TrialTold
from headway_trainer.tuning.own_trials import OwnTrials

SPEC = Tuning.model_validate({"entrypoint": "search:main"})


def run_of(folder: Path, work: Callable[[], OwnTrials], warned: list[str] | None = None) -> Run:
    """What the stage asks for of a run whose process does this."""
    (folder / "ray" / "tuner").mkdir(parents=True, exist_ok=True)
    said: list[str] = warned if warned is not None else []
    run: Any = SimpleNamespace(
        store=Store.open(str(folder)),
        around=SimpleNamespace(code=str(folder / "code"), head=None),
        reporter=SimpleNamespace(stage=lambda _: None, tuning=lambda _: None, warn=said.append),
        begin_anew="a job of another name",
        fence=lambda: None,
        on_workers=lambda _: work(),
    )
    return cast("Run", run)


def trials() -> OwnTrials:
    """Two trials, of which the second is better."""
    found = OwnTrials()
    found.plan = Plan(planned=2, metric="loss", mode="min", search="Random", scheduler="FIFO")
    for number in (1, 2):
        told = {"number": number, "state": "completed", "parameters": {"lr": number}, "value": 1 / number, "epochs": 3}
        found.take(TrialTold.model_validate({**told, "reported": {"loss": 1 / number}}))
    return found


def failing(error: Exception) -> Callable[[], OwnTrials]:
    """A process that comes to an error."""

    def work() -> OwnTrials:
        raise error

    return work


def test_the_trials_are_left_and_the_next_attempt_takes_them(tmp_path: Path) -> None:
    result = run_own_tuner(SPEC, run_of(tmp_path, trials))
    assert (result.best, result.counts, result.reported) == (2, {"completed": 2}, {"loss": 0.5})
    assert [one.parameters for one in read_trials(Store.open(str(tmp_path)))] == [{"lr": 1}, {"lr": 2}]
    again = run_own_tuner(SPEC, run_of(tmp_path, failing(AssertionError("it has ended already"))))
    assert again == result
    end = end_of(result)
    assert (end.finished, end.reports, end.metrics) == (True, 6, {"reported": {"loss": 0.5}})


def test_with_other_code_the_function_is_called_again(tmp_path: Path) -> None:
    run_own_tuner(SPEC, run_of(tmp_path, trials))
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "search.py").write_text("")
    with pytest.raises(AssertionError, match="called"):
        run_own_tuner(SPEC, run_of(tmp_path, failing(AssertionError("called"))))


@pytest.mark.parametrize(
    ("error", "kept"), [(AllFailedError("all 2 trials have failed"), False), (UserError("x"), True)]
)
def test_an_experiment_of_which_nothing_came_is_deleted_and_any_other_goes_on(
    tmp_path: Path, error: Exception, kept: bool
) -> None:
    with pytest.raises(type(error)):
        run_own_tuner(SPEC, run_of(tmp_path, failing(error)))
    assert (tmp_path / "ray" / "tuner").exists() == kept


def test_reports_that_were_not_kept_are_told_of(tmp_path: Path) -> None:
    found, warned = trials(), list[str]()
    found.left_out = 1234
    run_own_tuner(SPEC, run_of(tmp_path, lambda: found, warned))
    assert warned == ["trials.jsonl has 200,000 reports of trials, and 1,234 are left out."]
