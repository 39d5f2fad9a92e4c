"""The pages of ModelDeployments."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from fake_kubectl import FakeKubectl, error, listed
from headway_cli.ui import deployments as parts
from made_deployments import canary, event, version
from ui_visitor import Element, Visitor

HOSTILE = '<script>alert(1)</script>\x1b[31m" onload="x'
PATH = "/deployments/default/digits"


def given(kubectl: FakeKubectl, found: dict[str, Any], *events: dict[str, Any]) -> None:
    kubectl.says(listed(found), "get", f"modeldeployments.headway.dev/{found['metadata']['name']}")
    kubectl.says(listed(*events), "get", "events")


def table(page: Element, part: str) -> list[dict[str, str]]:
    heads, *rows = page.one(id=part).all("table")[0].rows()
    return [dict(zip(heads, row, strict=True)) for row in rows]


async def test_the_list_tells_which_version_answers_and_what_is_on_its_way(
    visitor: Visitor, kubectl: FakeKubectl
) -> None:
    idle = canary("idle", phase="Ready", candidate=None, rollout=None)
    kubectl.says(listed(idle, canary()), "get", "modeldeployments")
    page = await visitor.page("/deployments")
    first, second = table(page, "deployments")
    assert [first["Deployment"], second["Deployment"]] == ["digits", "idle"], "what is on its way comes first"
    assert {name: first[name] for name in ("Answers", "Ready", "On its way", "Share", "Stage", "Age")} == {
        "Answers": "digits-1", "Ready": "2/2", "On its way": "digits-3", "Share": "25%", "Stage": "Splitting",
        "Age": "93m",
    }  # fmt: skip
    assert (second["On its way"], second["Message"]) == ("", "")
    assert page.one(id="deployments").one("table").all("a")[0].attributes["href"] == PATH
    chosen = await visitor.page("/deployments?phase=Ready&name=idl")
    assert [row["Deployment"] for row in table(chosen, "deployments")] == ["idle"]
    nothing = await visitor.page("/deployments?name=nobody")
    assert "No deployment is as you chose" in nothing.text


async def test_ten_thousand_deployments_come_in_pages(visitor: Visitor, kubectl: FakeKubectl) -> None:
    small = [{"kind": "ModelDeployment", "metadata": {"name": f"d-{index:05d}", "namespace": "a"}, "status": {}}
             for index in range(10_000)]  # fmt: skip
    kubectl.says(listed(*small), "get", "modeldeployments")
    page = await visitor.page("/deployments?page=200")
    rows = table(page, "deployments")
    assert len(rows) == 50
    assert rows[-1]["Deployment"] == "d-09999"


async def test_a_rollout_is_told_with_its_shares_step_what_it_waits_for_and_its_gates(
    visitor: Visitor, kubectl: FakeKubectl
) -> None:
    given(kubectl, canary(), event("digits", "StepStarted", "digits-3 has 25% of the requests"))
    page = await visitor.page(PATH)
    assert page.one(id="said").one("p", class_="lead").text == (
        "digits-1 answers, with 2/2 pods ready. digits-3 is on its way, with 25% of the requests."
    )
    bar = page.one(id="shares").one("svg", class_="shares")
    assert [(each.attributes["x"], each.attributes["width"]) for each in bar.all("rect")] == [
        ("0", "750"),
        ("750", "250"),
    ]
    rollout = page.one(id="rollout")
    steps = rollout.one("ol").all("li")
    assert [(each.text, each.attributes["class"]) for each in steps] == [
        ("5%", "done"), ("25%", "now"), ("50%", "next"), ("100%", "next"),
    ]  # fmt: skip
    assert "canary, Splitting, step 2 of 3, for 4 min" in rollout.text
    assert [each.text for each in rollout.one("dl").all("dd")] == ["3 min of 5 min", "312 of 500"]
    assert [each.attributes["value"] for each in rollout.all("progress")] == ["189", "312"]
    assert table(page, "rollout") == [
        {"Gate": "errors", "Verdict": "pass", "New version": "0.001", "Held against": "0.01",
         "Evidence against it": "0.2 of 60"},
        {"Gate": "errors-not-worse", "Verdict": "open", "New version": "0.001", "Held against": "0.0009",
         "Evidence against it": "1.4 of 60"},
        {"Gate": "latency", "Verdict": "open", "New version": "131", "Held against": "120",
         "Evidence against it": "12.5 of 60"},
    ]  # fmt: skip
    assert "digits-3 has 25% of the requests" in page.one(id="events").text
    assert "--field-selector=involvedObject.uid=uid-of-digits" in kubectl.calls("get")[-1]


async def test_versions_load_conditions_and_commands_are_told(visitor: Visitor, kubectl: FakeKubectl) -> None:
    given(kubectl, canary())
    page = await visitor.page(PATH)
    newest, answering = table(page, "versions")
    assert (newest["Version"], newest["State"], newest["Share"], newest["Pods"]) == (
        "digits-3",
        "Candidate",
        "25%",
        "1/2",
    )
    assert newest["Message"] == "1 of 2 pods is not ready"
    assert answering["Model"].startswith("digits-first , claim models: default/digits-1 sha256:0123456789ab")
    assert page.one(id="versions").all("a")[0].attributes["href"] == "/jobs/default/digits-third"
    (rejected,) = page.one(id="versions").all("table")[1].rows()[1:]
    assert rejected[:2] == ["digits-2", "ErrorRate"]
    assert "41 of 1,204 requests failed" in rejected[3]
    load = dict(zip(*([each.text for each in page.one(id="load").all(tag)] for tag in ("dt", "dd")), strict=True))
    assert load == {
        "Pods that answer": "2 ready of 2", "Scaled between": "1 and 8 pods",
        "Requests in flight": "6.2; 4 in each pod is the aim, counted 4 s ago",
        "Wanted": "2 pods: AsLoad, 23 min ago",
    }  # fmt: skip
    told = {row["Condition"]: row["Status"] for row in table(page, "conditions")}
    assert told == {"Accepted": "True", "Ready": "True", "Progressing": "True", "RolledBack": "True"}
    badges = {
        row.all("th")[0].text: row.one("span").attributes["class"] for row in page.one(id="conditions").all("tr")[1:]
    }
    assert badges == {
        "Accepted": "badge good",
        "Ready": "badge good",
        "Progressing": "badge ",
        "RolledBack": "badge bad",
    }
    commands = [each.attributes["data-copy"] for each in page.all("button")]
    assert commands == [
        "headway status md/digits -w -n default",
        "kubectl patch modeldeployments.headway.dev/digits --type=merge "
        """--patch='{"spec":{"versions":{"abort":"digits-3"}}}' -n default""",
        "kubectl get modeldeployments.headway.dev/digits --output=yaml -n default",
    ]


DRIFT: dict[str, Any] = {
    "state": "Drifted", "version": "digits-1", "score": 2.314, "windows": 41, "checked": "2026-11-29T19:30:09Z",
    "message": "requests are unlike the rows that version digits-1 was trained on: age (2.31)",
    "features": [{"name": "age", "score": 2.314}, {"name": HOSTILE, "score": 0.4}],
    "dataQuality": [{"name": "cabin", "problem": "Missing", "share": 0.4, "usual": 0.031}],
}  # fmt: skip


async def test_drift_is_told_with_features_that_differ_and_values_that_are_wrong(
    visitor: Visitor, kubectl: FakeKubectl
) -> None:
    given(kubectl, canary(drift=DRIFT))
    page = await visitor.page(PATH)
    drift = page.one(id="drift")
    assert (drift.all("span")[0].text, drift.all("span")[0].attributes["class"]) == ("Drifted", "badge bad")
    assert DRIFT["message"] in drift.text
    facts = dict(zip(*([each.text for each in drift.one("dl").all(tag)] for tag in ("dt", "dd")), strict=True))
    assert facts == {
        "Score": "2.31; 1 and above alarms", "Checked": "3 min ago", "Windows so far": "41",
    }  # fmt: skip
    features, quality = (part.rows()[1:] for part in drift.all("table"))
    assert features[0][:2] == ["age", "2.31"]
    assert "\x1b" not in features[1][0]
    assert [each.attributes["value"] for each in drift.all("progress")] == ["58", "10"]
    assert quality == [["cabin", "missing", "40.0%", "3.1%"]]
    assert not page.all("script") or all("alert(1)" not in each.text for each in page.all("script"))


async def test_a_deployment_that_is_not_watched_has_nothing_of_drift(visitor: Visitor, kubectl: FakeKubectl) -> None:
    given(kubectl, canary())
    page = await visitor.page(PATH)
    assert page.one(id="drift").text.strip() == ""


async def test_what_nobody_can_tell_of_drift_has_no_number(visitor: Visitor, kubectl: FakeKubectl) -> None:
    told = {"state": "Unavailable", "version": "digits-1", "message": "the model has no reference.json"}
    given(kubectl, canary(drift=told))
    drift = (await visitor.page(PATH)).one(id="drift")
    assert drift.text.split() == ["Drift", "Unavailable", *told["message"].split()]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"champion": None, "candidate": "digits-1", "versions": []}, "No version answers yet: digits-1 is prepared."),
        ({"champion": None, "candidate": None, "versions": []}, "No version answers yet."),
        ({"candidate": None, "rollout": None, "conditions": []}, "digits-1 answers, with 2/2 pods ready."),
        (
            {"candidate": None, "rollout": None},
            "digits-1 answers, with 2/2 pods ready. digits-2 was rejected: ErrorRate: errors: 41 of 1,204 requests "
            "failed (3.4 %), and 1 % is allowed",
        ),
        ({"phase": "Suspended", "champion": None}, "It is suspended: no version has pods."),
        ({"phase": "Suspended"}, "It is suspended. digits-1 has answered."),
    ],
)
def test_one_sentence_tells_what_a_deployment_does(changes: dict[str, Any], says: str) -> None:
    assert parts.sentence(canary(**changes)) == says


def test_a_rollout_that_waits_for_an_approval_says_so_and_has_the_command_for_it() -> None:
    waits = {
        "type": "Progressing", "status": "True", "reason": "AwaitingApproval",
        "lastTransitionTime": "2026-11-29T19:30:00Z",
        "message": "version digits-3 may answer alone once spec.versions.approve names it",
    }  # fmt: skip
    found = canary(conditions=[waits])
    assert parts.problem(found) == waits["message"]
    told = dict(parts.commands(found, ""))
    assert list(told) == ["Watch it", "Let digits-3 answer", "Give digits-3 up", "All of it"]
    assert told["Let digits-3 answer"].endswith("""--patch='{"spec":{"versions":{"approve":"digits-3"}}}'""")
    found["status"]["candidate"] = "x'; rm -rf ~; '"
    assert [what for what, _ in parts.commands(found, "")] == ["Watch it", "All of it"]
    assert [what for what, _ in parts.commands(canary(candidate=None), "")] == ["Watch it", "All of it"]


def test_a_gate_that_has_failed_is_marked() -> None:
    found = canary()
    found["status"]["rollout"]["gates"][0] |= {"verdict": "fail", "evidence": 74}
    told = parts.rollout(found, datetime(2026, 11, 29, 19, 40, tzinfo=UTC))
    assert told is not None
    assert [(each.verdict, each.badge) for each in told.gates] == [("fail", "bad"), ("open", ""), ("open", "")]
    assert (told.gates[0].evidence, told.gates[0].value, told.gates[0].limit) == ("74 of 60", "0.001", "0.01")


def test_a_spec_that_is_not_followed_is_told_at_once() -> None:
    condition = {
        "type": "Accepted", "status": "False", "reason": "Invalid", "message": "spec.versions.source: there is no such",
        "lastTransitionTime": "2026-11-29T18:00:00Z",
    }  # fmt: skip
    assert parts.problem(canary(conditions=[condition])) == "spec.versions.source: there is no such"
    assert parts.problem(canary()) == ""


def test_shares_that_are_more_than_all_are_drawn_within_the_bar() -> None:
    found = canary()
    found["status"]["versions"] = [version(1, "Champion", weight=90), version(2, "Candidate", weight=900)]
    drawn = parts.shares(found)
    assert [(each.left, each.width) for each in drawn] == [(0, 900), (900, 100)]


def test_steps_of_another_spec_are_not_drawn() -> None:
    found, now = canary(), datetime(2026, 11, 29, tzinfo=UTC)
    found["spec"]["rollout"] = {"canary": {"steps": [{"weight": 10}]}}
    told = parts.rollout(found, now)
    assert told is not None
    assert (told.steps, told.step, told.of) == ([], 2, 3)
    found["spec"]["rollout"] = {"abTest": {"weight": 50}}
    found["status"]["rollout"] |= {"mode": "abTest", "stage": "Splitting", "followedSince": None}
    told = parts.rollout(found, now)
    assert told is not None
    assert [(each.told, each.now) for each in told.goals] == [
        ("begins once all servers keep to the share", 0), ("312 of 500", 312),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "broken", [[], "x", 7, {"versions": 3, "rollout": {"gates": [1, {"value": "x"}]}, "conditions": [{}]}]
)
async def test_a_status_of_any_shape_is_borne(visitor: Visitor, kubectl: FakeKubectl, broken: Any) -> None:
    found = canary()
    found["status"], found["spec"] = broken, broken
    given(kubectl, found)
    await visitor.page(PATH)
    kubectl.says(listed(found), "get", "modeldeployments")
    await visitor.page("/deployments")


async def test_words_of_tenants_are_words_and_nothing_else(visitor: Visitor, kubectl: FakeKubectl) -> None:
    found = canary()
    found["status"]["rollout"] |= {"version": HOSTILE, "mode": HOSTILE, "message": HOSTILE}
    for each in (*found["status"]["versions"], *found["status"]["conditions"], *found["status"]["rollout"]["gates"]):
        each.update(dict.fromkeys(("name", "state", "job", "image", "message", "reason", "type", "verdict"), HOSTILE))
    found["status"] |= {"phase": HOSTILE, "champion": HOSTILE, "candidate": HOSTILE, "summary": {"message": HOSTILE}}
    given(kubectl, found, event("digits", HOSTILE, HOSTILE, warning=True))
    kubectl.says(listed(found), "get", "modeldeployments")
    for path in (PATH, "/deployments"):
        text = await (await visitor.ask(path)).text()
        page = await visitor.page(path)
        assert "alert(1)" in page.text
        assert "<script>alert" not in text
        assert "\x1b" not in text
        assert not [each for each in page.all() if "onload" in each.attributes]
        assert not [each for each in page.all("a") if "alert" in each.attributes["href"]]


async def test_who_may_not_see_events_sees_the_rest(visitor: Visitor, kubectl: FakeKubectl) -> None:
    kubectl.says(listed(canary()), "get", "modeldeployments")
    kubectl.fails(error("forbidden"), "get", "events")
    page = await visitor.page(PATH)
    assert "You may not list Events" in page.one(id="events").text


async def test_a_deployment_that_is_not_there_is_said(visitor: Visitor, kubectl: FakeKubectl) -> None:
    kubectl.says("", "get", "modeldeployments")
    page = await visitor.page(PATH, status=404)
    assert "there is no ModelDeployment digits in namespace default" in page.one("main").text
