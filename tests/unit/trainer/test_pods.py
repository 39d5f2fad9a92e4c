"""A worker pod's waits and ends, what pods find and leave, and the driver's parts that need no Ray."""

from __future__ import annotations

import functools
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from headway_api import wire
from headway_trainer import driver, outcome, pod, worker
from headway_trainer.progress import ConfigMapSink, Nowhere
from headway_trainer.ray import runtime
from headway_trainer.ray.runtime import ENVIRONMENT, set_environment


@pytest.fixture
def listener() -> socket.socket:
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen()
    return server


def address(server: socket.socket) -> str:
    return f"127.0.0.1:{server.getsockname()[1]}"


class Node:
    """A Ray node as the worker sees it."""

    def __init__(self, dead: tuple[str, ...] = ()) -> None:
        self.dead = dead

    def dead_processes(self) -> list[tuple[str, object]]:
        return [(name, None) for name in self.dead]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_RETRY_SECONDS", "_WATCH_SECONDS", "_GONE_SECONDS"):
        monkeypatch.setattr(worker, name, 0.001)


def test_a_port_that_opens_late_is_waited_for(listener: socket.socket) -> None:
    where = address(listener)
    listener.close()
    later = socket.socket()
    later.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    opened = threading.Event()

    def stopped() -> bool:
        # Asked between two probes: now it opens.
        if not opened.is_set():
            later.bind(("127.0.0.1", int(where.rpartition(":")[2])))
            later.listen()
            opened.set()
        return False

    assert worker.wait_for_head(where, time.monotonic() + 30, stopped) == where
    assert opened.is_set()
    later.close()


def test_the_wait_for_the_head_is_bounded_and_can_be_stopped(listener: socket.socket) -> None:
    where = address(listener)
    listener.close()
    assert worker.wait_for_head(where, time.monotonic(), lambda: False) is None
    assert worker.wait_for_head(where, time.monotonic() + 60, lambda: True) is None


