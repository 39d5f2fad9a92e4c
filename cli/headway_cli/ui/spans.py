"""The attempts of a job, and its time, as bars: where each begins and how long it is. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from headway_cli.cluster.fields import Object, entries, numbers, text, whole
from headway_cli.cluster.times import duration, instant

WIDTH = 1000.0
"""Units of a bar from its left to its right end."""
LEAST = 3.0
"""Units of what took a moment, so that it is seen."""
MOST_ATTEMPTS = 20
MOST_LOSSES = 16
_CLASSES = {
    "productive": 1, "redone": 2, "checkpointing": 3, "starting": 4, "preparing": 5, "queued": 6, "recovering": 7,
    "stopping": 8, "evaluating": 9, "publishing": 10,
}  # fmt: skip


@dataclass(frozen=True)
class Bar:
    """A part of a bar."""

    kind: str
    """The word of its class in CSS."""
    left: float
    width: float
    title: str


@dataclass(frozen=True)
class Row:
    """An attempt."""

    number: int
    bars: Sequence[Bar]
    began: str
    took: str
    ended: str
    """How, in words; "" of one that goes on."""
    bad: bool
    message: str
    logs: bool


@dataclass(frozen=True)
class Share:
    """What a part of the time went into."""

    name: str
    kind: str
    left: float
    width: float
    told: str


def attempts(job: Object, now: datetime) -> list[Row]:
    """The attempts that the status keeps, the oldest first, on one scale."""
    found = entries(job, "status", "attempts")[-MOST_ATTEMPTS:]
    begins = [begin for each in found if (begin := _begin(each)) is not None]
    if not begins:
        return []
    first = min(begins)
    ends = [end for each in found if (end := instant(text(each, "endTime"))) is not None]
    live = bool(found) and not text(found[-1], "endTime")
    # This machine's clock may be behind: nothing that has happened is beyond the scale.
    marks = (instant(text(each, mark)) for each in found for mark in ("startTime", "runningTime"))
    last = max([*([now] if live else []), *ends, *begins, *(mark for mark in marks if mark is not None)])
    scale = WIDTH / max(1.0, (last - first).total_seconds())
    return [_attempt(each, first, last, scale) for each in found]


def _attempt(attempt: Object, first: datetime, last: datetime, scale: float) -> Row:
    begin, end = _begin(attempt) or first, instant(text(attempt, "endTime")) or last
    marks = [("queued", instant(text(attempt, "queuedTime"))), ("starting", instant(text(attempt, "startTime")))]
    marks.append(("running", instant(text(attempt, "runningTime"))))
    known = [(kind, at) for kind, at in marks if at is not None]
    bars = []
    for (kind, since), until in zip(known, [at for _, at in known[1:]] + [end], strict=True):
        seconds = max(0.0, (until - since).total_seconds())
        bars.append(_bar(kind, (since - first).total_seconds() * scale, seconds * scale, f"{kind} {duration(seconds)}"))
    for loss in entries(attempt, "lossEvents")[-MOST_LOSSES:]:
        if (at := instant(text(loss, "time"))) is not None:
            left = (at - first).total_seconds() * scale
            bars.append(_bar("lost", left, 0.0, f"a worker was lost: {text(loss, 'cause')}"))
    cause, ended = text(attempt, "cause"), text(attempt, "endTime")
    return Row(
        number=whole(attempt, "number") or 0,
        bars=bars,
        began=text(attempt, "startTime"),
        took=duration(max(0.0, (end - begin).total_seconds())),
        ended=(cause or "Succeeded") if ended else "",
        bad=bool(ended) and cause not in ("", "Suspended", "Released", "Upgraded"),
        message=_said(attempt),
        logs=bool(text(attempt, "logs")),
    )


def _said(attempt: Object) -> str:
    parts = [text(attempt, "message")] if text(attempt, "message") else []
    if resumed := whole(attempt, "resumedFromStep"):
        again = whole(attempt, "stepsLost")
        parts.append(f"from step {resumed:,}" + (f", {again:,} steps are done again" if again else ""))
    if count := whole(attempt, "losses"):
        parts.append(f"workers were lost {count} time{'s' if count != 1 else ''}")
    return "; ".join(parts)


def _begin(attempt: Object) -> datetime | None:
    return instant(text(attempt, "queuedTime")) or instant(text(attempt, "startTime"))


def _bar(kind: str, left: float, width: float, title: str) -> Bar:
    left = min(max(0.0, left), WIDTH - LEAST)
    return Bar(kind, round(left, 1), round(min(max(width, LEAST), WIDTH - left), 1), title)


def shares(job: Object) -> list[Share]:
    """What the time of a job went into, the largest part first."""
    spent = {name: seconds for name, seconds in numbers(job, "status", "time", "seconds").items() if seconds > 0}
    total = sum(spent.values())
    found, left = [], 0.0
    for name, seconds in sorted(spent.items(), key=lambda each: (_CLASSES.get(each[0], 99), each[0]))[:16]:
        width = seconds / total * WIDTH
        kind = f"time-{_CLASSES.get(name, 0)}"
        found.append(Share(name, kind, round(left, 1), round(width, 1), f"{duration(seconds)} ({seconds / total:.0%})"))
        left += width
    return found
