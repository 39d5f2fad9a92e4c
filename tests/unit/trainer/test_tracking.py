"""Whatever is killed when, a tracker knows each step of a run once, in order, and each run once."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headway_api.tracking import Tracking
from headway_trainer.errors import StorageError
from headway_trainer.storage import Store
from headway_trainer.tracking import recorder as recorders
from headway_trainer.tracking.events import MOST_VALUES, Began, Ended, Point, Record
from headway_trainer.tracking.follower import Follower, left, read_cursor
from headway_trainer.tracking.marks import MOST_POINTS, MOST_POINTS_OF_CHILD, Marks
from headway_trainer.tracking.recorder import Recorder
from headway_trainer.tracking.trackers.base import DownError, Known, RefusedError
from headway_trainer.training.link import Measured


class KilledError(BaseException):
    """The process is gone."""


class Tracked:
    """A tracker's server: a number that comes again with its time and step is the same one, as in MLflow."""

    def __init__(self) -> None:
        self.runs: dict[str, str] = {}
        """The identity of each, by its id."""
        self.parents: dict[str, str | None] = {}
        self.numbers: defaultdict[str, dict[tuple[str, int, float], float]] = defaultdict(dict)
        """Of each run, in the order in which they came first."""
        self.ended: dict[str, str] = {}

    def steps(self, run: str, name: str) -> list[int]:
        return [step for told, step, _ in self.numbers[run] if told == name]


class Client:
    """What tells it, until something is in the way."""

    def __init__(self, server: Tracked, faults: list[str] | None = None) -> None:
        self._server, self._faults = server, faults or []

    def _call(self, done: bool) -> None:
        if not done:
            self._now = self._faults.pop(0) if self._faults else ""
        if self._now == ("killed after" if done else "killed before"):
            raise KilledError
        if self._now == ("down after" if done else "down before"):
            raise DownError("no answer")

    def begin(self, began: Began, known: Known | None, parent: Known | None) -> Known:
        self._call(done=False)
        identity = f"{began.identity}/{began.scope}"
        same = [run for run, told in self._server.runs.items() if told == identity]
        found = known.id if known is not None else next(iter(same), "")
        if not found:
            found = f"run-{len(self._server.runs)}"
            self._server.runs[found] = identity
            self._server.parents[found] = parent.id if parent is not None else None
        self._call(done=True)
        return known or Known(id=found)

    def points(self, known: Known, points: Sequence[Point]) -> None:
        self._call(done=False)
        for point in points:
            for name, value in point.values.items():
                self._server.numbers[known.id].setdefault((name, point.step, point.at), value)
        self._call(done=True)

    def end(self, known: Known, ended: Ended) -> None:
        self._call(done=False)
        self._server.ended[known.id] = ended.state
        self._call(done=True)

    def settled(self) -> bool:
        return True

    def close(self, seconds: float) -> None:
        """Nothing is on its way."""


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


class World:
    """A job that is trained, killed and goes on, with a tracker that follows it."""

    def __init__(self, folder: str) -> None:
        self.store, self.clock, self.server = Store.open(folder), Clock(), Tracked()
        self.attempt, self.step = 0, 0
        self.recorder = self.begin(0)

    def begin(self, step: int) -> Recorder:
        """The next attempt, which goes on from a step that was reached."""
        self.attempt, self.step = self.attempt + 1, min(step, self.step)
        self.recorder = Recorder(
            self.store, self.attempt, identity="", clock=self.clock, tracking=Tracking(tensorboard=False)
        )
        for scope in ("", "trial-1"):
            self.recorder.begin(scope, name=scope or "job", parameters={"lr": "1"})
            # The loop tells anew what the checkpoint knows: nobody can say whether it was recorded.
            self._tell(scope, range(1, self.step + 1))
        return self.recorder

    def train(self, steps: int) -> None:
        for _ in range(steps):
            self.step += 1
            for scope in ("", "trial-1"):
                self._tell(scope, [self.step])

    def _tell(self, scope: str, steps: Iterable[int]) -> None:
        self.recorder.measured(scope, *(Measured(step=step, values={"loss": 1 / step}) for step in steps))

    def follow(self, faults: list[str]) -> None:
        try:
            follower = Follower(self.store, "mlflow", "there", Client(self.server, faults))
            follower.follow()
        except (DownError, KilledError):
            return


