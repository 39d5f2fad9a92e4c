"""The store on local paths, and what it makes of URIs and secrets. Object stores: tests/cluster/test_storage_s3.py."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

import pytest
from pyarrow import fs

from headway_trainer import credentials
from headway_trainer.errors import NotFound, StorageError, UserError
from headway_trainer.storage import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "run"))


def test_what_is_written_is_read_back_and_listed(store: Store) -> None:
    store.write("a/b/model.bin", b"weights")
    store.write("a/info.json", b"{}")
    store.write("top", b"")
    assert store.read("a/b/model.bin") == b"weights"
    assert store.list() == ["a", "top"]
    assert store.list("a") == ["b", "info.json"]
    assert store.walk() == [("a/b/model.bin", 7), ("a/info.json", 2), ("top", 0)]
    assert store.size("a/b/model.bin") == 7
    assert store.sha256("a/b/model.bin") == hashlib.sha256(b"weights").hexdigest()
    assert store.read_range("a/b/model.bin", 2, 3) == b"igh"
    assert store.read_range("a/b/model.bin", 5, 100) == b"ts"


def test_writing_again_replaces_the_whole_file(store: Store) -> None:
    store.write("file", b"a long first version")
    store.write("file", b"short")
    assert store.read("file") == b"short"


def test_a_child_is_a_folder_of_its_own(store: Store) -> None:
    child = store.child("checkpoints", "step-5")
    child.write("manifest.json", b"{}")
    assert child.uri == f"{store.uri}/checkpoints/step-5"
    assert store.exists("checkpoints/step-5/manifest.json")
    assert child.local_path() == Path(store.uri) / "checkpoints" / "step-5"


def test_files_and_folders_are_told_apart(store: Store) -> None:
    store.write("folder/file", b"x")
    assert store.exists("folder")
    assert not store.is_file("folder")
    assert store.is_file("folder/file")
    assert not store.exists("other")


def test_delete_takes_files_folders_and_what_is_not_there(store: Store) -> None:
    store.write("folder/deep/file", b"x")
    store.write("file", b"x")
    store.delete("folder")
    store.delete("file")
    store.delete("never-there")
    assert store.list() == []


def test_listing_a_missing_folder_finds_nothing(store: Store) -> None:
    assert store.list("nowhere") == []
    assert store.walk("nowhere") == []


@pytest.mark.parametrize("action", ["read", "size", "sha256"])
def test_a_missing_file_is_not_found_by_name(store: Store, action: str) -> None:
    with pytest.raises(NotFound, match=r"run/missing\.bin: there is no such file"):
        getattr(store, action)("missing.bin")


def test_a_failed_write_leaves_the_old_version_and_nothing_beside_it(store: Store, tmp_path: Path) -> None:
    store.write("file", b"old")

    def fail() -> None:
        with store.open_output("file") as stream:
            stream.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert store.read("file") == b"old"
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["file"]


def test_a_file_is_not_there_before_its_block_ends(store: Store) -> None:
    with store.open_output("folder/file") as stream:
        stream.write(b"half")
        assert not store.exists("folder/file")
        assert store.list("folder") == []
    assert store.read("folder/file") == b"half"


def test_files_are_readable_by_others_as_the_umask_says(store: Store) -> None:
    store.write("file", b"x")
    folder = store.local_path()
    assert folder is not None
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE((folder / "file").stat().st_mode) == 0o666 & ~umask


def test_a_write_that_the_system_refuses_is_a_storage_error_with_the_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(
        StorageError, match=r"could not write .*file/below: Not a directory|could not write .*file/below"
    ):
        Store.open(str(tmp_path / "file")).write("below", b"x")


def test_file_uris_and_relative_paths_are_local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Store.open(f"file://{tmp_path}/a b").local_path() == tmp_path / "a b"
    assert Store.open("sub/folder").local_path() == tmp_path / "sub" / "folder"


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("ftp://host/data", "ftp:// is not known; use a local path or one of file, s3"),
        ("s3://key:secret@bucket/data", "put them in secretRef"),
        ("s3://key@bucket/data", "put them in secretRef"),
        ("s3://bucket/data?regoin=x", "regoin is not an option; s3:// has"),
        ("abfs://container/data", "no storage account is named"),
    ],
)
def test_a_uri_that_cannot_be_meant_is_the_users_error(uri: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(UserError, match=message) as caught:
        Store.open(uri)
    assert "secret@" not in str(caught.value)
    assert "key@" not in str(caught.value)


def _s3_options(store: Store) -> dict[str, object]:
    _, (options,) = store.filesystem.__reduce__()
    assert isinstance(options, dict)
    return options


def test_s3_takes_credentials_and_endpoint_from_the_secret(tmp_path: Path) -> None:
    secret = {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret\n",
        "AWS_SESSION_TOKEN": "token",
        "AWS_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL": "http://localhost:9000/",
    }
    for name, value in secret.items():
        (tmp_path / name).write_text(value)
    store = Store.open("s3://bucket/a/b", str(tmp_path))
    options = _s3_options(store)
    assert (options["access_key"], options["secret_key"], options["session_token"]) == ("key", "secret", "token")
    assert (options["region"], options["scheme"], options["endpoint_override"]) == (
        "eu-west-1",
        "http",
        "localhost:9000",
    )
    assert store.base == "bucket/a/b"
    assert store.local_path() is None


def test_s3_options_of_the_uri_come_first_and_stay_on_children(tmp_path: Path) -> None:
    (tmp_path / "AWS_REGION").write_text("eu-west-1")
    uri = "s3://bucket/a?endpoint_override=minio:9000&scheme=http&region=us-west-2"
    store = Store.open(uri, str(tmp_path))
    options = _s3_options(store)
    assert (options["region"], options["scheme"], options["endpoint_override"]) == ("us-west-2", "http", "minio:9000")
    assert store.child("x").uri == "s3://bucket/a/x?endpoint_override=minio:9000&scheme=http&region=us-west-2"
    assert store.child("x").base == "bucket/a/x"


def test_a_missing_secret_folder_means_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://s3.example.com")
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    options = _s3_options(Store.open("s3://bucket", "/nowhere"))
    assert (options["endpoint_override"], options["scheme"], options["region"]) == (
        "s3.example.com",
        "https",
        "eu-north-1",
    )


@pytest.mark.parametrize(
    "uri",
    ["abfs://models@acc.dfs.core.windows.net/a/b", "abfss://models/a/b"],
)
def test_azure_takes_account_and_key_from_uri_and_secret(uri: str, tmp_path: Path) -> None:
    (tmp_path / "AZURE_STORAGE_ACCOUNT_NAME").write_text("acc")
    (tmp_path / "AZURE_STORAGE_ACCOUNT_KEY").write_text("a2V5")
    store = Store.open(uri, str(tmp_path))
    assert isinstance(store.filesystem, fs.AzureFileSystem)
    options = _s3_options(store)
    assert (options["account_name"], options["account_key"]) == ("acc", "a2V5")
    assert store.base == "models/a/b"


GS = "gs://bucket/a?endpoint_override=localhost:1&scheme=http"


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """The key that each file system of Google's was built with: pyarrow looks for it then, and only then."""
    found: list[str | None] = []
    build = fs.FileSystem.from_uri

    class Recorder:
        @staticmethod
        def from_uri(uri: str) -> tuple[fs.FileSystem, str]:
            found.append(os.environ.get(credentials.GOOGLE))
            filesystem, base = build(uri)
            return filesystem, base

    monkeypatch.setattr(fs, "FileSystem", Recorder)
    monkeypatch.setattr(credentials, "_own", [])
    monkeypatch.setenv(credentials.GOOGLE, "the pod's")
    return found


