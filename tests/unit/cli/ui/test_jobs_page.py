"""The page of all jobs."""

from __future__ import annotations

import copy
from typing import Any

from fake_kubectl import FakeKubectl, error, listed, recorded
from ui_visitor import Visitor

HOSTILE = "<script>alert(1)</script>"


def job(
    name: str, *, namespace: str = "default", created: str = "2026-11-29T18:52:09Z", **status: Any
) -> dict[str, Any]:
    """The recorded job under another name, with other parts of its status."""
    made = copy.deepcopy(recorded("running"))
    made["metadata"] |= {"name": name, "namespace": namespace, "creationTimestamp": created}
    made["status"] |= status
    return made


def small(index: int) -> dict[str, Any]:
    """One of very many."""
    return {
        "kind": "TrainingJob",
        "metadata": {
            "name": f"job-{index:05d}", "namespace": f"team-{index % 7}",
            "creationTimestamp": f"2026-11-{1 + index // 500:02d}T00:00:00Z",
        },
        "status": {"phase": "Succeeded" if index % 2 else "Running", "progress": {"percent": index % 100}},
    }  # fmt: skip


async def test_a_running_job_shows_its_progress_metric_goodput_and_age(visitor: Visitor, kubectl: FakeKubectl) -> None:
    kubectl.says(listed(job("churn", time={"goodputPercent": 91})), "get", "trainingjobs")
    page = await visitor.page("/jobs")
    heads, row = page.one("table").rows()
    told = dict(zip(heads, row, strict=True))
    assert told["Job"] == "churn"
    assert told["Phase"] == "Running"
    assert told["Progress"] == "38% 38% 41 min left"
    assert (told["Metric"], told["Goodput"], told["Age"]) == ("validation/f1=0.912", "91%", "41m")
    assert page.one("table").one("a").attributes["href"] == "/jobs/default/churn"
    assert page.one("progress").attributes["value"] == "38"
    assert "--namespace=default" in kubectl.calls("get")[0]


async def test_the_newest_is_first_and_a_choice_is_kept_in_every_link(visitor: Visitor, kubectl: FakeKubectl) -> None:
    kubectl.says(
        listed(
            job("old", namespace="a", created="2026-11-01T00:00:00Z", phase="Failed", summary={"message": "no y"}),
            job("new", namespace="b", created="2026-11-29T00:00:00Z"),
        ),
        "get", "--all-namespaces",
    )  # fmt: skip
    page = await visitor.page("/jobs?namespace=*")
    assert [row[:2] for row in page.one("table").rows()[1:]] == [["b", "new"], ["a", "old"]]
    assert "no y" in page.one("table").text
    failed = next(link for link in page.one("nav", id="phases").all("a") if link.text.startswith("Failed"))
    chosen = await visitor.page(failed.attributes["href"])
    assert [row[1] for row in chosen.one("table").rows()[1:]] == ["old"]
    assert chosen.one("input", name="namespace").attributes["value"] == "*"
    assert len(kubectl.calls("get")) == 1  # both are from one look


async def test_ten_thousand_jobs_come_in_pages(visitor: Visitor, kubectl: FakeKubectl) -> None:
    kubectl.says(listed(*map(small, range(10_000))), "get", "trainingjobs")
    page = await visitor.page("/jobs?namespace=*")
    assert len(page.one("table").rows()) == 51
    assert page.one("body").attributes["data-every"] == "30.0"
    assert page.one("nav", class_="pager").text == "1 to 50 of 10,000 Older"
    answer = await visitor.ask("/jobs?namespace=*&page=200")
    assert len(await answer.read()) < 100_000
    last = await visitor.page("/jobs?namespace=*&page=200")
    assert last.one("nav", class_="pager").text == "Newer 9,951 to 10,000 of 10,000"
    beyond = await visitor.page("/jobs?namespace=*&page=999999&phase=Running")
    assert beyond.one("nav", class_="pager").text == "Newer 4,951 to 5,000 of 5,000"


async def test_what_a_tenant_writes_is_shown_and_never_runs(visitor: Visitor, kubectl: FakeKubectl) -> None:
    hostile = job(
        "bad", phase=HOSTILE, summary={"metric": HOSTILE, "message": HOSTILE, "workers": HOSTILE, "trials": 7}
    )
    hostile["status"]["progress"] = {"percent": "many", "etaSeconds": [1]}
    turned = job("x\u202eenil", phase="Failed", summary={"message": "\u202e" + HOSTILE * 100})
    kubectl.says(listed(hostile, turned, job("../../static")), "get", "trainingjobs")
    answer = await visitor.ask("/jobs")
    text = await answer.text()
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "\u202e" not in text
    page = await visitor.page("/jobs")
    assert [link.text for link in page.one("table").all("a")] == ["bad"]  # no link by a name that is none


async def test_a_status_of_any_shape_makes_a_page(visitor: Visitor, kubectl: FakeKubectl) -> None:
    shapes: list[Any] = [None, 7, "x", [], [{}], {"summary": []}, {"progress": {"percent": 1e308, "etaSeconds": -5}}]
    kubectl.says(
        listed(*({"metadata": {"name": f"j{index}", "namespace": "default"}, "status": shape}
                 for index, shape in enumerate(shapes)), {"metadata": None}, {}),
        "get", "trainingjobs",
    )  # fmt: skip
    page = await visitor.page("/jobs")
    assert len(page.one("table").rows()) == len(shapes) + 3


async def test_errors_are_plain_pages_with_what_to_do(visitor: Visitor, kubectl: FakeKubectl) -> None:
    for name, status, title, advice in (
        ("refused", 502, "The cluster was not reached", "kubectl cluster-info"),
        ("notype", 501, "Headway is not installed in this cluster", "docs/how-to/install.md"),
        ("forbidden", 403, "This is not allowed", "name another --context or --namespace"),
    ):
        kubectl.fails(error(name), "get", f"--namespace={name}")
        page = await visitor.page(f"/jobs?namespace={name}", status)
        assert page.one("h1").text == title
        assert advice in page.one("main").text
        assert len(page.one("main").all("input", name="namespace")) == (status == 403), "to choose another one"


async def test_what_nobody_knows_of_is_no_lack_of_rights(visitor: Visitor, kubectl: FakeKubectl) -> None:
    kubectl.fails("Error from server (InternalError): etcd is sad", "get", "trainingjobs")
    page = await visitor.page("/jobs", 500)
    assert page.one("h1").text == "This went wrong"
    assert "etcd is sad" in page.one("main").text


async def test_an_empty_namespace_says_how_to_begin(visitor: Visitor, kubectl: FakeKubectl) -> None:
    kubectl.says(listed(), "get", "trainingjobs")
    assert "headway submit FILE starts one" in (await visitor.page("/jobs")).one("p", class_="empty").text


async def test_an_address_that_is_none_has_a_page(visitor: Visitor) -> None:
    assert (await visitor.page("/nothing", 404)).one("h1").text == "This is not there"


async def test_the_head_says_where_one_is(visitor: Visitor, kubectl: FakeKubectl) -> None:
    kubectl.says(listed(job("churn")), "get", "trainingjobs")
    kubectl.says("", "get", "events")
    kubectl.says(listed(), "get", "pods")
    for path, current in (("/", "page"), ("/jobs", "page"), ("/jobs/default/churn", "true"), ("/deployments", None)):
        if path == "/deployments":
            kubectl.says(listed(), "get", "modeldeployments")
        links = (await visitor.page(path)).one("header").one("nav").all("a")
        assert {link.text: link.attributes.get("aria-current") for link in links}["Jobs"] == current, path
