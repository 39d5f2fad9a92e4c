"""Requests that wait are run together, each gets its own answer, and what is too much or too late is refused."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway_server.batching import Batcher, Limits
from headway_server.errors import DeadlineExceeded, InvalidRequest, ModelFailed, Overloaded, RequestError
from headway_server.model import Array, Tensors


class Runs:
    """Doubles x; remembers the rows of each run. Fails where a row is negative."""

    def __init__(self, failure: Callable[[], Exception] = lambda: ModelFailed("a negative row")) -> None:
        self.sizes: list[int] = []
        self.failure = failure

    def __call__(self, feeds: Tensors) -> dict[str, Array]:
        x = feeds["x"]
        self.sizes.append(len(x))
        if (x < 0).any():
            raise self.failure()
        return {"y": x * 2}


def rows(*values: float) -> dict[str, Any]:
    return {"x": np.array(values).reshape(-1, 1)}


async def outcome(future: asyncio.Future[dict[str, Array]]) -> list[float] | str:
    """The values, or the kind of error."""
    try:
        return [float(one) for one in (await future)["y"].ravel()]
    except RequestError as error:
        return error.kind


async def test_what_is_submitted_in_one_turn_of_the_loop_is_one_run() -> None:
    run = Runs()
    batcher = Batcher(run)
    futures = [batcher.submit(rows(float(at), at + 0.5), 2) for at in range(5)]
    assert (batcher.in_flight, batcher.rows_in_flight, batcher.queued) == (5, 10, 5)
    assert [await outcome(one) for one in futures] == [[at * 2.0, at * 2 + 1.0] for at in range(5)]
    assert run.sizes == [10]
    assert (batcher.in_flight, batcher.rows_in_flight, batcher.queued) == (0, 0, 0)


async def test_no_run_is_larger_than_the_limit_but_for_one_request_that_is() -> None:
    run = Runs()
    batcher = Batcher(run, Limits(max_size=4))
    sizes = [3, 2, 2, 9, 1]
    futures = [batcher.submit(rows(*[1.0] * size), size) for size in sizes]
    assert [len(await outcome(one)) for one in futures] == sizes
    assert run.sizes == [3, 4, 9, 1]


async def test_a_bad_request_fails_alone() -> None:
    run = Runs()
    batcher = Batcher(run)
    futures = [batcher.submit(rows(value), 1) for value in (1.0, -1.0, 3.0)]
    assert [await outcome(one) for one in futures] == [[2.0], "model", [6.0]]
    assert run.sizes == [3, 1, 1, 1]


async def test_an_error_that_nobody_foresaw_is_an_answer_and_the_next_request_is_served() -> None:
    batcher = Batcher(Runs(lambda: ZeroDivisionError("secret")))
    with pytest.raises(ModelFailed, match="ZeroDivisionError") as told:
        await batcher.submit(rows(-1.0), 1)
    assert "secret" not in str(told.value)
    assert await outcome(batcher.submit(rows(1.0), 1)) == [2.0]


async def test_requests_of_other_shapes_run_apart_in_their_order() -> None:
    run = Runs()
    batcher = Batcher(run)
    wide = {"x": np.ones((2, 3))}
    futures = [batcher.submit(one, len(one["x"])) for one in (rows(1.0), rows(2.0), wide, rows(3.0))]
    assert [await outcome(one) for one in futures] == [[2.0], [4.0], [2.0] * 6, [6.0]]
    assert run.sizes == [2, 2, 1]


async def test_beyond_the_requests_in_flight_one_is_refused_at_once_and_told_when_to_come_again() -> None:
    batcher = Batcher(Runs(), Limits(max_in_flight=2))
    futures = [batcher.submit(rows(1.0), 1) for _ in range(2)]
    with pytest.raises(Overloaded) as refused:
        batcher.submit(rows(1.0), 1)
    assert refused.value.retry_after >= 1
    with pytest.raises(Overloaded):
        batcher.admit()
    assert [await outcome(one) for one in futures] == [[2.0], [2.0]]
    assert await outcome(batcher.submit(rows(1.0), 1)) == [2.0]


async def test_rows_are_bounded_but_one_request_alone_may_have_more() -> None:
    batcher = Batcher(Runs(), Limits(max_rows=4))
    large = batcher.submit(rows(*[1.0] * 6), 6)
    with pytest.raises(Overloaded, match="6 rows are being answered"):
        batcher.submit(rows(1.0), 1)
    assert await outcome(large) == [2.0] * 6


async def test_after_its_deadline_a_request_is_not_run() -> None:
    run = Runs()
    batcher = Batcher(run)
    now = asyncio.get_running_loop().time()
    late, fine = batcher.submit(rows(1.0), 1, now - 1), batcher.submit(rows(2.0), 1, now + 60)
    with pytest.raises(DeadlineExceeded):
        await late
    assert await outcome(fine) == [4.0]
    assert run.sizes == [1]


async def test_a_request_whose_client_is_gone_is_not_run() -> None:
    run = Runs()
    batcher = Batcher(run)
    gone, stays = batcher.submit(rows(1.0), 1), batcher.submit(rows(2.0), 1)
    gone.cancel()
    assert await outcome(stays) == [4.0]
    assert run.sizes == [1]
    assert batcher.in_flight == 0


async def test_with_a_delay_a_run_waits_for_more_but_not_when_there_is_enough() -> None:
    run = Runs()
    batcher = Batcher(run, Limits(max_size=3, max_delay_seconds=3600, max_wait_seconds=7200))
    futures = [batcher.submit(rows(1.0), 1) for _ in range(2)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert run.sizes == []
    futures.append(batcher.submit(rows(1.0), 1))
    assert [await outcome(one) for one in futures] == [[2.0]] * 3
    assert run.sizes == [3]


class Held:
    """A run that a test lets go on."""

    def __init__(self) -> None:
        self.started, self.go_on = threading.Event(), threading.Event()
        self.sizes: list[int] = []

    def __call__(self, feeds: Tensors) -> dict[str, Array]:
        self.sizes.append(len(feeds["x"]))
        self.started.set()
        assert self.go_on.wait(60)
        return {"y": feeds["x"] * 2}


async def test_while_a_run_is_in_its_thread_the_loop_goes_on_and_gathers_the_next_one() -> None:
    run = Held()
    batcher = Batcher(run, Limits(max_wait_seconds=3600), inline=False)
    first = batcher.submit(rows(1.0), 1)
    assert await asyncio.to_thread(run.started.wait, 60)
    others = [batcher.submit(rows(2.0), 1) for _ in range(3)]
    await asyncio.sleep(0)
    assert (batcher.in_flight, batcher.queued) == (4, 3)
    closing = asyncio.create_task(batcher.close())
    run.go_on.set()
    assert [await outcome(one) for one in (first, *others)] == [[2.0], [4.0], [4.0], [4.0]]
    assert run.sizes == [1, 3]
    await closing


async def test_a_request_that_waited_too_long_for_its_turn_is_refused() -> None:
    run = Held()
    batcher = Batcher(run, Limits(max_wait_seconds=0), inline=False)
    first = batcher.submit(rows(1.0), 1, None)
    assert await outcome(first) == "overloaded"
    assert run.sizes == []
    await batcher.close()


async def test_each_run_is_told_to_whoever_counts() -> None:
    seen: list[tuple[int, int]] = []
    batcher = Batcher(Runs(), observe=lambda requests, rows, _: seen.append((requests, rows)))
    await asyncio.gather(batcher.submit(rows(1.0), 1), batcher.submit(rows(1.0, 2.0), 2))
    assert seen == [(2, 3)]


@given(
    sizes=st.lists(st.tuples(st.integers(1, 6), st.booleans()), min_size=1, max_size=30),
    most=st.integers(1, 8),
    inline=st.booleans(),
)
def test_whatever_is_submitted_each_request_gets_its_own_answer_once(
    sizes: list[tuple[int, bool]], most: int, inline: bool
) -> None:
    async def play() -> None:
        batcher = Batcher(Runs(), Limits(max_size=most, max_wait_seconds=3600), inline=inline)
        sent = [[float(at + 1)] * size if good else [-1.0] * size for at, (size, good) in enumerate(sizes)]
        futures = [batcher.submit(rows(*one), len(one)) for one in sent]
        told = [await outcome(one) for one in futures]
        assert told == ["model" if one[0] < 0 else [value * 2 for value in one] for one in sent]
        await batcher.close()
        assert (batcher.in_flight, batcher.rows_in_flight) == (0, 0)

    asyncio.run(play())


def test_kinds_of_errors_have_a_status_and_a_code_each() -> None:
    assert (InvalidRequest.status, InvalidRequest.grpc_code) == (400, "INVALID_ARGUMENT")
    assert (Overloaded.status, DeadlineExceeded.status) == (503, 504)
