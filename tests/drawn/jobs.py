"""The jobs of the pictures: one had lost a worker and went on, one stands still, one lacks a worker, one wastes its
time, one tunes, one waits.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial

from drawn.history import HOURS, LONG, SINCE, STEP, TIMES, History, Value, about, after, once_in, steady, wave

LEADER = {"instance": "10.0.1.7:8080", "job": "headway-metrics", "namespace": "headway-system", "pod": "headway-0"}
"""What scraping adds to what the operator tells."""
LOST = (3.5, 3.62)
"""Hours in which resnet had lost a worker."""
MISSING_SINCE = HOURS - 0.1
"""From when on bert lacks a worker."""
GPU = "nvidia.com/gpu"
DAY = 86400
METRICS = {"train/loss": (2.3, 0.21), "validation/loss": (2.4, 0.34), "validation/accuracy": (0.2, 0.93)}
"""Where each begins, and where it ends."""


@dataclass(frozen=True)
class Job:
    """A job of these hours."""

    namespace: str
    name: str
    model: str = "mlp"
    phase: str = "Running"
    attempt: int = 1
    workers: int = 2
    gpus: int = 0
    """Of each worker."""
    begun: float = 0.0
    days: float = 1.0
    """From its beginning to its end."""
    done: float = 0.0
    """Of its steps, when the six hours begin."""
    speed: float = 1000.0
    use: float = 0.85
    good: float = 0.9
    missing: int = 0
    still: float = math.inf
    """From when on it stands still."""
    tunes: bool = False

    @property
    def named(self) -> dict[str, str]:
        """The labels that it is known by."""
        return {"job_namespace": self.namespace, "job_name": self.name}

    @property
    def runs(self) -> bool:
        """Whether it has pods."""
        return self.phase == "Running"

    def trains(self, hour: float) -> bool:
        """Whether it makes steps."""
        return self.runs and self.begun <= hour < self.still and not self.recovers(hour)

    def recovers(self, hour: float) -> bool:
        """Whether it has lost a worker, and waits for another."""
        return self.name == "resnet" and LOST[0] <= hour < LOST[1]

    def ready(self, hour: float) -> float:
        """Its workers that are ready."""
        short = int(self.recovers(hour)) + (self.missing if hour > MISSING_SINCE else 0)
        return self.workers - short if self.runs else 0

    @cached_property
    def _trained(self) -> dict[int, float]:
        total, found = 0.0, {}
        for time in TIMES:
            total += STEP if self.trains((time - SINCE) / 3600) else 0.0
            found[time] = total
        return found

    def progress(self, hour: float) -> float:
        """The share of its steps that is done."""
        return self.done + self._trained[SINCE + round(hour * 3600 / STEP) * STEP] / (self.days * DAY)

    def rows(self, hour: float) -> float | None:
        """Rows per second."""
        lag = 0.86 if self.ready(hour) < self.workers else 1
        return self.speed * lag * wave(self.name, hour, 0.06) if self.trains(hour) else None

    def last(self, hour: float) -> float:
        """When it last told of progress, in seconds since the epoch."""
        then = min(hour, self.still, LOST[0] if self.recovers(hour) else hour)
        return SINCE + then * 3600 - 3 - zlib.crc32(self.name.encode()) % 9

    def pods(self) -> list[str]:
        """The names of its workers' pods."""
        middle = f"{zlib.crc32(self.name.encode()) % 0x100000:05x}"
        return [f"{self.name}-{middle}-{self.attempt}-worker-{at}-0" for at in range(self.workers)]


JOBS = (
    Job("vision", "resnet", "resnet50", workers=4, gpus=2, days=0.8, done=0.31, speed=5200, attempt=2),
    Job("vision", "segment", "unet", workers=2, gpus=1, days=2, done=0.64, speed=840, use=0.28, good=0.83),
    Job("language", "bert", "bert", workers=8, gpus=1, days=3, done=0.12, speed=2400, missing=1, use=0.91),
    Job("language", "tabular", workers=2, gpus=1, attempt=5, days=1.5, done=0.05, speed=310, good=0.36, use=0.4),
    Job("risk", "churn", workers=4, gpus=1, days=0.5, done=0.2, speed=11_800, still=HOURS - 0.45, use=0.72),
    Job("risk", "sweep", "xgboost", workers=4, begun=1.5, days=0.6, speed=26_000, tunes=True),
    Job("risk", "quarterly", "tcn", phase="Queued", begun=5.2, workers=2, gpus=4),
)


