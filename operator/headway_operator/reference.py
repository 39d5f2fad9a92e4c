"""The reference page of the metrics, made of their declarations.

python -m headway_operator.reference > docs/reference/metrics.md
"""

from __future__ import annotations

from headway_operator.metrics import Metrics

_HEAD = """\
# The operator's metrics

<!-- Generated from the code by `python -m headway_operator.reference > docs/reference/metrics.md`. -->

Each replica serves them at `:8080/metrics`; the one that works has `headway_is_leader 1`, and only it knows of jobs.
Counters begin at zero with each process. No label holds the name of a job or of a namespace, so their number does not
grow with the jobs; what one job does is in its status and its Events. What a metric counts, it counts when the status
that says so is written. How long starts, stops and recoveries take is measured by one process from beginning to end:
one that was under way when the operator was restarted is not measured.

| metric | type | labels | what it says |
|---|---|---|---|"""
_TAIL = """\

`process_cpu_seconds_total`, `process_resident_memory_bytes` and their like are the process's own.
The clocks that these seconds follow are told in [Clocks](../explanation/clocks.md); the chart has alerts on them."""


def page() -> str:
    """The page."""
    rows = [
        f"| `{entry.name}` | {entry.kind} | {', '.join(f'`{label}`' for label in entry.labels)} | {entry.text} |"
        for entry in sorted(Metrics().catalogue, key=lambda entry: entry.name)
    ]
    return "\n".join([_HEAD, *rows, _TAIL, ""])


if __name__ == "__main__":
    print(page(), end="")
