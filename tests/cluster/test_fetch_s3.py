"""A model on a real S3-compatible server, as a job leaves it there: fetched by its URI and Secret, and served."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from headway_server import stores
from headway_server.errors import BadModel
from headway_server.fetch import Unavailable, fetch
from headway_server.model import ServedModel
from headway_trainer.storage import Store
from s3_server import CREDENTIALS, s3_server
from served import bundle

pytestmark = pytest.mark.cluster

URI = "s3://models/runs/default/churn-12345678"
WITHIN_SECONDS = 60


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server with the bucket `models`."""
    with s3_server(tmp_path_factory.mktemp("s3")) as url:
        yield url


@pytest.fixture
def secret(endpoint: str, tmp_path: Path) -> Path:
    """A mounted Secret."""
    folder = tmp_path / "secret"
    folder.mkdir()
    for name, value in (CREDENTIALS | {"AWS_ENDPOINT_URL": endpoint}).items():
        (folder / name).write_text(f"{value}\n")
    return folder


@pytest.fixture
def home(secret: Path, tmp_path: Path) -> Path:
    """The files of a model, which the trainer's own store has written to the server."""
    folder = bundle(tmp_path / "home")
    store = Store.open(URI, str(secret))
    for path in folder.iterdir():
        store.write(path.name, path.read_bytes())
    return folder


def digest_of(folder: Path) -> str:
    return f"sha256:{hashlib.sha256((folder / 'model.json').read_bytes()).hexdigest()}"


def test_what_a_job_has_written_is_fetched_by_the_same_uri_and_secret(home: Path, secret: Path, tmp_path: Path) -> None:
    store = stores.open_store(URI, stores.credentials(str(secret)))
    fetch(store, URI, tmp_path / "a", digest=digest_of(home), most=1_000_000)
    assert ServedModel.open(str(tmp_path / "a")).name == "churn"
    assert {path.name for path in (tmp_path / "a").iterdir()} == {"model.json", "model.onnx"}


def test_an_endpoint_in_the_uri_is_heeded(home: Path, secret: Path, endpoint: str, tmp_path: Path) -> None:
    (secret / "AWS_ENDPOINT_URL").unlink()
    host = endpoint.removeprefix("http://")
    uri = f"{URI}?endpoint_override={host}&scheme=http&region=us-east-1"
    fetch(stores.open_store(uri, stores.credentials(str(secret))), uri, tmp_path / "a", digest=digest_of(home))
    assert (tmp_path / "a" / "model.json").exists()


def test_other_files_and_other_credentials_are_told_of(home: Path, secret: Path, tmp_path: Path) -> None:
    Store.open(URI, str(secret)).write("model.onnx", b"another")
    store = stores.open_store(URI, stores.credentials(str(secret)))
    with pytest.raises(BadModel, match=r"model\.onnx at s3://.* has the sha256"):
        fetch(store, URI, tmp_path / "a", digest=digest_of(home))
    with pytest.raises(BadModel, match=r"model\.json is not at s3://models/runs/nothing"):
        fetch(stores.open_store("s3://models/runs/nothing", stores.credentials(str(secret))),
              "s3://models/runs/nothing", tmp_path / "a")  # fmt: skip
    (secret / "AWS_SECRET_ACCESS_KEY").write_text("wrong")
    with pytest.raises(Unavailable, match="may not be read with these credentials"):
        fetch(stores.open_store(URI, stores.credentials(str(secret))), URI, tmp_path / "a")
    nobody = stores.open_store(URI, {"AWS_ENDPOINT_URL": (secret / "AWS_ENDPOINT_URL").read_text().strip()})
    with pytest.raises(Unavailable, match="may not be read with these credentials"):
        fetch(nobody, URI, tmp_path / "a")


def test_a_store_that_stays_away_is_asked_again_and_told_of_in_the_end(tmp_path: Path) -> None:
    with s3_server(tmp_path / "s3") as first:
        secret = {**CREDENTIALS, "AWS_ENDPOINT_URL": first}
    gone = stores.open_store(URI, secret, retry={**stores.RETRY, "retry_timeout": timedelta(seconds=1)})
    began = time.monotonic()
    with pytest.raises(Unavailable, match=r"model\.json cannot be read at"):
        fetch(gone, URI, tmp_path / "a")
    assert 0.5 < time.monotonic() - began < 30


def test_headway_serve_takes_a_uri(home: Path, endpoint: str) -> None:
    environment = {**os.environ, **CREDENTIALS, "AWS_ENDPOINT_URL": endpoint}
    command = [str(Path(sys.executable).with_name("headway")), "serve", URI, "--port=0", "--admin-port=0"]
    with subprocess.Popen(
        [*command, "--drain-seconds=0"], env=environment, stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            line = server.stdout.readline()
            url = next(word for word in line.split() if word.startswith("http://"))
            with urllib.request.urlopen(f"{url.rstrip('.,;')}/v2/models/churn", timeout=WITHIN_SECONDS) as answer:  # noqa: S310 - ours
                assert json.load(answer)["name"] == "churn"
        finally:
            server.terminate()
        assert server.wait(WITHIN_SECONDS) == 0
    assert (home / "model.json").exists()
