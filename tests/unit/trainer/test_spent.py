"""Where a run's time goes: what drivers count is what was done, and nothing is told that is not known."""

from __future__ import annotations

import random
import threading
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headway_api.tuning import Tuning
from headway_trainer.errors import StorageError, UserError
from headway_trainer.report.markdown import render
from headway_trainer.report.model import RunResult, TimeSpent
from headway_trainer.report.spent import TIME_FILE, Kept, Spent, told
from headway_trainer.report.time_section import time_section
from headway_trainer.run import Run
from headway_trainer.spent_time import SpentTime
from headway_trainer.stages import STAGES, Tune
from headway_trainer.storage import Store
from headway_trainer.training.link import TrainProgress
from unit.trainer.pipeline_world import ONNX, World, exporting


class Truth:
    """A run that is acted out, with a ledger of its own: each second is written down where it is spent."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)  # noqa: S311 - nobody's secret
        self.now = 1000.0
        self.spent: defaultdict[str, float] = defaultdict(float)
        self.between = self.validating = self.waiting = 0.0
        self.again = 0
        self.step = self.furthest = 0
        self.attempt = 0
        self.kept: Kept | None = None

    def pass_by(self) -> float:
        seconds = self.draw.uniform(0.1, 20)
        self.now += seconds
        return seconds

    def train(self, *, ending: str) -> Kept:
        """An attempt: it prepares, does steps from a checkpoint on, may lose its workers, and ends."""
        self.attempt += 1
        spent = Spent.begin(self.kept, self.attempt, at=self.now, wall=self.now)
        self.spent["preparing"] += self.pass_by()
        self._resume()
        said: dict[str, Any] = {"resumed_from_step": self.step or None}
        spent.hear(TrainProgress(step=self.step, **said), self.now)
        for done in range(self.draw.randint(1, 12)):
            if done and self.draw.random() < 0.2:
                self._lose_workers(spent, said)
            if saves := self.draw.random() < 0.3:
                self._save(spent, said)
            self._do_step(spent, said, saves=saves)
        if ending == "succeeded":
            self._save(spent, said)
        if ending == "killed":
            self.kept = spent.now(self.now, self.now)
            if self.draw.random() < 0.5:  # it does something that nobody notes
                self.between += self.pass_by()
            self.kept = spent.now(self.now, self.now)
            self.between += self.pass_by()
            return self.kept
        if ending == "failed":
            self.spent["recovering"] += self.pass_by()
            spent.ends(self.now)
            self.kept = spent.now(self.now, self.now)
            self.between += self.pass_by()
            return self.kept
        self.spent["productive"] += self.pass_by()  # from the last step to the end of training
        spent.hear(TrainProgress(stage="Evaluating", step=self.step, **said), self.now)
        self.spent["evaluating"] += self.pass_by()
        spent.publishes(self.now)
        self.spent["publishing"] += self.pass_by()
        return spent.now(self.now, self.now)

    def _resume(self) -> None:
        """Go on from a checkpoint: what came after it has to be done again."""
        before, self.step = self.step, self.draw.randint(0, self.step)
        self.again += before - self.step

    def _lose_workers(self, spent: Spent, said: dict[str, Any]) -> None:
        self.spent["recovering"] += self.pass_by()
        self._resume()
        said.clear()  # a group of workers counts from zero
        said["resumed_from_step"] = self.step
        spent.hear(TrainProgress(step=self.step, **said), self.now)

    def _do_step(self, spent: Spent, said: dict[str, Any], *, saves: bool) -> None:
        """One step, maybe with a validation pass, a checkpoint and a wait for rows before it is told."""
        new = self.step + 1 > self.furthest
        validation = 0.0
        if self.draw.random() < 0.3:
            for _ in range(2):
                validation += self.pass_by()
                said["judged"] = said.get("judged", 0) + 1
                spent.hear(TrainProgress(step=self.step, **said), self.now)
        seconds = self.pass_by()
        waited = seconds * self.draw.random()
        said["data_seconds"] = said.get("data_seconds", 0.0) + waited
        self.spent["productive" if new else "redone"] += validation + seconds
        self.validating += validation if new else 0.0
        self.waiting += waited if new else 0.0
        if not saves and self.draw.random() < 0.3:
            saved = self.pass_by()
            said["checkpoint_seconds"] = said.get("checkpoint_seconds", 0.0) + saved
            self.spent["checkpointing"] += saved
        self.step += 1
        self.furthest = max(self.furthest, self.step)
        spent.hear(TrainProgress(step=self.step, **said), self.now)

    def _save(self, spent: Spent, said: dict[str, Any]) -> None:
        """A checkpoint at the end of a pass, which is told before the next step is done."""
        saved = self.pass_by()
        said["checkpoint_seconds"] = said.get("checkpoint_seconds", 0.0) + saved
        self.spent["checkpointing"] += saved
        spent.hear(TrainProgress(step=self.step, **said), self.now)


@pytest.mark.parametrize("seed", range(60))
def test_each_second_is_counted_where_it_was_spent_over_all_attempts(seed: int) -> None:
    truth = Truth(seed)
    began = truth.now
    for _ in range(truth.draw.randint(0, 4)):
        truth.train(ending=truth.draw.choice(["killed", "failed"]))
    kept = truth.train(ending="succeeded")
    assert kept.seconds == pytest.approx({state: spent for state, spent in truth.spent.items() if spent})
    assert kept.between == pytest.approx(truth.between)
    assert sum(kept.seconds.values()) + kept.between == pytest.approx(truth.now - began)
    assert (kept.validating, kept.waiting) == pytest.approx((truth.validating, truth.waiting))
    assert kept.again == truth.again
    spent = told(kept, truth.attempt)
    assert spent.goodput == pytest.approx(truth.spent["productive"] / sum(truth.spent.values()), abs=1e-4)
    assert (spent.attempts, spent.counted) == (truth.attempt, truth.attempt)


def test_a_function_that_counts_no_steps_is_productive_to_its_last_report_and_its_end() -> None:
    spent = Spent.begin(None, 1, at=0.0, wall=0.0)
    for report, now in ((1, 10.0), (2, 30.0), (3, 50.0)):
        spent.hear(TrainProgress(step=report, counts_reports=True), now)
    spent.hear(TrainProgress(stage="Evaluating", step=0, counts_reports=True), 55.0)
    spent.publishes(57.0)
    kept = spent.now(60.0, 60.0)
    assert kept.seconds == {"preparing": 10.0, "productive": 45.0, "evaluating": 2.0, "publishing": 3.0}
    assert (kept.again, kept.furthest) == (0, 0)
    again = Spent.begin(kept, 2, at=0.0, wall=70.0)
    again.hear(TrainProgress(step=1, counts_reports=True), 5.0)
    again.hear(TrainProgress(step=2, counts_reports=True), 9.0)
    assert again.kept.seconds["productive"] == 49.0
    assert "redone" not in again.kept.seconds


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def kept_by(
    store: Store, attempt: int, clock: Clock, wall: Clock, fence: Callable[[], None] = lambda: None
) -> SpentTime:
    return SpentTime(store, attempt, fence=fence, clock=clock, wall=wall)


def test_the_next_attempt_goes_on_from_what_the_one_before_has_left(tmp_path: Path) -> None:
    store, clock, wall = Store.open(str(tmp_path)), Clock(), Clock()
    wall.now = 5000.0
    first = kept_by(store, 1, clock, wall)
    clock.now, wall.now = 10.0, 5010.0
    first.hear(TrainProgress(step=0))
    clock.now, wall.now = 40.0, 5040.0
    first.hear(TrainProgress(step=30))
    clock.now, wall.now = 45.0, 5045.0
    first.keep()
    clock.now, wall.now = 7.0, 5100.0  # another process, on another node
    second = kept_by(store, 3, clock, wall)
    clock.now, wall.now = 9.0, 5102.0
    second.hear(TrainProgress(step=20, resumed_from_step=20))
    clock.now, wall.now = 29.0, 5122.0
    second.hear(TrainProgress(step=40, resumed_from_step=20))
    clock.now, wall.now = 30.0, 5123.0
    second.publishes()
    spent = second.told()
    # As of a function of the user's own: nobody knows what is between its steps.
    assert (spent.validating_seconds, spent.waiting_for_rows_seconds) == (None, None)
    assert spent.seconds == {"preparing": 12.0, "productive": 41.0, "redone": 10.0}
    assert (spent.between_seconds, spent.steps_again) == (60.0, 10)
    assert (spent.attempts, spent.counted) == (3, 2)
    assert spent.goodput == pytest.approx(41 / 63, abs=1e-4)


def test_clocks_of_nodes_that_differ_make_no_time_negative(tmp_path: Path) -> None:
    store, clock, wall = Store.open(str(tmp_path)), Clock(), Clock()
    wall.now = 5000.0
    kept_by(store, 1, clock, wall).keep()
    wall.now = 4000.0
    assert kept_by(store, 2, clock, wall).told().between_seconds == 0


HOSTILE = [
    '"until": NaN',
    '"until": 1, "seconds": {"productive": Infinity}',
    '"until": 1, "seconds": {"productive": -5}',
    '"until": 1, "seconds": {"productive": 1e300, "redone": 1e300}',
    '"until": 1, "seconds": {"| a | [x](http://x) |": 5}',
    '"until": 1, "between": 1e300',
    '"until": 1, "drivers": -1',
    f'"until": 1, "again": {"9" * 400}',
    f'"until": 1, "seconds": {{{", ".join(f""""s{chr(97 + n)}": 1""" for n in range(25))}}}',
]
"""What a job's own code, or a damaged storage, may leave there."""


