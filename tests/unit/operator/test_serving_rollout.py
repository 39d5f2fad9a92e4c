"""Rollouts that split requests: their steps, what they wait for, and what servers are told, as pure decisions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from headway_api.deployment_status import ModelDeploymentStatus
from headway_api.rollout_wire import Route
from headway_operator.engine.steps import Refusal
from headway_operator.serving import names

from .rollout_course import CANARY, UID, Course, baking, splitting


def test_the_first_version_has_nobody_to_share_with_and_answers_once_it_is_ready() -> None:
    course = Course()
    course.settle()
    assert course.status.rollout is None
    course.ready[1] = 2
    course.settle()
    assert (course.weights(), course.target) == ({1: 100}, 1)
    assert course.route == Route(uid=UID), "its servers are told of no rollout"
    assert not course.judge


def test_a_candidate_gets_nothing_before_all_its_pods_are_ready_and_then_the_first_step() -> None:
    course = Course().begin()
    rollout = course.status.rollout
    assert rollout is not None
    assert (rollout.stage, rollout.step, rollout.of, course.judge) == ("Preparing", 0, 2, True)
    assert (course.route.stable, course.route.candidate, course.route.share) == (1, 2, 0.0)
    course.ready[2] = 1
    course.settle()
    assert course.weights() == {1: 100}
    course.split()
    assert (course.weights(), course.route.share) == ({1: 95, 2: 5}, 0.05)
    assert course.status.summary.weight == "5%"
    assert course.notices[-1] == "StepBegun"
    assert course.target == 1


def test_a_canary_takes_its_steps_and_answers_alone_and_the_old_pods_stay_for_the_bake() -> None:
    course = splitting()
    course.after(59)
    assert course.weights() == {1: 95, 2: 5}
    assert course.progress()[0] == "Canary"
    course.after(1)
    assert (course.weights(), course.route.share) == ({1: 50, 2: 50}, 0.5)
    course.after(119)
    assert course.weights() == {1: 50, 2: 50}
    course.after(1)
    assert (course.weights(), course.target) == ({2: 100}, 2)
    assert (course.route.share, course.route.baking, course.route.stable) == (1.0, True, 1)
    assert course.desired == {1: 2, 2: 2}
    course.after(299)
    assert (course.desired, course.judge) == ({1: 2, 2: 2}, True)
    course.after(1)
    assert (course.desired, course.judge, course.status.rollout) == ({2: 2}, False, None)
    assert course.route.stable == 0
    assert course.notices == ["VersionBegun", "Promoted", "VersionBegun", "StepBegun", "StepBegun", "Promoted"]


def test_each_change_of_what_servers_are_told_has_a_greater_number_over_all_rollouts() -> None:
    course = baking()
    course.after(300)
    course.edit({"spec.versions.source.digest": f"sha256:{'3' * 64}"})
    course.settle()
    course.ready[3] = 2
    course.settle()
    course.after(60)
    epochs = [route.epoch for route in course.routes]
    assert epochs == sorted(set(epochs))
    assert (course.route.stable, course.route.candidate, course.route.share) == (2, 3, 0.5)
    assert {route.salt for route in course.routes if route.candidate == 2} == {f"{UID}-2"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"verdict": "open", "candidate_requests": 20}, "it has answered 20 of 500 requests"),
        ({"following": 1}, "1 of 2 servers of version digits-1 keep to it"),
        ({"servers": 0, "following": 0}, "no server of version digits-1 reports to the judge"),
        ({"breakers": 1}, "1 of 2 servers send it nothing for a while"),
        ({"epoch": 1}, "nothing new was heard of the judge"),
        ({"rollout": 1}, "nothing was heard of the judge"),
        ({"uid": "another"}, "nothing was heard of the judge"),
    ],
)
def test_a_step_goes_on_until_there_is_enough_to_go_by_and_says_what_it_waits_for(
    words: dict[str, Any], said: str
) -> None:
    course = splitting()
    course.after(300, **{"verdict": "pass", **words})
    assert course.weights() == {1: 95, 2: 5}
    reason, message = course.progress()
    assert (reason, message.startswith("version digits-2 gets 5 % of the requests (step 1 of 2): ")) == (
        "WaitingForData",
        True,
    ), message
    assert said in message


def test_a_judge_that_is_silent_moves_nothing_forward() -> None:
    course = splitting()
    course.after(25)
    course.after(31, None)
    course.judge_ready = False
    course.after(100, None)
    assert course.weights() == {1: 95, 2: 5}
    assert "the judge's pod is not ready" in course.progress()[1]
    course.refusals[names.judge_name("digits", UID)] = Refusal("Denied", "exceeded quota: pods")
    course.settle()
    assert "is refused: exceeded quota: pods" in course.progress()[1]
    course.refusals.clear()
    course.say()
    course.settle()
    assert course.weights() == {1: 50, 2: 50}, "it was followed all the time"


def test_servers_that_an_older_operator_has_made_cannot_share_and_that_is_told_with_a_way_out() -> None:
    course = splitting()
    course.reports = False
    course.after(660, None)
    reason, message = course.progress()
    assert reason == "Stalled"
    assert "servers of version digits-1 cannot share requests, as an older operator has made them" in message
    assert course.weights() == {1: 95, 2: 5}, "of which nothing arrives"
    course.edit({"spec.rollout": {"blueGreen": {}}})
    course.settle()
    assert course.status.champion == "digits-2"


def test_a_word_that_was_seen_only_once_counts_not_yet() -> None:
    course = splitting()
    course.after(59)
    assert course.record is not None
    course.record = replace(course.record, heard=0.0)
    course.now += 10
    course.settle()
    assert course.weights() == {1: 95, 2: 5}
    course.say()
    course.settle()
    assert course.weights() == {1: 50, 2: 50}


def test_the_time_of_a_step_counts_from_when_all_servers_keep_to_it() -> None:
    course = splitting()
    course.after(200, following=0)
    course.after(50)
    assert course.weights() == {1: 95, 2: 5}
    course.after(10)
    assert course.weights() == {1: 50, 2: 50}


def test_a_share_is_not_raised_while_a_pod_of_the_candidate_is_not_ready() -> None:
    course = splitting()
    course.ready[2] = 1
    course.after(100)
    assert course.weights() == {1: 95, 2: 5}
    assert course.version(2).message == "1 of 2 pods are ready"
    course.ready[2] = 2
    course.after(0)
    assert course.weights() == {1: 50, 2: 50}


def test_a_candidate_that_is_no_longer_ready_in_a_step_has_its_deadline_then() -> None:
    course = splitting()
    course.after(500, following=1)
    course.ready[2] = 1
    course.after(119, following=1)
    assert course.status.candidate == "digits-2"
    course.after(2, following=1)
    assert (course.version(2).state, course.version(2).reason) == ("Rejected", "NotReady")
    assert course.weights() == {1: 100}


@pytest.mark.parametrize("suspended", [True, False])
def test_suspend_freezes_the_share_and_everything_else(*, suspended: bool) -> None:
    course = splitting()
    course.edit({"spec.suspend": suspended})
    before = course.route
    course.after(1000, "fail" if suspended else "open")
    assert course.weights() == {1: 95, 2: 5}
    assert (course.route, course.judge) == (before, True)
    if not suspended:
        return
    course.edit({"spec.rollout.analysis": {"minRequests": 9}})
    course.settle()
    assert course.route == before
    course.edit({"spec.suspend": False})
    course.settle()
    assert course.version(2).state == "Rejected"


def test_the_deadline_of_a_step_counts_anew_after_a_suspension() -> None:
    course = splitting({**CANARY, "onStall": "rollback"})
    course.edit({"spec.suspend": True})
    course.after(5000, "open")
    course.edit({"spec.suspend": False})
    course.after(600, "open")
    assert course.status.candidate == "digits-2"
    course.after(61, "open")
    assert course.version(2).reason == "Stalled"


def test_a_step_without_enough_data_stalls_and_goes_on_when_there_is_enough() -> None:
    course = splitting()
    course.after(659, "open", candidate_requests=3)
    assert course.progress()[0] == "WaitingForData"
    course.after(1, "open", candidate_requests=3)
    reason, message = course.progress()
    assert reason == "Stalled"
    assert "could not be judged within 660 s: it has answered 3 of 500 requests" in message
    assert course.notices.count("Stalled") == 1
    course.after(100, "open", candidate_requests=3)
    assert course.notices.count("Stalled") == 1
    course.after(0)
    assert course.weights() == {1: 50, 2: 50}


def test_promotion_waits_for_an_approval_that_names_the_version_and_for_nothing_else() -> None:
    course = splitting({**CANARY, "approval": "manual", "onStall": "rollback"}, {"spec.versions.approve": "digits-1"})
    course.after(60)
    course.after(3000)
    says = "version digits-2 may answer alone once spec.versions.approve names it; until then it gets 50 % of"
    assert course.progress() == ("AwaitingApproval", f"{says} the requests")
    assert course.notices.count("AwaitingApproval") == 1
    course.after(2000, None)
    assert course.status.candidate == "digits-2", "who waits for a person has not stalled"
    course.edit({"spec.versions.approve": "digits-2"})
    course.after(100, None)
    assert course.status.champion == "digits-1", "an approval is no evidence"
    course.after(0)
    assert course.status.champion == "digits-2"


def test_what_was_approved_too_early_still_shows_what_is_asked_for() -> None:
    course = splitting({**CANARY, "approval": "manual"}, {"spec.versions.approve": "digits-1"})
    course.edit({"spec.versions.approve": "digits-2"})
    course.after(59)
    assert course.weights() == {1: 95, 2: 5}
    course.after(1)
    course.after(119)
    assert course.status.champion == "digits-1"
    course.after(1)
    assert course.status.champion == "digits-2"


def test_blue_green_waits_for_an_approval_too() -> None:
    course = Course({"blueGreen": {}, "approval": "manual"}, {"spec.versions.approve": "digits-1"}).begin().split()
    assert (course.progress()[0], course.status.champion) == ("AwaitingApproval", "digits-1")
    course.edit({"spec.versions.approve": "digits-2"})
    course.settle()
    assert (course.status.champion, course.status.rollout) == ("digits-2", None)


def test_an_ab_test_assigns_by_a_unit_and_ends_by_itself() -> None:
    test = {"abTest": {"weight": 30, "unit": {"header": "X-User"}, "minSeconds": 600, "maxSeconds": 3600}}
    course = splitting(test)
    assert (course.route.mode, course.route.share) == ("abTest", 0.3)
    assert course.route.unit is not None
    assert (course.route.unit.header, course.route.unit.cookie) == ("x-user", None)
    course.after(599)
    assert course.progress()[0] == "AbTest"
    course.after(1)
    assert course.status.champion == "digits-2"
    without = splitting(test)
    without.after(3599, "open")
    assert without.status.candidate == "digits-2"
    without.after(1, "open")
    assert without.version(2).reason == "Stalled"


def test_a_shadow_gets_copies_alone_and_then_all_requests() -> None:
    course = splitting({"shadow": {"sample": 0.25, "minSeconds": 60}, "analysis": {"agreement": {"min": 0.9}}})
    assert (course.weights(), course.route.share, course.route.mirror) == ({1: 100}, 0.0, 0.25)
    assert course.route.analysis.min_agreement == 0.9
    course.after(59)
    assert course.progress()[0] == "Shadow"
    assert course.route.mode == "shadow"
    course.after(1)
    assert (course.weights(), course.route.baking) == ({2: 100}, True)


def test_what_the_spec_asks_of_a_candidate_is_told_to_the_judge() -> None:
    analysis = {
        "alpha": 0.01,
        "minRequests": 70,
        "errors": {"maxRate": 0.02, "notWorse": False},
        "latency": {"maxP99Milliseconds": 80},
        "agreement": {"min": 0.8, "sample": 0.3, "tolerance": 0.5},
    }
    course = splitting({**CANARY, "analysis": analysis})
    told = course.route.analysis
    assert (told.alpha, told.min_requests, told.max_error_rate, told.errors_not_worse) == (0.01, 70, 0.02, False)
    assert (told.max_p99_seconds, told.latency_not_worse, told.min_agreement) == (0.08, True, 0.8)
    assert (course.route.mirror, course.route.tolerance) == (0.3, 0.5)
    assert course.route.candidate_url == f"http://digits-{UID[:5]}-2.default.svc:80"
    epoch = course.route.epoch
    course.edit({"spec.rollout.analysis": {"minRequests": 71}})
    course.settle()
    assert (course.route.epoch, course.route.analysis.min_requests, course.route.share) == (epoch + 1, 71, 0.05)


def test_a_share_that_the_spec_makes_smaller_is_smaller_at_once_and_a_greater_one_waits_for_all_pods() -> None:
    course = splitting()
    course.after(60)
    course.ready[2] = 1
    course.edit({"spec.rollout": {"canary": {"steps": [{"weight": 5}, {"weight": 20}, {"weight": 60}]}}})
    course.settle()
    assert course.weights() == {1: 80, 2: 20}
    course.edit({"spec.rollout": {"canary": {"steps": [{"weight": 30}]}}})
    course.settle()
    assert course.weights() == {1: 80, 2: 20}
    course.ready[2] = 2
    course.settle()
    assert course.weights() == {1: 70, 2: 30}
    assert course.status.rollout is not None
    assert (course.status.rollout.step, course.status.rollout.of) == (1, 1)


def test_another_kind_of_rollout_begins_anew_with_the_same_candidate() -> None:
    course = splitting()
    course.after(60)
    course.edit({"spec.rollout": {"shadow": {}}})
    course.settle()
    assert (course.weights(), course.route.share, course.status.candidate) == ({1: 100}, 0.0, "digits-2")
    course.after(30, None)
    assert (course.route.mode, course.route.mirror) == ("shadow", 0.1)
    course.edit({"spec.rollout": {"blueGreen": {}}})
    course.settle()
    assert course.status.champion == "digits-2"


def test_what_somebody_wrote_into_the_route_by_hand_is_outdone() -> None:
    course = splitting()
    assert course.record is not None
    theirs = course.route.model_copy(update={"share": 1.0, "epoch": 70})
    course.record = replace(course.record, route=theirs)
    course.settle()
    assert (course.route.share, course.route.epoch) == (0.05, 71)
    course.record = replace(course.record, route=theirs.model_copy(update={"epoch": 2**53 - 1}))
    course.settle()
    assert (course.route.share, course.route.epoch) == (0.05, 71)
    course.record = None
    course.settle()
    assert (course.route.share, course.route.epoch) == (0.05, 71)


def test_a_status_that_was_lost_in_a_step_takes_the_share_away() -> None:
    course = splitting()
    told = course.route.epoch
    course.status = type(course.status)()
    course.settle()
    assert (course.route.stable, course.route.epoch) == (0, told + 1)
    assert (course.target, course.desired[1]) == (1, 2)


def test_the_status_has_the_judges_numbers_now_and_then_and_a_gates_verdict_at_once() -> None:
    course = splitting()
    gate = {"name": "errors", "verdict": "open", "value": 0.0123456, "limit": 0.01, "evidence": 3e7, "needed": 40.0}
    course.say("open", gates=[gate], candidate_requests=5, message="so far")
    course.settle()
    rollout = course.status.rollout
    assert rollout is not None
    assert (rollout.candidate_requests, rollout.stable_requests, rollout.message) == (5, 9000, "so far")
    assert rollout.gates[0].model_dump() == {**gate, "value": 0.01235}
    course.now += 1
    course.say("open", gates=[{**gate, "value": float("inf"), "evidence": float("nan"), "verdict": "pass"}])
    course.settle()
    assert course.status.rollout is not None
    assert (course.status.rollout.gates[0].value, course.status.rollout.gates[0].evidence) == (None, 0.0)
    course.now += 10
    course.say("open", gates=[gate], candidate_requests=5)
    course.settle()
    course.now += 1
    course.say("open", gates=[gate], candidate_requests=6)
    course.settle()
    assert course.status.rollout is not None
    assert course.status.rollout.candidate_requests == 5
    course.say("open", gates=[{**gate, "verdict": "pass"}], candidate_requests=7)
    course.settle()
    assert course.status.rollout is not None
    assert (course.status.rollout.candidate_requests, course.status.rollout.gates[0].verdict) == (7, "pass")


def test_a_word_about_a_version_that_a_lost_status_knew_is_not_taken_for_one_about_another() -> None:
    course = splitting()
    course.after(10, "fail", message="errors: too many")
    assert course.version(2).state == "Rejected"
    course.after(60, None)
    course.status = ModelDeploymentStatus()
    course.edit({"spec.versions.source.digest": f"sha256:{'3' * 64}"})
    course.settle()
    assert [(version.number, version.state) for version in course.status.versions] == [(3, "Candidate")]
    course.ready[3] = 2
    course.settle()
    assert (course.status.champion, course.target) == ("digits-3", 3)
