"""A job in a few lines, for people: how far it is, what it does or why it waits, and what happened last."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from headway_api.wording import listed
from headway_cli.cluster import timeline
from headway_cli.cluster.errors import EXIT_DONE, EXIT_PROBLEM, EXIT_USER_CODE
from headway_cli.cluster.fields import Object, at, condition, entries, number, numbers, text, texts, whole
from headway_cli.cluster.names import FINISHED, LABEL_ATTEMPT, LABEL_ROLE, LABEL_WORKER, ROLE_WORKER
from headway_cli.cluster.times import ago, brief, duration, grouped, instant, seconds_since

Line = tuple[str, str]
"""What it is about, and what there is to say."""
MOST_NODES = 8
MOST_METRICS = 8
MOST_WARNINGS = 3
LEAST_SHARE = 0.005
"""Of the time: what took less is not told."""
_UNEVENTFUL = ("checkpoint", "created")


def exit_code(job: Object) -> int:
    """What a command that shows or awaits this job ends with."""
    if phase(job) != "Failed":
        return EXIT_DONE
    return EXIT_USER_CODE if text(condition(job, "Failed"), "reason") == "UserError" else EXIT_PROBLEM


def phase(found: Object) -> str:
    """The phase of a job or a deployment; Pending before the operator has said any."""
    return text(found, "status", "phase") or "Pending"


def headline(job: Object) -> str:
    """The job in one line."""
    parts = [text(job, "metadata", "name"), text(job, "metadata", "namespace"), phase(job)]
    if count := whole(job, "status", "attempt"):
        parts.append(f"attempt {count}")
    if phase(job) not in FINISHED:
        parts += _progress(job)
    return "   ".join(part for part in parts if part)


def lines(job: Object, pods: Sequence[Object], now: datetime) -> list[Line]:
    """What there is to say below the headline.

    pods: the job's, as far as they may be seen.
    """
    found = [
        ("message", text(job, "status", "summary", "message") if phase(job) != "Running" else ""),
        ("workers", _workers(job, pods) if phase(job) not in FINISHED else ""),
        ("speed", _speed(job) if phase(job) == "Running" else ""),
        ("metrics", _metrics(job)),
        ("trials", _trials(job)),
        ("checkpoint", _checkpoint(job, now)),
        ("time", _time(job, now)),
        ("last event", _last_event(job, now)),
        *(("logs", place) for place in _logs(job)),
        *(("result", each) for each in _artifacts(job)),
        *(("warning", each) for each in _warnings(job)),
    ]
    if not at(job, "status", "phase"):
        found.insert(0, ("message", _unseen(job, now)))
    return [(name, told) for name, told in found if told]


def nodes(pods: Sequence[Object], attempt: int | None) -> list[str]:
    """The nodes of an attempt's workers, in the workers' order."""
    workers = [
        (int(index) if index.isdigit() else 0, text(pod, "spec", "nodeName"))
        for pod in pods
        if (labels := texts(pod, "metadata", "labels")).get(LABEL_ROLE) == ROLE_WORKER
        and labels.get(LABEL_ATTEMPT) == str(attempt)
        and not at(pod, "metadata", "deletionTimestamp")
        for index in [labels.get(LABEL_WORKER, "")]
    ]
    return list(dict.fromkeys(node for _, node in sorted(workers) if node))


def _progress(job: Object) -> list[str]:
    progress = at(job, "status", "progress")
    stage = text(progress, "stage")
    found = [f"{percent}%"] if (percent := whole(progress, "percent")) is not None else []
    if scope := text(progress, "scope"):
        found.append(scope)
    if stage and stage != "Training":
        found.append(stage)
    if (epoch := whole(progress, "epoch")) is not None:
        planned = whole(job, "spec", "training", "epochs") if not at(job, "spec", "training", "entrypoint") else None
        found.append(f"epoch {epoch}/{planned}" if planned else f"epoch {epoch}")
    if (step := whole(progress, "step")) is not None:
        found.append(f"step {step:,}")
    if (left := whole(progress, "etaSeconds")) is not None and phase(job) == "Running":
        found.append(f"{duration(left)} left")
    return found


def _workers(job: Object, pods: Sequence[Object]) -> str:
    desired = whole(job, "status", "workers", "desired")
    if desired is None:
        return ""
    told = f"{whole(job, 'status', 'workers', 'ready') or 0}/{desired} ready"
    where = nodes(pods, whole(job, "status", "attempt"))
    return f"{told}: {listed(where, MOST_NODES)}" if where else told


def _speed(job: Object) -> str:
    rate = number(job, "status", "progress", "samplesPerSecond")
    return f"{grouped(rate)} rows/s" if rate is not None else ""


def _metrics(job: Object) -> str:
    found = texts(job, "status", "result", "metrics") or texts(job, "status", "progress", "metrics")
    shown = sorted(found, key=_importance)[:MOST_METRICS]
    more = f"   and {len(found) - len(shown)} more" if len(found) > len(shown) else ""
    return "   ".join(f"{name} {brief(found[name])}" for name in shown) + more


def _importance(name: str) -> tuple[int, str]:
    """Losses first, then the parts of the data in the order in which they are used."""
    part = name.partition("/")[0]
    return (("train", "validation", "test").index(part) if part in ("train", "validation", "test") else 3, name)


def _trials(job: Object) -> str:
    tuning = at(job, "status", "tuning")
    if not isinstance(tuning, dict):
        return ""
    counts = {state: whole(tuning, state) or 0 for state in ("completed", "stopped", "failed", "running", "waiting")}
    ended = counts["completed"] + counts["stopped"] + counts["failed"]
    planned = whole(tuning, "planned")
    told = f"{ended} of {planned} have ended" if planned is not None else f"{ended} have ended"
    parts = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    found = f"{told} ({parts})" if parts else told
    if isinstance(best := tuning.get("best"), dict):
        found += f"; best {text(tuning, 'metric')} {brief(text(best, 'value'))} (trial {whole(best, 'trial')})"
    return found


def _checkpoint(job: Object, now: datetime) -> str:
    step = whole(job, "status", "checkpoint", "step")
    if step is None:
        return ""
    when = ago(text(job, "status", "checkpoint", "time"), now)
    return f"step {step:,}, {when}" if when else f"step {step:,}"


def _time(job: Object, now: datetime) -> str:
    began, ended = text(job, "status", "startTime"), text(job, "status", "completionTime")
    since = seconds_since(began, now)
    if since is None:
        return ""
    spent = {what: seconds for what, seconds in numbers(job, "status", "time", "seconds").items() if seconds > 0}
    if total := sum(spent.values()):
        shares = sorted(spent.items(), key=lambda each: -each[1])
        told = ", ".join(f"{seconds / total:.0%} {what}" for what, seconds in shares if seconds / total >= LEAST_SHARE)
        goodput = whole(job, "status", "time", "goodputPercent")
        return f"{duration(total)}: {told}" + (f"; goodput {goodput}%" if goodput is not None else "")
    if (end := instant(ended)) is not None and (begin := instant(began)) is not None:
        return f"{duration(max(0.0, (end - begin).total_seconds()))}, ended {ago(ended, now)}"
    return f"{duration(since)} since the first attempt began"


def _last_event(job: Object, now: datetime) -> str:
    found = [each for each in timeline.of_status(job) if each.what not in _UNEVENTFUL]
    if not found or phase(job) == "Failed":
        return ""  # the message says it
    last = found[-1]
    when = ago(last.time, now)
    return f"{when}: {last.what}" + (f", {last.detail}" if last.detail else "")


def _logs(job: Object) -> list[str]:
    """Where the newest attempt's logs are, of a job that has ended: its pods are gone."""
    kept = [text(each, "logs") for each in entries(job, "status", "attempts")]
    return [kept[-1]] if kept and kept[-1] and phase(job) in (*FINISHED, "Suspended") else []


def _artifacts(job: Object) -> list[str]:
    return [f"{text(each, 'name')}: {text(each, 'uri')}" for each in entries(job, "status", "result", "artifacts")]


def _warnings(job: Object) -> list[str]:
    found = at(job, "status", "warnings")
    told = [each for each in found if isinstance(each, str)] if isinstance(found, list) else []
    more = [f"and {len(told) - MOST_WARNINGS} more: see -o yaml"] if len(told) > MOST_WARNINGS else []
    return [*told[:MOST_WARNINGS], *more]


def _unseen(job: Object, now: datetime) -> str:
    age = seconds_since(text(job, "metadata", "creationTimestamp"), now)
    since = f" for {duration(age)}" if age is not None else ""
    return f"no operator has looked at this job{since}: see `kubectl get pods -n headway-system`"
