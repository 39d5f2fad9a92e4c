"""Progress on its way: what the operator reads, and how it gets into the ConfigMap without disturbing training."""

from __future__ import annotations

import contextlib
import http.server
import io
import json
import queue
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from headway_api import wire
from headway_trainer import progress as module
from headway_trainer.errors import StorageError, UserError
from headway_trainer.logs.shipper import LOST_LINES
from headway_trainer.outcome import judge
from headway_trainer.progress import ConfigMapSink, config_map_sender, eta_seconds, shown, to_file
from headway_trainer.reporter import Reporter
from headway_trainer.storage import Store
from headway_trainer.training.checkpoints.last_step import KEEP_SECONDS, StepKeeper
from headway_trainer.training.link import TrainProgress

UID = "11111111-2222-3333-4444-555555555555"


def run_of(attempt: int) -> wire.RunFile:
    """The run file of an attempt."""
    spec = {"training": {"entrypoint": "train:main"}}
    return wire.RunFile.model_validate(
        {"namespace": "team", "name": "digits", "uid": UID, "attempt": attempt, "storageUri": "/runs", "spec": spec}
    )


def test_the_loops_progress_becomes_what_the_operator_reads() -> None:
    told = TrainProgress(
        epoch=2,
        epochs=10,
        step=150,
        done=150,
        planned=1000,
        samples_per_second=1234.56,
        steps_per_second=10.0,
        checkpoint_seconds=3.9,
        metrics={"train/loss": 0.123456789},
        resumed_from_step=100,
    )
    file = to_file(run_of(3), told, 7)
    assert (file.uid, file.attempt, file.resumed_from_step, file.steps_lost) == (UID, 3, 100, 7)
    assert file.progress.percent == 15
    assert file.progress.eta_seconds == 85
    assert file.progress.samples_per_second == 1234.6
    assert file.progress.checkpoint_seconds == 3
    assert file.progress.metrics == {"train/loss": "0.12346"}


def test_a_metric_that_is_no_number_any_more_is_told_as_such() -> None:
    told = TrainProgress(metrics={"loss": 0.5, "accuracy": 0.9}, not_finite=["loss", "train/loss"])
    again = TrainProgress.model_validate_json(told.model_dump_json())
    assert to_file(run_of(1), again, None).progress.metrics == {"loss": "nan", "accuracy": "0.9", "train/loss": "nan"}


def test_a_function_that_plans_no_steps_has_no_percent_and_no_eta() -> None:
    file = to_file(run_of(1), TrainProgress(step=4), None)
    assert file.progress.percent is None
    assert file.progress.eta_seconds is None
    assert file.progress.checkpoint_seconds is None, "it does not know of its checkpoints"


@pytest.mark.parametrize(("rate", "eta"), [(None, None), (0.0, None), (2.0, 45), (1000.0, 0)])
def test_the_eta_is_what_is_left_at_the_speed_of_now(rate: float | None, eta: int | None) -> None:
    assert eta_seconds(TrainProgress(done=10, planned=100, steps_per_second=rate)) == eta


@pytest.mark.parametrize(("value", "text"), [(0.5, "0.5"), (1234567.0, "1.2346e+06"), (1e-7, "1e-07")])
def test_metrics_are_shown_with_five_digits(value: float, text: str) -> None:
    assert shown(value) == text


def file_of(step: int) -> wire.ProgressFile:
    return to_file(run_of(1), TrainProgress(step=step), None)


def test_the_config_map_gets_the_newest_progress_and_the_last_word() -> None:
    sent: list[bytes] = []
    first = threading.Event()
    more = threading.Event()

    def send(body: bytes) -> None:
        sent.append(body)
        first.set()
        more.wait(10)

    sink = ConfigMapSink(send, 0.05)
    sink.update(file_of(1))
    assert first.wait(10)
    for step in range(2, 50):
        sink.update(file_of(step))
    more.set()
    sink.close()
    steps = [_step(body) for body in sent]
    assert steps == [1, 49]


def test_the_first_word_and_the_last_go_at_once_and_what_is_between_waits_its_time() -> None:
    sent: queue.SimpleQueue[wire.ProgressFile] = queue.SimpleQueue()
    sink = ConfigMapSink(lambda body: sent.put(_said(body)), 3600.0)
    sink.update(file_of(1))
    assert sent.get(timeout=10).progress.step == 1
    sink.update(file_of(2))
    word = wire.Outcome(uid=UID, attempt=1, outcome="Succeeded")
    sink.update(file_of(3).model_copy(update={"outcome": word}))
    last = sent.get(timeout=10)
    assert (last.progress.step, last.outcome) == (3, word)
    sink.close()
    assert sent.empty()


