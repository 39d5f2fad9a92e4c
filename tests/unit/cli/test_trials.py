"""headway trials: what was tried in a run, finished or not, as a table and for other programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fake_kubectl import FakeKubectl, recorded
from headway_api.job import TrainingJob
from headway_api.tuning import Tuning
from headway_cli import found_trials
from headway_cli.main import main
from headway_cli.run_folder import RunFolder
from headway_trainer.publish import publish_result
from headway_trainer.report.model import RunResult
from headway_trainer.report.trial_records import TrialRecord, trial_records, write_trials
from headway_trainer.report.trials import tuning_result
from headway_trainer.storage import Store
from headway_trainer.tuning.events import Asked, Ended, Event, Repeated, Reported
from headway_trainer.tuning.log import EventLog

LR, HIDDEN, NAME = "training.optimizer.lr", "model.options.hidden", "training.optimizer.name"
EVENTS: list[Event] = [
    Asked(trial=1, parameters={LR: 0.1, HIDDEN: [32], NAME: "sgd"}),
    Asked(trial=2, parameters={LR: 0.2, HIDDEN: [64]}),
    Reported(trial=1, epoch=1, value=0.5, goes_on=True),
    Ended(trial=1, state="completed", value=0.8, epochs=9, seconds=2.25),
    Ended(trial=2, state="failed", cause="UserError", message="hidden: [64] does not fit.", seconds=1.0),
    Asked(trial=3, parameters={LR: 0.3, HIDDEN: [32, 32]}),
    Reported(trial=3, epoch=1, value=0.9, goes_on=False),
]
FINISHED: list[Event] = [*EVENTS, Ended(trial=3, state="stopped", value=0.9, epochs=1, seconds=1.5)]


def finish(folder: Path, records: Sequence[TrialRecord]) -> None:
    """Leave what a finished run leaves."""
    store = Store.open(str(folder))
    write_trials(store, records)
    parameters = {LR: {"uniform": {"min": 0, "max": 1}}, HIDDEN: {"choice": [[32]]}, NAME: {"choice": ["sgd"]}}
    told = tuning_result(
        Tuning.model_validate({"parameters": parameters}), "validation/accuracy", records, best=3, ended=""
    )
    fields: dict[str, Any] = {"job": "digits", "outcome": "Succeeded", "seed": 1, "world_size": 1, "tuning": told}
    times = {"started": "2026-01-01T00:00:00Z", "finished": "2026-01-01T00:01:00Z", "duration_seconds": 60.0}
    publish_result(store, RunResult.model_validate(fields | times))


def log(folder: Path, events: Sequence[Event]) -> None:
    written = EventLog(Store.open(str(folder)), 1)
    for event in events:
        written.append(event)


def listed(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["trials", *arguments])


def test_the_trials_of_a_finished_run_are_listed_the_best_first(tmp_path: Path) -> None:
    finish(tmp_path, trial_records(FINISHED))
    done = listed(str(tmp_path))
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert "validation/accuracy" in lines[2]
    assert [cell.strip() for cell in lines[2].strip("┃").split("┃")][-3:] == ["lr", "hidden", "name"]
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in lines if line.startswith("│")]
    assert rows == [
        ["3", "stopped", "0.9", "1", "1.5", "0.3", "[32, 32]", ""],
        ["1", "completed", "0.8", "9", "2.2", "0.1", "[32]", "sgd"],
        ["2", "failed: UserError", "", "0", "1.0", "0.2", "[64]", ""],
    ]
    assert "Trials: 3: 1 completed, 1 stopped, 1 failed." in done.stdout
    assert "Trial 2: hidden: [64] does not fit." in done.stdout


def test_json_has_all_that_is_known_of_each_trial(tmp_path: Path) -> None:
    finish(tmp_path, trial_records(FINISHED))
    documents = json.loads(listed(str(tmp_path), "-o", "json").stdout)
    assert [one["number"] for one in documents] == [3, 1, 2]
    assert documents[0]["reports"] == [{"order": 2, "epoch": 1, "value": 0.9, "goesOn": False, "at": 0.0}]
    assert documents[1]["parameters"] == {LR: 0.1, HIDDEN: [32], NAME: "sgd"}


def test_repeats_with_other_seeds_are_told_beside_the_trial_that_they_belong_to(tmp_path: Path) -> None:
    repeats: list[Event] = [
        Asked(trial=1, parameters={LR: 0.1}),
        Ended(trial=1, state="completed", value=0.9, epochs=9, repeats=2),
        Repeated(trial=1, repeat=2, seed=77),
        Ended(trial=1, repeat=2, state="completed", value=0.8, epochs=9),
        Repeated(trial=1, repeat=3, seed=78),
        Ended(trial=1, repeat=3, state="completed", value=0.85, epochs=9),
        Asked(trial=2, parameters={LR: 0.2}),
        Ended(trial=2, state="completed", value=0.7, epochs=9),
    ]
    log(tmp_path, repeats)
    assert "0.85 ± 0.05 (3 seeds)" in listed(str(tmp_path)).stdout
    first, second = csv.DictReader(io.StringIO(listed(str(tmp_path), "-o", "csv").stdout))
    assert float(first["value"]) == pytest.approx(0.85)
    assert float(first["deviation"]) == pytest.approx(0.05)
    assert (first["ownValue"], first["repeats"]) == ("0.9", "2")
    assert (second["value"], second["ownValue"], second["deviation"], second["repeats"]) == ("0.7", "", "", "0")
    told = json.loads(listed(str(tmp_path), "-o", "json").stdout)
    assert [(one["seed"], one["value"]) for one in told[0]["repeats"]] == [(77, 0.8), (78, 0.85)]
    assert len(told) == 2


def test_csv_has_a_column_for_each_parameter(tmp_path: Path) -> None:
    finish(tmp_path, trial_records(FINISHED))
    rows = list(csv.DictReader(io.StringIO(listed(str(tmp_path), "-o", "csv").stdout)))
    assert [row["number"] for row in rows] == ["3", "1", "2"]
    assert rows[1] == {
        "number": "1", "state": "completed", "value": "0.8", "epochs": "9", "seconds": "2.25", "cause": "",
        "message": "", LR: "0.1", HIDDEN: "[32]", NAME: "sgd",
    }  # fmt: skip
    assert rows[2]["message"] == "hidden: [64] does not fit."


def test_of_a_run_that_goes_on_the_trials_of_its_log_are_listed_by_number(tmp_path: Path) -> None:
    log(tmp_path, EVENTS)
    done = listed(str(tmp_path), "-o", "csv")
    assert [(row["number"], row["state"]) for row in csv.DictReader(io.StringIO(done.stdout))] == [
        ("1", "completed"),
        ("2", "failed"),
        ("3", "running"),
    ]
    assert "has not finished" in done.stderr


def test_an_output_folder_tells_of_the_run_that_goes_on_before_the_one_that_has_finished(tmp_path: Path) -> None:
    job = TrainingJob.model_validate(
        {
            "apiVersion": "headway.dev/v1alpha1",
            "kind": "TrainingJob",
            "metadata": {"name": "digits"},
            "spec": {"data": {"source": {"builtin": {"name": "digits"}}}, "model": {"name": "mlp"}, "training": {}},
        }
    )
    finish(tmp_path, trial_records(FINISHED))
    folder = RunFolder(tmp_path)
    with folder.locked():
        attempt = folder.begin(job, fresh=False, names=[])
    assert len(json.loads(listed(str(tmp_path), "-o", "json").stdout)) == 3, "a run without a log hides nothing"
    log(attempt.path, EVENTS[:2])
    assert len(json.loads(listed(str(tmp_path), "-o", "json").stdout)) == 2


def test_of_a_search_that_goes_on_after_its_end_the_trials_of_its_log_are_listed(tmp_path: Path) -> None:
    finish(tmp_path, trial_records(FINISHED))
    log(tmp_path, FINISHED)
    done = listed(str(tmp_path), "-o", "json")
    assert ([one["number"] for one in json.loads(done.stdout)], done.stderr) == ([3, 1, 2], "")
    log(tmp_path, [Asked(trial=4, parameters={LR: 0.4, HIDDEN: [16]})])
    goes_on = listed(str(tmp_path), "-o", "json")
    assert [one["number"] for one in json.loads(goes_on.stdout)] == [1, 2, 3, 4]
    assert "has not finished: these are its trials" in goes_on.stderr
    (tmp_path / "tuning" / "events-0001-000001.jsonl").write_text("{")
    damaged = listed(str(tmp_path), "-o", "json")
    assert [one["number"] for one in json.loads(damaged.stdout)] == [3, 1, 2], "its result is whole"


def test_a_folder_without_trials_is_an_error_that_says_which_folder_has_some(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        done = listed(str(folder))
        assert done.exit_code == 1
        assert "holds no trials: give the folder of a run whose job has spec.tuning" in done.stderr


def test_a_damaged_list_is_an_error_and_not_a_traceback(tmp_path: Path) -> None:
    finish(tmp_path, trial_records(FINISHED))
    for name in ("trials.jsonl", "result.json"):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[:50])
        done = listed(str(tmp_path))
        assert done.exit_code == 1
        assert name in done.stderr
        (tmp_path / name).write_bytes(whole)


def test_many_trials_and_parameters_are_cut_and_the_rest_is_told(tmp_path: Path) -> None:
    names = [f"model.options.p{index}" for index in range(30)]
    events: list[Event] = []
    for number in range(1, 101):
        events += [
            Asked(trial=number, parameters=dict.fromkeys(names, number)),
            Ended(trial=number, state="completed", value=number / 100, epochs=1),
        ]
    finish(tmp_path, trial_records(events))
    done = listed(str(tmp_path), "--most", "10")
    assert done.stdout.count("completed") == 11
    assert "Not shown: 90 more trials, the parameters model.options.p5," in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 140
    assert len(json.loads(listed(str(tmp_path), "-o", "json").stdout)) == 100


@pytest.mark.parametrize("output", ["table", "json", "csv"])
def test_what_a_tenant_writes_cannot_steer_a_terminal_or_break_the_output(tmp_path: Path, output: str) -> None:
    evil = '[red]a[/nope]\x1b[31m,"x"\n|' + "z" * 300
    events: list[Event] = [
        Asked(trial=1, parameters={NAME: evil}),
        Ended(trial=1, state="failed", cause=evil, message=evil),
    ]
    finish(tmp_path, trial_records(events))
    done = listed(str(tmp_path), "-o", output)
    assert done.exit_code == 0, done.output
    if output == "csv":
        assert next(csv.DictReader(io.StringIO(done.stdout)))[NAME] == evil
    else:
        assert "\x1b" not in done.stdout
    if output == "json":
        assert json.loads(done.stdout)[0]["parameters"][NAME] == evil


@pytest.mark.parametrize("ended", [True, False])
def test_more_than_trials_take_is_refused_before_it_is_read(
    tmp_path: Path, ended: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(found_trials, "MOST_BYTES", 200)
    if ended:
        finish(tmp_path, trial_records(FINISHED))
    else:
        log(tmp_path, EVENTS)
    done = listed(str(tmp_path))
    assert done.exit_code == 1
    assert "MiB of trials" in done.stderr


@pytest.mark.parametrize("output", ["json", "csv"])
def test_documents_for_programs_do_not_steer_a_terminal_either(
    tmp_path: Path, output: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    evil = "\x1b]0;owned\x07 \x9b31m \u202ereversed"
    finish(tmp_path, trial_records([Asked(trial=1, parameters={NAME: evil}), FAILED]))
    for terminal in (False, True):
        monkeypatch.setattr("sys.stdout.isatty", lambda terminal=terminal: terminal)
        main(["trials", str(tmp_path), "-o", output], standalone_mode=False)
        told = capsys.readouterr().out
        assert ("\x9b" in told) is not terminal
        assert ("\u202e" in told) is not terminal
        assert not terminal or all(char.isprintable() or char == "\n" for char in told)
        if output == "json":
            assert json.loads(told)[0]["parameters"][NAME] == evil


FAILED = Ended(trial=1, state="failed", cause="UserError", message="no", seconds=1.0)


def front(folder: Path) -> None:
    """Leave what a finished run with two objectives leaves."""
    values = [(0.9, 2000.0), (0.9, 1000.0), (0.8, 500.0), (0.95, 9000.0)]
    events: list[Event] = []
    for number, (accuracy, size) in enumerate(values, 1):
        both = {"validation/accuracy": accuracy, "model/bytes": size}
        events += [
            Asked(trial=number, parameters={LR: number / 10}),
            Ended(
                trial=number,
                state="completed",
                value=accuracy,
                metrics=both,
                violation=0.8 if size > 5000 else 0.0,
                epochs=9,
            ),
        ]
    records = trial_records(events)
    write_trials(Store.open(str(folder)), records)
    tuning = Tuning.model_validate(
        {
            "parameters": {LR: {"uniform": {"min": 0, "max": 1}}},
            "search": {"name": "nsga2"},
            "objectives": [{"metric": "validation/accuracy"}, {"metric": "model/bytes"}],
            "constraints": [{"metric": "model/bytes", "max": 5000}],
        }
    )
    told = tuning_result(tuning, "validation/accuracy", records, best=2, ended="")
    fields: dict[str, Any] = {"job": "digits", "outcome": "Succeeded", "seed": 1, "world_size": 1, "tuning": told}
    times = {"started": "2026-01-01T00:00:00Z", "finished": "2026-01-01T00:01:00Z", "duration_seconds": 60.0}
    publish_result(Store.open(str(folder)), RunResult.model_validate(fields | times))


def test_the_values_of_several_objectives_and_the_front_are_columns(tmp_path: Path) -> None:
    front(tmp_path)
    done = listed(str(tmp_path))
    assert done.exit_code == 0, done.output
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in done.stdout.splitlines() if "│" in line]
    assert [row[:6] for row in rows] == [
        ["2", "completed", "0.9", "1000", "0", "yes"],
        ["1", "completed", "0.9", "2000", "0", ""],
        ["3", "completed", "0.8", "500", "0", "yes"],
        ["4", "completed", "0.95", "9000", "0.8", ""],
    ]
    assert "The front has 2 of them." in done.stdout
    table = list(csv.DictReader(io.StringIO(listed(str(tmp_path), "-o", "csv").stdout)))
    assert [(one["number"], one["model/bytes"], one["violation"], one["front"]) for one in table] == [
        ("2", "1000.0", "0.0", "true"),
        ("1", "2000.0", "0.0", "false"),
        ("3", "500.0", "0.0", "true"),
        ("4", "9000.0", "0.8", "false"),
    ]
    assert json.loads(listed(str(tmp_path), "-o", "json").stdout)[0]["metrics"] == {
        "validation/accuracy": 0.9,
        "model/bytes": 1000.0,
    }


@pytest.mark.parametrize("ended", [True, False])
def test_the_trials_of_a_job_in_a_cluster_are_read_from_its_volume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: bool
) -> None:
    kubectl = FakeKubectl.on_path(tmp_path, monkeypatch)
    run = tmp_path / "volume/default/churn-1"
    run.mkdir(parents=True)
    if ended:
        finish(run, trial_records(FINISHED))
    else:
        EventLog(Store.open(str(run)), 1).append(*EVENTS)
    job = recorded("running")
    job["status"]["attempts"][-1]["logs"] = f"{run}/logs/attempt-1"
    kubectl.says({"kind": "List", "items": [job]}, "get", "/churn")
    kubectl.runs("exec")
    done = CliRunner().invoke(main, ["trials", "tj/churn", "--output", "csv"])
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[1].split(",")[0] == ("3" if ended else "1")
    assert len(done.stdout.splitlines()) == 4
