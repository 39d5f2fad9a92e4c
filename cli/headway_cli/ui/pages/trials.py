"""The pages of a job's trials: all of them, the best first, in a table and in drawings; and one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headway_cli.cluster.errors import ClusterError, NotFoundError
from headway_cli.cluster.fields import Object, at, entries, number, text, whole
from headway_cli.cluster.job_lines import phase
from headway_cli.cluster.names import FINISHED
from headway_cli.cluster.times import duration
from headway_cli.ui.asking import Asked, BadQuestionError, Data, Route, View
from headway_cli.ui.pages import looking
from headway_cli.ui.pages.job import head
from headway_cli.ui.paging import Link, page_of
from headway_cli.ui.trials import drawings, reading
from headway_cli.ui.trials.axes import Axis, cut, of_values, told
from headway_cli.ui.trials.drawings import spark
from headway_cli.ui.trials.search import Search, Trial

RUNNING_SECONDS, ENDED_SECONDS = 10.0, 3600.0
"""How long what was read of a job's trials is kept; of a search that goes on, longer the more trials there are."""
TRIALS_A_SECOND = 50
"""As what is read of 10,000 can have 50 MB, which come through the API server."""
MOST_COLUMNS = 9
"""Parameters in the table; the page of a trial has all."""
MOST_VALUE = 40
"""Characters of a value in the table."""
BY_NUMBER = "trial"
"""In place of a parameter's name on the axis of a scatter plot."""
_BADGES = {"completed": "good", "failed": "bad", "running": "warn"}


@dataclass(frozen=True)
class Row:
    """A trial in the table."""

    number: int
    state: str
    badge: str
    cause: str
    values: Sequence[str]
    front: bool
    violation: str
    curve: str
    curve_told: str
    epochs: int
    took: str
    parameters: Sequence[str]


def trials(asked: Asked) -> View:
    """The trials of a job."""
    job = _job(asked)
    name = text(job, "metadata", "name")
    page = asked.whole("page", 1)
    status = _status(job)
    data: dict[str, object] = {
        "job": head(asked, job, "trials"),
        "status": status,
        "command": f"headway trials tj/{name}{asked.site.target_of(asked.names['namespace']).options()}",
        "search": None,
        "trouble": "",
        "best": None,
    }
    try:
        # Before the first trial there is nothing to read, which is no trouble.
        found = _search(asked, job) if status["counts"] or phase(job) in FINISHED else None
    except ClusterError as error:
        data["trouble"] = str(error)
    else:
        data |= {"search": found, **_shown(asked, found, page)} if found is not None else {}
    return View("trials.html", f"Trials of {name}", data, every=None if phase(job) in FINISHED else _seconds(job))


def trial(asked: Asked) -> View:
    """One trial: all that it was given, and what it came to."""
    job = _job(asked)
    found, one = _one(asked, job)
    valued = [each.number for each in found.valued]
    data = {
        "job": head(asked, job, ""),
        "search": found,
        "trial": one,
        "badge": _BADGES.get(one.state, ""),
        "rank": valued.index(one.number) + 1 if one.number in valued else None,
        "valued": len(valued),
        "values": [(metric, told(value)) for metric in found.metrics if (value := one.measured(metric)) is not None],
        "mean": f"{told(one.value)} ± {told(one.deviation)}" if one.deviation is not None else "",
        "parameters": [(name, told(value)) for name, value in one.parameters.items()],
        "took": duration(max(one.seconds, 0)),
        "better": valued[valued.index(one.number) - 1] if one.number in valued[1:] else None,
        "worse": valued[valued.index(one.number) + 1] if one.number in valued[:-1] else None,
    }
    return View("trial.html", f"Trial {one.number} of {asked.names['name']}", data)


def curve(asked: Asked) -> Data:
    """The curve of one trial, for the script of charts."""
    found, one = _one(asked, _job(asked))
    return Data({"series": {found.metrics[0]: one.curve} if one.curve else {}})


def _job(asked: Asked) -> Object:
    """The job; raises NotFoundError where it has no trials to be."""
    found, name = looking.job(asked), asked.names["name"]
    if not isinstance(at(found, "spec", "tuning"), dict):
        raise NotFoundError(f"{name} has no trials: its spec has no tuning\nSee docs/how-to/tune.md for what that is.")
    return found


def _search(asked: Asked, job: Object) -> Search:
    """The trials as they were lately. Raises ClusterError."""
    key = (text(job, "metadata", "uid"), "ended" if phase(job) in FINISHED else "")
    return asked.site.searches.kept(key, _seconds(job), lambda: reading.read(asked.kubectl(), job))


