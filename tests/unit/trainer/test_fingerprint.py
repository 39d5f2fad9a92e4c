"""A source that has changed since rows were prepared from it: it is told, and what has changed; nothing else is."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headway_api.data import Data
from headway_trainer.data import fingerprint as fingerprints
from headway_trainer.data import prepare
from headway_trainer.data.info import INFO_FILE
from headway_trainer.data.preparation import source_changes
from headway_trainer.data.prepared import forget
from headway_trainer.storage import Store

ROWS = "a,label\n" + "".join(f"{number % 50},{number % 2}\n" for number in range(100))


class Source:
    """A folder of rows, which were prepared."""

    def __init__(self, path: Path) -> None:
        self.folder, self.store = path / "source", Store.open(str(path / "run"))
        self.folder.mkdir()
        self.write("one.csv", ROWS)
        self.write("two.csv", ROWS)
        self.spec = Data.model_validate({"source": {"uri": str(self.folder)}, "target": "label"})

    def write(self, name: str, text: str, seconds: int = 1_000_000_000) -> None:
        (self.folder / name).write_text(text)
        os.utime(self.folder / name, (seconds, seconds))

    def prepare(self) -> None:
        prepare(self.spec, seed=0, store=self.store)

    def changes(self) -> str | None:
        return source_changes(self.spec, seed=0, store=self.store)


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return Source(tmp_path)


CHANGES: dict[str, tuple[Callable[[Source], object], str | None]] = {
    "nothing": (lambda _: None, None),
    "another time alone": (lambda its: its.write("one.csv", ROWS, 1_000_000_060), None),
    "a hidden file": (lambda its: its.write(".notes", "x"), None),
    "longer": (lambda its: its.write("one.csv", ROWS + "7,1\n"), "{folder}/one.csv: 488 bytes then, 492 now"),
    "other labels": (
        lambda its: its.write("one.csv", ROWS.replace("0\n", "1\n"), 1_000_000_060),
        "{folder}/one.csv: other content of the same size",
    ),
    "a new file": (lambda its: its.write("three.csv", ROWS), "{folder}/three.csv is new"),
    "a file less": (lambda its: (its.folder / "two.csv").unlink(), "{folder}/two.csv is gone"),
    "all gone": (
        lambda its: shutil.rmtree(its.folder),
        "it cannot be looked at now (data.source: there is no file at {folder}: correct the path, or put files there)",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_has_changed_is_told_and_nothing_else(source: Source, name: str) -> None:
    change, told = CHANGES[name]
    source.prepare()
    change(source)
    assert source.changes() == (None if told is None else told.format(folder=source.folder))


def test_a_large_source_is_not_read_and_its_times_count(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprints, "HASHED_BYTES", 500)
    source.prepare()
    source.write("one.csv", ROWS, 1_000_000_060)
    told = f"{source.folder}/one.csv: written at 2001-09-09T01:46:40Z then, 2001-09-09T01:47:40Z now"
    assert source.changes() == told


def test_of_a_source_with_very_many_files_the_sums_are_told(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprints, "LISTED", 1)
    source.prepare()
    assert source.changes() is None
    source.write("three.csv", ROWS)
    assert source.changes() == "2 files of 976 bytes then, 3 of 1464 now"


def test_a_single_file_and_a_glob_have_fingerprints_and_a_builtin_set_has_none(source: Source) -> None:
    for uri in (f"{source.folder}/one.csv", f"{source.folder}/o*.csv"):
        source.write("one.csv", ROWS)
        source.spec = Data.model_validate({"source": {"uri": uri}, "target": "label"})
        source.prepare()
        assert source.changes() is None
        source.write("one.csv", ROWS + "1,1\n")
        assert source.changes() == f"{source.folder}/one.csv: 488 bytes then, 492 now"
    source.spec = Data.model_validate({"source": {"builtin": {"name": "iris"}}})
    source.prepare()
    assert source.changes() is None


def test_where_no_rows_are_prepared_nothing_has_changed(source: Source) -> None:
    assert source.changes() is None


@settings(max_examples=40)
@given(
    foreign=st.sets(st.sampled_from(["data/mine.csv", "data/train.csv", "data/x/train.x.npy", "mine", "data/.x"])),
    prepared=st.booleans(),
)
def test_prepared_rows_are_forgotten_and_no_file_beside_them(foreign: set[str], *, prepared: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(folder)
        for name in foreign:
            store.write(name, b"mine")
        if prepared:
            prepare(Data.model_validate({"source": {"builtin": {"name": "iris"}}}), seed=0, store=store)
            assert store.exists(INFO_FILE)
        forget(store)
        assert {name for name, _ in store.walk()} == foreign
        assert store.exists("data") == any(name.startswith("data/") for name in foreign)
