"""A long epoch has points on its way: few, true, each step once, and the weights know nothing of them."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headway_trainer.data.batches import Batch
from headway_trainer.programs import Supervised
from headway_trainer.programs.base import Turn
from headway_trainer.storage import Store
from headway_trainer.tasks import task_of
from headway_trainer.tracking.events import Began, Point, Record
from headway_trainer.tracking.marks import MOST_WITHIN, MOST_WITHIN_OF_CHILD, Marks
from headway_trainer.tracking.recorder import Recorder
from headway_trainer.training.link import Measured, TrainProgress
from headway_trainer.training.process_group import Alone
from headway_trainer.training.within_epoch import MOST_WAITING, POINT_SECONDS, WithinEpoch
from training_runs import Driver, Ticks, data_info, finish, make_job, run_until, same, small_model, training

STEPS = 40
ROWS = 16 * STEPS


pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "run"))


class Hearing(Driver):
    """A driver that has heard of each point that it was told, and keeps them."""

    def __init__(self) -> None:
        super().__init__()
        self.points: list[Measured] = []

    def tell(self, progress: TrainProgress) -> None:
        super().tell(progress)
        self.points += progress.measured

    def heard(self) -> int:
        return self.points[-1].step or -1 if self.points else -1

    def within(self) -> list[Measured]:
        return [one for one in self.points if one.within]


class Noted(Supervised):
    """Notes of each step the sum of the loss over its rows, the rows, and the norm of the gradients."""

    def __init__(self) -> None:
        super().__init__(small_model(), task_of(data_info(ROWS, 20)))
        self.steps: list[tuple[float, int, float]] = []

    def step(self, batch: Batch, turn: Turn) -> torch.Tensor:
        loss = super().step(batch, turn)
        squares = sum(float((one.grad.double() ** 2).sum()) for one in self.model.parameters() if one.grad is not None)
        self.steps.append((loss.item() * len(batch.y), len(batch.y), math.sqrt(squares)))
        return loss


def test_points_tell_the_loss_the_rate_and_the_norm_of_the_steps_since_the_last_one(store: Store) -> None:
    program, link = Noted(), Hearing()
    # So wide that gradients stay as they are: the norm before clipping is theirs.
    spec = training(epochs=1, clip={"norm": 1e9}, schedule={"name": "cosine"})
    end, _ = finish(make_job(store, spec, model=program, link=link, clock=Ticks(1.0), train_rows=ROWS))
    points = link.within()
    assert end.step == STEPS
    assert 3 <= len(points) < STEPS / 2
    last = 0
    for point in points:
        step, values = point.step or 0, point.values
        since = program.steps[last:step]
        assert values["step/loss"] == pytest.approx(sum(one[0] for one in since) / sum(one[1] for one in since))
        assert values["step/gradient_norm"] == pytest.approx(program.steps[step - 1][2], rel=1e-5)
        assert values["step/rows_per_second"] <= sum(one[1] for one in since) / POINT_SECONDS
        assert values["learning_rate"] == pytest.approx(0.05 * (1 + math.cos(math.pi * (step - 1) / STEPS)) / 2)
        last = step
    assert [one.step for one in link.points] == [*(one.step for one in points), STEPS]
    assert "train/loss" in link.points[-1].values


def test_an_epoch_that_is_soon_over_has_its_own_point_alone(store: Store) -> None:
    link = Hearing()
    finish(make_job(store, training(epochs=3), link=link, clock=Ticks(0.01), train_rows=ROWS))
    assert [(one.step, one.within) for one in link.points] == [(STEPS * epoch, False) for epoch in (1, 2, 3)]


def test_without_clipping_no_norm_is_computed_for_points(store: Store) -> None:
    link = Hearing()
    finish(make_job(store, training(epochs=1), link=link, clock=Ticks(1.0), train_rows=ROWS))
    assert {name for one in link.within() for name in one.values} == {
        "step/loss", "step/rows_per_second", "learning_rate",
    }  # fmt: skip


def test_weights_are_the_same_bit_for_bit_with_points_and_without(store: Store, tmp_path: Path) -> None:
    spec, link = training(epochs=2, clip={"norm": 0.5}), Hearing()
    _, long = finish(make_job(store, spec, link=link, clock=Ticks(1.0), train_rows=ROWS))
    _, short = finish(make_job(Store.open(str(tmp_path / "short")), spec, clock=Ticks(0.001), train_rows=ROWS))
    assert len(link.within()) > 5
    assert same(long, short)


def test_the_loop_reads_the_loss_from_the_device_when_it_tells_and_not_in_each_step(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads, read = 0, torch.Tensor.item

    def counted(self: torch.Tensor) -> float:
        nonlocal reads
        reads += self.dtype == torch.float64
        return read(self)

    monkeypatch.setattr(torch.Tensor, "item", counted)
    # Two looks at the clock a step: the ranks agree after about every 12th step, and a point comes after some 500.
    link = Hearing()
    finish(make_job(store, training(epochs=1), link=link, clock=Ticks(0.01), train_rows=16 * 1500))
    assert len(link.within()) == 3
    assert reads <= len(link.progress) + len(link.within()) + 10 < 1500 / 8


@pytest.mark.parametrize("kill", [9, 23, 37])
def test_a_run_that_is_killed_and_goes_on_has_each_step_once_in_its_record(store: Store, kill: int) -> None:
    spec = training(epochs=2, checkpoint={"everySteps": 6})
    for attempt in (1, 2):
        link = Hearing()
        job = make_job(store, spec, attempt=attempt, link=link, clock=Ticks(1.0), train_rows=ROWS)
        if attempt == 1:
            run_until(job, kill)
        else:
            finish(job)
        recorder = Recorder(store, attempt)
        recorder.begin("", name="job", parameters={})
        recorder.measured("", *link.points)
        assert recorder.flush()
    points = [one for one in Record(store, 3).read() if isinstance(one, Point)]
    steps = [one.step for one in points]
    assert steps == sorted(set(steps))
    assert [one.step for one in points if not one.within] == [STEPS, 2 * STEPS]
    # Whatever was done again, no stretch of the way is without points.
    assert max(after - before for before, after in pairwise([0, *steps])) <= 2 * POINT_SECONDS


class Twins(Alone):
    """Two ranks, of which the other has the same rows, with a loss of 3 on each of them."""

    world_size = 2

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        _, rows = tensor.tolist()
        return tensor + torch.tensor([3 * rows, rows], dtype=torch.float64)


def test_the_loss_is_that_of_the_rows_of_all_ranks() -> None:
    points = WithinEpoch(Twins())
    points.begin(5.0, 100.0, 10)  # an epoch that goes on from a checkpoint
    assert not points.is_due(5.0 + POINT_SECONDS - 0.1)
    assert points.is_due(5.0 + POINT_SECONDS)
    points.take(7, 25.0, 110.0, 20, {"learning_rate": 0.5})
    (point,) = points.told([], -1)
    assert point.values == {"step/loss": 2.0, "step/rows_per_second": 1.0, "learning_rate": 0.5}


@given(
    steps=st.lists(
        st.tuples(st.floats(-1e6, 1e6), st.integers(1, 512), st.floats(0.01, 30), st.booleans()),
        min_size=1,
        max_size=40,
    ),
    resumed=st.integers(0, 20),
)
def test_each_point_is_the_mean_over_the_rows_of_its_own_steps_however_often_training_goes_on(
    steps: list[tuple[float, int, float, bool]], resumed: int
) -> None:
    points, naive = WithinEpoch(Alone()), list[tuple[float, float]]()
    now = [
        (0.0, 0, 0.0)
    ]  # what a point has to tell: the sum of the loss, rows, and seconds of each step since the last
    loss_sum, rows, seconds = 0.0, 0, 0.0
    points.begin(seconds, loss_sum, rows)
    for place, (loss, count, took, takes) in enumerate(steps):
        if place == resumed:  # another process, from a checkpoint of that step
            points, before = WithinEpoch(Alone()), points.told([], -1)
            naive = naive[len(before) :]
            points.begin(seconds, loss_sum, rows)
            now = []
        loss_sum, rows, seconds = loss_sum + loss * count, rows + count, seconds + took
        now.append((loss * count, count, took))
        if takes and len(naive) < MOST_WAITING:
            points.take(place + 1, seconds, loss_sum, rows, {})
            all_rows, all_seconds = sum(one[1] for one in now), sum(one[2] for one in now)
            naive.append((math.fsum(one[0] for one in now) / all_rows, all_rows / all_seconds))
            now = []
    told = [(one.values["step/loss"], one.values["step/rows_per_second"]) for one in points.told([], -1)]
    assert [loss for loss, _ in told] == pytest.approx([loss for loss, _ in naive], rel=1e-6, abs=1e-3)
    assert [rate for _, rate in told] == pytest.approx([rate for _, rate in naive], rel=1e-6)


def test_a_loss_that_is_no_number_is_left_out_of_its_point() -> None:
    points = WithinEpoch(Alone())
    points.take(7, 10.0, math.nan, 20, {"step/gradient_norm": math.inf, "learning_rate": 0.5})
    assert points.told([], -1)[0].values == {"step/rows_per_second": 2.0, "learning_rate": 0.5}


def test_a_driver_that_hears_nothing_costs_bounded_memory_and_order_is_kept() -> None:
    points = WithinEpoch(Alone())
    for step in range(1, 100):
        points.take(step, 10.0 * step, float(step), step, {})
    epoch = Measured(step=90, values={"train/loss": 1.0})
    told = points.told([epoch], -1)
    assert len(told) == MOST_WAITING + 1
    assert [one.step for one in told] == sorted([*range(100 - MOST_WAITING, 100), 90])
    assert [one.step for one in points.told([], 97)] == [98, 99]


def test_points_inside_epochs_are_bounded_and_leave_no_epoch_out() -> None:
    marks = Marks()
    epochs: dict[str, int] = {}
    inside: dict[str, list[int]] = {"": [], "trial-1": []}
    for scope, steps in inside.items():
        marks.admit(Began(scope=scope, name="", identity="", at=0))
        for step in range(1, 100_001):
            within = step % 2000 != 0
            if marks.admit(Point(scope=scope, step=step, values={"a": 1.0}, within=within, at=0)):
                if within:
                    steps.append(step)
                else:
                    epochs[scope] = epochs.get(scope, 0) + 1
    assert epochs == {"": 50, "trial-1": 50}
    assert MOST_WITHIN < len(inside[""]) < 6 * MOST_WITHIN
    assert MOST_WITHIN_OF_CHILD < len(inside["trial-1"]) < 10 * MOST_WITHIN_OF_CHILD
    assert max(after - before for before, after in pairwise(inside[""])) <= 100_000 / MOST_WITHIN + 1


def test_points_inside_the_epochs_of_many_trials_end_before_their_epochs_do() -> None:
    marks = Marks()
    inside = whole = 0
    for number in range(300):
        scope = f"trial-{number}"
        marks.admit(Began(scope=scope, name="", identity="", at=0))
        for step in range(1, 51):
            inside += marks.admit(Point(scope=scope, step=step, values={"a": 1.0}, within=True, at=0))
        whole += marks.admit(Point(scope=scope, step=51, values={"a": 1.0}, at=0))
    assert (inside, whole) == (10_000, 300)


def test_a_record_of_a_version_before_is_one_of_whole_epochs() -> None:
    line = '{"do":"point","scope":"","step":3,"values":{"train/loss":0.5},"at":1.0}'
    assert not Point.model_validate_json(line).within
