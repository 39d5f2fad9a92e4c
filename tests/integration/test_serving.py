"""`headway serve` as a process: it says what `headway predict` says, drops nothing when it ends, and stays quick."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
import json
import random
import re
import signal
import struct
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from commands import COMMAND, clean_environment, headway
from exported import exported
from grpc_requests import Client as GrpcClient
from grpc_requests import labels, texts
from headway_server.grpc import descriptors
from markdown_blocks import ROOT, script
from served import heavy
from wire_client import PATIENCE, Wire, ask

from .split_world import begun

ROWS = 1000
TOWNS = ["Łódź", "Kobe", "a, b", 'say "hi"']


@dataclass
class Server:
    """A process of `headway serve`."""

    process: asyncio.subprocess.Process
    name: str
    port: int
    grpc: int
    admin: int

    @property
    def infer(self) -> str:
        """The path for tensors."""
        return f"/v2/models/{self.name}/infer"


@contextlib.asynccontextmanager
async def serving(folder: Path, *words: str) -> AsyncIterator[Server]:
    """A server on free ports, once it takes requests."""
    async with begun("serve", str(folder), "--port=0", "--admin-port=0", "--grpc-port=0", *words) as (process, said):
        told = re.fullmatch(
            r"Serving (\S+), version 1, on http://127.0.0.1:(\d+) and .* port (\d+) \(.* port (\d+)\)\n", said
        )
        assert told, said
        yield Server(process, told[1], int(told[2]), int(told[3]), int(told[4]))


def rows(count: int, seed: int, towns: list[str]) -> pa.Table:
    """Homes, some of them with missing values."""
    draw = random.Random(seed)  # noqa: S311 - no secret

    def some(value: Any) -> Any:
        return None if draw.random() < 0.15 else value

    return pa.table(
        {
            "size": [some(draw.gauss(100, 30)) for _ in range(count)],
            "town": [some(draw.choice(towns)) for _ in range(count)],
            "zip": [some(f"{draw.randint(0, 20):05}") for _ in range(count)],
            "new": [some(draw.random() < 0.5) for _ in range(count)],
            "built": [
                some(f"{draw.randint(1950, 2024)}-0{draw.randint(1, 9)}-1{draw.randint(0, 9)}") for _ in range(count)
            ],
            "fit": [draw.choice(["yes", "no", "peut-être"]) for _ in range(count)],
        }
    )


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of a table of every kind of column."""
    folder = tmp_path_factory.mktemp("homes")
    parquet.write_table(rows(400, 3, TOWNS), folder / "rows.parquet")
    source = {"source": {"uri": str(folder / "rows.parquet")}, "target": "fit"}
    exported(folder / "out", source, job="homes")
    return folder / "out"


async def test_rows_with_missing_values_and_unseen_categories_get_predict_s_answers_in_every_form(
    homes: Path, tmp_path: Path
) -> None:
    new = rows(ROWS, 4, [*TOWNS, "unseen", ""]).drop_columns(["fit"]).to_pylist()
    (tmp_path / "new.jsonl").write_text("".join(json.dumps(row) + "\n" for row in new))
    done = await asyncio.to_thread(
        headway, "predict", str(homes), str(tmp_path / "new.jsonl"), "-o", str(tmp_path / "said.jsonl")
    )
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in (tmp_path / "said.jsonl").read_text().splitlines()]
    assert len(told) == ROWS
    assert len({row["label"] for row in told}) > 1

    async with serving(homes) as server:
        by_name = await ask(server.port, "POST", "/v1/models/homes:predict", json.dumps({"instances": new}).encode())
        metadata = (await ask(server.port, "GET", "/v2/models/homes")).json
        columns = {one["name"]: one["datatype"] for one in metadata["inputs"]}
        inputs = [
            {"name": name, "shape": [ROWS, 1], "datatype": kind, "data": [_value(row[name], kind) for row in new]}
            for name, kind in columns.items()
        ]
        by_json = await ask(server.port, "POST", server.infer, json.dumps({"inputs": inputs}).encode())
        by_bytes = await _binary(server, inputs)
        by_grpc = await _by_grpc(server, inputs)
    assert by_name.status == 200, by_name.body
    for one, row in zip(by_name.json["predictions"], told, strict=True):
        assert one["label"] == row["label"]
        assert one["probabilities"] == pytest.approx(row["probabilities"], rel=1e-5)
    label, probabilities = by_json.json["outputs"]
    assert label["data"] == [row["label"] for row in told]
    assert by_bytes == (label["data"], [np.float32(one) for one in probabilities["data"]])
    assert by_grpc == by_bytes
    classes = list(told[0]["probabilities"])
    expected = [row["probabilities"][name] for row in told for name in classes]
    assert np.allclose(probabilities["data"], expected, rtol=1e-5)


