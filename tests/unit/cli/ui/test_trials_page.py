"""The pages of a job's trials."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import pytest

import made_searches
from fake_kubectl import FakeKubectl, listed, recorded
from headway_cli import found_trials
from headway_cli.cluster.errors import ClusterError
from headway_cli.found_trials import Found
from headway_cli.ui.trials import reading
from headway_cli.ui.trials.drawings import MOST_LINES, MOST_POINTS
from headway_cli.ui.trials.search import MOST_WORDS
from headway_trainer.report.trial_records import trial_records
from headway_trainer.tuning.events import Asked, Ended, Event, Repeated
from ui_visitor import Element, Visitor

PATH = "/jobs/default/search/trials"
HOSTILE = '<script>alert(1)</script>\x1b[31m" onload="x'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of the run, in what stands for its volume."""
    return tmp_path / "volume/default/search-1"


def given(kubectl: FakeKubectl, job: dict[str, Any]) -> None:
    kubectl.says(listed(job), "get", f"/{job['metadata']['name']}")
    kubectl.runs("exec")


def column(page: Element, head: str) -> list[str]:
    heads, *rows = page.one("table").rows()
    return [row[heads.index(head)] for row in rows]


async def test_trials_of_a_finished_run_are_listed_the_best_first_and_in_pages(
    visitor: Visitor, kubectl: FakeKubectl, folder: Path
) -> None:
    records = made_searches.write(folder, 120)
    given(kubectl, made_searches.job(folder, 120))
    first, last = await visitor.page(PATH), await visitor.page(f"{PATH}?page=3")
    values = [float(cell) for cell in column(first, made_searches.METRIC)]
    assert len(values) == 50
    assert values == sorted(values)
    best = min((one for one in records if one.value is not None), key=lambda one: one.value or 0)
    assert column(first, "Trial")[0] == str(best.number)
    assert f"The best is trial {best.number} , with validation/loss {best.value:.6g}." in first.one(id="told").text
    assert column(last, "State")[-1] == "failed OutOfMemory"
    assert column(last, made_searches.METRIC)[-1] == ""
    assert len(first.all("svg", class_="spark")) == 50
    assert first.one("nav", class_="pager").text == "1 to 50 of 120 Worse"
    assert first.one("nav", class_="pager").one("a").attributes["href"] == f"{PATH}?page=2"


async def test_the_drawings_have_every_trial_with_a_value_and_lead_to_its_page(
    visitor: Visitor, kubectl: FakeKubectl, folder: Path
) -> None:
    records = made_searches.write(folder, 60)
    given(kubectl, made_searches.job(folder, 60))
    page = await visitor.page(f"{PATH}?x={made_searches.MOMENTUM}")
    valued = {str(one.number) for one in records if one.value is not None}
    for drawing in ("by-number", "parallel"):
        marks = page.one("svg", id=drawing).all("a")
        assert {mark.attributes["data-of"] for mark in marks} == valued
        assert all(mark.attributes["href"] == f"{PATH}/{mark.attributes['data-of']}" for mark in marks)
        assert all("validation/loss" in mark.one("title").text for mark in marks)
    given_momentum = {str(one.number) for one in records if made_searches.MOMENTUM in one.parameters and one.value}
    shown = page.one("svg", id="by-parameter").all("a")
    assert {mark.attributes["data-of"] for mark in shown} == given_momentum
    chosen = [each for each in page.one("select", name="x").all("option") if "selected" in each.attributes]
    assert [each.text for each in chosen] == [made_searches.MOMENTUM]
    assert "style" not in {name for each in page.all() for name in each.attributes}


async def test_what_explains_most_is_drawn_first(visitor: Visitor, kubectl: FakeKubectl, folder: Path) -> None:
    made_searches.write(folder, 30)
    given(kubectl, made_searches.job(folder, 30))
    page = await visitor.page(PATH)
    options = [each.text for each in page.one("select", name="x").all("option")]
    assert options[:3] == [made_searches.LR, made_searches.HIDDEN, made_searches.NAME]
    assert "validation/loss by training.optimizer.lr" in page.one(id="points").text


async def test_trials_of_a_search_that_goes_on_are_ranked_too_and_the_page_is_asked_for_again(
    visitor: Visitor, kubectl: FakeKubectl, folder: Path
) -> None:
    made_searches.write(folder, 20, ended=False)
    given(kubectl, made_searches.job(folder, 20))
    page = await visitor.page(PATH)
    values = [float(cell) for cell in column(page, made_searches.METRIC) if cell]
    assert values == sorted(values)
    assert len(values) == 20
    assert page.one("body").attributes["data-every"] == "10.0"


