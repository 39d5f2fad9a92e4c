"""The store and the data on a real S3-compatible server: versitygw, built and started here, on a port of its own."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from pyarrow import parquet

from headway_api.data import Data
from headway_api.model import Model
from headway_api.status import MAX_ATTEMPTS_KEPT
from headway_trainer.data import SPLITS, DataInfo, prepare, read_split
from headway_trainer.data.info import Blocks
from headway_trainer.entrypoints import load_function
from headway_trainer.errors import NotFound, StorageError, UserError
from headway_trainer.logs import retention
from headway_trainer.logs.parts import PARTS_KEPT
from headway_trainer.logs.shipper import Shipper
from headway_trainer.logs.sources import DRIVER, rank
from headway_trainer.models import build as build_model
from headway_trainer.storage import Store
from headway_trainer.training.loop_inputs import LoopInputs
from s3_server import CREDENTIALS, s3_server
from training_runs import finish, job_of, run_until, same, training

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server with the bucket `models`."""
    with s3_server(tmp_path_factory.mktemp("s3")) as url:
        yield url


@pytest.fixture
def secret(endpoint: str, tmp_path: Path) -> str:
    folder = tmp_path / "secret"
    folder.mkdir()
    for name, value in (CREDENTIALS | {"AWS_ENDPOINT_URL": endpoint}).items():
        (folder / name).write_text(value)
    return str(folder)


@pytest.fixture
def store(secret: str, request: pytest.FixtureRequest) -> Store:
    """A folder of this test's own."""
    return Store.open(f"s3://models/{request.node.name.replace('[', '-').rstrip(']')}", secret)


def test_what_is_written_is_read_listed_and_deleted(store: Store) -> None:
    store.write("a/b/model.bin", b"weights")
    store.write("a/info.json", b"{}")
    store.write("empty", b"")
    assert store.read("a/b/model.bin") == b"weights"
    assert store.read("empty") == b""
    assert store.list() == ["a", "empty"]
    assert store.list("a") == ["b", "info.json"]
    assert store.walk() == [("a/b/model.bin", 7), ("a/info.json", 2), ("empty", 0)]
    assert (store.exists("a"), store.is_file("a"), store.exists("nothing")) == (True, False, False)
    assert store.read_range("a/b/model.bin", 2, 3) == b"igh"
    assert store.sha256("a/b/model.bin") == hashlib.sha256(b"weights").hexdigest()
    assert store.child("a").child("b").read("model.bin") == b"weights"
    assert store.local_path() is None
    store.delete("a")
    store.delete("empty")
    store.delete("never-there")
    assert store.list() == []


def test_a_folder_with_folders_in_it_is_deleted_as_a_whole(store: Store) -> None:
    trial = store.child("children", "trial-1")
    for name in ("progress.json", "checkpoints/attempt.json", "checkpoints/step-1-attempt-1/manifest.json", "a/b/c/d"):
        trial.write(name, b"x")
    store.delete("children/trial-1")
    assert store.list("children") == []
    assert not store.exists("children/trial-1")
    store.delete("children/trial-1")


def test_a_file_in_many_parts_is_whole(store: Store) -> None:
    data = np.random.default_rng(0).bytes(25_000_000)
    store.write("large.bin", data)
    assert store.size("large.bin") == len(data)
    assert store.sha256("large.bin") == hashlib.sha256(data).hexdigest()
    store.write("large.bin", b"short")
    assert store.read("large.bin") == b"short"


def test_a_failed_write_leaves_nothing(store: Store) -> None:
    def fail() -> None:
        with store.open_output("half.bin") as stream:
            stream.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not store.exists("half.bin")


@pytest.mark.parametrize("action", ["read", "size", "sha256"])
def test_a_missing_object_is_not_found_by_its_uri(store: Store, action: str) -> None:
    with pytest.raises(NotFound, match=r"s3://models/.*/missing\.bin"):
        getattr(store, action)("missing.bin")


