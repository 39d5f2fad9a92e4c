"""Ray's processes: a head in this process' pod or on this machine, a worker node that joins it, and the connection.

This is what `ray start` and `ray.init` do, without what one job does not need (dashboard, autoscaler monitor, usage
reports): each left out is a Python process less to start. It uses ray's own `Node` for that, which is not a public
interface; Ray is pinned to one minor version, and docs/decisions/0030 says what was measured.
"""

from __future__ import annotations

# It hooks into fork: if the main thread imported it while the head's thread forks, a lock that nobody took would be
# released.
import concurrent.futures.thread  # noqa: F401
import contextlib
import logging
import os
import secrets
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from headway_api.consistency.facts import own_loop
from headway_api.job import TrainingJobSpec
from headway_trainer.errors import OutOfMemory, UserError
from headway_trainer.logs.sources import Source
from headway_trainer.outcome import Broken
from headway_trainer.pod import memory_kills
from headway_trainer.ray.log_follower import Follower
from headway_trainer.ray.stock import stock

WORKER_RESOURCE = "headway_worker"
"""A worker pod has as many as training processes are meant for it, and each process takes one."""
NAMESPACE = "headway"
KV_NAMESPACE = b"headway"
KEY_PROGRESS = b"progress/"
KEY_HEARD = b"heard/"
KEY_STOP = b"stop/"
KEY_QUESTION = b"question/"
KEY_ANSWER = b"answer/"
KEY_CHECKPOINT = b"checkpoint"
KEY_TAKEN = b"taken/"
KEY_LOST_LINES = b"lost-lines/"
"""Before the name of a pod: how many lines of its processes are missing on the storage."""
"""What loop, driver and workers tell each other, in the key-value store of Ray's head. Those that end with a slash are
followed by the scope of the run that they are of: `scoped`."""
ASK_SECONDS = 5.0
RELAY_SECONDS = 2.0
"""For lines that a head is sent. Less than the follower has to close, or a head that is gone costs the last lines."""


def scoped(key: bytes, scope: str) -> bytes:
    """The key of a run: of the job's own (scope ""), or of one of its children."""
    return key + scope.encode()


_SHORT_BASE = "/tmp"  # noqa: S108 - mkdtemp makes a folder in it that is this user's alone
_TEMP_PREFIX = "headway-"
_SOCKET_MAX_LENGTH = 107
"""Bytes of the longest path that a Unix socket may have."""
_LONGEST_SOCKET = "/headway-12345678/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"
_BASE_MAX_LENGTH = _SOCKET_MAX_LENGTH - len(_LONGEST_SOCKET)
PRELOADED = "headway_trainer.ray.preload"
"""Imported by a worker node's training processes while they wait; it imports torch and Ray Train."""

log = logging.getLogger(__name__)

ENVIRONMENT: Mapping[str, str] = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.25",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_TRAIN_ENABLE_CONTROLLER_STRUCTURED_LOGGING": "0",
    "RAY_TRAIN_ENABLE_WORKER_STRUCTURED_LOGGING": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_COLOR_PREFIX": "0",
    "RAY_worker_niceness": "0",
}
"""What all Ray processes of a job have in their environment. The preemption watcher is an actor that looks at Ray's own
drain requests, which nobody sends here; metrics and structured logs go to a dashboard that is not there. Ray's workers
would give way to every other process of the machine, which training has no reason to do."""

SYSTEM_CONFIG: Mapping[str, int | bool] = {
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 4000,
    "health_check_failure_threshold": 5,
    "enable_metrics_collection": False,
}
"""A node whose processes are gone counts as dead after 3 s, one that does not answer after 22 s; Ray waits longer.
Metrics would go to an agent that is not there."""


def set_environment() -> None:
    """Set ENVIRONMENT, where the environment does not already say otherwise. Before ray is imported.

    Where no token is given, as under `headway run`, this process and its children get one of their own.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if "RAY_AUTH_TOKEN_PATH" not in os.environ:
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


def wants_runtime_envs(spec: TrainingJobSpec) -> bool:
    """Whether the job has a function of the user's own, which may start tasks with a `runtime_env`."""
    return own_loop(spec)


def local_gpus() -> int:
    """The GPUs of this machine that torch can use."""
    if not any(Path("/dev").glob("nvidia[0-9]*")):
        return 0  # without importing anything
    from ray._private.accelerators import NvidiaGPUAcceleratorManager

    count: int = NvidiaGPUAcceleratorManager.get_current_node_num_accelerators()
    if count:
        import torch

        return count if torch.cuda.is_available() else 0
    return 0


