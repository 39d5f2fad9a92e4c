"""Event files of TensorBoard: what is in them follows from the record alone."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import Event as Message
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.record_writer import masked_crc32c

from headway_trainer.storage import Store
from headway_trainer.tracking import board as boards
from headway_trainer.tracking import event_files
from headway_trainer.tracking.board import Board
from headway_trainer.tracking.events import Began, Ended, Event, Point

AT = 1_700_000_000.25


def began(scope: str = "") -> Began:
    return Began(scope=scope, name="x", identity="i", at=AT)


def point(step: int, scope: str = "", **values: float) -> Point:
    return Point(scope=scope, step=step, values=values or {"train/loss": 1 / step}, at=AT + step)


COURSE: list[Event] = [
    began(),
    began("trial-1"),
    *(point(step, scope) for step in range(1, 8) for scope in ("", "trial-1")),
    Ended(scope="trial-1", state="completed", values={"test/loss": 0.5}, at=AT + 9),
    point(8),
    Ended(scope="", state="completed", values={"test/loss": 0.25}, at=AT + 10),
]


def read(path: Path) -> list[Message]:
    """The messages of a file, whose checksums are right."""
    data, found = path.read_bytes(), []
    while data:
        (length,), check = struct.unpack("<Q", data[:8]), data[8:12]
        assert check == struct.pack("<I", masked_crc32c(data[:8]))
        body = data[12 : 12 + length]
        assert data[12 + length : 16 + length] == struct.pack("<I", masked_crc32c(body))
        found.append(Message.FromString(body))
        data = data[16 + length :]
    return found


def told(folder: Path) -> list[tuple[int, str, float]]:
    """Steps, names and values of all files of a folder."""
    found = []
    for path in sorted(folder.glob("*tfevents*")):
        version, *events = read(path)
        assert version.file_version == "brain.Event:2"
        found += [(one.step, each.tag, each.simple_value) for one in events for each in one.summary.value]
    return found


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_each_run_has_a_folder_with_its_numbers(tmp_path: Path) -> None:
    made = Board(Store.open(str(tmp_path)))
    made.take(COURSE)
    made.write()
    root = told(tmp_path / "tensorboard")
    assert [step for step, name, _ in root if name == "train/loss"] == list(range(1, 9))
    assert root[-1] == (8, "test/loss", 0.25)
    assert told(tmp_path / "tensorboard" / "trial-1")[-1] == (7, "test/loss", 0.5)


@pytest.mark.parametrize("killed_at", range(len(COURSE)))
def test_whoever_makes_them_again_makes_the_same_bytes(
    killed_at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boards, "POINTS_OF_FILE", 3)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    made = Board(Store.open(str(whole)))
    made.take(COURSE)
    made.write()
    first = Board(Store.open(str(parts)))
    for event in COURSE[:killed_at]:
        first.take([event])
        first.write()
    cut_short = sorted(parts.rglob("*tfevents*"))
    if cut_short:  # the kill came in the middle of a write
        newest = max(cut_short, key=lambda path: path.stat().st_mtime_ns)
        newest.write_bytes(newest.read_bytes()[:-5])
    after = Board(Store.open(str(parts)))
    after.replay(COURSE[:killed_at], fresh=len(COURSE))
    after.take(COURSE[killed_at:])
    after.write()
    assert files(parts) == files(whole)


def test_what_has_come_to_its_file_long_ago_is_not_written_again(tmp_path: Path) -> None:
    made = Board(Store.open(str(tmp_path)))
    made.replay(COURSE, fresh=2)
    made.write()
    assert not (tmp_path / "tensorboard" / "trial-1").exists()
    assert [step for step, *_ in told(tmp_path / "tensorboard")] == [*range(1, 9), 8]


def test_a_file_that_is_another_one_is_replaced_and_one_that_grows_keeps_its_place(tmp_path: Path) -> None:
    made = Board(Store.open(str(tmp_path)))
    made.take(COURSE[:4])
    made.write()
    (path,) = (tmp_path / "tensorboard").glob("*tfevents*")
    place = path.stat().st_ino
    made.take(COURSE[4:])
    made.write()
    assert path.stat().st_ino == place, "a TensorBoard that reads it goes on reading"
    whole = path.read_bytes()
    path.write_bytes(b"x" * 9)
    again = Board(Store.open(str(tmp_path)))
    again.replay(COURSE, fresh=len(COURSE))
    again.write()
    assert path.read_bytes() == whole


def test_of_ten_thousand_trials_the_first_have_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boards, "MOST_RUNS", 3)
    made = Board(Store.open(str(tmp_path)))
    made.take([began(), *(each for n in range(10) for each in (began(f"trial-{n}"), point(1, f"trial-{n}")))])
    made.write()
    assert {path.parent.name for path in tmp_path.rglob("*tfevents*")} == {"trial-0", "trial-1", "trial-2"}


def framed(message: bytes) -> bytes:
    length = struct.pack("<Q", len(message))
    return length + struct.pack("<I", masked_crc32c(length)) + message + struct.pack("<I", masked_crc32c(message))


@pytest.mark.parametrize("step", [0, 1, 127, 128, 2**31, 2**63 - 1])
@pytest.mark.parametrize(
    "values",
    [
        {},
        {"a": 0.0},
        {"train/löss": 1.5, "b": -1e300, "c" * 300: 1e-50, "d": 1e300},
        {f"m{number}": number / 3 for number in range(64)},
    ],
)
def test_records_are_those_of_the_library_that_has_tensorboards_messages(step: int, values: dict[str, float]) -> None:
    summary = Summary(value=[Summary.Value(tag=name, simple_value=value) for name, value in values.items()])
    message = Message(wall_time=AT, step=step, summary=summary).SerializeToString()
    assert event_files.scalars(AT, step, values) == framed(message)
    assert event_files.version(AT) == framed(Message(wall_time=AT, file_version="brain.Event:2").SerializeToString())


def test_who_records_a_course_imports_no_torch() -> None:
    program = """
import sys, tempfile
from headway_trainer.storage import Store
from headway_trainer.tracking.recorder import Recorder
from headway_trainer.training.link import Measured
recorder = Recorder(Store.open(tempfile.mkdtemp()), 1)
recorder.begin("", name="x", parameters={})
recorder.measured("", Measured(step=1, values={"a": 1.0}))
assert recorder.flush()
print([name for name in ("ray", "tensorboardX", "torch") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
