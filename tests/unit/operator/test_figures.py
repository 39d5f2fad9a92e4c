"""The numbers of single jobs and deployments, as a scrape tells them: from their statuses, bounded, and in one text."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Metric
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families

from headway_api.status import SPENT
from headway_operator.engine.exposition import AT_A_TIME, LABEL_LIMIT, Entry, Samples, labels_text, told_by
from headway_operator.engine.keys import Key
from headway_operator.engine.kinds import Owner
from headway_operator.engine.metrics import END, OPENMETRICS, EngineMetrics, MetricSet
from headway_operator.engine.packed import pack
from headway_operator.engine.times import to_text
from headway_operator.serving.figures import DeploymentFigures
from headway_operator.training.figures import MOST_METRICS, JobFigures
from sim.builders import T0, spec
from sim.fakes import clock

SAID = {
    "attempt": 2,
    "workers": {"desired": 4, "ready": 3},
    "checkpoint": {"uri": "s3://b/x", "step": 90, "time": "2027-01-15T08:00:00Z"},
    "progress": {
        "percent": 38,
        "epoch": 4,
        "step": 100,
        "etaSeconds": 60,
        "samplesPerSecond": 12.5,
        "metrics": {"train/loss": "0.25"},
        "updateTime": "2027-01-15T08:00:10Z",
    },
}


def job(name: str = "digits", phase: str = "Running", **changes: Any) -> Owner:
    """A job, as the store has it."""
    fields: dict[str, Any] = {"spec": spec(), "status": SAID, "created": T0, "deleting": False, "generation": 1}
    fields |= changes
    fields["spec"], fields["status"] = pack(fields["spec"]), pack({"phase": phase, **fields["status"]})
    return Owner(key=Key("TrainingJob", "team-a", name), uid=f"uid-{name}", version=1, phase=phase, **fields)


def deployment(**status: Any) -> Owner:
    """A deployment, as the store has it."""
    key = Key("ModelDeployment", "team-a", "digits")
    return Owner(key, "uid", 1, 1, T0, False, pack({}), pack(status), str(status.get("phase", "New")))


def families(text: str, *, openmetrics: bool = False) -> list[Metric]:
    """What a text holds, as it is read in either form."""
    if openmetrics:
        return list(openmetrics_parser.text_string_to_metric_families(text))  # type: ignore[no-untyped-call]
    return list(text_string_to_metric_families(text))


def told(source: Any) -> dict[str, float]:
    """What a scrape tells, by name and labels."""
    text = asyncio.run(told_by([source], openmetrics=False)).decode()
    return {
        f"{sample.name}{{{','.join(f'{key}={value}' for key, value in sample.labels.items())}}}": sample.value
        for family in families(text)
        for sample in family.samples
    }


def of(*jobs: Owner, limit: int = 1000) -> dict[str, float]:
    """The numbers of some jobs."""
    return told(JobFigures(lambda: jobs, now=lambda: T0, limit=limit))


def names(jobs: Iterable[Owner], limit: int = 1000) -> list[str]:
    """The jobs that are told of."""
    found = of(*jobs, limit=limit)
    return [key.partition("job_name=")[2].partition(",")[0] for key in found if key.startswith("headway_job_info")]


class TestJobs:
    def test_a_running_job_is_told_in_numbers(self) -> None:
        of_job = "job_namespace=team-a,job_name=digits"
        assert of(job()) == {
            f"headway_job_info{{{of_job},phase=Running,model=mlp,attempt=2,gpu_resource=,queue=}}": 1,
            f"headway_job_workers{{{of_job},state=desired}}": 4,
            f"headway_job_workers{{{of_job},state=ready}}": 3,
            f"headway_job_checkpoint_timestamp_seconds{{{of_job}}}": T0,
            f"headway_job_progress_ratio{{{of_job}}}": 0.38,
            f"headway_job_epoch{{{of_job}}}": 4,
            f"headway_job_last_progress_timestamp_seconds{{{of_job}}}": T0 + 10,
            f"headway_job_eta_seconds{{{of_job}}}": 60,
            f"headway_job_rows_per_second{{{of_job}}}": 12.5,
            f"headway_job_metric{{{of_job},metric=train/loss}}": 0.25,
            "headway_job_metrics_omitted{}": 0,
        }

    def test_the_labels_say_what_the_spec_asks_for(self) -> None:
        template = {"metadata": {"labels": {"kueue.x-k8s.io/queue-name": "night"}}}
        workers = {"replicas": 1, "resources": {"gpu": 2, "gpuResource": "amd.com/gpu"}, "template": template}
        own = {"training": {"entrypoint": "train:main"}}
        found = of(
            job(spec=spec(workers=workers)),
            job("own", spec=own),
            job("nvidia", spec=spec(workers={"resources": {"gpu": 1}})),
        )
        labels = [key for key in found if key.startswith("headway_job_info")]
        assert "model=mlp,attempt=2,gpu_resource=amd.com/gpu,queue=night" in labels[0]
        assert "model=train:main,attempt=2,gpu_resource=,queue=" in labels[1]
        assert "gpu_resource=nvidia.com/gpu" in labels[2]

    @pytest.mark.parametrize(
        "odd", [{}, {"model": 3}, {"workers": []}, {"workers": {"template": "x"}}, {"model": {"name": 4}}]
    )
    def test_a_spec_of_any_shape_is_no_hindrance(self, odd: dict[str, Any]) -> None:
        assert len(names([job(spec=odd), job("after")])) == 2

    def test_a_changed_spec_is_read_again(self) -> None:
        jobs = [job()]
        figures = JobFigures(lambda: jobs, now=lambda: T0, limit=10)
        assert any("model=mlp" in key for key in told(figures))
        jobs[0] = job(spec=spec(model={"name": "cnn"}), generation=2)
        assert any("model=cnn" in key for key in told(figures))

    def test_a_tuning_job_tells_its_trials(self) -> None:
        tuning = {"metric": "validation/loss", "planned": 20, "running": 2, "completed": 5, "failed": 1}
        found = of(job(status={**SAID, "tuning": tuning}))
        trials = {
            key.rpartition("state=")[2]: value for key, value in found.items() if key.startswith("headway_job_trials")
        }
        assert trials == {"running}": 2, "waiting}": 0, "completed}": 5, "stopped}": 0, "failed}": 1}

    def test_one_that_waits_has_no_speed(self) -> None:
        found = of(job(phase="Queued"))
        assert not [key for key in found if "eta" in key or "rows" in key]
        assert any(key.startswith("headway_job_progress_ratio") for key in found), "how far it is stays true"

    @pytest.mark.parametrize("phase", ["Succeeded", "Failed", "Suspended", "New"])
    def test_one_that_neither_runs_nor_waits_has_no_series(self, phase: str) -> None:
        assert of(job(phase=phase)) == {"headway_job_metrics_omitted{}": 0}

    def test_one_that_is_being_deleted_has_none(self) -> None:
        assert names([job(deleting=True)]) == []

    def test_beyond_the_limit_the_oldest_that_run_are_told_and_the_rest_is_counted(self) -> None:
        jobs = [
            job("waits", "Queued", created=T0 - 9),
            job("new", created=T0 + 1),
            job("old", created=T0 - 1),
            job("middle"),
        ]
        assert names(jobs, limit=2) == ["old", "middle"]
        assert of(*jobs, limit=2)["headway_job_metrics_omitted{}"] == 2
        assert set(names(jobs, limit=4)) == {"waits", "new", "old", "middle"}

    def test_of_many_metrics_the_first_by_name_are_told(self) -> None:
        metrics = {f"m-{number:03}": str(number) for number in reversed(range(100))}
        found = of(job(status={**SAID, "progress": {"metrics": metrics}}))
        kept = [key for key in found if key.startswith("headway_job_metric{")]
        assert len(kept) == MOST_METRICS
        assert kept[0].endswith("metric=m-000}")
        assert kept[-1].endswith(f"metric=m-{MOST_METRICS - 1:03}}}")

    def test_a_metric_that_is_no_number_is_left_out_and_one_that_is_not_finite_is_told(self) -> None:
        metrics = {"a": "four", "b": "nan", "c": "inf", "d": "-inf", "e": "1e400", "f": ""}
        found = of(job(status={**SAID, "progress": {"metrics": metrics}}))
        values = {key[-2]: value for key, value in found.items() if key.startswith("headway_job_metric{")}
        assert math.isnan(values.pop("b"))
        assert values == {"c": math.inf, "d": -math.inf, "e": math.inf}

    @pytest.mark.parametrize("said", [{"attempt": "many"}, {"progress": []}, {"workers": {"ready": "x"}}])
    def test_a_status_that_cannot_be_read_costs_nobody_else_their_numbers(self, said: dict[str, Any]) -> None:
        assert names([job("odd", status=said), job("good")]) == ["good"]

    def test_times_that_are_none_are_left_out(self) -> None:
        found = of(job(status={"progress": {"updateTime": "soon"}, "checkpoint": {"time": "9" * 60}}))
        assert not [key for key in found if "timestamp" in key]

    def test_its_time_is_told_by_what_it_went_into(self) -> None:
        seconds = {"queued": 30, "productive": 60}
        time = {"until": to_text(T0 - 10), "doing": "queued", "seconds": seconds, "step": 90, "stepsAgain": 20}
        found = of(job(status={"time": time}))
        states = {key.rpartition("state=")[2]: value for key, value in found.items() if "time_seconds" in key}
        assert {state for state, value in states.items() if value} == {"queued}", "productive}"}
        assert set(states) == {f"{state}}}" for state in SPENT}, "a counter that appears late hides its first number"
        assert (states["queued}"], states["productive}"]) == (40, 60), "it goes on queueing, unwritten"
        of_job = "{job_namespace=team-a,job_name=digits}"
        assert found[f"headway_job_goodput_ratio{of_job}"] == 0.6
        assert found[f"headway_job_steps_total{of_job}"] == 110

    @pytest.mark.parametrize("doing", ["training", None, "dreaming"])
    def test_training_waits_for_its_next_step_and_rest_is_not_counted(self, doing: str | None) -> None:
        time = {"until": to_text(T0 - 10), "seconds": {"productive": 60}, **({"doing": doing} if doing else {})}
        states = [value for key, value in of(job(status={"time": time})).items() if "time_seconds" in key]
        assert sum(states) == 60

    def test_no_counter_falls_when_a_clock_is_set_back_or_a_status_is_older_than_what_was_told(self) -> None:
        now = [T0]
        time = {"until": to_text(T0 - 10), "doing": "starting", "seconds": {}}
        jobs = [job(status={"time": time})]
        figures = JobFigures(lambda: jobs, now=lambda: now[0], limit=10)
        series = "headway_job_time_seconds_total{job_namespace=team-a,job_name=digits,state=starting}"
        assert told(figures)[series] == 10
        now[0] -= 3
        assert told(figures)[series] == 10
        now[0] += 5
        assert told(figures)[series] == 12
        jobs[0] = job("other", status={"time": time})
        told(figures)
        assert figures._seconds.keys() == {"uid-other"}, "what is told no more is forgotten"

    @given(st.dictionaries(st.text(max_size=200), st.text(max_size=20) | st.floats().map(str), max_size=20))
    def test_whatever_a_driver_calls_its_metrics_the_text_can_be_read(self, metrics: dict[str, str]) -> None:
        readable = {key: value for key, value in metrics.items() if _utf8(key) and _utf8(value)}
        figures = JobFigures(
            lambda: [job(status={"progress": {"metrics": readable}}), job("after")], now=lambda: T0, limit=10
        )
        for openmetrics in (False, True):
            text = asyncio.run(told_by([figures], openmetrics=openmetrics)).decode()
            read = families(text + END.decode(), openmetrics=True) if openmetrics else families(text)
            samples = [sample for family in read for sample in family.samples]
            assert {sample.name for sample in samples} <= {entry.name for entry in JobFigures.entries}
            assert [one.labels["job_name"] for one in samples if one.name == "headway_job_info"] == ["digits", "after"]
            told_metrics = [one for one in samples if one.name == "headway_job_metric"]
            assert len(told_metrics) <= MOST_METRICS
            assert all(len(one.labels["metric"]) <= LABEL_LIMIT for one in told_metrics)


def _utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class TestDeployments:
    VERSIONS: tuple[dict[str, Any], ...] = (
        {"name": "digits-1", "state": "Retired", "weight": 0},
        {"name": "digits-2", "state": "Champion", "weight": 75, "replicas": {"desired": 3, "ready": 2}},
        {"name": "digits-3", "state": "Candidate", "weight": 25, "replicas": {"desired": 1, "ready": 1}},
    )

    def of(self, **status: Any) -> dict[str, float]:
        found = deployment(**{"phase": "Ready", "champion": "digits-2", "versions": self.VERSIONS, **status})
        return told(DeploymentFigures(lambda: [found], limit=10))

    def test_pods_shares_and_phase_are_told(self) -> None:
        of_deployment = "deployment_namespace=team-a,deployment_name=digits"
        assert self.of(rollout={"stage": "Splitting"}, candidate="digits-3") == {
            f"headway_deployment_info{{{of_deployment},phase=Ready}}": 1,
            f"headway_deployment_ready{{{of_deployment}}}": 2,
            f"headway_deployment_desired{{{of_deployment}}}": 3,
            f"headway_deployment_version_share{{{of_deployment},version=digits-2,role=champion}}": 0.75,
            f"headway_deployment_version_share{{{of_deployment},version=digits-3,role=candidate}}": 0.25,
            f"headway_deployment_rollout{{{of_deployment},state=Splitting}}": 1,
            "headway_deployment_metrics_omitted{}": 0,
        }

    @pytest.mark.parametrize(
        ("status", "state"),
        [
            ({}, "Idle"),
            ({"candidate": "digits-3"}, "Preparing"),
            ({"rollout": {"stage": "Baking"}}, "Baking"),
            ({"conditions": [{"type": "RolledBack", "status": "True"}]}, "RolledBack"),
            ({"conditions": [{"type": "RolledBack", "status": "False"}]}, "Idle"),
            ({"conditions": [{"type": "RolledBack", "status": "True"}], "candidate": "digits-3"}, "Preparing"),
        ],
    )
    def test_where_a_rollout_is_is_one_word(self, status: dict[str, Any], state: str) -> None:
        found = [key for key in self.of(**status) if key.startswith("headway_deployment_rollout")]
        assert [key.rpartition("state=")[2] for key in found] == [f"{state}}}"]

    def drift(self, **drift: Any) -> dict[str, float]:
        """What is told of drift, by name and the labels beyond the deployment's."""
        found = self.of(drift={"version": "digits-2", **drift})
        told_of = {key.removeprefix("headway_deployment_"): value for key, value in found.items()}
        of_deployment = "deployment_namespace=team-a,deployment_name=digits,version=digits-2"
        words = ("drift", "data_quality")
        return {key.replace(of_deployment, ""): told_of[key] for key in told_of if key.startswith(words)}

    def test_drift_and_what_is_wrong_with_values_are_told_of_the_version_that_answers(self) -> None:
        problem = {"name": "cabin", "problem": "Missing", "share": 0.4}
        assert self.drift(state="Drifted", score=2.1, dataQuality=[problem]) == {
            "drift_state{,state=Drifted}": 1, "drift_score{}": 2.1, "data_quality_problems{}": 1,
        }  # fmt: skip

    def test_where_all_values_are_wrong_there_is_no_score_and_the_problems_are_told_nevertheless(self) -> None:
        problem = {"name": "cabin", "problem": "Missing", "share": 0.4}
        assert self.drift(state="Unavailable", dataQuality=[problem]) == {
            "drift_state{,state=Unavailable}": 1, "data_quality_problems{}": 1,
        }  # fmt: skip

    def test_what_nobody_can_tell_of_drift_is_no_number(self) -> None:
        assert self.drift(state="Unavailable") == {"drift_state{,state=Unavailable}": 1}

    def test_a_state_of_drift_that_a_newer_operator_knows_is_none(self) -> None:
        assert self.drift(state="Seasonal", score=1) == {}

    def test_one_that_is_new_has_neither_pods_nor_versions(self) -> None:
        found = told(DeploymentFigures(lambda: [deployment()], limit=10))
        assert {key.partition("{")[0] for key in found} == {
            "headway_deployment_info", "headway_deployment_rollout", "headway_deployment_metrics_omitted",
        }  # fmt: skip

    def test_beyond_the_limit_they_are_counted(self) -> None:
        found = told(DeploymentFigures(lambda: [deployment(phase="Ready")] * 3, limit=1))
        assert found["headway_deployment_metrics_omitted{}"] == 2


