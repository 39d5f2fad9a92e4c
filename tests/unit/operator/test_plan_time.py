"""Where a job's time goes: what its seconds are counted as, that none is lost or counted twice, and what that costs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway_api.status import SPENT, Attempt, Cause, Progress, TimeStatus, TrainingJobStatus, WorkersStatus
from headway_operator.engine.times import to_seconds, to_text
from headway_operator.policies.retry import POLICIES
from headway_operator.training.plan.timekeeping import timed
from sim.builders import T0, JobBuilder, make_job, outcome
from unit.operator.test_metrics import said_step

FULL, SHORT = WorkersStatus(desired=2, ready=2), WorkersStatus(desired=2, ready=1)


class Life:
    """A job whose status is written again and again."""

    def __init__(self) -> None:
        self.status = TrainingJobStatus()
        self.now = T0
        self.rested = 0.0
        """For how long it was suspended, or had ended."""

    def after(self, seconds: float, *, heard: bool = False, **changes: Any) -> Life:
        """So many seconds later the status is written with these changes; heard: with the driver's words."""
        before, rests = self.status, self.status.time is not None and self.status.time.doing is None
        self.now += seconds
        self.rested += seconds if rests else 0
        after = before.model_copy(update=changes)
        number = after.attempts[-1].number if heard else None
        self.status = after.model_copy(update={"time": timed(before, after, number, self.now)})
        return self

    def begins(self, number: int = 1) -> Life:
        """An attempt's pods are asked for."""
        attempts = [*self.status.attempts, Attempt(number=number, start_time=to_text(self.now))]
        start = self.status.start_time or to_text(self.now)
        return self.after(0, attempts=attempts, attempt=number, start_time=start, phase="Starting", workers=FULL)

    def entry(self, seconds: float, **fields: Any) -> Life:
        """Something about its newest attempt is entered."""
        return self.after(seconds, attempts=[*self.status.attempts[:-1], self.newest(**fields)])

    def newest(self, **fields: Any) -> Attempt:
        """Its newest attempt, with changes."""
        return self.status.attempts[-1].model_copy(update=fields)

    def runs(self, queued: float = 3, starting: float = 20) -> Life:
        """Its pods get nodes, and are ready."""
        self.entry(queued, scheduled_time=to_text(self.now + queued))
        attempts = [*self.status.attempts[:-1], self.newest(running_time=to_text(self.now + starting))]
        return self.after(starting, attempts=attempts, phase="Running")

    def says(self, seconds: float, **progress: Any) -> Life:
        """Its driver reports."""
        progress = {"stage": "Training", "update_time": to_text(self.now), **progress}
        return self.after(seconds, heard=True, progress=Progress(**progress))

    def ends(self, seconds: float, cause: Cause | None, phase: str = "Pending", at: float | None = None) -> Life:
        """Its newest attempt ends."""
        self.now += seconds
        ended = self.newest(end_time=to_text(self.now if at is None else at), cause=cause)
        return self.after(0, attempts=[*self.status.attempts[:-1], ended], phase=phase)

    @property
    def time(self) -> TimeStatus:
        """What is counted."""
        assert self.status.time is not None
        return self.status.time

    @property
    def seconds(self) -> dict[str, int]:
        """By what they went into."""
        return self.time.seconds


def trained() -> Life:
    """A job that runs, after 3 s of queueing, 20 of starting and 7 of preparing, at step 100 of 30 s of training."""
    return Life().begins().runs().says(2, stage="Preparing").says(5, step=0).says(30, step=100)