def _seconds(job: Object) -> float:
    """How long the trials of a job are kept."""
    if phase(job) in FINISHED:
        return ENDED_SECONDS
    ended = sum(whole(job, "status", "tuning", state) or 0 for state in ("completed", "stopped", "failed"))
    return RUNNING_SECONDS + min(max(ended, 0) // TRIALS_A_SECOND, ENDED_SECONDS)


def _one(asked: Asked, job: Object) -> tuple[Search, Trial]:
    found, number = _search(asked, job), asked.names["number"]
    one = found.trial(int(number)) if number.isascii() and number.isdecimal() else None
    if one is None:
        raise NotFoundError(f"{text(job, 'metadata', 'name')} has no trial {number}: its page lists those that it has")
    return found, one


def _shown(asked: Asked, found: Search, page: int) -> dict[str, object]:
    """Drawings and table, as the address chooses them."""
    x = asked.query.get("x") or next(iter(found.parameters), BY_NUMBER)
    y = asked.query.get("y") or found.metrics[0]
    if x != BY_NUMBER and x not in found.parameters:
        raise BadQuestionError(
            "?x= is no parameter that differs between these trials: choose one on the page of trials"
        )
    if y not in found.metrics:
        raise BadQuestionError("?y= is no metric of these trials: choose one on the page of trials")
    pager = page_of(found.trials, page)
    columns = found.parameters[:MOST_COLUMNS]
    curves = [value for one in found.trials for _, value in one.curve]
    up = of_values(y, curves, smaller=found.metrics[0] in found.smaller) if curves else None
    last = max((one.curve[-1][0] for one in found.trials if one.curve), default=1)
    query = {name: asked.query.get(name, "") for name in ("x", "y")}
    best = next(iter(found.valued), None)
    return {
        "best": (best.number, told(best.measured(found.metrics[0]))) if best is not None else None,
        "x": x,
        "y": y,
        "by_number": drawings.scatter(found, None, y),
        "by_parameter": drawings.scatter(found, x, y) if x != BY_NUMBER else None,
        "parallel": drawings.parallel(found, y),
        "curves": up is not None,
        "columns": columns,
        "hidden": len(found.parameters) - len(columns),
        "pager": pager,
        "rows": [_row(found, one, columns, up, last) for one in pager.items],
        "link": Link(asked.path, query),
        "counts": found.counts(),
    }


def _row(found: Search, one: Trial, columns: Sequence[str], up: Axis | None, last: int) -> Row:
    values = [told(value) if (value := one.measured(metric)) is not None else "" for metric in found.metrics]
    if one.deviation is not None and values[0] and not one.metrics:  # else these are of its own model, not the mean
        values[0] += f" ± {told(one.deviation)}"
    ends = [told(one.curve[place][1]) for place in (0, -1)] if one.curve else []
    return Row(
        number=one.number,
        state=one.state,
        badge=_BADGES.get(one.state, ""),
        cause=one.cause,
        values=values,
        front=one.front,
        violation=told(one.violation) if one.violation else "",
        curve=spark(one.curve, up, last) if up is not None else "",
        curve_told=f"from {ends[0]} to {ends[1]}" if ends else "",
        epochs=one.epochs,
        took=duration(max(one.seconds, 0)),
        parameters=[cut(told(one.parameters[name]), MOST_VALUE) if name in one.parameters else "" for name in columns],
    )


def _status(job: Object) -> dict[str, object]:
    """What the status tells of the search, which is there also where its trials cannot be read."""
    tuning = at(job, "status", "tuning")
    best = at(tuning, "best")
    given = at(best, "parameters")
    return {
        "metric": text(tuning, "metric"),
        "counts": [(state, count) for state in ("completed", "stopped", "failed", "running", "waiting")
                   if (count := whole(tuning, state))],
        "planned": whole(tuning, "planned"),
        "best": whole(best, "trial"),
        "value": told(value) if (value := number(best, "value")) is not None else text(best, "value"),
        "parameters": [(name, told(value)) for name, value in given.items()] if isinstance(given, dict) else [],
        "running": [
            (whole(each, "trial"), whole(each, "epoch"), told(at(each, "value")) if "value" in each else "")
            for each in entries(tuning, "runningTrials")
        ],
    }  # fmt: skip


ROUTES = (
    Route("/jobs/{namespace}/{name}/trials", trials, "trials"),
    Route("/jobs/{namespace}/{name}/trials/{number}", trial, "trial"),
    Route("/jobs/{namespace}/{name}/trials/{number}/curve.json", curve, "trial-curve", data=True),
)
