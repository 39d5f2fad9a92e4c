"""Where each random number of a run comes from: a seed for each purpose, all of them from `spec.seed`, so that one can
be changed without the others. Pure."""

from __future__ import annotations

import numpy as np

from headway_api.data import Data


def split_seed(data: Data, seed: int) -> int:
    """Of the division of rows into parts: `data.split.seed`, or else the run's seed."""
    return seed if data.split.seed is None else data.split.seed


def init_seed(seed: int) -> int:
    """Of a model's initial weights, equal on all ranks."""
    return seed


def process_seed(seed: int, rank: int, step: int | None = None) -> int:
    """Of what a training process draws while it trains, dropout above all.

    step: where a run goes on whose generators' states are not at hand, as another number of processes took them.
    """
    return derived_seed(seed, rank, 1) if step is None else derived_seed(seed, rank, 1, step)


def order_seed(seed: int, epoch: int, rank: int) -> int:
    """Of the order in which a rank sees its rows in an epoch."""
    return derived_seed(seed, epoch, rank)


def proposal_seed(seed: int, trial: int) -> int:
    """Of what a searcher draws for a trial, from 0 to 2**32 - 1."""
    return derived_seed(seed, trial) % 2**32


def redrawn_seed(seed: int, trial: int, redraw: int) -> int:
    """Of what a searcher draws for a trial where it has drawn what is there already, counted from 1."""
    return derived_seed(seed, trial, redraw, 3) % 2**32


def generation_seed(seed: int, trial: int, epoch: int) -> int:
    """Of what is drawn for a trial that takes over from another after an epoch."""
    return derived_seed(seed, trial, epoch, 2)


def child_seed(seed: int, scope: str) -> int:
    """Of a child of a run: what `spec.seed` is for it, from 0 to 2**31 - 1."""
    return derived_seed(seed, *scope.encode()) % 2**31


def derived_seed(*parts: int) -> int:
    """One seed of 63 bits from several numbers that are not negative; different numbers give unrelated seeds."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))
