"""What is wrong with a dashboard, by the rules of Grafana's dashboard-linter that fit, and by some of our own. Pure.

Of its rules those on variables `job` and `instance` do not fit: Headway's metrics are told apart by their names, and a
cluster has one Headway.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import combinations

from headway_dashboards import promql
from headway_dashboards.parts import COLUMNS, DATASOURCE, SCHEMA_VERSION, TAG, Json

DRAWN = {"row", "stat", "timeseries", "bargauge", "table", "text"}
UNITS = {"none", "short", "s", "ops", "reqps", "percentunit", "bytes", "Bps", "watt"}
"""Of Grafana's units, those that are used."""
RANGES = {"$__rate_interval", "$__range", "1h"}
"""How long an expression may look back: what fits the resolution, all that is shown, or, for what is rare, an hour."""
TOTALS = {"headway_job_time_seconds_total"}
"""Counters of a job's whole life, kept in its status: their values mean something without rate."""
OF_GRAFANA = {"__rate_interval", "__range", "__interval", "__data", "__url_time_range"}


def problems(dashboards: Iterable[Json]) -> list[str]:
    """What is wrong with dashboards that link to each other."""
    made = list(dashboards)
    uids = [dashboard["uid"] for dashboard in made]
    found = [f"two dashboards have the uid {uid}" for uid in sorted({uid for uid in uids if uids.count(uid) > 1})]
    for dashboard in made:
        found += [f"{dashboard['title']}: {problem}" for problem in _dashboard(dashboard)]
        for panel in dashboard["panels"]:
            wrong = [*_panel(panel), *_links(panel, set(uids)), *_names(panel)]
            found += [f"{dashboard['title']}, {panel['title']}: {problem}" for problem in wrong]
    return found


def _dashboard(dashboard: Json) -> Iterator[str]:
    wanted = {
        "id": None, "schemaVersion": SCHEMA_VERSION, "editable": False, "tags": [TAG], "graphTooltip": 1,
        "refresh": "30s", "version": 1,
    }  # fmt: skip
    yield from (f"{key} is not {value!r}" for key, value in wanted.items() if dashboard.get(key) != value)
    if not re.fullmatch(r"headway-[a-z]+", dashboard["uid"]):
        yield f"the uid {dashboard['uid']!r} is not headway-NAME"
    if not dashboard["title"].startswith("Headway / ") or not dashboard["description"].endswith("."):
        yield "its title begins with 'Headway / ', and its description is a sentence"
    if "__inputs" in dashboard or "__requires" in dashboard:
        yield "__inputs and __requires are for the import dialog only"
    first, *others = dashboard["templating"]["list"]
    if (first["name"], first["type"], first["query"]) != ("datasource", "datasource", "prometheus"):
        yield "its first variable is not the data source"
    for variable in others:
        yield from (f"variable {variable['name']}: {problem}" for problem in _variable(variable))
    declared = {variable["name"] for variable in dashboard["templating"]["list"]} | OF_GRAFANA
    used = set().union(*(promql.variables(text) for text in _texts(dashboard)))
    yield from (f"nobody declares the variable {name}" for name in sorted(used - declared))
    yield from (f"nobody uses the variable {name}" for name in sorted(declared - used - OF_GRAFANA))
    if any(one["datasource"] != DATASOURCE for one in dashboard["annotations"]["list"]):
        yield "an annotation does not use the data source that is chosen"
    titles = [panel["title"] for panel in dashboard["panels"]]
    yield from (f"two panels are called {title!r}" for title in sorted({t for t in titles if titles.count(t) > 1}))
    yield from _grid(dashboard["panels"])


def _variable(variable: Json) -> Iterator[str]:
    if variable["type"] == "textbox":
        return
    if variable["datasource"] != DATASOURCE:
        yield "it does not use the data source that is chosen"
    if variable["refresh"] != 2:  # noqa: PLR2004 - Grafana's number for: when the time changes
        yield "it is not read again when the time changes"
    if not re.fullmatch(r"label_values\(.+, \w+\)", variable["query"]["query"]):
        yield "it is not label_values(series, label)"
    if variable["includeAll"] != (variable.get("allValue") == ".*"):
        yield "All has to be .*, which also matches what has no such label"


