"""Headway / Overview: ten seconds to see whether anything is wrong, and where to look."""

from __future__ import annotations

from headway_dashboards import expressions as ask
from headway_dashboards.panels import bars, lines, lower_is_worse, row, stat, table
from headway_dashboards.parts import (
    GREEN,
    ORANGE,
    PHASE_COLOURS,
    PURPLE,
    RED,
    STATE_COLOURS,
    Annotation,
    Column,
    Dashboard,
    Panel,
    Query,
)

STILL_SECONDS = 900
LOW_GOODPUT = 0.5
YOUNG_SECONDS = 1800
"""A job that is younger has not had the time to make up for its start."""
ALERTS = 'ALERTS{alertname=~"Headway.*", alertstate="firing"}'
URGENT = 'ALERTS{alertname=~"Headway.*", alertstate="firing", severity!="info"}'
FIRING = Annotation(
    name="Alerts", expr=f"max by (alertname) ({ALERTS})", title="{{alertname}}", text="This alert was firing."
)
CAUSES = {
    "Succeeded": GREEN, "NodeLost": RED, "StorageError": RED, "OutOfDisk": RED, "Preempted": ORANGE, "Hang": ORANGE,
    "OutOfMemory": PURPLE, "UserError": PURPLE, "InvalidSpec": PURPLE, "ImagePull": PURPLE,
}  # fmt: skip
JOB_LINK = (
    "/d/headway-job?${datasource:queryparam}&var-namespace=${__data.fields.Namespace}"
    "&var-job=${__data.fields.Job}&${__url_time_range}"
)
WORKERS_MISSING = Column(
    name="Workers missing", decimals=0, cell="color-background", steps=((None, "transparent"), (1, RED)),
    width=135, none="-",
)  # fmt: skip
DEPLOYMENT_LINK = (
    "/d/headway-deployments?${datasource:queryparam}&var-namespace=${__data.fields.Namespace}"
    "&var-deployment=${__data.fields.Deployment}&${__url_time_range}"
)
OPERATOR_ANSWERS = {"0": ("Nobody leads", RED), "1": ("Works", GREEN), "2": ("Two lead", RED)}


def leader(width: int = 4) -> Panel:
    """Whether exactly one operator works."""
    return stat(
        "Operator",
        "Exactly one replica leads. While nobody does, running jobs go on, but nothing starts and nothing lost is "
        "replaced: look at the operator's pods and their log.",
        "none",
        Query(expr=ask.or_zero("sum(headway_is_leader)"), legend="operator", instant=True),
        width=width, fill=True, words=OPERATOR_ANSWERS, thresholds=((None, RED), (1, GREEN), (2, RED)),
    )  # fmt: skip


def trouble(select: str = "") -> str:
    """Jobs that somebody should look at."""
    goodput = ask.of_jobs("headway_job_goodput_ratio", select)
    old = f"sum by ({', '.join(ask.JOB)}) ({ask.of_jobs('headway_job_time_seconds_total', select, 'state')})"
    low = ask.among(f"({goodput} < {LOW_GOODPUT})", f"{old} > {YOUNG_SECONDS}")
    return f"({ask.standing_still(select, STILL_SECONDS)}) or ({low}) or ({ask.missing_workers(select)})"


