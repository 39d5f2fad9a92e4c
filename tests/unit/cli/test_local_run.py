"""headway.client.run: what it asks `headway run` for, and what becomes of each of its ends. The process is real, the
training is not."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from headway import local
from headway.client import InputError, InvalidJobError, LocalRun, RunError, TimedOutError, UsageError, run
from headway.jobs import LOGGER
from headway_api.job import TrainingJob

DOCUMENT: dict[str, Any] = {
    "apiVersion": "headway.dev/v1alpha1",
    "kind": "TrainingJob",
    "metadata": {"name": "churn"},
    "spec": {"data": {"source": {"builtin": {"name": "digits"}}}, "model": {"name": "cnn"}, "training": {"epochs": 3}},
}
RESULT = {
    "job": "churn",
    "outcome": "Succeeded",
    "seed": 7,
    "worldSize": 1,
    "started": "2026-11-29T18:00:00Z",
    "finished": "2026-11-29T18:30:00Z",
    "durationSeconds": 1800.0,
    "metrics": {"test": {"f1": 0.9}},
}
SUCCEEDS = f"""
import json, os, sys
folder = next(word.partition("=")[2] for word in sys.argv if word.startswith("--output="))
os.makedirs(folder)
with open(folder + "/result.json", "w") as file:
    file.write({json.dumps(json.dumps(RESULT))})
told = {{"words": sys.argv[1:], "job": json.load(sys.stdin), "term": os.environ["TERM"]}}
with open(folder + "/told", "w") as file:
    json.dump(told, file)
