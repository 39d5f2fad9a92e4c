"""Rollouts that split requests: what they wait for, how they end, and what servers are told, as pure decisions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from headway_api.deployment_status import ModelDeploymentStatus
from headway_api.rollout_wire import Route
from headway_operator.engine.steps import Refusal
from headway_operator.serving import names
from headway_operator.serving.plan.model import ServerPod

from .rollout_course import CANARY, UID, Course


def splitting(rollout: dict[str, Any] | None = None, changes: dict[str, Any] | None = None) -> Course:
    return Course(rollout, changes).begin().split()


def baking(rollout: dict[str, Any] | None = None) -> Course:
    course = splitting(rollout)
    course.after(60)
    course.after(120)
    assert course.status.champion == "digits-2"
    return course


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


@pytest.mark.parametrize("reason", ["ErrorRate", "Latency", "Agreement"])
@pytest.mark.parametrize("late", [0.0, 5000.0])
def test_what_the_judge_finds_to_fail_gets_nothing_in_the_same_write(reason: str, late: float) -> None:
    course = splitting()
    course.after(60)
    course.say("fail", reason=reason, message="errors 0.2 against 0.01 of 600 requests", epoch=1)
    course.now += late
    made = course._turn()
    assert made.moved
    assert (course.version(2).state, course.version(2).reason) == ("Rejected", reason)
    assert course.weights() == {1: 100}
    course.settle()
    assert (course.route.share, course.route.stable, course.route.candidate) == (0.0, 1, 2)
    condition = next(each for each in course.status.conditions if each.type == "RolledBack")
    assert (condition.status, condition.reason) == ("True", reason)
    assert "errors 0.2 against 0.01 of 600 requests" in condition.message
    assert course.notices[-1] == "RolledBack"


def test_pods_of_a_version_that_is_given_up_stay_until_servers_send_it_nothing() -> None:
    course = splitting()
    course.say("fail")
    course.settle()
    assert (course.desired, course.judge, course.progress()[0]) == ({1: 2, 2: 2}, True, "Ending")
    course.say("fail", following=1)
    course.settle()
    assert course.desired == {1: 2, 2: 2}
    course.say("fail")
    course.settle()
    assert (course.desired, course.judge, course.route.stable) == ({1: 2}, False, 0)


def test_pods_of_a_version_that_is_given_up_go_after_a_while_where_nobody_is_heard() -> None:
    course = splitting()
    course.edit({"spec.versions.abort": "digits-2"})
    course.after(29, None)
    assert course.desired == {1: 2, 2: 2}
    course.after(1, None)
    assert (course.desired, course.judge) == ({1: 2}, False)
    assert course.version(2).reason == "Aborted"


def test_what_fails_while_the_spec_is_invalid_has_no_share_by_a_number_of_its_own_and_its_pods_wait_for_that() -> None:
    course = splitting()
    before = course.route
    course.edit({"spec.rollout": {"blueGreen": {}, "recreate": {}}})
    course.after(60, "open")
    assert course.route == before, "without a spec to go by nothing moves"
    course.say("fail", reason="ErrorRate")
    course.settle()
    assert (course.route.share, course.route.mirror, course.weights()) == (0.0, 0.0, {1: 100})
    assert course.route.epoch > before.epoch, "a server that keeps to the number before sends requests still"
    assert course.desired == {1: 2, 2: 2}
    course.say("fail", reason="ErrorRate")
    course.settle()
    assert course.desired == {1: 2}
    told = len(course.routes)
    course.after(60, None)
    assert len(course.routes) == told


def test_a_version_that_bakes_without_any_step_is_given_up_only_once_servers_know() -> None:
    course = Course().begin()
    course.edit({"spec.rollout": {"blueGreen": {"bakeSeconds": 300}}})
    course.ready[2] = 2
    course.settle()
    assert course.status.champion == "digits-2"
    assert course.route.share == 1.0
    course.ready[2] = 1
    course.pods[2] = (ServerPod("p", ready=False, restarts=3, words="out of memory"),)
    course.settle()
    assert (course.status.champion, course.route.share) == ("digits-1", 0.0)
    assert course.desired == {1: 2, 2: 2}, "servers that have not heard of it send requests there"
    course.say()
    course.settle()
    assert course.desired == {1: 2}


def test_a_crash_in_a_step_gives_the_candidate_up() -> None:
    course = splitting()
    course.ready[2] = 1
    course.pods[2] = (ServerPod("p", ready=False, restarts=3, words="out of memory"),)
    course.after(10)
    assert (course.version(2).reason, course.weights()) == ("Crash", {1: 100})


def test_a_newer_version_takes_the_candidates_place_once_servers_know_and_there_are_never_two() -> None:
    course = splitting()
    course.edit({"spec.versions.source.digest": f"sha256:{'3' * 64}"})
    course.after(20, None)
    assert (course.status.candidate, course.weights(), course.desired) == (None, {1: 100}, {1: 2, 2: 2})
    course.say()
    course.settle()
    assert (course.status.candidate, course.desired) == ("digits-3", {1: 2, 3: 2})
    assert course.route.candidate == 3


def test_jobs_that_publish_faster_than_a_rollout_judges_do_not_keep_every_version_from_its_end() -> None:
    course = Course(CANARY, {"spec.versions": {"keep": 2}})
    course.publish("1")
    course.settle()
    course.ready[1] = 2
    course.settle()
    course.publish("2")
    course.settle()
    course.publish("3")
    course.settle()
    assert course.status.candidate == "digits-3", "nothing was measured of the one before"
    course.ready[3] = 2
    course.settle()
    course.ready.update(dict.fromkeys(range(4, 10), 2))
    for digit in "4567":
        course.publish(digit)
        course.after(60)
    assert course.status.champion == "digits-3"
    course.after(300)
    newest = course.status.version(course.status.candidate)
    assert newest is not None
    assert newest.source.digest == f"sha256:{'7' * 64}"
    course.publish("8")
    course.settle()
    assert course.weights() == {3: 95, newest.number: 5}
    course.edit({"spec.versions.pin": "digits-1"})
    course.settle()
    assert course.weights() == {3: 100}, "what a person asks for comes at once"


def test_a_published_model_takes_the_place_of_a_candidate_that_has_stalled() -> None:
    course = Course(CANARY, {"spec.versions": {"keep": 2}})
    course.publish("1")
    course.settle()
    course.ready.update({1: 2, 2: 2})
    course.settle()
    course.publish("2")
    course.settle()
    course.publish("3")
    course.after(659, "open")
    assert course.status.candidate == "digits-2"
    course.after(10, "open")
    course.after(0, "open")
    course.after(0, "open")
    assert course.status.candidate == "digits-3"


def test_a_version_that_comes_during_a_bake_waits_with_its_pods_ready() -> None:
    course = baking()
    course.edit({"spec.versions.source.digest": f"sha256:{'3' * 64}"})
    course.ready[3] = 2
    course.after(200)
    assert (course.status.champion, course.status.candidate, course.weights()) == ("digits-2", "digits-3", {2: 100})
    assert "waits until version digits-2 has baked for 300 s" in course.progress()[1]
    course.after(100)
    assert course.weights() == {2: 95, 3: 5}


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


@pytest.mark.parametrize("how", ["the judge says so", "it crashes"])
def test_a_champion_that_fails_while_it_bakes_is_taken_back_though_all_is_suspended(how: str) -> None:
    course = baking()
    course.edit({"spec.suspend": True})
    course.after(1000)
    assert (course.status.champion, course.status.previous) == ("digits-2", "digits-1"), "no bake ends meanwhile"
    if how == "it crashes":
        course.ready[2] = 1
        course.pods[2] = (ServerPod("digits-2-x", ready=False, restarts=3, words="out of memory"),)
        course.settle()
    else:
        course.say("fail", reason="ErrorRate", message="too many")
    course.settle()
    assert (course.status.champion, course.status.previous, course.target) == ("digits-1", None, 1)
    assert course.version(2).state == "Rejected"
    assert (course.route.share, course.route.baking) == (0.0, False), "servers are told"
    course.after(60, None)
    assert (course.status.rollout, course.route.stable) == (None, 0)
    assert course.progress()[0] == "Suspended"


def test_a_published_model_takes_the_place_of_a_candidate_that_awaits_an_approval() -> None:
    course = Course({**CANARY, "approval": "manual"}, {"spec.versions": {"keep": 2, "approve": "digits-1"}})
    course.publish("1")
    course.settle()
    course.ready.update({1: 2, 2: 2, 3: 2})
    course.settle()
    course.publish("2")
    course.settle()
    course.publish("3")
    course.after(10)
    assert course.status.candidate == "digits-2"
    assert course.progress()[1].endswith("; what the job job has published meanwhile is tried after it")
    for _ in range(4):
        course.after(120)
    assert course.status.candidate == "digits-3", "who is to approve of the second may never come"
    assert "VersionWithdrawn" in course.notices
    for _ in range(4):
        course.after(120)
    assert course.progress()[0] == "AwaitingApproval"
    assert "meanwhile" not in course.progress()[1]


FULL = ServerPod("digits-2-x", ready=False, restarts=0, waiting="Unschedulable", words="0/3 nodes are available")


def test_more_replicas_than_there_is_room_for_reject_no_version_that_has_been_ready() -> None:
    course = splitting()
    course.edit({"spec.replicas": 9})
    course.ready.update({1: 4, 2: 3})
    course.pods[2] = (FULL,)
    course.after(3000)
    assert (course.status.candidate, course.weights()) == ("digits-2", {1: 95, 2: 5})
    assert "3 of 9 pods are ready; pod digits-2-x: Unschedulable: 0/3 nodes are available" in course.progress()[1]
    course.edit({"spec.replicas": 3})
    course.ready.update({1: 3, 2: 3})
    course.after(60)
    assert course.weights() == {1: 50, 2: 50}


@pytest.mark.parametrize(
    ("ready", "pods", "stays"),
    [
        ({1: 4, 2: 3}, (FULL,), True),
        ({1: 9, 2: 3}, (FULL,), False),
        ({1: 4, 2: 0}, (FULL,), False),
        ({1: 4, 2: 3}, (FULL, replace(FULL, waiting="ImagePullBackOff")), False),
    ],
    ids=["neither has room", "the one that answers has all its pods", "none was ever ready", "another fault"],
)
def test_before_its_first_step_a_version_without_room_stays_only_where_the_old_one_lacks_room_too(
    ready: dict[int, int], pods: tuple[ServerPod, ...], stays: bool
) -> None:
    course = Course().begin()
    course.edit({"spec.replicas": 9})
    course.ready.update(ready)
    course.pods[2] = pods
    course.after(300)
    assert (course.version(2).state == "Candidate") is stays


def test_where_the_old_versions_pods_crash_it_says_that_blue_green_is_the_way_and_that_is_one() -> None:
    course = splitting()
    course.ready[1] = 0
    course.after(300, "open", servers=0)
    assert course.progress() == (
        "WaitingForData",
        "version digits-2 gets 5 % of the requests (step 1 of 2): none of the pods of version digits-1 is ready, and it"
        " is they that share requests: if they will not be again, set rollout to blueGreen for this one version",
    )
    course.document["spec"]["rollout"] = {"blueGreen": {}}
    course.after(60, None)
    assert (course.status.champion, course.target) == ("digits-2", 2)


def test_what_failed_under_a_spec_that_is_not_valid_keeps_its_pods_until_servers_are_told_of_it() -> None:
    course = splitting()
    course.after(60)
    course.document["spec"]["rollout"] = {"blueGreen": {}, "recreate": {}}
    course.say("fail")
    course.settle()
    assert course.status.rollout is not None
    assert (course.status.rollout.stage, course.route.share) == ("Ending", 0.0)
    course.after(10, "fail", following=1)
    assert 2 in course.desired, "a server keeps to a share that is not 0 yet"
    course.after(10, "fail")
    assert 2 not in course.desired


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


def test_a_step_without_enough_data_rejects_the_version_where_that_is_asked_for() -> None:
    course = splitting({**CANARY, "onStall": "rollback"})
    course.after(660, None)
    assert (course.version(2).state, course.version(2).reason) == ("Rejected", "Stalled")
    assert "nothing was heard of the judge" in (course.version(2).message or "")


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


@pytest.mark.parametrize("epoch", [None, 1])
def test_what_fails_in_the_bake_gives_the_place_back(epoch: int | None) -> None:
    course = baking()
    course.say("fail", reason="Latency", message="p99 too high", **({} if epoch is None else {"epoch": epoch}))
    course.settle()
    assert (course.weights(), course.target) == ({1: 100}, 1)
    assert (course.version(2).state, course.version(2).reason) == ("Rejected", "Latency")
    assert (course.route.share, course.route.baking, course.route.stable) == (0.0, False, 1)
    assert course.desired == {1: 2, 2: 2}
    course.after(30, None)
    assert (course.desired, course.judge) == ({1: 2}, False)


def test_what_fails_in_the_bake_stays_while_the_old_version_has_no_pod_that_is_ready() -> None:
    course = baking()
    course.ready[1] = 0
    course.after(400, "fail")
    assert (course.target, course.desired) == (2, {1: 2, 2: 2})
    course.ready[1] = 1
    course.settle()
    assert course.target == 1


def test_a_pin_brings_the_old_version_back_at_once_in_the_bake() -> None:
    course = baking()
    course.edit({"spec.versions.pin": "digits-1"})
    course.settle()
    assert (course.target, course.route.share, course.route.stable) == (1, 0.0, 1)
    assert course.version(2).state == "Previous"
    course.after(30, None)
    assert course.route.stable == 0
    course.after(300, None)
    assert course.desired == {1: 2}


def test_a_pinned_version_without_pods_has_answered_before_and_takes_no_steps() -> None:
    course = Course({**CANARY, "approval": "manual"}, {"spec.versions.approve": "digits-1"})
    course.begin()
    course.split()
    course.edit({"spec.versions.approve": "digits-2"})
    course.after(60)
    course.after(500)
    assert course.desired == {2: 2}
    course.edit({"spec.versions.pin": "digits-1"})
    course.settle()
    course.ready[3] = 2
    course.settle()
    assert (course.status.champion, course.version(3).source) == ("digits-3", course.version(1).source)
    course.after(10_000)
    assert (course.status.last_number, course.desired) == (3, {3: 2}), "what is pinned is not forgotten"


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


def test_without_a_valid_spec_only_what_fails_moves() -> None:
    course = baking()
    course.edit({"spec.rollout": {"canary": {}, "recreate": {}}})
    course.after(1000)
    assert (course.target, course.desired, course.judge) == (2, {1: 2, 2: 2}, True)
    course.say("fail")
    course.settle()
    assert (course.target, course.weights()) == (1, {1: 100})


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
