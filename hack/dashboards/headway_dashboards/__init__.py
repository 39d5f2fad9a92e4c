"""Headway's Grafana dashboards, as Python: the JSON in charts/headway/files/dashboards is made of this."""

from __future__ import annotations

from headway_dashboards import deployments, gpu, job, jobs, operators, overview
from headway_dashboards.parts import Dashboard


def all_dashboards() -> tuple[Dashboard, ...]:
    """Every dashboard that the chart ships, in the order in which people need them."""
    return tuple(made.dashboard() for made in (overview, operators, jobs, job, gpu, deployments))
