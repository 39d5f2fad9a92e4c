"""The report's section on a search for better parameters. Pure."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import get_args

from pydantic import JsonValue

from headway_trainer.report.marks import counted, number, table
from headway_trainer.report.trials import best_first
from headway_trainer.report.tuning_model import ParameterForm, Retrained, TrialResult, TuningResult
from headway_trainer.tuning.events import TrialState

_MOST_ROWS = 20
"""Trials in the table; trials.jsonl has all."""
_MOST_FAILED = 10
_MOST_COLUMNS = 8
"""Parameters in the table of trials."""
_MOST_SIGNS = 40
"""Characters of a value, where many stand beside each other."""
_MOST_WORDS = 300
"""Characters of a failed trial's sentence."""
_MOST_WHOLE = 1e15
_STATES: tuple[TrialState, ...] = get_args(TrialState)
_IMPORTANCE = (
    "Importance: of what single parameters explain of the differences between the trials, the share of this one "
    "(fANOVA, over the trials' ranks)."
)
_BETTER = {"min": "lower", "max": "higher"}


def tuning_section(result: TuningResult | None, plots: Sequence[tuple[str, str]] = ()) -> str:
    """The section; empty without a search. plots: each with its title and its path, relative to the page."""
    if result is None:
        return ""
    images = "".join(f"\n![{title}]({path})\n" for title, path in plots)
    told = [
        _summary(result),
        images,
        _front(result),
        _best(result),
        _retrained(result),
        _schedule(result),
        _trials(result),
        _failed(result),
    ]
    return "## Tuning\n\n" + "".join(told)


def counts_told(counts: Mapping[TrialState, int]) -> str:
    """How many trials there are, and of which state: `30: 4 completed, 25 stopped, 1 failed`."""
    states = [f"{counts[state]:,} {state}" for state in _STATES if counts.get(state)]
    return f"{sum(counts.values()):,}{': ' if states else ''}{', '.join(states)}"


def value_told(value: JsonValue, most: int = _MOST_SIGNS) -> str:
    """A parameter's value: numbers with six digits, all else as JSON has it, cut to `most` characters."""
    if isinstance(value, str):
        told = value
    elif isinstance(value, float):
        told = f"{value:.6g}"
    else:
        told = json.dumps(value, ensure_ascii=False)
    return told if len(told) <= most else f"{told[: most - 1]}…"


def parameter_names(result: TuningResult) -> list[str]:
    """The parameters that trials have: those of which it is known how much they matter first, then as in the spec, then
    those of a Tuner of the user's own, which the spec does not name."""
    there = dict.fromkeys(name for one in result.trials for name in one.parameters)
    return [name for name in dict.fromkeys([*result.importances, *result.parameters, *there]) if name in there]


def form_of(result: TuningResult, name: str, values: Iterable[JsonValue]) -> ParameterForm:
    """How a parameter's values were given; of a Tuner of the user's own, numbers are a range, and all else a choice."""
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    return result.parameters.get(name) or ("uniform" if numbers else "choice")


def best_trial(result: TuningResult) -> TrialResult | None:
    """The best trial; none where none has a value."""
    return next((one for one in result.trials if one.number == result.best), None)


def _summary(result: TuningResult) -> str:
    best = best_trial(result)
    rows = [
        *(
            [("objectives", ", ".join(f"{one.metric} ({_BETTER[one.better]})" for one in result.objectives))]
            if result.objectives
            else [("metric", f"{result.metric}, {_BETTER[result.better]} is better")]
            if result.metric
            else []
        ),
        *([("constraints", constraints_told(result))] if result.constraints else []),
        *([("best", f"{spread_told(best)}, trial {best.number}")] if best is not None else []),
        ("trials", counts_told(result.counts)),
        *([("seeds", str(result.seeds))] if result.seeds > 1 else []),
        ("search", result.search),
        *(("learnt from", f"{one.what}: {one.taken} trials ({one.skipped} left out)") for one in result.earlier),
        ("scheduler", result.scheduler),
        *([("epochs of all trials", counted(result.epochs))] if result.epochs else []),
        ("seconds of all trials", f"{result.seconds:,.1f}"),
        *([("GPU hours of all trials", f"{result.gpu_hours:,.4g}")] if result.gpu_hours is not None else []),
        *([("checkpoints taken over", counted(result.takeovers))] if result.takeovers else []),
        ("the search ended, as", result.ended),
    ]
    return table(("", ""), rows)


