"""The learning rate as a function of how far the run is. Pure."""

from __future__ import annotations

import math

from headway_api.training import Schedule


def lr_factor(schedule: Schedule, position: int, total: int) -> float:
    """What the optimiser's learning rate is multiplied by in the step at position (from 0) of total planned steps.

    Warm-up is linear from zero and reaches 1 in its last step; then constant, or half a cosine that would reach 0 in
    the step after the last (Loshchilov and Hutter, "SGDR", ICLR 2017, without restarts).
    """
    warmup = min(schedule.warmup_steps, total)
    if position < warmup:
        return (position + 1) / warmup
    if schedule.name == "constant" or total <= warmup:
        return 1.0
    done = min(1.0, (position - warmup) / (total - warmup))
    return 0.5 * (1.0 + math.cos(math.pi * done))
