"""What trackers are told of a job, in which words, and by whom."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow.exceptions import MlflowException

from headway_api import wire
from headway_api.job import TrainingJobSpec
from headway_api.tracking import MLflow, Tracking
from headway_trainer.errors import UserError
from headway_trainer.outcome import judge
from headway_trainer.progress import Nowhere
from headway_trainer.reporter import Reporter
from headway_trainer.storage import Store
from headway_trainer.tracking import parameters, process, processes
from headway_trainer.tracking.credentials import environment_of
from headway_trainer.tracking.events import Began, Ended, Point, Record, bounded
from headway_trainer.tracking.follower import Cursor
from headway_trainer.tracking.parameters import (
    MOST_PARAMETERS,
    MOST_TEXT,
    flat,
    parameters_of,
    tags_of,
    without_secrets,
)
from headway_trainer.tracking.process import Task, Teller
from headway_trainer.tracking.recorder import Recorder
from headway_trainer.tracking.trackers.base import BrokenError, DownError, Known, RefusedError
from headway_trainer.tracking.trackers.make import target_of
from headway_trainer.tracking.trackers.mlflow_server import MLflowServer
from headway_trainer.training.link import Measured

SPEC = TrainingJobSpec.model_validate(
    {
        "data": {"source": {"uri": "s3://lake/x.parquet?region=eu", "secretRef": {"name": "s"}}, "target": "y"},
        "model": {"name": "mlp", "options": {"hidden": [8, 4]}},
        "training": {"epochs": 3, "optimizer": {"name": "sgd", "lr": 0.5}},
        "workers": {"replicas": 2},
        "storage": {"uri": "s3://models", "secretRef": {"name": "models"}},
        "tracking": {"mlflow": {"uri": "http://mlflow"}, "secretRef": {"name": "trackers"}},
    }
)


def test_parameters_are_what_a_model_depends_on_by_its_paths() -> None:
    told = parameters_of(SPEC)
    assert told["training.optimizer.lr"] == "0.5"
    assert told["model.options.hidden"] == "[8, 4]"
    assert told["data.source.uri"] == "s3://lake/x.parquet"
    assert told["workers.replicas"] == "2"
    assert not [name for name in told if "secret" in name.lower() or name.startswith(("storage", "tracking", "head"))]


def test_they_are_bounded_in_number_and_length() -> None:
    told = flat({"a": {f"b{n}": "x" * 2000 for n in range(1000)}})
    assert len(told) == MOST_PARAMETERS
    assert {len(value) for value in told.values()} == {MOST_TEXT}
    assert len(bounded({f"m{n}": 1.0 for n in range(1000)})) == 64
    alike = ["m" * 300 + end for end in "ab"]
    assert sorted(bounded({alike[0]: 1.0, alike[1]: 2.0}).values()) == [1.0, 2.0], "none takes the place of another"
    assert sorted(flat({alike[0]: 1, alike[1]: 2}).values()) == ["1", "2"]
    assert {len(name) for name in bounded({alike[0]: 1.0})} == {250}
    assert bounded({"a": None, "b": float("nan"), "c": float("inf"), "d": 1.0}) == {"d": 1.0}


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("/out/digits", "/out/digits"),
        ("s3://me:secret@bucket/a?token=1#x", "s3://bucket/a"),
        ("abfs://container@account.dfs.core.windows.net/a", "abfs://container@account.dfs.core.windows.net/a"),
        ("abfs://a:key@account/b", "abfs://account/b"),
        ("http://[bad", "http://…"),
    ],
)
def test_no_uri_is_told_with_what_credentials_may_stand_in(uri: str, told: str) -> None:
    assert without_secrets(uri) == told


def test_tags_tell_the_attempt() -> None:
    file = wire.RunFile(namespace="n", name="x", uid="u", attempt=3, storage_uri="s3://b/x?a=1", spec=SPEC)
    assert tags_of(file) == {
        "headway.job": "x",
        "headway.namespace": "n",
        "headway.uid": "u",
        "headway.attempt": "3",
        "headway.folder": "s3://b/x",
    }


def test_of_a_secret_only_what_trackers_read_is_set(tmp_path: Path) -> None:
    for name in ("MLFLOW_TRACKING_TOKEN", "WANDB_API_KEY", "LD_PRELOAD", "PATH", "MLFLOW_ENABLE_X"):
        (tmp_path / name).write_text("v\n")
    assert environment_of(str(tmp_path)) == {"MLFLOW_TRACKING_TOKEN": "v", "WANDB_API_KEY": "v"}
    assert environment_of(None) == {}


def test_certificates_in_a_secret_are_a_file(tmp_path: Path) -> None:
    (tmp_path / "REQUESTS_CA_BUNDLE").write_text("-----BEGIN CERTIFICATE-----\n")
    assert environment_of(str(tmp_path)) == {"REQUESTS_CA_BUNDLE": str(tmp_path / "REQUESTS_CA_BUNDLE")}


def test_a_name_that_is_no_text_is_written_all_the_same(tmp_path: Path) -> None:
    recorder = Recorder(Store.open(str(tmp_path)), 1)
    recorder.begin("", name="x", parameters=flat({"a\udc80": "b\udc80"}))
    recorder.measured("", Measured(step=1, values={"loss\ud800": 1.0}))
    assert recorder.flush()
    events = Record(Store.open(str(tmp_path)), 2).read()
    assert [event.values for event in events if isinstance(event, Point)] == [{"loss\\ud800": 1.0}]


class Service:
    """MLflow's client, as far as it is used: it keeps what it is told, or raises."""

    def __init__(self, raises: Exception | None = None) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self._raises = raises

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def called(*given: Any, **named: Any) -> Any:
            if self._raises is not None:
                raise self._raises
            self.calls.append((name, {"given": given, **named}))
            if name == "search_runs":
                return []
            return SimpleNamespace(info=SimpleNamespace(run_id="r"), experiment_id="1")

        return called

    def told(self, part: str) -> dict[str, str]:
        return {each.key: each.value for name, call in self.calls if name == "log_batch" for each in call.get(part, [])}