def trouble_table(width: int = 24, height: int = 8) -> Panel:
    """The jobs to look at, with the way to each."""
    wrong = trouble()

    def of(expr: str) -> Query:
        return Query(expr=ask.among(f"({expr})", wrong))

    return table(
        "Jobs to look at",
        "Running jobs that told of no progress for 15 minutes or lack workers, and jobs of half an hour and more that "
        "have spent less than half of their time on training. A click on a job's name opens it.",
        (
            of(ask.of_jobs("headway_job_info", "", "phase", "attempt")),
            of(ask.age("headway_job_last_progress_timestamp_seconds")),
            of(ask.missing_or_none("")),
            of(ask.of_jobs("headway_job_goodput_ratio")),
        ),
        {
            "job_namespace": "Namespace", "job_name": "Job", "phase": "Phase", "attempt": "Attempt",
            "Value #B": "Since progress", "Value #C": "Workers missing", "Value #D": "Goodput",
        },
        (
            Column(name="Namespace", width=105),
            Column(name="Job", link=JOB_LINK, link_title="Open this job", width=140),
            Column(name="Phase", cell="color-text", colours=PHASE_COLOURS, width=85),
            Column(name="Attempt", width=78),
            Column(name="Since progress", unit="s", decimals=0, cell="color-background", width=120,
                   steps=((None, "transparent"), (300, ORANGE), (STILL_SECONDS, RED))),
            WORKERS_MISSING,
            Column(name="Goodput", unit="percentunit", decimals=0, cell="color-background", none="-", width=85,
                   steps=((None, RED), (LOW_GOODPUT, "transparent"))),
        ),
        width=width, height=height, hidden=("Value #A",), sort="Since progress", none="No job needs a look",
        may_be_empty="no running job stands still, lacks workers or wastes its time",
    )  # fmt: skip


def deployments_table(width: int = 6, height: int = 8) -> Panel:
    """The deployments that lack pods."""
    missing = f"{ask.of_deployments('headway_deployment_desired')} - {ask.of_deployments('headway_deployment_ready')}"
    return table(
        "Deployments to look at",
        "ModelDeployments with fewer ready pods than they should have. A click on a name opens it.",
        (Query(expr=f"{missing} > 0"),),
        {"deployment_namespace": "Namespace", "deployment_name": "Deployment", "Value": "Missing"},
        (
            Column(name="Namespace", width=100),
            Column(name="Deployment", link=DEPLOYMENT_LINK, link_title="Open this deployment", width=125),
            Column(name="Missing", decimals=0, cell="color-background", width=75,
                   steps=((None, "transparent"), (1, RED))),
        ),
        width=width, height=height, none="No deployment lacks pods", may_be_empty="no deployment lacks pods",
    )  # fmt: skip


def alerts_table(width: int = 12, height: int = 8) -> Panel:
    """What fires now, of the operator, of a job or of a deployment."""
    of_either = f'label_replace({ALERTS}, "job_namespace", "$1", "deployment_namespace", "(.+)")'
    of_either = f'label_replace({of_either}, "job_name", "$1", "deployment_name", "(.+)")'
    return table(
        "Alerts that fire",
        "Headway's alerts that fire now. What each means and what to do is on the page On call of the documentation.",
        (Query(expr=f"max by (alertname, severity, job_namespace, job_name) ({of_either})"),),
        {"severity": "Severity", "alertname": "Alert", "job_namespace": "Namespace", "job_name": "Name"},
        (
            Column(name="Severity", width=80, cell="color-text",
                   colours={"critical": RED, "warning": ORANGE, "info": "blue"}),
            Column(name="Alert", width=190),
            Column(name="Namespace", width=95),
            Column(name="Name", width=85),
        ),
        width=width, height=height, hidden=("Value",), none="No alert fires", may_be_empty="no alert fires",
    )  # fmt: skip


