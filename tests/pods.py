"""The processes of a job's pods on this machine: a driver and its workers, each a Ray node of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from commands import clean_environment
from headway_api import wire
from ports import free_port

START_SECONDS = 180.0


class Pods:
    """One attempt of a job. Folders that pods of a job share are in `root`; each pod has a /tmp of its own."""

    def __init__(
        self,
        root: Path,
        spec: Mapping[str, Any],
        *,
        attempt: int = 1,
        code: Path | None = None,
        storage_uri: str | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """storage_uri: `store` in the root if none. variables: more of the pods' environment."""
        self.root = root
        self._variables = dict(variables or {})
        self.store = root / "store"
        self._storage_uri = storage_uri or str(self.store)
        self.attempt = attempt
        root.mkdir(parents=True, exist_ok=True)
        # Ray's sockets need a short path.
        self._tmp = Path(tempfile.mkdtemp(prefix="hw-"))
        self._spec = spec
        self._code = code
        self._ip = _own_address()
        self._port = free_port()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        (self._tmp / "token").write_text("t" * 40)
        self.run_file = self._write_run_file()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in list(self._processes):
            self.kill(name)
        shutil.rmtree(self._tmp, ignore_errors=True)

    @property
    def head_address(self) -> tuple[str, int]:
        """Where workers look for the head."""
        return self._ip, self._port

    def start(self, name: str, *, module: str | None = None) -> subprocess.Popen[bytes]:
        """Start the pod `head`, or a worker."""
        module = module or ("headway_trainer.driver" if name == "head" else "headway_trainer.worker")
        temporary = self._tmp / name
        temporary.mkdir()
        with self.log_file(name).open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", module],
                env=self._environment(name, temporary),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._processes[name] = process
        return process

    def start_all(self) -> None:
        """Start the head and the spec's workers."""
        self.start("head")
        for index in range(self._spec["workers"]["replicas"]):
            self.start(f"worker-{index}")

    def ended(self, name: str) -> bool:
        """Whether a pod's main process has ended."""
        return self._processes[name].poll() is not None

    def wait(self, name: str, seconds: float = 300) -> int:
        """Wait for a pod's end; its exit code."""
        try:
            return self._processes[name].wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{name} did not end:\n{self.log(name)}") from None

    def terminate(self, name: str) -> None:
        """SIGTERM to the pod's main process, as the kubelet sends it."""
        self._processes[name].send_signal(signal.SIGTERM)

    def kill(self, name: str) -> None:
        """SIGKILL to every process of the pod."""
        process = self._processes.pop(name)
        for pid in _descendants(process.pid):
            _kill(pid)
        _kill(process.pid)
        process.wait(30)

    def folder(self, name: str) -> Path:
        """The pod's own /tmp."""
        return self._tmp / name

    def pids(self, name: str) -> list[int]:
        """The pod's main process and all below it."""
        pid = self._processes[name].pid
        return [pid, *_descendants(pid)]

    def training_pid(self, name: str) -> int:
        """A training process of a worker, also while it joins or leaves a process group."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            for pid in self.pids(name):
                # Ray calls a process by what its actor does: by a method of the class, or by a function it was given.
                if any(title in _command(pid) for title in ("ray::RayTrainWorker", "ray::execute.")):
                    return pid
            time.sleep(0.02)
        commands = "\n".join(map(_command, self.pids(name)))
        raise AssertionError(f"{name} has no training process:\n{commands}\n{self.log('head')}")

    def outcome(self) -> wire.Outcome:
        """The driver's last word."""
        return wire.Outcome.model_validate_json((self.root / f"head-{self.attempt}.outcome").read_bytes())

    def checkpoints(self) -> list[str]:
        """The complete checkpoints, oldest first."""
        return sorted(path.parent.name for path in (self.store / "checkpoints").glob("*/manifest.json"))

    def wait_for_checkpoint(self, step: int, seconds: float = START_SECONDS) -> int:
        """Wait until a checkpoint of this step or a later one is complete; its step."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            steps = [int(name.split("-")[1]) for name in self.checkpoints()]
            if steps and max(steps) >= step:
                return max(steps)
            if (code := self._processes["head"].poll()) is not None:
                raise AssertionError(f"the driver ended with {code} before step {step}:\n{self.log('head')}")
            time.sleep(0.02)
        raise AssertionError(f"no checkpoint of step {step} within {seconds} s:\n{self.log('head')}")

    def log(self, name: str) -> str:
        """What the pod has printed."""
        return self.log_file(name).read_text(errors="replace")

    def log_file(self, name: str) -> Path:
        """Where a pod prints to."""
        return self.root / f"{name}-{self.attempt}.log"

    def _write_run_file(self) -> Path:
        run = wire.RunFile.model_validate(
            {
                "namespace": "default",
                "name": "job",
                "uid": "00000000-0000-0000-0000-000000000001",
                "attempt": self.attempt,
                "storageUri": self._storage_uri,
                "spec": self._spec,
            }
        )
        path = self.root / f"run-{self.attempt}.json"
        path.write_text(run.model_dump_json())
        return path

    def _environment(self, name: str, temporary: Path) -> dict[str, str]:
        environment = clean_environment()
        if self._code is not None:
            given = [path for path in (environment.get("PYTHONPATH"),) if path]
            environment["PYTHONPATH"] = os.pathsep.join([str(self._code), *given])
        return (
            environment
            | self._variables
            | {
                wire.ENV_RUN_FILE: str(self.run_file),
                wire.ENV_HEAD_ADDRESS: f"{self._ip}:{self._port}",
                wire.ENV_POD_IP: self._ip,
                wire.ENV_POD_NAME: name,
                "RAY_AUTH_MODE": "token",
                "RAY_AUTH_TOKEN_PATH": str(self._tmp / "token"),
                "HEADWAY_READY_FILE": str(self.root / f"{name}-{self.attempt}.ready"),
                "HEADWAY_TERMINATION_FILE": str(self.root / f"{name}-{self.attempt}.outcome"),
                "TMPDIR": str(temporary),
                "RAY_TMPDIR": str(temporary),
            }
        )


def _own_address() -> str:
    """The address that this machine has for others; no packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        address: str = probe.getsockname()[0]
        return address


def _descendants(pid: int) -> list[int]:
    """All processes below one, children first."""
    try:
        tasks = sorted(Path(f"/proc/{pid}/task").iterdir(), key=lambda task: task.name != str(pid))
    except OSError:
        return []
    children = [child for task in tasks for child in _children(task)]
    return [one for child in children for one in (child, *_descendants(child))]


def _children(task: Path) -> list[int]:
    """The processes that a thread has begun; none of one that has ended meanwhile."""
    try:
        return [int(child) for child in (task / "children").read_text().split()]
    except OSError:
        return []


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


@contextlib.contextmanager
def undisturbed(folder: Path, spec: dict[str, Any]) -> Iterator[Pods]:
    """The pods of a run that nothing happened to and that has succeeded: what others are compared with."""
    with Pods(folder, spec) as pods:
        pods.start_all()
        assert pods.wait("head") == 0, pods.log("head")
        yield pods