def served(service: Service) -> MLflowServer:
    made = MLflowServer(MLflow(uri="http://127.0.0.1:5000", experiment=None), "job")
    made._client = service  # type: ignore[assignment]  # as far as it is used
    return made


def began(scope: str = "", **parameters: str) -> Began:
    return Began(scope=scope, name="x", identity="i'd", parameters=parameters, at=1.5)


def test_mlflow_is_told_names_that_it_takes() -> None:
    service = Service()
    served(service).begin(began(**{"model.options.a{b}": "1", "/../x": "2", "": "3"}), None, None)
    assert service.told("params") == {"model.options.a_b_": "1", "_/x": "2", "_": "3"}
    (search,) = [call for name, call in service.calls if name == "search_runs"]
    assert search["filter_string"] == "tags.`headway.run` = 'i_d/'"


def test_a_trial_is_nested_in_its_job_and_a_known_run_is_told_no_parameters_again() -> None:
    service = Service()
    tracker = served(service)
    tracker.begin(began("trial-1"), None, Known(id="root"))
    (made,) = [call for name, call in service.calls if name == "create_run"]
    assert made["tags"]["mlflow.parentRunId"] == "root"
    service.calls.clear()
    tracker.begin(began(lr="1"), Known(id="r"), None)
    assert service.told("params") == {}
    assert [name for name, _ in service.calls if name in ("create_run", "update_run")] == ["update_run"]


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (MlflowException("too long", error_code=1000), RefusedError),
        (MlflowException("API request failed"), DownError),
        (TimeoutError("no answer"), DownError),
    ],
)
def test_what_comes_again_is_refused_and_the_rest_is_tried_later(raised: Exception, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        served(Service(raised)).points(Known(id="r"), [Point(scope="", step=1, values={"a": 1.0}, at=1)])


def test_a_name_that_leads_to_the_clouds_own_address_is_never_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(0, 0, 0, "", ("169.254.169.254", 0))])
    with pytest.raises(BrokenError, match=r"evil\.example is 169\.254\.169\.254, an address of the node or the cloud"):
        MLflowServer(MLflow(uri="http://evil.example"), "job")


