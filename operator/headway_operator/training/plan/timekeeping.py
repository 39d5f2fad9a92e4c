"""Where a job's time goes: seconds by what it was doing, so that they add up to the time since it first asked for pods.

All that is needed stands in the status, so that a restart of the operator loses nothing. It is brought up to date
whenever the status is written for another reason, and is itself no reason. From one write to the next a job did what
the status said at the first: each change of that is written at once. Training alone is judged afterwards: with the
next step that is reported its time was productive, or went into steps that had been done before; where none comes it
was lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headway_api.status import FINISHED, Attempt, Doing, Spent, TimeStatus, TrainingJobStatus
from headway_operator.engine.times import to_seconds, to_text
from headway_operator.policies.retry import POLICIES

_STAGES: Mapping[str, Doing] = {
    "Preparing": "preparing",
    "Training": "training",
    "Evaluating": "evaluating",
    "Publishing": "publishing",
}


def timed(before: TrainingJobStatus, after: TrainingJobStatus, heard: int | None, now: float) -> TimeStatus | None:
    """The time of a status that is about to be written; None for a job that has not asked for pods.

    before: the status as it is. heard: the attempt whose driver's report `after` holds, if it holds one.
    """
    at = int(now)
    if after.start_time is None:
        return before.time
    kept = before.time
    if kept is None:
        # Of a job that a version before this one has begun, nobody has counted.
        first = to_seconds(after.start_time) if before.start_time is None else None
        since = to_text(at if first is None else min(at, int(first)))
        kept = TimeStatus(since=since, until=since, doing=_doing(after, None))
    if heard is not None and kept.attempt != heard:
        kept = kept.model_copy(update={"attempt": heard, "saving": 0})
    doing = _doing(after, kept.attempt)
    counted = _Count(kept, max(0, at - int(to_seconds(kept.until) or at)))
    if kept.doing == "training":
        waits = _judge_training(counted, before, after, doing, heard)
    else:
        waits = False
        counted.rest(kept.doing)
    return _entered(counted, after, doing, heard, until=kept.until if waits else to_text(max(at, _until(kept))))


class _Count:
    """Seconds that are given out to states."""

    def __init__(self, kept: TimeStatus, seconds: int) -> None:
        self.kept = kept
        self.seconds = dict(kept.seconds)
        self.left = seconds

    def give(self, state: str, seconds: int) -> None:
        """Some of them, as far as there are any left."""
        given = max(0, min(seconds, self.left))
        if given:
            self.seconds[state] = self.seconds.get(state, 0) + given
            self.left -= given

    def rest(self, state: Doing | Spent | None) -> None:
        """All that are left; those of a job that rests count for nothing."""
        if state is not None and state != "training":
            self.give(state, self.left)


def _judge_training(
    count: _Count, before: TrainingJobStatus, after: TrainingJobStatus, doing: Doing | None, heard: int | None
) -> bool:
    """What came of the seconds of training since the last step; whether that is to be seen yet."""
    kept = count.kept
    said = after.progress if heard is not None else None
    step = said.step if said is not None else None
    if step is not None and step < kept.step:
        count.rest("recovering")
    elif step is not None and step > kept.step:
        _give_steps(count, step, _saving(kept, after, heard))
    elif step is None and said is not None and said != before.progress:
        # A training function that counts no steps: what it reports is all that is known.
        _give_steps(count, kept.step, _saving(kept, after, heard))
    elif doing == "training":
        return True
    elif doing == "recovering" or _failing(after):
        count.rest("recovering")
    elif doing == "stopping":
        count.rest("stopping")
    else:
        ended = to_seconds(after.attempts[-1].end_time) if after.attempts else None
        if ended is not None:
            # It may have ended a while ago, with no operator to see it.
            count.give("productive", max(0, int(ended) - _until(kept)))
            count.rest("stopping")
        count.rest("productive")
    return False


def _give_steps(count: _Count, step: int, saving: int) -> None:
    """Steps were done since the last ones: some of them, maybe, for a second time; and checkpoints were taken."""
    kept = count.kept
    count.give("checkpointing", saving)
    again = max(0, min(step, kept.furthest_step) - kept.step)
    done = step - kept.step
    count.give("redone", count.left * again // done if done > 0 else 0)
    count.rest("productive")


def _saving(kept: TimeStatus, after: TrainingJobStatus, heard: int | None) -> int:
    """Seconds of checkpoints since the last count. A group of workers counts its own, from zero."""
    said = after.progress.checkpoint_seconds if after.progress is not None and heard is not None else None
    if said is None:
        return 0
    return said - kept.saving if said >= kept.saving else said


def _entered(
    count: _Count, after: TrainingJobStatus, doing: Doing | None, heard: int | None, *, until: str
) -> TimeStatus:
    kept, said = count.kept, after.progress if heard is not None else None
    step = kept.step if said is None or said.step is None else said.step
    saving = kept.saving if said is None or said.checkpoint_seconds is None else said.checkpoint_seconds
    total = sum(count.seconds.values())
    return TimeStatus(
        since=kept.since,
        until=until,
        doing=doing,
        seconds=count.seconds,
        goodput_percent=100 * count.seconds.get("productive", 0) // total if total else None,
        attempt=kept.attempt,
        step=step,
        furthest_step=max(kept.furthest_step, step),
        steps_again=kept.steps_again + max(0, kept.step - step),
        saving=saving,
    )


def _until(kept: TimeStatus) -> int:
    return int(to_seconds(kept.until) or 0)


def _doing(status: TrainingJobStatus, heard: int | None) -> Doing | None:
    """What a job with this status does; None while it rests. heard: the newest attempt whose driver has reported."""
    if status.phase in (*FINISHED, "Suspended"):
        return None
    last = status.attempts[-1] if status.attempts else None
    if last is None:
        return "starting"
    return _between(status, last) if last.end_time is not None else _within(status, last, heard)


def _between(status: TrainingJobStatus, last: Attempt) -> Doing:
    """What a job does between two attempts."""
    if last.cause == "Suspended":
        return "stopping" if status.phase == "Running" else "starting"
    if last.cause == "Released" or status.phase == "Queued":
        return "queued"
    return "recovering" if last.cause in POLICIES else "starting"


def _within(status: TrainingJobStatus, attempt: Attempt, heard: int | None) -> Doing:
    if attempt.cause is not None:
        return "recovering" if attempt.cause in POLICIES else "stopping"
    if attempt.scheduled_time is None:
        return "queued"
    again = _follows_a_failure(status.attempts)
    if attempt.running_time is None:
        return "recovering" if again else "starting"
    workers = status.workers
    if workers is not None and workers.ready < workers.desired:
        return "recovering"
    stage = status.progress.stage if heard == attempt.number and status.progress is not None else "Preparing"
    return "recovering" if again and stage == "Preparing" else _STAGES[stage]


def _follows_a_failure(attempts: Sequence[Attempt]) -> bool:
    """Whether the newest attempt makes up for one that failed, with nothing between them but looking for room."""
    earlier = (attempt.cause for attempt in reversed(attempts[:-1]) if attempt.cause != "Released")
    return next(earlier, None) in POLICIES


def _failing(status: TrainingJobStatus) -> bool:
    """Whether the newest attempt has ended, or is ended, by a failure."""
    return bool(status.attempts) and status.attempts[-1].cause in POLICIES
