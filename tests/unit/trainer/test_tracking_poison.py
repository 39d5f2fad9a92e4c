"""A tracker whose server fails at one record each time is told all others, in order and once."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headway_api.tracking import Tracking
from headway_trainer.storage import Store
from headway_trainer.tracking import process, processes
from headway_trainer.tracking.events import Began, Ended, Point
from headway_trainer.tracking.follower import TRIES, Follower, left, read_cursor
from headway_trainer.tracking.process import Task, Teller
from headway_trainer.tracking.recorder import Recorder
from headway_trainer.tracking.trackers.base import DownError, Known, RefusedError
from headway_trainer.training.link import Measured


class Server:
    """A server that fails at some things each time, and at everything now and then. It has each step of a run once."""

    def __init__(self, *poison: object, outages: Sequence[tuple[int, int]] = ()) -> None:
        """poison: steps of points, scopes of beginnings, and states of ends with their scopes. outages: from which
        call on, and of how many."""
        self.poison, self.outages, self.calls = list(poison), outages, 0
        self.runs, self.ended = dict[str, list[int]](), dict[str, str]()
        self.asked = list[object]()

    def _call(self, *about: object) -> None:
        self.calls += 1
        self.asked += about
        if any(first <= self.calls < first + long for first, long in self.outages):
            raise DownError("no answer")
        if any(each in self.poison for each in about):
            raise DownError("500 internal error")

    def begin(self, began: Began, known: Known | None, parent: Known | None) -> Known:  # noqa: ARG002 - as of Tracker
        self._call(f"begin {began.scope}")
        assert began.scope not in self.ended, "what has ended does not begin again"
        self.runs.setdefault(began.scope, [])
        return known or Known(id=f"run {began.scope}")

    def points(self, known: Known, points: Sequence[Point]) -> None:
        self._call(*((point.scope, point.step) for point in points))
        has = self.runs[known.id.removeprefix("run ")]
        for point in points:
            if point.step not in has:
                assert not has or has[-1] < point.step, "in order"
                has.append(point.step)

    def end(self, known: Known, ended: Ended) -> None:
        self._call(f"end {ended.scope}")
        self.ended[known.id.removeprefix("run ")] = ended.state

    def settled(self) -> bool:
        return True

    def close(self, seconds: float) -> None:
        """Nothing is on its way."""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path))


def record(store: Store, steps: int, *, trials: int = 0, over: bool = True) -> None:
    """A run of so many points, and as many of each trial."""
    made = Recorder(store, 1, tracking=Tracking(tensorboard=False), clock=count(1.0).__next__)
    made.begin("", name="x", parameters={})
    for trial in range(trials):
        made.begin(f"trial-{trial}", name="t", parameters={})
    for step in range(1, steps + 1):
        for scope in ("", *(f"trial-{trial}" for trial in range(trials))):
            made.measured(scope, Measured(step=step, values={"a": 1.0}))
    if over:
        made.end("", "completed")
    assert made.flush()


def follow(store: Store, server: Server, turns: int = 40) -> Follower:
    """As a process does it, until all is told."""
    follower = Follower(store, "mlflow", "there", server)
    for _ in range(turns):
        try:
            follower.follow()
        except DownError:
            continue
        return follower
    raise AssertionError(f"it is held up: {left(store, 'mlflow', 'there')} are left")


@pytest.mark.parametrize("step", [1, 4, 9])
def test_a_point_that_the_server_always_fails_at_is_left_out_and_said(store: Store, step: int) -> None:
    record(store, 9)
    server = Server(("", step))
    follower = follow(store, server)
    assert server.runs[""] == [each for each in range(1, 10) if each != step]
    assert server.ended == {"": "completed"}
    assert follower.problem == "it fails at it each time, though it takes other records: 500 internal error"
    assert (read_cursor(store, "mlflow", "there").refused, left(store, "mlflow", "there")) == (1, 0)
    assert server.asked.count(("", step)) >= TRIES, "nothing is left out at once"


def test_a_server_that_is_down_for_long_is_told_everything_later(store: Store) -> None:
    record(store, 9)
    server = Server(outages=[(2, 60)])
    follower = Follower(store, "mlflow", "there", server)
    for _ in range(70):
        try:
            follower.follow()
        except DownError:
            continue
    assert (server.runs[""], follower.problem) == (list(range(1, 10)), None)


def test_one_that_is_down_from_the_first_call_is_told_everything_later(store: Store) -> None:
    record(store, 2)
    server = Server("begin ")
    with pytest.raises(AssertionError, match="held up: 4 are left"):
        follow(store, server)
    server.poison.clear()
    follow(store, server)
    assert server.runs[""] == [1, 2]


def test_the_beginning_of_a_trial_is_left_out_with_what_is_of_it_and_the_others_are_told(store: Store) -> None:
    record(store, 3, trials=3)
    server = Server("begin trial-1")
    follow(store, server)
    assert server.runs == {"": [1, 2, 3], "trial-0": [1, 2, 3], "trial-2": [1, 2, 3]}
    assert server.ended == {"trial-0": "completed", "trial-2": "completed", "": "completed"}


@pytest.mark.parametrize("how", ["fails", "refuses"])
def test_a_trial_that_cannot_be_ended_does_not_keep_its_job_from_its_end(
    store: Store, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(store, 1, trials=3)
    server = Server("end trial-1")
    if how == "refuses":

        def deleted(known: Known, ended: Ended) -> None:
            if ended.scope == "trial-1":
                raise RefusedError("somebody has deleted this run")
            Server.end(server, known, ended)

        monkeypatch.setattr(server, "end", deleted)
    follow(store, server)
    assert server.ended == {"trial-0": "completed", "trial-2": "completed", "": "completed"}
    assert read_cursor(store, "mlflow", "there").refused == 1


def test_a_process_that_was_killed_before_the_poison_finds_what_it_can_tell_again_in_the_record(store: Store) -> None:
    record(store, 3, trials=1, over=False)
    server = Server(("", 3))
    with pytest.raises(DownError):
        Follower(store, "mlflow", "there", server).follow()
    server.calls = 0
    follow(store, server)
    assert server.runs == {"": [1, 2], "trial-0": [1, 2, 3]}


def test_a_run_whose_every_point_is_poison_is_left_out_in_bounded_tries(store: Store) -> None:
    record(store, 3000)
    server = Server(*(("", step) for step in range(1, 3001)))
    follow(store, server, turns=200)
    assert server.runs[""] == []
    assert server.ended == {"": "completed"}
    assert server.calls < 400


@settings(max_examples=60, deadline=None)
@example(poison={("", 5)}, outages=[(21, 1), (23, 1)], kills=[])  # right after a record that was left out
@given(
    poison=st.sets(st.tuples(st.sampled_from(["", "trial-0"]), st.integers(1, 30)), max_size=4),
    outages=st.lists(st.tuples(st.integers(1, 80), st.integers(1, 25)), max_size=3),
    kills=st.lists(st.integers(1, 15), max_size=4),
)
def test_whatever_fails_when_only_the_poison_is_left_out_and_the_rest_is_told_once_in_order(
    poison: set[tuple[str, int]], outages: list[tuple[int, int]], kills: list[int]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(folder)
        record(store, 30, trials=1)
        server = Server(*poison, outages=outages)
        for turns in [*kills, 400]:
            follower = Follower(store, "mlflow", "there", server)  # what it knew, a kill has taken
            for _ in range(turns):
                try:
                    follower.follow()
                except DownError:
                    continue
                break
        for scope in ("", "trial-0"):
            assert server.runs[scope] == [step for step in range(1, 31) if (scope, step) not in poison]
        assert server.ended == {"trial-0": "completed", "": "completed"}
        assert read_cursor(store, "mlflow", "there").refused == len(poison)


class Slow(Server):
    """One that takes what it is told, and does not say whether it has arrived."""

    def settled(self) -> bool:
        return False


def test_what_has_not_arrived_is_told_again_after_a_kill(store: Store) -> None:
    record(store, 3, over=False)
    Follower(store, "comet", "there", Slow()).follow()
    server = Server()
    Follower(store, "comet", "there", server).follow()
    assert server.runs == {"": [1, 2, 3]}


def test_people_are_told_at_the_end_also_where_it_was_left_out_by_an_earlier_process(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(store, 3)
    task = Task(
        storage_uri=store.uri,
        storage_secret_dir=None,
        tracking_secret_dir=None,
        tracker="mlflow",
        tracking=Tracking.model_validate({"mlflow": {"uri": "http://mlflow"}}),
        job="x",
    )
    monkeypatch.setattr(process, "make", lambda *_: Server(("", 2)))
    said: list[str | None] = []
    teller = Teller(task, said.append)
    assert [teller.turn() for _ in range(3 * TRIES)][-1]
    why = "it fails at it each time, though it takes other records: 500 internal error"
    assert said == ["500 internal error", f"{process.LEFT_OUT}{why}", None]
    told: list[tuple[str, str | None]] = []
    people = processes.TellerProcess(task, lambda *sentences: told.append(sentences))
    for problem in said:
        people._heard(problem)
    assert told[-1][0] == f"MLflow at http://mlflow: {process.LEFT_OUT}{why}"
    people.conclude(store, "s3://b/x")
    assert told[-1] == (
        f"MLflow at http://mlflow lacks 1 record of this run, which it did not take: {why}.",
        told[-2][0],
    )
    again: list[str | None] = []
    assert Teller(task, again.append).turn()
    assert again == [None]
