"""The parts that Headway's Grafana dashboards are made of, and their JSON: Grafana's classic model, schema 39. Pure.

Only the kinds of panel that hack/dashboards/render can draw: row, stat, timeseries, bargauge, table, text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Json = dict[str, Any]
Kind = Literal["row", "stat", "timeseries", "bargauge", "table", "text"]
Step = tuple[float | None, str]
"""A threshold: from which value on, and the colour; None begins the list."""
SCHEMA_VERSION = 39
COLUMNS = 24
TAG = "headway"
DATASOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
GREEN, YELLOW, ORANGE, RED, BLUE, PURPLE, GREY = "green", "yellow", "orange", "red", "blue", "purple", "#8e8e8e"
STATE_COLOURS = {
    "productive": GREEN, "redone": RED, "recovering": ORANGE, "starting": BLUE, "preparing": "light-blue",
    "queued": YELLOW, "stopping": PURPLE, "checkpointing": "dark-green", "evaluating": "super-light-green",
    "publishing": "light-green",
}  # fmt: skip
"""Of what a job's time goes into."""
PHASE_COLOURS = {
    "New": GREY, "Pending": GREY, "Queued": YELLOW, "Starting": BLUE, "Running": GREEN, "Suspended": PURPLE,
    "Succeeded": "dark-green", "Failed": RED, "Progressing": BLUE, "Ready": GREEN, "Degraded": RED,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Query:
    """One question to Prometheus. legend: the name of each series, `{{label}}` for a label's value."""

    expr: str
    legend: str = ""
    instant: bool = False
    table: bool = False
    """Its labels become columns; only in tables."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """How one column of a table is shown."""

    name: str
    unit: str = ""
    decimals: int | None = None
    width: int | None = None
    steps: tuple[Step, ...] = ()
    cell: Literal["auto", "color-text", "color-background", "gauge"] = "auto"
    colours: Mapping[str, str] = field(default_factory=dict)
    """The colour of each text that is known."""
    most: float | None = None
    """The value at which a gauge is full."""
    link: str = ""
    link_title: str = ""
    none: str = ""
    """What is shown, without a colour, where there is no value."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One panel. width and height in Grafana's units: 24 columns, 30 pixels."""

    kind: Kind
    title: str
    description: str = ""
    unit: str = ""
    queries: tuple[Query, ...] = ()
    width: int = COLUMNS
    height: int = 8
    defaults: Json = field(default_factory=dict)
    options: Json = field(default_factory=dict)
    overrides: tuple[Json, ...] = ()
    transformations: tuple[Json, ...] = ()
    links: tuple[Json, ...] = ()
    may_be_empty: str = ""
    """Why a healthy cluster may have nothing to show here; empty: it always has."""

    def to_json(self, number: int, x: int, y: int) -> Json:
        """The panel at a place of the grid."""
        made: Json = {
            "id": number, "type": self.kind, "title": self.title,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
        }  # fmt: skip
        if self.kind == "row":
            return made | {"collapsed": False, "panels": []}
        made["description"] = self.description
        if self.kind == "text":
            return made | {"options": self.options}
        made |= {
            "datasource": DATASOURCE,
            "targets": [_target(query, at) for at, query in enumerate(self.queries)],
            "fieldConfig": {"defaults": {"unit": self.unit} | self.defaults, "overrides": list(self.overrides)},
            "options": self.options,
        }
        if self.transformations:
            made["transformations"] = list(self.transformations)
        if self.links:
            made["links"] = list(self.links)
        return made


@dataclass(frozen=True, kw_only=True)
class Variable:
    """A choice at the top of a dashboard: the values of a label, or a text that is typed."""

    name: str
    label: str
    query: str
    """label_values(series, label); of a typed text, what it is at first."""
    all: bool = False
    """Whether several may be chosen, and all are at first."""
    typed: bool = False
    description: str = ""

    def to_json(self) -> Json:
        """As Grafana's templating has it."""
        made: Json = {"name": self.name, "label": self.label, "description": self.description, "hide": 0}
        if self.typed:
            now = {"text": self.query, "value": self.query, "selected": True}
            return made | {"type": "textbox", "query": self.query, "current": now, "options": [now]}
        made |= {
            "type": "query", "datasource": DATASOURCE, "definition": self.query,
            "query": {"query": self.query, "refId": "variable"}, "refresh": 2, "regex": "", "sort": 1,
            "includeAll": self.all, "multi": self.all, "options": [], "current": {},
        }  # fmt: skip
        return made | ({"allValue": ".*", "current": {"text": "All", "value": "$__all"}} if self.all else {})


@dataclass(frozen=True, kw_only=True)
class Annotation:
    """Moments that are marked in every panel over time."""

    name: str
    expr: str
    title: str
    text: str = ""
    colour: str = RED

    def to_json(self) -> Json:
        """As Grafana's annotations have it."""
        return {
            "name": self.name, "datasource": DATASOURCE, "enable": True, "hide": False, "iconColor": self.colour,
            "expr": self.expr, "step": "30s", "titleFormat": self.title, "textFormat": self.text, "tagKeys": "",
            "useValueForTime": False,
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Dashboard:
    """A dashboard: panels from left to right, top to bottom."""

    uid: str
    title: str
    description: str
    panels: Sequence[Panel]
    variables: Sequence[Variable] = ()
    annotations: Sequence[Annotation] = ()
    since: str = "now-6h"

    @property
    def file(self) -> str:
        """The name of its file."""
        return f"{self.uid.removeprefix('headway-')}.json"

    def to_json(self) -> Json:
        """The whole model, as Grafana 10 to 13 read it."""
        source = {
            "name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "refresh": 1,
            "regex": "", "hide": 0, "includeAll": False, "multi": False, "options": [], "current": {},
        }  # fmt: skip
        link = {
            "type": "dashboards", "title": "Headway", "tags": [TAG], "asDropdown": True, "includeVars": False,
            "keepTime": True, "targetBlank": False, "icon": "external link", "tooltip": "", "url": "",
        }  # fmt: skip
        return {
            "uid": self.uid, "id": None, "version": 1, "schemaVersion": SCHEMA_VERSION, "title": self.title,
            "description": self.description, "tags": [TAG], "editable": False, "graphTooltip": 1,
            "timezone": "browser", "refresh": "30s", "time": {"from": self.since, "to": "now"}, "timepicker": {},
            "fiscalYearStartMonth": 0, "weekStart": "", "liveNow": False, "links": [link],
            "annotations": {"list": [each.to_json() for each in self.annotations]},
            "templating": {"list": [source, *(each.to_json() for each in self.variables)]},
            "panels": list(placed(self.panels)),
        }  # fmt: skip


def placed(panels: Iterable[Panel]) -> Iterable[Json]:
    """The panels on the grid: as many beside each other as have room; a row begins below all before it."""
    x = y = bottom = 0
    for number, panel in enumerate(panels, 1):
        if x + panel.width > COLUMNS:
            x, y = 0, bottom
        yield panel.to_json(number, x, y)
        bottom = max(bottom, y + panel.height)
        x += panel.width


def _target(query: Query, at: int) -> Json:
    return {
        "refId": chr(ord("A") + at), "datasource": DATASOURCE, "editorMode": "code", "expr": query.expr,
        "legendFormat": query.legend, "format": "table" if query.table else "time_series",
        "instant": query.instant or query.table, "range": not (query.instant or query.table),
    }  # fmt: skip
