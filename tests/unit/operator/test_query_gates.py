"""Queries of a rollout as the operator sees them: what the judge is told, what it needs for it, and what moves on."""

from __future__ import annotations

from typing import Any

import pytest

from deployment_documents import deployment
from headway_api.rollout_wire import QUERY_SECRET_KEYS, GateState, QueryGate, Route, query_gate
from headway_api.validate import problems_of
from headway_operator.engine.steps import Delete, Ensure
from headway_operator.serving import names, records
from headway_operator.serving.plan import route as routes
from headway_operator.serving.render import rollout

from .rollout_course import CANARY, T0, UID, Course
from .test_rollout_render import NAME, OF, ROUTE, front, record, rendered, situation, workload

QUERY = {
    "name": "revenue",
    "prometheus": {
        "url": "http://prometheus.monitoring:9090",
        "query": 'sum(rate(revenue{version="$candidate", ns="$namespace"}[5m])) / $stable # $deployment',
        "secretRef": {"name": "monitoring"},
    },
    "min": 0.9,
}
ANALYSIS = {"analysis": {"queries": [QUERY]}}
OPEN = GateState(name=query_gate("revenue"), verdict="open")
PASS = GateState(name=query_gate("revenue"), verdict="pass")


def course(**changes: Any) -> Course:
    return Course({**CANARY, "analysis": {"queries": [{**QUERY, **changes}]}}).begin().split()


def test_the_judge_is_told_what_to_ask_with_the_names_and_numbers_of_this_rollout() -> None:
    assert course().route.queries == [
        QueryGate(
            name="revenue",
            url="http://prometheus.monitoring:9090",
            query='sum(rate(revenue{version="2", ns="default"}[5m])) / 1 # digits',
            secret="monitoring",  # noqa: S106 - a name
            min=0.9,
        )
    ]


def test_a_rollout_without_queries_is_told_with_the_number_that_it_had_before_there_were_any() -> None:
    before = Route(uid=UID, stable=1, candidate=2, share=0.05, salt="s")
    assert routes._digest(before) == "9182f63f20c0433d"


def test_a_changed_query_is_told_with_another_number() -> None:
    made = course()
    epoch = made.route.epoch
    made.edit({"spec.rollout.analysis.queries": [{**QUERY, "min": 0.5}]})
    made.settle()
    assert (made.route.queries[0].min, made.route.epoch) == (0.5, epoch + 1)
    made.edit({"spec.rollout.analysis.queries": []})
    made.settle()
    assert made.route.queries == []


def test_a_step_waits_as_long_as_the_judge_says_that_a_query_lacks_something() -> None:
    made = course()
    lacks = "query revenue has no value: Prometheus answers 400: bad_data: parse error"
    made.after(300, "open", gates=[OPEN], queries=lacks)
    assert made.weights() == {1: 95, 2: 5}
    assert made.progress() == ("WaitingForData", f"version digits-2 gets 5 % of the requests (step 1 of 2): {lacks}")
    made.after(10, "open", gates=[OPEN], queries=lacks, candidate_requests=7)
    assert "it has answered 7 of 500 requests; query revenue has no value" in made.progress()[1]
    made.after(60, "pass", gates=[PASS])
    assert made.weights() == {1: 50, 2: 50}


def test_a_pass_of_a_judge_that_knows_no_queries_moves_nothing() -> None:
    made = course()
    made.after(300, "pass", gates=[])
    assert made.weights() == {1: 95, 2: 5}
    assert "does not ask the query revenue: its image is from before there were queries" in made.progress()[1]


@pytest.mark.parametrize("bakes", [False, True])
def test_a_query_that_fails_takes_the_version_back_also_while_it_bakes(bakes: bool) -> None:
    made = course()
    if bakes:
        made.after(60, gates=[PASS])
        made.after(120, gates=[PASS])
        assert made.status.champion == "digits-2"
        made.after(30, gates=[PASS])
    said = "query revenue: version 2 fails, as its value was 0.5, below its min 0.9, in 3 evaluations in a row"
    made.say("fail", reason="Query", message=said)
    made.settle()
    version = made.version(2)
    assert (version.state, version.reason, version.message) == ("Rejected", "Query", said)
    assert (made.target, made.status.champion) == (1, "digits-1")


