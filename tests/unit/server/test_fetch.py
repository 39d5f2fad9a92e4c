"""A model from an object store: what is fetched is what was asked for, whatever lies there."""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from obstore.store import AzureStore, GCSStore, LocalStore, S3Store

from headway_cli.main import main
from headway_server import stores
from headway_server.errors import BadModel
from headway_server.fetch import Unavailable, fetch
from headway_server.model import ServedModel
from served import bundle

URI = "s3://models/echo"
ONCE = {"max_retries": 0, "retry_timeout": timedelta(seconds=1)}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The folder of a model with weights, as a run has left it in a store."""
    folder: Path = bundle(tmp_path / "store")
    weights = b"w" * 1000
    (folder / "model.safetensors").write_bytes(weights)
    change(folder, weights=file_of("model.safetensors", weights))
    return folder


def file_of(name: str, data: bytes) -> dict[str, Any]:
    return {"name": name, "sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}


def change(folder: Path, **files: Any) -> None:
    """Write other files into model.json; None takes one out."""
    told = json.loads((folder / "model.json").read_text())
    told["files"] = {name: file for name, file in {**told["files"], **files}.items() if file is not None}
    (folder / "model.json").write_text(json.dumps(told))


def digest_of(folder: Path) -> str:
    return f"sha256:{hashlib.sha256((folder / 'model.json').read_bytes()).hexdigest()}"


def test_what_is_fetched_can_be_served_and_has_no_weights(home: Path, tmp_path: Path) -> None:
    target = tmp_path / "deep" / "here"
    size = fetch(LocalStore(home), URI, target, digest=digest_of(home), most=10_000_000)
    assert ServedModel.open(str(target)).info.files.keys() >= {"onnx", "weights"}
    left = {path.name: path.read_bytes() for path in target.iterdir()}
    assert "model.safetensors" not in left
    assert left == {name: (home / name).read_bytes() for name in left}
    assert size == sum(map(len, left.values()))
    assert fetch(LocalStore(home), URI, target) == size, "a container that is started again finds its own files"


def test_a_model_of_another_digest_is_not_fetched(home: Path, tmp_path: Path) -> None:
    with pytest.raises(BadModel, match=f"has the digest {digest_of(home)}, and sha256:1 is asked for"):
        fetch(LocalStore(home), URI, tmp_path / "a", digest="sha256:1")
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("name", "file", "says"),
    [
        ("onnx", None, "holds no model.onnx"),
        ("evil", file_of("../evil", b""), "which is no file of its folder"),
        ("evil", file_of("a/evil", b""), "which is no file of its folder"),
        ("evil", file_of("/etc/evil", b""), "which is no file of its folder"),
        ("evil", file_of("model.json", b""), "which is no file of its folder"),
        ("evil", file_of("..", b""), "which is no file of its folder"),
        ("evil", file_of("", b""), "which is no file of its folder"),
        ("evil", file_of("a\0b", b""), "which is no file of its folder"),
        ("reference", file_of("gone.json", b""), "gone.json is not at s3://models/echo"),
        ("large", {**file_of("x", b""), "size_bytes": 10**15}, "bytes, and 1000000 are allowed"),
        ("negative", {**file_of("x", b""), "size_bytes": -(10**15)}, "tells of -1000000000000000 bytes"),
    ],
)
def test_what_model_json_tells_is_not_trusted(home: Path, tmp_path: Path, name: str, file: Any, says: str) -> None:
    change(home, **{name: file})
    with pytest.raises(BadModel, match=says):
        fetch(LocalStore(home), URI, tmp_path / "a" / "b", digest=digest_of(home), most=1_000_000)
    assert not (tmp_path / "a" / "evil").exists()
    assert not (tmp_path / "a" / "b" / "model.json").exists(), "a folder with it would be whole"


@pytest.mark.parametrize(
    ("data", "says"), [(b"another", "has the sha256"), (b"x" * 100_000, "is longer than the .* bytes")]
)
def test_a_file_that_is_not_what_was_told_is_refused(home: Path, tmp_path: Path, data: bytes, says: str) -> None:
    (home / "model.onnx").write_bytes(data)
    with pytest.raises(BadModel, match=f"model.onnx at {URI} {says}"):
        fetch(LocalStore(home), URI, tmp_path / "a", digest=digest_of(home))
    assert not (tmp_path / "a" / "model.json").exists()


@pytest.mark.parametrize("told", [b"", b"[]", b"{", b"\xff", b'{"files": 1}'])
def test_a_model_json_that_is_none_is_refused(home: Path, tmp_path: Path, told: bytes) -> None:
    (home / "model.json").write_bytes(told)
    with pytest.raises(BadModel, match="is not what this version of Headway reads"):
        fetch(LocalStore(home), URI, tmp_path / "a")


def test_a_model_json_beyond_the_bound_is_not_read_to_its_end(home: Path, tmp_path: Path) -> None:
    (home / "model.json").write_bytes(b" " * 5000)
    with pytest.raises(BadModel, match=r"model\.json at s3://models/echo is longer than 1000 bytes"):
        fetch(LocalStore(home), URI, tmp_path / "a", most=1000)


def test_a_folder_without_a_model_is_told(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadModel, match=r"model\.json is not at s3://models/echo: give the folder of a finished run"):
        fetch(LocalStore(tmp_path / "empty"), URI, tmp_path / "a")


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("ftp://models/a", "ftp:// is not known; use one of s3://, gs://"),
        ("s3:///a", "names no bucket"),
        ("s3://key:word@models/a", r"s3://models/a: the URI holds credentials: put them in a Secret"),
        ("https://key:word@models/a", "the URI holds credentials"),
        ("s3://models/a?regoin=x", "regoin is not an option; s3:// has allow_bucket_creation, endpoint_override"),
        ("s3://models/a", "the region of the bucket is not known"),
        ("gs://models/a?x=y", "only s3:// has options: take x=y out"),
        ("abfs://models/a", "no storage account is named"),
    ],
)
def test_a_uri_that_cannot_be_meant_is_told(uri: str, says: str) -> None:
    with pytest.raises(BadModel, match=says) as told:
        stores.open_store(uri, {}, region_of=lambda _: None)
    assert "word" not in str(told.value)


@pytest.mark.parametrize(
    ("secret", "says"),
    [
        ({"AWS_ENDPOINT_URL": "http://s3:9000\n"}, "AWS_ENDPOINT_URL of the credentials is empty, or has characters"),
        ({"AWS_ENDPOINT_URL": "http://s3 store"}, "AWS_ENDPOINT_URL of the credentials"),
        ({"AWS_ENDPOINT_URL": "http://[::x"}, "the endpoint '.*' is none: write HOST:PORT"),
        ({"AWS_ACCESS_KEY_ID": "a\nb"}, "AWS_ACCESS_KEY_ID of the credentials"),
        ({"AWS_SECRET_ACCESS_KEY": ""}, "AWS_SECRET_ACCESS_KEY of the credentials is empty"),
        ({"AWS_SESSION_TOKEN": "t\xf6ken"}, "AWS_SESSION_TOKEN of the credentials"),
        ({"AWS_REGION": "eu/../1"}, "the region of the bucket is not known"),
    ],
)
def test_a_secret_of_no_use_is_told_without_its_content(secret: dict[str, str], says: str) -> None:
    with pytest.raises(BadModel, match=says) as told:
        stores.open_store("s3://models/a", {"AWS_REGION": "eu-1", "AWS_ACCESS_KEY_ID": "b", **secret})
    assert "a\nb" not in str(told.value)


KEYS = {"AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "hidden"}


@pytest.mark.parametrize(
    ("uri", "secret", "config"),
    [
        ("s3://m/a", {**KEYS, "AWS_REGION": "eu-1"}, {"region": "eu-1", "access_key_id": "me"}),
        ("s3://m/a?region=eu-2", {**KEYS, "AWS_REGION": "eu-1"}, {"region": "eu-2"}),
        ("s3://m/a", {}, {"region": "found-1", "skip_signature": "true"}),
        ("s3://m/a", {**KEYS, "AWS_ENDPOINT_URL": "https://s3.example.com/"}, {"endpoint": "https://s3.example.com"}),
        ("s3://m/a?endpoint_override=s3:9000&scheme=http", KEYS, {"endpoint": "http://s3:9000", "region": "us-east-1"}),
        ("s3://m/a?endpoint_override=s3:9000", KEYS, {"endpoint": "https://s3:9000"}),
    ],
)
def test_an_s3_uri_means_what_it_means_to_a_job(uri: str, secret: dict[str, str], config: dict[str, str]) -> None:
    store = stores.open_store(uri, secret, region_of=lambda _: "found-1")
    assert isinstance(store, S3Store)
    found: dict[str, Any] = {key: str(value).lower() for key, value in (store.config or {}).items()}
    assert {key.removeprefix("aws_"): value for key, value in found.items()}.items() >= config.items()
    assert store.prefix == "a"


def test_other_stores_are_opened_with_what_their_secrets_hold() -> None:
    azure = stores.open_store("abfs://m@me.dfs.core.windows.net/a/b", {"AZURE_STORAGE_ACCOUNT_KEY": "aGk="})
    assert isinstance(azure, AzureStore)
    assert azure.prefix == "a/b"
    assert isinstance(stores.open_store("gs://m/a", {}), GCSStore)
    with pytest.raises(BadModel, match="gs://m/a cannot be opened"):
        stores.open_store("gs://m/a", {"GOOGLE_APPLICATION_CREDENTIALS_JSON": '{"type": "nobody"}'})


def test_credentials_are_those_of_the_folder_or_else_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "mine")
    (tmp_path / "AWS_REGION").write_text("eu-1\n")
    (tmp_path / "other").write_text("x")
    assert stores.credentials(str(tmp_path)) == {"AWS_REGION": "eu-1"}
    assert stores.credentials(str(tmp_path / "none")) == {}
    assert stores.credentials(None)["AWS_ACCESS_KEY_ID"] == "mine"
    (tmp_path / "AWS_REGION").write_bytes(b"\xff")
    with pytest.raises(BadModel, match="cannot be read"):
        stores.credentials(str(tmp_path))


@pytest.fixture
def refusals() -> list[int]:
    """What the web server answers first, in place of what is asked for."""
    return []


@pytest.fixture
def web(home: Path, refusals: list[int]) -> Iterator[str]:
    """A web server with the model."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if refusals:
                self.send_error(refusals.pop())
            else:
                super().do_GET()

        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(home))

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_the_command_fetches_from_a_web_server_and_says_how_it_ended(web: str, home: Path, tmp_path: Path) -> None:
    command = ["fetch", web, str(tmp_path / "a"), "--digest"]
    done = CliRunner().invoke(main, [*command, digest_of(home)])
    assert done.exit_code == 0, done.output
    assert ServedModel.open(str(tmp_path / "a")).name
    done = CliRunner().invoke(main, [*command, "sha256:1"])
    assert (done.exit_code, done.output.count("\n")) == (65, 1)
    assert "is asked for" in done.output


def test_a_store_that_cannot_answer_for_a_moment_is_asked_again(
    web: str, home: Path, tmp_path: Path, refusals: list[int]
) -> None:
    refusals += [503, 500, 503]
    soon = {**stores.RETRY, "backoff": {"init_backoff": timedelta(milliseconds=1), "base": 1.1}}
    fetch(stores.open_store(web, {}, retry=soon), web, tmp_path / "a", digest=digest_of(home))
    assert refusals == []
    refusals += [403]
    with pytest.raises(Unavailable, match="may not be read with these credentials"):
        fetch(stores.open_store(web, {}, retry=soon), web, tmp_path / "b")


def test_a_store_that_nobody_answers_for_is_told_as_such(tmp_path: Path) -> None:
    uri = "http://127.0.0.1:9"
    with pytest.raises(Unavailable, match=f"model.json cannot be read at {uri}: "):
        fetch(stores.open_store(uri, {}, retry=ONCE), uri, tmp_path / "a")
