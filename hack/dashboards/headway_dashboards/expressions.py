"""PromQL that several dashboards share. Pure.

Only the replica that leads tells of jobs and deployments, and for some minutes after a change of leaders Prometheus may
still hold what the one before said: `max by` the object's own labels takes one of them, whatever labels scraping adds.
"""

from __future__ import annotations

JOB = ("job_namespace", "job_name")
DEPLOYMENT = ("deployment_namespace", "deployment_name")
IN_NAMESPACE = 'job_namespace=~"$namespace"'
THIS_JOB = 'job_namespace="$namespace", job_name="$job"'
DEPLOYMENTS = 'deployment_namespace=~"$namespace", deployment_name=~"$deployment"'
"""Of the operator's metrics, and of the servers', which get these labels as they are scraped: they do not know them."""
INTERVAL = "$__rate_interval"
SHOWN = "$__range"
"""All the time that the dashboard shows."""
POD = r"-[0-9a-f]{5}-[0-9]+-(head|worker-[0-9]+-[0-9]+)"
"""What follows a job's name in the names of its pods."""


def most(metric: str, select: str = "", *labels: str) -> str:
    """A gauge of objects, without what scraping adds to its labels."""
    return f"max by ({', '.join(labels)}) ({metric}{braces(select)})"


def of_jobs(metric: str, select: str = "", *more: str) -> str:
    """A gauge by job, and by more labels."""
    return most(metric, select, *JOB, *more)


def of_deployments(metric: str, select: str = "", *more: str) -> str:
    """A gauge by deployment, and by more labels."""
    return most(metric, select, *DEPLOYMENT, *more)


def rate(metric: str, select: str = "", *labels: str, over: str = INTERVAL) -> str:
    """How fast a counter grows, per second."""
    return f"sum{_by(labels)} (rate({metric}{braces(select)}[{over}]))"


def grown(metric: str, select: str = "", *labels: str, over: str = SHOWN) -> str:
    """By how much a counter grew."""
    return f"sum{_by(labels)} (increase({metric}{braces(select)}[{over}]))"


def quantile(share: float, metric: str, select: str = "", *labels: str, over: str = INTERVAL) -> str:
    """The value that a share of a histogram's observations does not exceed; nothing where there were none."""
    return numbers(f"histogram_quantile({share:g}, {rate(f'{metric}_bucket', select, 'le', *labels, over=over)})")


def numbers(expr: str) -> str:
    """What is a number of an expression that may divide nothing by nothing."""
    return f"{expr} >= 0"


def or_zero(expr: str) -> str:
    """0 where there is nothing."""
    return f"({expr}) or vector(0)"


def age(metric: str, select: str = "") -> str:
    """For how long something of each job has not happened."""
    return f"time() - {of_jobs(metric, select)}"


def among(expr: str, others: str) -> str:
    """Those jobs of an expression that another has, too."""
    return f"{expr} and on ({', '.join(JOB)}) ({others})"


def standing_still(select: str, seconds: int) -> str:
    """Jobs that run and have not told of any progress for so long."""
    running = of_jobs("headway_job_info", joined(select, 'phase="Running"'))
    return among(f"({age('headway_job_last_progress_timestamp_seconds', select)} > {seconds})", running)


def missing_workers(select: str) -> str:
    """How many workers each running job lacks; nothing of those that lack none."""
    wanted = of_jobs("headway_job_workers", joined(select, 'state="desired"'))
    ready = of_jobs("headway_job_workers", joined(select, 'state="ready"'))
    running = of_jobs("headway_job_info", joined(select, 'phase="Running"'))
    return among(f"({wanted} - {ready} > 0)", running)


def missing_or_none(select: str) -> str:
    """How many workers each job lacks: 0 of those that lack none."""
    return f"{missing_workers(select)} or 0 * {of_jobs('headway_job_info', select)}"


def joined(*selects: str) -> str:
    """Several selections as one."""
    return ", ".join(select for select in selects if select)


def braces(select: str) -> str:
    """A selection as it stands behind a metric."""
    return f"{{{select}}}" if select else ""


def _by(labels: tuple[str, ...]) -> str:
    return f" by ({', '.join(labels)})" if labels else ""