@pytest.mark.parametrize(
    "data",
    [
        b"no json",
        b"{}",
        b'{"attempt": 9, "until": 1}',
        b'{"attempt": 1, "until": "x"}',
        *(f'{{"attempt": 1, {words}}}'.encode() for words in HOSTILE),
    ],
)
def test_a_count_that_cannot_be_read_or_is_a_later_one_s_begins_again(tmp_path: Path, data: bytes) -> None:
    store, clock = Store.open(str(tmp_path)), Clock()
    store.write(TIME_FILE, data)
    spent = kept_by(store, 2, clock, Clock()).told()
    assert (spent.counted, spent.attempts, spent.seconds, spent.goodput) == (1, 2, {}, None)


def test_an_attempt_that_was_thought_dead_writes_nothing_over_its_successor_s(tmp_path: Path) -> None:
    store, clock, wall = Store.open(str(tmp_path)), Clock(), Clock()

    def fence() -> None:
        raise StorageError("a newer attempt has begun")

    kept_by(store, 2, clock, wall).keep()
    before = store.read(TIME_FILE)
    clock.now = 50.0
    kept_by(store, 1, clock, wall, fence).keep()
    assert store.read(TIME_FILE) == before


def test_a_storage_that_is_slow_has_the_newest_count_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, clock, wall = Store.open(str(tmp_path)), Clock(), Clock()
    times, write, slow, asked = kept_by(store, 1, clock, wall), store.write, threading.Event(), threading.Event()

    def written(path: str, data: bytes) -> None:
        if not asked.is_set():
            asked.set()
            assert slow.wait(30)
        write(path, data)

    monkeypatch.setattr(store, "write", written)
    first = threading.Thread(target=times.keep)
    first.start()
    assert asked.wait(30)
    clock.now = 4.0
    times.hear(TrainProgress(step=0))
    last = threading.Thread(target=times.keep)
    last.start()
    last.join(0.05)  # one that does not wait needs no more
    slow.set()
    first.join()
    last.join()
    assert Kept.model_validate_json(store.read(TIME_FILE)).seconds == {"preparing": 4.0}


