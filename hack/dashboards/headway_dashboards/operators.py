"""Headway / Operator: does it work, does it keep up, and what do starts, stops and recoveries cost."""

from __future__ import annotations

from headway_dashboards import expressions as ask
from headway_dashboards.overview import CAUSES, FIRING, leader
from headway_dashboards.panels import bars, higher_is_worse, lines, row, stat
from headway_dashboards.parts import GREEN, ORANGE, PURPLE, RED, Dashboard, Panel, Query

RESULTS = {"done": GREEN, "conflict": "yellow", "retry": ORANGE, "gone": "#8e8e8e", "bug": RED}
QUANTILES = ((0.5, "half within"), (0.9, "90 % within"), (0.99, "99 % within"))
HOUR = "1h"
"""Starts and recoveries are rare: quantiles of a minute would mostly be of none."""


def _quantiles(metric: str) -> tuple[Query, ...]:
    return tuple(Query(expr=ask.quantile(share, metric), legend=legend) for share, legend in QUANTILES)


def _now() -> tuple[Panel, ...]:
    met = ask.grown("headway_reconciles_total", 'result="bug"')
    bugs = ask.or_zero(f"round({met})")
    return (
        row("Now"),
        leader(),
        stat("Replicas", "Operators that Prometheus reaches. One works, the others take over within seconds.", "none",
             Query(expr="count(headway_is_leader)", legend="replicas", instant=True),
             thresholds=((None, ORANGE), (2, GREEN))),
        stat("Oldest wait", "For how long the oldest object has waited to be reconciled.", "s",
             Query(expr="max(headway_queue_oldest_seconds)", legend="oldest"), decimals=1, spark=True,
             thresholds=higher_is_worse(30, 300)),
        stat("Longest reconcile", "For how long the oldest reconcile under way has gone on. After 180 s the liveness "
             "probe restarts the operator.", "s",
             Query(expr="max(headway_reconcile_longest_seconds)", legend="longest"), decimals=1, spark=True,
             thresholds=higher_is_worse(30, 120)),
        stat("Watches behind", "For how long a watch has not shown the operator's own writes. More than a minute: "
             "something between it and the API server holds answers back.", "s",
             Query(expr="max(headway_watch_behind_seconds)", legend="behind"), decimals=1, spark=True,
             thresholds=higher_is_worse(10, 60)),
        stat("Reconciles that met a bug", "Reconciles of the time shown that ended with an exception of Headway's own; "
             "the log has it.", "none", Query(expr=bugs, legend="bugs", instant=True), decimals=0,
             thresholds=((None, GREEN), (1, RED)), words={"0": ("None", GREEN)}),
    )  # fmt: skip


def _reconciles() -> tuple[Panel, ...]:
    return (
        row("Does it keep up?"),
        lines("Reconciles by result", "conflict and retry are tried again; gone: the object was deleted meanwhile; "
              "bug: an exception.", "ops",
              Query(expr=ask.rate("headway_reconciles_total", "", "result"), legend="{{result}}"), width=8,
              stacked=True, colours=RESULTS),
        lines("How long a reconcile takes", "Of one object: read from memory, decided, written to the API server.",
              "s", *_quantiles("headway_reconcile_seconds"), width=8),
        lines("How long objects wait for it", "From the moment an object was due until it was reconciled.", "s",
              *_quantiles("headway_queue_seconds"), width=8),
        lines("Objects that wait", "Objects in the queue; it should go back to 0 between bursts.", "none",
              Query(expr="sum(headway_queue_depth)", legend="waiting"), width=8, decimals=0),
        lines("Since the last comparison", "For how long what the operator knows has not been compared with all that "
              "exists. The line is where HeadwayNotWorking fires.", "s",
              Query(expr="time() - max(headway_resync_last_timestamp_seconds > 0)", legend="since"), width=8,
              limit=1200),
        lines("Kubernetes Events by result", "dropped: more than may be posted at a time; failed: the API server "
              "refused them.", "ops",
              Query(expr=ask.rate("headway_events_total", "", "result"), legend="{{result}}"), width=8),
    )  # fmt: skip


