"""Whose a line is, and the names of files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway_trainer.logs import sources
from headway_trainer.logs.sources import GROUPS_KEPT, Source


@given(
    places=st.lists(st.tuples(st.integers(0, 120), st.integers(0, 3000)), unique=True, max_size=30),
    name=st.sampled_from(["rank-3", "driver", "pod-digits-a1b2c-1-worker-0-0"]),
)
def test_a_shell_lists_the_parts_of_a_source_in_order(places: list[tuple[int, int]], name: str) -> None:
    first = f"{name}.log"
    files = [Source(name, group).file(part) for group, part in sorted(places)]
    assert sorted(files, key=lambda file: (file != first, file)) == files
    assert all(sources.is_ours(file) for file in files)


@pytest.mark.parametrize("name", ["rank-0.log.gz", "notes.log", "rank-x.log", "driver.txt", "rank-0.1.log", ".log"])
def test_other_files_are_not_ours(name: str) -> None:
    assert not sources.is_ours(name)


def test_a_mark_names_the_rank_and_nothing_else_does() -> None:
    assert sources.marked(sources.mark(3, 12).rstrip("\n").encode()) == Source("rank-3", 12)
    for line in (b"", b"rank 3", b":headway_rank:", b":headway_rank:3", b":headway_rank:x:1", b" :headway_rank:3:1"):
        assert sources.marked(line) is None


def test_the_first_group_and_the_newest_stay() -> None:
    files = [Source("rank-0", group).file(part) for group in range(GROUPS_KEPT + 3) for part in (0, 1)]
    expired = sources.expired([*files, "mine.txt", "driver.log"])
    assert expired == [
        Source("rank-0", 1).file(0),
        Source("rank-0", 1).file(1),
        Source("rank-0", 2).file(0),
        Source("rank-0", 2).file(1),
    ]


def test_of_a_workers_place_the_first_pod_and_the_newest_stay_and_each_place_counts_by_itself() -> None:
    files = [f"pod-job-a1b2c-1-worker-{index}-{number}.log" for index, number in ((0, 0), (0, 3), (0, 40), (1, 2))]
    assert sources.expired(files) == ["pod-job-a1b2c-1-worker-0-3.log"]