def test_a_patch_holds_the_job_s_uid_as_the_admission_policy_looks_for_it() -> None:
    sent: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    sink = ConfigMapSink(sent.put)
    sink.update(file_of(1))
    assert f'"uid":"{UID}"' in json.loads(sent.get(timeout=10))["data"][wire.KEY_PROGRESS]
    sink.close()


def test_a_server_that_refuses_is_logged_once_a_row_and_never_stops_training(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.0)
    calls = threading.Semaphore(0)

    def refuse(_: bytes) -> None:
        calls.release()
        raise OSError("403 Forbidden")

    sink = ConfigMapSink(refuse, 0.001)
    for step in range(3):
        sink.update(file_of(step))
        assert calls.acquire(timeout=10)
    sink.close()
    assert [record.getMessage() for record in caplog.records] == [
        "progress could not be written to the job's ConfigMap; training goes on: 403 Forbidden"
    ]


def test_what_the_server_did_not_take_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.0)
    sent: list[int | None] = []
    again = threading.Event()

    def send(body: bytes) -> None:
        sent.append(_step(body))
        if len(sent) < 4:
            raise OSError("503 Service Unavailable")
        again.set()

    sink = ConfigMapSink(send, 0.001)
    sink.update(file_of(7))
    assert again.wait(30)
    sink.close()
    assert sent == [7, 7, 7, 7]


@dataclass
class Server:
    """An API server that takes patches."""

    port: int
    seen: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    status: int = 200


