"""A worker pod's main process: `python -m headway_trainer.worker`.

It waits for Ray's head, joins it, and stays until the head is gone: the driver decides when the work is over. Each wait
is bounded. The training process is a child of Ray's node process; its output goes to this pod's output, too.
"""

from __future__ import annotations

from headway_trainer.stop import hear

if __name__ == "__main__":
    hear()  # before the imports, which take a second

import contextlib
import enum
import logging
import os
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from headway_api import wire
from headway_trainer.credentials import adopt
from headway_trainer.logs import shipper, sources
from headway_trainer.logs.capture import FORMAT, capture
from headway_trainer.pod import memory_kills, read_run_file, touch_ready
from headway_trainer.process_resources import at_once
from headway_trainer.ray.log_follower import Follower
from headway_trainer.ray.runtime import Asker, Relay, join, set_environment, wants_runtime_envs

log = logging.getLogger("headway.worker")
_RETRY_SECONDS = 0.1
_WATCH_SECONDS = 0.5
PROBE_SECONDS = 0.5
"""How long one probe of the head waits for an answer. A pod that is told to go must not hang on a head that is gone."""
_GONE_SECONDS = 5.0
"""How long the head's port must be shut before the head counts as gone."""
_SILENT_SECONDS = 30.0
"""How long nothing may answer where the head is: longer than Ray itself waits, as it may be the network."""
LEAVE_SECONDS = 20.0
"""How long a pod that has to go waits for a checkpoint; less than its grace period."""
EXIT_FAULT = 1
"""As Python's own end after an exception."""
EXIT_KILLED = 137
"""As if the kernel had ended this process, too: containerd then tells Kubernetes the reason, OOMKilled."""


def main() -> int:
    """Be a worker of the head at HEADWAY_HEAD_ADDRESS; the exit code of `wire`."""
    stop = hear()
    logging.basicConfig(level=logging.INFO, format=FORMAT)
    set_environment()
    adopt(wire.STORAGE_SECRET_DIR)
    run = read_run_file()
    logs = shipper.of_attempt(run, sources.pod(_pod_name()), wire.STORAGE_SECRET_DIR)
    capture(lambda lines: logs.add(None, lines))
    logs.start()
    try:
        return _work(run, stop, logs)
    except Exception:
        traceback.print_exc()
        return EXIT_FAULT
    finally:
        logs.close()


def _work(run: wire.RunFile, stop: threading.Event, logs: shipper.Shipper) -> int:
    import headway_trainer.ray.node  # noqa: F401 - while the head is not there yet: it takes a second

    name = os.environ[wire.ENV_HEAD_ADDRESS]
    seconds = run.spec.scheduling.startup_deadline_seconds
    # From here on by its IP address, which is its own for as long as it lives: a name that cannot be looked up for a
    # while says nothing of the head.
    address = wait_for_head(name, time.monotonic() + seconds, stop.is_set)
    if address is None:
        if stop.is_set():
            return wire.EXIT_INTERRUPTED
        log.error("no head answered at %s within %d seconds", name, seconds)
        return wire.EXIT_INTERNAL
    joined = threading.Event()
    threading.Thread(target=leave_unjoined, args=(stop, joined, logs.close), daemon=True).start()
    node = join(
        address,
        host=os.environ.get(wire.ENV_POD_IP),
        processes=run.spec.workers.processes_each,
        at_once=at_once(run.spec),
        gpus=run.spec.workers.resources.gpu,
        runtime_envs=wants_runtime_envs(run.spec),
        temp_dir=os.environ.get("RAY_TMPDIR", "/tmp/ray"),  # noqa: S108 - a volume of the pod's own
    )
    joined.set()
    touch_ready()
    log.info("joined %s at %s", name, address)
    # The head's log has all workers' lines: it is where people look first.
    relay = Relay(address, _pod_name(), node.node_ip_address)
    # Not through sys.stdout, where this process' own lines are kept.
    out = sys.__stdout__ or sys.stdout
    logs.on_lost = relay.tell_lost_lines
    follower = Follower(Path(node.get_logs_dir_path()), out, relay=relay.send, keep=logs.add)
    follower.start()
    code = stay(node, address, stop)
    if code == wire.EXIT_INTERRUPTED:
        # Whatever the head or the network does, this pod has to go: its training processes end with it.
        leaving = threading.Thread(target=leave, args=(address,), daemon=True)
        leaving.start()
        leaving.join(LEAVE_SECONDS)
    # Within a second the raylet takes its leave of the head, which would else miss it only seconds later.
    node.kill_all_processes(check_alive=False, allow_graceful=code != wire.EXIT_SUCCEEDED)
    follower.close()
    return code


