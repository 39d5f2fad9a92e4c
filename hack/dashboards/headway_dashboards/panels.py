"""The kinds of panels, each as all dashboards show it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from headway_dashboards.parts import GREEN, ORANGE, RED, Column, Json, Panel, Query, Step

LAST: Json = {"calcs": ["lastNotNull"], "fields": "", "values": False}


def steps(*found: Step) -> Json:
    """Thresholds, from the lowest colour on."""
    return {"mode": "absolute", "steps": [{"color": colour, "value": value} for value, colour in found]}


def higher_is_worse(warn: float, bad: float) -> tuple[Step, ...]:
    """Green, then orange, then red."""
    return ((None, GREEN), (warn, ORANGE), (bad, RED))


def lower_is_worse(bad: float, warn: float) -> tuple[Step, ...]:
    """Red below `bad`, orange below `warn`, else green."""
    return ((None, RED), (bad, ORANGE), (warn, GREEN))


def texts(found: Mapping[str, tuple[str, str]]) -> list[Json]:
    """Words and colours in place of numbers."""
    return [{"type": "value", "options": {value: {"text": t, "color": c} for value, (t, c) in found.items()}}]


def painted(colours: Mapping[str, str]) -> tuple[Json, ...]:
    """The colour of each series by its name."""
    return tuple(
        {
            "matcher": {"id": "byName", "options": name},
            "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": colour}}],
        }
        for name, colour in colours.items()
    )


def row(title: str) -> Panel:
    """A heading."""
    return Panel(kind="row", title=title, height=1)


def note(title: str, description: str, markdown: str, *, width: int = 24, height: int = 4) -> Panel:
    """Words."""
    return Panel(
        kind="text", title=title, description=description, width=width, height=height,
        options={"mode": "markdown", "content": markdown, "code": {"language": "plaintext", "showLineNumbers": False}},
    )  # fmt: skip


def stat(
    title: str, description: str, unit: str, *queries: Query, width: int = 4, height: int = 4,
    thresholds: tuple[Step, ...] = (), words: Mapping[str, tuple[str, str]] | None = None, decimals: int | None = None,
    spark: bool = False, fill: bool = False, none: str = "", may_be_empty: str = "", links: tuple[Json, ...] = (),
    overrides: tuple[Json, ...] = (),
) -> Panel:  # fmt: skip
    """Large numbers. fill: the colour fills the panel: for what has to be seen first. none: what nothing is called."""
    defaults: Json = {
        "color": {"mode": "thresholds"},
        "thresholds": steps(*(thresholds or ((None, "text"),))),
        "mappings": texts(words or {}),
    }
    if decimals is not None:
        defaults["decimals"] = decimals
    if none:
        defaults["noValue"] = none
    return Panel(
        kind="stat", title=title, description=description, unit=unit, queries=queries, width=width, height=height,
        defaults=defaults, may_be_empty=may_be_empty, links=links, overrides=overrides,
        options={
            "colorMode": "background_solid" if fill else "value", "graphMode": "area" if spark else "none",
            "justifyMode": "auto", "orientation": "auto", "textMode": "auto", "wideLayout": True,
            "showPercentChange": False, "percentChangeColorMode": "standard", "reduceOptions": LAST,
        },
    )  # fmt: skip


def lines(
    title: str, description: str, unit: str, *queries: Query, width: int = 12, height: int = 8,
    stacked: bool = False, least: float | None = 0, most: float | None = None, colours: Mapping[str, str] | None = None,
    decimals: int | None = None, legend: Literal["list", "table"] = "list", calcs: tuple[str, ...] = (),
    limit: float | None = None, may_be_empty: str = "", none: str = "", overrides: tuple[Json, ...] = (),
    log: bool = False, steps_like: bool = False,
) -> Panel:  # fmt: skip
    """Curves over time. limit: from which value on it is bad; a red line shows it."""
    custom: Json = {
        "drawStyle": "line", "lineInterpolation": "stepAfter" if steps_like else "linear", "lineWidth": 1,
        "fillOpacity": 60 if stacked else 8, "showPoints": "never", "pointSize": 4, "spanNulls": False,
        "gradientMode": "none", "axisPlacement": "auto", "axisLabel": "",
        "scaleDistribution": {"type": "log", "log": 10} if log else {"type": "linear"},
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if limit is not None else "off"},
    }  # fmt: skip
    if limit is not None:
        custom["axisSoftMax"] = limit
    defaults: Json = {
        "color": {"mode": "palette-classic"},
        "custom": custom,
        "mappings": [],
        "thresholds": steps((None, "transparent"), *(((limit, RED),) if limit is not None else ())),
    }
    for key, value in (("min", least), ("max", most), ("decimals", decimals), ("noValue", none or None)):
        if value is not None:
            defaults[key] = value
    return Panel(
        kind="timeseries", title=title, description=description, unit=unit, queries=queries, width=width, height=height,
        defaults=defaults, overrides=(*painted(colours or {}), *overrides), may_be_empty=may_be_empty,
        options={
            "legend": {"showLegend": True, "displayMode": legend, "placement": "bottom", "calcs": list(calcs)},
            "tooltip": {"mode": "multi", "sort": "desc", "hideZeros": False},
        },
    )  # fmt: skip


def bars(
    title: str, description: str, unit: str, *queries: Query, width: int = 8, height: int = 8,
    thresholds: tuple[Step, ...] = (), colours: Mapping[str, str] | None = None, most: float | None = None,
    decimals: int | None = None, none: str = "", may_be_empty: str = "",
) -> Panel:  # fmt: skip
    """A bar for each series, as it is now."""
    defaults: Json = {
        "color": {"mode": "thresholds"},
        "thresholds": steps(*(thresholds or ((None, "blue"),))),
        "mappings": [],
        "min": 0,
    }
    for key, value in (("max", most), ("decimals", decimals), ("noValue", none or None)):
        if value is not None:
            defaults[key] = value
    return Panel(
        kind="bargauge", title=title, description=description, unit=unit, queries=queries, width=width, height=height,
        defaults=defaults, overrides=painted(colours or {}), may_be_empty=may_be_empty,
        options={
            "displayMode": "gradient", "orientation": "horizontal", "showUnfilled": True, "valueMode": "color",
            "namePlacement": "left", "sizing": "auto", "minVizHeight": 16, "minVizWidth": 8, "maxVizHeight": 300,
            "legend": {"showLegend": False, "displayMode": "list", "placement": "bottom", "calcs": []},
            "reduceOptions": LAST,
        },
    )  # fmt: skip


def table(
    title: str, description: str, queries: tuple[Query, ...], names: Mapping[str, str],
    columns: tuple[Column, ...] = (), *, width: int = 24, height: int = 8, sort: str = "", descending: bool = True,
    none: str = "", may_be_empty: str = "", hidden: tuple[str, ...] = (),
) -> Panel:  # fmt: skip
    """Rows that agree in their labels become one.

    names: what each label, and `Value #A`, `Value #B` ... of the queries is called, in the order of the columns; a
    table of one query has `Value`. hidden: labels that are not shown.
    """
    organize: Json = {
        "excludeByName": dict.fromkeys(("Time", *hidden), True),
        "renameByName": dict(names),
        "indexByName": {name: at for at, name in enumerate(names)},
        "includeByName": {},
    }
    defaults: Json = {
        "color": {"mode": "thresholds"}, "mappings": [], "thresholds": steps((None, "text")),
        "custom": {"align": "auto", "cellOptions": {"type": "auto"}, "inspect": False, "filterable": False},
    }  # fmt: skip
    if none:
        defaults["noValue"] = none
    return Panel(
        kind="table", title=title, description=description, unit="short", width=width, height=height,
        queries=tuple(replace(query, table=True) for query in queries), defaults=defaults,
        overrides=tuple(_column(column) for column in columns), may_be_empty=may_be_empty,
        transformations=({"id": "merge", "options": {}}, {"id": "organize", "options": organize}),
        options={
            "showHeader": True, "cellHeight": "sm",
            "footer": {"show": False, "reducer": ["sum"], "countRows": False, "fields": ""},
            "sortBy": [{"displayName": sort, "desc": descending}] if sort else [],
        },
    )  # fmt: skip


def _column(column: Column) -> Json:
    told: dict[str, Any] = {
        "unit": column.unit or None,
        "decimals": column.decimals,
        "custom.width": column.width,
        "thresholds": steps(*column.steps) if column.steps else None,
        "min": None if column.most is None else 0,
        "max": column.most,
        "mappings": _mappings(column) or None,
    }
    if column.cell != "auto":
        told["custom.cellOptions"] = {"type": column.cell} | ({} if column.cell == "color-text" else {"mode": "basic"})
    if column.link:
        told["links"] = [{"title": column.link_title, "url": column.link, "targetBlank": False}]
    found = [{"id": what, "value": value} for what, value in told.items() if value is not None]
    return {"matcher": {"id": "byName", "options": column.name}, "properties": found}


def _mappings(column: Column) -> list[Json]:
    found = texts({text: (text, colour) for text, colour in column.colours.items()}) if column.colours else []
    if column.none:
        nothing = {"text": column.none, "color": "transparent"}
        found.append({"type": "special", "options": {"match": "null+nan", "result": nothing}})
    return found
