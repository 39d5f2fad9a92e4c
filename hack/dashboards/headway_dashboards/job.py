"""Headway / Job: one job, from its metrics to its pods."""

from __future__ import annotations

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
    return (
        row("Training"),
        lines("Metrics", "What the training code tells, by the names it gives: up to 16. Blue marks: attempts.",
              "short",
              Query(expr=f"max by (metric) (headway_job_metric{{{THIS}}})", legend="{{metric}}"), width=12,
              least=None, legend="table", calcs=("lastNotNull", "min", "max")),
        lines("Rows per second", "Rows that all workers train on together. A gap: it did not train.", "short",
              Query(expr=_own("headway_job_rows_per_second"), legend="rows/s"), width=6),
        lines("Steps per second", "Optimiser steps, those that are done again among them.", "short",
              Query(expr=f"max(rate(headway_job_steps_total{{{THIS}}}[{ask.INTERVAL}]))", legend="steps/s"), width=6),
        lines("Where the time goes", "Seconds of each state in a second: all that is not productive is the price of "
              "waiting, starting, saving and recovering.", "percentunit",
              Query(expr=f"max by (state) (rate(headway_job_time_seconds_total{{{THIS}}}[{ask.INTERVAL}])) > 0",
                    legend="{{state}}"),
              width=12, stacked=True, most=1, colours={"productive": GREEN, "redone": RED, "recovering": ORANGE}),
        bars("Where the time went", "Since the job first asked for pods, by state.", "s",
             Query(expr=f"sort_desc(max by (state) (headway_job_time_seconds_total{{{THIS}}}) > 0)",
                   legend="{{state}}", instant=True),
             width=6, decimals=1, colours={"productive": GREEN, "redone": RED, "recovering": ORANGE}),
        lines("Epoch", "The epoch it is in; a step down is a resume from a checkpoint.", "short",
              Query(expr=_own("headway_job_epoch"), legend="epoch"), width=6, steps_like=True),
        lines("Workers over time", "A gap between the lines: workers that are lost, or not there yet.", "none",
              *(Query(expr=_own("headway_job_workers", f'state="{state}"'), legend=state)
                for state in ("desired", "ready")),
              width=12, decimals=0, steps_like=True, colours={"desired": BLUE, "ready": GREEN}),
        lines("Trials by state", "Of a job that tunes.", "none",
              Query(expr=f"max by (state) (headway_job_trials{{{THIS}}})", legend="{{state}}"), width=12, decimals=0,
              none="This job does not tune", may_be_empty="the job does not tune", steps_like=True,
              colours={"failed": RED, "completed": GREEN, "stopped": PURPLE}),
    )  # fmt: skip


def _pods() -> tuple[Panel, ...]:
    rates = {way: f"sum by (pod) (rate(container_network_{way}_bytes_total{{{ITS_PODS}}}[{ask.INTERVAL}]))"
             for way in ("receive", "transmit")}  # fmt: skip
    main = f'{ITS_PODS}, container="main"'
    return (
        row("GPUs of its workers (NVIDIA's DCGM exporter)"),
        lines("GPU use", "The share of time in which any kernel ran. One low line among high ones: that worker waits "
              "for its data.", "percentunit",
              Query(expr=f"headway:gpu_utilization:ratio{{{THIS}}}", legend="{{pod}} {{gpu}}"), width=8, most=1,
              none="No GPU, or no DCGM exporter", may_be_empty="the job has no GPU"),
        lines("GPU memory", "What is in use of each GPU's memory.", "bytes",
              Query(expr=f"headway:gpu_memory_used:bytes{{{THIS}}}", legend="{{pod}} {{gpu}}"), width=8,
              none="No GPU, or no DCGM exporter", may_be_empty="the job has no GPU"),
        lines("GPU power", "A busy GPU that draws little waits inside its kernels.", "watt",
              Query(expr=f"headway:gpu_power:watts{{{THIS}}}", legend="{{pod}} {{gpu}}"), width=8,
              none="No GPU, or no DCGM exporter", may_be_empty="the job has no GPU"),
        row("Its pods (the kubelet's cAdvisor)"),
        lines("Processor time", "Cores that each pod uses. At its limit it is throttled.", "none",
              Query(expr=f"sum by (pod) (rate(container_cpu_usage_seconds_total{{{main}}}[{ask.INTERVAL}]))",
                    legend="{{pod}}"), width=8),
        lines("Memory", "Working set of each pod: at its limit the kernel kills it (OutOfMemory).", "bytes",
              Query(expr=f"sum by (pod) (container_memory_working_set_bytes{{{main}}})", legend="{{pod}}"), width=8),
        lines("Network", "Received and sent by each pod: data in, gradients both ways.", "Bps",
              Query(expr=rates["receive"], legend="{{pod}} in"), Query(expr=rates["transmit"], legend="{{pod}} out"),
              width=8),
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
        panels=(*_now(), *_training(), *_pods()),
    )