def test_a_failed_attempt_leaves_what_it_spent(tmp_path: Path) -> None:
    store, clock, wall = Store.open(str(tmp_path)), Clock(), Clock()
    times = kept_by(store, 1, clock, wall)
    times.start()
    clock.now = 4.0
    times.hear(TrainProgress(step=0))
    clock.now = 9.0
    times.ends()
    assert Kept.model_validate_json(store.read(TIME_FILE)).seconds == {"preparing": 4.0, "recovering": 5.0}


def report_of(spent: TimeSpent | None, uid: str | None) -> str:
    result = RunResult(
        job="x", uid=uid, outcome="Succeeded", seed=0, world_size=1, started="2026-11-30T00:00:00Z",
        finished="2026-11-30T01:00:00Z", duration_seconds=1, time=spent,
    )  # fmt: skip
    return render(result, loss=False, confusion=False)


def test_the_report_says_what_the_driver_knows_and_what_it_cannot() -> None:
    spent = TimeSpent(
        attempts=3, counted=2, seconds={"preparing": 20.0, "productive": 1500.0, "redone": 480.0},
        between_seconds=60, validating_seconds=30, waiting_for_rows_seconds=12.5, goodput=0.75, steps_again=1200,
    )  # fmt: skip
    page = report_of(spent, "4f0c")
    assert "| productive | 1,500.0 | 75.0% |\n| redone | 480.0 | 24.0% |\n| preparing | 20.0 | 1.0% |" in page
    assert "Goodput: 75.0% of the 2,000.0 s that the driver has counted, in 2 of 3 attempts." in page
    assert "Of the productive seconds at least 30.0 went into validation. For 12.5 s the first" in page
    assert "validation" not in report_of(spent.model_copy(update={"validating_seconds": 0.0}), "4f0c")
    assert "1,200 steps were lost and done again." in page
    assert "Between attempts were 60.0 s" in page
    assert "`headway report` adds that" in page
    assert "headway report" not in report_of(spent, None)
    unknown = {"validating_seconds": None, "waiting_for_rows_seconds": None}
    own = report_of(spent.model_copy(update=unknown), None)
    assert "Goodput: 75.0%" in own
    assert "validation" not in own
    assert "waited" not in own
    assert "Where the time went" not in report_of(None, "4f0c")


