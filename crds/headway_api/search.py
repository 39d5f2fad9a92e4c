"""`spec.tuning.search`: how the values of a trial are chosen."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from headway_api.base import Rule, Section

MAX_POPULATION = 200
"""The trials of a generation of `nsga2`."""
LEARNING = ("tpe", "gp")
_STARTUP_TRIALS = 10
_POPULATION = 10


class Search(Section):
    """How the parameters of the next trial are chosen."""

    rules = (
        Rule(
            cel=f"self.name in {list(LEARNING)} || self.startupTrials == {_STARTUP_TRIALS}",
            message=f"startupTrials is for {' and '.join(LEARNING)}: take it out, or write another name",
            holds=lambda search: search.name in LEARNING or search.startup_trials == _STARTUP_TRIALS,
            field="startupTrials",
        ),
        Rule(
            cel=f"self.name == 'nsga2' || self.population == {_POPULATION}",
            message="population is for nsga2: take it out, or write another name",
            holds=lambda search: search.name == "nsga2" or search.population == _POPULATION,
            field="population",
        ),
    )

    name: Literal["grid", "random", "tpe", "gp", "cmaes", "nsga2"] = "tpe"
    """`grid`: all combinations of `grid` and `choice` values. `random`: drawn. `tpe`: Tree-structured Parzen Estimator
    (Bergstra et al., 2011). `gp`: Gaussian process. `cmaes`: CMA-ES (Hansen, 2016), for numbers alone. `nsga2`: NSGA-II
    (Deb et al., 2002), for several `objectives`."""
    startup_trials: Annotated[int, Field(ge=1, le=1000)] = _STARTUP_TRIALS
    """Trials that `tpe` and `gp` draw at random before they learn from what is known."""
    population: Annotated[int, Field(ge=4, le=MAX_POPULATION)] = _POPULATION
    """Of `nsga2`: the trials of a generation, and those of all before that the next one descends from."""
