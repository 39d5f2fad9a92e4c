"""Headway / Deployments: models that answer, how fast, and how new versions take over."""

from __future__ import annotations

from typing import Any

from headway_dashboards import expressions as ask
from headway_dashboards.overview import FIRING
from headway_dashboards.panels import bars, higher_is_worse, lines, row, stat, table
from headway_dashboards.parts import GREEN, ORANGE, PHASE_COLOURS, RED, Column, Dashboard, Panel, Query, Variable

THESE = ask.DEPLOYMENTS
REQUESTS = "headway_server_request_seconds"
ERRORS = "headway_server_errors_total"
BY_NAME = ask.DEPLOYMENT
BY_VERSION = (*BY_NAME, "version")
NAMED = "{{deployment_namespace}}/{{deployment_name}}"
VERSION = "{{deployment_name}} version {{version}}"
VARIABLES = (
    Variable(
        name="namespace", label="Namespace", query="label_values(headway_deployment_info, deployment_namespace)",
        all=True, description="Namespaces of the ModelDeployments",
    ),
    Variable(
        name="deployment", label="Deployment", all=True,
        query='label_values(headway_deployment_info{deployment_namespace=~"$namespace"}, deployment_name)',
        description="ModelDeployments of these namespaces",
    ),
)  # fmt: skip


def _errors_share(*labels: str) -> str:
    failed, answered = ask.rate(ERRORS, THESE, *labels), ask.rate(f"{REQUESTS}_count", THESE, *labels)
    match = f"on ({', '.join(labels)}) " if labels else ""
    share = f"({failed} or 0 * {answered}) / {match}({answered} + {match}({failed} or 0 * {answered}))"
    return ask.numbers(share)


def _now() -> tuple[Panel, ...]:
    short = f"{ask.of_deployments('headway_deployment_ready', THESE)} < " \
            f"{ask.of_deployments('headway_deployment_desired', THESE)}"  # fmt: skip
    rejected = ask.grown("headway_rollouts_ended_total", 'outcome!="Promoted"')
    moving = ask.of_deployments("headway_deployment_rollout", ask.joined(THESE, 'state!~"Idle|RolledBack"'))
    return (
        row("Now"),
        stat("Short of pods", "Deployments with fewer ready pods than they should have.", "none",
             Query(expr=ask.or_zero(f"count({short})"), legend="deployments", instant=True), fill=True,
             words={"0": ("None", GREEN)}, thresholds=((None, GREEN), (1, RED))),
        stat("Rollouts under way", "Deployments whose next version is on its way.", "none",
             Query(expr=ask.or_zero(f"count({moving})"), legend="rollouts", instant=True),
             words={"0": ("None", "text")}),
        stat("Versions rejected", "In the time shown, of all deployments: the old version went on answering.", "none",
             Query(expr=ask.or_zero(f"round({rejected})"), legend="versions", instant=True), fill=True, decimals=0,
             words={"0": ("None", GREEN)}, thresholds=((None, GREEN), (1, ORANGE))),
        stat("Requests", "Answered per second.", "reqps",
             Query(expr=ask.rate(f"{REQUESTS}_count", THESE), legend="requests"), spark=True, decimals=1),
        stat("Errors", "The share of requests that got an error.", "percentunit",
             Query(expr=_errors_share(), legend="errors"), spark=True, decimals=2,
             thresholds=higher_is_worse(0.01, 0.05)),
        stat("99 % answered within", "From a request's headers to its answer.", "s",
             Query(expr=ask.quantile(0.99, REQUESTS, THESE), legend="99 %"), spark=True, decimals=0,
             thresholds=higher_is_worse(0.5, 2)),
    )  # fmt: skip