class Taking:
    """A tracker that takes all, once it is up."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def begin(self, began: Began, known: Known | None, parent: Known | None) -> Known:  # noqa: ARG002 - as of Tracker
        self.told.append("begin")
        return Known(id="r")

    def points(self, known: Known, points: list[Point]) -> None:  # noqa: ARG002 - as of Tracker
        self.told.append(f"{len(points)} points")

    def end(self, known: Known, ended: Ended) -> None:  # noqa: ARG002 - as of Tracker
        self.told.append(ended.state)

    def settled(self) -> bool:
        return True

    def close(self, seconds: float) -> None:  # noqa: ARG002 - as of Tracker
        self.told.append("close")


@pytest.fixture
def task(tmp_path: Path) -> Task:
    recorder = Recorder(Store.open(str(tmp_path)), 1, tracking=Tracking(tensorboard=False))
    recorder.begin("", name="x", parameters={})
    recorder.measured("", *(Measured(step=step, values={"a": 1.0}) for step in (1, 2)))
    recorder.end("", "completed")
    assert recorder.flush()
    return Task(
        storage_uri=str(tmp_path),
        storage_secret_dir=None,
        tracking_secret_dir=None,
        tracker="mlflow",
        tracking=Tracking.model_validate({"mlflow": {"uri": "http://mlflow"}}),
        job="x",
    )


def test_a_tracker_that_is_down_is_tried_again_and_its_trouble_is_said_once(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    taking, tries, said = Taking(), iter([DownError("no answer")] * 3), list[str | None]()

    def make(*_: object) -> Taking:
        for error in tries:
            raise error
        return taking

    monkeypatch.setattr(process, "make", make)
    teller = Teller(task, said.append)
    assert [teller.turn() for _ in range(5)] == [False, False, False, True, True]
    assert said == ["no answer", None]
    assert taking.told == ["begin", "2 points", "completed"]


def test_a_tracker_that_stays_down_ends_in_time(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(process, "make", lambda *_: (_ for _ in ()).throw(DownError("no answer")))
    monkeypatch.setattr(time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    teller = Teller(task, lambda _: None, clock=lambda: now[0])
    teller.end_within(15)
    assert not teller.run()
    assert 15 <= now[0] <= 16


def test_one_that_can_never_be_told_ends_at_once(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str | None] = []
    monkeypatch.setattr(process, "make", lambda *_: (_ for _ in ()).throw(BrokenError("install it")))
    assert not Teller(task, said.append).run()
    assert said == ["install it"]


class People:
    """What people can read of a run."""

    def __init__(self, task: Task) -> None:
        file = wire.RunFile(namespace="n", name="x", uid="u", storage_uri=task.storage_uri, spec=SPEC)
        self.reporter = Reporter(file, Nowhere(), lambda _: None)
        self.teller = processes.TellerProcess(task, lambda told, before: self.reporter.warn(told, instead_of=before))
        self.store = Store.open(task.storage_uri)

    def hear(self, *problems: str | None) -> list[str]:
        """What they read after a tracker's process has said something."""
        for problem in problems:
            self.teller._heard(problem)
        return self.reporter.told.warnings

    def at_the_end(self, store: Store) -> list[str]:
        self.teller.conclude(store, "tj/x -n team-a")
        return self.reporter.told.warnings


AWAY = "MLflow at http://mlflow cannot be told of this run for now; the job goes on, and what it misses is kept: "
LEFT = (
    "MLflow at http://mlflow was not told all of this run: 4 records are left. `headway track tj/x -n team-a` tells it"
)


