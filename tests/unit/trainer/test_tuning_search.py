"""Searchers find what is known to be best, learn from a bounded number of trials, and keep to the space."""

from __future__ import annotations

import itertools
import math
import random
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headway_trainer.tuning.events import Asked, Ended, Event
from headway_trainer.tuning.known import Known
from headway_trainer.tuning.search import MOST_KNOWN
from headway_trainer.tuning.space import Space
from studies import MIXED, NUMBERS, Driver, replayed, study, tuning

Function = Callable[[Mapping[str, Any]], float]
PLANE = {"model.x": {"uniform": {"min": -5, "max": 10}}, "model.y": {"uniform": {"min": 0, "max": 15}}}
CUBE = {f"model.x{index}": {"uniform": {"min": 0, "max": 1}} for index in range(3)}
NETWORK = {
    "model.depth": {"int": {"min": 1, "max": 20}},
    "model.width": {"logInt": {"min": 1, "max": 1024}},
    "training.optimizer.lr": {"logUniform": {"min": 1e-6, "max": 1}},
}
BOUNDED: dict[str, Any] = {
    "model.a": {"uniform": {"min": -1e9, "max": 1e-9}},
    "model.b": {"logUniform": {"min": 1e-300, "max": 1e300}},
    "model.c": {"int": {"min": -(2**53), "max": 2**53, "step": 7}},
    "model.d": {"logInt": {"min": 1, "max": 2**53}},
    "model.e": {"int": {"min": 3, "max": 6, "step": 2}},
    "model.f": {"uniform": {"min": -1.7e308, "max": 1.7e308}},
    "model.g": {"uniform": {"min": 0, "max": 5e-324}},
}


def branin(of: Mapping[str, Any]) -> float:
    """Three minima, of 0.397887, which is taken off (Dixon and Szegő, 1978)."""
    x, y = of["model.x"], of["model.y"]
    valley = (y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6) ** 2
    return float(valley) + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10 - 0.397887


def hartmann(of: Mapping[str, Any]) -> float:
    """Four minima in three dimensions; the least, of -3.86278, is taken off (Dixon and Szegő, 1978)."""
    scales = np.array([[3, 10, 30], [0.1, 10, 35], [3, 10, 30], [0.1, 10, 35]])
    places = 1e-4 * np.array([[3689, 1170, 2673], [4699, 4387, 7470], [1091, 8732, 5547], [381, 5743, 8828]])
    x = np.array([of[f"model.x{index}"] for index in range(3)])
    depths = np.array([1, 1.2, 3, 3.2]) * np.exp(-(scales * (x - places) ** 2).sum(axis=1))
    return float(3.86278 - depths.sum())


def bowl(of: Mapping[str, Any]) -> float:
    """Least for depth 6, width 128 and a rate of 0.001."""
    rate, width = math.log10(of["training.optimizer.lr"]), math.log2(of["model.width"])
    return (rate + 3) ** 2 + ((float(of["model.depth"]) - 6) / 5) ** 2 + (width - 7) ** 2 / 9


def named(search: str) -> dict[str, Any]:
    """`tuning.search`, which begins to learn soon."""
    return {"name": search, **({"startupTrials": 5} if search in ("tpe", "gp") else {})}


def regret(search: str, trials: int, parameters: dict[str, Any], function: Function, seed: int) -> float:
    """How far the best of so many trials, one after the other, is above the least value."""
    one = study(tuning(parameters, search=named(search), trials=trials), seed=seed)
    Driver(one, lambda parameters, _: function(parameters), at_once=1, epochs=1).run()
    assert one.best is not None
    assert one.best.value is not None
    return one.best.value


@pytest.mark.parametrize(
    ("search", "trials", "most"),
    [("random", 200, (0.5, 0.3, 0.4)), ("tpe", 100, (0.05, 0.05, 0.02)), ("cmaes", 100, (0.05, 0.1, 0.02))],
)
def test_a_search_finds_the_least_values_of_known_functions(
    search: str, trials: int, most: tuple[float, float, float]
) -> None:
    known: list[tuple[dict[str, Any], Function]] = [(PLANE, branin), (CUBE, hartmann), (NETWORK, bowl)]
    for (parameters, function), bound in zip(known, most, strict=True):
        regrets = [regret(search, trials, parameters, function, seed) for seed in range(3)]
        assert statistics.median(regrets) < bound, (function, regrets)