def test_options_in_the_uri_reach_the_server_too(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    address = endpoint.removeprefix("http://")
    store = Store.open(f"s3://models/options?endpoint_override={address}&scheme=http&region=us-east-1")
    store.child("deep").write("file", b"x")
    assert store.read("deep/file") == b"x"


def test_a_wrong_key_is_a_storage_error_that_says_so(secret: str) -> None:
    Path(secret, "AWS_SECRET_ACCESS_KEY").write_text("wrong")
    with pytest.raises(StorageError, match=r"could not write s3://models/x/file: .*SIGNATURE_DOES_NOT_MATCH") as caught:
        Store.open("s3://models/x", secret).write("file", b"x")
    assert "wrong" not in str(caught.value)


def test_a_missing_bucket_is_named(secret: str) -> None:
    with pytest.raises(StorageError, match="s3://nowhere/x/file"):
        Store.open("s3://nowhere/x", secret).write("file", b"x")


def test_a_server_that_is_not_there_is_a_storage_error(secret: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        Path(secret, "AWS_ENDPOINT_URL").write_text(f"http://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(StorageError, match="could not read s3://models/x/file"):
            Store.open("s3://models/x", secret).read("file")


def _rows(count: int) -> dict[str, list[Any]]:
    return {
        "size": [float(index % 13) for index in range(count)],
        "colour": [("red", "green", "blue")[index % 3] for index in range(count)],
        "kind": [("big", "small")[index % 2] for index in range(count)],
    }


def _spec(uri: str, **fields: Any) -> Data:
    return Data.model_validate({"source": {"uri": uri, "secretRef": {"name": "lake"}}, "target": "kind", **fields})


@pytest.mark.parametrize("pattern", ["", "/*.parquet", "/part-*"])
def test_parquet_from_s3_is_prepared_on_s3_and_read_by_shards_as_from_files(
    pattern: str, store: Store, secret: str, tmp_path: Path
) -> None:
    rows = _rows(90)
    for index, start in enumerate((0, 40)):
        stop = (40, 90)[index]
        sink = pa.BufferOutputStream()
        parquet.write_table(pa.table({name: values[start:stop] for name, values in rows.items()}), sink)
        store.write(f"lake/part-{index}.parquet", sink.getvalue().to_pybytes())
    parquet.write_table(pa.table(rows), tmp_path / "all.parquet")

    run = store.child("run")
    info = prepare(_spec(f"{store.uri}/lake{pattern}"), seed=3, store=run, secret_dir=secret)
    local = Store.open(str(tmp_path / "run"))
    expected = prepare(_spec(str(tmp_path / "all.parquet")), seed=3, store=local)
    assert info.content_hash == expected.content_hash
    assert info.feature_names == ["size", "colour=blue", "colour=green", "colour=red"]
    for split in SPLITS:
        shards = [read_split(run, info, split, rank, 4) for rank in range(4)]
        x, y = read_split(local, expected, split)
        assert torch.equal(torch.cat([part for part, _ in shards]), x)
        assert torch.equal(torch.cat([part for _, part in shards]), y)
    assert prepare(_spec(f"{store.uri}/lake{pattern}"), seed=3, store=run) == info


def test_every_format_is_read_from_s3(store: Store, secret: str, tmp_path: Path) -> None:
    table = pa.table(_rows(40))
    store.write("a.csv", table.to_pandas().to_csv(index=False).encode())
    store.write("a.jsonl", table.to_pandas().to_json(orient="records", lines=True).encode())
    np.savez(tmp_path / "a.npz", x=np.arange(80.0).reshape(40, 2), kind=np.array(_rows(40)["kind"]))
    store.write("a.npz", (tmp_path / "a.npz").read_bytes())
    for name in ("a.csv", "a.jsonl", "a.npz"):
        info = prepare(_spec(f"{store.uri}/{name}"), seed=0, store=store.child("run", name), secret_dir=secret)
        assert info.classes == ["big", "small"]
        assert sum(info.rows.values()) == 40


def test_an_image_folder_is_read_from_s3(store: Store, secret: str) -> None:
    import io

    from PIL import Image

    for index in range(12):
        buffer = io.BytesIO()
        Image.new("L", (6, 5), index).save(buffer, "png")
        store.write(f"images/{'ab'[index % 2]}/{index}.png", buffer.getvalue())
    spec = Data.model_validate({"source": {"uri": f"{store.uri}/images", "secretRef": {"name": "lake"}}})
    info = prepare(spec, seed=0, store=store.child("run"), secret_dir=secret)
    assert (info.input_shape, info.classes) == ((1, 5, 6), ["a", "b"])


def test_a_source_that_is_not_there_is_the_users_error(store: Store, secret: str) -> None:
    with pytest.raises(UserError, match=r"there is no file at s3://models/.*/missing\.csv"):
        prepare(_spec(f"{store.uri}/missing.csv"), seed=0, store=store, secret_dir=secret)


def test_logs_are_kept_on_s3_in_parts_that_are_written_again_and_make_room(store: Store, secret: str) -> None:
    logs = Shipper(DRIVER, lambda: Store.open(f"{store.uri}/job", secret), 3, tidy=retention.tidy)
    lines = [f"{index} {'x' * 500}" for index in range(40_000)]
    for start in range(0, len(lines), 2000):
        logs.add(None, lines[start : start + 2000])
        assert logs.ship()
        logs.add(rank(0), [f"step {start}"])
    assert logs.ship()
    folder = store.child("job", "logs", "attempt-3")
    assert folder.read("rank-0.log").decode().splitlines() == [f"step {start}" for start in range(0, 40_000, 2000)]
    first, *rest = sorted(folder.list(), key=lambda name: (name != "driver.log", name))[:-1]
    assert len(rest) == PARTS_KEPT - 1
    assert folder.read(first).decode().splitlines() == lines[: folder.read(first).count(b"\n")]
    newest = b"".join(folder.read(name) for name in rest).decode().splitlines()
    assert newest == lines[-len(newest) :]
    Store.open(f"{store.uri}/job", secret).write("logs/attempt-3/mine.txt", b"")
    retention.tidy(Store.open(f"{store.uri}/job", secret), 3 + MAX_ATTEMPTS_KEPT)
    assert folder.list() == ["mine.txt"]


def test_rows_are_learnt_from_in_blocks_as_from_a_local_path_and_a_killed_run_resumes_exactly(
    store: Store, tmp_path: Path
) -> None:
    spec = Data.model_validate({"source": {"builtin": {"name": "digits"}}})
    weights = []
    for number, (place, kill) in enumerate([(Store.open(str(tmp_path)), False), (store, False), (store, True)]):
        info = prepare(spec, seed=0, store=place, process_memory=1000)
        assert info.blocks is not None
        small = info.model_copy(update={"blocks": Blocks(rows=64, window=4)})
        run = Store.open(str(tmp_path / f"runs-{number}"))
        if kill:
            run_until(_over_blocks(small, place, run), 50)
        end, found = finish(_over_blocks(small, place, run, attempt=2))
        assert end.resumed_from_step == (40 if kill else None)
        weights.append(found)
    assert same(weights[0], weights[1])
    assert same(weights[0], weights[2])


def _over_blocks(info: DataInfo, data: Store, run: Store, attempt: int = 1) -> LoopInputs:
    torch.manual_seed(0)
    program = build_model(Model.model_validate({"name": "mlp"}), info, load_function=load_function)
    spec = training(epochs=3, batchSize=64, checkpoint={"everySteps": 20})
    return job_of(info, data, program, spec, run=run, attempt=attempt)
