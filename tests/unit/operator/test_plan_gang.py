"""An attempt of which only a part finds room gives back what it holds, waits, and asks again."""

from __future__ import annotations

from typing import Any

import pytest

from headway_operator.engine.times import to_seconds, to_text
from headway_operator.training.plan import gang
from sim.builders import T0, JobBuilder, deleted, make_job, names, said

FULL = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu"


def halved(**scheduling: Any) -> JobBuilder:
    """The head and a worker have nodes, the other worker finds none."""
    builder = make_job().workers(2).spec(scheduling={"releaseSeconds": 100, **scheduling}).attempt(1).crowded()
    builder.head(ready=False, scheduled_at=T0 + 3).worker(0, ready=False, scheduled_at=T0 + 10)
    return builder.worker(1, pending=True, unschedulable=FULL)


PATIENCE: list[tuple[str, JobBuilder, float, str | None]] = [
    ("a second too early", halved(), 102, None),
    ("after releaseSeconds", halved(), 103, "Released"),
    ("all have nodes, one is slow", make_job().attempt(1).head().worker(0, ready=False), 800, None),
    (
        "none has a node: nothing is held",
        make_job().attempt(1).head(pending=True, unschedulable=FULL).worker(0, pending=True, unschedulable=FULL),
        800,
        None,
    ),
    ("nobody has said that it cannot", make_job().attempt(1).head().worker(0, pending=True), 800, None),
    (
        "a quota refuses one",
        make_job().attempt(1).head(pending=True).refused("digits-11111-1-worker-0-0", retry_at=T0 + 999),
        120,
        "Released",
    ),
    (
        "a head alone holds little",
        make_job().attempt(1).head(ready=False).worker(0, pending=True, unschedulable=FULL),
        599,
        None,
    ),
    (
        "a head alone, for long",
        make_job().attempt(1).head(ready=False).worker(0, pending=True, unschedulable=FULL),
        600,
        "Released",
    ),
    (
        "a replacement finds no room",
        make_job()
        .workers(2)
        .running(workers_replaced=1)
        .head(scheduled_at=T0)
        .worker(1, scheduled_at=T0)
        .worker(0, number=1, pending=True, unschedulable=FULL, created=T0 + 500),
        620,
        "Released",
    ),
    (
        "a replacement has only begun to look",
        make_job()
        .workers(2)
        .running(workers_replaced=1)
        .head(scheduled_at=T0)
        .worker(1, scheduled_at=T0)
        .worker(0, number=1, pending=True, unschedulable=FULL, created=T0 + 500),
        619,
        None,
    ),
    (
        "a replacement has just been refused",
        make_job()
        .running()
        .head(scheduled_at=T0)
        .worker(0, exit_code=137, at=T0 + 500)
        .refused("digits-11111-1-worker-0-1", retry_at=T0 + 9999),
        600,
        None,
    ),
    (
        "a replacement is refused for long",
        make_job()
        .running()
        .head(scheduled_at=T0)
        .worker(0, exit_code=137, at=T0 + 500)
        .refused("digits-11111-1-worker-0-1", retry_at=T0 + 9999),
        620,
        "Released",
    ),
    (
        "a replacement of one that left no word is refused for long",
        make_job()
        .running()
        .head(scheduled_at=T0)
        .worker(0, gone=True)
        .condition("Scheduled", False, "PodsRefused", since=T0 + 500)
        .refused("digits-11111-1-worker-0-1", retry_at=T0 + 9999),
        620,
        "Released",
    ),
]


@pytest.mark.parametrize(("builder", "after", "cause"), [row[1:] for row in PATIENCE], ids=[row[0] for row in PATIENCE])
def test_a_part_of_a_gang_holds_nodes_only_so_long(builder: JobBuilder, after: float, cause: str | None) -> None:
    plan = builder.crowded().plan(after)
    job, _ = builder.build()
    decided = (plan.status or job.status).attempts[0]
    assert decided.cause == cause
    assert not plan.delete, "first the reason is written, then the pods go"


def test_the_pods_that_hold_nodes_are_looked_at_again_when_their_time_is_over() -> None:
    assert halved().plan(after=60).requeue_at == T0 + 103