class TestStates:
    def test_a_straight_course_is_told_by_its_parts(self) -> None:
        life = trained().says(10, step=150).says(1, stage="Evaluating", step=150).says(6, stage="Publishing", step=150)
        life.ends(4, None, "Succeeded")
        assert life.seconds == {
            "queued": 3, "starting": 20, "preparing": 7, "productive": 41, "evaluating": 6, "publishing": 4,
        }  # fmt: skip
        assert life.time.goodput_percent == 100 * 41 // 81
        assert (life.time.since, life.time.doing) == (to_text(T0), None)

    def test_training_counts_when_its_next_step_is_reported(self) -> None:
        life = trained()
        life.after(20, warnings=["x"])
        assert life.seconds["productive"] == 30
        assert life.time.until == to_text(life.now - 20)
        life.says(5, step=101)
        assert life.seconds["productive"] == 55

    def test_what_was_lost_is_recovering_until_training_goes_on_and_its_steps_are_redone_then(self) -> None:
        life = trained().ends(9, "NodeLost").after(1, phase="Pending").begins(2).runs(2, 8)
        life.says(1, stage="Preparing").says(4, step=60)
        # 9 s since the last step, a pause, then another start: all of it is the price of the loss but the queue.
        assert life.seconds["recovering"] == 9 + 1 + 8 + 1 + 4
        assert life.seconds["queued"] == 3 + 2
        life.says(20, step=80)
        assert life.seconds["redone"] == 20
        life.says(30, step=110)
        assert (life.seconds["redone"], life.seconds["productive"]) == (40, 40), "20 of these 30 steps were new"
        assert life.time.steps_again == 40

    def test_a_lost_worker_is_recovering_within_its_attempt(self) -> None:
        life = trained().after(3, workers=SHORT).after(40, workers=FULL).says(5, step=90)
        assert life.seconds["recovering"] == 3 + 40 + 5
        life.says(6, step=120)
        assert (life.seconds["redone"], life.seconds["productive"]) == (2, 30 + 4)

    def test_training_that_stood_still_until_it_was_ended_was_not_productive(self) -> None:
        life = trained().entry(1800, cause="Hang")
        assert life.seconds["productive"] == 30
        assert life.seconds["recovering"] == 1800

    def test_a_suspended_job_stands_still_and_what_went_before_it_is_stopping(self) -> None:
        life = trained().entry(2, cause="Suspended").ends(8, "Suspended", "Running").after(1, phase="Suspended")
        assert life.seconds["stopping"] == 11
        total = sum(life.seconds.values())
        life.after(86_400, phase="Pending").begins(2).runs(1, 1)
        assert sum(life.seconds.values()) == total + 2
        assert life.seconds["starting"] == 21

    @pytest.mark.parametrize("cause", ["Released", "Upgraded", "Suspended"])
    def test_an_attempt_after_an_end_that_is_no_failure_is_a_start(self, cause: Cause) -> None:
        life = trained().ends(0, cause).begins(2).runs(0, 9).says(2, stage="Preparing")
        assert life.seconds["starting"] == 29
        assert life.seconds["preparing"] == 9

    def test_looking_for_room_after_a_failure_is_queueing_and_what_follows_makes_up_for_the_failure(self) -> None:
        life = trained().ends(0, "NodeLost").begins(2).ends(50, "Released", "Queued").after(60).begins(3).runs(5, 9)
        assert life.seconds["queued"] == 3 + 50 + 60 + 5
        assert life.seconds["recovering"] == 9

    def test_a_job_that_ended_unseen_is_stopping_since(self) -> None:
        life = trained()
        ended = life.now + 10
        life.ends(600, None, "Succeeded", at=ended)
        assert (life.seconds["productive"], life.seconds["stopping"]) == (40, 590)

    def test_checkpoints_are_taken_out_of_training(self) -> None:
        life = trained().says(10, step=120, checkpoint_seconds=3).says(10, step=140, checkpoint_seconds=4)
        assert (life.seconds["checkpointing"], life.seconds["productive"]) == (4, 30 + 16)
        life.ends(0, "NodeLost").begins(2).runs(0, 0).says(0, step=140).says(10, step=150, checkpoint_seconds=6)
        assert life.seconds["checkpointing"] == 4 + 6, "another group of workers counts from zero"

    def test_a_driver_that_says_it_saved_for_years_takes_no_more_than_there_was(self) -> None:
        life = trained().says(10, step=120, checkpoint_seconds=2**53)
        assert life.seconds["checkpointing"] == 10
        assert life.seconds["productive"] == 30

    def test_without_steps_each_report_is_progress(self) -> None:
        life = Life().begins().runs().says(1).says(30, metrics={"loss": "1"}).after(500)
        assert life.seconds["productive"] == 30

    def test_the_newest_report_of_an_earlier_attempt_does_not_speak_for_the_next(self) -> None:
        life = trained().ends(0, "Upgraded").begins(2).runs(0, 0).after(40)
        assert life.time.doing == "preparing", "its driver has not spoken yet"

    def test_a_job_that_an_older_version_began_is_counted_from_now(self) -> None:
        life = Life()
        running = Attempt(number=1, start_time=to_text(T0 - 9e5), scheduled_time=to_text(T0), running_time=to_text(T0))
        life.status = TrainingJobStatus(phase="Running", attempt=1, attempts=[running], start_time=to_text(T0 - 9e5))
        life.says(5, step=7).says(10, step=9)
        assert life.time.since == to_text(T0 + 5)
        assert life.seconds == {"productive": 10}

    def test_one_that_never_asked_for_pods_has_no_time(self) -> None:
        assert Life().after(5, phase="Failed").status.time is None


CAUSES: tuple[Any, ...] = (None, "Suspended", "Released", "Upgraded", "GateFailed", *POLICIES)
PROGRESS = st.fixed_dictionaries(
    {
        "stage": st.sampled_from(["Preparing", "Training", "Training", "Training", "Evaluating", "Publishing"]),
        "step": st.none() | st.integers(0, 200) | st.integers(0, 2**53),
        "checkpoint_seconds": st.none() | st.integers(0, 50) | st.integers(0, 2**53),
    }
)
SECONDS = st.sampled_from([0.0, 0.4, 1.0, 2.0, 7.5, 60.0, 4000.0])
EVENTS = st.one_of(
    st.tuples(st.just("says"), PROGRESS),
    st.tuples(st.just("says"), PROGRESS),
    st.tuples(st.just("workers"), st.sampled_from([FULL, SHORT])),
    st.tuples(st.just("entry"), st.sampled_from(["scheduled_time", "running_time"])),
    st.tuples(st.just("stops"), st.sampled_from(CAUSES[1:])),
    st.tuples(st.just("ends"), st.sampled_from(CAUSES)),
    st.tuples(st.just("begins"), st.none()),
    st.tuples(st.just("phase"), st.sampled_from(["Queued", "Suspended", "Running", "Pending", "Succeeded", "Failed"])),
)


