"""`tuning.warmStart`: which trials of earlier studies a searcher begins with, and what is said of other files."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from headway_trainer.errors import UserError
from headway_trainer.publish import RESULT_FILE, publish_result
from headway_trainer.report.model import RunResult
from headway_trainer.report.trial_records import TRIALS_FILE, TrialRecord, write_trials
from headway_trainer.report.trials import tuning_result
from headway_trainer.run import Run
from headway_trainer.stages import warm_start as stage
from headway_trainer.stages.trials import Trials
from headway_trainer.stages.warm_start import warm_start
from headway_trainer.storage import Store
from headway_trainer.tuning.events import Asked, EarlierTrial, Ended, Event, WarmStarted
from headway_trainer.tuning.log import EventLog
from made_runs import made_run
from studies import replayed, tuning
from training_runs import data_info

LR = "training.optimizer.lr"
RATES = {LR: {"logUniform": {"min": 0.001, "max": 0.1}}}


def run_of(folder: Path, *earlier: dict[str, str], attempt: int = 1, **fields: Any) -> Run:
    spec = {
        "data": {"source": {"builtin": {"name": "iris"}}},
        "model": {"name": "mlp"},
        "training": {"epochs": 3},
        "tuning": {"parameters": RATES, "metric": "validation/accuracy", "warmStart": list(earlier), **fields},
        "seed": 3,
    }
    run, _ = made_run(folder, spec, attempt=attempt)
    run.checkpoints.claim()
    return run


def earlier_run(
    folder: Path, records: list[TrialRecord], *, metric: str = "validation/accuracy", **fields: Any
) -> None:
    """Leave what a finished search leaves."""
    store = Store.open(str(folder))
    write_trials(store, records)
    told = tuning_result(tuning(RATES), metric, records, best=None, ended="done")
    result = {"job": folder.name, "outcome": "Succeeded", "seed": 1, "world_size": 1, "duration_seconds": 1.0}
    times = {"started": "2026-01-01T00:00:00Z", "finished": "2026-01-01T00:01:00Z"}
    publish_result(store, RunResult.model_validate(result | times | {"tuning": told} | fields))


def record(
    number: int, value: float | None = 0.9, state: str = "completed", parameters: dict[str, Any] | None = None
) -> TrialRecord:
    given = {"number": number, "parameters": parameters or {LR: 0.01}, "state": state, "value": value}
    return TrialRecord.model_validate(given)


def read(run: Run) -> WarmStarted:
    assert run.spec.tuning is not None
    return warm_start(run.spec.tuning, "validation/accuracy", run, data_info(100, 50))


def test_finished_trials_of_this_space_are_taken_and_others_are_counted(tmp_path: Path) -> None:
    earlier_run(
        tmp_path / "before",
        [
            record(1, 0.8),
            record(2, None, "failed"),
            record(3, 0.7, "stopped"),
            record(4, 0.9, parameters={LR: 0.5}),
            record(5, 0.9, parameters={LR: 0.01, "model.options.hidden": [8]}),
            record(6, 0.95, parameters={LR: 0.02}),
        ],
    )
    for earlier, what in (({"job": "before"}, "the job before"), ({"uri": str(tmp_path / "before")}, None)):
        found = read(run_of(tmp_path, earlier))
        assert [(one.parameters[LR], one.value) for one in found.trials] == [(0.01, 0.8), (0.02, 0.95)]
        assert [(one.taken, one.skipped) for one in found.sources] == [(2, 4)]
        assert found.sources[0].what == (what or str(tmp_path / "before"))


def test_of_very_many_some_are_taken_from_the_worst_to_the_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "MOST_TAKEN", 5)
    earlier_run(tmp_path / "before", [record(number, number / 100) for number in range(1, 22)])
    assert [one.value for one in read(run_of(tmp_path, {"job": "before"})).trials] == [0.01, 0.06, 0.11, 0.16, 0.21]


def test_each_doubt_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def said(**earlier: str) -> str:
        with pytest.raises(UserError) as caught:
            read(run_of(tmp_path, earlier))
        return str(caught.value)

    before = tmp_path / "before"
    assert "tuning.warmStart[0]: the job nobody has no finished trials in" in said(job="nobody")
    assert "holds no result.json: give the folder of a finished run" in said(uri=str(tmp_path / "nowhere"))
    earlier_run(before, [record(1)], metric="validation/loss")
    assert "the job before was searched by validation/loss (min), and this job by validation/accuracy (max)" in said(
        job="before"
    )
    earlier_run(before, [record(1)])
    (before / TRIALS_FILE).write_text('{"number": 1}\n')
    assert "line 1 of " in said(job="before")
    monkeypatch.setattr(stage, "MOST_BYTES", 3)
    assert "is larger than 0 MiB: take it out" in said(job="before")
    monkeypatch.undo()
    (before / RESULT_FILE).write_text("[]")
    assert "is no result.json of a finished run" in said(job="before")
    earlier_run(before, [record(1)], tuning=None)
    assert "the job before has no trials" in said(job="before")


def test_what_was_read_stands_in_the_log_and_the_next_attempt_needs_no_earlier_run(tmp_path: Path) -> None:
    earlier_run(tmp_path / "before", [record(1, 0.8), record(2, 0.9, parameters={LR: 0.02})])
    run = run_of(tmp_path, {"job": "before"})
    assert run.spec.tuning is not None
    first = Trials(run.spec.tuning, run, data_info(100, 50))
    assert [(one.what, one.taken) for one in first.earlier()] == [("the job before", 2)]
    shutil.rmtree(tmp_path / "before")
    again = run_of(tmp_path, {"job": "before"}, attempt=2)
    second = Trials(run.spec.tuning, again, data_info(100, 50))
    assert second.earlier() == first.earlier()
    (event,) = EventLog(again.store, 9).read()
    assert isinstance(event, WarmStarted)
    assert len(event.trials) == 2
    assert second.records() == [], "they are no trials of this search"


@pytest.mark.parametrize("search", ["tpe", "gp"])
def test_a_searcher_begins_where_earlier_trials_were_best_and_a_replay_proposes_the_same(search: str) -> None:
    spec = tuning({LR: {"uniform": {"min": 0, "max": 1}}}, search={"name": search, "startupTrials": 5}, trials=6)
    known = [EarlierTrial(parameters={LR: place / 40}, value=(place / 40 - 0.3) ** 2) for place in range(40)]
    warm = WarmStarted(trials=known, sources=[])

    def proposals(events: list[Event]) -> list[float]:
        one, found = replayed(spec, events), list[float]()
        for _ in range(6):
            asked = one.ask()
            assert asked is not None
            place = asked.parameters[LR]
            assert isinstance(place, float)
            found.append(place)
            ended = Ended(trial=asked.trial, state="completed", value=(place - 0.3) ** 2, epochs=9)
            events += [asked, one.end(ended)]
        return found

    cold = proposals([])
    log: list[Event] = [warm]
    warmed = proposals(log)
    assert sum(abs(place - 0.3) for place in warmed) < 0.5 * sum(abs(place - 0.3) for place in cold)
    again = replayed(spec, log[:5])
    asked = again.ask()
    assert isinstance(asked, Asked)
    assert asked.parameters[LR] == warmed[2]
    assert (again.best and again.best.number) in (1, 2), "an earlier trial is never the best of this search"


def test_earlier_trials_of_another_space_in_the_log_are_one_sentence() -> None:
    spec = tuning({LR: {"uniform": {"min": 0, "max": 1}}})
    strange = WarmStarted(trials=[EarlierTrial(parameters={LR: 7.0}, value=1.0)], sources=[])
    with pytest.raises(UserError, match=r"of an earlier trial, training\.optimizer\.lr cannot be 7\.0"):
        replayed(spec, [strange])
