"""The reference page of the metrics, made of their declarations.

python -m headway_operator.reference > docs/reference/metrics.md
"""

from __future__ import annotations

from headway_operator.engine.exposition import Entry
from headway_operator.engine.metrics import EngineMetrics, MetricSet
from headway_operator.serving import figures as deployments
from headway_operator.serving.measures import DeploymentMetrics
from headway_operator.training import figures as jobs
from headway_operator.training.measures import JobMetrics

_HEAD = """\
# The operator's metrics

<!-- Generated from the code by `python -m headway_operator.reference > docs/reference/metrics.md`. -->

Each replica serves them at `:8080/metrics`; the one that works has `headway_is_leader 1`, and only it knows of jobs.
Counters begin at zero with each process. A reconcile: the operator compares one object with what exists, and acts.
Counters about jobs grow when the status that reports the change has been written.

`headway_job_*` and `headway_deployment_*` have series for each job and each deployment, and `headway_gpu_seconds_total`
some for each namespace; the others do not grow with their number. A job has them while it runs or waits, about 35 of
them, and none once it is suspended or has ended: its status keeps what it came to. They are read from the status at
each scrape, so they are as new as `kubectl get` is. At most `HEADWAY_JOB_METRICS_LIMIT` (1000) jobs have them, those
that run before those that wait and the oldest first; `HEADWAY_JOB_METRICS=off` leaves them out
([settings](settings.md)). `job_namespace` and `job_name` are no `namespace`,
as Prometheus would rename a label of that name. Only the operator that works has them, and another one takes over now
and then: `max without (pod, instance) (headway_job_progress_ratio)` joins what both have told. Whoever may read
`/metrics` reads the names, progress and metrics of all namespaces' jobs there.

How long starts, stops and recoveries take is measured by one process from beginning to end: one that was under way
when the operator was restarted is not measured.

| metric | type | labels | what it says |
|---|---|---|---|"""
_TAIL = """\

`process_cpu_seconds_total`, `process_resident_memory_bytes` and their like are the process's own.
What these seconds are measured from and to is in [Clocks](../explanation/clocks.md). The chart has alerts on some of
these metrics: [On call](../how-to/on-call.md) says what to do. Queries: [Watch the operator](../how-to/monitor.md)."""


def catalogue() -> list[Entry]:
    """All metrics, the engine's and those of each kind."""
    metrics = MetricSet()
    EngineMetrics(metrics)
    JobMetrics(metrics)
    DeploymentMetrics(metrics)
    metrics.declare(jobs.ENTRIES)
    metrics.declare(deployments.ENTRIES)
    return metrics.catalogue


def page() -> str:
    """The page."""
    rows = [
        f"| `{entry.name}` | {entry.kind} | {', '.join(f'`{label}`' for label in entry.labels)} | {entry.text} |"
        for entry in sorted(catalogue(), key=lambda entry: entry.name)
    ]
    return "\n".join([_HEAD, *rows, _TAIL, ""])


if __name__ == "__main__":
    print(page(), end="")
