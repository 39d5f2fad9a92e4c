"""Headway / Job: one job, from its metrics to its pods."""

from __future__ import annotations

from typing import Any

from headway_dashboards import expressions as ask
from headway_dashboards.overview import LOW_GOODPUT, STILL_SECONDS
from headway_dashboards.panels import bars, higher_is_worse, lines, lower_is_worse, note, painted, row, stat
from headway_dashboards.parts import (
    BLUE,
    GREEN,
    ORANGE,
    PHASE_COLOURS,
    PURPLE,
    RED,
    STATE_COLOURS,
    Annotation,
    Dashboard,
    Panel,
    Query,
    Variable,
)

THIS = ask.THIS_JOB
ITS_PODS = f'namespace="$namespace", pod=~"${{job}}{ask.POD}"'
VARIABLES = (
    Variable(
        name="namespace", label="Namespace", query="label_values(headway_job_info, job_namespace)",
        description="The namespace of the job",
    ),
    Variable(
        name="job", label="Job", query='label_values(headway_job_info{job_namespace="$namespace"}, job_name)',
        description="Jobs that ran in the time shown",
    ),
)  # fmt: skip
ATTEMPTS = Annotation(
    name="Attempts",
    expr=f"max by (attempt) (headway_job_info{{{THIS}}}) unless "
    f"max by (attempt) (headway_job_info{{{THIS}}} offset 1m)",
    title="Attempt {{attempt}}",
    text="A new attempt began.",
    colour=BLUE,
)
ALERTS = Annotation(
    name="Alerts",
    expr=f'max by (alertname) (ALERTS{{alertname=~"Headway.*", alertstate="firing", {THIS}}})',
    title="{{alertname}}",
    text="This alert was firing for this job.",
)
LOGS = """\
The logs of each rank: `kubectl logs -n $namespace -l headway.dev/job=$job --prefix --tail=100`.
Those of ended attempts are in the job's storage, in `logs/attempt-N` of its folder.

Why it waits or what went wrong, in one sentence: `kubectl describe trainingjob -n $namespace $job`."""


def _own(metric: str, select: str = "") -> str:
    return f"max({metric}{{{ask.joined(THIS, select)}}})"


def _now() -> tuple[Panel, ...]:
    since = "time() - {}".format(_own("headway_job_last_progress_timestamp_seconds"))
    saved = "time() - {}".format(_own("headway_job_checkpoint_timestamp_seconds"))
    desired, ready = (_own("headway_job_workers", f'state="{state}"') for state in ("desired", "ready"))
    phase = stat(
        "Phase", "What the job does now.", "none",
        Query(expr=f"max by (phase) (headway_job_info{{{THIS}}})", legend="{{phase}}", instant=True),
        width=3, overrides=painted(PHASE_COLOURS), fill=True, none="Ended",
    )  # fmt: skip
    phase.options["textMode"] = "name"
    attempt = stat(
        "Attempt", "Each attempt begins with new pods, from the newest checkpoint.", "none",
        Query(expr=f"max by (attempt) (headway_job_info{{{THIS}}})", legend="{{attempt}}", instant=True), width=2,
        none="-",
    )  # fmt: skip
    attempt.options["textMode"] = "name"
    return (
        row("Now"),
        phase,
        attempt,
        stat("Progress", "Steps that are done, of all.", "percentunit",
             Query(expr=_own("headway_job_progress_ratio"), legend="progress", instant=True), width=3, decimals=0,
             none="-"),
        stat("Time left", "At the speed of now.", "s",
             Query(expr=_own("headway_job_eta_seconds"), legend="left", instant=True), width=3, decimals=0, none="-"),
        stat("Workers", "Workers that are ready.", "none",
             Query(expr=ready, legend="ready", instant=True), width=2, none="-"),
        stat("Missing", "Workers that it should have and does not.", "none",
             Query(expr=f"{desired} - {ready}", legend="missing", instant=True),
             width=2, fill=True, thresholds=((None, GREEN), (1, RED)), none="-"),
        stat("Goodput", "The share of its time since it first asked for pods that went into steps which were kept.",
             "percentunit", Query(expr=_own("headway_job_goodput_ratio"), legend="goodput", instant=True), width=3,
             decimals=0, thresholds=lower_is_worse(LOW_GOODPUT, 0.75), fill=True, none="-"),
        stat("Since progress", "For how long it has told of no new step.", "s",
             Query(expr=since, legend="since", instant=True), width=3, decimals=0, fill=True, none="-",
             thresholds=higher_is_worse(300, STILL_SECONDS)),
        stat("Since checkpoint", "What would be lost with a node now.", "s",
             Query(expr=saved, legend="since", instant=True), width=3, decimals=0, none="-",
             thresholds=higher_is_worse(1800, 3600)),
    )  # fmt: skip