def _value(value: Any, datatype: str) -> Any:
    """A value of a row as the graph takes it: times are microseconds."""
    if isinstance(value, str) and datatype == "FP64":
        return int(np.datetime64(value, "us").astype(np.int64))
    return float(value) if isinstance(value, bool) else value


def _bytes(inputs: list[dict[str, Any]]) -> list[bytes]:
    """The values as binary tensors."""
    parts = []
    for one in inputs:
        if one["datatype"] == "BYTES":
            parts.append(texts(*(value or "" for value in one["data"])))
        else:
            parts.append(np.array(one["data"], dtype="<f8").tobytes())
    return parts


async def _by_grpc(server: Server, inputs: list[dict[str, Any]]) -> tuple[list[str], list[Any]]:
    """Labels and probabilities, asked by gRPC."""
    message = descriptors.ModelInferRequest(model_name=server.name, raw_input_contents=_bytes(inputs))
    for one in inputs:
        message.inputs.add(name=one["name"], datatype=one["datatype"], shape=one["shape"])
    client = GrpcClient(server.grpc)
    answer = await client.call("ModelInfer", message)
    await client.channel.close()
    return labels(answer), np.frombuffer(answer.raw_output_contents[1], "<f4").tolist()


async def _binary(server: Server, inputs: list[dict[str, Any]]) -> tuple[list[str], list[Any]]:
    """Labels and probabilities, asked and answered with binary tensors."""
    parts = _bytes(inputs)
    tensors = [
        {"name": one["name"], "shape": one["shape"], "datatype": one["datatype"]}
        | {"parameters": {"binary_data_size": len(part)}}
        for one, part in zip(inputs, parts, strict=True)
    ]
    head = json.dumps({"inputs": tensors, "parameters": {"binary_data_output": True}}).encode()
    length = {"Inference_Header_Content_Length": str(len(head))}
    reply = await ask(server.port, "POST", server.infer, head + b"".join(parts), **length)
    size = int(reply.headers["inference-header-content-length"])
    label = json.loads(reply.body[:size])["outputs"][0]
    at, found = size, []
    for _ in range(ROWS):
        (long,) = struct.unpack_from("<I", reply.body, at)
        found.append(reply.body[at + 4 : at + 4 + long].decode())
        at += 4 + long
    assert at == size + label["parameters"]["binary_data_size"]
    return found, np.frombuffer(reply.body, "<f4", offset=at).tolist()