def test_people_are_told_at_once_that_a_tracker_is_down_in_one_sentence_that_changes(task: Task) -> None:
    people = People(task)
    assert people.hear(None) == []
    assert people.hear("no address") == [f"{AWAY}no address"]
    assert people.hear("no answer") == [f"{AWAY}no answer"]
    back = "MLflow at http://mlflow could not be told of this run for a while, and can again: no answer"
    assert people.hear(None, None) == [back]
    assert people.hear("no rights") == [f"{AWAY}no rights"]
    # The report that goes with the last word has the same, as the operator takes the warnings from there.
    assert people.reporter.told.progress.warnings == people.reporter.told.warnings
    assert people.at_the_end(people.store) == [f"{LEFT} the rest. Why: no rights"]
    assert people.hear("said too late") == [f"{LEFT} the rest. Why: no rights"]
    assert people.reporter.failed(judge(UserError("a fault"))).message == "a fault"


def test_what_a_tracker_does_not_take_is_told_at_once_and_again_at_the_end(task: Task) -> None:
    people = People(task)
    problem = f"{process.LEFT_OUT}too long"
    assert people.hear(problem) == [f"MLflow at http://mlflow: {problem}"]
    assert people.hear("no answer", None) == [
        "MLflow at http://mlflow could not be told of this run for a while, and can again: no answer"
    ]
    target = target_of("mlflow", task.tracking, "x")
    cursor = Cursor(target=target, refused=1, problem="too long")
    people.store.write("tracking/mlflow.json", cursor.model_dump_json().encode())
    lacks = "MLflow at http://mlflow lacks 1 record of this run, which it did not take: too long."
    assert people.at_the_end(people.store) == [f"{lacks} {LEFT} the rest."]


def test_people_are_told_what_is_left_and_how_to_tell_it(task: Task) -> None:
    people = People(task)
    assert people.at_the_end(people.store) == [f"{LEFT} the rest."]


def test_of_a_server_that_nobody_reaches_people_read_what_the_connection_came_to() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{nobody.getsockname()[1]}"
        with pytest.raises(DownError) as raised:
            MLflowServer(MLflow(uri=f"http://{host}"), "job").begin(began(), None, None)
    assert "/api/2.0" not in str(raised.value)
    assert "[Errno 111] Connection refused" in str(raised.value)


def test_a_server_that_does_not_know_its_own_name_is_down_and_people_read_what_to_change() -> None:
    said = "API request failed with error code 403 != 200. Response body: 'Invalid Host header - possible DNS rebinding"
    with pytest.raises(DownError) as raised:
        served(Service(MlflowException(said))).points(Known(id="r"), [Point(scope="", step=1, values={"a": 1.0}, at=1)])
    assert str(raised.value) == (
        "its server takes no requests for 127.0.0.1:5000: start `mlflow server` with that name in --allowed-hosts"
    )


def test_a_process_that_cannot_be_begun_costs_nothing(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = threading.Event()

    def begin(*_: object, **__: object) -> None:
        tried.set()
        raise OSError("no more processes")

    monkeypatch.setattr(subprocess, "Popen", begin)
    teller = processes.TellerProcess(task)
    teller.start()
    assert tried.wait(10)
    teller.end(0.0)
    assert teller.problem == "its process cannot be begun: no more processes"


def test_ten_thousand_trials_make_a_record_that_is_read_in_pieces(tmp_path: Path) -> None:
    recorder = Recorder(Store.open(str(tmp_path)), 1, tracking=Tracking(tensorboard=False))
    for trial in range(2000):
        recorder.begin(f"trial-{trial}", name="t", parameters={"lr": "0.1"})
        recorder.end(f"trial-{trial}", "completed", values={"loss": 1.0})
    assert recorder.flush()
    record = Record(Store.open(str(tmp_path)), 2)
    assert len(record.read()) == 4000
    assert parameters.MOST_PARAMETERS == 200
    assert max(path.stat().st_size for path in tmp_path.rglob("*.jsonl")) < 100_000