@pytest.mark.parametrize("name", ["GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_APPLICATION_CREDENTIALS_JSON"])
def test_google_finds_the_key_file_of_the_secret_and_nobody_else_does(
    name: str, tmp_path: Path, keys: list[str | None]
) -> None:
    (tmp_path / name).write_text('{"type": "service_account"}')
    store = Store.open(GS, str(tmp_path))
    assert store.base == "bucket/a"
    Store.open(GS)
    assert keys == [str(tmp_path / name), "the pod's"]
    assert os.environ[credentials.GOOGLE] == "the pod's"


@pytest.mark.parametrize("own", ["the pod's", None])
def test_what_others_build_has_the_storages_key_and_data_without_a_secret_has_not(
    own: str | None, tmp_path: Path, keys: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    if own is None:
        monkeypatch.delenv(credentials.GOOGLE)
    key = tmp_path / credentials.GOOGLE
    key.write_text('{"type": "service_account"}')
    credentials.adopt(str(tmp_path))
    credentials.adopt(str(tmp_path))
    assert os.environ[credentials.GOOGLE] == str(key), "for Ray, which builds the run's file system in each process"
    Store.open(GS)
    Store.open(GS, str(tmp_path))
    assert keys == [own, str(key)]
    assert os.environ[credentials.GOOGLE] == str(key)


def test_a_pod_without_a_key_for_its_storage_stays_who_it_is(tmp_path: Path, keys: list[str | None]) -> None:
    for folder in (None, "/nowhere", str(tmp_path)):
        credentials.adopt(folder)
    Store.open(GS)
    assert keys == ["the pod's"]