def happens(life: Life, seconds: float, what: str, with_: Any) -> None:
    """One event of a job's life, in whatever order."""
    attempts = life.status.attempts
    if what == "begins" or not attempts:
        life.after(seconds)
        life.begins(len(attempts) + 1)
    elif what == "says":
        life.says(seconds, **with_)
    elif what == "workers":
        life.after(seconds, workers=with_)
    elif what == "entry":
        life.entry(seconds, **{with_: to_text(life.now)})
    elif what == "stops":
        life.entry(seconds, cause=with_)
    elif what == "ends":
        life.after(seconds)
        life.ends(0, with_, "Pending", at=life.now - seconds / 2)
    else:
        life.after(seconds, phase=with_)


@given(st.lists(st.tuples(SECONDS, EVENTS), max_size=40))
def test_seconds_add_up_to_the_time_that_passed_and_no_count_ever_falls(
    events: list[tuple[float, tuple[str, Any]]],
) -> None:
    life = Life().begins()
    first = life.now
    for seconds, (what, with_) in events:
        before = life.time
        rested = before.doing is None
        happens(life, seconds, what, with_)
        after = life.time
        assert set(after.seconds) <= set(SPENT)
        assert all(count >= before.seconds.get(state, 0) >= 0 for state, count in after.seconds.items())
        assert set(before.seconds) <= set(after.seconds)
        grown = sum(after.seconds.values()) - sum(before.seconds.values())
        passed = (to_seconds(after.until) or 0) - (to_seconds(before.until) or 0)
        assert 0 <= grown <= passed
        assert grown == passed or rested or after.doing is None or what in ("ends", "begins")
        assert after.steps_again >= before.steps_again
        assert after.step + after.steps_again >= before.step + before.steps_again
        # What it needs stands in the status: read back, as a new process does, it is the same.
        assert TimeStatus.model_validate_json(after.model_dump_json(by_alias=True)) == after
    life.after(10, phase="Succeeded")
    total = int(life.now) - int(first)
    assert 0 <= total - sum(life.seconds.values()) <= life.rested + len(events)


@given(st.lists(st.tuples(SECONDS, EVENTS), max_size=25), st.integers(-900, 0))
def test_a_clock_that_is_set_back_costs_seconds_and_takes_none_back(
    events: list[tuple[float, tuple[str, Any]]], jump: int
) -> None:
    life = trained()
    for seconds, (what, with_) in events:
        before = life.time
        happens(life, seconds, what, with_)
        life.now += jump if what == "says" else 0
        life.after(0)
        assert all(life.seconds[state] >= count for state, count in before.seconds.items())


class TestWrites:
    """The time is entered when a status is written, and makes none of its own."""

    def job(self, time: TimeStatus | None = None, step: int = 3) -> JobBuilder:
        """A job that runs and whose status says all that there is to say."""
        builder = make_job().running().config(1, said_step(step)).head().worker(0)
        plan = builder.plan(10)
        assert plan.status is not None
        return builder.status(
            **{name: getattr(plan.status, name) for name in TrainingJobStatus.model_fields} | {"time": time}
        )

    def test_time_alone_is_no_reason_to_write(self) -> None:
        first = make_job().running().config(1, said_step(3)).head().worker(0).plan(10).status
        assert first is not None
        assert first.time is not None
        assert self.job(first.time).plan(4000).status is None
        assert self.job().plan(4000).status is None, "not even where none is counted yet"

    def test_time_is_as_urgent_as_what_it_goes_with(self) -> None:
        behind = self.job().config(1, said_step(9)).seen(last_write=T0 + 19, write_interval=2.0)
        waits = behind.plan(20)
        assert (waits.status, waits.requeue_at) == (None, T0 + 21)
        written = behind.plan(22).status
        assert written is not None
        assert written.time is not None
        assert (written.time.doing, written.time.step) == ("preparing", 9)

    def test_the_end_of_a_job_has_its_time_in_it(self) -> None:
        time = TimeStatus(
            since=to_text(T0), until=to_text(T0 + 20), doing="training", seconds={"starting": 20}, attempt=1, step=3
        )
        said = outcome("Succeeded", progress={"step": 9, "stage": "Publishing"})
        over = make_job().running().status(time=time).config(1, said_step(3)).head(exit_code=0, said=said).live()
        ended = over.plan(65).status
        assert ended is not None
        assert ended.time is not None
        assert ended.time.seconds == {"starting": 20, "productive": 45}
        assert ended.time.goodput_percent == 69

    def test_what_the_api_server_refuses_of_a_driver_does_not_take_the_time_along(self) -> None:
        bare = self.job().config(1, said_step(9)).seen(status_refused=True).plan(30).status
        assert bare is not None
        assert bare.progress is None
        assert bare.time is not None
        assert bare.time.step == 0, "that is the driver's word"