def test_what_a_query_lacks_is_news_and_how_much_was_counted_is_none() -> None:
    made = course()
    made.say("open", queries="a", candidate_requests=1)
    one = made.record
    made.say("open", queries="a", candidate_requests=2)
    two = made.record
    made.say("open", queries="b", candidate_requests=2)
    three = made.record
    assert one is not None
    assert two is not None
    assert three is not None
    assert records.only_counts(one, two)
    assert not records.only_counts(two, three)


def test_the_longest_queries_fit_into_what_is_read_of_the_config_map() -> None:
    long = {"url": f"http://{'h' * 500}", "query": "\U0001f600" * 1000, "secretRef": {"name": "s" * 253}}
    queries = [{"name": f"{'q' * 38}{number}", "prometheus": long, "min": 0.1, "max": 1.5} for number in range(8)]
    assert problems_of(deployment({"spec.rollout": {**CANARY, "analysis": {"queries": queries}}})) == []
    made = Course({**CANARY, "analysis": {"queries": queries}}).begin().split()
    body = {**rollout.config_map(OF, made.route)}
    body["metadata"] = {**body["metadata"], "uid": "c", "resourceVersion": "1"}
    seen = records.rollout(body, None, T0)
    assert seen is not None
    assert seen.route == made.route


TOLD = ROUTE.model_copy(
    update={
        "queries": [
            QueryGate(name=name, url="http://p", query="x", min=1, secret=secret)
            for name, secret in (("a", "two"), ("b", "one"), ("c", None), ("d", "two"))
        ]
    }
)


class TestItsSecrets:
    """The Secrets that queries name are the judge's alone."""

    def test_the_judge_mounts_each_once_and_of_each_only_the_keys_that_it_reads(self) -> None:
        pod = rollout.judge(OF, "server:1", rollout.query_secrets(TOLD))["spec"]["template"]["spec"]
        volumes = [each for each in pod["volumes"] if each["name"].startswith(names.QUERY_VOLUME)]
        assert [each["secret"]["secretName"] for each in volumes] == ["one", "two"]
        for each in volumes:
            assert each["secret"]["optional"] is True
            assert [item["key"] for item in each["secret"]["items"]] == list(QUERY_SECRET_KEYS)
        mounts = {mount["name"]: mount for mount in pod["containers"][0]["volumeMounts"]}
        assert [mounts[each["name"]]["mountPath"] for each in volumes] == [
            "/etc/headway/queries/one",
            "/etc/headway/queries/two",
        ]
        assert all(mounts[each["name"]]["readOnly"] for each in volumes)

    def test_no_word_of_the_command_line_has_them_and_no_server_mounts_them(self) -> None:
        made = [step.body for step in rendered(situation(), replicas={3: 2}, target=3, route=TOLD, judge=True)
                if isinstance(step, Ensure)]  # fmt: skip
        with_volumes = [
            body["metadata"]["name"]
            for body in made
            if body["kind"] == "Deployment"
            and any(each["name"].startswith(names.QUERY_VOLUME) for each in body["spec"]["template"]["spec"]["volumes"])
        ]
        assert with_volumes == [NAME]

    def test_a_judge_that_has_others_is_made_anew_and_one_that_has_them_is_left_alone(self) -> None:
        stored = rollout.judge(OF, "server:1", ("one", "two"))
        stored["metadata"] = {**stored["metadata"], "uid": "w", "resourceVersion": "4"}
        seen = records.workload(stored, None, T0)
        assert seen is not None
        assert seen.secrets == ("one", "two")
        for known, goes in ((("one", "two"), False), (("one",), True), ((), True)):
            there = situation(
                rollout=record(TOLD), judge=workload(names.JUDGE, secrets=known), fronts={names.JUDGE: front()}
            )
            deleted = [
                step.uid for step in rendered(there, route=TOLD, judge=True)
                if isinstance(step, Delete) and step.ref.name == NAME
            ]  # fmt: skip
            assert deleted == (["w"] if goes else [])


def test_the_judge_reaches_no_address_of_the_node() -> None:
    (_, anywhere) = rollout.judge_policy(OF)["spec"]["egress"]
    blocks = [each["ipBlock"] for each in anywhere["to"] if "ipBlock" in each]
    assert "169.254.0.0/16" in blocks[0]["except"]
    assert "fd00:ec2::/32" in blocks[1]["except"]
