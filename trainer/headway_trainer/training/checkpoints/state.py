"""The whole state of a training run as safetensors and JSON: nothing that is read back can execute code.

Rank 0 writes what all ranks share (weights, optimiser, counters, history); each rank writes what is its own (the states
of its random number generators, and its sums of the running epoch).
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from pydantic import Field

from headway_api.base import StatusSection

OPTIMIZER_FILE = "optimizer.safetensors"


class RankState(StatusSection):
    """What is one rank's own."""

    python: list[Any]
    """`random.getstate()`."""
    numpy: list[Any]
    """numpy's global generator: its key, position, and the second normal number that it holds back."""
    loss_sum: float = 0.0
    """The sum of the rows' losses in the running pass."""
    rows: int = 0
    """The rows in it."""
    logged: dict[str, tuple[float, int]] = Field(default_factory=dict)
    """What a program's steps have logged in it: of each name, the sum over rows, and the rows."""


def rank_file(rank: int) -> str:
    """A rank's own JSON."""
    return f"rank-{rank:05d}.json"


def rank_tensors_file(rank: int) -> str:
    """A rank's own tensors: the states of torch's generators."""
    return f"rank-{rank:05d}.safetensors"


def seed_everything(seed: int) -> None:
    """Seed every generator that a model or a user's function may draw from."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def capture_rank(loss_sum: float, rows: int, logged: dict[str, tuple[float, int]]) -> RankState:
    """A rank's own state, but for torch's generators."""
    version, key, gauss = random.getstate()
    np_state = np.random.get_state(legacy=False)
    inner = np_state["state"]
    return RankState(
        python=[version, list(key), gauss],
        numpy=[inner["key"].tolist(), inner["pos"], np_state["has_gauss"], np_state["gauss"]],
        loss_sum=loss_sum,
        rows=rows,
        logged=logged,
    )


def restore_rank(state: RankState) -> None:
    """Put the generators of Python and numpy back."""
    version, key, gauss = state.python
    random.setstate((version, tuple(key), gauss))
    np_key, position, has_gauss, cached = state.numpy
    np.random.set_state(("MT19937", np.array(np_key, dtype=np.uint32), position, has_gauss, cached))


def generator_states(device: torch.device) -> dict[str, torch.Tensor]:
    """The states of torch's generators."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def restore_generators(states: dict[str, torch.Tensor], device: torch.device) -> None:
    """Put torch's generators back; the GPU's only where the checkpoint was taken on one."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
