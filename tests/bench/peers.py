"""`headway serve` beside other servers of models: the same ONNX file, machine and load, one after the other in one run.

Each peer has an environment of its own (`rivals/NAME.lock`), its model is run by the same onnxruntime with the same
options (`rivals/model.py`), and it is set up as its own documentation says for speed: `SERVERS` has what was set. The
server is held to one core and the client to another. Ray Serve, which is a dozen processes, is measured with both
cores, too; the best peer is the best on one core.

`python -m bench.peers` prints the table of the kept figures for the page in docs.
"""

from __future__ import annotations

import json
import os
import re
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from bench import h2load, trees
from bench.network import WIDTHS, body, in_process, network
from bench.report import Goal, Measured, Reference, Row, kept
from client_environment import python_with
from commands import COMMAND, clean_environment
from headway_server.grpc import descriptors
from headway_server.model import ServedModel
from ports import free_port

RIVALS = Path(__file__).parent / "rivals"
RESULTS = Path(__file__).parent / "results" / "serving.json"
PATIENCE = 120.0
OURS = "headway serve"
_INFER = "/v2/models/network/infer"
Words = Callable[["Place"], list[str]]


@dataclass(frozen=True)
class Place:
    """Where a server is to run."""

    model: Path
    """The folder of the finished run."""
    scratch: Path
    port: int
    grpc_port: int


@dataclass(frozen=True)
class Server:
    """One way to serve the network."""

    name: str
    setting: str
    """How it was set up, for the page."""
    lock: str
    """What `rivals/LOCK.lock` pins; empty for ours."""
    words: Words
    """The command, behind its Python."""
    path: str = "/infer"
    own_json: bool = False
    """Whether it takes arrays in a form of its own instead of the protocol's."""
    grpc: bool = False
    """Whether it is measured by gRPC, instead of REST."""
    cores: int = 1
    variables: dict[str, str] = field(default_factory=dict)
    ports: Sequence[int] = ()
    """Where it may listen, if that is not where it is told to."""


def _ours(place: Place) -> list[str]:
    return [*COMMAND[1:], "serve", str(place.model), f"--port={place.port}", "--admin-port=0", "--drain-seconds=0"]


def _ours_by_grpc(place: Place) -> list[str]:
    return [*_ours(place), f"--grpc-port={place.grpc_port}"]


def _kserve(place: Place) -> list[str]:
    ports = [f"--http_port={place.port}", f"--grpc_port={place.grpc_port}"]
    # Its own logging has an access log.
    fast = ["--workers=1", "--enable_docs_url=False", "--enable_latency_logging=False", "--configure_logging=False"]
    return [str(RIVALS / "serve_kserve.py"), *ports, *fast]


def _mlserver(workers: int) -> Words:
    def words(place: Place) -> list[str]:
        folder = place.scratch / "mlserver"
        folder.mkdir()
        ports = {"http_port": place.port, "grpc_port": place.grpc_port, "metrics_port": free_port()}
        settings = {"host": "127.0.0.1", "parallel_workers": workers, "debug": False, "logging_settings": None, **ports}
        (folder / "settings.json").write_text(json.dumps(settings))
        told = {"name": "network", "implementation": "mlserver_runtime.Network", "parameters": {"version": "1"}}
        (folder / "model-settings.json").write_text(json.dumps(told))
        return ["-c", "from mlserver.cli import main; main()", "start", str(folder)]

    return words


def _litserve(rows: int) -> Words:
    return lambda place: [str(RIVALS / "serve_litserve.py"), str(place.port), str(rows)]


def _bentoml(service: str) -> Words:
    return lambda place: [
        *["-m", "bentoml", "serve", f"serve_bentoml:{service}", "--working-dir", str(RIVALS)],
        *["--host", "127.0.0.1", "--port", str(place.port)],
    ]


def _ray(place: Place) -> list[str]:
    return [str(RIVALS / "serve_ray.py"), str(place.port), str(place.scratch / "r")]