def spread_told(trial: TrialResult) -> str:
    """A trial's value; of one that was repeated the mean with its standard deviation, and over how many seeds."""
    if trial.deviation is None:
        return number(trial.value)
    values = 1 + sum(one.state == "completed" for one in trial.repeats)
    return f"{number(trial.value)} ± {number(trial.deviation)} ({values} seeds)"


def repeats_told(result: TuningResult) -> str:
    """How trials were repeated, and which value the best one's model has itself, in sentences; empty where none was."""
    best = best_trial(result)
    if result.seeds == 1 or best is None:
        return ""
    told = (
        f"A trial that was better than the best so far was trained with {result.seeds} seeds, and its value is their "
        "mean, with its standard deviation. "
    )
    if best.own_value is None:
        return f"{told}None has come to the end of all its repeats, so the best one's value is of one seed alone."
    own = number(best.own_value)
    return f"{told}The model of the best trial is the one with the job's own seed, whose value is {own}."


def retrained_told(retrained: Retrained) -> str:
    """That the model is no trial's, and how it was trained, as a sentence."""
    epochs = "" if retrained.epochs is None else f" for {counted(retrained.epochs)} epochs, the best trial's best,"
    return (
        f"The model is not the best trial's: it was trained again{epochs} with the best trial's parameters, on the "
        f"{counted(retrained.rows)} rows of the training and the validation part."
    )


def _retrained(result: TuningResult) -> str:
    if result.retrained is None:
        return ""
    return (
        f"\n### The model\n\n{retrained_told(result.retrained)} The values in this section are those of the trials' "
        "models, which were trained on the training part alone, on the validation part; the metrics above are the "
        "model's own. The test part has been seen by none of them.\n"
    )


def constraints_told(result: TuningResult) -> str:
    """The constraints in words: `model/bytes at most 20,000`."""
    told = []
    for one in result.constraints:
        bounds = [f"at least {_digits(one.min)}"] if one.min is not None else []
        bounds += [f"at most {_digits(one.max)}"] if one.max is not None else []
        told.append(f"{one.metric} {' and '.join(bounds)}")
    return ", ".join(told)


def compared_metrics(result: TuningResult) -> list[str]:
    """The metrics of objectives and constraints, each once; none where one metric says it all."""
    named = [*(one.metric for one in result.objectives), *(one.metric for one in result.constraints)]
    return list(dict.fromkeys(named))


def broken_told(result: TuningResult) -> str | None:
    """That the model keeps not all constraints, as a sentence; none where it does."""
    best = best_trial(result)
    if best is None or best.violation <= 0:
        return None
    values = ", ".join(f"{one} {_digits(best.metrics.get(one))}" for one in compared_metrics(result))
    return (
        f"No trial keeps the constraints ({constraints_told(result)}): the model is that of trial {best.number}, which"
        f" is the least far off ({values})."
    )