def dashboard() -> Dashboard:
    """The dashboard."""
    still = ask.standing_still("", STILL_SECONDS)
    short = f"{ask.of_deployments('headway_deployment_ready')} < {ask.of_deployments('headway_deployment_desired')}"
    failed = ask.grown("headway_jobs_ended_total", 'cause!="Succeeded"')
    held = ask.rate("headway_gpu_seconds_total", "", "state")
    return Dashboard(
        uid="headway-overview",
        title="Headway / Overview",
        description="Whether Headway and what it runs are well, in ten seconds.",
        annotations=(FIRING,),
        panels=(
            row("Is anything wrong?"),
            leader(),
            stat("Alerts", "Headway's alerts that fire now, critical ones and warnings; the table below names them.",
                 "none", Query(expr=ask.or_zero(f"count({URGENT})"), legend="alerts", instant=True), fill=True,
                 words={"0": ("None", GREEN)}, thresholds=((None, GREEN), (1, RED))),
            stat("Jobs without progress", "Running jobs that told of no progress for 15 minutes: hanging code, a slow "
                 "storage, or very long epochs.", "none",
                 Query(expr=ask.or_zero(f"count({still})"), legend="jobs", instant=True), fill=True,
                 words={"0": ("None", GREEN)}, thresholds=((None, GREEN), (1, ORANGE), (5, RED))),
            stat("Jobs that failed", "Jobs that ended without success in the time shown, for whatever cause.", "none",
                 Query(expr=ask.or_zero(f"round({failed})"), legend="jobs", instant=True),
                 decimals=0, fill=True, thresholds=((None, GREEN), (1, ORANGE), (10, RED))),
            stat("Deployments short of pods", "ModelDeployments with fewer ready pods than they should have.", "none",
                 Query(expr=ask.or_zero(f"count({short})"), legend="deployments", instant=True), fill=True,
                 words={"0": ("None", GREEN)}, thresholds=((None, GREEN), (1, RED))),
            stat("Goodput", "Of the time since running jobs first asked for pods, the share that went into steps which "
                 "were kept: the mean over running jobs.", "percentunit",
                 Query(expr=f"avg({ask.of_jobs('headway_job_goodput_ratio')})", legend="goodput", instant=True),
                 decimals=0, thresholds=lower_is_worse(0.5, 0.75), fill=True, none="No job",
                 may_be_empty="no job runs"),
            trouble_table(width=12),
            deployments_table(width=5),
            alerts_table(width=7),
            row("What runs, and what it costs"),
            lines("Jobs that wait or run, by phase", "Jobs that are not finished. A growing share of Queued means that "
                  "the cluster has no room.", "none",
                  Query(expr='sum by (phase) (headway_jobs{phase!~"Succeeded|Failed"}) > 0', legend="{{phase}}"),
                  width=8, stacked=True, decimals=0, colours=PHASE_COLOURS, may_be_empty="no job waits or runs"),
            lines("GPUs that jobs hold, by what they do", "GPUs of running jobs: a GPU that is held while its job does "
                  "anything but train costs as much.", "none",
                  Query(expr=held, legend="{{state}}"), width=8, stacked=True, may_be_empty="no job holds GPUs",
                  colours=STATE_COLOURS),
            bars("How attempts ended", "Attempts that ended in the time shown, by cause. Red: nodes and storage. "
                 "Orange: what is tried again. Purple: what the job's owner has to mend.", "none",
                 Query(expr=f"sort_desc(round({ask.grown('headway_attempts_ended_total', '', 'cause')}) > 0)",
                       legend="{{cause}}", instant=True),
                 decimals=0, colours=CAUSES, none="No attempt ended", may_be_empty="no attempt ended"),
            row("How fast it goes"),
            lines("From a job's creation to its pods, 90 % within", "What Headway itself adds to a start: the wait "
                  "until a job is first looked at, and the making of its pods.", "s",
                  *(Query(expr=ask.quantile(0.9, "headway_start_phase_seconds", f'phase="{phase}"', over="1h"),
                          legend=legend)
                    for phase, legend in (("first_reconcile", "first look"), ("pods_created", "pods made"))),
                  width=8, may_be_empty="no job began within an hour"),
            lines("Longest wait for the operator", "For how long the oldest object has waited to be reconciled. More "
                  "than seconds: the operator or the API server cannot keep up.", "s",
                  Query(expr="max(headway_queue_oldest_seconds)", legend="oldest"), width=8, limit=300),
            lines("ModelDeployments by phase", "Degraded: fewer pods answer than should.", "none",
                  Query(expr="sum by (phase) (headway_deployments) > 0", legend="{{phase}}"), width=8, stacked=True,
                  decimals=0, colours=PHASE_COLOURS, may_be_empty="there is no ModelDeployment"),
        ),
    )  # fmt: skip
