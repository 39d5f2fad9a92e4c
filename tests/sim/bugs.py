"""Bugs that are planted into the operator to show that the simulation finds them: each is a change of a few words."""

from __future__ import annotations
import __future__

import contextlib
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType, FunctionType

from headway_api import base, wire
from headway_api import status as api_status
from headway_operator.engine import (
    apply,
    clock,
    comparison,
    facts,
    freshness,
    keys,
    lease,
    queue,
    reconcile,
    store,
    table,
)
from headway_operator.training import kind, measures, records, steps
from headway_operator.training.plan import (
    attempts,
    decision,
    ending,
    ends,
    job,
    losses,
    model,
    raised,
    situation,
    spec,
    status,
)


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
        "a suspended job is said to hold no pods before that was asked",
        3006664,
        "suspended, but there are",
        (job._suspended, "if not decision.observed.live", "if False"),
    ),
    _bug(
        "what was made without an answer is made again under another name",
        3009244,
        "were asked for",
        (reconcile.Reconciler.reconcile, "or memory.unsure", "or False"),
    ),
    _bug(
        "what an attempt leaves whose ConfigMap somebody deleted unseen is not looked for",
        3008151,
        "is left behind",
        (ending.end_attempt, "if situation.config is None", "if False"),
    ),
    _bug(
        "a lost worker is charged twice",
        33,
        "2 failures are charged, 1 were met",
        (
            attempts._record_replacements,
            "decision.status.charge(lost.cause for lost in count)",
            "decision.status.charge(lost.cause for lost in [*count, *count])",
        ),
    ),
    _bug(
        "the times that deadlines count from are entered after the deadlines were asked for",
        0,
        "by the status that was just written, and is reconciled",
        (
            attempts._keep_going,
            "situation = timed(decision, replace(situation, lost=lost))",
            "situation = replace(situation, lost=lost)",
        ),
        (
            attempts._keep_going,
            "describe(decision, situation, creating=bool(first))",
            "describe(decision, timed(decision, situation), creating=bool(first))",
        ),
    ),
    _bug(
        "news of a key end its backoff",
        11,
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
        "go back from",
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
        31,
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
        (table.Table.missing, "record.uid not in seen and", "False and"),
    ),
    _bug(
        "an old event replaces newer knowledge",
        79,
        "progress goes back from step",
        (table.Table.is_news, "(known is None or known.version < version)", "True"),
    ),
    _bug(
        "a driver's last word counts only on its pod",
        358,
        "ended with Succeeded, the status says",
        (attempts._end_of, "situation.report.outcome if situation.report is not None else None", "None"),
    ),
    _bug(
        "names hold no uid, and words of any job are believed",
        14,
        "has words of",
        (wire.object_name, "-{uid[:UID_LENGTH]}", ""),
        (status.read_progress, "(word.uid, word.attempt) == (uid, attempt)", "word.attempt == attempt"),
    ),
    _bug(
        "what anybody may write ends the process",
        22,
        "nobody caught",
        (keys.number, "_NUMBER.fullmatch(text)", "text.isdigit()"),
        (store.Store.see, "except Exception as error:", "except KeyError as error:"),
    ),
    _bug(
        "a status that the API server refuses is written again and again",
        15,
        "never at rest",
        (base.Between._moved, "isinstance(value, int | float)", "isinstance(value, str)"),
        (apply.Applier._write_status, "except InvalidError:", "except NotImplementedError:"),
    ),
    _bug(
        "each worker that one fault takes is a failure",
        2,
        "failures of pods and nodes are charged for",
        (losses.counted, "if _open(event, now)", "if False"),
    ),
    _bug(
        "a copy is taken for the object that it is a copy of",
        17,
        "which is not the operator's",
        (
            records.place_of,
            "_PLACE.fullmatch(name[len(prefix) :]) if name.startswith(prefix) else None",
            "_PLACE.match(name.partition(prefix)[2])",
        ),
    ),
    _bug(
        "an object that has a name which is needed is taken, whosever it is",
        407,
        "which is not the operator's",
        (apply._is_own, "controller is not None and controller.uid == owner.uid", "True"),
    ),
    _bug(
        "a decision rests on a job as it was before others were read",
        52,
        "and knows that it is suspended",
        (
            reconcile.Reconciler._decide,
            "owner = self._store.owner(key)",
            "owner = owner if _ else self._store.owner(key)",
        ),
        (apply.Applier._still_asked_for, "or known.generation != owner.generation", ""),
    ),
    _bug(
        "the time is that of the operator's own clock",
        120,
        "never at rest",
        (clock.ServerClock.learn, "self._offset = min(max(self._offset, least), most)", "pass"),
    ),
    _bug(
        "how long a worker has ended is told by its node's clock",
        1,
        "nobody takes its place",
        (ends.ended_at, "seen = pod.ended_seen_at", "seen = None"),
    ),
    _bug(
        "each word of a driver is acted upon",
        247,
        "times a minute",
        (reconcile.Reconciler.due, "not news.can_wait or", "True or"),
    ),
    _bug(
        "a namespace that cannot be read keeps the operator from all others",
        406,
        "never at rest",
        (comparison.Comparison.seed, "scope is None or not await self._served()", "True"),
    ),
    _bug(
        "a spec is judged anew by each version",
        6,
        "has something to do by the status that was just written",
        (spec.resolve, "_understood if begun else _judged", "_judged"),
    ),
    _bug(
        "what one version calls invalid the next one runs",
        15,
        "a job that has Failed is",
        (job._corrected, "job.status.observed_generation != job.generation", "job.spec is not None"),
    ),
    _bug(
        "a condition that a newer version has written keeps an older one from reading the rest",
        266,
        "nobody takes its place",
        (api_status._known, 'item.get("type", types[0]) in types', "True"),
    ),
    _bug(
        "a pod that lost a label is taken for deleted",
        400,
        "were asked for",
        (store.Store._see_child, "if known is not None and not (", "if False and ("),
    ),
    _bug(
        "workers that run unseen are not looked for",
        0,
        "were asked for",
        (steps._unseen_workers, "running is None or job.status.workers is None", "True"),
        (steps._workers_missing, "len(places) < job.status.workers.desired", "False"),
    ),
    _bug(
        "trials that are raised while an attempt runs are forgotten",
        2,
        "and its spec asks for",
        (raised.follows, "more(job, attempt) is not None", "False"),
        (raised.goes_on, "more(job, last) is not None", "False"),
    ),
    _bug(
        "what is found in the place of what was to be made is taken for what was to be made",
        3033032,
        "and its spec asks for",
        (apply.Applier._ensure, "if found and news:", "if False:"),
        (apply.Applier._ensure, "step.unused and ", "False and "),
    ),
    _bug(
        "a Secret that was made for another spec is taken for what was to be made",
        3159884,
        "and its spec asks for",
        (apply.Applier._ensure, "step.unused and ", "False and "),
    ),
    _bug(
        "a place whose second pod was refused is filled under the name of its first",
        3167651,
        "by the status that was just written, and is reconciled",
        (situation.Situation._first_refused, "not self.refusals or ", "True or "),
    ),
    _bug(
        "words of no step are heard sooner than others for ever",
        3037403,
        "times a minute for",
        (measures.JobMeasures.awaits, "course.in_vain < MOST_AWAITED", "True"),
    ),
    _bug(
        "what loses its label while another is looked for is taken for deleted",
        3076169,
        "were asked for",
        (facts.FactReader.settle, "if not refs:", "if _ or not refs:"),
    ),
    _bug(
        "the time to live of a job that ends between two attempts is forgotten",
        3042764,
        "by the status that was just written, and is reconciled never",
        (job._between_attempts, "decision.again()  # its time to live counts once the status says so", "pass"),
    ),
    _bug(
        "a job of which but pods are left is judged as if it had not begun",
        3044718,
        "has something to do by the status that was just written",
        (kind.TrainingJobs._job, "any(view.children.values())", "bool(view.children[kube.CONFIG_MAPS])"),
    ),
    _bug(
        "how many workers a driver waits for is told by a ConfigMap alone",
        3078209,
        "never at rest",
        (model.Observed.told, "if pod.attempt == attempt]", "if False]"),
    ),
    _bug(
        "pods that go are relied upon to tell of what has no ConfigMap any more",
        3074274,
        "is left behind",
        (ending.end_attempt, "if situation.config is None:", "if situation.config is None and not decision.held():"),
    ),
    _bug(
        "what the selector of a watch does not find is waited for",
        30267,
        "takes one for deaf",
        (freshness.Freshness.written, '_selects(selector, meta.get("labels") or {})', "True"),
    ),
    _bug(
        "what a watch owes is settled only by what comes after it",
        0,
        "takes one for deaf",
        (freshness.Freshness.shown, "newest >= owed[0]", "newest > owed[0]"),
    ),
    _bug(
        "workers are looked for as long as the head that they follow is being deleted",
        3053796,
        "are its bound",
        (attempts._keep_going, " and (situation.pods.head is None or situation.pods.head.deleting is None)", ""),
    ),
    _bug(
        "a head that went while its attempt was being created is made anew",
        3147506,
        "is told beside a checkpoint of",
        (attempts._end_of, "(not situation.incomplete or situation.pods.had_head)", "not situation.incomplete"),
    ),
    _bug(
        "what an ended attempt has left without labels is not looked for before the next one",
        20275,
        "two attempts live",
        (job._between_attempts, '{"left"} if last is not None else set()', "set()"),
    ),
    _bug(
        "a pod that is given up is asked for at each turn while others are waited for",
        3142288,
        "are its bound",
        (decision.Decision.held, "there and not held", "len(there) > len(held)"),
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