async def test_trials_are_read_once_for_all_pages_of_the_next_seconds(
    visitor: Visitor, kubectl: FakeKubectl, folder: Path
) -> None:
    made_searches.write(folder, 5)
    given(kubectl, made_searches.job(folder, 5))
    for path in (PATH, f"{PATH}?page=2", f"{PATH}/3", f"{PATH}/3/curve.json"):
        assert (await visitor.ask(path)).status == 200
    assert len(kubectl.calls("exec")) == 1


async def test_a_trial_has_all_that_it_was_given_its_rank_and_its_curve(
    visitor: Visitor, kubectl: FakeKubectl, folder: Path
) -> None:
    records = made_searches.write(folder, 30)
    given(kubectl, made_searches.job(folder, 30))
    one = records[1]
    page = await visitor.page(f"{PATH}/2")
    told = page.one("main").text
    assert all(name in told for name in one.parameters)
    assert f"{one.value:.6g}" in told
    rank = 1 + sum((each.value or 9e9) < (one.value or 0) for each in records)
    assert f"Ranked {rank} of 29." in told
    source = page.one("figure", class_="chart").attributes["data-source"]
    curve = await (await visitor.ask(source)).json()
    assert curve == {"series": {"validation/loss": [list(point) for point in one.curve]}}


async def test_a_failed_trial_says_why(visitor: Visitor, kubectl: FakeKubectl, folder: Path) -> None:
    made_searches.write(folder, 23)
    given(kubectl, made_searches.job(folder, 23))
    page = await visitor.page(f"{PATH}/23")
    assert page.one("div", class_="note").text == "OutOfMemory: <script>alert(1)</script> CUDA out of memory"
    assert "It has no value." in page.one("p", class_="lead").text
    assert page.all("figure") == []


async def test_what_is_not_there_is_said(visitor: Visitor, kubectl: FakeKubectl, folder: Path) -> None:
    made_searches.write(folder, 3)
    given(kubectl, made_searches.job(folder, 3))
    for path, status, says in (
        ("/99", 404, "search has no trial 99"),
        ("/two", 404, "search has no trial two"),
        (f"/{'9' * 200}", 404, "search has no trial"),
        ("?x=nothing", 400, "?x= is no parameter"),
        ("?y=nothing", 400, "?y= is no metric"),
        ("?page=-1", 400, "?page="),
    ):
        assert says in (await visitor.page(f"{PATH}{path}", status=status)).one("main").text


async def test_a_job_without_a_search_has_no_trials(visitor: Visitor, kubectl: FakeKubectl) -> None:
    job = recorded("running")
    given(kubectl, job)
    page = await visitor.page(f"/jobs/default/{job['metadata']['name']}/trials", status=404)
    assert "its spec has no tuning" in page.one("main").text


async def test_before_the_first_trial_nothing_is_read_and_nothing_is_wrong(
    visitor: Visitor, kubectl: FakeKubectl, folder: Path
) -> None:
    job = made_searches.job(folder, 3)
    job["status"]["phase"] = "Queued"
    del job["status"]["tuning"], job["status"]["attempts"]
    kubectl.says(listed(job), "get", "/search")
    page = await visitor.page(PATH)
    assert page.one("p", class_="lead").text == "No trial has begun yet."
    assert page.all(class_="note") == page.all("table") == []
    assert page.one("body").attributes["data-every"] == "10.0"
    made_searches.write(folder, 20, ended=False)
    given(kubectl, made_searches.job(folder, 20, name="later"))
    begun = await visitor.page("/jobs/default/later/trials")
    before, after = (
        [each.attributes["id"] for each in found.all() if "data-live" in each.attributes] for found in (page, begun)
    )
    assert before == after, "what has begun appears in the page that is open"
    assert begun.one(id="table").all("table")


async def test_where_storage_cannot_be_read_the_status_tells_what_it_knows_and_the_page_says_why(
    visitor: Visitor, kubectl: FakeKubectl, folder: Path
) -> None:
    job = made_searches.job(folder, 40)
    job["status"]["attempts"][-1]["endTime"] = "2026-11-29T19:00:00Z"
    job["status"]["phase"] = "Succeeded"
    kubectl.says(listed(job), "get", "/search")
    page = await visitor.page(PATH)
    assert (
        "35 completed, 4 stopped, 1 failed of 40 planned. The best is trial 1, with validation/loss 0.2." in page.text
    )
    assert "--reader-pod makes one" in page.one("div", class_="note").text
    assert "headway trials tj/search" in page.one("div", class_="command").text
    assert kubectl.calls("exec") == kubectl.calls("create") == []


