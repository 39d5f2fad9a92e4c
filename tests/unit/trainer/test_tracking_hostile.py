"""What a job, its Secret and its tracker's server may say, and what becomes of the record, the credentials and the
others."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from headway_api.tracking import MLflow, Tracking
from headway_cli import track as command
from headway_trainer.errors import StorageError, UserError
from headway_trainer.event_log import Place
from headway_trainer.ray.reports import number_of
from headway_trainer.storage import Store
from headway_trainer.tracking import marks, process, processes
from headway_trainer.tracking.board import Board
from headway_trainer.tracking.credentials import concealed, environment_of
from headway_trainer.tracking.events import MOST_STEP, Began, Ended, Event, Point, Record, bounded
from headway_trainer.tracking.follower import Follower, left, read_cursor
from headway_trainer.tracking.parameters import flat, noted, without_secrets
from headway_trainer.tracking.process import EXIT_FAULT, MOST_MEMORY, Task, Teller
from headway_trainer.tracking.recorder import Recorder
from headway_trainer.tracking.trackers.base import DownError, Known, RefusedError
from headway_trainer.tracking.trackers.mlflow_server import MLflowServer
from headway_trainer.training.link import Measured
from nonsense_server import answering


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "run"))


def recorder(store: Store, attempt: int = 1, **named: Any) -> Recorder:
    made = Recorder(store, attempt, **named)
    made.begin("", name="job", parameters={"lr": "1"})
    return made


def recorded(store: Store) -> list[Event]:
    return Record(store, 99).read()


def points(store: Store) -> list[Point]:
    return [event for event in recorded(store) if isinstance(event, Point)]


class TestNumbers:
    @pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), float("1e400"), 10**400, -(10**400)])
    def test_what_is_no_finite_number_is_left_out_and_raises_nothing(self, value: float) -> None:
        assert bounded({"a": value, "b": 1e300}) == {"b": 1e300}
        assert number_of(value) is None

    def test_a_step_that_no_tracker_has_room_for_is_not_recorded_and_stops_nothing(self, store: Store) -> None:
        first = recorder(store)
        first.measured("", *(Measured(step=step, values={"a": 1.0}) for step in (1, MOST_STEP + 1, 10**40, 2)))
        assert first.flush()
        again = recorder(store, 2)
        again.measured("", Measured(step=3, values={"a": 1e300}))
        assert again.flush()
        assert [point.step for point in points(store)] == [1, 2, 3]

    def test_a_point_has_64_of_ten_thousand_numbers(self, store: Store) -> None:
        made = recorder(store)
        made.measured("", Measured(step=1, values={f"m{number}": 1.0 for number in range(10_000)}))
        assert made.flush()
        assert list(points(store)[0].values) == [f"m{number}" for number in range(64)]


class TestTexts:
    def test_nothing_steers_a_terminal_or_is_refused_by_a_database(self, store: Store) -> None:
        made = recorder(store)
        made.begin("trial-1", name="t", parameters=flat({"a\x00b": "c\x00\x1b[2J", "lines": "one\ntwo"}))
        made.measured("trial-1", Measured(step=1, values={"lo\u202ess\n": 1.0}))
        made.end("trial-1", "failed", tags={"headway.message": "x\x07\r\ny"})
        assert made.flush()
        began, point, ended = recorded(store)[1:]
        assert isinstance(began, Began)
        assert began.parameters == {"a\\u0000b": "c\\u0000\\u001b[2J", "lines": "one\ntwo"}
        assert isinstance(point, Point)
        assert list(point.values) == ["lo\\u202ess\\u000a"]
        assert isinstance(ended, Ended)
        assert ended.tags == {"headway.message": "x\\u0007\ny"}

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("see https://me:pw@host/a?token=1 now", "see https://host/a now"),
            ('["s3://k:s@b/x", "https://u:p@h"]', '["s3://b/x", "https://h"]'),
            ("a://u:p@h b://v:q@i#z", "a://h b://i"),
            ("http://[bad and http://u:p@h", "http://… and http://h"),
        ],
    )
    def test_credentials_of_uris_in_the_middle_of_a_text_are_left_out(self, text: str, told: str) -> None:
        assert without_secrets(text) == told
        assert noted({"headway.message": text}) == {"headway.message": told}

    def test_neither_do_lists_and_mappings_of_a_spec_tell_them(self) -> None:
        told = flat({"options": [{"url": "https://u:p@h/x?sig=1"}, "s3://k:s@b"]})
        assert told == {"options": '[{"url": "https://h/x"}, "s3://b"]'}

    def test_a_long_text_is_read_in_a_moment(self) -> None:
        text = "a" * 1_000_000 + "://"
        assert len(without_secrets(text)) >= 1_000_000
        assert len(noted({"m": text})["m"]) == 500


class TestRecord:
    def test_it_has_a_bounded_size_beyond_which_beginnings_and_ends_alone_come(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(marks, "MOST_CHARACTERS", 2000)
        for attempt in (1, 2):
            made = recorder(store, attempt, tracking=Tracking(tensorboard=False))
            for trial in range(attempt * 100, attempt * 100 + 50):
                made.begin(f"trial-{trial}", name="t", parameters={"x": "y" * 100})
                made.measured(f"trial-{trial}", Measured(step=1, values={"a" * 50: 1.0}))
                made.end(f"trial-{trial}", "completed")
            assert made.flush()
        events = recorded(store)
        assert len([event for event in events if isinstance(event, Ended)]) == 100
        assert len([event for event in events if isinstance(event, Began)]) == 102
        assert 5 < len(points(store)) < 20
        assert sum(len(str(event.parameters)) for event in events if isinstance(event, Began)) < 4000

    def test_a_storage_that_takes_no_event_files_has_the_record_no_later_and_gets_them_when_it_does(
        self, store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        store.write("tensorboard", b"somebody's own")
        made = recorder(store)
        for step in (1, 2, 3):
            made.measured("", Measured(step=step, values={"a": 1.0}))
            assert not made.flush(), "to be tried again"
            assert [point.step for point in points(store)] == list(range(1, step + 1))
        assert made._failures == 0, "no longer pause before the next write of the record"
        assert "is not recorded" not in caplog.text
        assert caplog.text.count("TensorBoard's files are not written") == 1
        assert "tensorboard" in made.undrawn
        assert made.close(1), "all is in the record"
        (tmp_path / "run/tensorboard").unlink()
        assert made.flush()
        assert made.undrawn == ""
        assert list((tmp_path / "run/tensorboard").iterdir())

    def test_no_fault_of_the_event_files_stands_in_its_way(
        self, store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(*_: object, **__: object) -> None:
            raise ValueError("out of range")

        monkeypatch.setattr(Board, "take", fail)
        for attempt in (1, 2):
            made = recorder(store, attempt)
            made.measured("", Measured(step=attempt, values={"a": 1.0}))
            assert made.flush()
        assert [point.step for point in points(store)] == [1, 2]
        assert "writes no more event files for TensorBoard" in caplog.text

    @pytest.mark.parametrize("junk", [b"", b'{"version":2,"after":0}\n', b'{"version":1,"after":0}\n{"do":"dance"}\n'])
    def test_one_that_cannot_be_read_ends_a_teller_with_a_word(self, junk: bytes, task: Task, store: Store) -> None:
        store.write("tracking/events-0002-000001.jsonl", junk)
        said: list[str | None] = []
        teller = Teller(task, said.append)
        teller._follower = Follower(store, "mlflow", "there", Server())
        assert teller.turn() is None
        assert "is damaged" in str(said[0])


class Server:
    """A tracker that refuses some steps."""

    def __init__(self, *refused: int) -> None:
        self.refused, self.steps, self.asked = frozenset(refused), list[int](), 0

    def begin(self, began: Began, known: Known | None, parent: Known | None) -> Known:  # noqa: ARG002 - as of Tracker
        return Known(id="r")

    def points(self, known: Known, points: Sequence[Point]) -> None:  # noqa: ARG002 - as of Tracker
        self.asked += 1
        if any(point.step in self.refused for point in points):
            raise RefusedError("a number is too large")
        self.steps += [point.step for point in points]

    def end(self, known: Known, ended: Ended) -> None:
        """Nothing is kept."""

    def settled(self) -> bool:
        return True

    def close(self, seconds: float) -> None:
        """Nothing is on its way."""


def test_a_point_that_is_refused_takes_no_others_along(store: Store) -> None:
    made = recorder(store, tracking=Tracking(tensorboard=False))
    made.measured("", *(Measured(step=step, values={"a": 1.0}) for step in range(1, 8)))
    assert made.flush()
    server = Server(3, 6)
    Follower(store, "mlflow", "there", server).follow()
    assert server.steps == [1, 2, 4, 5, 7]
    assert (read_cursor(store, "mlflow", "there").refused, left(store, "mlflow", "there")) == (2, 0)


def test_a_run_that_takes_nothing_any_more_is_not_asked_for_each_of_its_points(store: Store) -> None:
    made = recorder(store, tracking=Tracking(tensorboard=False))
    made.measured("", *(Measured(step=step, values={"a": 1.0}) for step in range(1, 1501)))
    assert made.flush()
    server = Server(*range(1, 1501))
    Follower(store, "mlflow", "there", server).follow()
    assert server.asked < 100
    assert (read_cursor(store, "mlflow", "there").refused, left(store, "mlflow", "there")) == (1500, 0)


def test_what_is_left_is_counted_by_two_segments_of_a_long_record(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = recorder(store, tracking=Tracking(tensorboard=False))
    for trial in range(1, 400):
        made.begin(f"trial-{trial}", name="t", parameters={"x": "y" * 400})
        if trial % 40 == 39:
            assert made.flush()
    places = [place for place, _ in Record(store, 0).read_on(Place())]
    assert len(places) > 3
    read, reads = Store.read, list[str]()

    def counted(store: Store, path: str) -> bytes:
        reads.append(path)
        return read(store, path)

    monkeypatch.setattr(Store, "read", counted)
    counts = [Record(store, 0).count_after(place) for place in (Place(), *places)]
    assert counts[0] == 400
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == 0
    assert len(reads) < 2 * len(counts)
    for place, count in zip(places, counts[1:], strict=True):
        assert sum(len(events) for _, events in Record(store, 0).read_on(place)) == count


class TestCredentials:
    @pytest.mark.parametrize("token", ["s3kret-token\nsecond-line", "s3kret-token\r\nX-Evil: second-line"])
    def test_no_error_of_a_client_shows_them(self, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", token)
        with answering("garbage") as (uri, asked), pytest.raises(DownError) as caught:
            MLflowServer(MLflow(uri=uri), "job").begin(Began(scope="", name="x", identity="i", at=1.0), None, None)
        assert not asked
        assert "s3kret-token" not in str(caught.value)
        assert "second-line" not in str(caught.value)

    def test_no_text_has_a_password_in_any_form_that_is_sent(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "pass-word")
        monkeypatch.setenv("WANDB_API_KEY", "k-1234")
        monkeypatch.setenv("MLFLOW_TRACKING_INSECURE_TLS", "true")
        assert concealed("Basic bWU6cGFzcy13b3Jk, pass-word of me, k-1234, true") == "Basic …, … of me, …, true"

    def test_keys_of_a_secret_that_are_no_trackers_may_be_anything(self, tmp_path: Path) -> None:
        (tmp_path / "keystore").write_bytes(b"\xff\x00")
        (tmp_path / "MLFLOW_TRACKING_TOKEN").write_text(" t \n")
        assert environment_of(str(tmp_path)) == {"MLFLOW_TRACKING_TOKEN": "t"}

    @pytest.mark.parametrize("value", [b"a\nb", b"a\x00b", b"\xff\xfe", b"a\x1bb"])
    def test_a_value_that_is_no_line_is_a_mistake_that_is_named_and_not_shown(
        self, value: bytes, tmp_path: Path
    ) -> None:
        (tmp_path / "MLFLOW_TRACKING_TOKEN").write_bytes(value)
        with pytest.raises(UserError) as caught:
            environment_of(str(tmp_path))
        assert str(caught.value) == (
            "MLFLOW_TRACKING_TOKEN of the Secret of tracking.secretRef is no text in one line: put the value alone into"
            " it, without line breaks"
        )

    def test_those_that_have_changed_are_taken_after_a_failure(
        self, task: Task, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tokens, token = iter(["old", "new"]), [""]

        def make(*_: object) -> Server:
            if token[0] == "old":
                raise DownError("the token has expired")
            return Server()

        monkeypatch.setattr(process, "make", make)
        teller = Teller(task, lambda _: None, adopt=lambda: token.__setitem__(0, next(tokens)))
        assert [teller.turn(), teller.turn(), teller.turn()] == [False, True, True]


@pytest.fixture
def task(store: Store) -> Task:
    made = recorder(store, tracking=Tracking.model_validate({"tensorboard": False, "mlflow": {"uri": "http://mlflow"}}))
    made.measured("", Measured(step=1, values={"a": 1.0}))
    assert made.flush()
    return Task(
        storage_uri=store.uri,
        storage_secret_dir=None,
        tracking_secret_dir=None,
        tracker="mlflow",
        tracking=Tracking.model_validate({"mlflow": {"uri": "http://mlflow"}}),
        job="job",
    )


class TestTeller:
    def test_a_storage_that_is_away_at_its_beginning_is_tried_again(
        self, task: Task, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        opened, tries = Store.open, iter([StorageError("the storage is away")])

        def away(*given: Any) -> Store:
            for error in tries:
                raise error
            return opened(*given)

        server, said = Server(), list[str | None]()
        monkeypatch.setattr(process, "make", lambda *_: server)
        monkeypatch.setattr(Store, "open", away)
        teller = Teller(task, said.append)
        assert [teller.turn(), teller.turn()] == [False, True]
        assert (said, server.steps) == (["the storage is away", None], [1])

    def test_a_process_that_ends_by_a_fault_says_so_and_is_begun_again(
        self, task: Task, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begun: list[Child] = []

        def begin(*_: object, **__: object) -> Child:
            begun.append(Child(1 if len(begun) == 1 else EXIT_FAULT))
            return begun[-1]

        monkeypatch.setattr(processes, "PAUSE_SECONDS", 0.0)
        monkeypatch.setattr(processes, "MOST_BEGINNINGS", 2)
        monkeypatch.setattr("subprocess.Popen", begin)
        teller = processes.TellerProcess(task)
        teller.start()
        teller._thread.join(10)
        assert len(begun) == 2
        assert teller.problem == "its process ended with exit code 1"

    def test_the_real_process_has_a_bounded_memory_and_says_what_is_wrong_with_a_secret(
        self, task: Task, tmp_path: Path
    ) -> None:
        secret = tmp_path / "secret"
        secret.mkdir()
        (secret / "MLFLOW_TRACKING_TOKEN").write_text("a\nb")
        teller = processes.TellerProcess(task.model_copy(update={"tracking_secret_dir": str(secret)}))
        teller.start()
        teller._thread.join(60)
        assert teller.problem is not None
        assert teller.problem.startswith("MLFLOW_TRACKING_TOKEN of the Secret of tracking.secretRef is no text")
        (secret / "MLFLOW_TRACKING_TOKEN").write_text("t0ken")
        with answering("garbage") as (uri, asked):
            running = task.model_copy(
                update={
                    "tracking_secret_dir": str(secret),
                    "tracking": Tracking.model_validate({"mlflow": {"uri": uri}}),
                }
            )
            teller = processes.TellerProcess(running)
            teller.start()
            wait_for(lambda: bool(asked))
            child = teller._child
            assert child is not None
            place = Path("/proc", str(child.pid))
            (limit,) = [
                line for line in (place / "limits").read_text().splitlines() if line.startswith("Max data size")
            ]
            assert MOST_MEMORY < int(limit.split()[3]) < 2 * MOST_MEMORY
            for part in ("cmdline", "environ"):
                assert b"t0ken" not in (place / part).read_bytes()
            teller.end(0.0)
        assert child.poll() is not None


def wait_for(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Child:
    """A process that ends at once."""

    def __init__(self, code: int) -> None:
        self.returncode, self.pid = code, os.getpid()
        self.stdin = self.stdout = None

    def wait(self) -> int:
        return self.returncode

    def poll(self) -> int:
        return self.returncode


def test_the_command_ends_in_time_though_a_server_never_comes_to_the_end_of_an_answer(
    store: Store, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert task.tracker == "mlflow"
    ended = threading.Event()
    monkeypatch.setattr(Teller, "run", lambda _: ended.wait(60))
    monkeypatch.setattr(command, "LEAVE_SECONDS", 0.0)
    done = CliRunner().invoke(command.track, [store.uri, "--timeout", "0"])
    ended.set()
    assert done.exit_code == command.EXIT_NOT_TOLD
    assert "it has not come to the end of an answer within 0 s" in done.output
    assert "0 records told, 2 left." in done.output
