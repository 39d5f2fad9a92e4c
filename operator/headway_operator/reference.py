"""The reference page of the metrics, made of their declarations.

python -m headway_operator.reference > docs/reference/metrics.md
"""

from __future__ import annotations

from headway_operator.engine.metrics import EngineMetrics, Entry, MetricSet
from headway_operator.serving.measures import DeploymentMetrics
from headway_operator.training.measures import JobMetrics

_HEAD = """\
# The operator's metrics

<!-- Generated from the code by `python -m headway_operator.reference > docs/reference/metrics.md`. -->

Each replica serves them at `:8080/metrics`; the one that works has `headway_is_leader 1`, and only it knows of jobs.
Counters begin at zero with each process. No label holds the name of a job or of a namespace, so their number does not
grow with the jobs; what one job does is in its status and its Events. A reconcile: the operator compares one object
with what exists, and acts. Counters about jobs grow when the status that reports the change has been written. How
long starts, stops and recoveries take is measured by one process from beginning to end: one that was under way when the
operator was restarted is not measured.

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