def test_a_run_that_failed_and_goes_on_has_both_attempts_in_its_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(run: Run, _: object) -> None:
        for step in (10, 30):
            run.reporter.progress(TrainProgress(step=step), run.steps)
        raise UserError("lower the learning rate")

    monkeypatch.setattr(Run, "on_workers", train)
    first = World(tmp_path, monkeypatch, [2])
    with pytest.raises(UserError):
        first.execute()
    kept = Kept.model_validate_json(first.store.read(TIME_FILE))
    assert (kept.attempt, kept.furthest) == (1, 30)
    assert set(kept.seconds) == {"preparing", "productive", "recovering"}
    exporting(monkeypatch, ONNX)
    second = World(tmp_path, monkeypatch, [2])
    second.change(attempt=2)
    result, _ = second.execute()
    assert result.time is not None
    assert (result.time.attempts, result.time.counted) == (2, 2)
    assert result.time.seconds["productive"] == pytest.approx(kept.seconds["productive"], abs=0.06)
    assert {"preparing", "evaluating", "publishing"} <= set(result.time.seconds)
    assert "## Where the time went" in second.store.read("report.md").decode()
    assert not second.store.exists(TIME_FILE)


def test_where_several_models_are_trained_side_by_side_nothing_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporting(monkeypatch, ONNX)
    monkeypatch.setattr("headway_trainer.pipeline.STAGES", [one for one in STAGES if not isinstance(one, Tune)])
    world = World(tmp_path, monkeypatch, [2])
    tuning = {"parameters": {"training.epochs": {"choice": [1, 2]}}, "trials": 2}
    world.change(spec={"tuning": Tuning.model_validate(tuning)})
    result, _ = world.execute()
    assert result.time is None
    assert "Where the time went" not in world.store.read("report.md").decode()


def test_a_short_run_has_the_same_share_in_the_table_as_in_its_goodput() -> None:
    kept = Kept(attempt=1, until=0.0, seconds={"preparing": 6.14, "productive": 3.06, "evaluating": 0.36})
    lines = time_section(told(kept, 1), in_cluster=False).splitlines()
    assert "| productive | 3.1 | 32.0% |" in lines
    assert any(line.startswith("Goodput: 32.0% of the 9.6 s") for line in lines)
