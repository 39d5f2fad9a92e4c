"""A worker pod's main process: `python -m headway_trainer.worker`.

It waits for Ray's head, joins it, and stays until the head is gone: the driver decides when the work is over. Each wait
is bounded. The training process is a child of Ray's node process; its output goes to this pod's output, too.
"""

from __future__ import annotations

from headway_trainer.stop import hear

if __name__ == "__main__":
    hear()  # before the imports, which take a second

import contextlib
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from headway_api import wire
from headway_trainer.follow import Follower
from headway_trainer.pod import read_run_file, touch_ready
from headway_trainer.ray_runtime import Asker, Relay, join, set_environment, wants_runtime_envs

log = logging.getLogger("headway.worker")
_RETRY_SECONDS = 0.1
_WATCH_SECONDS = 0.5
_GONE_SECONDS = 5.0
"""How long the head's port must be shut before the head counts as gone."""
LEAVE_SECONDS = 20.0
"""How long a pod that has to go waits for a checkpoint; less than its grace period."""
EXIT_KILLED = 137
"""As if the kernel had ended this process, too: containerd then tells Kubernetes the reason, OOMKilled."""
_MEMORY_EVENTS = (Path("/sys/fs/cgroup/memory.events"), Path("/sys/fs/cgroup/memory/memory.oom_control"))
"""Of cgroup v2 and v1."""


def main() -> int:
    """Be a worker of the head at HEADWAY_HEAD_ADDRESS; the exit code of `wire`."""
    stop = hear()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    set_environment()
    run = read_run_file()
    import ray._private.node  # noqa: F401 - while the head is not there yet: it takes a second

    address = os.environ[wire.ENV_HEAD_ADDRESS]
    seconds = run.spec.scheduling.startup_deadline_seconds
    if not wait_for_port(address, time.monotonic() + seconds, stop.is_set):
        if stop.is_set():
            return wire.EXIT_INTERRUPTED
        log.error("no head answered at %s within %d seconds", address, seconds)
        return wire.EXIT_INTERNAL
    node = join(
        resolved(address),
        host=os.environ.get(wire.ENV_POD_IP),
        gpus=run.spec.workers.resources.gpu,
        runtime_envs=wants_runtime_envs(run.spec),
        temp_dir=os.environ.get("RAY_TMPDIR", "/tmp/ray"),  # noqa: S108 - a volume of the pod's own
    )
    touch_ready()
    log.info("joined %s", address)
    # The head's log has all workers' lines: it is where people look first.
    relay = Relay(resolved(address), os.environ.get(wire.ENV_POD_NAME, "worker"), node.node_ip_address)
    follower = Follower(Path(node.get_logs_dir_path()), relay=relay.send)
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


def wait_for_port(address: str, deadline: float, stopped: Callable[[], bool]) -> bool:
    """Wait until something listens at address (`host:port`), until the monotonic time deadline; whether it does."""
    while not is_open(address):
        if stopped() or time.monotonic() >= deadline:
            return False
        time.sleep(_RETRY_SECONDS)
    return True


def is_open(address: str) -> bool:
    """Whether something listens at address (`host:port`)."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=2):
            return True
    except OSError:
        return False


def resolved(address: str) -> str:
    """The address with the host as an IP address: Ray wants one, and a name may cost seconds at each look-up."""
    host, _, port = address.rpartition(":")
    family, _, _, _, where = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
    return f"[{where[0]}]:{port}" if family == socket.AF_INET6 else f"{where[0]}:{port}"


def stay(node: Any, address: str, stop: threading.Event) -> int:
    """Wait until the head is gone, this pod is told to stop, or something in it is ended; the exit code."""
    gone_since: float | None = None
    killed_before = memory_kills()
    while not stop.wait(_WATCH_SECONDS):
        if is_open(address):
            gone_since = None
        elif gone_since is None:
            gone_since = time.monotonic()
        elif time.monotonic() - gone_since >= _GONE_SECONDS:
            log.info("the head is gone: the work is over")
            return wire.EXIT_SUCCEEDED
        if memory_kills() > killed_before:
            log.error("the kernel ended a process of this pod, which took more memory than workers.resources.memory")
            return EXIT_KILLED
        if dead := node.dead_processes():
            names = ", ".join(name for name, _ in dead)
            if not is_open(address):
                log.info("the head is gone: the work is over")
                return wire.EXIT_SUCCEEDED
            log.error("Ray's process %s ended unexpectedly", names)
            return wire.EXIT_INTERNAL
    log.info("told to stop")
    return wire.EXIT_INTERRUPTED


def leave(address: str, asker_of: Callable[[str], Asker] = Asker) -> None:
    """Stay a little, for a checkpoint of the running step: then nothing that was computed here is lost.

    Without a head there is nobody to ask, and the workers of a next attempt wait for this pod's end.
    """
    deadline = time.monotonic() + LEAVE_SECONDS
    if not is_open(address):
        return
    asker = asker_of(resolved(address))
    asker.ask()
    while time.monotonic() < deadline and is_open(address) and not asker.is_answered():
        time.sleep(_RETRY_SECONDS)


def memory_kills(files: tuple[Path, ...] = _MEMORY_EVENTS) -> int:
    """How many processes of this container the kernel has ended for want of memory.

    The container itself goes on when one of its children is ended so, and Kubernetes does not say so of it.
    """
    for path in files:
        with contextlib.suppress(OSError, ValueError):
            counts = dict(line.split(maxsplit=1) for line in path.read_text().splitlines())
            return int(counts.get("oom_kill", 0))
    return 0


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # it is a text stream
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