@pytest.fixture
def api_server(tmp_path: Path) -> Iterator[Server]:
    certificate, key = tmp_path / "ca.crt", tmp_path / "key.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *subject, *files],
        check=True,
        capture_output=True,
    )
    (tmp_path / "token").write_text("the-token\n")
    server = http.server.HTTPServer(("localhost", 0), http.server.BaseHTTPRequestHandler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    told = Server(server.server_port)
    server.RequestHandlerClass = _handler(told)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield told
    server.shutdown()
    thread.join()
    server.server_close()


def _handler(told: Server) -> Callable[..., http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_PATCH(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            told.seen.append((self.path, dict(self.headers), body))
            self.send_response(told.status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def test_the_patch_goes_to_the_pods_config_map_with_its_own_token(api_server: Server, tmp_path: Path) -> None:
    send = config_map_sender("ns", "job-1", host="localhost", port=str(api_server.port), folder=tmp_path)
    send(b"{}")
    path, headers, body = api_server.seen[0]
    assert path == "/api/v1/namespaces/ns/configmaps/job-1"
    assert headers["Authorization"] == "Bearer the-token"
    assert headers["Content-Type"] == "application/merge-patch+json"
    assert body == b"{}"


def test_a_refusal_is_an_oserror(api_server: Server, tmp_path: Path) -> None:
    api_server.status = 403
    send = config_map_sender("ns", "job-1", host="localhost", port=str(api_server.port), folder=tmp_path)
    with pytest.raises(OSError, match="403"):
        send(b"{}")


def test_an_attempt_knows_how_many_steps_of_the_one_before_are_lost(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    now = [0.0]
    first = StepKeeper(store, 1, clock=lambda: now[0])
    assert first.take(TrainProgress(step=10)) is None
    now[0] += KEEP_SECONDS
    assert first.take(TrainProgress(step=55)) is None
    first.close()
    second = StepKeeper(store, 2)
    assert second.take(TrainProgress(step=41, resumed_from_step=40)) == 15
    second.close()
    third = StepKeeper(store, 3)
    assert third.take(TrainProgress(step=1)) == 41
    third.close()


def test_a_storage_that_does_not_answer_keeps_nobody_from_going_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headway_trainer.training.checkpoints.last_step.CLOSE_SECONDS", 0.001)
    store, asked, answer = Store.open(str(tmp_path)), threading.Event(), threading.Event()

    @contextlib.contextmanager
    def hangs(_: str) -> Iterator[io.BytesIO]:
        asked.set()
        answer.wait(60)
        yield io.BytesIO()

    monkeypatch.setattr(store, "open_output", hangs)
    keeper = StepKeeper(store, 1)
    assert keeper.take(TrainProgress(step=10)) is None
    assert asked.wait(30)
    keeper.close()
    answer.set()


def test_a_checkpoint_that_was_begun_tells_of_steps_that_nobody_wrote_down(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    first = StepKeeper(store, 1)
    first.take(TrainProgress(step=55))
    first.close()
    store.write("checkpoints/step-0000000060-attempt-1/manifest.json", b"{}")
    store.write("checkpoints/step-0000000094-attempt-1/model.safetensors", b"")
    second = StepKeeper(store, 2)
    assert second.take(TrainProgress(step=61, resumed_from_step=60)) == 34
    second.close()


def test_steps_lost_within_an_attempt_are_counted_from_the_last_word(tmp_path: Path) -> None:
    keeper = StepKeeper(Store.open(str(tmp_path)), 1)
    assert keeper.take(TrainProgress(step=80)) is None
    assert keeper.take(TrainProgress(step=75, resumed_from_step=75)) == 5
    assert keeper.take(TrainProgress(step=90, resumed_from_step=75)) == 5
    keeper.close()


def test_the_steps_of_a_run_that_trains_nothing_take_no_thread_and_those_of_one_that_is_closed_none_any_more(
    tmp_path: Path,
) -> None:
    store, before = Store.open(str(tmp_path)), threading.active_count()
    runs = [StepKeeper(store, 1) for _ in range(3)]
    assert threading.active_count() == before
    for one in runs:
        one.take(TrainProgress(step=80))
        one.close()
    assert threading.active_count() == before
    runs[0].take(TrainProgress(step=90, resumed_from_step=75))
    runs[0].close()
    assert threading.active_count() == before


class Heard:
    """A sink that keeps all."""

    def __init__(self) -> None:
        self.files: list[wire.ProgressFile] = []
        self.beat = threading.Event()

    def update(self, progress: wire.ProgressFile) -> None:
        self.files.append(progress)
        self.beat.set()

    def close(self) -> None:
        """Nothing is left."""


@pytest.fixture
def sink() -> Heard:
    return Heard()


@pytest.fixture
def reporter(sink: Heard) -> Reporter:
    run = {"namespace": "", "name": "a", "uid": "", "storageUri": "/x", "spec": {"training": {"entrypoint": "a:b"}}}
    return Reporter(wire.RunFile.model_validate(run), sink, lambda _: None)


def test_a_turning_driver_says_so_once_a_period_and_not_at_each_turn(
    reporter: Reporter, sink: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [time.monotonic()]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    for _ in range(600):
        now[0] += 1
        reporter.alive()
    assert 600 // wire.HEARTBEAT_SECONDS <= len(sink.files) <= 600 // 40
    assert all(file.heartbeat_time for file in sink.files)


def test_a_driver_in_a_long_work_is_alive_and_silent_again_when_it_is_done(
    reporter: Reporter, sink: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headway_trainer.reporter.BEAT_SECONDS", 0.001)
    monkeypatch.setattr("headway_trainer.reporter.HEARTBEAT_SECONDS", 0)
    with reporter.alive_meanwhile():
        assert sink.beat.wait(30)
    assert "headway-heartbeat" not in [thread.name for thread in threading.enumerate()]


def test_the_last_word_of_an_attempt_that_failed_names_the_checkpoints_that_were_passed_over(
    reporter: Reporter,
) -> None:
    reporter.told.notes.append("The checkpoint step-9 was passed over: model.safetensors has 0 bytes.")
    word = reporter.failed(judge(StorageError("could not write /x: No space left on device")))
    assert word.cause == "StorageError"
    assert word.message.startswith("could not write /x")
    assert word.message.endswith("The checkpoint step-9 was passed over: model.safetensors has 0 bytes.")


def test_a_sentence_for_people_is_in_the_last_word_once(reporter: Reporter) -> None:
    reporter.warn(LOST_LINES)
    reporter.warn(LOST_LINES)
    word = reporter.failed(judge(UserError("train.py:3 raised KeyError: 'x'")))
    assert word.message == "train.py:3 raised KeyError: 'x'"
    assert word.warnings == [LOST_LINES]


def test_a_sentence_that_comes_after_the_last_progress_is_in_the_report_that_the_last_word_goes_with(
    reporter: Reporter,
) -> None:
    reporter.warn(LOST_LINES)
    reporter.stage("Publishing")
    reporter.warn("MLflow was not told all of this run.")
    assert reporter.told.progress.warnings == [LOST_LINES, "MLflow was not told all of this run."]


def _step(body: bytes) -> int | None:
    return _said(body).progress.step


def _said(body: bytes) -> wire.ProgressFile:
    return wire.ProgressFile.model_validate_json(json.loads(body)["data"][wire.KEY_PROGRESS])
