"""Headway / GPU and cost: who holds GPUs, what they do with them, and what that costs."""

from __future__ import annotations

from headway_dashboards import expressions as ask
from headway_dashboards.jobs import NAMED
from headway_dashboards.overview import JOB_LINK
from headway_dashboards.panels import bars, higher_is_worse, lines, lower_is_worse, row, stat, table
from headway_dashboards.parts import GREEN, ORANGE, RED, STATE_COLOURS, Column, Dashboard, Panel, Query, Variable

OURS = ask.IN_NAMESPACE
HELD = "headway_gpu_seconds_total"
PRODUCTIVE = ask.joined(OURS, 'state="productive"')
USE = f"headway:gpu_utilization:ratio{{{OURS}}}"
IDLE = 0.05
"""A GPU that was busy for less of the time than this is called idle."""
VARIABLES = (
    Variable(
        name="namespace", label="Namespace", query=f"label_values({HELD}, job_namespace)", all=True,
        description="Namespaces whose jobs held GPUs",
    ),
    Variable(
        name="price", label="Price of a GPU hour", query="2", typed=True,
        description="In any currency: the costs are in the same",
    ),
)  # fmt: skip
NO_DCGM = "No DCGM exporter"
WHY_EMPTY = "no GPU is held, or no DCGM exporter is scraped"


def _hours(select: str, *labels: str) -> str:
    return f"{ask.grown(HELD, select, *labels)} / 3600"


def _now() -> tuple[Panel, ...]:
    held = ask.rate(HELD, OURS)
    idle = f"count({USE} < {IDLE})"
    return (
        row("In the time shown"),
        stat("GPUs held now", "GPUs of the pods of all jobs, busy or not. Training that stands still is counted "
             "once it goes on or is given up: until then it shows in Idle while held.", "none",
             Query(expr=held, legend="held"), decimals=1, spark=True, none="0"),
        stat("Busy now", "The sum over GPUs of the share of time in which any kernel ran.", "none",
             Query(expr=f"sum({USE})", legend="busy"), decimals=1, spark=True, none=NO_DCGM, may_be_empty=WHY_EMPTY),
        stat("Idle while held", "GPUs that jobs hold and that were busy for less than 5 % of the time.", "none",
             Query(expr=ask.or_zero(idle), legend="idle", instant=True), fill=True,
             words={"0": ("None", GREEN)}, thresholds=((None, GREEN), (1, ORANGE), (8, RED))),
        stat("GPU hours", "That jobs held.", "none", Query(expr=_hours(OURS), legend="hours", instant=True),
             decimals=1, none="0"),
        stat("Of them productive", "Hours of training steps that were kept, of all hours that GPUs were held.",
             "percentunit",
             Query(expr=f"{ask.grown(HELD, PRODUCTIVE)} / {ask.grown(HELD, OURS)}", legend="productive",
                   instant=True),
             decimals=0, fill=True, thresholds=lower_is_worse(0.5, 0.75), none="-"),
        stat("Cost", "GPU hours times the price at the top.", "short",
             Query(expr=f"{_hours(OURS)} * $price", legend="cost", instant=True), decimals=0, none="0"),
    )  # fmt: skip


