"""How many threads a training process computes with. Pure."""

from __future__ import annotations

import math

from headway_api import quantities, wire


def threads(run: wire.RunFile) -> int:
    """The whole cores that a worker asks for, at least one: so sums come out the same on any machine."""
    return max(1, math.floor(quantities.parse(run.spec.workers.resources.cpu)))
