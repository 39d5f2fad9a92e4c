"""What a job does, or why it waits or has ended, in one sentence and what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from headway_cli.cluster.doctor.facts import Facts, Finding, Level, Seen
from headway_cli.cluster.doctor.why import of_job
from headway_cli.cluster.fields import Object, at, entries, text, whole
from headway_cli.cluster.job_lines import phase
from headway_cli.cluster.times import brief, duration, instant

_STAGES = {
    "Preparing": "Prepares the data",
    "Training": "Trains",
    "Evaluating": "Evaluates the model on the test rows",
    "Publishing": "Stores the model and its report",
}


def sentence(job: Object, pods: Sequence[Object], events: Sequence[Object], now: datetime) -> Finding:
    """What `headway doctor` says of a job that does not run; of one that does, how far it is.

    pods, events: of the job's namespace, as far as they may be seen.
    """
    if phase(job) == "Succeeded":
        return Finding("job", Level.OK, _end(job))
    if phase(job) == "Running":
        return Finding("job", Level.OK, _work(job))
    namespace = text(job, "metadata", "namespace")
    facts = Facts(namespace, now, "", seen={"pods": Seen(tuple(pods)), "events": Seen(tuple(events))})
    found = of_job(facts, job)
    return Finding(found.check, found.level, f"{found.said[:1].upper()}{found.said[1:]}.".replace("..", "."), found.fix)


def _work(job: Object) -> str:
    progress = at(job, "status", "progress")
    told = _STAGES.get(text(progress, "stage"), "Runs")
    if (trials := _trials(job)) and text(progress, "stage") in ("", "Training"):
        told = f"Tunes: {trials}"
    count = whole(job, "status", "workers", "desired")
    if count:
        told += f" with {count} worker{'s' if count != 1 else ''}"
    parts = []
    if (epoch := whole(progress, "epoch")) is not None:
        planned = whole(job, "spec", "training", "epochs") if not at(job, "spec", "training", "entrypoint") else None
        parts.append(f"epoch {epoch:,} of {planned:,}" if planned and planned >= epoch else f"epoch {epoch:,}")
    if (step := whole(progress, "step")) is not None:
        parts.append(f"step {step:,}")
    if (percent := whole(progress, "percent")) is not None:
        parts.append(f"{percent}% done")
    if (left := whole(progress, "etaSeconds")) is not None and left >= 0:
        parts.append(f"about {duration(left)} left")
    told += f": {', '.join(parts)}" if parts and ":" not in told else f"; {', '.join(parts)}" if parts else ""
    attempt = whole(job, "status", "attempt") or 1
    return f"{told}. This is attempt {attempt}." if attempt > 1 else f"{told}."


def _trials(job: Object) -> str:
    tuning = at(job, "status", "tuning")
    if not isinstance(tuning, dict):
        return ""
    ended = sum(whole(tuning, state) or 0 for state in ("completed", "stopped", "failed"))
    planned = whole(tuning, "planned")
    told = f"{ended:,} of {planned:,} trials have ended" if planned else f"{ended:,} trials have ended"
    if isinstance(best := tuning.get("best"), dict):
        told += f", the best has {text(tuning, 'metric')} {brief(text(best, 'value'))}"
    return told


def _end(job: Object) -> str:
    began, ended = instant(text(job, "status", "startTime")), instant(text(job, "status", "completionTime"))
    told = "Succeeded"
    if began is not None and ended is not None:
        told += f" after {duration(max(0.0, (ended - began).total_seconds()))}"
    metric = text(job, "status", "summary", "metric")
    if metric:
        name, _, value = metric.partition("=")
        told += f" with {name} {brief(value)}"
    model = next(
        (each for each in entries(job, "status", "result", "artifacts") if text(each, "name") == "model"), None
    )
    return f"{told}. The model is in {text(model, 'uri')}." if text(model, "uri") else f"{told}."
