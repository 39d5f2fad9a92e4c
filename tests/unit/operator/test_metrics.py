"""The numbers: what they say of jobs, and the page that tells their names."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any, ClassVar

import pytest
from prometheus_client.parser import text_string_to_metric_families

from harness import ROOT
from headway_api import wire
from headway_api.status import ENDED_STATES, Attempt, Progress, TimeStatus, TrainingJobStatus, TuningStatus
from headway_operator import reference
from headway_operator.engine.exposition import Entry
from headway_operator.engine.keys import Key
from headway_operator.engine.kinds import View
from headway_operator.engine.metrics import OPENMETRICS, EngineMetrics, MetricSet, Reading
from headway_operator.engine.steps import Decision, Facts
from headway_operator.engine.times import to_text
from headway_operator.training.kind import Decided
from headway_operator.training.measures import MOST_AWAITED, MOST_RESOURCES, OTHER, PHASES, JobMeasures, JobMetrics
from headway_operator.training.plan.model import Job, Observed, Plan
from sim.builders import T0, UID, JobBuilder, make_job, outcome
from unit.operator.bodies import owner_record


def said_step(step: int, attempt: int = 1, resumed_from: int | None = None) -> str:
    """What a driver says of a step."""
    said = wire.ProgressFile(uid=UID, attempt=attempt, progress=Progress(step=step), resumed_from_step=resumed_from)
    return said.model_dump_json(by_alias=True)


def values(metrics: MetricSet) -> dict[str, float]:
    """The exposition: name and labels, and the value."""
    found = {}
    for family in text_string_to_metric_families(metrics.text().decode()):
        for sample in family.samples:
            labels = ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def all_metrics() -> MetricSet:
    """The engine's and the jobs' metrics."""
    metrics = MetricSet()
    EngineMetrics(metrics)
    JobMetrics(metrics)
    return metrics


class Follower:
    """The measures of one job, as the engine calls them."""

    def __init__(self, metrics: MetricSet | None = None) -> None:
        self.metrics = metrics or MetricSet()
        self.measures = JobMeasures(JobMetrics(self.metrics))
        self.course: Any = None

    def decided(self, job: Job, observed: Observed, plan: Plan, now: float) -> None:
        """A decision was made."""
        self.course = self.measures.decided(self.course, *self._at(job, observed, plan, now))

    def wrote(self, job: Job, plan: Plan, now: float) -> None:
        """Its status was written."""
        self.course = self.measures.wrote(self.course, *self._at(job, Observed(), plan, now))

    @staticmethod
    def _at(job: Job, observed: Observed, plan: Plan, now: float) -> tuple[View, Decision]:
        view = View(owner=owner_record(), children={}, facts=Facts(), now=now)
        return view, Decision(detail=Decided(job, observed, plan))


class TestExposition:
    def test_readings_are_taken_at_each_scrape(self) -> None:
        metrics, jobs = all_metrics(), {"Running": 1.0}
        metrics.on_scrape(lambda: [Reading("headway_jobs", jobs), Reading("headway_queue_depth", {"": 3})])
        assert values(metrics)["headway_jobs{phase=Running}"] == 1
        jobs["Running"] = 2
        assert values(metrics)["headway_jobs{phase=Running}"] == 2
        assert values(metrics)["headway_queue_depth"] == 3

    def test_names_follow_the_conventions(self) -> None:
        for entry in reference.catalogue():
            assert re.fullmatch(r"headway_[a-z]+(_[a-z]+)*", entry.name)
            assert entry.name.endswith("_total") == (entry.kind == "counter"), entry.name
            assert entry.kind != "histogram" or entry.name.endswith("_seconds")
            assert not {"job", "namespace", "pod", "name"} & set(entry.labels), "Prometheus has these for targets"
            named = {"job_name", "deployment_name"} & set(entry.labels)
            assert bool(named) == entry.name.startswith(("headway_job_", "headway_deployment_")) or not entry.labels

    def test_all_that_is_exposed_is_on_the_page(self) -> None:
        metrics = all_metrics()
        read: list[Entry] = [entry for entry in metrics.catalogue if entry.name in metrics.read]
        metrics.on_scrape(lambda: [Reading(entry.name, {}) for entry in read])
        told = {entry.name.removesuffix("_total") for entry in metrics.catalogue}
        exposed = {family.name for family in metrics.registry.collect()}
        assert {name for name in exposed if not name.startswith("process_")} == told

    def test_the_page_is_made_of_the_metrics(self) -> None:
        page = ROOT / "docs/reference/metrics.md"
        wanted = "run: python -m headway_operator.reference > docs/reference/metrics.md"
        assert page.read_text() == reference.page(), wanted

    def test_the_build_is_told(self) -> None:
        assert re.search(r'headway_build_info\{python="3[.0-9]+",version="[^"]+"\} 1', all_metrics().text().decode())


class TestMeasures:
    def watch(self, *looks: tuple[JobBuilder, float]) -> dict[str, float]:
        """Looks at a job at seconds after T0, whose statuses are all written."""
        follower = Follower()
        for builder, after in looks:
            job, observed = builder.build()
            plan = builder.plan(after)
            follower.decided(job, observed, plan, T0 + after)
            if plan.status is not None:
                follower.wrote(job, plan, T0 + after)
        return values(follower.metrics)

    def test_an_attempt_is_counted_when_its_end_is_written_for_the_first_time(self) -> None:
        follower = Follower()
        begun = Attempt(number=1, start_time=to_text(T0))
        running = begun.model_copy(update={"running_time": to_text(T0 + 20)})
        ended = running.model_copy(update={"end_time": to_text(T0 + 80), "cause": "NodeLost", "workers_replaced": 2})
        states = [TrainingJobStatus(attempts=[entry]) for entry in (begun, running, running, ended, ended)]
        for before, after in zip([TrainingJobStatus(), *states], states, strict=False):
            job, _ = make_job().job(status=before).build()
            follower.wrote(job, Plan(status=after), T0)
        seen = values(follower.metrics)
        assert seen["headway_attempts_ended_total{cause=NodeLost}"] == 1
        assert seen["headway_attempt_startup_seconds_sum"] == 20
        assert seen["headway_attempt_running_seconds_sum"] == 60
        assert seen["headway_workers_replaced_total"] == 2

    def started(self) -> list[tuple[JobBuilder, float]]:
        step = said_step(3)
        return [
            (make_job(), 1.5),
            (make_job().attempt(1, start=T0 + 1).head(pending=True).worker(0, pending=True), 2),
            (make_job().attempt(1, start=T0 + 1).head(ready=False).worker(0, pending=True), 3),
            (make_job().attempt(1, start=T0 + 1).head(ready=False).worker(0, ready=False), 4),
            (make_job().attempt(1, start=T0 + 1).head().worker(0), 24),
            (make_job().running().head().worker(0), 25),
            (make_job().running().config(1, step).head().worker(0), 31),
        ]

    def test_each_part_of_a_start_is_measured(self) -> None:
        seen = self.watch(*self.started())
        parts = {name: seconds for name, seconds in seen.items() if name.startswith("headway_start_phase_seconds_sum")}
        assert parts == {
            "headway_start_phase_seconds_sum{phase=first_reconcile}": 1.5,
            "headway_start_phase_seconds_sum{phase=pods_created}": 0.5,
            "headway_start_phase_seconds_sum{phase=pods_scheduled}": 2,
            "headway_start_phase_seconds_sum{phase=pods_ready}": 20,
            "headway_start_phase_seconds_sum{phase=first_step}": 7,
        }

    def test_a_start_that_was_not_seen_whole_is_not_measured(self) -> None:
        seen = self.watch(*self.started()[3:])
        assert not any(count for name, count in seen.items() if name.startswith("headway_start_phase_seconds_count"))

    def test_the_recovery_from_a_lost_head_is_measured_until_it_runs_and_until_it_steps(self) -> None:
        step = said_step(9, attempt=2, resumed_from=8)

        def second() -> JobBuilder:
            return make_job().attempt(1, running=T0 + 5, end=T0 + 60, cause="NodeLost")

        seen = self.watch(
            *self.started(),
            (make_job().running().head(gone=True, node="n").worker(0).live(), 60),
            (second().live(), 62),
            (second().attempt(2, start=T0 + 62).head(2).worker(0, 2), 70),
            (second().running(2).config(2, step).head(2).worker(0, 2), 75),
            (second().running(2).config(2, step).head(2).worker(0, 2), 80),
        )
        assert seen["headway_recovery_seconds_sum{lost=head,until=running}"] == 10
        assert seen["headway_recovery_seconds_sum{lost=head,until=step}"] == 15
        assert seen["headway_start_phase_seconds_count{phase=pods_ready}"] == 2

    def test_the_recovery_from_a_lost_worker_begins_when_it_is_replaced(self) -> None:
        old, new = map(said_step, (7, 5))
        lost = make_job().running().config(1, old).head().worker(0, exit_code=137)
        seen = self.watch(
            *self.started(),
            (lost, 40),
            (make_job().running().config(1, old).head().worker(0, exit_code=137).worker(0, number=1, ready=False), 41),
            (make_job().running().config(1, old).head().worker(0, number=1), 45),
            (make_job().running().config(1, old).head().worker(0, number=1), 47),
            (make_job().running().config(1, new).head().worker(0, number=1), 52),
        )
        assert seen["headway_recovery_seconds_sum{lost=worker,until=running}"] == 5
        assert seen["headway_recovery_seconds_sum{lost=worker,until=step}"] == 12
        assert seen["headway_start_phase_seconds_count{phase=pods_ready}"] == 1

    def test_the_time_that_a_driver_takes_to_stop_is_measured_and_a_resume_is_no_recovery(self) -> None:
        def again() -> JobBuilder:
            return make_job().attempt(1, running=T0 + 5, end=T0 + 66, cause="Suspended")

        seen = self.watch(
            *self.started(),
            (make_job().suspended().running().head().worker(0), 60),
            (make_job().suspended().running(cause="Suspended").head(exit_code=143, at=T0 + 66).live(), 66.5),
            (again().live(), 70),
            (again().attempt(2, start=T0 + 70).head(2).worker(0, 2), 72),
        )
        assert seen["headway_stop_seconds_sum{cause=Suspended}"] == 6.5
        assert not any(count for name, count in seen.items() if name.startswith("headway_recovery"))

    @pytest.mark.parametrize(
        ("said", "cause"),
        [
            ({"exit_code": 64}, "UserError"),
            ({"exit_code": 0, "said": outcome("Succeeded")}, "Succeeded"),
        ],
    )
    def test_the_end_of_a_job_is_counted_once(self, said: dict[str, Any], cause: str) -> None:
        over = make_job().running().head(**said).live()
        done = make_job().attempt(1, running=T0 + 5, end=T0 + 60).status(phase="Failed")
        seen = self.watch(*self.started(), (over, 60), (done, 61), (done, 90))
        assert seen[f"headway_jobs_ended_total{{cause={cause}}}"] == 1
        assert seen[f"headway_attempts_ended_total{{cause={cause}}}"] == 1

    def test_trials_that_end_are_counted_by_state_and_none_twice(self) -> None:
        def told(**counts: int) -> str:
            said = wire.ProgressFile(uid=UID, attempt=1, tuning=TuningStatus(**counts))
            return said.model_dump_json(by_alias=True)

        def running(**known: int) -> JobBuilder:
            return make_job().running().head().worker(0).status(tuning=TuningStatus(**known))

        seen = self.watch(
            *self.started(),
            (running().config(1, told(running=2, completed=1)), 60),
            (running(completed=1).config(1, told(completed=3, stopped=4)), 70),
            (running(completed=3, stopped=4).config(1, told(completed=2, failed=1)), 80),
        )
        trials = {state: seen[f"headway_tuning_trials_total{{state={state}}}"] for state in ENDED_STATES}
        assert trials == {"completed": 3, "stopped": 4, "failed": 1}

    def test_finished_jobs_are_not_followed(self) -> None:
        follower = Follower()
        job, observed = make_job().running().build()
        follower.decided(job, observed, Plan(), T0)
        assert follower.course is not None
        finished, observed = make_job().status(phase="Succeeded").build()
        follower = Follower()
        follower.decided(finished, observed, Plan(), T0)
        assert follower.course is None

    def test_a_first_step_that_is_waited_for_makes_reports_urgent(self) -> None:
        follower = Follower()
        for builder, after in self.started():
            job, observed = builder.build()
            follower.decided(job, observed, builder.plan(after), T0 + after)
            waits = follower.measures.awaits(follower.course)
            assert waits == (after in (24, 25)), after

    def test_words_of_no_step_are_urgent_so_often_and_not_more_until_another_step_is_waited_for(self) -> None:
        def below_zero(number: int) -> str:
            progress = {"step": -1, "metrics": {"n": number}}
            return json.dumps({"uid": UID, "attempt": 1, "heartbeatTime": "x", "progress": progress})

        follower = Follower()

        def look(builder: JobBuilder, after: float) -> bool:
            job, observed = builder.build()
            follower.decided(job, observed, builder.plan(after), T0 + after)
            return follower.measures.awaits(follower.course)

        for builder, after in self.started()[:-1]:
            look(builder, after)
        waited = [
            look(make_job().running().config(1, below_zero(number)).head().worker(0), 26 + number)
            for number in range(2 * MOST_AWAITED)
        ]
        assert waited == [True] * (MOST_AWAITED - 1) + [False] * (MOST_AWAITED + 1)
        lost = make_job().running().config(1, below_zero(0)).head().worker(0, exit_code=137)
        assert not look(lost, 100)
        assert look(make_job().running().config(1, below_zero(0)).head().worker(0, number=1), 110)

    def test_the_first_step_of_an_attempt_that_is_being_stopped_is_not_waited_for(self) -> None:
        follower = Follower()
        for builder, after in self.started()[:-1]:
            job, observed = builder.build()
            follower.decided(job, observed, builder.plan(after), T0 + after)
        assert follower.measures.awaits(follower.course)
        stopped = make_job().running().spec(suspend=True).head().worker(0)
        plan = stopped.plan(after=26)
        assert plan.status is not None
        assert plan.status.attempts[0].cause == "Suspended"
        follower.wrote(stopped.build()[0], plan, T0 + 26)
        assert not follower.measures.awaits(follower.course)


class TestExemplars:
    """Of the histograms that say that something was slow, a bucket names whose it was."""

    @staticmethod
    def named(metrics: MetricSet) -> set[tuple[str, str]]:
        """The histograms that have exemplars, with what these say."""
        body, _ = asyncio.run(metrics.scrape(OPENMETRICS))
        return set(re.findall(r"^(\w+)_bucket\{.*# (\{.*\})", body.decode(), re.MULTILINE))

    def lived(self, metrics: MetricSet) -> MetricSet:
        follower = Follower(metrics)
        for builder, after in TestMeasures().started():
            job, observed = builder.build()
            follower.decided(job, observed, builder.plan(after), T0 + after)
        follower.course.lost, follower.course.phase = "head", PHASES.index("pods_ready")
        job, observed = make_job().running().head().worker(0).build()
        follower.decided(job, observed, Plan(), T0 + 90)
        engine = EngineMetrics(metrics)
        engine.reconciled(Key("ModelDeployment", "a" * 63, "b" * 90), "done", 2.0)
        return metrics

    def test_they_name_the_job_or_the_deployment(self) -> None:
        digits = '{job="default/digits"}'
        long = f'{{deployment="{"a" * 63}/{"b" * 54}"}}'
        assert self.named(self.lived(MetricSet())) == {
            ("headway_start_phase_seconds", digits),
            ("headway_recovery_seconds", digits),
            ("headway_reconcile_seconds", long),
        }
        assert len(long) - len('{=""}') == 128, "all that OpenMetrics allows"

    def test_they_name_nobody_where_jobs_are_not_to_be_told_of(self) -> None:
        assert self.named(self.lived(MetricSet(names_objects=False))) == set()

    def test_the_old_form_has_none(self) -> None:
        assert b"# {" not in self.lived(MetricSet()).text()


class TestGpuSeconds:
    """GPUs times seconds, when the status that counts the seconds is written."""

    GPU: ClassVar[dict[str, Any]] = {"resources": {"gpu": 4, "gpuResource": "amd.com/gpu"}}

    def job(self, **changes: Any) -> JobBuilder:
        return make_job().spec(workers={"replicas": 2, **self.GPU}).attempt(1, running=T0 + 5, **changes)

    def counted(self, builder: JobBuilder, follower: Follower | None = None, **seconds: int) -> dict[str, float]:
        """What is counted as a status is written that has these seconds more."""
        follower = follower or Follower()
        time = {"since": to_text(T0), "until": to_text(T0)}
        job, observed = builder.status(time=TimeStatus(**time, seconds={"productive": 10})).build()
        more = {"productive": 10, **seconds}
        after = job.status.model_copy(update={"time": TimeStatus(**time, seconds=more)})
        view = View(owner=owner_record(), children={}, facts=Facts(), now=T0)
        follower.measures.wrote(None, view, Decision(detail=Decided(job, observed, Plan(status=after))))
        found = values(follower.metrics)
        return {key: value for key, value in found.items() if key.startswith("headway_gpu_seconds_total")}

    @staticmethod
    def series(state: str, resource: str = "amd.com/gpu") -> str:
        return f"headway_gpu_seconds_total{{gpu_resource={resource},job_namespace=default,state={state}}}"

    def test_pods_that_have_a_node_hold_their_gpus(self) -> None:
        both = self.job().head().worker(0).worker(1)
        assert self.counted(both, productive=30, redone=5) == {
            self.series("productive"): 2 * 4 * 20, self.series("redone"): 2 * 4 * 5,
        }  # fmt: skip
        one = self.job().head().worker(0).worker(1, pending=True)
        assert self.counted(one, queued=60) == {self.series("queued"): 4 * 60}

    def test_a_worker_and_the_one_that_takes_its_place_are_one(self) -> None:
        replaced = self.job().head().worker(0, exit_code=137).worker(0, number=1).worker(1)
        assert self.counted(replaced, recovering=10) == {self.series("recovering"): 2 * 4 * 10}

    def test_pods_that_end_with_their_attempt_held_theirs_until_then_and_not_after(self) -> None:
        ending = self.job().head(exit_code=0).worker(0, exit_code=0).worker(1, gone=True)
        assert self.counted(ending, publishing=10) == {self.series("publishing"): 2 * 4 * 10}
        after = self.job(end=T0 + 60, cause="NodeLost").head(exit_code=0).worker(0, exit_code=0)
        assert self.counted(after, recovering=10) == {}

    def test_a_head_has_gpus_of_its_own_kind(self) -> None:
        job = self.job().spec(head={"resources": {"gpu": 1}}).head().worker(0).worker(1)
        assert self.counted(job, stopping=3) == {
            self.series("stopping"): 8 * 3, self.series("stopping", "nvidia.com/gpu"): 3,
        }  # fmt: skip

    def test_a_job_without_gpus_has_no_series(self) -> None:
        assert self.counted(make_job().running().head().worker(0), productive=99) == {}

    def test_names_that_tenants_give_to_gpus_are_bounded(self) -> None:
        follower = Follower()
        for number in range(MOST_RESOURCES + 9):
            workers = {"resources": {"gpu": 1, "gpuResource": f"example.com/gpu-{number}"}}
            found = self.counted(make_job().spec(workers=workers).running().head().worker(0), follower, preparing=1)
        assert len(found) == MOST_RESOURCES + 1
        assert found[self.series("preparing", OTHER)] == 9