def _grid(panels: list[Json]) -> Iterator[str]:
    places = [(panel["title"], *(panel["gridPos"][key] for key in "xywh")) for panel in panels]
    yield from (f"{title} is wider than the grid" for title, x, _, w, _ in places if x + w > COLUMNS)
    for (one, x, y, w, h), (other, x2, y2, w2, h2) in combinations(places, 2):
        if x < x2 + w2 and x2 < x + w and y < y2 + h2 and y2 < y + h:
            yield f"{one} and {other} overlap"


def _panel(panel: Json) -> Iterator[str]:
    if panel["type"] not in DRAWN:
        yield f"nobody can draw {panel['type']}"
    if panel["type"] == "row":
        return
    if not panel["description"].endswith("."):
        yield "its description is not a sentence"
    if panel["type"] == "text":
        return
    if panel["datasource"] != DATASOURCE or any(target["datasource"] != DATASOURCE for target in panel["targets"]):
        yield "it does not use the data source that is chosen"
    if panel["fieldConfig"]["defaults"].get("unit") not in UNITS:
        yield f"its unit is not one of {sorted(UNITS)}"
    if not panel["targets"]:
        yield "it asks for nothing"
    for target in panel["targets"]:
        yield from (f"{target['refId']}: {problem}" for problem in _target(panel, target))


def _target(panel: Json, target: Json) -> Iterator[str]:
    expr = target["expr"]
    if not expr.strip():
        yield "it is empty"
    if panel["type"] != "table" and not target["legendFormat"]:
        yield "its series have no names"
    if (panel["type"] == "table") != (target["format"] == "table"):
        yield "tables ask for tables, and nobody else does"
    if panel["type"] == "timeseries" and target["instant"]:
        yield "curves ask for ranges"
    yield from (f"it looks back {length}" for length in promql.ranges(expr) if length not in RANGES)
    if "irate" in expr:
        yield "irate shows two points of many"
    found = promql.names(promql.made_up(expr))
    for metric, _ in found.selects:
        counter = re.search(r"_(total|bucket|sum|count)$", metric)
        if counter and metric not in found.counted | TOTALS:
            yield f"{metric} is a counter, and is not in rate or increase"


def _names(panel: Json) -> Iterator[str]:
    """Columns of tables that overrides and sorting speak of."""
    if panel["type"] != "table":
        return
    organize = next(one["options"] for one in panel["transformations"] if one["id"] == "organize")
    columns = set(organize["renameByName"].values())
    spoken = {one["matcher"]["options"] for one in panel["fieldConfig"]["overrides"]}
    spoken |= {one["displayName"] for one in panel["options"]["sortBy"]}
    yield from (f"there is no column {name}" for name in sorted(spoken - columns))
    targets = panel["targets"]
    values = {f"Value #{target['refId']}" for target in targets} if len(targets) > 1 else {"Value"}
    told = {name for name in organize["renameByName"] if name.startswith("Value")} | set(organize["excludeByName"])
    yield from (f"{name} is neither shown nor hidden" for name in sorted(values - told))
    yield from (f"no query gives {name}" for name in sorted({t for t in told if t.startswith("Value")} - values))


def _links(panel: Json, uids: set[str]) -> Iterator[str]:
    for override in panel.get("fieldConfig", {}).get("overrides", ()):
        for link in (one for each in override["properties"] if each["id"] == "links" for one in each["value"]):
            path = re.match(r"/d/([\w-]+)\?", link["url"])
            if path is None or path[1] not in uids:
                yield f"nobody is at {link['url']}"
            organize = next(one["options"] for one in panel["transformations"] if one["id"] == "organize")
            columns = set(organize["renameByName"].values())
            fields = set(re.findall(r"\$\{__data\.fields\.(\w+)\}", link["url"]))
            yield from (f"a link needs the column {name}" for name in sorted(fields - columns))


def _texts(dashboard: Json) -> Iterator[str]:
    for panel in dashboard["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
        yield panel.get("options", {}).get("content", "")
        for override in panel.get("fieldConfig", {}).get("overrides", ()):
            yield from (one["url"] for each in override["properties"] if each["id"] == "links" for one in each["value"])
    yield from (one["expr"] for one in dashboard["annotations"]["list"])
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"]["query"]
        if variable["type"] == "datasource":
            yield "${datasource}"