def _digits(value: float | None) -> str:
    """A number that may count bytes: with six digits, but whole ones as they are."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) < _MOST_WHOLE else f"{value:.6g}"


def _front(result: TuningResult) -> str:
    broken = broken_told(result)
    told = f"\n{broken}\n" if broken is not None else ""
    trials = {one.number: one for one in result.trials}
    shown = [trials[number] for number in result.front if number in trials][:_MOST_ROWS]
    if not shown:
        return told
    metrics, names = compared_metrics(result), parameter_names(result)
    columns = names[:_MOST_COLUMNS]
    rows = [
        (
            f"{one.number}{' (best)' if one.number == result.best else ''}",
            *(_digits(one.metrics.get(metric)) for metric in metrics),
            *(value_told(one.parameters[name]) if name in one.parameters else "" for name in columns),
        )
        for one in shown
    ]
    left = result.front_trials - len(rows)
    more = f"\n`trials.jsonl` has {_more(left, 'trial')} of the front.\n" if left > 0 else ""
    return (
        f"{told}\n### The front\n\nNo other trial is better than one of these in one objective and worse in none. The"
        f" model is that of the first.\n\n{table(('trial', *metrics, *columns), rows)}{more}"
    )


def _best(result: TuningResult) -> str:
    best = best_trial(result)
    if best is None:
        return "\nNo trial has a value, so there is no best one.\n"
    names = [name for name in parameter_names(result) if name in best.parameters]
    rows = [(name, value_told(best.parameters[name]), _share(result.importances.get(name))) for name in names]
    title = "\n### The best trial's parameters\n\n"
    repeats = f"\n{repeats_told(result)}\n" if repeats_told(result) else ""
    if not result.importances:
        return title + table(("parameter", "best value"), [row[:2] for row in rows]) + repeats
    return f"{title}{table(('parameter', 'best value', 'importance'), rows)}\n{_IMPORTANCE}\n{repeats}"


def _schedule(result: TuningResult) -> str:
    if not result.schedule:
        return ""
    names = [name for name in parameter_names(result) if name in result.schedule[-1].parameters][:_MOST_COLUMNS]
    rows = [
        (
            str(one.first) if one.first == one.last else f"{one.first}-{one.last}",
            str(one.trial),
            *(value_told(one.parameters[name]) if name in one.parameters else "" for name in names),
        )
        for one in result.schedule[-_MOST_ROWS:]
    ]
    more = len(result.schedule) - len(rows)
    left = f"\n`result.json` has {_more(more, 'change')} before them.\n" if more > 0 else ""
    return (
        "\n### What the best trial's model was trained with\n\n"
        "It took over checkpoints of other trials; the values above are its last ones.\n\n"
        f"{table(('epochs', 'trial', *names), rows)}{left}"
    )


def _trials(result: TuningResult) -> str:
    ranked = best_first(result.trials, result.better, result.objectives)
    if not ranked:
        return ""
    names = parameter_names(result)
    columns = names[:_MOST_COLUMNS]
    folds = any(one.folds for one in ranked)
    metrics = [name for name in compared_metrics(result) if name != result.metric]
    rows = [
        (
            str(one.number),
            one.state,
            _digits(one.value) if metrics else spread_told(one),
            *((_deviation(one),) if folds else ()),
            *(_digits(one.metrics.get(name)) for name in metrics),
            *([_digits(one.violation)] if result.constraints else []),
            counted(one.epochs),
            f"{one.seconds:.1f}",
            *(value_told(one.parameters[name]) if name in one.parameters else "" for name in columns),
        )
        for one in ranked[:_MOST_ROWS]
    ]
    total = result.counts.get("completed", 0) + result.counts.get("stopped", 0)
    left = [_more(len(names) - len(columns), "parameter")] if len(names) > len(columns) else []
    left += [_more(total - len(rows), "trial")] if total > len(rows) else []
    more = f"\n`trials.jsonl` has {' and '.join(left)}.\n" if left else ""
    violation = ["violation"] if result.constraints else []
    value = (f"{result.metric}, mean", "over folds") if folds else (result.metric,)
    head = ("trial", "state", *value, *metrics, *violation, "epochs", "seconds", *columns)
    return f"\n### Trials, the best first\n\n{table(head, rows)}{more}"


def _deviation(trial: TrialResult) -> str:
    """How far the folds' values lie from each other: their standard deviation (n - 1)."""
    values = [value for value in trial.folds if value is not None]
    return f"± {number(statistics.stdev(values))}" if len(values) > 1 else "-"


def _failed(result: TuningResult) -> str:
    failed = [one for one in result.trials if one.state == "failed"]
    if not failed:
        return ""
    rows = [
        (str(one.number), value_told(one.cause or "-"), value_told(one.message or "-", _MOST_WORDS))
        for one in failed[:_MOST_FAILED]
    ]
    more = result.counts.get("failed", 0) - len(rows)
    left = f"\n`trials.jsonl` has {more:,} more that failed.\n" if more > 0 else ""
    return f"\n### Trials that failed\n\n{table(('trial', 'cause', 'message'), rows)}{left}"


def _more(count: int, what: str) -> str:
    return f"{count:,} more {what}{'' if count == 1 else 's'}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
