"""What must hold from one status of a job to the next, and in each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from headway_api.status import FINISHED

FREE = ("Suspended", "Released", "Upgraded", "DeadlineExceeded", "InvalidSpec")
"""Causes that no budget pays for."""
OF_NODES = {"NodeLost", "Preempted"}
"""Of a node that goes, some pods leave a word and some none."""
STRUCK = ("nodeLost", "preempted", "outOfMemory", "outOfDisk")
"""Failures that come from outside: each of them needs something that has happened to a pod or its node."""
Status = dict[str, Any]
Resume = tuple[int, int | None, int | None]
"""An attempt, the step that it resumed from, and the steps that were lost."""


@dataclass
class Tale:
    """What is remembered of one job, to judge what comes."""

    spec: dict[str, Any] = field(default_factory=dict)
    status: Status = field(default_factory=dict)
    step: tuple[int, Resume] | None = None
    """The last progress that was recorded: step, and the resume that it came after."""
    most_asked: int = 1
    """The largest number of workers that the spec has asked for."""
    replaced: dict[int, int] = field(default_factory=dict)
    """By attempt: the workers that were replaced."""
    changes: int = 0
    calls: int = 0
    refusals: int = 0
    attempts: int = 0
    pods: int = 0
    lacked_room: bool = False
    """A pod of it has found no node at some time."""
    odd: bool = False
    """A driver of it says what nobody expects."""
    suspended: bool = False
    """Its user has suspended it at some time."""
    timed: bool = False
    """Its spec has had an activeDeadlineSeconds at some time."""
    blows: int = 0
    """As how many failures of its pods and their nodes that may count which has happened to it."""


def wrong(tale: Tale, before: Status, after: Status) -> Iterator[str]:
    """What is wrong with a status, `before` being the one that it replaces."""
    yield from _history(tale, before, after)
    yield from _told_of_trials(tale, before, after)
    yield from _judged(before, after)
    yield from _adds_up(before, after)
    yield from _told_apart(after)
    yield from _charges(tale, after)
    yield from _causes(tale, after)
    if not tale.odd:
        yield from _steps(tale, after)


def _judged(before: Status, after: Status) -> Iterator[str]:
    """What has begun is judged no more, whatever the rules are by now."""
    running = {entry["number"] for entry in before.get("attempts", []) if not entry.get("cause")}
    for entry in after.get("attempts", []):
        if entry["number"] in running and entry.get("cause") == "InvalidSpec":
            yield f"attempt {entry['number']} ended for its spec, which was valid when it began"


def _adds_up(before: Status, after: Status) -> Iterator[str]:
    """Each second since the job first asked for pods goes into one state, but those for which it rested; once."""
    was, time = before.get("time"), after.get("time")
    if time is None:
        if was is not None or after.get("startTime"):
            yield f"nothing is counted of a job that has begun: {was}, {after.get('startTime')}"
        return
    was = was or {"since": time["since"], "until": time["since"], "doing": time.get("doing")}
    counts = was.get("seconds", {})
    for state, count in counts.items():
        if time["seconds"].get(state, 0) < count:
            yield f"the seconds of {state} go back from {count} to {time['seconds'].get(state, 0)}"
    since, until = (datetime.fromisoformat(one["until"]) for one in (was, time))
    passed = int((until - since).total_seconds()) if was.get("doing") else 0
    grown = sum(time["seconds"].values()) - sum(counts.values())
    if grown != passed or until < since:
        yield f"{passed} s have passed, and {grown} s are counted: {was}, then {time}"


def _told_apart(status: Status) -> Iterator[str]:
    """No job is accepted and invalid, and none has ended and waits."""
    holds = {item["type"]: item["reason"] for item in status.get("conditions", []) if item["status"] == "True"}
    if "Accepted" in holds and holds.get("Failed") == "InvalidSpec":
        yield "the job is accepted, and failed as InvalidSpec"
    if {"Complete", "Failed"} & set(holds) and status.get("phase") not in FINISHED:
        yield f"the job has ended ({holds}), and its phase is {status.get('phase')}"


def _history(tale: Tale, before: Status, after: Status) -> Iterator[str]:
    """What was recorded stays recorded; a job that has ended goes on only with more trials, once it has succeeded."""
    for counter in ("attempt", "activeSeconds", "observedGeneration"):
        if after.get(counter, 0) < before.get(counter, 0):
            yield f"status.{counter} goes back from {before.get(counter)} to {after.get(counter)}"
    for kind, count in (before.get("failures") or {}).items():
        if (after.get("failures") or {}).get(kind, 0) < count:
            yield f"status.failures.{kind} goes back"
    now = {entry["number"]: entry for entry in after.get("attempts", [])}
    for entry in before.get("attempts", []):
        known = now.get(entry["number"])
        if known is not None and entry.get("endTime") and known != entry:
            yield f"the record of an ended attempt is changed: {entry} to {known}"
    if list(now) != sorted(now):
        yield f"attempts out of order: {list(now)}"
    was, phase = before.get("phase"), after.get("phase")
    last = (before.get("attempts") or [{}])[-1]
    raised = 0 < last.get("trials", 0) < (tale.spec.get("tuning") or {}).get("trials", 0)
    asked_anew = before.get("attempt", 0) == 0 and before.get("observedGeneration") != after.get("observedGeneration")
    if was in FINISHED and phase != was and not asked_anew and not (was == "Succeeded" and raised):
        yield f"a job that has {was} is {phase} again"


def _told_of_trials(tale: Tale, before: Status, after: Status) -> Iterator[str]:
    """A trial that has ended once has ended, and a result stays until there is another one."""
    for state in ("completed", "stopped", "failed") if after.get("tuning") else ():
        ended = [(status.get("tuning") or {}).get(state, 0) for status in (before, after)]
        if ended[0] > ended[1]:
            yield f"status.tuning.{state} goes back from {ended[0]} to {ended[1]}"
    if before.get("result") and not after.get("result") and not tale.odd:
        yield f"the result is gone: {before['result']}"


def _charges(tale: Tale, status: Status) -> Iterator[str]:
    """Each failure is charged once."""
    entries = status.get("attempts", [])
    if status.get("attempt", 0) > len(entries) + sum(entry.get("releases", 0) for entry in entries):
        return
    met = [entry["cause"] for entry in entries if entry.get("endTime") and entry.get("cause")]
    # An attempt that was released leaves the list; the workers that it lost are charged all the same.
    tale.replaced |= {entry["number"]: entry.get("losses", 0) for entry in entries}
    expected = sum(cause not in FREE for cause in met) + sum(tale.replaced.values())
    # An attempt that ends for what its workers were lost for a moment ago is of the same event.
    over = [entry for entry in entries if entry.get("endTime")]
    shared = sum(
        any(
            entry.get("cause") == event["cause"] or {entry.get("cause"), event["cause"]} == OF_NODES for event in events
        )
        for entry in over
        if (events := entry.get("lossEvents"))
    )
    failures = status.get("failures") or {}
    struck = sum(failures.get(kind, 0) for kind in STRUCK)
    if struck > tale.blows:
        yield f"{struck} failures of pods and nodes are charged for {tale.blows} that have happened: {status}"
    charged = sum(failures.values())
    if not expected - shared <= charged <= expected:
        yield f"{charged} failures are charged, {expected} were met: {status}"


def _causes(tale: Tale, status: Status) -> Iterator[str]:
    """What costs nothing is the operator's to say: no driver lives for ever by naming such a cause."""
    for entry in status.get("attempts", []):
        cause = entry.get("cause") if entry.get("endTime") else None
        if (cause == "Suspended" and not tale.suspended) or (cause == "DeadlineExceeded" and not tale.timed):
            yield f"attempt {entry['number']} ended as {cause}, which nobody asked for"
        if cause == "Released" and not (tale.lacked_room or tale.refusals):
            yield f"attempt {entry['number']} is released, and lacked no room"


