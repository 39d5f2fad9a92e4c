"""The run's folder as Ray Tune has it: no credentials in a pickle, no writes of an attempt that was replaced, and no
file by halves."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
from pyarrow import fs

from headway_trainer.errors import StorageError
from headway_trainer.ray.run_storage import RunFolder, run_file_system
from headway_trainer.storage import Store
from headway_trainer.training.checkpoints.store import Checkpoints


def test_a_folder_is_copied_there_and_back(tmp_path: Path) -> None:
    source, run = tmp_path / "source", tmp_path / "run"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "a.bin").write_bytes(b"a" * 100_000)
    (source / "b.json").write_text("{}")
    there, base = run_file_system(str(run), None, 1)
    assert base == str(run)
    fs.copy_files(str(source), f"{base}/ray/tuner", destination_filesystem=there)
    assert (run / "ray" / "tuner" / "deep" / "a.bin").read_bytes() == b"a" * 100_000
    names = {info.base_name for info in there.get_file_info(fs.FileSelector(f"{base}/ray/tuner", recursive=True))}
    assert names == {"deep", "a.bin", "b.json"}
    fs.copy_files(f"{base}/ray/tuner", str(tmp_path / "back"), source_filesystem=there)
    assert (tmp_path / "back" / "b.json").read_text() == "{}"
    there.move(f"{base}/ray/tuner/b.json", f"{base}/ray/tuner/c.json")
    there.copy_file(f"{base}/ray/tuner/c.json", f"{base}/ray/tuner/d.json")
    there.delete_file(f"{base}/ray/tuner/c.json")
    assert {path.name for path in (run / "ray" / "tuner").iterdir()} == {"deep", "d.json"}
    there.delete_dir_contents(f"{base}/ray/tuner")
    there.delete_dir(f"{base}/ray/tuner")
    assert not (run / "ray" / "tuner").exists()
    with pytest.raises(PermissionError):
        RunFolder(str(run), None, 1).delete_root_dir_contents()


def test_a_reader_sees_all_of_a_file_or_what_was_there_before(tmp_path: Path) -> None:
    there, base = run_file_system(str(tmp_path), None, 1)
    (tmp_path / "state.json").write_text("old")
    with there.open_output_stream(f"{base}/state.json") as stream:
        stream.write(b"new, and half of it")
        stream.flush()
        assert (tmp_path / "state.json").read_text() == "old"
    assert (tmp_path / "state.json").read_text() == "new, and half of it"
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


def test_an_attempt_that_was_replaced_writes_nothing_and_may_still_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headway_trainer.ray.run_storage.FENCE_SECONDS", 0.0)
    there, base = run_file_system(str(tmp_path), None, 1)
    with there.open_output_stream(f"{base}/a") as stream:
        stream.write(b"one")
    Checkpoints(Store.open(str(tmp_path)), 2).claim()
    writes: tuple[Callable[[], object], ...] = (
        lambda: there.open_output_stream(f"{base}/a"),
        lambda: there.open_append_stream(f"{base}/a"),
        lambda: there.delete_file(f"{base}/a"),
        lambda: there.delete_dir(f"{base}/x"),
        lambda: there.delete_dir_contents(f"{base}/x"),
        lambda: there.move(f"{base}/a", f"{base}/b"),
        lambda: there.copy_file(f"{base}/a", f"{base}/b"),
    )
    for write in writes:
        with pytest.raises(StorageError, match="attempt 1 of this run was replaced by attempt 2"):
            write()
    with there.open_input_stream(f"{base}/a") as stream:
        assert stream.read() == b"one"
    newer, _ = run_file_system(str(tmp_path), None, 2)
    with newer.open_output_stream(f"{base}/a") as stream:
        stream.write(b"two")
    assert (tmp_path / "a").read_bytes() == b"two"


def test_a_pickle_has_no_credentials_and_opens_the_same_folder(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "AWS_ACCESS_KEY_ID").write_text("AKIAEXAMPLE")
    (secret / "AWS_SECRET_ACCESS_KEY").write_text("very-hidden")
    uri = "s3://models/run?endpoint_override=localhost:1&scheme=http&region=us-east-1"
    there, base = run_file_system(uri, str(secret), 3)
    data = pickle.dumps(there)
    assert base == "models/run"
    assert b"very-hidden" not in data
    assert b"AKIAEXAMPLE" not in data
    again = pickle.loads(data)  # noqa: S301 - our own
    assert again == there
    assert again.handler.base == "models/run"
    assert b"very-hidden" in pickle.dumps(Store.open(uri, str(secret)).filesystem), "as pyarrow's own has them"


def test_what_the_attempt_before_has_pickled_writes_for_this_one_where_it_is_restored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headway_trainer.ray.run_storage._attempts", {})
    run, other = str(tmp_path / "run"), str(tmp_path / "other")
    before, elsewhere = (pickle.dumps(RunFolder(uri, None, 1)) for uri in (run, other))
    for uri in (run, other):
        Checkpoints(Store.open(uri), 2).claim()
    there, base = run_file_system(run, None, 2)
    restored = _again(before)
    assert restored == there.handler
    with fs.PyFileSystem(restored).open_output_stream(f"{base}/a") as stream:
        stream.write(b"two")
    assert (tmp_path / "run" / "a").read_bytes() == b"two"
    assert _again(pickle.dumps(restored)) == restored, "so a trial gets it"
    with pytest.raises(StorageError, match="attempt 1 of this run was replaced by attempt 2"):
        _again(elsewhere).open_output_stream(f"{other}/a")


def _again(pickled: bytes) -> RunFolder:
    """What was pickled here."""
    folder: RunFolder = pickle.loads(pickled)  # noqa: S301 - made above
    return folder
