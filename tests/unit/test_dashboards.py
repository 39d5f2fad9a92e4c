"""Grafana's dashboards: made of the code, without what its linter would find, and about metrics that there are."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from functools import partial
from typing import Any, get_args

import pytest

from headway_api.deployment_status import Phase as DeploymentPhase
from headway_api.status import SPENT
from headway_api.status import Phase as JobPhase
from headway_dashboards import all_dashboards, promql
from headway_dashboards.__main__ import main, text
from headway_dashboards.drawing import RENDER, why_not
from headway_dashboards.lint import problems
from headway_dashboards.parts import PHASE_COLOURS, STATE_COLOURS, Dashboard, Panel
from metric_names import files, known

DASHBOARDS = {dashboard.uid: dashboard for dashboard in all_dashboards()}
KNOWN = known()
QUERIES = [
    pytest.param(panel, query.expr, query.legend, id=f"{dashboard.uid}: {panel.title} {at}")
    for dashboard in DASHBOARDS.values()
    for panel in dashboard.panels
    for at, query in enumerate(panel.queries)
]


def names(expr: str) -> promql.Names:
    return promql.names(promql.made_up(expr))


def test_what_the_chart_has_is_what_the_code_makes() -> None:
    wanted = {dashboard.file: text(dashboard) for dashboard in DASHBOARDS.values()}
    assert {path.name: path.read_text() for path in files()} == wanted, "run make generate"


def test_files_of_dashboards_that_are_no_more_go(tmp_path: Any) -> None:
    (tmp_path / "old.json").write_text("{}")
    main(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in files()}


def test_the_six_dashboards_have_no_problem() -> None:
    made = [json.loads(path.read_text()) for path in files()]
    assert {one["uid"] for one in made} == {
        f"headway-{name}" for name in ("overview", "operator", "jobs", "job", "gpu", "deployments")
    }
    assert problems(made) == []


@pytest.mark.parametrize(("panel", "expr", "legend"), QUERIES)
def test_a_query_speaks_of_metrics_and_labels_that_there_are(panel: Panel, expr: str, legend: str) -> None:
    found = names(expr)
    assert {metric for metric, _ in found.selects} - set(KNOWN) == set(), panel.title
    for metric, labels in found.selects:
        assert labels <= KNOWN[metric], f"{metric} has no such labels"
    there = set().union(*(KNOWN[metric] for metric, _ in found.selects)) | found.made
    assert found.grouped <= there
    told = {word.strip(" }") for word in legend.split("{{")[1:] for word in [word.partition("}}")[0]]}
    assert told <= there


def test_what_a_table_renames_are_labels_that_there_are() -> None:
    for dashboard in DASHBOARDS.values():
        for panel in dashboard.panels:
            for one in (each["options"] for each in panel.transformations if each["id"] == "organize"):
                labels = {name for name in one["renameByName"] if not name.startswith("Value")}
                grouped: set[str] = set().union(*(names(query.expr).grouped for query in panel.queries))
                assert labels <= grouped, f"{dashboard.title}, {panel.title}"


def test_variables_and_annotations_speak_of_metrics_that_there_are() -> None:
    for dashboard in DASHBOARDS.values():
        asked: list[tuple[str, set[str]]] = [(one.expr, set()) for one in dashboard.annotations]
        for one in dashboard.variables:
            if not one.typed:
                series, _, label = one.query.removeprefix("label_values(")[:-1].rpartition(", ")
                asked.append((series, {label}))
        assert asked
        for expr, more in asked:
            for metric, labels in names(expr).selects:
                assert labels | more <= KNOWN[metric], expr


def broken(change: Callable[[dict[str, Any]], None], uid: str = "headway-jobs") -> list[str]:
    """What the lint says once one dashboard was changed for the worse."""
    made = [copy.deepcopy(dashboard.to_json()) for dashboard in DASHBOARDS.values()]
    change(next(one for one in made if one["uid"] == uid))
    return problems(made)


def first(kind: str, dashboard: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(panel for panel in dashboard["panels"] if panel["type"] == kind)
    return found


table_of, stat_of, curve_of = (partial(first, kind) for kind in ("table", "stat", "timeseries"))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda d: d.update(editable=True), "editable is not False"),
        (lambda d: d.update(uid="headway-job"), "two dashboards have the uid headway-job"),
        (lambda d: d.update(uid="Jobs"), "the uid 'Jobs' is not headway-NAME"),
        (lambda d: d.update(schemaVersion=27), "schemaVersion is not 39"),
        (lambda d: d.update(__inputs=[]), "__inputs and __requires"),
        (lambda d: d.update(title="Jobs"), "its title begins with"),
        (lambda d: d["templating"]["list"].pop(0), "its first variable is not the data source"),
        (lambda d: d["templating"]["list"].pop(), "nobody declares the variable metric"),
        (lambda d: d["templating"]["list"][1].update(refresh=1), "variable namespace: it is not read again"),
        (lambda d: d["templating"]["list"][1].pop("allValue"), "All has to be .*"),
        (lambda d: d["annotations"]["list"][0].update(datasource="prometheus"), "an annotation does not use"),
        (lambda d: stat_of(d).update(datasource={"uid": "prometheus"}), "it does not use the data source"),
        (lambda d: stat_of(d).update(description=""), "its description is not a sentence"),
        (lambda d: stat_of(d).update(type="gauge"), "nobody can draw gauge"),
        (lambda d: stat_of(d).update(title="Rows/s", targets=[]), "it asks for nothing"),
        (lambda d: stat_of(d)["fieldConfig"]["defaults"].update(unit="parsecs"), "its unit is not one of"),
        (lambda d: stat_of(d)["gridPos"].update(w=25), "is wider than the grid"),
        (lambda d: stat_of(d)["gridPos"].update(w=5), "Running and Waiting or starting overlap"),
        (lambda d: stat_of(d).update(title="Jobs"), "two panels are called 'Jobs'"),
        (lambda d: stat_of(d)["targets"][0].update(legendFormat=""), "A: its series have no names"),
        (lambda d: stat_of(d)["targets"][0].update(expr=" "), "A: it is empty"),
        (lambda d: stat_of(d)["targets"][0].update(expr="rate(x_total[5m])"), "A: it looks back 5m"),
        (lambda d: stat_of(d)["targets"][0].update(expr="irate(x_total[1h])"), "A: irate shows two points"),
        (lambda d: stat_of(d)["targets"][0].update(expr="sum(x_total)"), "A: x_total is a counter"),
        (lambda d: stat_of(d)["targets"][0].update(expr="x{y=~'$unknown'}"), "nobody declares the variable unknown"),
        (lambda d: curve_of(d)["targets"][0].update(instant=True), "A: curves ask for ranges"),
        (lambda d: table_of(d)["targets"][0].update(format="time_series"), "A: tables ask for tables"),
        (lambda d: table_of(d)["targets"].pop(), "no query gives Value #J"),
        (lambda d: table_of(d)["options"].update(sortBy=[{"displayName": "Age"}]), "there is no column Age"),
        (lambda d: d.update(panels=[p for p in d["panels"] if p["type"] != "x"], tags=[]), "tags is not ['headway']"),
    ],
)
def test_the_lint_names_what_is_wrong(change: Callable[[dict[str, Any]], None], told: str) -> None:
    assert any(told in problem for problem in broken(change))


def test_the_lint_names_a_link_that_leads_nowhere_or_takes_what_is_not_there() -> None:
    def elsewhere(dashboard: dict[str, Any]) -> None:
        panel = table_of(dashboard)
        changed = json.dumps(panel["fieldConfig"]).replace("/d/headway-job?", "/d/headway-work?")
        panel["fieldConfig"] = json.loads(changed.replace("__data.fields.Namespace", "__data.fields.Team"))

    found = broken(elsewhere)
    assert any("nobody is at /d/headway-work?" in problem for problem in found)
    assert any("a link needs the column Team" in problem for problem in found)


@pytest.mark.parametrize(
    ("expr", "selects", "grouped"),
    [
        ("up", [("up", set())], set()),
        ('sum by (a, b) (rate(x_total{c=~"a[0-9]{2}", d!="1"}[1m]))', [("x_total", {"c", "d"})], {"a", "b"}),
        ("sum(x) by (a)", [("x", set())], {"a"}),
        ("1e3 * x offset 5m > bool 2", [("x", set())], set()),
        ("x / on (k) group_left (l) y", [("x", set()), ("y", set())], {"k", "l"}),
        ('topk(10, a:b:c{d="x, y{z}"} or vector(0))', [("a:b:c", {"d"})], set()),
        ("time() - max without(pod, instance) (x) unless x", [("x", set()), ("x", set())], {"pod", "instance"}),
    ],
)
def test_names_in_an_expression_are_found(expr: str, selects: list[tuple[str, set[str]]], grouped: set[str]) -> None:
    found = promql.names(expr)
    assert [(metric, set(labels)) for metric, labels in found.selects] == selects
    assert found.grouped == grouped


def test_a_label_that_an_expression_makes_is_one() -> None:
    assert promql.names('label_replace(sum(x), "made", "$1", "from", "(.+)")').made == {"made"}
    assert promql.ranges('rate(x{a=~"[0-9]"}[$__range])') == ["$__range"]


def test_variables_are_filled_in_as_grafana_does() -> None:
    told = promql.filled('x{a="$a", b="${b}", c="$1"}', {"a": "1", "b": "2"})
    assert told == 'x{a="1", b="2", c="$1"}'
    with pytest.raises(KeyError):
        promql.filled("$c", {})


def test_each_phase_and_state_has_its_colour() -> None:
    assert set(STATE_COLOURS) == set(SPENT)
    assert {*get_args(JobPhase), *get_args(DeploymentPhase)} <= set(PHASE_COLOURS)


def test_a_panel_that_may_be_empty_says_so_to_whoever_looks() -> None:
    for dashboard in DASHBOARDS.values():
        assert isinstance(dashboard, Dashboard)
        for panel in dashboard.panels:
            if panel.may_be_empty and panel.kind in ("stat", "bargauge", "table"):
                assert panel.defaults.get("noValue"), f"{dashboard.title}, {panel.title}"


def test_a_machine_that_cannot_draw_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert why_not() == "drawing dashboards needs node, and there is none on PATH"
    for name in ("node", "npm"):
        (tmp_path / name).touch(mode=0o755)
    assert why_not() == "drawing dashboards needs chromium, and there is none on PATH"
    (tmp_path / "google-chrome").touch(mode=0o755)
    assert why_not() is None


def test_packages_of_the_renderer_are_fixed_without_the_address_of_a_registry() -> None:
    lock = json.loads((RENDER / "package-lock.json").read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert len(packages) > 300
    assert all(package["integrity"].startswith("sha512-") for package in packages.values())
    assert [name for name, package in packages.items() if "resolved" in package] == []
    assert not [name for name, package in packages.items() if "AGPL" in package.get("license", "")]
    wanted = json.loads((RENDER / "package.json").read_text())["dependencies"]
    assert {name: packages[f"node_modules/{name}"]["version"] for name in wanted} == wanted