def test_cmaes_finds_the_least_value_of_one_parameter() -> None:
    line = {"training.optimizer.lr": {"logUniform": {"min": 1e-6, "max": 1}}}
    bounds = [
        regret("cmaes", 40, line, lambda of: (math.log10(of["training.optimizer.lr"]) + 2) ** 2, seed)
        for seed in range(3)
    ]
    assert max(bounds) < 0.01, bounds


@pytest.mark.parametrize(
    ("parameters", "function", "most"),
    [
        (CUBE, hartmann, 0.1),
        pytest.param(PLANE, branin, 0.5, marks=pytest.mark.long),
        pytest.param(NETWORK, bowl, 0.02, marks=pytest.mark.long),
    ],
)
def test_gaussian_processes_find_the_least_values_in_16_trials(
    parameters: dict[str, Any], function: Function, most: float
) -> None:
    assert regret("gp", 16, parameters, function, seed=0) < most


@pytest.mark.parametrize("search", ["random", "tpe", "gp", "cmaes"])
def test_what_is_proposed_lies_in_the_space_however_wide_it_is(search: str) -> None:
    spec = tuning(BOUNDED, search=named(search), trials=7 if search == "gp" else 60)
    one = study(spec)
    Driver(one, lambda _, __: random.Random(len(one.trials)).random()).run()  # noqa: S311 - no secret
    space = Space(spec.parameters)
    assert [space.fault(trial.parameters) for trial in one.trials.values()] == [None] * len(one.trials)
    assert {trial.parameters["model.e"] for trial in one.trials.values()} <= {3, 5}


@pytest.mark.parametrize("search", ["random", "tpe", "cmaes"])
def test_a_search_of_a_wide_space_goes_on_as_it_would_have(search: str) -> None:
    spec = tuning(BOUNDED, search=named(search), trials=40)
    whole = Driver(study(spec), lambda of, _: len(str(of["model.d"])) + len(str(of)), at_once=1)
    whole.run()
    for cut in (21, 41):
        again = replayed(spec, whole.events[:cut])
        rest = Driver(again, whole.curve, at_once=1)
        rest.run()
        assert rest.events == whole.events[cut:]


@pytest.mark.parametrize("search", ["random", "tpe", "gp"])
def test_choices_keep_their_type_and_conditions_hold(search: str) -> None:
    values: list[Any] = [1, True, 1.0, "1", [1, 1]]
    form: dict[str, Any] = {
        "model.a": {"choice": values},
        "model.b": {"choice": [7], "when": {"model.a": [True, "1"]}},
        "model.c": {"choice": ["x"], "when": {"model.b": [7.0]}},
    }
    one = study(tuning(form, search=named(search), trials=8 if search == "gp" else 60))
    Driver(one, lambda parameters, _: float(str(parameters["model.a"]) == "1.0")).run()
    seen = set()
    for trial in one.trials.values():
        chosen = trial.parameters["model.a"]
        seen.add(repr(chosen))
        deep = chosen is True or chosen == "1"
        assert set(trial.parameters) == ({"model.a", "model.b", "model.c"} if deep else {"model.a"})
    assert seen <= {repr(value) for value in values}
    assert len(seen) > 2


def test_a_grid_is_complete_and_has_each_combination_once() -> None:
    form: dict[str, Any] = {
        "model.a": {"grid": [1, 2, 3]},
        "model.b": {"choice": ["x", "y"]},
        "model.c": {"grid": [0.1, 0.2], "when": {"model.b": ["y"]}},
    }
    one = Driver(study(tuning(form, search={"name": "grid"}))).run()
    found = [tuple(sorted(trial.parameters.items())) for trial in one.trials.values()]
    x = [(("model.a", a), ("model.b", "x")) for a in (1, 2, 3)]
    y = [(("model.a", a), ("model.b", "y"), ("model.c", c)) for a, c in itertools.product((1, 2, 3), (0.1, 0.2))]
    assert sorted(found) == sorted([*x, *y])


