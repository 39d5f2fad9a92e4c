"""The pages of one job: what it does, its events and its YAML. Logs and curves are beside this."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import yaml

from headway_cli.cluster import job_lines
from headway_cli.cluster.doctor.facts import Finding, Level
from headway_cli.cluster.errors import ClusterError
from headway_cli.cluster.events import told
from headway_cli.cluster.fields import Object, at, entries, is_true, number, numbers, text, texts, whole
from headway_cli.cluster.models import place
from headway_cli.cluster.names import FINISHED, LABEL_ATTEMPT, LABEL_ROLE, LABEL_WORKER, ROLE_HEAD
from headway_cli.cluster.sentence import sentence
from headway_cli.cluster.tables import gpus
from headway_cli.cluster.times import ago, brief, duration, grouped, in_bytes
from headway_cli.ui.asking import Asked, Route, View
from headway_cli.ui.pages import looking
from headway_cli.ui.paging import Link, page_of
from headway_cli.ui.spans import attempts, shares

EVERY = 3.0
MOST_METRICS, MOST_NODES, MOST_ARTIFACTS, MOST_WARNINGS, NEWEST_EVENTS = 32, 64, 64, 20, 8
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
"""Nothing else is offered to be copied, as that ends in a terminal."""
_LEVELS = {Level.OK: "good", Level.WARN: "warn", Level.FAIL: "bad", Level.UNSEEN: "warn"}


def head(asked: Asked, job: Object, current: str, said: Finding | None = None) -> dict[str, Any]:
    """What is at the top of each of a job's pages."""
    name, namespace = asked.names["name"], asked.names["namespace"]
    links = [("Overview", "job"), ("Logs", "logs"), ("Events", "events"), ("YAML", "yaml")]
    if isinstance(at(job, "spec", "tuning"), dict):
        links.insert(1, ("Trials", "trials"))
    return {
        "name": name,
        "namespace": namespace,
        "phase": job_lines.phase(job),
        "links": links,
        "current": current,
        "said": said.said if said is not None else "",
        "fix": said.fix if said is not None else "",
        "level": _LEVELS[said.level] if said is not None else "",
    }


def overview(asked: Asked) -> View:
    """A job: one sentence, how far it is, curves, attempts, workers, files, commands."""
    job = looking.job(asked)
    pods = looking.pods(asked, job)
    events = looking.events(asked, job)
    now_in = job_lines.phase(job)
    data = {
        "job": head(asked, job, "job", sentence(job, pods, events or [], asked.now)),
        "progress": progress(job) if now_in not in FINISHED else None,
        "facts": facts(asked, job),
        "metrics": metrics(job),
        "curves": now_in != "Failed" or number(job, "status", "progress", "step") is not None,
        "live": now_in not in FINISHED,
        "attempts": attempts(job, asked.now)[::-1],
        "time": shares(job),
        "nodes": nodes(job, pods) if now_in not in FINISHED else [],
        "artifacts": artifacts(job),
        "model": place(job),
        "digest": text(job, "status", "result", "bundle", "digest"),
        "events": told(job, events)[::-1][:NEWEST_EVENTS],
        "warnings": _warnings(job),
        "commands": commands(asked, job),
    }
    return View("job.html", asked.names["name"], data, every=EVERY if now_in not in FINISHED else None)


def progress(job: Object) -> dict[str, Any] | None:
    """How far it is, where it tells."""
    found = at(job, "status", "progress")
    percent = whole(found, "percent")
    if percent is None:
        return None
    left = whole(found, "etaSeconds") if job_lines.phase(job) == "Running" else None
    return {
        "percent": min(max(percent, 0), 100),
        "left": f"about {duration(left)} left" if left is not None and left >= 0 else "",
    }


def facts(asked: Asked, job: Object) -> list[tuple[str, str]]:
    """The numbers of a job, as cards: what each is, and what it says."""
    status, now_in = at(job, "status"), job_lines.phase(job)
    rate = number(status, "progress", "samplesPerSecond") if now_in == "Running" else None
    workers = whole(status, "workers", "desired") if now_in not in FINISHED else None
    goodput = whole(status, "time", "goodputPercent")
    step = whole(status, "checkpoint", "step")
    spent = sum(numbers(job, "status", "time", "seconds").values())
    when = ago(text(status, "checkpoint", "time"), asked.now)
    found = [
        ("Workers ready", f"{whole(status, 'workers', 'ready') or 0} of {workers}" if workers is not None else ""),
        ("GPUs", str(gpus(job)) if gpus(job) and now_in not in FINISHED else ""),
        ("Speed", f"{grouped(rate)} rows/s" if rate is not None else ""),
        ("Goodput", f"{goodput}% of {duration(spent)}" if goodput is not None and spent else ""),
        ("Checkpoint", f"step {step:,}" + (f", {when}" if when else "") if step is not None else ""),
        ("Attempt", f"{whole(status, 'attempt') or 0}" if whole(status, "attempt") else ""),
        ("Created", ago(text(job, "metadata", "creationTimestamp"), asked.now)),
        ("Ended", ago(text(status, "completionTime"), asked.now)),
    ]
    return [(name, value) for name, value in found if value]


