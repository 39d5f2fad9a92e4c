"""What a front of two objectives is worth, by as many trials of NSGA-II and of random search: counts, which are the
same on any machine."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import yaml

from bench.report import Goal, Measured, Reference
from bench.trials import Job, job
from harness import ROOT
from headway_api.objectives import MODEL_BYTES
from headway_trainer.tuning.events import Ended

ACCURACY = "validation/accuracy"
Point = tuple[float, float]
"""An error, and the logarithm of a size to base 10: less is better of both."""
WORST: Point = (1.0, 6.0)
"""Nothing right, with a megabyte."""
_WIDTHS = (2, 4, 8, 16, 32, 64, 128, 256)


def digits(seeds: int = 5, trials: int = 60) -> Iterator[Measured]:
    """Accuracy against size: networks with one or two layers on digits, by five parameters."""
    areas: dict[str, list[float]] = {"random": [], "nsga2": []}
    for seed in range(1, seeds + 1):
        with job({**_spec(), "seed": seed}) as work:
            for name, found in areas.items():
                found.append(area(_points(work, name, trials)))
    yield from compared(f"digits, {trials} trials", areas["random"], areas["nsga2"])


def compared(data: str, random: Sequence[float], mine: Sequence[float]) -> Iterator[Measured]:
    """The areas of both by seed: those of random search, and those of NSGA-II."""
    seeds = len(random)
    reference = Reference("random search", sum(random) / seeds)
    what = f"{data}, nsga2"
    goal = Goal("at least", 1.0, "ratio")
    yield Measured(
        f"{what}: area that its front dominates, mean of {seeds} seeds", sum(mine) / seeds, "", reference, goal
    )
    better = sum(own > other for own, other in zip(mine, random, strict=True))
    yield Measured(f"{what}: seeds in which its front dominates more", better, "")


def area(points: Sequence[Point], worst: Point = WORST) -> float:
    """The area that is dominated, up to the worst point: the hypervolume of two objectives."""
    found, height = 0.0, worst[1]
    for x, y in sorted(points):
        if x < worst[0] and y < height:
            found, height = found + (worst[0] - x) * (height - y), y
    return found


def _spec() -> dict[str, Any]:
    spec: dict[str, Any] = yaml.safe_load((ROOT / "examples/tuning/digits-nsga2.yaml").read_text())["spec"]
    del spec["tuning"]["constraints"]
    layers = [[one] for one in _WIDTHS] + [[one, other] for one in _WIDTHS for other in _WIDTHS]
    spec["tuning"]["parameters"] = {
        "training.optimizer.lr": {"logUniform": {"min": 0.0003, "max": 0.1}},
        "training.optimizer.weightDecay": {"logUniform": {"min": 0.0001, "max": 0.1}},
        "training.batchSize": {"choice": [32, 64, 128]},
        "model.options.hidden": {"choice": layers},
        "model.options.dropout": {"uniform": {"min": 0, "max": 0.5}},
    }
    return spec


def _points(work: Job, search: str, trials: int) -> list[Point]:
    """A search, one trial at a time: an error and a size of each."""
    own = work.tuning.model_dump(by_alias=True, exclude_none=True, exclude={"search", "trials"})
    study = work.study(type(work.tuning).model_validate({**own, "search": {"name": search}, "trials": trials}))
    found: list[Point] = []
    while (asked := study.ask()) is not None:
        values = work.valued(asked.parameters)
        ended = Ended(trial=asked.trial, state="completed", value=values[study.goals.first], metrics=values, epochs=1)
        study.end(ended)
        found.append((1.0 - values[ACCURACY], math.log10(values[MODEL_BYTES])))
    return found
