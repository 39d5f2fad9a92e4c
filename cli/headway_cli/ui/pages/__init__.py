"""The pages. A module of them has ROUTES, and is listed here."""

from __future__ import annotations

from headway_cli.ui.asking import Route
from headway_cli.ui.pages import curves, deployments, job, jobs, logs, trials

MODULES = (jobs, job, trials, curves, logs, deployments)
ROUTES: tuple[Route, ...] = tuple(route for module in MODULES for route in module.ROUTES)