def _namespaces() -> tuple[Panel, ...]:
    return (
        row("Who holds them, and what for"),
        lines("GPUs held, by namespace", "A flat line at its quota: the namespace would use more.", "none",
              Query(expr=ask.rate(HELD, OURS, "job_namespace"), legend="{{job_namespace}}"), width=8, stacked=True),
        lines("GPUs held, by what their jobs do", "All that is not productive costs as much as what is.", "none",
              Query(expr=ask.rate(HELD, OURS, "state"), legend="{{state}}"), width=8, stacked=True,
              colours=STATE_COLOURS),
        lines("GPU use, by namespace", "The mean over the GPUs that its jobs hold.", "percentunit",
              Query(expr=f"avg by (job_namespace) ({USE})", legend="{{job_namespace}}"), width=8, most=1,
              none=NO_DCGM, may_be_empty=WHY_EMPTY),
        table("Namespaces", "GPU hours of the time shown, and what they cost at the price at the top.",
              (
                  Query(expr=_hours(OURS, "job_namespace")),
                  Query(expr=f"{ask.grown(HELD, PRODUCTIVE, 'job_namespace')} / "
                             f"{ask.grown(HELD, OURS, 'job_namespace')}"),
                  Query(expr=f"{_hours(OURS, 'job_namespace')} * $price"),
                  Query(expr=f"({_hours(OURS, 'job_namespace')} - {_hours(PRODUCTIVE, 'job_namespace')}) * $price"),
                  Query(expr=f"avg by (job_namespace) ({USE})"),
              ),
              {"job_namespace": "Namespace", "Value #A": "GPU hours", "Value #B": "Productive", "Value #C": "Cost",
               "Value #D": "Cost, not productive", "Value #E": "GPU use now"},
              (
                  Column(name="GPU hours", decimals=1),
                  Column(name="Productive", unit="percentunit", decimals=0, cell="gauge", most=1,
                         steps=lower_is_worse(0.5, 0.75)),
                  Column(name="Cost", decimals=0),
                  Column(name="Cost, not productive", decimals=0, width=165),
                  Column(name="GPU use now", unit="percentunit", decimals=0),
              ),
              width=14, sort="Cost", none="-"),
        bars("GPU hours by state", "In the time shown.", "none",
             Query(expr=f"sort_desc({_hours(OURS, 'state')} > 0)", legend="{{state}}", instant=True), width=5,
             decimals=1, colours=STATE_COLOURS),
        bars("GPU hours by kind", "By the resource that pods ask for.", "none",
             Query(expr=f"sort_desc({_hours(OURS, 'gpu_resource')} > 0)", legend="{{gpu_resource}}", instant=True),
             width=5, decimals=1),
    )  # fmt: skip


def _jobs() -> tuple[Panel, ...]:
    count = f"count by (job_namespace, job_name) ({USE})"
    mean = f"avg by (job_namespace, job_name) ({USE})"
    return (
        row("Which jobs leave them idle"),
        table("Jobs by GPU use", "The jobs that hold GPUs, the idlest first. A click on a job's name opens it.",
              (Query(expr=count), Query(expr=mean), Query(expr=f"{count} * (1 - {mean}) * $price"),
               Query(expr=f"sum by (job_namespace, job_name) (headway:gpu_power:watts{{{OURS}}})")),
              {"job_namespace": "Namespace", "job_name": "Job", "Value #A": "GPUs", "Value #B": "GPU use",
               "Value #C": "Idle cost per hour", "Value #D": "Power"},
              (
                  Column(name="Job", link=JOB_LINK, link_title="Open this job"),
                  Column(name="GPU use", unit="percentunit", decimals=0, cell="gauge", most=1,
                         steps=lower_is_worse(0.3, 0.6)),
                  Column(name="Idle cost per hour", decimals=2),
                  Column(name="Power", unit="watt", decimals=0),
              ),
              width=14, sort="GPU use", descending=False, none="-", may_be_empty=WHY_EMPTY),
        bars("Idle GPUs by job", f"GPUs that were busy for less than {IDLE:.0%} of the time, of the ten jobs that hold "
             "most of them.", "none",
             Query(expr=f"topk(10, count by (job_namespace, job_name) ({USE} < {IDLE}))", legend=NAMED, instant=True),
             width=10, decimals=0, thresholds=higher_is_worse(1, 4), none="No GPU is idle",
             may_be_empty="no GPU is idle"),
    )  # fmt: skip


def dashboard() -> Dashboard:
    """The dashboard."""
    return Dashboard(
        uid="headway-gpu",
        title="Headway / GPU and cost",
        description="Who holds GPUs, how much of that is training, and what it costs.",
        variables=VARIABLES,
        panels=(*_now(), *_namespaces(), *_jobs()),
        since="now-24h",
    )