@dataclass
class Client:
    """Sends one request after the other on a connection that is kept, as long as the server keeps it."""

    server: Server
    path: str
    body: bytes
    statuses: Counter[int | str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Until it is told to stop."""
        wire: Wire | None = None
        while not self.stop.is_set():
            start = time.perf_counter()
            try:
                wire = wire or await Wire.to(self.server.port)
                reply = await wire.ask("POST", self.path, self.body)
            except (OSError, AssertionError) as error:
                self.statuses[f"lost: {error!r}"] += 1
                wire = None
                continue
            self.statuses[reply.status] += 1
            if reply.status == 200:
                self.seconds.append(time.perf_counter() - start)
            if reply.headers.get("connection") == "close":
                await wire.close()
                wire = None
            # Whoever is refused comes again soon, but not at once: the tests have the machine's cores, too.
            await asyncio.sleep(0.005 if reply.status == 503 else 0)
        if wire is not None:
            await wire.close()


async def until(condition: Callable[[], object]) -> None:
    """Wait for what another process brings about."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - another process has no event of this one's
            await asyncio.sleep(0.01)


async def _not_ready(server: Server) -> bool:
    """Whether the server says that it is not ready, as soon as it does."""
    for _ in range(1000):
        if (await ask(server.admin, "GET", "/v2/health/ready")).status == 503:
            return True
    return False


def _tensor(name: str, shape: list[int], data: list[float]) -> bytes:
    return json.dumps({"inputs": [{"name": name, "shape": shape, "datatype": "FP32", "data": data}]}).encode()


async def test_a_server_that_is_told_to_end_under_load_drops_no_request(homes: Path) -> None:
    row = {"size": 1.5, "town": "Kobe", "zip": "00001", "new": True, "built": "2001-02-03"}
    body = json.dumps({"instances": [row]}).encode()
    async with serving(homes, "--drain-seconds=60") as server:
        clients = [Client(server, "/v1/models/homes:predict", body) for _ in range(8)]
        running = [asyncio.create_task(one.run()) for one in clients]
        await until(lambda: all(len(one.seconds) >= 20 for one in clients))
        server.process.send_signal(signal.SIGTERM)
        assert await _not_ready(server)
        # As with a Service, requests go on until all who send them have learnt of it.
        before = [len(one.seconds) for one in clients]
        await until(lambda: all(len(one.seconds) >= more + 20 for one, more in zip(clients, before, strict=True)))
        for one in clients:
            one.stop.set()
        await asyncio.gather(*running)
        server.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(server.process.wait(), PATIENCE) == 0
    lost = sum((one.statuses for one in clients), Counter[int | str]())
    assert set(lost) == {200}, lost


def written(folder: Path) -> list[dict[str, Any]]:
    """The records of the one file that is there."""
    [file] = folder.iterdir()
    return [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]


async def test_records_and_labels_are_written_by_the_time_that_a_server_has_ended(homes: Path, tmp_path: Path) -> None:
    row = {"size": 1.5, "town": "Kobe", "zip": "00001", "new": True, "built": "2001-02-03"}
    body = json.dumps({"instances": [row], "id": "mine"}).encode()
    words = ("--records-sample=1", "--records-payloads=inputs", "--records-mask=zip", f"--records-folder={tmp_path}")
    async with serving(homes, "--drain-seconds=0", *words) as server:
        said = (await ask(server.port, "POST", "/v1/models/homes:predict", body)).json
        label = json.dumps({"id": said["id"], "label": "yes"}).encode()
        assert (await ask(server.port, "POST", "/v2/models/homes/feedback", label)).status == 202
        server.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(server.process.wait(), PATIENCE) == 0
    request, feedback = written(tmp_path)
    assert (request["id"], feedback["id"], feedback["labels"]) == ("mine", "mine", ["yes"])
    assert request["predictions"] == [{"label": said["predictions"][0]["label"]}]
    assert request["digest"] == f"sha256:{hashlib.sha256((homes / 'model.json').read_bytes()).hexdigest()}"
    built = request["inputs"][0].pop("built")
    assert request["inputs"] == [{"size": 1.5, "town": "Kobe", "new": 1.0}]
    assert built == 981158400000000, "microseconds since 1970"


async def test_more_than_it_can_do_gets_503_and_what_is_taken_is_answered_in_bounded_time(tmp_path: Path) -> None:
    limits = ("--max-in-flight=4", "--threads=1", "--no-inline", "--max-batch-rows=1")
    async with serving(heavy(tmp_path), *limits) as server:
        body = _tensor("y", [1, 1, 1], [2.0])
        alone = Client(server, server.infer, body)
        task = asyncio.create_task(alone.run())
        await until(lambda: len(alone.seconds) >= 10)
        alone.stop.set()
        await task
        clients = [Client(server, server.infer, body) for _ in range(32)]
        running = [asyncio.create_task(one.run()) for one in clients]
        await until(lambda: sum(one.statuses[200] for one in clients) >= 40)
        health = await ask(server.admin, "GET", "/v2/health/live")
        for one in clients:
            one.stop.set()
        await asyncio.gather(*running)
    told = sum((one.statuses for one in clients), Counter[int | str]())
    assert set(told) == {200, 503}, told
    assert told[503] > told[200]
    assert health.status == 200
    taken = sorted(second for one in clients for second in one.seconds)
    # Four wait at most: some five runs, and what 32 clients take of the machine beside them.
    assert taken[int(0.95 * len(taken))] < 20 * max(np.median(alone.seconds), 0.02), (taken[-5:], alone.seconds)


def test_a_folder_that_was_changed_never_takes_requests(homes: Path, tmp_path: Path) -> None:
    for name in ("model.json", "model.onnx"):
        (tmp_path / name).write_bytes((homes / name).read_bytes())
    with (tmp_path / "model.onnx").open("ab") as stream:
        stream.write(b"x")
    done = headway("serve", str(tmp_path), "--port=0", "--admin-port=0")
    assert done.returncode == 1
    assert done.stdout == ""
    assert re.fullmatch(r"Error: \S+model.onnx has the sha256 \w+, but .*: copy the folder again\n", done.stderr)


def test_a_port_that_is_taken_is_told(homes: Path) -> None:
    done = headway("serve", str(homes), "--host=192.0.2.1", "--port=0", "--admin-port=0")
    assert done.returncode == 1
    assert "Error: --host 192.0.2.1" in done.stderr


def test_serving_needs_neither_torch_nor_what_reads_training_data(homes: Path) -> None:
    program = (
        "import sys, asyncio\n"
        "from headway_cli import serve\n"
        "from headway_server.process import load\n"
        "from headway_server.settings import Settings\n"
        f"load(Settings({str(homes)!r}))\n"
        "print(sorted({'torch', 'ray', 'onnx', 'pyarrow', 'pandas', 'headway_trainer'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [COMMAND[0], "-c", program], env=clean_environment(), capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr


@pytest.mark.ray
def test_the_page_about_serving_can_be_typed_and_answers(tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    text = script(ROOT / "docs/how-to/serve.md", cluster=False)
    done = subprocess.run(["bash", "-c", text], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    assert '"model_name":"digits"' in done.stdout
    assert re.search(r"^\['\d', '\d'\]$", done.stdout, re.MULTILINE)
    assert '"predictions":[{"label":"' in done.stdout