def leave_unjoined(
    stop: threading.Event,
    joined: threading.Event,
    last_lines: Callable[[], None],
    end: Callable[[int], None] = os._exit,
) -> None:
    """End this process if it is told to stop while it joins: Ray stays in there for as long as the head is gone."""
    stop.wait()
    if not joined.is_set():
        log.info("told to stop before it had joined")
        with contextlib.suppress(Exception):
            last_lines()
        end(wire.EXIT_INTERRUPTED)


def _pod_name() -> str:
    return os.environ.get(wire.ENV_POD_NAME, "worker")


def wait_for_head(address: str, deadline: float, stopped: Callable[[], bool]) -> str | None:
    """Wait until something listens at address (`host:port`), until the monotonic time deadline.

    Where it listens, with the host as an IP address: Ray wants one. None where nothing does.
    """
    while True:
        with contextlib.suppress(OSError):
            return _listening(address)
        if stopped() or time.monotonic() >= deadline:
            return None
        time.sleep(_RETRY_SECONDS)


class Port(enum.Enum):
    """What a probe of a port finds."""

    OPEN = enum.auto()
    SHUT = enum.auto()
    """Its host says that nothing listens there."""
    SILENT = enum.auto()
    """No answer: the host is gone, or the network."""


def probe_port(address: str) -> Port:
    """Whether something listens at address (`IP address:port`)."""
    try:
        _listening(address, PROBE_SECONDS)
    except ConnectionRefusedError:
        return Port.SHUT
    except OSError:
        return Port.SILENT
    return Port.OPEN


def _listening(address: str, seconds: float = 2.0) -> str:
    """Connect to address, within seconds; the IP address that answered, with the port. Raises OSError."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host.strip("[]"), int(port)), timeout=seconds) as connection:
        where = connection.getpeername()[0]
    return f"[{where}]:{port}" if connection.family == socket.AF_INET6 else f"{where}:{port}"


class HeadWatch:
    """Tells whether the head is still there."""

    def __init__(self, address: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._address, self._clock = address, clock
        self._since: float | None = None
        self._shut = False
        """Whether its host has said that nothing listens any more, since something last did."""

    def probe(self) -> Port:
        """Ask once."""
        port = probe_port(self._address)
        if port is Port.OPEN:
            self._since, self._shut = None, False
        else:
            self._since = self._clock() if self._since is None else self._since
            self._shut = self._shut or port is Port.SHUT
        return port

    def gone(self) -> int | None:
        """The exit code of a worker whose head counts as gone; none while it does not."""
        if self._since is None:
            return None
        seconds = self._clock() - self._since
        if self._shut and seconds >= _GONE_SECONDS:
            return self.verdict()
        return self.verdict() if seconds >= _SILENT_SECONDS else None

    def verdict(self) -> int:
        """The exit code of a worker that does not wait for the head any longer."""
        if self._shut:
            log.info("the head is gone: the work is over")
            return wire.EXIT_SUCCEEDED
        log.error("the head at %s does not answer: its node is gone, or the network between", self._address)
        return wire.EXIT_UNREACHABLE


def stay(node: Any, address: str, stop: threading.Event) -> int:
    """Wait until the head is gone, this pod is told to stop, or something in it is ended; the exit code."""
    head = HeadWatch(address)
    killed_before = memory_kills()
    while not stop.wait(_WATCH_SECONDS):
        head.probe()
        if (code := head.gone()) is not None:
            return code
        if memory_kills() > killed_before:
            log.error("the kernel ended a process of this pod, which took more memory than workers.resources.memory")
            return EXIT_KILLED
        if dead := node.dead_processes():
            if head.probe() is not Port.OPEN:
                return head.verdict()
            log.error("Ray's process %s ended unexpectedly", ", ".join(name for name, _ in dead))
            return wire.EXIT_INTERNAL
    log.info("told to stop")
    return wire.EXIT_INTERRUPTED


def leave(address: str, asker_of: Callable[[str], Asker] = Asker) -> None:
    """Stay a little, for a checkpoint of the running step: then nothing that was computed here is lost.

    Without a head there is nobody to ask, and the workers of a next attempt wait for this pod's end.
    """
    deadline = time.monotonic() + LEAVE_SECONDS
    if probe_port(address) is not Port.OPEN:
        return
    asker = asker_of(address)
    asker.ask()
    while time.monotonic() < deadline and probe_port(address) is Port.OPEN and not asker.is_answered():
        time.sleep(_RETRY_SECONDS)


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # it is a text stream
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