def test_what_the_scheduler_lacks_is_told_before_what_it_says_of_the_group() -> None:
    group = "minCount (3) cannot be satisfied: 1 scheduled, 1 remaining"
    builder = make_job().workers(2).attempt(1).head(pending=True, unschedulable=group)
    plan = builder.worker(0, pending=True, unschedulable=FULL).worker(1, pending=True, unschedulable=group).plan()
    assert FULL in said(plan, "Scheduled").message
    assert FULL in said(plan, "Running").message


def test_all_pods_of_an_attempt_that_never_ran_are_given_back_at_once() -> None:
    stopping = make_job().workers(2).attempt(1, cause="Released", message="no room").head(ready=False)
    plan = stopping.worker(0).worker(1, pending=True).plan(after=103)
    assert deleted(plan) == ["digits-11111-1-head", "digits-11111-1-worker-0-0", "digits-11111-1-worker-1-0"]


def test_an_attempt_that_ran_saves_first() -> None:
    stopping = make_job().workers(2).running(cause="Released", message="no room").head().worker(0)
    assert deleted(stopping.plan(after=103)) == ["digits-11111-1-head"]


def released(**fields: Any) -> JobBuilder:
    builder = make_job().workers(2).spec(scheduling={"releaseSeconds": 100})
    return builder.attempt(1, end=T0 + 110, cause="Released", message="1 of 3 pods found no node", **fields)


def test_a_release_costs_nothing_and_says_who_lacked_what_and_when_it_goes_on() -> None:
    builder = halved().live()
    job, observed = builder.build()
    decided = builder.plan(after=103).status
    assert decided is not None
    plan = make_job().workers(2).spec(scheduling={"releaseSeconds": 100}).status(**dict(decided)).live().plan(after=104)
    assert plan.status is not None
    assert plan.status.phase == "Queued"
    assert plan.status.failures is None
    scheduled = said(plan, "Scheduled")
    assert (scheduled.status, scheduled.reason) == ("False", "GangDoesNotFit")
    assert "1 of 3 pods, digits-11111-1-worker-1-0 among them, found no node: 0/3 nodes" in scheduled.message
    again = T0 + 104 + gang.pause(job, plan.status.attempts[0])
    assert f"asks again at {to_text(again)}" in scheduled.message
    assert [(notice.reason, notice.warning) for notice in plan.notices] == [("Released", True)]
    assert observed.live


def test_the_next_turn_waits_its_pause_and_then_takes_the_place_of_the_last_in_the_list() -> None:
    builder = released().status(phase="Queued").live()
    pause = gang.pause(*_of(builder))
    waiting = builder.plan(after=110 + pause - 1)
    assert not waiting.create
    assert waiting.requeue_at == pytest.approx(T0 + 110 + pause)
    assert waiting.status is None or waiting.status.phase == "Queued"
    plan = builder.plan(after=110 + pause)
    assert names(plan) == ["digits-11111-2-head", "digits-11111-2-worker-0-0", "digits-11111-2-worker-1-0"]
    assert plan.status is not None
    assert [entry.number for entry in plan.status.attempts] == [2]
    entry = plan.status.attempts[0]
    assert (entry.releases, entry.queued_time) == (1, to_text(T0))
    assert plan.status.attempt == 2


def test_an_operator_that_died_after_making_the_pods_goes_on_with_the_same_clock() -> None:
    builder = released().config(2).head(2, pending=True, created=T0 + 200).live()
    plan = builder.plan(after=201)
    assert plan.status is not None
    assert [(entry.number, entry.releases, entry.queued_time) for entry in plan.status.attempts] == [
        (2, 1, to_text(T0))
    ]


def test_an_attempt_that_ran_stays_in_the_list_and_its_successor_has_a_clock_of_its_own() -> None:
    builder = make_job().running(number=1, end=T0 + 700, cause="Released", releases=4, queued_time=to_text(T0 - 900))
    plan = builder.status(phase="Queued").live().plan(after=9999)
    assert plan.status is not None
    assert [entry.number for entry in plan.status.attempts] == [1, 2]
    assert plan.status.attempts[1].queued_time == to_text(T0 + 700)
    assert plan.status.attempts[1].releases == 1