def metrics(job: Object) -> list[tuple[str, str]]:
    """The newest value of each metric, or the final ones."""
    found = texts(job, "status", "result", "metrics") or texts(job, "status", "progress", "metrics")
    return [(name, brief(found[name])) for name in sorted(found)[:MOST_METRICS]]


def nodes(job: Object, pods: Sequence[Object]) -> list[dict[str, Any]]:
    """The nodes of the newest attempt's pods, with who is on each."""
    attempt = str(whole(job, "status", "attempt"))
    found: dict[str, dict[str, Any]] = {}
    for pod in pods:
        labels = texts(pod, "metadata", "labels")
        if labels.get(LABEL_ATTEMPT) != attempt or at(pod, "metadata", "deletionTimestamp"):
            continue
        where = found.setdefault(text(pod, "spec", "nodeName"), {"workers": [], "head": False, "ready": 0, "all": 0})
        where["all"] += 1
        where["ready"] += is_true(pod, "Ready")
        if labels.get(LABEL_ROLE) == ROLE_HEAD:
            where["head"] = True
        elif (index := labels.get(LABEL_WORKER, "")).isdecimal():
            where["workers"].append(int(index))
    rows = [
        {"node": name or "no node yet", **where, "workers": ranges(sorted(set(where["workers"])))}
        for name, where in sorted(found.items())
    ]
    return rows[:MOST_NODES]


def ranges(indices: Sequence[int]) -> str:
    """Numbers in order, as people write them: `0-3, 7`."""
    found: list[list[int]] = []
    for each in indices:
        if found and each == found[-1][1] + 1:
            found[-1][1] = each
        else:
            found.append([each, each])
    return ", ".join(f"{first}-{last}" if last > first else f"{first}" for first, last in found)


def artifacts(job: Object) -> list[dict[str, str]]:
    """The files of the result."""
    return [
        {
            "name": text(each, "name"),
            "uri": text(each, "uri"),
            "size": in_bytes(max(0.0, number(each, "sizeBytes") or 0)),
            "sha256": digest if _SHA256.fullmatch(digest) else "",
        }
        for each in entries(job, "status", "result", "artifacts")[:MOST_ARTIFACTS]
        for digest in [text(each, "sha256").removeprefix("sha256:")]
    ]


def _warnings(job: Object) -> list[str]:
    found = at(job, "status", "warnings")
    return [each for each in found if isinstance(each, str)][:MOST_WARNINGS] if isinstance(found, list) else []


def commands(asked: Asked, job: Object) -> list[tuple[str, str]]:
    """The same on the command line, and what this page cannot do: what for, and the command."""
    name, options = asked.names["name"], asked.kubectl().target.options()
    now_in = job_lines.phase(job)
    found = [("Watch it", f"headway status {name} -w"), ("Follow its log", f"headway logs {name} -f")]
    if now_in in FINISHED:
        found = [("Fetch its files", f"headway report {name} --download {name}")] if artifacts(job) else []
        found.append(("Read its log", f"headway logs {name}"))
        found += [("Why it failed", f"headway doctor {name}")] if now_in == "Failed" else []
    elif now_in == "Suspended" or at(job, "spec", "suspend") is True:
        found.append(("Resume it", f"headway resume {name}"))
    else:
        found.append(("Stop it; it saves a checkpoint", f"headway stop {name}"))
        found += [("Why it does not run", f"headway doctor {name}")] if now_in != "Running" else []
    return [(what, command + options) for what, command in found]


def events(asked: Asked) -> View:
    """What has happened to a job, the newest first."""
    job = looking.job(asked)
    found = looking.events(asked, job)
    only = asked.word("only", ("warnings",))
    chosen = [each for each in told(job, found)[::-1] if each.warning or not only]
    pager = page_of(chosen, asked.whole("page", 1), 100)
    live = job_lines.phase(job) not in FINISHED
    data = {"job": head(asked, job, "events"), "pager": pager, "seen": found is not None, "only": only}
    data["link"] = Link(asked.path, {"only": only})
    return View("events.html", f"Events of {asked.names['name']}", data, every=EVERY if live else None)


def as_yaml(asked: Asked) -> View:
    """The job as the API server has it, without who has written which field."""
    job = looking.job(asked)
    metadata = {name: value for name, value in (at(job, "metadata") or {}).items() if name != "managedFields"}
    try:
        written = yaml.safe_dump({**job, "metadata": metadata}, sort_keys=False, allow_unicode=False)
    except RecursionError as error:
        raise ClusterError("the job's fields lie too deep in one another: see `kubectl get -o yaml`") from error
    return View("yaml.html", f"YAML of {asked.names['name']}", {"job": head(asked, job, "yaml"), "yaml": written})


ROUTES = (
    Route("/jobs/{namespace}/{name}", overview, "job"),
    Route("/jobs/{namespace}/{name}/events", events, "events"),
    Route("/jobs/{namespace}/{name}/yaml", as_yaml, "yaml"),
)