FAULTS = st.lists(st.sampled_from(["", "", "killed before", "killed after", "down before", "down after"]), max_size=6)
ACTIONS = st.one_of(
    st.tuples(st.just("train"), st.integers(1, 7)),
    st.tuples(st.just("record"), st.just(0)),
    st.tuples(st.just("kill"), st.integers(0, 30)),
    st.tuples(st.just("follow"), FAULTS),
)


@settings(max_examples=60, deadline=None)
@given(actions=st.lists(ACTIONS, max_size=25))
def test_any_order_of_kills_failures_and_resumes_tells_each_step_once_and_in_order(
    actions: list[tuple[str, object]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(folder)
        for action, value in actions:
            match action, value:
                case "train", int(steps):
                    world.train(steps)
                case "record", _:
                    assert world.recorder.flush()
                case "kill", int(step):
                    world.begin(step)
                case "follow", list(faults):
                    world.follow(faults)
        world.train(1)
        assert world.recorder.flush()
        world.recorder.end("", "completed")
        assert world.recorder.flush()
        world.follow([])
        _judge(world)


def _judge(world: World) -> None:
    server, reached = world.server, list(range(1, world.step + 1))
    assert len(set(server.runs.values())) == len(server.runs) == 2
    root, child = sorted(server.runs, key=lambda run: server.runs[run])
    assert (server.parents[root], server.parents[child]) == (None, root)
    for run in (root, child):
        # What was recorded before a kill, and was not done again, is told, too.
        told = server.steps(run, "loss")
        assert told[: world.step] == reached
        assert told == sorted(set(told))
    assert server.ended[root] == "completed"
    assert left(world.store, "mlflow", "there") == 0


def test_a_run_has_no_more_points_than_trackers_show_and_keeps_its_whole_course() -> None:
    marks = Marks()
    kept: dict[str, list[int]] = {"": [], "trial-1": []}
    for scope, steps in kept.items():
        marks.admit(Began(scope=scope, name="", identity="", at=0))
        for step in range(1, 50_001):
            if marks.admit(Point(scope=scope, step=step, values={"a": 1.0}, at=0)):
                steps.append(step)
    assert MOST_POINTS < len(kept[""]) < 5 * MOST_POINTS
    assert MOST_POINTS_OF_CHILD < len(kept["trial-1"]) < 8 * MOST_POINTS_OF_CHILD
    for steps in kept.values():
        assert steps[:100] == list(range(1, 101))
        assert max(after - before for before, after in pairwise(steps)) < 600
        assert steps[-1] > 49_000


def test_a_point_without_a_step_is_the_one_after_the_last_also_in_the_next_attempt(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    for attempt in (1, 2):
        recorder = Recorder(store, attempt, tracking=Tracking(tensorboard=False))
        recorder.begin("", name="job", parameters={})
        recorder.measured("", *(Measured(step=None, values={"loss": float(attempt)}) for _ in range(2)))
        assert recorder.flush()
    points = [event for event in Record(store, 3).read() if isinstance(event, Point)]
    assert [(point.step, point.values["loss"]) for point in points] == [(1, 1.0), (2, 1.0), (3, 2.0), (4, 2.0)]


def test_what_else_is_told_of_a_step_is_news_and_what_was_told_of_it_is_none(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    server, clock = Tracked(), Clock()

    def attempt(number: int, *told: Measured) -> None:
        recorder = Recorder(store, number, identity="j", clock=clock, tracking=Tracking(tensorboard=False))
        recorder.begin("", name="job", parameters={})
        for one in told:
            recorder.measured("", one)
            assert recorder.flush()
            # Another process each time: what it knows is its cursor.
            Follower(store, "mlflow", "there", Client(server)).follow()

    train, judged = Measured(step=100, values={"loss": 0.5}), Measured(step=100, values={"epoch": 1.0, "f1": 0.9})
    attempt(1, train, judged, Measured(step=100, values={"f1": 0.1, "auc": 0.8}))
    attempt(2, train, judged, Measured(step=200, values={"loss": 0.4}), judged)
    points = [each for each in Record(store, 3).read() if isinstance(each, Point)]
    assert [(each.step, dict(each.values)) for each in points] == [
        (100, {"loss": 0.5}), (100, {"epoch": 1.0, "f1": 0.9}), (100, {"auc": 0.8}), (200, {"loss": 0.4}),
    ]  # fmt: skip
    told = sorted((name, step, value) for (name, step, _), value in server.numbers["run-0"].items())
    assert told == [("auc", 100, 0.8), ("epoch", 100, 1.0), ("f1", 100, 0.9), ("loss", 100, 0.5), ("loss", 200, 0.4)]


def test_whoever_reports_new_names_at_one_step_for_ever_fills_no_record() -> None:
    marks = Marks()
    marks.admit(Began(scope="", name="", identity="", at=0))
    told = 0
    for number in range(5000):
        event = marks.numbered(Point(scope="", step=1, values={f"m{number}": 1.0}, at=0))
        told += marks.admit(event)
    assert told == MOST_VALUES


def test_a_storage_that_is_away_costs_nothing_and_gets_all_of_it_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder(Store.open(str(tmp_path)), 1, tracking=Tracking(tensorboard=False))
    recorder.begin("", name="job", parameters={})
    with monkeypatch.context() as broken:
        broken.setattr(Store, "write", _away)
        recorder.measured("", Measured(step=1, values={"loss": 1.0}))
        assert not recorder.flush()
        recorder.measured("", Measured(step=2, values={"loss": 0.5}))
        assert not recorder.flush()
    assert recorder.flush()
    events = Record(Store.open(str(tmp_path)), 2).read()
    assert [event.step for event in events if isinstance(event, Point)] == [1, 2]


def test_a_storage_that_is_away_for_long_costs_bounded_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorders, "MOST_WAITING", 50)
    recorder = Recorder(Store.open(str(tmp_path)), 1, tracking=Tracking(tensorboard=False))
    recorder.begin("", name="job", parameters={})
    with monkeypatch.context() as broken:
        broken.setattr(Store, "write", _away)
        for step in range(1, 400):
            recorder.measured("", Measured(step=step, values={"loss": 1.0}))
            if step % 20 == 0:
                assert not recorder.flush()
    assert recorder.lost >= 300
    assert recorder.flush()
    points = [event for event in Record(Store.open(str(tmp_path)), 2).read() if isinstance(event, Point)]
    assert 50 <= len(points) <= 100


def _away(*_: object) -> None:
    raise StorageError("the storage is away")


def test_a_record_that_is_damaged_ends_the_telling_and_not_the_run(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    store.write("tracking/events-0001-000001.jsonl", b"no json")
    recorder = Recorder(store, 2)
    recorder.begin("", name="job", parameters={})
    assert recorder.flush()
    assert recorder.broken is not None
    assert "is damaged" in recorder.broken


class Refusing(Client):
    """Takes no points of a trial."""

    def points(self, known: Known, points: Sequence[Point]) -> None:
        if points[0].scope:
            raise RefusedError("a name is too long")
        super().points(known, points)


def test_what_a_tracker_refuses_is_counted_and_does_not_stand_in_the_way(tmp_path: Path) -> None:
    world = World(str(tmp_path))
    world.train(3)
    assert world.recorder.flush()
    follower = Follower(world.store, "mlflow", "there", Refusing(world.server))
    assert follower.follow() == 8
    assert follower.problem == "a name is too long"
    assert world.server.steps("run-0", "loss") == [1, 2, 3]
    cursor = read_cursor(world.store, "mlflow", "there")
    assert (cursor.refused, left(world.store, "mlflow", "there")) == (3, 0)


def test_another_server_is_told_from_the_beginning(tmp_path: Path) -> None:
    world = World(str(tmp_path))
    world.train(2)
    assert world.recorder.flush()
    world.follow([])
    assert left(world.store, "mlflow", "there") == 0
    assert left(world.store, "mlflow", "elsewhere") == 6