def test_a_suspension_ends_the_wait_and_the_clock_begins_anew_after_it() -> None:
    suspended = released().suspended().status(phase="Queued").condition("Scheduled", False, "GangDoesNotFit")
    plan = suspended.live().plan(after=120)
    assert plan.status is not None
    assert plan.status.phase == "Suspended"
    assert [item.type for item in plan.status.conditions if item.type == "Scheduled"] == []
    for resumed in (
        released().condition("Suspended", True, since=T0 + 120),
        released().condition("Suspended", False, "Resumed", since=T0 + 120),
    ):
        begun = resumed.live().plan(after=5000).status
        assert begun is not None
        assert begun.attempts[-1].queued_time is None
    earlier = released().condition("Suspended", False, "Resumed", since=T0 - 10).live().plan(after=5000).status
    assert earlier is not None
    assert earlier.attempts[-1].queued_time is not None


@pytest.mark.parametrize(("after", "cause"), [(102, None), (103, None), (1502, None), (1503, "Released")])
def test_where_nobody_else_waits_a_part_may_hold_nodes_for_fifteen_times_as_long(
    after: float, cause: str | None
) -> None:
    builder = halved().seen(others_waiting=False)
    plan = builder.plan(after)
    job, _ = builder.build()
    assert (plan.status or job.status).attempts[0].cause == cause
    if cause is None:
        assert plan.requeue_at is not None
        assert plan.requeue_at <= T0 + min(1503, after + 100), "somebody may come to wait meanwhile"


def test_whether_nodes_are_being_made_is_only_asked_when_room_would_be_given_back() -> None:
    assert "scaleUps" not in halved().seen(read=frozenset()).plan(after=102).read
    assert "scaleUps" not in halved().seen(read=frozenset(), others_waiting=False).plan(after=500).read
    assert "scaleUps" in halved().seen(read=frozenset()).plan(after=103).read
    assert "scaleUps" in halved().seen(read=frozenset(), others_waiting=False).plan(after=1503).read


@pytest.mark.parametrize(("after", "cause"), [(103, None), (949, None), (950, "Released")])
def test_pods_for_which_nodes_are_being_made_are_waited_for(after: float, cause: str | None) -> None:
    builder = halved().seen(scale_ups={"digits-11111-1-worker-1-0": T0 + 50, "another": T0 + 900})
    plan = builder.plan(after)
    job, _ = builder.build()
    assert (plan.status or job.status).attempts[0].cause == cause
    if cause is None:
        assert plan.requeue_at == T0 + 950


def test_a_pod_that_is_nominated_waits_for_others_to_leave_its_node() -> None:
    builder = make_job().workers(2).attempt(1).crowded().head(ready=False).worker(0, ready=False)
    plan = builder.worker(1, pending=True, unschedulable=FULL, nominated="node-7").plan(after=9000)
    assert plan.status is not None
    assert plan.status.attempts[0].cause is None


def test_the_deadline_of_the_queue_counts_over_all_turns() -> None:
    scheduling = {"queueDeadlineSeconds": 300, "releaseSeconds": 100}
    builder = make_job().spec(scheduling=scheduling)
    builder.attempt(4, start=T0 + 250, queued_time=to_text(T0), releases=3)
    builder.head(4, pending=True).worker(0, 4, pending=True)
    before = builder.plan(after=299).status
    assert before is None or before.attempts[0].cause is None
    after = builder.plan(after=300).status
    assert after is not None
    assert after.attempts[0].cause == "DeadlineExceeded"


def test_the_deadline_of_the_queue_ends_a_job_between_two_turns() -> None:
    waits = released().spec(scheduling={"releaseSeconds": 1000, "queueDeadlineSeconds": 300}).status(phase="Queued")
    early = waits.plan(after=200)
    assert early.requeue_at == T0 + 300
    plan = waits.plan(after=300)
    assert said(plan, "Failed").reason == "DeadlineExceeded"
    assert "1 of 3 pods found no node" in said(plan, "Failed").message
    ran = make_job().running(end=T0 + 700, cause="Released").status(phase="Queued")
    ran.spec(scheduling={"releaseSeconds": 1000, "queueDeadlineSeconds": 300})
    assert ran.plan(after=800).requeue_at == T0 + 1000, "it had found room until then"