print("Epoch 1 of 3")
print("a warning", file=sys.stderr)
"""
IGNORES = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); print('ready', flush=True); signal.pause()"


@pytest.fixture(autouse=True)
def nothing_printed(capfd: pytest.CaptureFixture[str]) -> Any:
    yield
    assert capfd.readouterr() == ("", "")


def playing(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    monkeypatch.setattr(local, "_PROGRAM", program)


def test_a_run_that_succeeds_has_its_folder_and_its_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    playing(monkeypatch, SUCCEEDS)
    caplog.set_level(logging.INFO, "headway")
    done = run(DOCUMENT, set={"training.epochs": 9}, output=tmp_path / "out", fresh=True, code=tmp_path)
    assert isinstance(done, LocalRun)
    assert (done.folder, done.result.metrics.test) == (tmp_path / "out", {"f1": 0.9})
    told = json.loads((tmp_path / "out/told").read_text())
    assert told["words"] == ["run", "-", f"--output={tmp_path}/out", "--fresh", f"--code={tmp_path}"]
    assert told["job"]["spec"]["training"] == {"epochs": 9}
    assert told["term"] == "dumb"
    assert sorted(each.getMessage() for each in caplog.records) == ["Epoch 1 of 3", "a warning"]
    assert DOCUMENT["spec"]["training"] == {"epochs": 3}, "what was given is left as it was"


def test_a_file_a_document_and_a_model_are_the_same_job_and_code_is_beside_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    playing(monkeypatch, SUCCEEDS)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "jobs").mkdir()
    packed = {"git": {"url": "https://git.example/a.git", "revision": "main"}}
    own = {"training": {"entrypoint": "train:main"}, "code": packed}
    for name, spec in (("plain", DOCUMENT["spec"]), ("packed", own)):
        document = DOCUMENT | {"spec": spec, "metadata": {"name": name}}
        (tmp_path / f"jobs/{name}.yaml").write_text(json.dumps(document))
        given: tuple[Any, ...] = (f"jobs/{name}.yaml", document, TrainingJob.model_validate(document))
        for number, job in enumerate(given):
            told = json.loads((run(job, output=f"{name}-{number}").folder / "told").read_text())
            assert told["job"] == document
            beside = [f"--code={tmp_path}/jobs"] if (name, number) == ("plain", 0) else []
            assert told["words"][3:] == beside
    assert run(DOCUMENT).folder == tmp_path / "out/churn"
    generated = DOCUMENT | {"metadata": {"generateName": "homes-"}}
    assert run(generated).folder == tmp_path / "out/homes", "and not out, where all others are"


@pytest.mark.parametrize(
    ("words", "kind", "said"),
    [
        ({"set": {"training.epochs": -1}}, InvalidJobError, r"spec\.training\.epochs: -1 is below"),
        ({"job": {"kind": "Pod"}}, InvalidJobError, "is no kind of headway"),
        ({"job": "/nowhere.yaml"}, UsageError, r"/nowhere\.yaml cannot be read"),
        ({"timeout": -1}, UsageError, "write how many seconds at most"),
    ],
)
def test_what_cannot_be_run_is_told_before_anything_is_begun(
    words: dict[str, Any], kind: type[InputError], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("subprocess.Popen", None)
    with pytest.raises(kind, match=said):
        run(**({"job": DOCUMENT} | words))


@pytest.mark.parametrize(
    ("program", "code", "said"),
    [
        (
            "import sys; sys.stderr.write('Error: column x\\nWhat it printed is kept\\n'); sys.exit(64)",
            64,
            "column x\n",
        ),
        ("print('Give the same command again'); raise SystemExit(130)", 130, "Give the same command again"),
        ("import os; os.kill(os.getpid(), 9)", -9, "was ended by signal 9: the same call continues it"),
        ("raise SystemExit(70)", 70, "the run has ended with exit code 70, and says nothing"),
    ],
)
def test_a_run_without_a_result_is_an_error_with_the_sentence_of_the_command(
    program: str, code: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    playing(monkeypatch, program)
    with pytest.raises(RunError) as found:
        run(DOCUMENT, output=tmp_path)
    assert str(found.value).startswith(said) or said in str(found.value)
    assert not str(found.value).startswith("Error")
    assert found.value.exit_code == code


class Stopping(logging.Handler):
    """Ctrl-C, as soon as the run has printed a line."""

    def emit(self, record: logging.LogRecord) -> None:
        assert record.getMessage() == "ready"
        os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("stubborn", [False, True])
def test_ctrl_c_lets_a_run_save_a_checkpoint_and_leaves_nothing_behind(
    stubborn: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saves = "import signal; print('ready', flush=True)\ntry: signal.pause()\nexcept KeyboardInterrupt: open({!r}, 'x')"
    playing(monkeypatch, IGNORES if stubborn else saves.format(str(tmp_path / "checkpoint")))
    monkeypatch.setattr(local, "_STOP_SECONDS", 0.0 if stubborn else 60.0)
    handler = Stopping()
    LOGGER.addHandler(handler)
    level = LOGGER.level
    LOGGER.setLevel(logging.INFO)
    before = children()
    try:
        with pytest.raises(KeyboardInterrupt):
            run(DOCUMENT, output=tmp_path)
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.setLevel(level)
    assert (tmp_path / "checkpoint").exists() != stubborn
    assert children() == before


def test_a_run_that_takes_too_long_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    playing(monkeypatch, "import signal; signal.pause()")
    before = children()
    with pytest.raises(TimedOutError, match="within 0 s, and was stopped: the same call continues it"):
        run(DOCUMENT, output=tmp_path, timeout=0)
    assert children() == before


def children() -> str:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text()


def test_the_real_command_takes_what_it_is_given_and_its_sentence_is_the_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    in_cluster = {"persistentVolumeClaim": {"name": "rows", "path": "a.csv"}}
    spec = DOCUMENT["spec"] | {"data": {"source": in_cluster, "target": "y"}, "model": {"name": "mlp"}}
    with pytest.raises(RunError, match=r"^data\.source\.persistentVolumeClaim is a volume of a cluster") as found:
        run(DOCUMENT | {"spec": spec}, output=tmp_path / "out", fresh=True, code=tmp_path)
    assert found.value.exit_code == 1
    assert not (tmp_path / "out").exists()
