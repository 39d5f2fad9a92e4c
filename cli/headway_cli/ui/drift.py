"""What a ModelDeployment's page has of drift: the state, features that differ, values that are wrong. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from headway_cli.cluster.fields import Object, at, entries, number, text, whole
from headway_cli.cluster.times import ago, grouped

_STATES = {"Stable": "good", "Drifted": "bad"}
_PROBLEMS = {"Missing": "missing", "Unseen": "unseen in training", "OutOfRange": "out of the range of training"}
_ALARM = 1.0
"""From this score on a feature alarms."""
_MOST_SCORE = 4.0
"""A bar of this score is full."""
_WIDTH = 100


@dataclass(frozen=True)
class Feature:
    """A feature that differs from the training rows."""

    name: str
    score: str
    badge: str
    width: int
    """Of its bar, in hundredths of the whole."""


@dataclass(frozen=True)
class Quality:
    """A feature with values that are wrong."""

    name: str
    problem: str
    share: str
    usual: str


@dataclass(frozen=True)
class Drift:
    """What is known of drift."""

    state: str
    badge: str
    version: str
    message: str
    facts: Sequence[tuple[str, str]]
    features: Sequence[Feature]
    quality: Sequence[Quality]


def drift(found: Object, now: datetime) -> Drift | None:
    """What is known of drift; None where nothing is watched."""
    told = at(found, "status", "drift")
    if not isinstance(told, dict):
        return None
    state, score, windows = text(told, "state"), number(told, "score"), whole(told, "windows") or 0
    facts = [("Score", f"{grouped(score)}; {_ALARM:.0f} and above alarms")] if score is not None else []
    if windows:
        facts += [("Checked", ago(text(told, "checked"), now)), ("Windows so far", f"{windows:,}")]
    return Drift(
        state=state,
        badge=_STATES.get(state, "warn"),
        version=text(told, "version"),
        message=text(told, "message"),
        facts=facts,
        features=[_feature(each) for each in entries(told, "features")],
        quality=[_quality(each) for each in entries(told, "dataQuality")],
    )


def _feature(each: Object) -> Feature:
    score = number(each, "score") or 0.0
    width = round(_WIDTH * min(max(score, 0.0), _MOST_SCORE) / _MOST_SCORE)
    return Feature(text(each, "name"), grouped(score), "bad" if score >= _ALARM else "", width)


def _quality(each: Object) -> Quality:
    problem = text(each, "problem")
    share, usual = number(each, "share") or 0.0, number(each, "usual") or 0.0
    return Quality(text(each, "name"), _PROBLEMS.get(problem, problem), f"{share:.1%}", f"{usual:.1%}")
