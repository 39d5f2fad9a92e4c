"""Headway / Jobs: all jobs that are not finished, and the way to each."""

from __future__ import annotations

from headway_dashboards import expressions as ask
from headway_dashboards.overview import FIRING, JOB_LINK, LOW_GOODPUT, STILL_SECONDS, WORKERS_MISSING
from headway_dashboards.panels import bars, higher_is_worse, lines, lower_is_worse, row, stat, table
from headway_dashboards.parts import GREEN, ORANGE, PHASE_COLOURS, RED, Column, Dashboard, Panel, Query, Variable

NAMESPACE = Variable(
    name="namespace", label="Namespace", query="label_values(headway_job_info, job_namespace)", all=True,
    description="Namespaces of the jobs",
)  # fmt: skip
METRIC = Variable(
    name="metric", label="Metric", query='label_values(headway_job_metric{job_namespace=~"$namespace"}, metric)',
    description="The metric of the table and of its curves, as the training code names it",
)  # fmt: skip
OURS = ask.IN_NAMESPACE
NAMED = "{{job_namespace}}/{{job_name}}"


def _count(phase: str, title: str, description: str) -> Panel:
    select = ask.joined(OURS, f'phase=~"{phase}"')
    expr = f"count({ask.of_jobs('headway_job_info', select)})"
    return stat(title, description, "none", Query(expr=ask.or_zero(expr), legend="jobs", instant=True), width=4)


def _now() -> tuple[Panel, ...]:
    still = ask.standing_still(OURS, STILL_SECONDS)
    return (
        row("Now"),
        _count("Running", "Running", "Jobs whose pods are all there and whose training goes on."),
        _count("Pending|Queued|Starting", "Waiting or starting", "Jobs that wait for room, or whose pods are made."),
        stat("Without progress", "Running jobs that told of no progress for 15 minutes.", "none",
             Query(expr=ask.or_zero(f"count({still})"), legend="jobs", instant=True),
             fill=True, words={"0": ("None", GREEN)}, thresholds=((None, GREEN), (1, RED))),
        stat("Workers missing", "Workers that running jobs should have and do not.", "none",
             Query(expr=ask.or_zero(f"sum({ask.missing_workers(OURS)})"), legend="workers", instant=True),
             fill=True, words={"0": ("None", GREEN)}, thresholds=((None, GREEN), (1, ORANGE))),
        stat("Goodput", "The mean over running jobs of the share of their time that went into steps which were kept.",
             "percentunit",
             Query(expr=f"avg({ask.of_jobs('headway_job_goodput_ratio', OURS)})", legend="goodput", instant=True),
             decimals=0, thresholds=lower_is_worse(LOW_GOODPUT, 0.75), fill=True, none="No job"),
        stat("Jobs that are not shown", "Jobs beyond the operator's limit for metrics by job "
             "(HEADWAY_JOB_METRICS_LIMIT): they run as well, but have no numbers here.", "none",
             Query(expr=ask.or_zero("max(headway_job_metrics_omitted)"), legend="jobs", instant=True),
             words={"0": ("None", GREEN)}, thresholds=((None, GREEN), (1, ORANGE)), fill=True),
    )  # fmt: skip


