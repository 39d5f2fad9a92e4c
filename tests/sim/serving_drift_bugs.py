"""Bugs that are planted into what tells of a ModelDeployment's drift."""

from __future__ import annotations

from headway_operator.serving import steps
from headway_operator.serving.plan import decide, drift
from sim.bugs import Bug
from sim.serving_drift import FIRST_DRIFT_SEED

BUGS = (
    Bug(
        "an old word about drift counts for ever",
        FIRST_DRIFT_SEED,
        "the operator works without end",
        ((drift._heard, "situation.now <= record.drift_heard + FRESH_SECONDS", "True"),),
    ),
    Bug(
        "a word about another version's drift counts",
        FIRST_DRIFT_SEED,
        "nobody has said so of late",
        ((drift._heard, " or word.version != champion.number", ""),),
    ),
    Bug(
        "a word about another deployment's drift counts",
        FIRST_DRIFT_SEED,
        "nobody has said so of late",
        ((drift._heard, " or word.uid != situation.uid", ""),),
    ),
    Bug(
        "each turn of the judge is told of at once",
        FIRST_DRIFT_SEED,
        "s after it has turned",
        ((drift.follow, "_turns(kept, said)", "False"),),
    ),
    Bug(
        "what is unknown is taken for stable",
        FIRST_DRIFT_SEED,
        "and the condition is",
        ((drift._unknown, '("Unknown", reason, says)', '("False", "Stable", says)'),),
    ),
    Bug(
        "the judge goes though drift is watched",
        FIRST_DRIFT_SEED,
        "in the end there are the Deployments",
        ((decide.plan, " or watched is not None", ""),),
    ),
    Bug(
        "the judge goes on to watch the version of before",
        FIRST_DRIFT_SEED,
        "and the judge is to watch",
        ((steps._Maker.told, "if record.watch != plan.watch:", "if record.watch is None:"),),
    ),
)
