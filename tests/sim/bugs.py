"""Bugs that are planted into the operator to show that the simulation finds them: each is a change of a few words."""

from __future__ import annotations
import __future__

import contextlib
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType, FunctionType

from headway_api import wire
from headway_operator.engine import apply, lease, queue, store
from headway_operator.training import steps
from headway_operator.training.plan import attempts, ending, job, status


@dataclass(frozen=True)
class Bug:
    """A bug, and the seed of a schedule that it fails in."""

    name: str
    seed: int
    says: str
    """What the simulation says about it."""
    edits: tuple[tuple[object, str, str], ...]
    """Where, what stands there, and what the bug has instead."""


def _bug(name: str, seed: int, says: str, *edits: tuple[object, str, str]) -> Bug:
    return Bug(name, seed, says, edits)


BUGS = (
    _bug(
        "pods go before the status accounts for them",
        0,
        "is deleted before its end is recorded",
        (
            ending.end_attempt,
            "    status.put(entry)\n",
            "    status.put(entry)\n    for pod in situation.observed.pods:\n        decision.delete(pod)\n",
        ),
    ),
    _bug(
        "the next attempt does not wait for the pods of the last",
        2,
        "two attempts live",
        (job._between_attempts, "not clean or ", ""),
    ),
    _bug(
        "a lost worker is charged twice",
        11,
        "2 failures are charged, 1 were met",
        (
            attempts._record_replacements,
            "decision.status.charge(lost.cause for lost in count)",
            "decision.status.charge(lost.cause for lost in [*count, *count])",
        ),
    ),
    _bug(
        "news of a key end its backoff",
        2,
        "before its backoff is over",
        (
            queue.KeyQueue.add,
            "elif key not in self._ready and key not in self._failures:",
            "elif key not in self._ready:",
        ),
    ),
    _bug(
        "a failed key is due at once",
        2,
        "before its backoff is over",
        (queue.KeyQueue.failed, "delay = max(delay, min(after or 0.0, LONGEST_BACKOFF))", "delay = 0.01"),
    ),
    _bug(
        "the status is written whatever has happened since",
        346,
        "is told beside a checkpoint of",
        (apply.Applier.patch_status, ', "resourceVersion": str(owner.version)', ""),
    ),
    _bug(
        "a frozen leader goes on when it thaws",
        48,
        "while operator-1 holds the Lease",
        (lease.Elector.may_write, "self._clocks.steady() < self._trusted_until", "self._trusted_until > 0"),
    ),
    _bug(
        "a job is called suspended while its pods are still there",
        56,
        "suspended, but there are",
        (job._between_attempts, "_suspended(decision, clean)", "_suspended(decision, True)"),
    ),
    _bug(
        "a head that has ended unnoticed is deleted unread",
        389,
        "is deleted before its end is recorded",
        (
            steps._delete_pod,
            "pod.version if pod.role == wire.ROLE_HEAD and not pod.ended else None",
            "None",
        ),
    ),
    _bug(
        "ghosts stay",
        654,
        "never at rest",
        (store.Table.missing, "record.uid not in seen and", "False and"),
    ),
    _bug(
        "an old event replaces newer knowledge",
        168,
        "progress goes back from step",
        (store.Table.is_news, "(known is None or known.version < version)", "True"),
    ),
    _bug(
        "a driver's last word counts only on its pod",
        358,
        "ended with Succeeded, the status says",
        (attempts._end_of, "situation.report.outcome if situation.report is not None else None", "None"),
    ),
    _bug(
        "names hold no uid, and words of any job are believed",
        188,
        "has words of",
        (wire.object_name, "-{uid[:UID_LENGTH]}", ""),
        (status.read_progress, "(word.uid, word.attempt) == (uid, attempt)", "word.attempt == attempt"),
    ),
)


@contextlib.contextmanager
def planted(bug: Bug) -> Iterator[None]:
    """The operator with a bug."""
    before: dict[FunctionType, CodeType] = {}
    try:
        for where in dict.fromkeys(edit[0] for edit in bug.edits):
            assert isinstance(where, FunctionType)
            before[where] = where.__code__
            where.__code__ = _edited(where, [edit[1:] for edit in bug.edits if edit[0] is where])
        yield
    finally:
        for where, code in before.items():
            where.__code__ = code


def _edited(function: FunctionType, edits: list[tuple[str, str]]) -> CodeType:
    source = textwrap.dedent(inspect.getsource(function))
    for old, new in edits:
        if source.count(old) != 1:
            raise LookupError(f"{function.__qualname__} has changed: it does not hold once {old!r}")
        source = source.replace(old, new)
    names: dict[str, object] = {}
    flags = __future__.annotations.compiler_flag
    exec(compile(source, inspect.getfile(function), "exec", flags=flags), function.__globals__, names)  # noqa: S102
    edited = names[function.__name__]
    assert isinstance(edited, FunctionType)
    return edited.__code__
