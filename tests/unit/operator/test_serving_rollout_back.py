"""Rollouts that split requests: versions that are given up, taken back or outdone, as pure decisions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from headway_operator.serving.plan.model import ServerPod

from .rollout_course import CANARY, Course, baking, splitting


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


def test_a_step_without_enough_data_rejects_the_version_where_that_is_asked_for() -> None:
    course = splitting({**CANARY, "onStall": "rollback"})
    course.after(660, None)
    assert (course.version(2).state, course.version(2).reason) == ("Rejected", "Stalled")
    assert "nothing was heard of the judge" in (course.version(2).message or "")


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


def test_without_a_valid_spec_only_what_fails_moves() -> None:
    course = baking()
    course.edit({"spec.rollout": {"canary": {}, "recreate": {}}})
    course.after(1000)
    assert (course.target, course.desired, course.judge) == (2, {1: 2, 2: 2}, True)
    course.say("fail")
    course.settle()
    assert (course.target, course.weights()) == (1, {1: 100})
