"""How busy a server is: the seconds of its requests, added up."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway_server.batching import Batcher
from headway_server.errors import Overloaded
from headway_server.load import Load
from headway_server.model import Array, Tensors


def test_what_it_grows_by_in_a_second_is_how_many_requests_were_in_flight() -> None:
    now = 0.0
    load = Load(lambda: now)
    load.begin()
    now = 2.0
    assert load.seconds() == 2.0
    load.begin()
    now = 3.0
    assert load.seconds() == 4.0
    load.end()
    load.end()
    now = 100.0
    assert load.seconds() == 4.0


@given(requests=st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), max_size=30))
def test_it_is_the_sum_of_what_each_request_took(requests: list[tuple[float, float]]) -> None:
    now = 0.0
    load = Load(lambda: now)
    events = [(start, load.begin) for start, _ in requests] + [(start + took, load.end) for start, took in requests]
    for time, event in sorted(events, key=lambda event: (event[0], event[1] == load.end)):
        now = time
        event()
    now = 1000.0
    assert load.seconds() == pytest.approx(sum(took for _, took in requests), abs=1e-6)


def test_a_batcher_counts_what_it_runs_what_another_server_answers_and_nothing_that_it_refuses() -> None:
    async def course() -> None:
        def run(feeds: Tensors) -> dict[str, Array]:
            return dict(feeds)

        batcher = Batcher(run)
        assert batcher.load.seconds() == 0.0
        batcher.hold(1)
        await asyncio.sleep(0.01)
        held = batcher.load.seconds()
        assert held >= 0.01
        batcher.release(1)
        await batcher.submit({"x": np.zeros((1, 2))}, 1)
        run_as_well = batcher.load.seconds()
        assert run_as_well > held
        batcher.in_flight = batcher.limits.max_in_flight
        with pytest.raises(Overloaded):
            batcher.submit({"x": np.zeros((1, 2))}, 1)
        batcher.in_flight = 0
        await asyncio.sleep(0.01)
        assert batcher.load.seconds() == pytest.approx(run_as_well, abs=0.005)

    asyncio.run(course())
