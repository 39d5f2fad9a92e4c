"""Sampler, schedules, early stopping, optimisers, groups and precision: the parts of the loop, one by one."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from headway_api.training import EarlyStopping, Optimizer, Schedule
from headway_trainer.data.order import epoch_order
from headway_trainer.errors import UserError
from headway_trainer.seeds import derived_seed
from headway_trainer.training.compiler_stub import without_compiler
from headway_trainer.training.early_stopping import Patience, is_better
from headway_trainer.training.optimizers import (
    build_optimizer,
    load_optimizer_tensors,
    optimizer_tensors,
)
from headway_trainer.training.precision import agreed_precision, autocast, grad_scaler, usable_precision
from headway_trainer.training.process_group import Alone
from headway_trainer.training.sampler import (
    batch_bounds,
    global_batch_rows,
    loss_weight,
    shard_rows,
    steps_per_epoch,
)
from headway_trainer.training.schedules import lr_factor

CPU = torch.device("cpu")
rows_batch_world = st.tuples(st.integers(1, 3000), st.integers(1, 400), st.integers(1, 9)).filter(
    lambda case: case[0] >= case[2]
)


@given(rows_batch_world)
def test_every_row_is_in_exactly_one_batch_of_an_epoch(case: tuple[int, int, int]) -> None:
    rows, batch, world = case
    steps = steps_per_epoch(rows, batch, world)
    for rank in range(world):
        shard = shard_rows(rows, rank, world)
        order = epoch_order(shard, seed=1, epoch=0, rank=rank)
        seen = torch.cat([order[slice(*batch_bounds(shard, steps, index))] for index in range(steps)])
        assert sorted(seen.tolist()) == list(range(shard))


@given(rows_batch_world)
def test_all_ranks_together_have_the_global_batch_in_each_step(case: tuple[int, int, int]) -> None:
    rows, batch, world = case
    steps = steps_per_epoch(rows, batch, world)
    for index in {0, steps // 2, steps - 1}:
        sizes = []
        for rank in range(world):
            start, stop = batch_bounds(shard_rows(rows, rank, world), steps, index)
            sizes.append(stop - start)
        total = global_batch_rows(rows, world, steps, index)
        assert sum(sizes) == total
        assert min(sizes) >= 1, "no rank may be without a row"
        weights = [loss_weight(size, total, world) for size in sizes]
        assert math.isclose(sum(weights) / world, 1.0)


@given(rows_batch_world)
def test_batches_are_about_as_large_as_asked(case: tuple[int, int, int]) -> None:
    rows, batch, world = case
    steps = steps_per_epoch(rows, batch, world)
    if steps < rows // world:
        assert max(global_batch_rows(rows, world, steps, index) for index in range(steps)) <= batch + world


def test_weighted_gradients_of_uneven_shards_are_the_gradient_of_the_whole_batch() -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(10, 3, generator=generator), torch.randn(10, 1, generator=generator)
    weight = torch.randn(3, 1, generator=generator, requires_grad=True)
    whole = torch.autograd.grad(((x @ weight - y) ** 2).mean(), weight)[0]
    parts = []
    for start, stop in ((0, 3), (3, 10)):
        loss = ((x[start:stop] @ weight - y[start:stop]) ** 2).mean() * loss_weight(stop - start, 10, 2)
        parts.append(torch.autograd.grad(loss, weight)[0])
    assert torch.allclose((parts[0] + parts[1]) / 2, whole)


def test_orders_differ_by_seed_epoch_and_rank_and_repeat_with_the_same() -> None:
    orders = [
        epoch_order(50, seed=seed, epoch=epoch, rank=rank).tolist()
        for seed, epoch, rank in ((1, 0, 0), (2, 0, 0), (1, 1, 0), (1, 0, 1))
    ]
    assert len({tuple(order) for order in orders}) == 4
    assert orders[0] == epoch_order(50, seed=1, epoch=0, rank=0).tolist()


@given(st.lists(st.integers(0, 2**31), min_size=1, max_size=4))
def test_derived_seeds_fit_torchs_generators(parts: list[int]) -> None:
    seed = derived_seed(*parts)
    assert 0 <= seed < 2**63
    torch.Generator().manual_seed(seed)


def test_fewer_rows_than_workers_are_refused() -> None:
    with pytest.raises(UserError, match=r"3 rows for 4 training processes: give more rows"):
        steps_per_epoch(3, 16, 4)


@pytest.mark.parametrize(
    ("schedule", "position", "total", "factor"),
    [
        ({}, 0, 10, 1.0),
        ({}, 9, 10, 1.0),
        ({"warmupSteps": 4}, 0, 10, 0.25),
        ({"warmupSteps": 4}, 3, 10, 1.0),
        ({"warmupSteps": 4}, 4, 10, 1.0),
        ({"name": "cosine"}, 0, 10, 1.0),
        ({"name": "cosine"}, 5, 10, 0.5),
        ({"name": "cosine", "warmupSteps": 2}, 6, 10, 0.5),
        ({"name": "cosine", "warmupSteps": 2}, 10, 10, 0.0),
        ({"name": "cosine", "warmupSteps": 100}, 9, 10, 1.0),
    ],
)
def test_the_learning_rate_follows_its_schedule(
    schedule: dict[str, object], position: int, total: int, factor: float
) -> None:
    assert lr_factor(Schedule.model_validate(schedule), position, total) == pytest.approx(factor)


@given(st.integers(0, 50), st.integers(1, 60), st.sampled_from(["constant", "cosine"]))
def test_the_learning_rate_is_never_negative_nor_above_its_base(warmup: int, total: int, name: str) -> None:
    spec = Schedule.model_validate({"name": name, "warmupSteps": warmup})
    assert all(0 < lr_factor(spec, position, total) <= 1 for position in range(total))


@pytest.mark.parametrize(
    ("value", "than", "mode", "min_delta", "better"),
    [
        (1.0, None, "min", 0.0, True),
        (1.0, 2.0, "min", 0.0, True),
        (1.0, 1.0, "min", 0.0, False),
        (0.95, 1.0, "min", 0.1, False),
        (2.0, 1.0, "max", 0.0, True),
        (math.nan, None, "min", 0.0, False),
        (math.nan, 1.0, "max", 0.0, False),
        (5.0, math.nan, "min", 0.0, True),
    ],
)
def test_better_is_what_the_mode_says(
    value: float, than: float | None, mode: str, min_delta: float, better: bool
) -> None:
    assert is_better(value, than, "min" if mode == "min" else "max", min_delta) is better


def test_patience_ends_after_so_many_epochs_without_improvement() -> None:
    spec = EarlyStopping.model_validate({"patience": 2, "minDelta": 0.1})
    patience = Patience()
    assert [patience.update(value, spec) for value in (1.0, 0.95, 0.8, 0.79, 0.78)] == [
        False,
        False,
        False,
        False,
        True,
    ]
    assert patience.best == 0.8


@pytest.mark.parametrize(
    "spec", [{"name": "adamw"}, {"name": "sgd", "momentum": 0.9}, {"name": "sgd", "momentum": 0.0}]
)
def test_an_optimisers_state_comes_back(spec: dict[str, object]) -> None:
    def stepped(steps: int) -> tuple[nn.Linear, torch.optim.Optimizer]:
        torch.manual_seed(0)
        model = nn.Linear(2, 1)
        optimizer = build_optimizer(Optimizer.model_validate(spec), model.parameters())
        for _ in range(steps):
            optimizer.zero_grad()
            model(torch.ones(3, 2)).square().mean().backward()
            optimizer.step()
        return model, optimizer

    with without_compiler():
        model, optimizer = stepped(3)
        other, fresh = stepped(0)
        other.load_state_dict(model.state_dict())
        kept = optimizer_tensors({"main": optimizer, "other": optimizer})
        load_optimizer_tensors({"other": fresh}, {name: tensor.clone() for name, tensor in kept.items()})
        for each, one in ((model, optimizer), (other, fresh)):
            one.zero_grad()
            each(torch.ones(3, 2)).square().mean().backward()
            one.step()
    assert torch.equal(model.weight, other.weight)


def test_frozen_parameters_are_not_trained() -> None:
    model = nn.Linear(2, 1)
    model.bias.requires_grad_(False)
    with without_compiler():
        optimizer = build_optimizer(Optimizer(), model.parameters())
    assert [len(group["params"]) for group in optimizer.param_groups] == [1]


def test_all_ranks_train_in_what_each_of_their_gpus_can_do(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = torch.device("cuda")

    class With(Alone):
        def __init__(self, other: str) -> None:
            self.other = other

        def gather(self, text: str) -> list[str]:
            return [text, self.other]

    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda **_: True)
    assert agreed_precision("bf16", gpu, With("bf16")) == ("bf16", None)
    used, note = agreed_precision("bf16", gpu, With("fp16"))
    assert used == "fp16"
    assert note == "training.precision bf16 was asked for, but not every worker's GPU has it: all trained in fp16."
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda **_: False)
    assert agreed_precision("bf16", gpu, With("bf16")) == usable_precision("bf16", gpu)
    assert agreed_precision("bf16", gpu, With("bf16"))[0] == "fp16"
    assert agreed_precision("fp32", gpu, With("bf16")) == ("fp32", None)


def test_a_cpu_trains_in_fp32_and_says_so() -> None:
    assert usable_precision("fp32", CPU) == ("fp32", None)
    used, note = usable_precision("bf16", CPU)
    assert used == "fp32"
    assert note is not None
    assert "bf16 was asked for" in note
    assert not grad_scaler("fp32", CPU).is_enabled()
    with autocast("fp32", CPU):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