def _steps(tale: Tale, status: Status) -> Iterator[str]:
    """Progress goes back only by a resume that is recorded; a checkpoint never."""
    checkpoint = (status.get("checkpoint") or {}).get("step")
    entries = status.get("attempts", [])
    newest = entries[-1] if entries else {}
    step = (status.get("progress") or {}).get("step")
    resume = (newest.get("number", 0), newest.get("resumedFromStep"), newest.get("stepsLost"))
    if step is None:
        return
    if checkpoint is not None and step < checkpoint:
        yield f"step {step} is told beside a checkpoint of step {checkpoint}"
    if tale.step is not None and step < tale.step[0] and not _resumed(tale.step, resume):
        yield f"progress goes back from step {tale.step[0]} to {step}, and no resume is recorded: {newest}"
    tale.step = (step, resume)


def _resumed(before: tuple[int, Resume], now: Resume) -> bool:
    """Whether a resume is recorded that accounts for a step back. Two in a row may look the same."""
    _, resumed_from, lost = now
    if now == before[1]:
        return lost is not None and lost >= before[0] - (resumed_from or 0) > 0
    return resumed_from is not None or lost is not None


def told(status: Status) -> str:
    """A status in a line."""
    newest = (status.get("attempts") or [{}])[-1]
    conditions = ", ".join(
        f"{item['type']}{'' if item['status'] == 'True' else '=' + item['status']} {item['reason']}"
        for item in status.get("conditions", [])
        if item["type"] in ("Running", "Suspended", "Complete", "Failed", "Reconciled")
    )
    step = (status.get("progress") or {}).get("step")
    end = newest.get("cause", "Succeeded" if newest.get("endTime") else "")
    over = " ended" if newest.get("endTime") else ""
    return f"{status.get('phase')} attempt {status.get('attempt')}{over} {end} step {step} ({conditions})"