def shares(job: Job) -> dict[str, float]:
    """Of a job's time, by what it goes into."""
    rest = 1 - job.good
    return {"productive": job.good, "starting": rest * 0.4, "redone": rest * 0.3, "recovering": rest * 0.2,
            "queued": rest * 0.1}  # fmt: skip


def add_jobs(made: History) -> None:
    """What the operator tells of them, and what exporters tell of their pods and GPUs."""
    for job in JOBS:
        _info(made, job)
        if job.runs:
            _progress(made, job)
            _pods(made, job)
        if job.runs and job.gpus:
            _gpus(made, job)
    _gpu_seconds(made)


def _info(made: History, job: Job) -> None:
    labels = LEADER | job.named
    kind = {"phase": job.phase, "model": job.model, "queue": "", "gpu_resource": GPU if job.gpus else ""}
    begun = LOST[1] if job.name == "resnet" else job.begun
    made.gauge("headway_job_info", labels | kind | {"attempt": str(job.attempt)}, after(begun, steady(1)))
    if job.name == "resnet":
        made.gauge("headway_job_info", labels | kind | {"attempt": "1"}, after(0, steady(1), LOST[1]))
    made.gauge("headway_job_workers", labels | {"state": "desired"}, after(job.begun, steady(job.workers)))
    made.gauge("headway_job_workers", labels | {"state": "ready"}, after(job.begun, job.ready))
    for state, share in shares(job).items() if job.runs else {"queued": 1.0}.items():
        spent = after(job.begun, partial(_spent, job, state, share))
        made.counter("headway_job_time_seconds_total", labels | {"state": state}, spent)


def _spent(job: Job, state: str, share: float, hour: float) -> float:
    return float(state == "recovering") if job.recovers(hour) else share


def _progress(made: History, job: Job) -> None:
    labels = LEADER | job.named
    saved = 1500 if job.name == "segment" else 300
    told: dict[str, Value] = {
        "progress_ratio": job.progress,
        "eta_seconds": lambda hour: (1 - job.progress(hour)) * job.days * DAY,
        "epoch": lambda hour: 1 + job.progress(hour) * 40 // 1,
        "rows_per_second": job.rows,
        "last_progress_timestamp_seconds": job.last,
        "checkpoint_timestamp_seconds": lambda hour: job.last(hour) // saved * saved - 70,
        "goodput_ratio": about(job.good, job.name, 0.01),
    }
    for name, value in told.items():
        made.gauge(f"headway_job_{name}", labels, after(job.begun, value))
    made.counter("headway_job_steps_total", labels, after(job.begun, lambda hour: (job.rows(hour) or 0) / 256))
    for metric in METRICS:
        value = partial(_metric, job, metric)
        made.gauge("headway_job_metric", labels | {"metric": metric}, after(job.begun, value))
    for state, value in _trials(job):
        made.gauge("headway_job_trials", labels | {"state": state}, after(job.begun, value))


def _metric(job: Job, metric: str, hour: float) -> float:
    begins, ends = METRICS[metric]
    return (ends + (begins - ends) * math.exp(-4 * job.progress(hour))) * wave(job.name + metric, hour, 0.03)


