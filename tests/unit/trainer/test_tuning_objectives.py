"""Which trial is better, by several objectives and under constraints: by comparing all pairs, computed another way."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headway_api.objectives import GREATEST_VIOLATION, Constraint
from headway_trainer.tuning.nsga2 import NsgaSearch
from headway_trainer.tuning.objectives import Goals, Outcome, front
from headway_trainer.tuning.space import Space
from headway_trainer.tuning.trial import Trial
from studies import tuning

SMALL = st.integers(-3, 3).map(float)
OBJECTIVES = [{"metric": "validation/accuracy"}, {"metric": "model/bytes"}]


def outcomes(objectives: int) -> st.SearchStrategy[list[Outcome]]:
    losses = st.tuples(*[SMALL] * objectives)
    violation = st.just(0.0) | st.sampled_from([0.0, 0.5, 2.0])
    return st.lists(st.builds(Outcome, losses, violation), max_size=14)


ANY = st.integers(1, 3).flatmap(outcomes)


def bettered(one: Outcome, by: Outcome) -> bool:
    """Deb's three rules, as the paper words them, on exact numbers."""
    if by.violation == 0 and one.violation > 0:
        return True
    if by.violation > 0:
        return one.violation > 0 and Fraction(by.violation) < Fraction(one.violation)
    gains = [Fraction(mine) - Fraction(its) for mine, its in zip(one.losses, by.losses, strict=True)]
    return min(gains) >= 0 and max(gains) > 0


@given(ANY)
def test_the_front_is_what_keeps_the_constraints_and_is_bettered_by_none(found: list[Outcome]) -> None:
    expected = {
        index
        for index, one in enumerate(found)
        if one.violation == 0 and not any(bettered(one, other) for other in found)
    }
    told = front(found)
    assert set(told) == expected
    assert len(told) == len(expected)
    assert [(found[index].losses, index) for index in told] == sorted((found[index].losses, index) for index in told)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(SMALL, SMALL, st.sampled_from([0.0, 0.0, 0.5, 2.0])), min_size=8, max_size=8))
def test_parents_of_the_next_generation_are_bettered_by_none_of_those_that_are_not(
    found: list[tuple[float, float, float]],
) -> None:
    spec = tuning(objectives=OBJECTIVES, search={"name": "nsga2", "population": 4})
    search = NsgaSearch(Space(spec.parameters), seed=1, population=4, objectives=2)
    trials = {}
    for number, (one, other, violation) in enumerate(found, 1):
        trial = Trial(number, search.propose(number), outcome=Outcome((one, other), violation))
        trials[number] = trial
        search.tell(trial, one)
    parents = {trial.number for trial in search.parents}
    assert len(parents) == 4, "of two generations of four"
    outcomes = {number: trial.outcome for number, trial in trials.items() if trial.outcome is not None}
    others = outcomes.keys() - parents
    assert not any(bettered(outcomes[mine], outcomes[other]) for mine in parents for other in others)


@given(ANY)
def test_what_ranks_first_is_dominated_by_none_and_leads_the_front(found: list[Outcome]) -> None:
    if not found:
        return
    best = min(range(len(found)), key=lambda index: (found[index].rank, index))
    assert not any(bettered(found[best], other) for other in found)
    if front(found):
        assert front(found)[0] == best


def test_the_front_of_ten_thousand_that_are_all_in_it_is_found_in_good_time() -> None:
    many = [Outcome((float(place), float(-place), 0.0)) for place in range(10_000)]
    assert len(front(many)) == 10_000


def goals(*constraints: dict[str, Any], objectives: Sequence[dict[str, Any]] | None = OBJECTIVES) -> Goals:
    spec = tuning(objectives=objectives, constraints=list(constraints) or None)
    return Goals.of(spec, "validation/loss")


def test_objectives_have_the_directions_of_their_metrics_or_their_own() -> None:
    assert goals().signs == (-1.0, 1.0)
    odd = goals(objectives=[{"metric": "validation/acme.a", "mode": "max"}, {"metric": "validation/acme.b"}])
    assert odd.signs == (-1.0, 1.0)


def test_a_trial_is_ranked_by_its_violations_as_parts_of_their_bounds_and_then_by_its_losses() -> None:
    both = goals({"metric": "model/bytes", "max": 2000}, {"metric": "validation/accuracy", "min": 0.8})
    values = {"validation/accuracy": 0.6, "model/bytes": 3000.0}
    outcome = both.outcome(0.6, values)
    assert outcome.losses == (-0.6, 3000.0)
    assert outcome.violation == pytest.approx(0.5 + 0.25)
    kept = both.outcome(0.8, {"validation/accuracy": 0.8, "model/bytes": 2000.0})
    assert (kept.violation, kept.feasible) == (0.0, True), "a bound is kept by what is on it"


def test_of_a_constraint_with_two_bounds_the_one_that_is_broken_counts() -> None:
    between = Constraint.model_validate({"metric": "model/bytes", "min": 100, "max": 200})
    assert [between.violation(value) for value in (50, 100, 150, 200, 300)] == [0.5, 0.0, 0.0, 0.0, 0.5]


def test_all_metrics_of_objectives_and_constraints_have_to_be_there() -> None:
    one = goals({"metric": "validation/f1", "min": 0.5})
    assert one.named == ("validation/accuracy", "model/bytes", "validation/f1")
    there = {"validation/accuracy": 0.6, "model/bytes": 3000.0, "validation/f1": 0.5}
    assert one.missing(there) is None
    assert one.missing({**there, "validation/f1": math.nan}) == "validation/f1"
    assert one.missing({"validation/accuracy": 0.6}) == "model/bytes"


def test_of_one_metric_without_constraints_nothing_else_has_to_be_there() -> None:
    one = goals(objectives=None)
    assert (one.named, one.first) == ((), "validation/loss")
    assert one.outcome(0.25, {}) == Outcome((0.25,))


@given(
    st.floats(-1e15, 1e15, allow_nan=False),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["min", "max"]),
)
def test_a_violation_is_a_finite_number_that_is_0_just_where_the_bound_is_kept(
    bound: float, value: float, end: str
) -> None:
    violation = Constraint.model_validate({"metric": "model/bytes", end: bound}).violation(value)
    kept = value >= bound if end == "min" else value <= bound
    assert 0 <= violation <= GREATEST_VIOLATION
    assert (violation == 0) == kept
