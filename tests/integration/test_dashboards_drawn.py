"""Each dashboard drawn by Grafana's own published parts, with the numbers of a real Prometheus: no query fails or is
empty, and what is wrong with a panel is told by name.

HEADWAY_PICTURES=docs/images/grafana keeps the pictures there: they are those of docs/how-to/grafana.md.
"""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from drawn.history import HOURS, SINCE, UNTIL
from drawn.prometheus import remembering
from drawn.world import ALERTS, world
from harness import ROOT
from headway_cluster.paths import cache_dir
from headway_dashboards import all_dashboards
from headway_dashboards.drawing import WIDTH, Moment, bundled, draw, why_not
from headway_dashboards.parts import Dashboard
from metric_names import known

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

CHOSEN = {
    "headway-jobs": {"metric": "train/loss"},
    "headway-job": {"namespace": "vision", "job": "resnet"},
}
EMPTY = {"headway-job": ["Trials by state"]}
"""Panels that have nothing to show in these pictures: resnet does not tune."""
ADDED = {"namespace", "pod", "instance", "job"}
"""Labels that scraping adds."""
MOST_BYTES = 200_000
DASHBOARDS = {dashboard.uid: dashboard for dashboard in all_dashboards()}
PICTURES = ROOT / "docs/images/grafana"


def moment(uid: str) -> Moment:
    return Moment(since=SINCE, until=UNTIL, step=60, values=CHOSEN.get(uid, {}))


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One that remembers six hours."""
    if reason := why_not():
        pytest.skip(reason)
    if not shutil.which("promtool") and not shutil.which("apt-get"):
        pytest.skip("needs Prometheus, or apt-get to fetch it")
    with remembering(world(), tmp_path_factory.mktemp("history")) as address:
        yield address


@pytest.fixture(scope="module")
def page(prometheus: str) -> Path:  # noqa: ARG001 - it says whether anything can be drawn
    """The page that draws; the first time its packages are installed."""
    return bundled(cache_dir())


def test_the_pictures_show_alerts_that_there_are() -> None:
    rules = [ROOT / f"charts/headway/files/{name}.yaml" for name in ("alerts", "job-alerts")]
    told = {
        (rule["alert"], rule["labels"]["severity"])
        for path in rules
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
    }
    assert {(name, severity) for name, severity, _ in ALERTS} <= told


def test_the_pictures_show_metrics_and_labels_that_there_are() -> None:
    there = known()
    for name, rows in world().series.items():
        for labels, _ in rows:
            assert set(labels) <= there[name] | ADDED, name


@pytest.mark.parametrize("dashboard", [pytest.param(one, id=uid) for uid, one in DASHBOARDS.items()])
def test_a_dashboard_is_drawn_and_each_of_its_queries_finds_something(
    dashboard: Dashboard, prometheus: str, page: Path, tmp_path: Path
) -> None:
    folder = ROOT / os.environ["HEADWAY_PICTURES"] if "HEADWAY_PICTURES" in os.environ else tmp_path
    folder.mkdir(parents=True, exist_ok=True)
    picture = folder / f"{dashboard.uid.removeprefix('headway-')}.png"
    empty = EMPTY.get(dashboard.uid, [])
    assert set(empty) <= {panel.title for panel in dashboard.panels if panel.may_be_empty}
    told = draw(page, dashboard.to_json(), prometheus, moment(dashboard.uid), picture, may_be_empty=empty)
    assert told == []
    with Image.open(picture) as image:
        assert image.width == WIDTH
        drawn = image.convert("RGB").getcolors(1_000_000) or []
    assert len(drawn) > 40, "more than a background and words"
    assert max(count for count, _ in drawn) < 0.9 * image.width * image.height
    assert picture.stat().st_size < MOST_BYTES
    assert (PICTURES / picture.name).is_file(), "the page shows it"


def test_what_is_wrong_with_a_dashboard_is_told_by_the_panels_name(prometheus: str, page: Path, tmp_path: Path) -> None:
    broken = broken_jobs()
    told = draw(page, broken, prometheus, moment("headway-jobs"), tmp_path / "broken.png")
    found = "\n".join(told)
    assert "Running: A fails: bad_data" in found
    assert "Waiting or starting: A finds nothing: sum(headway_jobs_that_are_not)" in found
    assert "Progress: A: series lack the label nobody" in found
    assert "Jobs: a link needs the column Team" in found
    assert "Goodput: nobody can draw heatmap" in found
    assert "variable namespace: no values for" in found
    assert "annotation Alerts: bad_data" in found
    assert len(told) == 7, found


def broken_jobs() -> dict[str, Any]:
    """A dashboard with one mistake of each kind."""
    made = copy.deepcopy(DASHBOARDS["headway-jobs"].to_json())
    panels = {panel["title"]: panel for panel in made["panels"]}
    panels["Running"]["targets"][0]["expr"] = "sum("
    panels["Waiting or starting"]["targets"][0]["expr"] = "sum(headway_jobs_that_are_not)"
    panels["Progress"]["targets"][0]["legendFormat"] = "{{nobody}}"
    panels["Goodput"]["type"] = "heatmap"
    for override in panels["Jobs"]["fieldConfig"]["overrides"]:
        for one in override["properties"]:
            if one["id"] == "links":
                one["value"][0]["url"] += "&var-team=${__data.fields.Team}"
    made["templating"]["list"][1]["query"]["query"] = "label_values(headway_nothing, job_namespace)"
    made["annotations"]["list"][0]["expr"] = "ALERTS{"
    # One panel of each mistake is enough: others would tell the same again.
    kept = ("Running", "Waiting or starting", "Progress", "Goodput", "Jobs")
    made["panels"] = [panels[title] for title in kept]
    return made


def test_pictures_of_the_page_are_those_of_the_dashboards() -> None:
    assert {path.stem for path in PICTURES.glob("*.png")} == {uid.removeprefix("headway-") for uid in DASHBOARDS}
    assert HOURS * 3600 == UNTIL - SINCE
