"""A real server of MLflow, from the environment that `requirements/trackers.lock` describes."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from client_environment import ROOT, python_with
from headway_cluster.paths import cache_dir, locked
from ports import free_port

LOCK = ROOT / "requirements" / "trackers.lock"
START_SECONDS = 120.0
Run = dict[str, Any]


def tracker_python() -> Path:
    """The Python that has MLflow's server and the reader of TensorBoard's files."""
    return python_with(LOCK, "--require-hashes")


class Server:
    """A server with a database of its own, which may be stopped and started again."""

    def __init__(self, folder: Path, host: str = "127.0.0.1", names: Sequence[str] = ()) -> None:
        """host: the address of this machine that it listens at. names: those that others call it by, with the port."""
        self._folder, self._host = folder, host
        self._port = free_port()
        self.uri = f"http://{host}:{self._port}"
        self._names = [*names, f"{host}:{self._port}"] if names else []
        self._python = tracker_python()
        shutil.copy(_empty_database(self._python), folder / "mlflow.db")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        words = ["--host", self._host, "--port", str(self._port), "--workers", "1"]
        words += ["--allowed-hosts", ",".join(self._names)] if self._names else []
        stores = ["--backend-store-uri", f"sqlite:///{self._folder}/mlflow.db", "--artifacts-destination"]
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._python), "-m", "mlflow", "server", *words, *stores, str(self._folder / "artifacts")],
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=self._folder,
                env=_environment(),
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"MLflow did not start:\n{(self._folder / 'server.log').read_text()[-3000:]}")
            time.sleep(0.1)

    def stop(self) -> None:
        """End it, as a node does that is lost."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def runs(self, experiment: str) -> list[Run]:
        """The runs of an experiment: each with its info, and its tags, parameters and newest metrics by name."""
        found = self._get(f"experiments/get-by-name?experiment_name={experiment}")
        body = {"experiment_ids": [found["experiment"]["experiment_id"]], "max_results": 1000}
        listed = self._asked("runs/search", json.dumps(body).encode()).get("runs", [])
        return [{"info": run["info"], **{part: _named(run, part) for part in _PARTS}} for run in listed]

    def history(self, run: Run, metric: str) -> list[int]:
        """The steps of a metric, as the server has them."""
        words = f"run_id={run['info']['run_id']}&metric_key={metric}"
        return [int(each["step"]) for each in self._get(f"metrics/get-history?{words}").get("metrics", [])]

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=2) as answer:  # noqa: S310 - it is http
                return bool(answer.status == 200)
        except OSError:
            return False

    def _get(self, path: str) -> Any:
        return self._asked(path, None)

    def _asked(self, path: str, body: bytes | None) -> Any:
        request = urllib.request.Request(  # noqa: S310 - it is http
            f"{self.uri}/api/2.0/mlflow/{path}", data=body, headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - it is http
            return json.load(answer)


_PARTS = ("tags", "params", "metrics")


def _named(run: Any, part: str) -> dict[str, Any]:
    return {each["key"]: each["value"] for each in run["data"].get(part, [])}


def _environment() -> dict[str, str]:
    told = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    return {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ} | told


def _empty_database(python: Path) -> Path:
    """A database with MLflow's tables, which take half a minute to be made: once for a machine."""
    database = python.parent.parent / "mlflow.db"
    with locked(cache_dir() / "locks" / "mlflow.db"):
        if not database.exists():
            draft = database.with_name("mlflow.draft.db")
            draft.unlink(missing_ok=True)
            done = subprocess.run(
                [
                    *(str(python), "-c"),
                    "import sys; from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as S;"
                    "S(sys.argv[1], sys.argv[2])",
                    *(f"sqlite:///{draft}", str(draft.parent / "nowhere")),
                ],
                capture_output=True,
                text=True,
                check=False,
                env=_environment(),
            )
            if done.returncode:
                raise RuntimeError(f"MLflow's database could not be made:\n{done.stderr[-3000:]}")
            draft.replace(database)
    return database


@contextlib.contextmanager
def running(folder: Path, host: str = "127.0.0.1", names: Sequence[str] = ()) -> Iterator[Server]:
    """A server, as long as the block goes on; see Server."""
    folder.mkdir(parents=True, exist_ok=True)
    server = Server(folder, host, names)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard itself reads of a folder: steps and values by name."""
    program = (
        "import json, sys\n"
        "from tensorboard.backend.event_processing.event_accumulator import EventAccumulator\n"
        "read = EventAccumulator(sys.argv[1], size_guidance={'scalars': 0})\n"
        "read.Reload()\n"
        "print(json.dumps({tag: [(one.step, one.value) for one in read.Scalars(tag)]"
        " for tag in read.Tags()['scalars']}))\n"
    )
    done = subprocess.run(
        [str(tracker_python()), "-c", program, str(folder)], capture_output=True, text=True, check=True
    )
    return {tag: [(step, value) for step, value in points] for tag, points in json.loads(done.stdout).items()}