def _table() -> Panel:
    ready = ask.of_deployments("headway_deployment_ready", THESE)
    return table(
        "Deployments", "Each ModelDeployment: its pods, its rollout, and how it answers.",
        (
            Query(expr=ask.of_deployments("headway_deployment_info", THESE, "phase")),
            Query(expr=ready),
            Query(expr=f"{ask.of_deployments('headway_deployment_desired', THESE)} - {ready}"),
            Query(expr=ask.of_deployments("headway_deployment_rollout", THESE, "state")),
            Query(expr=ask.rate(f"{REQUESTS}_count", THESE, *BY_NAME)),
            Query(expr=_errors_share(*BY_NAME)),
            Query(expr=ask.quantile(0.99, REQUESTS, THESE, *BY_NAME)),
        ),
        {"deployment_namespace": "Namespace", "deployment_name": "Deployment", "phase": "Phase", "state": "Rollout",
         "Value #B": "Pods ready", "Value #C": "Pods missing", "Value #E": "Requests/s", "Value #F": "Errors",
         "Value #G": "99 % within"},
        (
            Column(name="Phase", cell="color-text", colours=PHASE_COLOURS, width=110),
            Column(name="Rollout", cell="color-text", colours={"RolledBack": RED, "Splitting": ORANGE}, width=110),
            Column(name="Pods ready", decimals=0),
            Column(name="Pods missing", decimals=0, cell="color-background", steps=((None, "transparent"), (1, RED))),
            Column(name="Requests/s", decimals=1),
            Column(name="Errors", unit="percentunit", decimals=2, cell="color-background",
                   steps=((None, "transparent"), (0.01, ORANGE), (0.05, RED))),
            Column(name="99 % within", unit="s", decimals=0),
        ),
        height=7, hidden=("Value #A", "Value #D"), sort="Pods missing", none="-",
    )  # fmt: skip


def _per_second(title: str, description: str, metric: str, label: str, *, select: str = "", **more: Any) -> Panel:
    """How often something happens, by deployment and one more label."""
    expr = ask.rate(metric, ask.joined(THESE, select), "deployment_name", label)
    return lines(title, description, "reqps",
                 Query(expr=f"{expr} > 0" if more.pop("positive", False) else expr,
                       legend=f"{{{{deployment_name}}}} {{{{{label}}}}}"), width=8, **more)  # fmt: skip


def _answers() -> tuple[Panel, ...]:
    p50, p99 = (ask.quantile(share, REQUESTS, THESE, *BY_VERSION) for share in (0.5, 0.99))
    rows, runs = (ask.rate(f"headway_server_batch_rows_{part}", THESE, *BY_NAME) for part in ("sum", "count"))
    hits, misses = (ask.rate(f"headway_server_cache_{what}_total", THESE, *BY_NAME) for what in ("hits", "misses"))
    queued = f"sum by ({', '.join(BY_NAME)}) (headway_server_queued{{{THESE}}})"
    return (
        row("How do they answer?"),
        lines("Requests by version", "Answered per second.", "reqps",
              Query(expr=ask.rate(f"{REQUESTS}_count", THESE, *BY_VERSION), legend=VERSION), width=8, stacked=True),
        lines("Time to answer, 99 % within", "Of each version.", "s", Query(expr=p99, legend=VERSION), width=8),
        lines("Time to answer, half within", "Of each version. 99 % far above it: a queue, or large requests among "
              "small ones.", "s", Query(expr=p50, legend=VERSION), width=8),
        _per_second("Errors by kind", "Requests that got an error, per second. overloaded: more than the pods bear; "
                    "deadline: too late; model and internal: the server's own; others are the client's.",
                    ERRORS, "kind", positive=True, none="No errors", may_be_empty="no request got an error"),
        lines("Requests that wait", "In the queues of all pods. A queue that grows: add replicas.", "none",
              Query(expr=queued, legend=NAMED), width=8, decimals=0),
        lines("Rows that run together", "The mean rows of a run of the model: 1 means that batching finds nothing to "
              "put together.", "short", Query(expr=ask.numbers(f"{rows} / {runs}"), legend=NAMED), width=8),
        lines("Time of a run, 99 % within", "What the model itself takes. Answers that take much longer have waited.",
              "s", Query(expr=ask.quantile(0.99, "headway_server_run_seconds", THESE, *BY_VERSION), legend=VERSION),
              width=8),
        lines("Answers from the cache", "The share of small requests whose answer was kept.", "percentunit",
              Query(expr=ask.numbers(f"{hits} / ({hits} + {misses})"), legend=NAMED), width=8, most=1,
              none="No cache is on", may_be_empty="spec.server.cache is off"),
        _per_second("Records that were lost", "Records of requests that there was no room for, or that could not be "
                    "written, per second.", "headway_server_records_total", "result", select='result!="written"',
                    none="No records are on", may_be_empty="spec.server.records is off, or nothing was lost"),
    )  # fmt: skip


