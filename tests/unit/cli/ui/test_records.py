"""The record that trackers follow, as the page of a job reads it."""

from __future__ import annotations

import json
import tempfile
import tracemalloc
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headway_cli.cluster import records
from headway_cli.cluster.errors import ClusterError
from headway_cli.cluster.records import FOLDER, MOST_SERIES, Recorded, united
from headway_trainer.storage import Store
from headway_trainer.tracking import events
from headway_trainer.tracking.recorder import Recorder
from headway_trainer.training.link import Measured
from local_folder import Local


class Here(Local):
    """A folder of this machine, that keeps which files are read."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.reads: list[str] = []

    def read(self, name: str, start: int, most: int) -> bytes:
        if not start:
            self.reads.append(name)
        return super().read(name, start, most)


def record(folder: Path, attempt: int, steps: Iterable[int], scope: str = "") -> Recorder:
    recorder = Recorder(Store.open(str(folder)), attempt)
    recorder.begin(scope, name="job", parameters={})
    more(recorder, steps, scope)
    return recorder


def more(recorder: Recorder, steps: Iterable[int], scope: str = "") -> None:
    for step in steps:
        recorder.measured(scope, Measured(step=step, values={"step/loss": 1 / step, "epoch": 1.0}, within=True))
    assert recorder.flush()


def steps_of(folder: Here, reader: Recorded) -> list[float]:
    reader.read(folder)
    return [step for step, _ in reader.series.get("step/loss", [])]


def test_the_page_reads_what_the_trainer_records(tmp_path: Path) -> None:
    assert FOLDER == events.FOLDER
    recorder = record(tmp_path, 1, range(1, 4))
    record(tmp_path, 2, range(10, 12), scope="trial-1")
    folder, reader = Here(tmp_path / FOLDER), Recorded()
    assert steps_of(folder, reader) == [1, 2, 3]
    assert reader.series == {"step/loss": [(1, 1.0), (2, 0.5), (3, 1 / 3)]}
    assert recorder.broken is None


def test_a_segment_that_is_full_is_read_once(tmp_path: Path) -> None:
    recorder = record(tmp_path, 1, range(1, 700))
    folder, reader = Here(tmp_path / FOLDER), Recorded()
    assert steps_of(folder, reader) == list(range(1, 700))
    segments = len(folder.reads)
    assert segments > 1
    more(recorder, [700])
    assert steps_of(folder, reader) == list(range(1, 701))
    assert len(folder.reads) == segments + 1


def test_what_an_attempt_wrote_after_the_next_had_begun_is_left_out(tmp_path: Path) -> None:
    first = record(tmp_path, 1, [10, 20])
    second = record(tmp_path, 2, [])
    more(first, [30])
    more(second, [25, 40])
    assert steps_of(Here(tmp_path / FOLDER), Recorded()) == [10, 20, 25, 40]


def test_of_a_long_record_the_newest_part_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record(tmp_path, 1, range(1, 900))
    monkeypatch.setattr(records, "MOST_SEGMENTS", 2)
    reader = Recorded()
    steps = steps_of(Here(tmp_path / FOLDER), reader)
    assert reader.cut
    assert steps == list(range(int(steps[0]), 900))
    assert steps[0] > 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["", "trial-1"]), st.integers(1, 60)), max_size=14))
def test_whoever_writes_when_the_page_has_the_steps_that_the_trainer_s_own_reader_has(
    writes: list[tuple[int, str, int]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        attempts, step = list[Recorder](), 0
        reader = Recorded()
        for behind, scope, count in writes:
            # Mostly the newest attempt writes, and now and then one that was thought dead.
            if behind == 0 or not attempts:
                attempts.append(record(Path(folder), len(attempts) + 1, []))
            more(attempts[max(0, len(attempts) - 1 - behind // 2)], range(step + 1, step + count + 1), scope)
            step += count
            reader.read(Here(Path(folder, FOLDER)))  # as it grows
        if not attempts:
            return
        read = events.Record(Store.open(folder), 99).read()
        points = [each for each in read if isinstance(each, events.Point) and not each.scope]
        expected = {point.step: point.values["step/loss"] for point in points}
        assert reader.series == ({"step/loss": sorted(expected.items())} if expected else {})


HOSTILE = [
    (b"", "is no part of a record"),
    (b"\xff\n", "is no part of a record"),
    (b'{"after": 1e999}\n', "is no part of a record"),
    (b'{"version": 2, "after": 0}\n', "is of another version of Headway \\('2'\\): install the one"),
    (b'{"version": [], "after": 0}\n', "is of another version"),
    (b'{"after": 0}\n' + b"x" * (4 << 20) + b"\n", "has more than 4 MiB"),
]


@pytest.mark.parametrize(("data", "said"), HOSTILE, ids=[said for _, said in HOSTILE])
def test_a_file_that_is_no_segment_is_one_sentence(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "events-0001-000001.jsonl").write_bytes(data)
    with pytest.raises(ClusterError, match=said):
        Recorded().read(Here(tmp_path))


def test_lines_of_any_shape_cost_nothing_but_themselves(tmp_path: Path) -> None:
    point = {"do": "point", "scope": "", "step": 7, "values": {"a": 1.0, "b": "x", "c" * 999: 2}}
    wrong: list[dict[str, Any]] = [
        {"step": "7"},
        {"step": float("inf")},
        {"step": 10**400},
        {"values": [1]},
        {"scope": None},
    ]
    shapes: list[Any] = [None, [], 7, {"do": "point"}, *({**point, **one} for one in wrong)]
    many = {**point, "step": 8, "values": {f"m{index}": 1.0 for index in range(999)}}
    lines = [json.dumps(one) for one in ({"after": 5}, *shapes, point, many)]
    (tmp_path / "events-0001-000001.jsonl").write_text("\n".join(lines) + "\n{broken\n")
    (tmp_path / "mlflow.json").write_text("{}")
    reader = Recorded()
    reader.read(Here(tmp_path))
    assert reader.series["a"] == [(7, 1.0)]
    assert len(reader.series) == MOST_SERIES
    assert max(map(len, reader.series)) == 100


def test_a_record_of_any_size_costs_bounded_memory_and_its_newest_part_is_there(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    lines = "".join(
        f'{{"do":"point","scope":"","step":{step},"values":{{"a":{step}}}}}\n' for step in range(100_000, 115_000)
    )
    for number in range(1, 30):
        (tmp_path / FOLDER / f"events-0001-{number:06d}.jsonl").write_text(f'{{"after": 0}}\n{lines}')
    folder, reader = Here(tmp_path / FOLDER), Recorded()
    tracemalloc.start()
    try:
        reader.read(folder)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 150 << 20, "29 MiB of small points took half a gigabyte"
    assert reader.cut
    assert len(folder.reads) < 12
    assert reader.series["a"][-1] == (114_999, 114_999.0)


def test_a_point_may_have_as_many_numbers_with_as_long_names_as_a_job_records(tmp_path: Path) -> None:
    recorder = Recorder(Store.open(str(tmp_path)), 1)
    recorder.begin("", name="job", parameters={})
    values = {f"{'m' * 240}{index:02d}": 0.1234567890123456 for index in range(64)}
    recorder.measured("", *(Measured(step=step, values=values) for step in range(1, 201)))
    assert recorder.flush()
    reader = Recorded()
    reader.read(Here(tmp_path / FOLDER))
    assert {len(points) for points in reader.series.values()} == {200}
    assert len(reader.series) == MOST_SERIES, "names that begin alike are curves of their own"
    assert max(map(len, reader.series)) == 100


def test_of_a_step_that_both_have_the_history_counts_as_it_is_held_against_a_digest() -> None:
    both = united({"train/loss": [(2, 0.5)]}, {"train/loss": [(1, 0.9), (2, 7.0), (3, 0.2)], "step/loss": [(1, 1.0)]})
    assert both == {"train/loss": [(1, 0.9), (2, 0.5), (3, 0.2)], "step/loss": [(1, 1.0)]}
