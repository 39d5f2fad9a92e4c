"""What the loop does beside training: early stopping, stops on request, the best checkpoint, and its sentences."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from headway_trainer.errors import UserError
from headway_trainer.storage import Store
from headway_trainer.training.link import Request, TrainProgress
from headway_trainer.training.loop import best_metric
from training_runs import CLASSES, FEATURES, Driver, Ticks, finish, make_job, run_until, same, small_model, training

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path))


def test_training_learns(store: Store) -> None:
    end, _ = finish(make_job(store, training(epochs=30), model=small_model(dropout=0.0)))
    assert end.finished
    first, last = end.history[0], end.history[-1]
    assert (last.train["loss"] or 9) < 0.7 * (first.train["loss"] or 0)
    assert (last.validation["accuracy"] or 0) > 0.7


def test_early_stopping_ends_the_run_and_says_so(store: Store) -> None:
    spec = training(epochs=50, optimizer={"lr": 1e-9}, earlyStopping={"patience": 2, "minDelta": 0.5})
    end, _ = finish(make_job(store, spec))
    assert end.early_stopped
    assert end.epochs_run == 3
    again, _ = finish(make_job(store, spec, attempt=2))
    assert (again.step, again.early_stopped) == (end.step, True)


@pytest.mark.parametrize("exchange", [1, 2, 3, 4, 5, 9])
def test_a_stop_is_a_checkpoint_of_that_step_and_the_rest_gives_the_same_weights(
    store: Store, tmp_path: Path, exchange: int
) -> None:
    spec = training(epochs=4)
    _, whole = finish(make_job(Store.open(str(tmp_path / "whole")), spec))
    link = Driver({exchange: Request.STOP})
    # Each look at the clock is a second: the ranks agree after each step.
    end, _ = finish(make_job(store, spec, link=link, clock=Ticks(1.0)))
    assert not end.finished
    assert end.checkpoint is not None
    assert end.checkpoint.step == end.step == exchange
    assert link.progress[-1].checkpoint == end.checkpoint
    resumed, again = finish(make_job(store, spec, attempt=2))
    assert resumed.resumed_from_step == exchange
    assert same(whole, again)


def test_a_stop_in_the_last_step_is_too_late_to_stop_anything(store: Store) -> None:
    link = Driver({12: Request.STOP})
    end, _ = finish(make_job(store, training(epochs=3), link=link, clock=Ticks(1.0)))
    assert end.finished


def test_a_checkpoint_on_request_is_taken_and_training_goes_on(store: Store) -> None:
    link = Driver({2: Request.CHECKPOINT})
    job = make_job(store, training(checkpoint={"everySteps": 1000, "keepLast": 9}), link=link, clock=Ticks(1.0))
    end, _ = finish(job)
    assert end.finished
    assert 2 in [one.step for one in job.checkpoints.complete()]


def test_the_best_checkpoint_is_there_whatever_the_rhythm(store: Store) -> None:
    job = make_job(store, training(epochs=6, optimizer={"lr": 0.5}, checkpoint={"everySteps": 1000, "keepLast": 1}))
    end, _ = finish(job)
    losses = [record.validation["loss"] for record in end.history]
    best = min(loss for loss in losses if loss is not None)
    kept = job.checkpoints.by_merit("validation/loss", "min")[0].candidate
    assert kept.metrics["validation/loss"] == best
    assert kept.file == "best.safetensors"
    assert best < (losses[-1] or 0), "the last epoch should not be the best, or this shows nothing"


def test_a_loss_that_is_no_number_ends_the_run_before_it_is_saved(store: Store) -> None:
    class Exploding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(FEATURES, CLASSES)
            self.calls = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += self.training
            outputs: torch.Tensor = self.layer(x)
            return outputs * float("nan") if self.calls > 6 else outputs

    job = make_job(store, training(checkpoint={"everySteps": 1}), model=Exploding())
    with pytest.raises(UserError, match=r"no finite number any more after step 7: lower training\.optimizer\.lr"):
        finish(job)
    newest = job.checkpoints.newest().manifest
    assert newest is not None
    assert newest.step == 6


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_validation_metric_that_is_no_number_is_not_told_and_ends_nothing(store: Store, value: float) -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(FEATURES, CLASSES)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            outputs: torch.Tensor = self.layer(x)
            return outputs if self.training else outputs.index_fill(1, torch.tensor([0]), value)

    link = Driver()
    end, _ = finish(make_job(store, training(), model=Odd(), link=link))
    assert end.finished
    assert end.history[-1].validation["loss"] is None
    told = [TrainProgress.model_validate_json(one.model_dump_json()) for one in link.progress]
    assert told == link.progress
    assert "train/loss" in told[-1].metrics
    assert "validation/loss" not in told[-1].metrics


def test_a_training_loss_that_is_no_number_reaches_the_driver_as_readable_progress(store: Store) -> None:
    link = Driver()
    job = make_job(store, training(optimizer={"name": "sgd", "lr": 1e30}), link=link, clock=Ticks(1.0))
    with pytest.raises(UserError, match="no finite number any more"):
        finish(job)
    assert len(link.progress) > 1
    for one in link.progress:
        assert TrainProgress.model_validate_json(one.model_dump_json()) == one


def test_a_validation_pass_tells_that_it_goes_on(store: Store) -> None:
    class Slow(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(FEATURES, CLASSES)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if not self.training:
                seen.append(len(link.progress))
            outputs: torch.Tensor = self.layer(x)
            return outputs

    link, seen = Driver(), list[int]()
    job = make_job(store, training(epochs=1, batchSize=4), link=link, clock=Ticks(1.0), model=Slow())
    finish(job)
    assert len(seen) == 5, "20 rows in batches of 4"
    assert seen == sorted(set(seen)), "between two batches the driver is told something"
    judged = [one.judged for one in link.progress if one.judged]
    assert judged[:5] == [1, 2, 3, 4, 5]


def test_a_resume_with_another_number_of_threads_says_that_sums_may_differ(store: Store) -> None:
    spec, same, other = training(checkpoint={"everySteps": 2}), store.child("same"), store.child("other")
    for one in (same, other):
        run_until(make_job(one, spec), 4)
    same_number, _ = finish(make_job(same, spec, attempt=2))
    assert not same_number.notes
    torch.set_num_threads(2)
    try:
        end, _ = finish(make_job(other, spec, attempt=2))
        again, _ = finish(make_job(same, spec, attempt=3))
    finally:
        torch.set_num_threads(1)
    assert "taken with 1 threads a process, and 2 resumed it: sums may come out in another order" in end.notes[0]
    assert not again.notes, "nothing was left to train"


def test_what_the_compiler_alone_can_answer_brings_the_compiler() -> None:
    program = """