def test_pauses_grow_and_no_two_jobs_wait_equally_long() -> None:
    def pauses(uid: str) -> list[float]:
        return [gang.pause(*_of(released(releases=turn).job(uid=uid))) for turn in range(12)]

    one, other = pauses("one"), pauses("other")
    assert len({*one, *other}) == 24
    for turn, pause in enumerate(one):
        full = min(600, 50 * 2**turn)
        assert full / 2 <= pause < full * 1.5


def test_two_gangs_that_took_half_each_do_not_come_back_together() -> None:
    back = [T0 + gang.pause(*_of(released().job(uid=f"uid-{number}"))) for number in range(2)]
    assert abs(back[0] - back[1]) > 1


def test_the_time_of_the_last_release_decides_when_the_next_begins() -> None:
    job, observed = released().live().build()
    assert to_seconds(job.status.attempts[0].end_time) == T0 + 110
    assert observed.live


def templates(head: dict[str, Any], workers: dict[str, Any]) -> dict[str, Any]:
    return {"head": {"template": {"spec": head}}, "workers": {"template": {"spec": workers}}}


GROUPED: list[tuple[str, dict[str, Any], bool, bool]] = [
    ("Auto where it is served", {}, True, True),
    ("Auto where it is not", {}, False, False),
    ("PodGroup", {"scheduling": {"gang": "PodGroup"}}, True, True),
    ("Release", {"scheduling": {"gang": "Release"}}, True, False),
    ("one priority", templates({"priorityClassName": "high"}, {"priorityClassName": "high"}), True, True),
    ("two priorities", templates({}, {"priorityClassName": "high"}), True, False),
    ("two schedulers", templates({"schedulerName": "volcano"}, {}), True, False),
    ("another scheduler", templates({"schedulerName": "volcano"}, {"schedulerName": "volcano"}), True, False),
    ("the scheduler by name", templates({"schedulerName": "default-scheduler"}, {}), True, True),
]


@pytest.mark.parametrize(("fields", "served", "grouped"), [row[1:] for row in GROUPED], ids=[row[0] for row in GROUPED])
def test_pods_are_one_pod_group_where_there_can_be_one(fields: dict[str, Any], served: bool, grouped: bool) -> None:
    plan = make_job().spec(**fields).seen(pod_groups=served).plan()
    assert len(plan.create) == 2
    assert plan.grouped == grouped


def test_what_an_attempt_began_with_holds_for_its_replacements() -> None:
    builder = make_job().running().head().worker(0, exit_code=137)
    assert not builder.seen(pod_groups=True).plan().grouped
    assert builder.seen(pod_groups=False).grouped().plan().grouped


@pytest.mark.parametrize(
    ("fields", "served", "words"),
    [
        ({"scheduling": {"gang": "PodGroup"}}, False, "does not serve podgroups"),
        (
            {"scheduling": {"gang": "PodGroup"}, **templates({}, {"priorityClassName": "low"})},
            True,
            "priorityClassName",
        ),
    ],
)
def test_who_insists_on_a_pod_group_where_there_can_be_none_is_told_and_waits(
    fields: dict[str, Any], served: bool, words: str
) -> None:
    builder = make_job().spec(**fields).seen(pod_groups=served)
    plan = builder.plan()
    assert not plan.create
    assert not plan.ensure_objects
    scheduled = said(plan, "Scheduled")
    assert (scheduled.status, scheduled.reason) == ("False", "NoPodGroup")
    assert words in scheduled.message
    assert "set scheduling.gang to Auto or Release" in scheduled.message
    assert [notice.reason for notice in plan.notices] == ["NoPodGroup"]
    assert plan.requeue_at == T0 + 120
    assert plan.status is not None
    again = builder.status(**dict(plan.status)).plan(after=120)
    assert again.status is None, "once is enough"
    assert not again.notices


def test_who_waited_for_pod_groups_begins_when_they_are_served() -> None:
    builder = make_job().spec(scheduling={"gang": "PodGroup"}).condition("Scheduled", False, "NoPodGroup")
    plan = builder.seen(pod_groups=True).plan()
    assert plan.grouped
    assert names(plan) == ["digits-11111-1-head", "digits-11111-1-worker-0-0"]


def _of(builder: JobBuilder) -> tuple[Any, Any]:
    job, _ = builder.build()
    return job, job.status.attempts[-1]