def _rollouts() -> tuple[Panel, ...]:
    share = ask.of_deployments("headway_deployment_version_share", THESE, "version", "role")
    ended = f"round({ask.grown('headway_rollouts_ended_total', '', 'outcome')}) > 0"
    return (
        row("How do new versions take over?"),
        lines("Share of the requests, by version", "As the operator has set it.", "percentunit",
              Query(expr=f"{share} > 0", legend="{{version}} ({{role}})"), width=8, most=1, steps_like=True),
        _per_second("Answers by who gave them", "Where requests are split: answers by the version that gave them, per "
                    "second, as the servers of the old version count them.", "headway_server_answers_total",
                    "answered_by", none="No requests are split", may_be_empty="no rollout splits requests"),
        _per_second("Candidates that failed a request", "The own model answered in their place, per second, by "
                    "reason.", "headway_server_fallbacks_total", "reason", none="No requests are split",
                    may_be_empty="no rollout splits requests"),
        bars("How rollouts ended", "In the time shown, of all deployments: promoted, or why the version was "
             "rejected.", "none", Query(expr=ended, legend="{{outcome}}", instant=True),
             width=8, decimals=0, colours={"Promoted": GREEN}, none="No rollout ended",
             thresholds=((None, ORANGE),), may_be_empty="no rollout ended"),
        lines("From a version's beginning to its answers", "Nine of ten versions within this time.", "s",
              Query(expr=ask.quantile(0.9, "headway_rollout_seconds", over="1h"), legend="90 %"), width=8,
              may_be_empty="no version began within an hour"),
        lines("Pods that are ready", "Of each deployment.", "none",
              Query(expr=ask.of_deployments("headway_deployment_ready", THESE), legend=NAMED), width=8, decimals=0,
              steps_like=True),
    )  # fmt: skip


def _drift() -> tuple[Panel, ...]:
    score = ask.of_deployments("headway_deployment_drift_score", THESE, "version")
    problems = ask.of_deployments("headway_deployment_data_quality_problems", THESE, "version")
    return (
        row("Are requests like the training rows?"),
        lines("Drift", "With monitoring.drift, how unlike the training rows the last window of requests was, as a "
              "multiple of minEffect: 1 and above alarms.", "none", Query(expr=score, legend="{{version}}"), width=12,
              decimals=2, none="Nothing is watched", may_be_empty="no deployment has monitoring.drift"),
        lines("Features with wrong values", "Up to five a version: missing, unseen or out of range more often than in "
              "the training rows.", "none", Query(expr=problems, legend="{{version}}"), width=12, decimals=0,
              steps_like=True, none="Nothing is watched", may_be_empty="no deployment has monitoring.drift"),
    )  # fmt: skip


def dashboard() -> Dashboard:
    """The dashboard."""
    return Dashboard(
        uid="headway-deployments",
        title="Headway / Deployments",
        description="Models that answer requests: how many pods, how fast, how versions take over, and drift.",
        variables=VARIABLES,
        annotations=(FIRING,),
        panels=(*_now(), _table(), *_answers(), *_rollouts(), *_drift()),
    )