def _table() -> Panel:
    def of(metric: str, select: str = "") -> Query:
        return Query(expr=ask.of_jobs(metric, ask.joined(OURS, select)))

    return table(
        "Jobs",
        "Jobs that are not finished; what ended is in its status and its report. A click on a job's name opens it.",
        (
            Query(expr=ask.of_jobs("headway_job_info", OURS, "phase", "attempt", "model")),
            of("headway_job_progress_ratio"),
            of("headway_job_eta_seconds"),
            Query(expr=ask.age("headway_job_last_progress_timestamp_seconds", OURS)),
            Query(expr=ask.missing_or_none(OURS)),
            of("headway_job_goodput_ratio"),
            Query(expr=ask.of_jobs("headway_job:gpu_utilization:avg_ratio", OURS)),
            of("headway_job_rows_per_second"),
            of("headway_job_metric", 'metric="$metric"'),
            Query(expr=ask.age("headway_job_checkpoint_timestamp_seconds", OURS)),
        ),
        {
            "job_namespace": "Namespace", "job_name": "Job", "phase": "Phase", "attempt": "Attempt",
            "Value #B": "Progress", "Value #C": "Time left", "Value #D": "Since progress",
            "Value #E": "Workers missing", "Value #F": "Goodput", "Value #G": "GPU use", "Value #H": "Rows/s",
            "Value #I": "Metric", "Value #J": "Since checkpoint", "model": "Model",
        },
        (
            Column(name="Namespace", width=105),
            Column(name="Job", link=JOB_LINK, link_title="Open this job", width=165),
            Column(name="Phase", cell="color-text", colours=PHASE_COLOURS, width=85),
            Column(name="Attempt", width=80),
            Column(name="Progress", unit="percentunit", decimals=0, cell="gauge", most=1, steps=((None, GREEN),),
                   width=150),
            Column(name="Time left", unit="s", decimals=0, width=85),
            Column(name="Since progress", unit="s", decimals=0, cell="color-background", width=120, none="-",
                   steps=((None, "transparent"), (300, ORANGE), (STILL_SECONDS, RED))),
            WORKERS_MISSING,
            Column(name="Goodput", unit="percentunit", decimals=0, cell="color-background", width=85, none="-",
                   steps=((None, RED), (LOW_GOODPUT, "transparent"))),
            Column(name="GPU use", unit="percentunit", decimals=0, cell="color-background", width=85, none="-",
                   steps=((None, ORANGE), (0.3, "transparent"))),
            Column(name="Rows/s", unit="short", decimals=1, width=85),
            Column(name="Metric", decimals=4, width=90),
            Column(name="Since checkpoint", unit="s", decimals=0, cell="color-background", width=140, none="-",
                   steps=((None, "transparent"), (3600, ORANGE))),
        ),
        height=11, hidden=("Value #A",), sort="Since progress", none="-",
    )  # fmt: skip


def _curves() -> tuple[Panel, ...]:
    goodput = ask.of_jobs("headway_job_goodput_ratio", OURS)
    speed = ask.of_jobs("headway_job_rows_per_second", OURS)
    usual = f"max_over_time(headway_job_rows_per_second{{{OURS}}}[1h])"
    slow = f"{speed} / max by (job_namespace, job_name) ({usual})"
    return (
        row("Over time"),
        lines("Progress", "How much of its steps each job has done. A flat line stands still; a step down is a resume "
              "from a checkpoint.", "percentunit",
              Query(expr=ask.of_jobs("headway_job_progress_ratio", OURS), legend=NAMED), width=8, most=1),
        lines("Speed beside the best of the last hour", "Rows per second, as a share of the job's own best within an "
              "hour: a fall is a slow node, slow storage, or a worker that is lost.", "percentunit",
              Query(expr=slow, legend=NAMED), width=8, most=1),
        lines("Chosen metric", "The metric that is chosen at the top, of each job that tells it.", "short",
              Query(expr=ask.of_jobs("headway_job_metric", ask.joined(OURS, 'metric="$metric"')), legend=NAMED),
              width=8, least=None),
        bars("Lowest goodput", "The ten running jobs that wasted most of their time.", "percentunit",
             Query(expr=f"sort(bottomk(10, {goodput}))", legend=NAMED, instant=True),
             most=1, decimals=0, thresholds=lower_is_worse(LOW_GOODPUT, 0.75), width=8),
        bars("Longest without a checkpoint", "What would be lost with a node now, at most: the ten oldest newest "
             "checkpoints.", "s",
             Query(expr=f"sort_desc(topk(10, {ask.age('headway_job_checkpoint_timestamp_seconds', OURS)}))",
                   legend=NAMED, instant=True),
             thresholds=higher_is_worse(1800, 3600), width=8, decimals=0),
        bars("Trials of jobs that tune", "Trials by state, of all jobs shown.", "none",
             Query(expr=f"sum by (state) ({ask.of_jobs('headway_job_trials', OURS, 'state')})", legend="{{state}}",
                   instant=True),
             width=8, decimals=0, none="No job tunes", may_be_empty="no job tunes",
             colours={"failed": RED, "completed": GREEN}),
    )  # fmt: skip


def dashboard() -> Dashboard:
    """The dashboard."""
    return Dashboard(
        uid="headway-jobs",
        title="Headway / Jobs",
        description="All jobs that are not finished: how far they are, and which of them needs a look.",
        variables=(NAMESPACE, METRIC),
        annotations=(FIRING,),
        panels=(*_now(), _table(), *_curves()),
    )