def _api() -> tuple[Panel, ...]:
    failed = ask.rate("headway_api_calls_total", 'code!~"2..|404|409"', "verb", "resource", "code")
    return (
        row("Is the API server well?"),
        lines("Calls by verb and resource", "Calls of the API server, without the watches.", "reqps",
              Query(expr=ask.rate("headway_api_calls_total", "", "verb", "resource"), legend="{{verb}} {{resource}}"),
              width=8),
        lines("Calls that failed", "By code; 0: no answer, 429: throttled, 403: no right. 404 and 409 are usual and "
              "left out.", "reqps", Query(expr=f"{failed} > 0", legend="{{verb}} {{resource}} {{code}}"), width=8,
              none="No call failed", may_be_empty="no call failed"),
        lines("From a write to its watch, 99 % within", "How late the API server tells the operator of its own "
              "writes.", "s",
              Query(expr=ask.quantile(0.99, "headway_watch_lag_seconds", "", "resource"), legend="{{resource}}"),
              width=8),
    )  # fmt: skip


def _courses() -> tuple[Panel, ...]:
    parts = ("first_reconcile", "pods_created", "pods_scheduled", "pods_ready", "first_step")
    named = dict(zip(parts, ("first look", "pods made", "pods placed", "pods ready", "first step"), strict=True))
    return (
        row("What do starts, stops and recoveries cost?"),
        bars("Parts of a start, 90 % within", "Seconds of each part of the starts of the time shown, one after the "
             "other. pods ready holds the pulling of images; first step holds the start of Ray and of the data.", "s",
             *(Query(expr=ask.quantile(0.9, "headway_start_phase_seconds", f'phase="{part}"', over=ask.SHOWN),
                     legend=legend, instant=True) for part, legend in named.items()),
             decimals=1, none="No start", may_be_empty="no job began"),
        bars("From a loss to the next step, 90 % within", "How long training stood still after a worker or a head was "
             "lost, in the time shown.", "s",
             Query(expr=ask.quantile(0.9, "headway_recovery_seconds", 'until="step"', "lost", over=ask.SHOWN),
                   legend="{{lost}}", instant=True),
             decimals=1, thresholds=((None, GREEN), (60, ORANGE), (300, RED)), none="Nothing was lost",
             may_be_empty="nothing was lost"),
        bars("From a decision to stop to the end, 90 % within", "Drivers save a checkpoint meanwhile, in the time "
             "shown.", "s",
             Query(expr=ask.quantile(0.9, "headway_stop_seconds", "", "cause", over=ask.SHOWN), legend="{{cause}}",
                   instant=True),
             decimals=1, none="Nothing was stopped", may_be_empty="nothing was stopped"),
        lines("Attempts that ended, by cause", "In the hour before each moment.", "none",
              Query(expr=f"{ask.grown('headway_attempts_ended_total', '', 'cause', over=HOUR)} > 0.5",
                    legend="{{cause}}"),
              width=12, stacked=True, decimals=0, colours=CAUSES, may_be_empty="no attempt ended"),
        lines("Workers that were replaced", "In the hour before each moment.", "none",
              Query(expr=ask.grown("headway_workers_replaced_total", "", over=HOUR), legend="workers"), width=6,
              decimals=0),
        lines("Trials that ended, by state", "Trials of hyperparameter tuning, in the hour before each moment.",
              "none", Query(expr=ask.grown("headway_tuning_trials_total", "", "state", over=HOUR),
                            legend="{{state}}"),
              width=6, decimals=0, colours={"completed": GREEN, "stopped": PURPLE, "failed": RED}),
    )  # fmt: skip


def _process() -> tuple[Panel, ...]:
    ours = "and on (instance, job) headway_build_info"
    return (
        row("The process"),
        lines("Processor time", "Cores that each replica uses.", "none",
              Query(expr=f"rate(process_cpu_seconds_total[{ask.INTERVAL}]) {ours}", legend="{{instance}}"), width=8),
        lines("Memory", "What each replica holds; allow 100 MB for each thousand pods of jobs.", "bytes",
              Query(expr=f"process_resident_memory_bytes {ours}", legend="{{instance}}"), width=8),
        lines("Clock ahead or behind", "By how much the API server's clock is ahead of the operator's.", "s",
              Query(expr="headway_clock_offset_seconds", legend="{{instance}}"), width=8, least=None),
    )  # fmt: skip


def dashboard() -> Dashboard:
    """The dashboard."""
    return Dashboard(
        uid="headway-operator",
        title="Headway / Operator",
        description="Whether the operator works and keeps up, and what starts, stops and recoveries cost.",
        annotations=(FIRING,),
        panels=(*_now(), *_reconciles(), *_api(), *_courses(), *_process()),
    )
