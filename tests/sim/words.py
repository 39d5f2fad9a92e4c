"""What a driver may say that nobody expects: numbers out of all bounds, other jobs' names, and what is no JSON at all.

A training function runs in the driver's process and may patch whatever the driver may, so this is a tenant's reach.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

Word = dict[str, Any]
"""A ProgressFile, which may hold an Outcome."""
BEYOND = 10**19
"""More than an int64 holds."""
OTHER_UID = "99999999-8888-7777-6666-555555555555"
LONG = "ü" * 5000
DEEP = 5000
ARTIFACT = {"name": "model", "uri": "s3://bucket/model", "sha256": "0" * 64, "sizeBytes": 1}


def _progress(**fields: Any) -> Callable[[Word], object]:
    return lambda word: word.setdefault("progress", {}).update(fields)


def _word(**fields: Any) -> Callable[[Word], object]:
    return lambda word: word.update(fields)


def _trials(**fields: Any) -> Callable[[Word], object]:
    """Whatever it is that the job does: most have no trials."""
    known = {"metric": "validation/f1", "planned": 20, "completed": 3}
    return lambda word: word.setdefault("tuning", dict(known)).update(fields)


def _outcome(**fields: Any) -> Callable[[Word], object]:
    """An odd end; while the driver runs it says nothing odd."""
    return lambda word: word["outcome"].update(fields) if "outcome" in word else None


def _result(*artifacts: dict[str, Any]) -> Callable[[Word], object]:
    return _outcome(result={"metrics": {"a": "1"}, "artifacts": list(artifacts)})


def _foreign(word: Word) -> None:
    word["uid"] = OTHER_UID
    if "outcome" in word:
        word["outcome"]["uid"] = OTHER_UID


def _of_attempt(word: Word) -> None:
    word["attempt"] += 1
    if "outcome" in word:
        word["outcome"]["attempt"] += 1


TWISTS: dict[str, Callable[[Word], object]] = {
    "a step beyond int64": _progress(step=BEYOND),
    "a step of 1e19": _progress(step=1e19),
    "a step below zero": _progress(step=-5, percent=-5, epoch=-1, etaSeconds=-(2**40)),
    "300 per cent": _progress(percent=300),
    "a rate that is no number": _progress(samplesPerSecond=float("nan"), etaSeconds=BEYOND),
    "a thousand metrics": _progress(metrics={f"{'m' * 130}{number}": "1" * 100 for number in range(1000)}),
    "nested metrics": _progress(metrics={"a": {"b": [1, None, {"c": 2}]}}),
    "a stage that nobody knows": _progress(stage="Dancing"),
    "a checkpoint beyond int64": _word(checkpoint={"uri": LONG, "step": 2**63, "time": LONG}),
    "a checkpoint of no step": _word(checkpoint={"uri": "x", "step": None, "time": 7}),
    "a resume below zero": _word(resumedFromStep=-1, stepsLost=2**70),
    "trials beyond int64": _trials(
        metric=LONG,
        planned=BEYOND,
        running=-1,
        completed=BEYOND,
        failed=1e19,
        best={"trial": 2**64, "value": LONG, "parameters": {f"{'p' * 130}{one}": "1" * 100 for one in range(200)}},
        runningTrials=[{"trial": BEYOND, "epoch": -(2**65), "value": "1" * 100} for _ in range(1000)],
    ),
    "trials that are none": _trials(metric=None, planned="many", best=["the first"], runningTrials={"a": 1}),
    "trials of before": _trials(planned=1, completed=0, best=None),
    "a best that changes with each word": lambda word: _trials(
        best={
            "trial": word.get("progress", {}).get("step") or 0,
            "value": "nan",
            "parameters": {"model.name": "\u202e"},
        }
    )(word),
    "another job's uid": _foreign,
    "another attempt": _of_attempt,
    "an attempt in words": _word(attempt="first"),
    "heartbeats of another age": _word(heartbeatTime="9999-99-99T99:99:99Z"),
    "artifacts of one name": _result(ARTIFACT, ARTIFACT),
    "a hundred artifacts": _result(*({**ARTIFACT, "name": f"file-{number}"} for number in range(100))),
    "an artifact beyond int64": _result({**ARTIFACT, "name": LONG, "sizeBytes": 2**64}),
    "an endless message": _outcome(message=LONG),
    "an exit beyond int64": _outcome(resumedFromStep=-(2**65), stepsLost=BEYOND, exitCode=BEYOND),
    "that it was suspended": _outcome(outcome="Failed", cause="Suspended"),
    "that it was released": _outcome(outcome="Failed", cause="Released"),
    "that its time is over": _outcome(outcome="Failed", cause="DeadlineExceeded"),
    "that its spec is invalid": _outcome(outcome="Failed", cause="InvalidSpec"),
    "a cause that nobody knows": _outcome(outcome="Failed", cause="Boredom"),
}
"""By its name, what becomes of the word."""
TEXTS: dict[str, Callable[[str], str]] = {
    "no JSON": lambda text: text[: len(text) // 2],
    "nothing": lambda _: "",
    "null": lambda _: "null",
    "a list": lambda text: f"[{text}]",
    "half a surrogate": lambda text: text.replace('"stage"', '"\\ud800"', 1),
    "brackets without end": lambda _: '{"a":' * DEEP,
    "deep nesting": lambda text: f'{{"deep":{"[" * DEEP}{"]" * DEEP},{text[1:]}',
}
"""By its name, what becomes of the text of a word."""
NAMES = (*TWISTS, *TEXTS)


def twisted(name: str, word: Word) -> Word:
    """The word, as an odd driver says it."""
    word = json.loads(json.dumps(word))
    if name in TWISTS:
        TWISTS[name](word)
    return word


def written(name: str, word: Word) -> str:
    """The text of a word, as an odd driver writes it."""
    return TEXTS.get(name, str)(json.dumps(word))
