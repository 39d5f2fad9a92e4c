"""Batches of prepared rows: each row as it was stored, in the order that was asked for, and scaled as it should be."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headway_api.data import Data
from headway_trainer.data import batches as module
from headway_trainer.data import prepare, read_split
from headway_trainer.data.batches import Batches, Feed
from headway_trainer.data.info import DataInfo, x_file
from headway_trainer.storage import Store
from training_runs import data_info

CPU = torch.device("cpu")


@pytest.fixture(params=[1, 1 << 30], ids=["gathered by threads", "gathered at once"])
def _size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEAST_BYTES", request.param)


@pytest.mark.usefixtures("_size")
@pytest.mark.parametrize("weighted", [False, True])
def test_each_batch_has_the_rows_that_were_asked_for(weighted: bool) -> None:
    x, y = torch.randn(23, 4), torch.arange(23)
    weights = torch.rand(23) if weighted else None
    order = torch.randperm(23)
    bounds = [(0, 7), (7, 7), (7, 8), (8, 20), (20, 23)]
    found = list(Batches((x, y), data_info(23, 0), CPU, weights).over(order, bounds))
    assert len(found) == len(bounds)
    for batch, (start, stop) in zip(found, bounds, strict=True):
        assert torch.equal(batch.x, x[order[start:stop]])
        assert torch.equal(batch.y, y[order[start:stop]])
        assert (batch.weights is None) == (weights is None)
        if weights is not None and batch.weights is not None:
            assert torch.equal(batch.weights, weights[order[start:stop]])


def test_two_batches_are_gathered_while_one_is_worked_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEAST_BYTES", 1)
    begun: list[str] = []
    gather = Batches._gather

    def told(self: Batches, part: torch.Tensor) -> object:
        begun.append(str(part.tolist()))
        return gather(self, part)

    monkeypatch.setattr(Batches, "_gather", told)
    batches = Batches((torch.randn(8, 4), torch.arange(8)), data_info(8, 0), CPU)
    over = batches.over(torch.arange(8), [(n, n + 1) for n in range(8)])
    for number in range(1, 9):
        next(over)
        assert len(begun) == min(8, number + module.AHEAD)


def test_what_gathers_rows_is_on_threads_of_its_own_and_its_error_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEAST_BYTES", 1)
    names: list[str] = []

    def failing(*_: object) -> None:
        names.append(threading.current_thread().name)
        raise OSError("the disk is gone")

    monkeypatch.setattr(module, "_take", failing)
    batches = Batches((torch.randn(8, 4), torch.arange(8)), data_info(8, 0), CPU)
    with pytest.raises(OSError, match="the disk is gone"):
        list(batches.over(torch.arange(8), [(0, 4), (4, 8)]))
    assert all(name.startswith("headway-batches") for name in names)


def _images(folder: Path, pixels: np.ndarray) -> None:
    np.savez(folder / "images.npz", x=pixels, y=np.arange(len(pixels)) % 2)


@given(seed=st.integers(0, 1000), scale=st.sampled_from(["standard", "minMax", "none"]), constant=st.booleans())
@settings(deadline=None, max_examples=20)
def test_images_of_8_bits_are_stored_so_and_reach_the_model_as_the_same_numbers(
    tmp_path_factory: pytest.TempPathFactory, seed: int, scale: str, constant: bool
) -> None:
    folder = tmp_path_factory.mktemp("images")
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 3, 6, 6), dtype=np.uint8)
    if constant:
        pixels[:, 1] = 7
    _images(folder, pixels)
    store = Store.open(str(folder / "run"))
    source = {"uri": str(folder / "images.npz"), "format": "npz"}
    info = prepare(Data.model_validate({"source": source, "scale": scale}), seed=0, store=store)
    x, _ = read_split(store, info, "train")
    assert x.dtype == torch.uint8
    assert store.size(x_file("train")) < x.numel() + 4096
    assert info.transforms is not None
    expected = info.transforms.apply(x.numpy())
    fed = Feed(info, CPU)(x)
    assert fed.dtype == torch.float32
    assert np.array_equal(fed.numpy(), expected), "the same numbers, bit for bit"


def test_numbers_that_are_stored_as_the_model_takes_them_are_not_scaled_again(tmp_path: Path) -> None:
    spec = Data.model_validate({"source": {"builtin": {"name": "iris"}}})
    store = Store.open(str(tmp_path))
    info: DataInfo = prepare(spec, seed=0, store=store)
    x, _ = read_split(store, info, "train")
    assert info.scaling.method == "standard"
    assert torch.equal(Feed(info, CPU)(x), x)