_RAY = {"RAY_USAGE_STATS_ENABLED": "0"}
_FAST_RAY = _RAY | {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"}
_RAY_REPLICA_PORTS = range(30_000, 30_010)
"""Where Ray Serve lets clients come to a replica without its proxy: the first that is free."""
_BENTO = {"BENTOML_DO_NOT_TRACK": "True"}
_ONE_BY_ONE, _BATCHES = "a request at a time", "batches of up to 32"
_FASTEST = "RAY_SERVE_THROUGHPUT_OPTIMIZED"
SERVERS: Sequence[Server] = (
    Server(OURS, "as it is", "", _ours, path=_INFER),
    Server("KServe SDK", "uvloop and httptools, one worker, no logs of requests", "kserve", _kserve, path=_INFER),
    Server("LitServe", f"fast_queue, one API server, one worker; {_ONE_BY_ONE}", "litserve", _litserve(1)),
    Server("LitServe", f"fast_queue, one API server, one worker; {_BATCHES}, 1 ms", "litserve", _litserve(32)),
    Server("MLServer", "no parallel workers, as for small models", "mlserver", _mlserver(0), path=_INFER),
    Server("MLServer", "one parallel worker", "mlserver", _mlserver(1), path=_INFER),
    Server("BentoML", f"one worker; {_ONE_BY_ONE}", "bentoml", _bentoml("One"), own_json=True, variables=_BENTO),
    Server("BentoML", f"one worker; {_BATCHES}", "bentoml", _bentoml("Batches"), own_json=True, variables=_BENTO),
    Server("Ray Serve", "one replica, both cores", "ray", _ray, cores=2, variables=_RAY),
    Server("Ray Serve", f"{_FASTEST}, both cores", "ray", _ray, cores=2, variables=_FAST_RAY),
    Server(
        "Ray Serve",
        f"{_FASTEST}, straight to the replica, both cores",
        "ray",
        _ray,
        cores=2,
        variables=_FAST_RAY,
        ports=_RAY_REPLICA_PORTS,
    ),
    Server(
        "Ray Serve", f"{_FASTEST}, straight to the replica", "ray", _ray, variables=_FAST_RAY, ports=_RAY_REPLICA_PORTS
    ),
    Server(OURS, "by gRPC", "", _ours_by_grpc, path=_INFER, grpc=True),
    Server("KServe SDK", "by gRPC", "kserve", _kserve, path=_INFER, grpc=True),
    Server("MLServer", "by gRPC", "mlserver", _mlserver(0), path=_INFER, grpc=True),
)  # fmt: skip

P50, RATE, RATE_8, CPU, MEMORY, START = (
    "median of a request at 1 connection",
    "requests a second at 64 connections",
    "requests a second at 8 connections",
    "CPU of the server a request at 64 connections",
    "memory after all of it, all processes",
    "seconds from the command to the first answer",
)
SLOW = "99th percentile of a request at 64 connections"
_UNITS = {P50: "ms", RATE: "1/s", RATE_8: "1/s", CPU: "us", MEMORY: "MiB", START: "s", SLOW: "ms"}
_OVERHEAD_MS = 0.5
_LIMITS = {
    CPU: Goal("at most", 150, "value"),
    MEMORY: Goal("at most", 100, "value"),
    START: Goal("at most", 2, "value"),
}
"""What is to be reached by REST, whatever the peers do."""
_TIMES = {RATE: 15, RATE_8: 8}
"""How many times the best peer's it is to be."""
_TIMES_BY_GRPC = 3


def peers(seconds: float = 3.0, tries: int = 2, only: str = "") -> Iterator[Measured]:
    """Cost, time and number of requests of each server, beside the best peer's. only: a part of names, for a try."""
    with tempfile.TemporaryDirectory(prefix="p") as told:
        folder = Path(told)
        network(folder / "model")
        alone = in_process(folder / "model")
        yield Measured(f"{OURS} and peers: the same in process", alone, "ms")
        chosen = [one for one in SERVERS if only in f"{one.name} ({one.setting})"]
        found = {one.setting + one.name: figures(one, folder, seconds, tries) for one in chosen}
    for one in chosen:
        mine = found[one.setting + one.name]
        alike = [other for other in chosen if (other.grpc, other.cores) == (one.grpc, one.cores) and other.name != OURS]
        others = [found[other.setting + other.name] for other in alike]
        for what, value in mine.items():
            yield _measured(one, what, value, [other[what] for other in others], alone)


def _measured(server: Server, what: str, value: float, others: list[float], alone: float) -> Measured:
    name = f"{named(server)}: {what}"
    if server.name != OURS:
        return Measured(name, value, _UNITS[what])
    reference, goal = None, None
    if what == P50 and not server.grpc:
        reference, goal = Reference("in process", alone), Goal("at most", alone + _OVERHEAD_MS, "value")
    elif what in _TIMES and others:
        reference = Reference("the best peer on one core", max(others))
        goal = Goal("at least", _TIMES_BY_GRPC if server.grpc else _TIMES[what], "ratio")
    elif others:
        reference = Reference("the best peer on one core", min(others))
    return Measured(name, value, _UNITS[what], reference, None if server.grpc else _LIMITS.get(what, goal) or goal)


def named(server: Server) -> str:
    """Its name, version and setting."""
    version = ""
    if server.lock:
        pins = (RIVALS / f"{server.lock}.lock").read_text()
        found = re.search(rf"^{server.lock}(?:\[\w+\])?==(\S+)", pins, re.MULTILINE)
        version = f" {found[1]}" if found else ""
    return f"{server.name}{version} ({server.setting})"


def figures(server: Server, folder: Path, seconds: float, tries: int) -> dict[str, float]:
    """What it takes: of each figure the best of some tries, as this machine is never quiet."""
    print(named(server), file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="q", dir="/tmp") as scratch:
        place = Place(folder / "model", Path(scratch), free_port(), free_port())
        expected = _expected(place.model)
        with _running(server, place, expected) as (process, start):
            load = _load(server, place)
            h2load.run(load, 8, 2.0)  # what the first requests reserve is not theirs
            told: dict[str, float] = {}
            for _ in range(tries):
                told = _better(told, _tried(load, process.pid, seconds))
            _check(server, place, expected)
            return {**told, MEMORY: trees.memory_mib(process.pid), START: start}


def _tried(load: h2load.Load, pid: int, seconds: float) -> dict[str, float]:
    one, eight = h2load.run(load, 1, seconds), h2load.run(load, 8, seconds)
    before = trees.cpu_seconds(pid)
    many = h2load.run(load, 64, seconds)
    cost = (trees.cpu_seconds(pid) - before) / many.count * 1e6
    return {P50: one.median, RATE_8: eight.per_second, RATE: many.per_second, SLOW: many.slow, CPU: cost}


def _better(told: dict[str, float], other: dict[str, float]) -> dict[str, float]:
    if not told:
        return other
    return {what: (max if what in _TIMES else min)(value, told[what]) for what, value in other.items()}


@contextmanager
def _running(server: Server, place: Place, expected: list[float]) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
    """The server, and the seconds until it gave its first right answer."""
    cores = sorted(os.sched_getaffinity(0))
    python = str(python_with(RIVALS / f"{server.lock}.lock")) if server.lock else sys.executable
    variables = clean_environment()
    if server.lock:
        # What is ours is not theirs.
        variables = {name: variables[name] for name in ("PATH", "HOME") if name in variables}
        variables |= {"PYTHONPATH": str(RIVALS), "MODEL": str(place.model / "model.onnx"), "OMP_NUM_THREADS": "1"}
        variables |= {"BENTOML_HOME": str(place.scratch), "TMPDIR": str(place.scratch), **server.variables}
    command = ["taskset", "-c", ",".join(map(str, cores[: server.cores])), python, *server.words(place)]
    with (place.scratch / "log").open("wb") as log:
        start = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=place.scratch, env=variables, stdout=log, stderr=log, start_new_session=True
        )
        try:
            while not _answers(server, place, expected):
                if process.poll() is not None or time.perf_counter() - start > PATIENCE:
                    said = (place.scratch / "log").read_text()[-4000:]
                    raise RuntimeError(f"{named(server)} gives no answer:\n{said}")
                time.sleep(0.02)
            yield process, time.perf_counter() - start
        finally:
            trees.end(process)


