"""Which modules of the user's code are remembered, and how they are compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from headway_trainer import run_record
from headway_trainer.run_record import RunRecord, changed_modules, module_digests, read_record, write_record
from headway_trainer.storage import Store


def test_modules_are_remembered_and_what_is_hidden_or_installed_is_not(tmp_path: Path) -> None:
    mine = ["net.py", "parts/layers.py"]
    others = [
        ".headway/runs/1/code/net.py",
        "__pycache__/net.py",
        "venv/lib/x.py",
        "lib/site-packages/x.py",
        "rows.csv",
    ]
    for name in mine + others:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "venv/pyvenv.cfg").write_text("")
    assert sorted(module_digests(tmp_path)) == mine


def test_a_folder_of_very_many_modules_is_looked_at_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_record, "MOST_MODULES", 2)
    for name in "dbca":
        (tmp_path / f"{name}.py").write_text("")
    assert list(module_digests(tmp_path)) == ["a.py", "b.py"]


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        ({"a.py": "1"}, {"a.py": "1", "new.py": "2"}, None),
        ({"a.py": "1"}, {"a.py": "2"}, "a.py"),
        ({"a.py": "1"}, {}, "a.py"),
        ({f"{name}.py": "1" for name in "edcba"}, {}, "a.py, b.py, c.py and 2 more"),
    ],
)
def test_what_has_changed_is_named(before: dict[str, str], now: dict[str, str], told: str | None) -> None:
    assert changed_modules(before, now) == told


def test_a_record_is_read_back_and_one_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    assert read_record(store) is None
    write_record(store, RunRecord(code={"a.py": "1"}))
    assert read_record(store) == RunRecord(code={"a.py": "1"})
    store.write(run_record.RECORD_FILE, b"{")
    assert read_record(store) is None