def local_cores(cpu_max: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """The cores of this machine that this process may use, whole ones; at least one."""
    cores = len(os.sched_getaffinity(0))
    with contextlib.suppress(OSError, ValueError):
        quota, period = cpu_max.read_text().split()
        cores = min(cores, int(quota) // int(period))  # `max` where there is no limit
    return max(1, cores)


def lent_cores(processes: int) -> int:
    """The cores that a run on this machine lends to its training processes, all together.

    All of the machine's; or, where OMP_NUM_THREADS is set, so many for each: then sums come out as they do in pods.
    """
    each = os.environ.get("OMP_NUM_THREADS", "")
    return int(each) * processes if each.isdigit() and int(each) else local_cores()


def make_temp_dir() -> str:
    """A new folder for the files and sockets of Ray's processes; in /tmp where the path of TMPDIR is too long for them.

    Raises UserError where neither can be used.
    """
    usual = tempfile.gettempdir()
    bases = [base for base in dict.fromkeys([usual, _SHORT_BASE]) if len(os.fsencode(base)) <= _BASE_MAX_LENGTH]
    for base in bases:
        with contextlib.suppress(OSError):
            return tempfile.mkdtemp(prefix=_TEMP_PREFIX, dir=base)
    raise UserError(
        f"TMPDIR is {usual}: the path of a socket has room for {_BASE_MAX_LENGTH} bytes of it, and {_SHORT_BASE} "
        "cannot be written: set TMPDIR to a folder with a shorter path"
    )


class Head:
    """Ray's head, in child processes of this one, and this process' connection to it as the driver."""

    def __init__(
        self,
        *,
        host: str | None = None,
        port: int = 0,
        processes: int = 0,
        at_once: int | None = None,
        gpus: int = 0,
        runtime_envs: bool = False,
        temp_dir: str | None = None,
        keep: Callable[[Source | None, list[str]], None] = lambda *_: None,
    ) -> None:
        """A head on host (this machine's address if none) and port (a free one if 0).

        processes: the training processes that this node itself has places for; none in a head pod. at_once: how many it
        takes, if that is more, as trials share a place. gpus: what it lends to them.
        runtime_envs: as for start_node. keep: takes what the training processes of this node print.
        """
        self._runtime_envs, self._keep = runtime_envs, keep
        self._host, self._port, self._processes, self._gpus = host, port, processes, gpus
        self._at_once = processes if at_once is None else at_once
        self._temp_dir = temp_dir
        self._own_temp_dir = temp_dir is None
        self._node: Any = None
        self._killed_before = memory_kills()
        self._follower: Follower | None = None
        self._error: BaseException | None = None
        self._up_then: Callable[[], None] = lambda: None
        self._up, self._stopping = threading.Event(), threading.Event()
        # The kernel ends Ray's processes when the thread that started them ends: so it stays until they may go.
        self._thread = threading.Thread(target=self._run, name="headway-ray", daemon=True)

    def start(self, up: Callable[[], None] = lambda: None) -> None:
        """Begin to start the head and to connect to it, in a thread: there is much to do meanwhile.

        up: called in that thread as soon as this process is connected, whatever the caller is busy with.
        """
        self._up_then = up
        self._thread.start()

    def wait(self) -> None:
        """Wait until this process is connected. Raises what Ray raised."""
        self._up.wait()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            self._connect()
            self._up_then()
        except BaseException as error:
            self._error = error
            return
        finally:
            self._up.set()
        self._stopping.wait()

    def _connect(self) -> None:
        import ray

        from headway_trainer.ray.node import start_node

        self._temp_dir = self._temp_dir or make_temp_dir()
        if self._processes and not stock():
            os.environ.setdefault("RAY_preload_python_modules", PRELOADED)
        self._node = start_node(
            head=True,
            host=self._host,
            runtime_envs=self._runtime_envs,
            temp_dir=self._temp_dir,
            gcs_server_port=self._port,
            num_cpus=self._at_once,  # so many are started at once, and wait
            num_gpus=self._gpus,
            resources={WORKER_RESOURCE: self._processes} if self._processes else {},
            _system_config=dict(SYSTEM_CONFIG),
        )
        ray.init(
            address=self._node.address,
            namespace=NAMESPACE,
            log_to_driver=True,
            logging_level=logging.ERROR,
            _temp_dir=self._temp_dir,
        )
        if self._processes:
            self._follower = Follower(Path(self._node.get_logs_dir_path()), keep=self._keep)
            self._follower.start()

    @property
    def address(self) -> str:
        """Where another driver connects, once the head is up: `host:port`."""
        return str(self._node.address)

    @property
    def temp_dir(self) -> str:
        """The folder of the files and sockets of Ray's processes, once the head is up."""
        return str(self._temp_dir)

    def follow(self, folder: Path) -> Follower:
        """Copy what a process of this pod prints into a folder, as what training processes of this node print."""
        follower = Follower(folder, sys.stdout, keep=self._keep)
        follower.start()
        return follower

    def wait_for_processes(self, count: int, deadline: float) -> int:
        """Wait until count training processes have a place, or until the monotonic time deadline; how many have."""
        import ray

        while True:
            nodes = [node for node in ray.nodes() if node["Alive"]]
            places = sum(int(node["Resources"].get(WORKER_RESOURCE, 0)) for node in nodes)
            if places >= count or time.monotonic() >= deadline:
                return places
            time.sleep(0.1)

    def fault(self) -> Exception | None:
        """What there is to say of a process of the head that has ended by itself; none if all are there."""
        dead = [] if self._node is None else self._node.dead_processes()
        if not dead:
            return None
        name, process = dead[0]
        if memory_kills() > self._killed_before:
            return OutOfMemory(f"the kernel ended Ray's process {name} for want of memory: raise head.resources.memory")
        return Broken(f"Ray's process {name} ended unexpectedly, with exit code {process.poll()}")

    def stop(self) -> None:
        """Disconnect, end the head's processes and delete their files. It may be called at any time."""
        import ray

        if self._thread.ident is not None:
            self._up.wait()
            ray.shutdown()
            if self._node is not None:
                self._node.kill_all_processes(check_alive=False, allow_graceful=False)
            if self._follower is not None:
                self._follower.close()
            self._stopping.set()
            self._thread.join()
        if self._own_temp_dir and self._temp_dir is not None:
            shutil.rmtree(self._temp_dir, ignore_errors=True)


def join(
    address: str, *, host: str | None, processes: int, at_once: int, gpus: int, runtime_envs: bool, temp_dir: str
) -> Any:
    """Make this pod a worker node of the head at address (`host:port`); the node, whose processes are children.

    at_once: as of Head. Raises what Ray raises.
    """
    from headway_trainer.ray.node import start_node

    if not stock():
        os.environ.setdefault("RAY_preload_python_modules", PRELOADED)
    Path(temp_dir).mkdir(parents=True, exist_ok=True)
    return start_node(
        head=False,
        host=host,
        runtime_envs=runtime_envs,
        temp_dir=temp_dir,
        gcs_address=address,
        num_cpus=at_once,
        num_gpus=gpus,
        resources={WORKER_RESOURCE: processes},
    )


class Relay:
    """Sends lines to the driver, which prints them after the sender's name; what Ray's log monitor does elsewhere."""

    def __init__(self, address: str, name: str, host: str) -> None:
        """address: the head's, `host:port`. name and host (an IP address): the sender's."""
        from ray._raylet import GcsClient

        self._client = GcsClient(address=address)
        self._sender = {"actor_name": name, "pid": os.getpid(), "ip": host}

    def send(self, lines: list[str]) -> None:
        """Send; nothing happens where the head does not answer."""
        with contextlib.suppress(Exception):
            self._client.publish_logs({**self._sender, "job": "", "is_err": False, "lines": lines}, RELAY_SECONDS)

    def tell_lost_lines(self, count: int) -> None:
        """Say how many lines of this pod are missing on the storage; nothing happens where the head does not answer."""
        key = KEY_LOST_LINES + str(self._sender["actor_name"]).encode()
        with contextlib.suppress(Exception):
            self._client.internal_kv_put(key, str(count).encode(), True, KV_NAMESPACE, ASK_SECONDS)


class Asker:
    """Asks all loops for a checkpoint, from a process that is no driver."""

    def __init__(self, address: str) -> None:
        from ray._raylet import GcsClient

        self._client = GcsClient(address=address)
        self._wish = 0
        self._asked: list[bytes] = []
        """The scopes of the runs that may have something to save."""

    def ask(self) -> None:
        """Ask; nothing happens where the head does not answer."""
        try:
            asked = self._get(KEY_CHECKPOINT)
            self._wish = int(asked) + 1 if asked else 1
            self._client.internal_kv_put(KEY_CHECKPOINT, str(self._wish).encode(), True, KV_NAMESPACE, ASK_SECONDS)
            told = self._client.internal_kv_keys(KEY_PROGRESS, KV_NAMESPACE, ASK_SECONDS)
            self._asked = [key.removeprefix(KEY_PROGRESS) for key in told]
        except Exception:  # whatever ails the head, this pod has to go
            log.warning("the head did not take the wish for a checkpoint", exc_info=True)

    def is_answered(self) -> bool:
        """Whether the checkpoint has been taken, or there is nobody (any more) who would take one."""
        try:
            taken = [self._get(KEY_TAKEN + scope) for scope in self._asked]
            return all(int(one) >= self._wish for one in taken if one is not None)
        except Exception:
            return True

    def _get(self, key: bytes) -> bytes | None:
        data: bytes | None = self._client.internal_kv_get(key, KV_NAMESPACE, ASK_SECONDS)
        return data
