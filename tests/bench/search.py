"""What searchers and schedulers find, for the trials and the epochs that they are given, on data that ships with
scikit-learn: counts, which are the same on any machine.

The jobs are those of `examples/tuning/`, and their models on other data. A seed is the job's: it divides the rows,
begins the weights and draws the trials. What is compared has the same seeds, and so the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from typing import Any

import yaml

from bench import fronts
from bench.report import Goal, Measured, Reference
from bench.trials import Epoch, Job, epochs, job
from harness import ROOT

LEAST_BEST = "median of the trial that is as good as random's best, as a part of random's"


def _example(name: str) -> dict[str, Any]:
    spec: dict[str, Any] = yaml.safe_load((ROOT / f"examples/tuning/{name}.yaml").read_text())["spec"]
    return spec


def schedulers(seeds: int = 5, trials: int = 30) -> Iterator[Measured]:
    """Epochs until random search's best is found, by random search that stops trials: a network on digits."""
    whole, first = list[int](), list[int]()
    spent: dict[str, list[int]] = {"asha": [], "hyperband": []}
    for seed in range(1, seeds + 1):
        with job({**_example("digits-asha"), "seed": seed}) as work:
            found = list(epochs(work, work.tuned(search={"name": "random"}, trials=trials)))
            best = min(one.loss for one in found)
            whole.append(len(found))
            first.append(_until(best, found, len(found)))
            for name, mine in spent.items():
                mine.append(_until(best, _stopping(work, name), len(found)))
                yield Measured(f"{_EPOCHS}, {name}, seed {seed}", mine[-1], "", Reference(_SOONEST, first[-1]))
    for name, mine in spent.items():
        mean, told = sum(mine) / seeds, f"{_EPOCHS}, {name}, mean of {seeds} seeds"
        every = Reference(f"random search, all {trials} trials", sum(whole) / seeds)
        yield Measured(told, mean, "", every, Goal("at most", 0.5, "ratio"))
        yield Measured(f"{told}, beside random's until then", mean, "", Reference(_SOONEST, sum(first) / seeds))


_EPOCHS = "epochs until random search's best, digits"
_SOONEST = "random search, until it has it"


def _stopping(work: Job, scheduler: str) -> Iterable[Epoch]:
    """Random search that begins with the same trials, and has as many more as it comes to."""
    return epochs(work, work.tuned(search={"name": "random"}, scheduler={"name": scheduler}, trials=10_000))


def _until(best: float, found: Iterable[Epoch], most: int) -> int:
    """The first epoch with this loss, counted over all trials; `most` where there is none by then."""
    for at, one in enumerate(found, 1):
        if one.loss <= best or at >= most:
            return at
    return most


def _searchers(data: str, example: str) -> Callable[..., Iterator[Measured]]:
    def measure(seeds: int = 5, trials: int = 30, searches: str = "tpe,gp") -> Iterator[Measured]:
        names = ["random", *searches.split(",")]
        losses: dict[str, list[list[float]]] = {name: [] for name in names}
        for seed in range(1, seeds + 1):
            with job(_job(data, example, seed)) as work:
                for name in names:
                    losses[name].append(_best(work, name, trials))
        yield from _compared(data, losses)

    measure.__doc__ = f"The best validation loss after some trials, beside random search: {example} on {data}."
    return measure


def _job(data: str, example: str, seed: int) -> dict[str, Any]:
    spec = _example(example)
    spec["data"]["source"] = {"builtin": {"name": data}}
    spec["tuning"]["metric"] = "validation/loss"  # without equal ones, which accuracies of few rows are
    if "epochs" in spec["training"]:
        spec["training"]["epochs"] = 9
    return {**spec, "seed": seed}


def _best(work: Job, search: str, trials: int) -> list[float]:
    """The best loss after each trial."""
    by_trial = [float("inf")] * trials
    for one in epochs(work, work.tuned(search={"name": search}, trials=trials)):
        by_trial[one.trial - 1] = min(by_trial[one.trial - 1], one.loss)
    return list(accumulate(by_trial, min))


def _compared(data: str, losses: dict[str, list[list[float]]]) -> Iterator[Measured]:
    """losses: the best after each trial, by seed, by searcher."""
    random = losses.pop("random")
    seeds, trials = len(random), len(random[0])
    reference = Reference("random search", sum(one[-1] for one in random) / seeds)
    for name, mine in losses.items():
        pairs = list(zip(random, mine, strict=True))
        what, mean = f"{data}, {trials} trials, {name}", sum(one[-1] for one in mine) / seeds
        goal = Goal("at most", 1.0, "ratio") if name == "tpe" else None
        yield Measured(f"{what}: best loss, mean of {seeds} seeds", mean, "", reference, goal)
        yield Measured(f"{what}: seeds in which it is better", sum(own[-1] < other[-1] for other, own in pairs), "")
        parts = sorted(_reached(own, other[-1]) / _reached(other, other[-1]) for other, own in pairs)
        yield Measured(f"{what}: {LEAST_BEST}", parts[seeds // 2], "")


def _reached(losses: list[float], wanted: float) -> int:
    """The first trial with a loss; one more than there were where none had it."""
    return next((at for at, loss in enumerate(losses, 1) if loss <= wanted), len(losses) + 1)


PARTS = {
    "schedulers": schedulers,
    "front": fronts.digits,
    "digits": _searchers("digits", "digits-asha"),
    "wine": _searchers("wine", "digits-asha"),
    "breast_cancer": _searchers("breast_cancer", "tabular-tpe"),
    "diabetes": _searchers("diabetes", "tabular-tpe"),
}