def _training() -> tuple[Panel, ...]:
    states = f"max by (state) (rate(headway_job_time_seconds_total{{{THIS}}}[{ask.INTERVAL}])) > 0"
    return (
        row("Training"),
        lines("Metrics", "What the training code tells, by the names it gives: up to 16. Marks: attempts.",
              "short",
              Query(expr=f"max by (metric) (headway_job_metric{{{THIS}}})", legend="{{metric}}"), width=12, height=10,
              least=None, legend="table", calcs=("lastNotNull", "min", "max")),
        lines("Rows per second", "Rows that all workers train on together. A gap: it did not train.", "short",
              Query(expr=_own("headway_job_rows_per_second"), legend="rows/s"), width=6, height=10),
        lines("Steps per second", "Optimiser steps, those that are done again among them.", "short",
              Query(expr=f"max(rate(headway_job_steps_total{{{THIS}}}[{ask.INTERVAL}]))", legend="steps/s"), width=6,
              height=10),
        lines("Where the time goes", "Seconds of each state in a second: all that is not productive is the price of "
              "waiting, starting, saving and recovering.", "percentunit", Query(expr=states, legend="{{state}}"),
              width=16, stacked=True, most=1, colours=STATE_COLOURS),
        bars("Where the time went", "Since the job first asked for pods, by state.", "s",
             Query(expr=f"sort_desc(max by (state) (headway_job_time_seconds_total{{{THIS}}}) > 0)",
                   legend="{{state}}", instant=True),
             width=8, decimals=1, colours=STATE_COLOURS),
        lines("Workers over time", "A gap between the lines: workers that are lost, or not there yet.", "none",
              *(Query(expr=_own("headway_job_workers", f'state="{state}"'), legend=state)
                for state in ("desired", "ready")),
              width=8, height=7, decimals=0, steps_like=True, colours={"desired": BLUE, "ready": GREEN}),
        lines("Epoch", "The epoch it is in; a step down is a resume from a checkpoint.", "short",
              Query(expr=_own("headway_job_epoch"), legend="epoch"), width=8, height=7, steps_like=True),
        lines("Trials by state", "Of a job that tunes.", "none",
              Query(expr=f"max by (state) (headway_job_trials{{{THIS}}})", legend="{{state}}"), width=8, height=7,
              none="This job does not tune", may_be_empty="the job does not tune", steps_like=True, decimals=0,
              colours={"failed": RED, "completed": GREEN, "stopped": PURPLE}),
    )  # fmt: skip


def _spread(title: str, description: str, unit: str, expr: str, *, most: float | None = None, **more: Any) -> Panel:
    """The lowest, the middle and the highest of a job's pods or GPUs: of 500 workers, too, the one that lags shows."""
    sides = (("highest", f"max({expr})", ORANGE), ("median", f"quantile(0.5, {expr})", GREEN),
             ("lowest", f"min({expr})", BLUE))  # fmt: skip
    return lines(title, description, unit, *(Query(expr=asked, legend=name) for name, asked, _ in sides),
                 width=6, most=most, colours={name: colour for name, _, colour in sides}, **more)  # fmt: skip


def _gpus() -> tuple[Panel, ...]:
    use = f"headway:gpu_utilization:ratio{{{THIS}}}"
    worker = f'label_replace({use}, "worker", "$1", "pod", ".+-worker-([0-9]+)-[0-9]+")'
    why: dict[str, Any] = {"none": "No GPU, or no DCGM exporter", "may_be_empty": "the job has no GPU"}
    return (
        row("GPUs of its workers (NVIDIA's DCGM exporter)"),
        _spread("GPU use", "The share of time in which any kernel ran. One GPU far below the median: its worker waits "
                "for data, or the others wait for it.", "percentunit", use, most=1, **why),
        bars("Least used GPUs", "Now: the eight least used.", "percentunit",
             Query(expr=f"sort(bottomk(8, {worker}))", legend="worker {{worker}}, GPU {{gpu}}", instant=True),
             width=6, most=1,
             decimals=0, thresholds=lower_is_worse(0.3, 0.6), **why),
        _spread("GPU memory", "What is in use of each GPU's memory.", "bytes",
                f"headway:gpu_memory_used:bytes{{{THIS}}}", **why),
        _spread("GPU power", "A GPU that is busy and draws little waits inside its kernels.", "watt",
                f"headway:gpu_power:watts{{{THIS}}}", **why),
    )  # fmt: skip


def _pods() -> tuple[Panel, ...]:
    main = f'{ITS_PODS}, container="main"'
    cores = f"sum by (pod) (rate(container_cpu_usage_seconds_total{{{main}}}[{ask.INTERVAL}]))"
    memory = f"sum by (pod) (container_memory_working_set_bytes{{{main}}})"
    received, sent = (f"sum by (pod) (rate(container_network_{way}_bytes_total{{{ITS_PODS}}}[{ask.INTERVAL}]))"
                      for way in ("receive", "transmit"))  # fmt: skip
    return (
        row("Its pods (the kubelet's cAdvisor)"),
        _spread("Processor time", "Cores that its pods use. At its limit a pod is throttled.", "none", cores),
        _spread("Memory", "Working set of its pods: at its limit the kernel kills a pod (OutOfMemory).", "bytes",
                memory),
        _spread("Network, received", "By its pods: data and gradients.", "Bps", received),
        _spread("Network, sent", "By its pods: gradients and checkpoints.", "Bps", sent),
        note("Logs and reasons", "Where to read on.", LOGS),
    )  # fmt: skip


def dashboard() -> Dashboard:
    """The dashboard."""
    return Dashboard(
        uid="headway-job",
        title="Headway / Job",
        description="One job: its metrics, its speed, where its time goes, its workers and GPUs.",
        variables=VARIABLES,
        annotations=(ATTEMPTS, ALERTS),
        panels=(*_now(), *_training(), *_gpus(), *_pods()),
    )