@given(st.lists(st.tuples(st.integers(0, 5), st.none() | st.integers(0, 20)), max_size=60), st.integers(0, 9))
def test_what_is_learned_from_is_what_runs_and_the_best_and_the_newest(
    ends: list[tuple[int, int | None]], most: int
) -> None:
    known, running, ended = Known(most), list[int](), list[tuple[int, int]]()
    for number, (which, loss) in enumerate(ends, 1):
        known.begun(number)
        running.append(number)
        if which < len(running):
            trial = running.pop(which)
            known.ended(trial, None if loss is None else (loss,))
            ended += [(loss, trial)] if loss is not None else []
    best = sorted(ended)[: most // 2]
    newest = ended[len(ended) - (most - most // 2) :] if most > len(ended) - most // 2 else ended[-(most - most // 2) :]
    expected = {*running, *(trial for _, trial in best), *(trial for _, trial in newest if most)}
    assert known.numbers() == sorted(expected)


def log_of(trials: int, parameters: dict[str, Any]) -> list[Event]:
    """Trials that ended, drawn anyhow."""
    draw = random.Random(5)  # noqa: S311 - no secret
    events: list[Event] = []
    for number in range(1, trials + 1):
        chosen = {path: draw.randint(1, 8) if "int" in form else 1e-3 for path, form in parameters.items()}
        events += [
            Asked(trial=number, parameters=chosen),
            Ended(trial=number, state="completed", value=draw.random(), epochs=9),
        ]
    return events


@pytest.mark.parametrize("search", ["random", "tpe", "cmaes"])
def test_a_sampler_is_shown_no_more_trials_than_it_can_learn_from_in_good_time(
    search: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MOST_KNOWN, "tpe", 50)
    shown: list[int] = []
    if search == "tpe":
        from optuna.samplers import TPESampler

        original = TPESampler.sample_relative

        def watched(sampler: Any, study: Any, *rest: Any) -> Any:
            shown.append(len(study.trials))
            return original(sampler, study, *rest)

        monkeypatch.setattr(TPESampler, "sample_relative", watched)
    again = replayed(tuning(NUMBERS, search={"name": search}, trials=10_000), log_of(400, NUMBERS))
    assert again.ask() is not None
    assert all(count <= 52 for count in shown)
    assert bool(shown) == (search == "tpe")


def test_optuna_is_imported_by_a_search_that_needs_it_alone() -> None:
    code = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        "import headway_trainer.pipeline, headway_trainer.tuning.study\n"
        "from studies import study, tuning\n"
        "print('optuna' in sys.modules)\n"
        "study(tuning({'model.depth': {'grid': [1, 2]}}, search={'name': 'grid'})).ask()\n"
        "print('optuna' in sys.modules)\n"
        "study(tuning()).ask()\n"
        "print('optuna' in sys.modules, 'torch._dynamo' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300)
    assert (done.stdout.splitlines(), done.stderr) == (["False", "False", "True False"], "")


def test_cmaes_is_for_numbers() -> None:
    with pytest.raises(
        ValueError, match=r"training.optimizer.name is a choice, and cmaes is for numbers alone: use tpe"
    ):
        study(tuning(MIXED, search={"name": "cmaes"}))


@pytest.mark.parametrize("flat", [True, False])
def test_cmaes_begins_anew_once_it_has_converged(flat: bool) -> None:
    one = study(tuning(NETWORK, search={"name": "cmaes"}, trials=3000))
    Driver(one, lambda parameters, _: 1.0 if flat else bowl(parameters), at_once=1, epochs=1).run()
    depths = [trial.parameters["model.depth"] for trial in one.trials.values()]
    assert len(set(depths[-500:])) > 5
    assert one.best is not None
    assert one.best.value == (1.0 if flat else pytest.approx(0, abs=1e-3))


@settings(max_examples=10, deadline=None)
@given(st.randoms(use_true_random=False))
def test_a_generation_of_cmaes_needs_no_particular_order_of_ends(chance: random.Random) -> None:
    one = Driver(
        study(tuning(NETWORK, search={"name": "cmaes"}, trials=150)), lambda of, _: bowl(of), at_once=4, draw=chance
    ).run()
    assert one.best is not None
    assert one.best.value is not None
    assert one.best.value < 0.5