def _expected(model: Path) -> list[float]:
    told = json.loads(body())["inputs"][0]
    x = np.array(told["data"], np.float32).reshape(told["shape"])
    found: list[float] = ServedModel.open(str(model)).run({"x": x})["probabilities"].ravel().tolist()
    return found


def _json(server: Server) -> bytes:
    return json.dumps({"x": [json.loads(body())["inputs"][0]["data"]]}).encode() if server.own_json else body()


def _message() -> bytes:
    told = json.loads(body())["inputs"][0]
    message = descriptors.ModelInferRequest(model_name="network")
    message.inputs.add(name="x", datatype="FP32", shape=told["shape"])
    message.raw_input_contents.append(np.array(told["data"], "<f4").tobytes())
    data: bytes = message.SerializeToString()
    return data


def _load(server: Server, place: Place) -> h2load.Load:
    core = sorted(os.sched_getaffinity(0))[1]
    file = place.scratch / "body"
    if server.grpc:
        data = _message()
        file.write_bytes(struct.pack(">BI", 0, len(data)) + data)
        url = f"http://127.0.0.1:{place.grpc_port}/{descriptors.INFERENCE}/ModelInfer"
    else:
        file.write_bytes(_json(server))
        url = f"http://127.0.0.1:{_port(server, place)}{server.path}"
    return h2load.Load(url, file, core, grpc=server.grpc)