def _trials(job: Job) -> Iterator[tuple[str, Value]]:
    if job.tunes:
        yield "completed", lambda hour: (hour - job.begun) * 21 // 1
        yield "stopped", lambda hour: (hour - job.begun) * 39 // 1
        yield "failed", lambda hour: float(hour > 3)
        yield "running", steady(4)
        yield "waiting", lambda hour: max(0.0, 60 - (hour - job.begun) * 13 // 1)


def _there(job: Job, at: int, value: Value) -> Value:
    """Of a worker, while it is there."""
    missing = job.missing and at == job.workers - 1
    return after(job.begun, value, MISSING_SINCE if missing else math.inf)


def _pods(made: History, job: Job) -> None:
    def busy(level: float, idle: float, name: str) -> Value:
        return lambda hour: level * wave(name, hour, 0.1) if job.trains(hour) else idle

    for at, pod in enumerate(job.pods()):
        whose = {"namespace": job.namespace, "pod": pod}
        main = whose | {"container": "main"}
        made.counter("container_cpu_usage_seconds_total", main, _there(job, at, busy(3.1, 0.1, pod)))
        made.gauge("container_memory_working_set_bytes", main, _there(job, at, about(9.5e9, pod, 0.02)))
        for way, size in (("receive", 310e6), ("transmit", 240e6)):
            labels = whose | {"interface": "eth0"}
            made.counter(f"container_network_{way}_bytes_total", labels, _there(job, at, busy(size, 1e3, pod + way)))


def _use(job: Job, at: int, gpu: int, hour: float) -> float:
    lag = 0.55 if job.name == "segment" and at == 1 else 1.0
    return job.use * lag * wave(f"{job.name}{at}{gpu}", hour, 0.12) if job.trains(hour) else 0.0


def _gpus(made: History, job: Job) -> None:
    all_of_them = [(at, gpu) for at in range(job.workers) for gpu in range(job.gpus)]
    pods = job.pods()
    for at, gpu in all_of_them:
        labels = job.named | {"pod": pods[at], "gpu": str(gpu)}
        use = partial(_use, job, at, gpu)
        made.gauge("headway:gpu_utilization:ratio", labels, _there(job, at, use))
        made.gauge("headway:gpu_memory_used:bytes", labels, _there(job, at, about(61e9, pods[at], 0.01)))
        made.gauge("headway:gpu_power:watts", labels, _there(job, at, partial(_power, job, at, gpu)))

    def mean(hour: float) -> float:
        return sum(_use(job, at, gpu, hour) for at, gpu in all_of_them) / len(all_of_them)

    made.gauge("headway_job:gpu_utilization:avg_ratio", job.named, mean)


def _power(job: Job, at: int, gpu: int, hour: float) -> float:
    return 90 + 520 * _use(job, at, gpu, hour)


def _gpu_seconds(made: History) -> None:
    holders = [job for job in JOBS if job.gpus and job.runs]
    for namespace in sorted({job.namespace for job in holders}):
        ours = [job for job in holders if job.namespace == namespace]
        for state in shares(ours[0]):

            def rate(hour: float, state: str = state, ours: list[Job] = ours) -> float:
                return sum(job.workers * job.gpus * _spent(job, state, shares(job)[state], hour) for job in ours)

            labels = LEADER | {"job_namespace": namespace, "gpu_resource": GPU, "state": state}
            made.counter("headway_gpu_seconds_total", labels, rate)


def add_courses(made: History) -> None:
    """Starts, stops, recoveries and ends of attempts, as the operator counts them."""
    parts = {"first_reconcile": 0.05, "pods_created": 0.2, "pods_scheduled": 1.1, "pods_ready": 14.0, "first_step": 11}
    for phase, middle in parts.items():
        labels = LEADER | {"phase": phase}
        made.histogram("headway_start_phase_seconds", labels, once_in(0.35), middle, bounds=LONG)
    for lost, middle in (("worker", 12.0), ("head", 38.0)):
        labels = LEADER | {"lost": lost, "until": "step"}
        made.histogram("headway_recovery_seconds", labels, once_in(1.9), middle, bounds=LONG)
    for cause, middle in (("Suspended", 6.0), ("DeadlineExceeded", 9.0)):
        made.histogram("headway_stop_seconds", LEADER | {"cause": cause}, once_in(2.7), middle, bounds=LONG)
    ends = {"Succeeded": 0.7, "NodeLost": 2.9, "Preempted": 1.2, "UserError": 2.6, "OutOfMemory": 5.1, "Hang": 5.7}
    for cause, hours in ends.items():
        labels = LEADER | {"cause": cause}
        made.counter("headway_attempts_ended_total", labels, once_in(hours, at=hours / 2))
        if cause in ("Succeeded", "UserError", "OutOfMemory"):
            made.counter("headway_jobs_ended_total", labels, once_in(hours, at=hours / 2))
    made.counter("headway_workers_replaced_total", LEADER, once_in(1.9))
    for state, rate in (("completed", 0.006), ("stopped", 0.011), ("failed", 0.0003)):
        made.counter("headway_tuning_trials_total", LEADER | {"state": state}, _from(1.5, rate))


def _from(begin: float, rate: float) -> Value:
    return lambda hour: rate if hour > begin else 0.0
