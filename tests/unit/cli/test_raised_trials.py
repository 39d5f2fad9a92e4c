"""`headway run` with another number of trials than before: which run goes on, which begins anew, what is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click
import pytest

from headway_api.job import TrainingJob
from headway_cli.raised_trials import search_digest
from headway_cli.run_folder import Attempt, RunFolder
from headway_trainer.publish import RESULT_NAMES
from headway_trainer.storage import Store
from headway_trainer.tuning.events import Asked
from headway_trainer.tuning.log import EventLog

LR = "training.optimizer.lr"
RESULT = "result.json"


def job(trials: int | None = 4, *, seed: int = 0, **tuning: Any) -> TrainingJob:
    section = {"parameters": {LR: {"uniform": {"min": 0.1, "max": 0.9}}}, **tuning}
    return TrainingJob.model_validate(
        {
            "apiVersion": "headway.dev/v1alpha1",
            "kind": "TrainingJob",
            "metadata": {"name": "small"},
            "spec": {
                "data": {"source": {"builtin": {"name": "iris"}}},
                "model": {"name": "mlp"},
                "training": {},
                "tuning": section if trials is None else section | {"trials": trials},
                "seed": seed,
            },
        }
    )


class Output:
    """An output folder, and runs into it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes: list[str] = []

    def begin(self, its: TrainingJob, *, begun: int = 0, fresh: bool = False) -> Attempt:
        """Begin, or go on, and let so many trials begin in all."""
        folder = RunFolder(self.path)
        with folder.locked():
            attempt = folder.begin(its, fresh=fresh, names=RESULT_NAMES, note=self.notes.append)
        log = EventLog(Store.open(str(attempt.path)), attempt.number)
        for number in range(len(log.read()) + 1, begun + 1):
            log.append(Asked(trial=number, parameters={LR: 0.5}))
        return attempt

    def finish(self, attempt: Attempt, text: str) -> None:
        (attempt.path / RESULT).write_text(text)
        RunFolder(self.path).finish(attempt, (RESULT,))

    def result(self) -> str:
        return (self.path / RESULT).read_text()


@pytest.fixture
def output(tmp_path: Path) -> Output:
    return Output(tmp_path / "out")


def test_a_finished_search_that_gets_more_trials_goes_on_and_its_result_stays_until_there_is_a_new_one(
    output: Output,
) -> None:
    first = output.begin(job(4), begun=4)
    output.finish(first, "of four")
    again = output.begin(job(7), begun=5)
    assert (again.resumes, again.number, again.path) == (True, 2, first.path)
    assert output.notes == [
        f"Going on with the finished run in {output.path}: tuning.trials is 7 now, and 4 have begun (--fresh would "
        "begin again). Its results stay until there are new ones."
    ]
    assert output.result() == "of four", "while the others are trained, and if they never end"
    third = output.begin(job(7), begun=7)
    assert (third.number, third.path) == (3, first.path)
    assert output.notes[-1] == f"Going on with the unfinished run in {output.path} (--fresh would discard it)."
    output.finish(third, "of seven")
    assert output.result() == "of seven"


@pytest.mark.parametrize("now", [2, 3, 4, 6])
def test_a_stopped_search_goes_on_with_any_number_that_is_not_below_what_has_begun(output: Output, now: int) -> None:
    first = output.begin(job(5), begun=2)
    again = output.begin(job(now))
    assert (again.resumes, again.path) == (True, first.path)
    assert f"tuning.trials is {now} now, and 2 have begun (--fresh would discard it)." in output.notes[-1]


@pytest.mark.parametrize("finished", [False, True])
def test_fewer_trials_than_have_begun_are_refused_in_one_sentence_before_anything_changes(
    output: Output, *, finished: bool
) -> None:
    first = output.begin(job(4), begun=4)
    if finished:
        output.finish(first, "of four")
    state = (output.path / ".headway/state.json").read_text()
    said = (
        f"tuning.trials is 3, and 4 trials of this search have begun in {output.path}: raise it above 4 to go on, or "
        "give --fresh to begin again, or --output for another folder"
    )
    with pytest.raises(click.ClickException, match=f"^{re.escape(said)}$"):
        output.begin(job(3))
    assert (output.path / ".headway/state.json").read_text() == state
    anew = output.begin(job(3), fresh=True)
    assert (anew.resumes, anew.path != first.path) == (False, True)


@pytest.mark.parametrize(("now", "fresh"), [(20, False), (None, False), (21, True)])
def test_a_finished_search_without_further_trials_begins_anew_as_any_finished_run_does(
    output: Output, now: int | None, *, fresh: bool
) -> None:
    output.finish(output.begin(job(20), begun=20), "of twenty")
    assert not output.begin(job(now), fresh=fresh).resumes
    assert output.result() == "of twenty"


@pytest.mark.parametrize(
    "other",
    [
        job(9, seed=1),
        job(9, budget={"epochs": 100}),
        job(9, search={"name": "random"}),
        job(9, search={"name": "grid"}, parameters={LR: {"grid": [number / 10 for number in range(1, 10)]}}),
        job(9, search={"name": "random"}, scheduler={"name": "pbt"}),
    ],
    ids=["seed", "budget", "search", "grid", "population"],
)
def test_a_search_that_is_another_in_anything_else_begins_anew(output: Output, other: TrainingJob) -> None:
    output.finish(output.begin(job(4), begun=4), "of four")
    assert not output.begin(other).resumes


@pytest.mark.parametrize(
    "fields",
    [
        {"search": {"name": "grid"}, "parameters": {LR: {"grid": [0.1, 0.2, 0.3]}}},
        {"search": {"name": "random"}, "scheduler": {"name": "pbt"}},
    ],
    ids=["grid", "population"],
)
def test_a_grid_and_a_population_get_no_more_trials(output: Output, fields: dict[str, Any]) -> None:
    assert search_digest(job(2, **fields)) is None
    first = output.begin(job(2, **fields), begun=2)
    with pytest.raises(click.ClickException, match="holds an unfinished run of another job or spec"):
        output.begin(job(3, **fields))
    output.finish(first, "of two")
    assert not output.begin(job(3, **fields)).resumes


def test_an_unfinished_run_of_another_spec_is_not_passed_over_for_a_finished_search(output: Output) -> None:
    output.finish(output.begin(job(4), begun=4), "of four")
    output.begin(job(4, seed=1))
    with pytest.raises(click.ClickException, match="holds an unfinished run of another job or spec"):
        output.begin(job(7))


def test_a_search_whose_model_failed_its_gates_goes_on_with_more_trials(output: Output) -> None:
    first = output.begin(job(4), begun=4)
    RunFolder(output.path).fail(first)
    again = output.begin(job(7))
    assert (again.resumes, again.path) == (True, first.path)


def test_a_log_that_is_damaged_is_an_error_and_no_reason_to_begin_anew(output: Output) -> None:
    first = output.begin(job(4), begun=4)
    output.finish(first, "of four")
    (first.path / "tuning" / "events-0001-000001.jsonl").write_text("{")
    with pytest.raises(click.ClickException, match="the log of the trials is damaged"):
        output.begin(job(7))


def test_a_run_of_an_earlier_version_which_kept_no_log_begins_anew(output: Output) -> None:
    first = output.begin(job(4))
    output.finish(first, "of four")
    assert not output.begin(job(7)).resumes


def test_of_a_tuner_of_ones_own_nobody_knows_how_many_trials_there_are() -> None:
    document = {
        "apiVersion": "headway.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": "own"},
        "spec": {"tuning": {"entrypoint": "search:main"}},
    }
    assert search_digest(TrainingJob.model_validate(document)) is None