def test_a_head_that_is_found_by_its_name_is_known_by_its_address(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = address(listener)
    name = f"localhost:{where.rpartition(':')[2]}"
    look_up, failures = socket.getaddrinfo, [socket.gaierror(socket.EAI_AGAIN, "not now")]

    def shaky(*arguments: Any, **keywords: Any) -> Any:
        if failures:
            raise failures.pop()
        return look_up(*arguments, **keywords)

    monkeypatch.setattr(socket, "getaddrinfo", shaky)
    assert worker.wait_for_head(name, time.monotonic() + 30, lambda: False) == where
    assert not failures
    listener.close()


class Looks:
    """What looks at the head's port find, one after the other; the last for ever."""

    def __init__(self, *found: worker.Port) -> None:
        self.found, self.now = list(found), 0.0

    def probe_port(self, _: str) -> worker.Port:
        self.now += 1.0
        return self.found.pop(0) if len(self.found) > 1 else self.found[0]


def watched(looks: Looks, monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code of a worker that looks once a second."""
    for name, seconds in (("_GONE_SECONDS", 5.0), ("_SILENT_SECONDS", 30.0)):
        monkeypatch.setattr(worker, name, seconds)
    monkeypatch.setattr(worker, "probe_port", looks.probe_port)
    head = worker.HeadWatch("10.0.0.1:6379", lambda: looks.now)
    while (code := head.gone()) is None:
        assert looks.now < 1000
        head.probe()
    return code


def test_a_network_that_is_away_for_less_than_ray_bears_ends_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = Looks(*[worker.Port.SILENT] * 22, worker.Port.OPEN, worker.Port.SHUT)
    assert watched(looks, monkeypatch) == wire.EXIT_SUCCEEDED
    assert looks.now == 29.0, "five seconds after the head was seen and then shut"


def test_a_head_that_answers_no_more_is_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = Looks(worker.Port.SILENT)
    assert watched(looks, monkeypatch) == wire.EXIT_UNREACHABLE
    assert looks.now == 31.0


def test_a_head_that_was_shut_before_its_pod_went_is_gone_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = Looks(worker.Port.SHUT, worker.Port.SILENT)
    assert watched(looks, monkeypatch) == wire.EXIT_SUCCEEDED
    assert looks.now == 6.0


def test_a_port_that_nobody_answers_at_is_not_called_shut(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = address(listener)
    assert worker.probe_port(where) is worker.Port.OPEN
    listener.close()
    assert worker.probe_port(where) is worker.Port.SHUT

    def silent(*_: object, **__: object) -> None:
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket, "create_connection", silent)
    assert worker.probe_port(where) is worker.Port.SILENT
    assert worker.stay(Node(("raylet",)), where, threading.Event()) == wire.EXIT_UNREACHABLE


def test_a_worker_ends_quietly_when_the_head_is_gone(listener: socket.socket) -> None:
    where = address(listener)
    listener.close()
    assert worker.stay(Node(), where, threading.Event()) == wire.EXIT_SUCCEEDED
    assert worker.stay(Node(("raylet",)), where, threading.Event()) == wire.EXIT_SUCCEEDED


def test_a_worker_whose_ray_dies_under_a_living_head_says_so(listener: socket.socket) -> None:
    assert worker.stay(Node(("raylet",)), address(listener), threading.Event()) == wire.EXIT_INTERNAL
    listener.close()


def test_a_worker_that_is_told_to_stop_does(listener: socket.socket) -> None:
    stop = threading.Event()
    stop.set()
    assert worker.stay(Node(), address(listener), stop) == wire.EXIT_INTERRUPTED
    listener.close()


@pytest.mark.parametrize(("has_joined", "ends"), [(False, ["last lines", wire.EXIT_INTERRUPTED]), (True, [])])
def test_a_worker_that_is_told_to_stop_while_it_joins_does_not_wait_for_ray(has_joined: bool, ends: list[Any]) -> None:
    stop, joined, done = threading.Event(), threading.Event(), list[Any]()
    stop.set()
    if has_joined:
        joined.set()
    worker.leave_unjoined(stop, joined, lambda: done.append("last lines"), done.append)
    assert done == ends


class Asked:
    """Asks for a checkpoint that comes after some looks."""

    def __init__(self, looks: int) -> None:
        self.looks = looks
        self.asked = 0

    def ask(self) -> None:
        self.asked += 1

    def is_answered(self) -> bool:
        self.looks -= 1
        return self.looks < 0


def test_a_pod_that_has_to_go_asks_for_a_checkpoint_and_waits_for_it(listener: socket.socket) -> None:
    asker = Asked(3)
    worker.leave(address(listener), lambda _: asker)  # type: ignore[arg-type,return-value]  # it has what is called
    assert (asker.asked, asker.looks) == (1, -1)
    listener.close()


def test_a_pod_that_has_to_go_after_its_head_asks_nobody_and_goes(listener: socket.socket) -> None:
    where = address(listener)
    listener.close()
    asker = Asked(10**9)
    began = time.monotonic()
    worker.leave(where, lambda _: asker)  # type: ignore[arg-type,return-value]  # it has what is called
    assert asker.asked == 0
    assert time.monotonic() - began < worker.LEAVE_SECONDS


def test_a_pod_that_has_to_go_waits_no_longer_than_it_may(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "LEAVE_SECONDS", 0.02)
    asker = Asked(10**9)
    worker.leave(address(listener), lambda _: asker)  # type: ignore[arg-type,return-value]  # it has what is called
    assert asker.asked == 1
    listener.close()


@pytest.mark.parametrize(
    ("text", "kills"),
    [
        ("low 0\nhigh 0\nmax 12\noom 2\noom_kill 1\noom_group_kill 0\n", 1),
        ("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n", 3),
        ("nothing of the kind", 0),
    ],
)
def test_processes_that_the_kernel_ended_for_memory_are_counted(tmp_path: Path, text: str, kills: int) -> None:
    (tmp_path / "events").write_text(text)
    assert pod.memory_kills((tmp_path / "none", tmp_path / "events")) == kills
    assert pod.memory_kills((tmp_path / "none",)) == 0


def test_a_worker_whose_training_process_took_too_much_memory_ends_as_such(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = iter([5, 5, 6])
    monkeypatch.setattr(worker, "memory_kills", lambda: next(counts))
    assert worker.stay(Node(), address(listener), threading.Event()) == worker.EXIT_KILLED
    listener.close()


def test_the_run_file_is_read_from_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.json"
    path.write_text(
        '{"namespace": "ns", "name": "job", "uid": "u", "attempt": 2, "storageUri": "/x",'
        ' "spec": {"training": {"entrypoint": "a:b"}}}'
    )
    monkeypatch.setenv(wire.ENV_RUN_FILE, str(path))
    assert pod.read_run_file().attempt == 2
    ready = tmp_path / "ready"
    monkeypatch.setenv(pod.ENV_READY_FILE, str(ready))
    pod.touch_ready()
    assert ready.exists()


@pytest.mark.parametrize(("head", "port"), [("job-1.ns.svc:7000", 7000), ("", wire.RAY_PORT), ("[::1]:7001", 7001)])
def test_the_head_listens_where_the_workers_look(monkeypatch: pytest.MonkeyPatch, head: str, port: int) -> None:
    monkeypatch.setenv(wire.ENV_HEAD_ADDRESS, head)
    assert driver._port() == port


def test_progress_goes_to_the_config_map_only_inside_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    run = wire.RunFile.model_validate(
        {
            "namespace": "ns",
            "name": "job",
            "uid": "u",
            "configMap": "job-1",
            "storageUri": "/x",
            "spec": {"training": {"entrypoint": "a:b"}},
        }
    )
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert isinstance(driver._sink(run), Nowhere)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    sink = driver._sink(run)
    assert isinstance(sink, ConfigMapSink)
    sink.close()


def test_ray_always_runs_with_a_token_and_without_reports_home(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*ENVIRONMENT, "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "environ", dict(os.environ))
        set_environment()
        assert os.environ["RAY_AUTH_MODE"] == "token"
        assert len(os.environ["RAY_AUTH_TOKEN"]) >= 32
        assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "environ", {**os.environ, "RAY_AUTH_TOKEN_PATH": "/etc/token"})
        set_environment()
        assert "RAY_AUTH_TOKEN" not in os.environ


@pytest.fixture(autouse=True)
def _drivers_leave_no_timers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A driver's process ends before the time is up at which it would leave at the latest; this one goes on."""
    made: list[threading.Timer] = []

    def noted(*given: Any) -> threading.Timer:
        made.append(begun(*given))
        return made[-1]

    begun = threading.Timer
    monkeypatch.setattr(threading, "Timer", noted)
    yield
    for timer in made:
        timer.cancel()


@pytest.fixture
def termination(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "termination-log"
    monkeypatch.setenv(pod.ENV_TERMINATION_FILE, str(path))
    return path


def _word(verdict: outcome.Verdict) -> wire.Outcome:
    return wire.Outcome(attempt=1, outcome="Interrupted", message=verdict.message)


def test_a_driver_that_cannot_stop_is_ended_within_its_grace_and_says_so(
    termination: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "GRACE_SECONDS", 0.0)
    left: list[int] = []
    stop = threading.Event()
    stop.set()
    driver.Ending(left.append).keep_to_grace(stop, _word)
    assert left == [wire.EXIT_INTERRUPTED]
    assert "still busy" in wire.Outcome.model_validate_json(termination.read_bytes()).message


def test_a_driver_that_leaves_at_once_sees_to_its_last_lines_first(termination: Path) -> None:
    order: list[object] = []

    def last_lines() -> None:
        order.append("lines")
        raise OSError("they cannot be kept")

    ending = driver.Ending(order.append)
    ending.last_lines = last_lines
    head: Any = SimpleNamespace(fault=lambda: outcome.Broken("the GCS is gone"))
    ending.keep_to_ray(head, _word)
    assert order == ["lines", wire.EXIT_INTERNAL]
    assert termination.exists()


def test_processes_that_do_not_end_keep_the_driver_no_longer_than_it_may(
    termination: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "LEAVE_SECONDS", 0.001)
    left = threading.Event()
    codes: list[int] = []

    def leave(code: int) -> None:
        codes.append(code)
        left.set()

    ending = driver.Ending(leave)
    ending.say(70, wire.Outcome(attempt=1, outcome="Failed", cause="Hang", message="first"))
    ending.say(0, wire.Outcome(attempt=1, outcome="Succeeded", message="second"))
    assert left.wait(30)
    assert codes == [70]
    assert wire.Outcome.model_validate_json(termination.read_bytes()).message == "first"


@pytest.fixture
def left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The codes that a driver with a run file left with at once; it stays in this process."""
    path = tmp_path / "run.json"
    spec = '{"training": {"entrypoint": "a:b"}}'
    run = f'"namespace": "n", "name": "x", "uid": "u", "attempt": 3, "storageUri": "{tmp_path}/store", "spec": {spec}'
    path.write_text(f"{{{run}}}")
    monkeypatch.setenv(wire.ENV_RUN_FILE, str(path))
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, getattr(sys, name))  # they are captured from there on
    codes: list[int] = []
    monkeypatch.setattr(driver, "hear", threading.Event)
    monkeypatch.setattr(driver, "set_environment", lambda: None)
    monkeypatch.setattr(driver, "Ending", functools.partial(driver.Ending, codes.append))
    return codes


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("can't start new thread"),
        OSError(28, "No space left on device"),
        ImportError("no numpy"),
        SystemExit(0),
    ],
)
def test_a_driver_that_cannot_even_begin_leaves_a_word(
    error: BaseException, tmp_path: Path, termination: Path, left: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(driver, "Head", refuse)
    assert driver.main() == wire.EXIT_INTERNAL
    word = wire.Outcome.model_validate_json(termination.read_bytes())
    assert (word.attempt, word.outcome, word.cause) == (3, "Failed", "Internal")
    assert type(error).__name__ in word.message
    assert left == []
    log = (tmp_path / "store/logs/attempt-3/driver.log").read_text()
    assert log.startswith("Traceback (most recent call last):")
    assert str(error) in log


def test_pods_have_the_storages_key_before_ray_starts(
    tmp_path: Path, termination: Path, left: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []

    def begin(*_: object, **__: object) -> None:
        order.append("ray")
        raise ConnectionError

    for module in (driver, worker):
        monkeypatch.setattr(module, "adopt", order.append)
        monkeypatch.setattr(module, "set_environment", lambda: None)
        monkeypatch.setattr(module, "hear", threading.Event)
    monkeypatch.setattr(driver, "Head", begin)
    monkeypatch.setattr(worker, "wait_for_head", begin)
    monkeypatch.setenv(wire.ENV_HEAD_ADDRESS, "head:1")
    monkeypatch.setenv(wire.ENV_POD_NAME, "x-worker-0-0")
    driver.main()
    assert worker.main() == worker.EXIT_FAULT
    assert order == [wire.STORAGE_SECRET_DIR, "ray"] * 2
    log = (tmp_path / "store/logs/attempt-3/pod-x-worker-0-0.log").read_text()
    assert log.rstrip().endswith("ConnectionError"), "a worker that never had a rank tells under its pod's name"
    assert termination.exists()
    assert left == []


@pytest.mark.usefixtures("left")
def test_a_driver_without_a_run_file_blames_nobody_else(termination: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(wire.ENV_RUN_FILE, "/nowhere")
    assert driver.main() == wire.EXIT_INTERNAL
    assert not termination.exists()


def test_no_code_that_a_process_has_by_itself_is_the_users_error() -> None:
    assert wire.EXIT_USER_ERROR not in {0, 1, 2, 120, 126, 127, *range(128, 256)}
    assert len({wire.EXIT_USER_ERROR, wire.EXIT_UNREACHABLE, wire.EXIT_INTERNAL, wire.EXIT_STORAGE}) == 4


class Process:
    """A process that has ended."""

    def poll(self) -> int:
        return -9


class HeadNode(Node):
    """A head's node, one of whose processes has ended."""

    def dead_processes(self) -> list[tuple[str, object]]:
        return [("gcs_server", Process())]


@pytest.mark.parametrize(("kills", "cause"), [(0, "Internal"), (1, "OutOfMemory")])
def test_a_driver_whose_ray_has_ended_says_so_before_ray_ends_it(
    kills: int, cause: str, termination: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "WATCH_SECONDS", 0.001)
    counts = iter([0, kills])
    monkeypatch.setattr(runtime, "memory_kills", lambda: next(counts))
    head = runtime.Head(temp_dir=str(tmp_path))
    assert head.fault() is None
    head._node = HeadNode()
    codes: list[int] = []
    ending = driver.Ending(codes.append)
    ending.keep_to_ray(
        head, lambda verdict: wire.Outcome(attempt=1, outcome="Failed", cause=verdict.cause, message=verdict.message)
    )
    word = wire.Outcome.model_validate_json(termination.read_bytes())
    assert word.cause == cause
    assert "gcs_server" in word.message
    assert codes == [wire.EXIT_INTERNAL]
    # Once the last word is said, what ends is meant to.
    ending.keep_to_ray(head, lambda _: pytest.fail("it is said already"))