class Many:
    """So many objects, each with a sample."""

    entries = (Entry("headway_x_total", "counter", ("n",), "X"), Entry("headway_never", "gauge", (), "Never"))

    def __init__(self, count: int) -> None:
        self._count = count
        self.seen = 0

    def begin(self, _: Samples) -> Iterator[int]:
        return iter(range(self._count))

    def tell(self, each: int, samples: Samples) -> None:
        self.seen += 1
        samples.add("headway_x_total", labels_text({"n": each}), each)


class TestExposition:
    def test_the_event_loop_gets_its_turn_between_objects(self) -> None:
        async def run() -> list[int]:
            many, seen = Many(10 * AT_A_TIME), list[int]()
            telling = asyncio.create_task(told_by([many], openmetrics=False))
            while not telling.done():
                await asyncio.sleep(0)
                seen.append(many.seen)
            return seen

        seen = asyncio.run(run())
        assert max(after - before for before, after in zip([0, *seen], seen, strict=False)) == AT_A_TIME

    @pytest.mark.parametrize(
        ("accept", "name", "content_type"),
        [
            ("", "headway_x_total", "text/plain; version=0.0.4"),
            (f"{OPENMETRICS};version=1.0.0", "headway_x", OPENMETRICS),
        ],
    )
    def test_both_forms_are_whole_and_of_their_type(self, accept: str, name: str, content_type: str) -> None:
        metrics = MetricSet()
        EngineMetrics(metrics)
        metrics.tell_of(Many(2))
        body, told_type = asyncio.run(metrics.scrape(accept))
        assert told_type.startswith(content_type)
        text = body.decode()
        assert f"# TYPE {name} counter\n" in text
        assert 'headway_x_total{n="1"} 1\n' in text
        assert "headway_never" not in text
        counts = {family.name: len(family.samples) for family in families(text, openmetrics=bool(accept))}
        assert counts["headway_x"] == 2
        assert counts["headway_is_leader"] == 1
        assert text.endswith("# EOF\n") == bool(accept)

    def test_an_object_that_cannot_be_told_of_is_left_out_and_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        class Odd(Many):
            def tell(self, each: int, samples: Samples) -> None:
                super().tell(10 // (each - 1), samples)

        with caplog.at_level(logging.ERROR, logger="headway_operator.engine.exposition"):
            text = asyncio.run(told_by([Odd(3)], openmetrics=False)).decode()
        assert text.count("headway_x_total{") == 2
        assert "could not tell of an object" in caplog.text

    def test_scrapes_take_turns(self) -> None:
        async def run() -> float:
            metrics, many = MetricSet(), Many(3 * AT_A_TIME)
            metrics.tell_of(many)
            await asyncio.gather(*(metrics.scrape("") for _ in range(3)))
            return many.seen

        assert clock.run(run()) == 9 * AT_A_TIME