def _answers(server: Server, place: Place, expected: list[float]) -> bool:
    """Whether it gives an answer, which then has to be right."""
    try:
        _check(server, place, expected)
    except (OSError, grpc.RpcError):
        return False
    return True


def _check(server: Server, place: Place, expected: list[float]) -> None:
    if server.grpc:
        with grpc.insecure_channel(f"127.0.0.1:{place.grpc_port}") as channel:
            data = channel.unary_unary(f"/{descriptors.INFERENCE}/ModelInfer")(_message(), timeout=5)
        found = np.frombuffer(descriptors.ModelInferResponse.FromString(data).raw_output_contents[0], "<f4").tolist()
    else:
        address = f"http://127.0.0.1:{_port(server, place)}{server.path}"
        request = urllib.request.Request(address, _json(server), {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=5) as reply:  # noqa: S310 - http
            found = list(_numbers(json.load(reply)))[-WIDTHS[-1] :]
    assert np.allclose(found, expected, atol=1e-5), (named(server), found, expected)


def _numbers(told: Any) -> Iterator[float]:
    if isinstance(told, float):
        yield told
    for one in told.values() if isinstance(told, dict) else told if isinstance(told, list) else ():
        yield from _numbers(one)


def _port(server: Server, place: Place) -> int:
    """Where it takes REST."""
    for port in server.ports:
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return port
    return place.port


def table(rows: list[Row]) -> str:
    """The kept figures as the page has them."""
    value = {row.name: row.value for row in rows}
    lines = [
        "| server | median at 1, ms | requests/s at 8 | at 64 | p99 at 64, ms | CPU a request, µs | MiB | start, s |",
        "|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for server in SERVERS:
        found = {what: value[f"{named(server)}: {what}"] for what in _UNITS}
        lines.append(
            f"| {named(server)} | {found[P50]:.2f} | {found[RATE_8]:,.0f} | {found[RATE]:,.0f} | {found[SLOW]:,.0f} "
            f"| {found[CPU]:,.0f} | {found[MEMORY]:,.0f} | {found[START]:.1f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(table(kept(RESULTS)) + "\n")