async def test_the_page_of_ten_thousand_trials_is_no_larger_than_a_browser_bears(
    visitor: Visitor, kubectl: FakeKubectl, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = made_searches.job(folder, 10_000)
    found = reading.search(Found(trial_records(made_searches.happened(10_000))), job)
    given(kubectl, job)
    monkeypatch.setattr(reading, "read", lambda *_: found)
    text = await (await visitor.ask(f"{PATH}?page=200")).text()
    assert len(text) < 1 << 20
    page = await visitor.page(f"{PATH}?page=200")
    assert [len(page.one("svg", id=drawing).all("a")) for drawing in ("by-parameter", "by-number", "parallel")] == [
        MOST_POINTS, MOST_POINTS, MOST_LINES,
    ]  # fmt: skip
    assert "1,000 of 9,566 trials are drawn: the best, and others evenly." in page.one(id="points").text
    assert len(column(page, "Trial")) == 50


def test_what_no_search_writes_is_left_out_and_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = trial_records(made_searches.happened(6))
    job = made_searches.job(tmp_path, 6)
    bent = [
        records[0].model_copy(update={"value": math.nan}),
        records[1].model_copy(update={"seconds": math.inf}),
        records[2].model_copy(update={"number": 10**400}),
        records[3].model_copy(
            update={"curve": [(-(10**400), 1.0), (10**400, 1.0), (1, math.nan), (2, 0.5), (3, 0.25)]}
        ),
        records[4].model_copy(update={"parameters": {"deep": [["x" * 5000]]}}),
    ]
    found = reading.search(Found(bent), job)
    assert sorted(one.number for one in found.trials) == [4, 5]
    four, five = (found.trial(number) for number in (4, 5))
    assert four is not None
    assert five is not None
    assert four.curve == ((2, 0.5), (3, 0.25))
    assert len(str(five.parameters["deep"])) == MOST_WORDS
    monkeypatch.setattr(reading, "MOST_TRIALS", 5)
    with pytest.raises(ClusterError, match="there are 6 trials, and these pages are for 5"):
        reading.search(Found(records), job)


async def test_a_package_that_is_missing_is_named(
    visitor: Visitor, kubectl: FakeKubectl, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(place: str) -> None:
        raise ModuleNotFoundError(f"no pyarrow for {place}", name="pyarrow")

    made_searches.write(folder, 3)
    given(kubectl, made_searches.job(folder, 3))
    monkeypatch.setattr(found_trials, "find", missing)
    page = await visitor.page(PATH)
    assert "the Python package pyarrow: pip install 'headway[trainer]'" in page.one("div", class_="note").text


async def test_the_more_trials_a_search_has_the_less_often_they_are_read(
    visitor: Visitor, kubectl: FakeKubectl, folder: Path
) -> None:
    made_searches.write(folder, 3, ended=False)
    given(kubectl, made_searches.job(folder, 10_000))
    page = await visitor.page(PATH)
    assert float(page.one("body").attributes["data-every"]) == 210


async def test_objectives_constraints_and_seeds_are_told(visitor: Visitor, kubectl: FakeKubectl, folder: Path) -> None:
    loss, size = "validation/loss", "model/bytes"
    events: list[Event] = []
    for number, (value, taken, over) in enumerate([(0.1, 900.0, 0.0), (0.2, 100.0, 0.0), (0.05, 500.0, 0.25)], 1):
        metrics = {loss: value, size: taken, "validation/accuracy": 1 - value}
        fields: dict[str, Any] = {"value": value, "metrics": metrics, "violation": over, "epochs": 2}
        events.append(Asked(trial=number, parameters={"model.width": number}))
        events.append(Ended(trial=number, state="completed", repeats=int(number == 1), **fields))
    events.append(Repeated(trial=1, repeat=2, seed=77))
    events.append(Ended(trial=1, repeat=2, state="completed", value=0.14, epochs=2))
    made_searches.log(folder, events)
    job = made_searches.job(folder, 3)
    job["spec"]["tuning"] = {
        "parameters": {"model.width": {"int": {"min": 1, "max": 9}}},
        "objectives": [{"metric": loss}, {"metric": size}],
        "constraints": [{"metric": "validation/accuracy", "min": 0.99}],
    }
    given(kubectl, job)
    page = await visitor.page(f"{PATH}?y={size}")
    assert column(page, "Trial") == ["1", "2", "3"], "what breaks a constraint is worse than all that keep it"
    assert column(page, loss) == ["0.1", "0.2", "0.05"]
    assert column(page, size) == ["900", "100", "500"]
    assert column(page, "Violation") == ["", "", "0.25"]
    assert column(page, "Front") == ["yes", "yes", ""]
    chosen = [each.text for each in page.one("select", name="y").all("option") if "selected" in each.attributes]
    assert chosen == [size]
    assert "model/bytes by model.width" in page.one(id="points").text
    first, last = await visitor.page(f"{PATH}/1"), await visitor.page(f"{PATH}/3")
    assert "It is on the front" in first.one("p", class_="lead").text
    assert "Mean over 2 seeds 0.12 ± 0.0282843" in first.one("main").text
    assert "Violation of constraints 0.25" in last.one("main").text


async def test_a_trial_that_was_repeated_has_its_mean_and_deviation_in_the_table(
    visitor: Visitor, kubectl: FakeKubectl, folder: Path
) -> None:
    events: list[Event] = [
        Asked(trial=1, parameters={"a": 1}),
        Ended(trial=1, state="completed", value=0.1, epochs=2, repeats=1),
        Repeated(trial=1, repeat=2, seed=77),
        Ended(trial=1, repeat=2, state="completed", value=0.14, epochs=2),
    ]
    made_searches.log(folder, events)
    given(kubectl, made_searches.job(folder, 1))
    assert column(await visitor.page(PATH), "validation/loss") == ["0.12 ± 0.0282843"]


async def test_words_of_tenants_are_words_and_nothing_else(
    visitor: Visitor, kubectl: FakeKubectl, folder: Path
) -> None:
    events: list[Event] = []
    for number in (1, 2, 3):
        events.append(Asked(trial=number, parameters={HOSTILE: f"{HOSTILE}{number}", "x" * 500: "y" * 5000}))
        events.append(Ended(trial=number, state="completed", value=0.5, message=HOSTILE, cause=HOSTILE, epochs=1))
    made_searches.log(folder, events)
    job = made_searches.job(folder, 3)
    job["status"]["tuning"] |= {"metric": HOSTILE}
    job["spec"]["tuning"] = {"entrypoint": HOSTILE}
    given(kubectl, job)
    for path in (PATH, f"{PATH}/2"):
        answer = await visitor.ask(path)
        text = await answer.text()
        page = await visitor.page(path)
        assert answer.status == 200
        assert "alert(1)" in page.text
        assert "<script>alert" not in text
        assert "\x1b" not in page.text
        assert not [each for each in page.all() if "onload" in each.attributes]
        assert all(each.attributes.get("src", "").startswith("/static/") for each in page.all("script"))


def test_of_a_spec_that_is_newer_than_this_program_the_metric_still_says_what_is_better(tmp_path: Path) -> None:
    records = trial_records(made_searches.happened(9))
    job: dict[str, Any] = made_searches.job(tmp_path, 9)
    job["spec"]["tuning"] = {"parameters": made_searches.PARAMETERS, "orbit": "new"}
    job["status"]["tuning"]["metric"] = "validation/accuracy"
    found = reading.search(Found(records), job)
    values = [one.value for one in found.valued]
    assert values == sorted(values, reverse=True, key=lambda value: value or 0)
    assert found.smaller == frozenset()
    assert found.scales == {made_searches.LR: True, made_searches.MOMENTUM: False}


def test_objectives_are_ranked_by_the_first_and_their_front_is_marked(tmp_path: Path) -> None:
    both = [(0.1, 900.0), (0.2, 100.0), (0.3, 500.0)]
    events: list[Event] = []
    for number, (loss, size) in enumerate(both, 1):
        metrics = {"validation/loss": loss, "model/bytes": size}
        events.append(Asked(trial=number, parameters={"a": number}))
        events.append(Ended(trial=number, state="completed", value=loss, metrics=metrics, epochs=1))
    job = copy.deepcopy(made_searches.job(tmp_path, 3))
    job["spec"]["tuning"] = {
        "parameters": made_searches.PARAMETERS,
        "objectives": [{"metric": "validation/loss"}, {"metric": "model/bytes"}],
    }
    found = reading.search(Found(trial_records(events)), job)
    assert [one.number for one in found.trials] == [1, 2, 3]
    assert [one.front for one in found.trials] == [True, True, False]
    assert list(found.metrics) == ["validation/loss", "model/bytes"]
    assert found.smaller == {"validation/loss", "model/bytes"}
    assert json.dumps(found.trials[0].measured("model/bytes")) == "900.0"
