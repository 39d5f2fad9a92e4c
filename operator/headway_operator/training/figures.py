"""`headway_job_*`: what the status of each job that runs or waits says in numbers, told anew at each scrape.

Nothing is asked and nothing is kept for it but a few words of each spec. What a driver reports are a tenant's words:
they stand in the status within bounds, they become values of labels and never names, and there are only so many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from pydantic import Field, ValidationError

from headway_api.base import StatusSection
from headway_api.pods import Resources
from headway_api.status import SPENT
from headway_operator.engine.exposition import Entry, Samples, labels_text
from headway_operator.engine.kinds import Owner
from headway_operator.engine.times import to_seconds

TOLD = ("Running", "Starting", "Queued", "Pending")
"""The phases of jobs that are told of; those in front go first where there are too many."""
MOST_METRICS = 16
"""Of the metrics that a driver reports, so many are told, in the order of their names."""
TRIALS = ("running", "waiting", "completed", "stopped", "failed")
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
"""On the pods of jobs that Kueue queues."""
_PRODUCTIVE = SPENT.index("productive")
_JOB = ("job_namespace", "job_name")


def _gauge(name: str, text: str, *labels: str) -> Entry:
    return Entry(name, "gauge", (*_JOB, *labels), text)


ENTRIES = (
    _gauge(
        "headway_job_info",
        "1 for each job that runs or waits; the labels say what it is: phase, model, attempt, the resource that its "
        "GPUs are (empty without), and the Kueue queue of its worker template (empty without)",
        *("phase", "model", "attempt", "gpu_resource", "queue"),
    ),
    _gauge("headway_job_progress_ratio", "Share of the planned optimiser steps that is done, from 0 to 1"),
    _gauge("headway_job_eta_seconds", "Expected seconds to the end of training, while it runs"),
    _gauge("headway_job_epoch", "The epoch, counted from 1"),
    Entry("headway_job_steps_total", "counter", _JOB, "Optimiser steps done, those that were done again included"),
    _gauge("headway_job_rows_per_second", "Rows that training reads a second, over all workers, while it runs"),
    _gauge(
        "headway_job_metric",
        f"The newest value of each metric that training reports, at most {MOST_METRICS} of them in the order of their "
        "names; a tuning job's are those of its trials",
        "metric",
    ),
    _gauge("headway_job_workers", "Worker pods by state: desired, ready", "state"),
    Entry(
        "headway_job_time_seconds_total",
        "counter",
        (*_JOB, "state"),
        "Seconds of the job since it first asked for pods, without those for which it was suspended, by what they went "
        f"into: {', '.join(SPENT)}",
    ),
    _gauge("headway_job_goodput_ratio", "The share of these seconds that is productive, from 0 to 1"),
    _gauge(
        "headway_job_last_progress_timestamp_seconds",
        "When the driver last reported progress, in seconds since the epoch, by its node's clock",
    ),
    _gauge(
        "headway_job_checkpoint_timestamp_seconds",
        "When the newest checkpoint was committed, in seconds since the epoch, by its node's clock",
    ),
    _gauge("headway_job_trials", f"Trials of spec.tuning by state: {', '.join(TRIALS)}", "state"),
    Entry(
        "headway_job_metrics_omitted",
        "gauge",
        (),
        "Jobs that run or wait and have no series of their own, as there are more than HEADWAY_JOB_METRICS_LIMIT",
    ),
)


class _Workers(StatusSection):
    desired: int = 0
    ready: int = 0


class _Checkpoint(StatusSection):
    time: str | None = None


class _Progress(StatusSection):
    percent: float | None = None
    epoch: float | None = None
    eta_seconds: float | None = None
    samples_per_second: float | None = None
    metrics: dict[str, str] = Field(default_factory=dict)
    update_time: str | None = None


class _Time(StatusSection):
    until: str = ""
    doing: str | None = None
    seconds: dict[str, int] = Field(default_factory=dict)
    step: int = 0
    steps_again: int = 0


class _Trials(StatusSection):
    running: int = 0
    waiting: int = 0
    completed: int = 0
    stopped: int = 0
    failed: int = 0


class _Status(StatusSection):
    """What is told of a TrainingJobStatus. That takes twice as long to read as all the rest of a scrape does."""

    attempt: int = 0
    workers: _Workers | None = None
    progress: _Progress | None = None
    checkpoint: _Checkpoint | None = None
    tuning: _Trials | None = None
    time: _Time | None = None


class _Asked(NamedTuple):
    """What is told of a spec, as it was asked for."""

    generation: int
    model: str
    gpu_resource: str
    queue: str


class JobFigures:
    """The jobs of an operator, as a scrape tells of them."""

    entries = ENTRIES

    def __init__(self, jobs: Callable[[], Iterable[Owner]], *, now: Callable[[], float], limit: int) -> None:
        self._jobs = jobs
        self._now = now
        self._limit = limit
        self._asked: dict[str, _Asked] = {}
        """By uid, of the jobs that were told of last: specs are large, and change seldom."""
        self._seconds: dict[str, tuple[int, ...]] = {}
        """By uid: what was told of their time. A counter that falls by a second is taken for one that began anew."""

    def begin(self, samples: Samples) -> list[Owner]:
        """The jobs to tell of: those that run before those that wait, the oldest first, so that they stay the same."""
        order = {phase: place for place, phase in enumerate(TOLD)}
        jobs = [job for job in self._jobs() if job.phase in order and not job.deleting]
        if len(jobs) > self._limit:
            jobs.sort(key=lambda job: (order[job.phase], job.created, job.key))
        samples.add("headway_job_metrics_omitted", "", max(0, len(jobs) - self._limit))
        told = jobs[: self._limit]
        uids = {job.uid for job in told}
        self._asked = {uid: asked for uid, asked in self._asked.items() if uid in uids}
        self._seconds = {uid: seconds for uid, seconds in self._seconds.items() if uid in uids}
        return told

    def tell(self, each: Owner, samples: Samples) -> None:
        """What there is to say of a job. One whose status this version cannot read is passed over."""
        try:
            status = _Status.model_validate_json(each.status.text())
        except ValidationError:
            return
        job = labels_text({"job_namespace": each.key.namespace, "job_name": each.key.name})
        asked = self._asked_by(each)
        info = {
            "phase": each.phase,
            "model": asked.model,
            "attempt": status.attempt,
            "gpu_resource": asked.gpu_resource,
            "queue": asked.queue,
        }
        samples.add("headway_job_info", f"{job},{labels_text(info)}", 1)
        if status.workers is not None:
            samples.add("headway_job_workers", f'{job},state="desired"', status.workers.desired)
            samples.add("headway_job_workers", f'{job},state="ready"', status.workers.ready)
        if status.checkpoint is not None:
            samples.add("headway_job_checkpoint_timestamp_seconds", job, to_seconds(status.checkpoint.time))
        if status.time is not None:
            self._tell_time(samples, job, each.uid, status.time)
        if status.progress is not None:
            _tell_progress(samples, job, status.progress, runs=each.phase == "Running")
        if status.tuning is not None:
            _tell_trials(samples, job, status.tuning)

    def _tell_time(self, samples: Samples, job: str, uid: str, time: _Time) -> None:
        """The seconds that the status counts, and of what goes on those since then; training waits for its step."""
        since = max(0, int(self._now() - (to_seconds(time.until) or self._now())))
        grown = {time.doing: since} if time.doing in SPENT else {}
        told = self._seconds.get(uid, (0,) * len(SPENT))
        counts = [time.seconds.get(state, 0) + grown.get(state, 0) for state in SPENT]
        seconds = self._seconds[uid] = tuple(map(max, counts, told))
        for state, count in zip(SPENT, seconds, strict=True):
            samples.add("headway_job_time_seconds_total", f'{job},state="{state}"', count)
        if total := sum(seconds):
            samples.add("headway_job_goodput_ratio", job, seconds[_PRODUCTIVE] / total)
        samples.add("headway_job_steps_total", job, time.step + time.steps_again)

    def _asked_by(self, job: Owner) -> _Asked:
        known = self._asked.get(job.uid)
        if known is None or known.generation != job.generation:
            known = self._asked[job.uid] = _asked(job)
        return known


def _asked(job: Owner) -> _Asked:
    """What a spec asks for, as the API server keeps it: it may be one that this version would refuse."""
    spec = job.spec.value()
    # None of these is there in a spec that names a training function.
    names = (_at(spec, "model", "name"), _at(spec, "model", "entrypoint"), _at(spec, "training", "entrypoint"))
    model = next((name for name in names if isinstance(name, str)), "")
    gpus = _at(spec, "workers", "resources", "gpu")
    resource = _at(spec, "workers", "resources", "gpuResource") or Resources.model_fields["gpu_resource"].default
    queue = _at(spec, "workers", "template", "metadata", "labels", QUEUE_LABEL)
    return _Asked(job.generation, model, str(resource) if gpus else "", str(queue) if queue else "")


def _at(value: Any, *path: str) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _tell_progress(samples: Samples, job: str, progress: _Progress, *, runs: bool) -> None:
    if progress.percent is not None:
        samples.add("headway_job_progress_ratio", job, progress.percent / 100)
    samples.add("headway_job_epoch", job, progress.epoch)
    samples.add("headway_job_last_progress_timestamp_seconds", job, to_seconds(progress.update_time))
    if runs:
        # What waits is not any faster for what it did before.
        samples.add("headway_job_eta_seconds", job, progress.eta_seconds)
        samples.add("headway_job_rows_per_second", job, progress.samples_per_second)
    for name in sorted(progress.metrics)[:MOST_METRICS]:
        samples.add("headway_job_metric", f"{job},{labels_text({'metric': name})}", _number(progress.metrics[name]))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _tell_trials(samples: Samples, job: str, tuning: _Trials) -> None:
    for state in TRIALS:
        samples.add("headway_job_trials", f'{job},state="{state}"', getattr(tuning, state))
