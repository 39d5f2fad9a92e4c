"""The parts of the pages that stand alone: what is kept, what was seen, tables in pages, numbers that JSON lacks."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_kubectl import FakeKubectl
from headway_cli.cluster.errors import ClusterError, UnreachedError
from headway_cli.cluster.following import driver_tail
from headway_cli.cluster.kubectl import Target
from headway_cli.cluster.samples import MOST_JOBS, MOST_POINTS, MOST_SERIES, Samples, joined, thinned
from headway_cli.ui import reaching
from headway_cli.ui.asking import Asked, BadQuestionError, Data, Route, Site
from headway_cli.ui.keeping import MOST_KEPT, Keeper
from headway_cli.ui.pages import ROUTES
from headway_cli.ui.paging import SIZE, Link, page_of
from headway_cli.ui.reaching import Reach


def test_many_who_ask_at_once_cost_one_read_and_later_ones_another() -> None:
    clock, reads, gate = [0.0], [0], threading.Event()
    keeper = Keeper(lambda: clock[0])

    def read() -> int:
        gate.wait(10)
        reads[0] += 1
        return reads[0]

    with ThreadPoolExecutor(4) as executor:
        asked = [executor.submit(keeper.kept, ("a",), 2.0, read) for _ in range(4)]
        gate.set()
        assert [each.result(10) for each in asked] == [1] * 4
    clock[0] = 1.9
    assert keeper.kept(("a",), 2.0, read) == 1
    clock[0] = 2.0
    assert keeper.kept(("a",), 2.0, read) == 2


def test_an_error_is_not_kept_and_the_oldest_reads_are_forgotten() -> None:
    keeper = Keeper(lambda: 0.0)
    with pytest.raises(ClusterError):
        keeper.kept(("a",), 5, _fails)
    assert keeper.kept(("a",), 5, lambda: 1) == 1
    for index in range(MOST_KEPT):
        keeper.kept(("other", str(index)), 5, lambda: 0)
    assert keeper.kept(("a",), 5, lambda: 2) == 2


class CountedLock:
    """A lock that knows how many have asked for it."""

    def __init__(self) -> None:
        self._lock, self.asked = threading.Lock(), 0

    def __enter__(self) -> None:
        self.asked += 1
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def test_who_waits_for_a_read_that_fails_is_told_so_and_does_not_try_it_once_more() -> None:
    keeper, gate, reads, lock = Keeper(lambda: 0.0), threading.Event(), [0], CountedLock()
    keeper.kept(("a",), 0.0, lambda: 0)
    keeper._slots[("a",)].lock = cast("Any", lock)

    def read() -> int:
        reads[0] += 1
        gate.wait(10)
        raise ClusterError("nobody answers")

    with ThreadPoolExecutor(4) as executor:
        asked = [executor.submit(keeper.kept, ("a",), 2.0, read) for _ in range(4)]
        until = time.monotonic() + 20
        while lock.asked < 4 and time.monotonic() < until:
            threading.Event().wait(0.01)
        gate.set()
        assert [str(each.exception(20)) for each in asked] == ["nobody answers"] * 4
    assert reads == [1]
    assert keeper.kept(("a",), 2.0, lambda: 7) == 7


def _fails() -> int:
    raise ClusterError("no")


@given(st.integers(0, 400), st.integers(-5, 50))
def test_pages_of_a_table_hold_each_row_once(count: int, number: int) -> None:
    rows = list(range(count))
    page = page_of(rows, number)
    found = [each for index in range(1, page.pages + 1) for each in page_of(rows, index).items]
    assert found == rows
    assert len(page.items) <= SIZE
    assert page.items == rows[page.first - 1 : page.last] if count else page.first == page.last == 0


def test_links_keep_the_choice_and_begin_again_at_the_first_page() -> None:
    link = Link("/jobs", {"namespace": "*", "phase": "", "name": "a&b"})
    assert link.page(3) == "/jobs?namespace=%2A&name=a%26b&page=3"
    assert link.to(phase="Failed", name="") == "/jobs?namespace=%2A&phase=Failed"
    assert Link("/x", {}).to() == "/x"


@given(st.lists(st.tuples(st.integers(0, 500), st.floats(allow_nan=False)), max_size=200))
def test_what_was_seen_is_a_curve_whatever_a_job_tells(told: list[tuple[int, float]]) -> None:
    samples = Samples()
    for step, value in told:
        samples.add("a", step, {"train/loss": value})
    steps = [step for step, _ in samples.of("a").get("train/loss", [])]
    assert steps == sorted(set(steps))
    assert not told or steps[-1] == told[-1][0]


def test_what_was_seen_is_bounded_in_jobs_series_and_points() -> None:
    samples = Samples()
    for step in range(5 * MOST_POINTS):
        samples.add("a", step, {"train/loss": 1.0})
    assert len(samples.of("a")["train/loss"]) <= MOST_POINTS
    assert samples.of("a")["train/loss"][-1][0] == 5 * MOST_POINTS - 1
    samples.add("b", 1, {f"m{index}" * 100: 1.0 for index in range(99)})
    assert len(samples.of("b")) == MOST_SERIES
    for index in range(MOST_JOBS):
        samples.add(f"job-{index}", 1, {"x": 1.0})
    assert samples.of("a") == {}


def test_the_storage_s_curve_goes_on_with_what_was_seen_after_it() -> None:
    kept = {"loss": [(1.0, 0.9), (2.0, 0.8)]}
    seen = {"loss": [(1.5, 0.7), (3.0, None)], "f1": [(3.0, 0.5)]}
    assert joined(kept, seen) == {"loss": [(1.0, 0.9), (2.0, 0.8), (3.0, None)], "f1": [(3.0, 0.5)]}  # type: ignore[arg-type]
    assert thinned([(float(step), 0.0) for step in range(10_001)])[-1] == (10_000.0, 0.0)
    assert len(thinned([(float(step), 0.0) for step in range(10_001)])) <= MOST_POINTS


def test_numbers_that_json_does_not_have_are_null() -> None:
    assert Data({"a": [float("nan"), float("-inf"), 1.5], "b": (2,)}).text() == '{"a":[null,null,1.5],"b":[2]}'


def test_every_route_has_one_name_and_one_address() -> None:
    assert len({route.name for route in ROUTES}) == len(ROUTES) == len({route.path for route in ROUTES})


def test_an_address_has_no_name_that_leads_elsewhere() -> None:
    route = Route("/jobs/{namespace}/{name}", lambda _: Data({}), "job")
    assert route.address(namespace="a", name="b") == "/jobs/a/b"
    with pytest.raises(ValueError, match="is no name"):
        route.address(namespace="a", name="../b")


@pytest.mark.parametrize("value", ["x", "-1", "1.5", "\u0661", "9" * 30])
def test_a_number_of_an_address_is_one(value: str) -> None:
    asked = Asked(Site(Target(), "", "default"), datetime(2026, 1, 1, tzinfo=UTC), query={"page": value})
    with pytest.raises(BadQuestionError, match="page"):
        asked.whole("page", 1)


def test_calls_that_hang_end_with_the_server_and_none_begins_after(kubectl: FakeKubectl) -> None:
    kubectl.hangs("get", "forever", stdout="{")
    kubectl.hangs("logs", stdout="one\n")
    reach = Reach()
    connected = reach.connect(Target())
    with ThreadPoolExecutor(2) as executor:
        got = executor.submit(connected.run, "get", "forever")
        with connected.stream("logs") as stream:
            assert stream.line() == b"one\n"
            until = time.monotonic() + 20
            while not kubectl.calls("get") and time.monotonic() < until:
                threading.Event().wait(0.01)
            reach.end()
            assert stream.line() == b""
        assert isinstance(got.exception(timeout=20), ClusterError)
    with pytest.raises(ClusterError):
        connected.run("get", "forever")


def test_a_stream_of_a_node_that_says_nothing_ends_in_time(
    kubectl: FakeKubectl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reaching, "SECONDS", 0.2)
    kubectl.hangs("exec")
    opened = Reach().connect(Target()).stream("exec", writes=True)
    with pytest.raises(UnreachedError, match=r"not read within 0\.2 s: .*node does not answer"), opened as stream:
        assert stream.line() == b""
    kubectl.hangs("logs", stdout="one\n")
    with pytest.raises(UnreachedError, match=r"not read within 0\.2 s"):
        driver_tail(Reach().connect(Target()), "a-head", 10)