import sys, torch
from torch.utils.checkpoint import checkpoint
from headway_trainer.training.compiler_stub import without_compiler
with without_compiler():
    model = torch.nn.Linear(16, 4)
    optimizer = torch.optim.AdamW(model.parameters())
    checkpoint(model, torch.randn(4, 16).requires_grad_(), use_reentrant=False).sum().backward()
    optimizer.step()
    parts = [torch.randn(2, 3), torch.randn(4, 3)]
    doubled = torch.nested.nested_tensor(parts, layout=torch.jagged) * 2
    assert torch.equal(doubled[1], parts[1] * 2)
assert sys.modules["torch._dynamo"] is torch._dynamo
assert torch._dynamo.__file__
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_without_a_validation_part_the_training_loss_chooses(store: Store) -> None:
    job = make_job(store, training(), validation_rows=0)
    end, _ = finish(job)
    assert best_metric(job)[0] == "train/loss"
    assert any("There is no validation part" in note for note in end.notes)
    assert end.history[-1].validation == {}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            {"checkpoint": {"metric": "validation/acuracy"}},
            r"training\.checkpoint\.metric: there is no metric validation/acuracy; this run has train/loss, valid",
        ),
        ({"earlyStopping": {"metric": "test/loss"}}, r"training\.earlyStopping\.metric: there is no metric test/loss"),
    ],
)
def test_a_metric_that_is_not_there_is_named_before_training(
    store: Store, spec: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        finish(make_job(store, training(**spec)))


def test_training_imports_no_compiler_and_leaves_nothing_in_its_place() -> None:
    program = """
import sys, torch
from headway_trainer.training.compiler_stub import without_compiler
with without_compiler():
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
assert not [name for name in sys.modules if name.startswith(("torch._dynamo", "torch._inductor"))]
assert "_dynamo" not in vars(torch)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
