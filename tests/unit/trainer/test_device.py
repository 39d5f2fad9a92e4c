"""Which device a training process takes."""

from __future__ import annotations

import pytest
import ray
import torch

from headway_trainer.ray.device import own_device


@pytest.mark.parametrize(
    ("lent", "visible", "device"),
    [
        ([], "", "cpu"),
        ([], "0,1", "cpu"),
        ([0], "0", "cuda:0"),
        ([3], "1,3", "cuda:1"),
        (["GPU-8c1e"], "GPU-77aa,GPU-8c1e", "cuda:1"),
    ],
)
def test_it_is_the_lent_gpus_place_among_the_visible_ones(
    monkeypatch: pytest.MonkeyPatch, lent: list[int | str], visible: str, device: str
) -> None:
    monkeypatch.setattr(ray, "get_gpu_ids", lambda: lent)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert own_device() == torch.device(device)


def test_a_lent_gpu_that_is_not_visible_is_an_error_that_names_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "get_gpu_ids", lambda: [2])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    with pytest.raises(RuntimeError, match=r"'0,1' and leaves out GPU 2"):
        own_device()
