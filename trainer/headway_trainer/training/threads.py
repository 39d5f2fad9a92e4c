"""How many threads a training process computes with. Pure."""

from __future__ import annotations

import math

from headway_api import quantities, wire


def threads(run: wire.RunFile, cores: int = 0) -> int:
    """The whole cores that a worker asks for, or its share of `cores`, if that is more; at least one.

    cores: what the machine lends to this job alone, as under `headway run`; 0 in a pod, whose request is what it can
    count on. In a pod, sums therefore come out the same on any machine.
    """
    asked = math.floor(quantities.parse(run.spec.workers.resources.cpu))
    return max(1, asked, cores // run.spec.workers.replicas)
