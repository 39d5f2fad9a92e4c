"""The pages of one job."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fake_kubectl import FakeKubectl, error, listed, recorded
from headway_api.status import TrainingJobStatus
from headway_cli.cluster import histories
from headway_cli.ui import spans
from headway_cli.ui.pages.job import ranges
from headway_trainer.report.model import EpochRecord, TrainingSummary
from headway_trainer.storage import Store
from headway_trainer.tracking.recorder import Recorder
from headway_trainer.training.checkpoints.shared_state import STATE_FILE, SharedState
from headway_trainer.training.link import Measured
from ui_visitor import Visitor

HOSTILE = "<script>alert(1)</script>"
PATH = "/jobs/default/churn"


def job(**status: Any) -> dict[str, Any]:
    """The recorded job with other parts of its status, such as the operator writes."""
    made = copy.deepcopy(recorded("running"))
    made["status"] |= status
    TrainingJobStatus.model_validate(made["status"])
    return made


def ready(pod: dict[str, Any]) -> dict[str, Any]:
    pod["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
    return pod


@pytest.fixture
def cluster(kubectl: FakeKubectl) -> FakeKubectl:
    """A cluster whose pods and Events were recorded."""
    kubectl.says(listed(*map(ready, copy.deepcopy(recorded("pods")["items"]))), "get", "pods")
    kubectl.says(recorded("events"), "get", "events")
    return kubectl


def says(cluster: FakeKubectl, found: dict[str, Any]) -> None:
    cluster.says(found, "get", "trainingjobs.headway.dev/churn")


async def test_a_running_job_says_in_one_sentence_what_it_does(visitor: Visitor, cluster: FakeKubectl) -> None:
    says(cluster, job())
    page = await visitor.page(PATH)
    assert page.one("div", id="said").text == (
        "Trains with 2 workers: epoch 19, step 7,410, 38% done, about 41 min left."
    )
    assert page.one("h1").text == "churn Running"
    cards = [card.text for card in page.all("li", class_="card")]
    assert "Workers ready 2 of 2" in cards
    assert [each.text for each in page.one("ul", class_="values").all("li")] == [
        "train/loss 0.231",
        "validation/f1 0.912",
    ]
    assert page.one("body").attributes["data-every"] == "3.0"
    assert page.one("figure", data_chart="curves").attributes["data-source"] == f"{PATH}/curves.json"
    assert page.one("div", id="nodes").one("table").rows()[1:] == [["kwok-0001", "head, 0-1", "3 of 3"]]
    assert "headway stop churn -n default" in page.text


@pytest.mark.parametrize(
    ("condition", "said", "fix"),
    [
        (
            {"type": "Scheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes have 8 GPUs"},
            "Job churn waits: Unschedulable, 0/3 nodes have 8 GPUs.",
            "What to do: ask for less, or add nodes; headway top -A shows who holds GPUs",
        ),
        (
            {"type": "Accepted", "status": "False", "reason": "InvalidSpec", "message": "no such column"},
            "Job churn does not run as its spec is not valid: InvalidSpec, no such column.",
            "What to do: correct the file (headway validate FILE) and apply it again",
        ),
    ],
)
async def test_a_job_that_waits_says_why_as_doctor_does_and_what_to_do(
    visitor: Visitor, cluster: FakeKubectl, condition: dict[str, str], said: str, fix: str
) -> None:
    others = [each for each in recorded("running")["status"]["conditions"] if each["type"] != condition["type"]]
    waiting = [condition | {"lastTransitionTime": "2026-11-29T18:52:09Z"}]
    says(cluster, job(phase="Queued", conditions=[*others, *waiting], progress=None))
    told = (await visitor.page(PATH)).one("div", id="said")
    assert [each.text for each in told.all("p")] == [said, fix]
    assert "bad" in told.attributes["class"]


async def test_a_failed_job_tells_its_cause_and_is_not_asked_for_again(visitor: Visitor, cluster: FakeKubectl) -> None:
    failed = recorded("failed")
    failed["metadata"] |= {"name": "churn"}
    says(cluster, failed)
    page = await visitor.page(PATH)
    told = page.one("div", id="said").text
    assert "has failed: UserError, ValueError in train.py line 3: no \\u001b[31m column" in told
    assert "data-every" not in page.one("body").attributes
    (attempt,) = page.one("table", class_="attempts").rows()[1:]
    assert attempt[3].startswith("UserError")


async def test_attempts_stand_on_one_scale_with_their_parts_and_losses(visitor: Visitor, cluster: FakeKubectl) -> None:
    first = {
        "number": 1, "startTime": "2026-11-29T18:00:00Z", "runningTime": "2026-11-29T18:10:00Z",
        "endTime": "2026-11-29T18:40:00Z", "cause": "Preempted", "message": "node went",
        "lossEvents": [{"cause": "NodeLost", "time": "2026-11-29T18:20:00Z"}],
    }  # fmt: skip
    second = {
        "number": 2, "queuedTime": "2026-11-29T18:40:00Z", "startTime": "2026-11-29T18:50:00Z",
        "runningTime": "2026-11-29T19:00:00Z", "resumedFromStep": 1200, "stepsLost": 34,
    }  # fmt: skip
    says(cluster, job(attempts=[first, second], attempt=2))
    page = await visitor.page(PATH)
    newest, oldest = page.one("table", class_="attempts").rows()[1:]
    assert newest[2:] == ["53 min", "running from step 1,200, 34 steps are done again", "log"]
    assert oldest[2:] == ["40 min", "Preempted node went", "log"]
    after, before = page.all("svg", class_="spans")
    kinds = [[bar.attributes["class"] for bar in each.all("rect")] for each in (before, after)]
    assert kinds == [["bar-starting", "bar-running", "bar-lost"], ["bar-queued", "bar-starting", "bar-running"]]
    ends = [float(each.attributes["x"]) + float(each.attributes["width"]) for each in after.all("rect")]
    assert ends[-1] == pytest.approx(1000, abs=0.2)
    assert float(after.all("rect")[0].attributes["x"]) == pytest.approx(429.4, abs=0.2)  # 40 of 93.15 minutes
    assert page.one("div", id="said").text.endswith("This is attempt 2.")


async def test_files_have_their_digests_and_time_its_parts(visitor: Visitor, cluster: FakeKubectl) -> None:
    digest = hashlib.sha256(b"x").hexdigest()
    done = job(
        phase="Succeeded",
        completionTime="2026-11-29T19:00:09Z",
        summary={"metric": "test/accuracy=0.98312345"},
        result={
            "artifacts": [{"name": "model", "uri": "s3://m/x/model.safetensors", "sha256": digest, "sizeBytes": 5}],
            "metrics": {"test/accuracy": "0.98312345"},
            "bundle": {"digest": f"sha256:{digest}", "uri": "s3://models/x"},
        },
        time={
            "since": "2026-11-29T18:52:09Z", "until": "2026-11-29T19:00:09Z", "goodputPercent": 75,
            "seconds": {"productive": 360, "starting": 120},
        },
    )  # fmt: skip
    says(cluster, done)
    page = await visitor.page(PATH)
    assert page.one("div", id="said").text == (
        "Succeeded after 8 min with test/accuracy 0.9831. The model is in s3://m/x/model.safetensors."
    )
    (file,) = page.one("table", class_="files").rows()[1:]
    assert file == ["model", "s3://m/x/model.safetensors", "5 B", f"{digest[:16]}... copy"]
    assert page.one("table", class_="files").one("button").attributes["data-copy"] == digest
    assert [each.text for each in page.one("div", id="attempts").all("li") if "%" in each.text] == [
        "productive 6 min (75%)", "starting 2 min (25%)",
    ]  # fmt: skip
    assert "Goodput 75% of 8 min" in page.one("div", id="now").text
    assert "headway report churn --download churn -n default" in page.text


async def test_events_come_newest_first_and_can_be_only_warnings(visitor: Visitor, cluster: FakeKubectl) -> None:
    says(cluster, job())
    rows = (await visitor.page(f"{PATH}/events")).one("table").rows()[1:]
    times = [row[0] for row in rows]
    assert times == sorted(times, reverse=True)
    assert any("created" in row[1] for row in rows)
    warnings = await visitor.page(f"{PATH}/events?only=warnings")
    assert len(warnings.all("tr")) < len(rows)
    assert len(cluster.calls("get")) == 3  # one look at the job and two lists of Events, for both pages


async def test_without_the_right_to_see_events_and_pods_there_is_what_the_job_tells(
    visitor: Visitor, kubectl: FakeKubectl
) -> None:
    kubectl.fails(error("forbidden"), "get", "events")
    kubectl.fails(error("forbidden"), "get", "pods")
    says(kubectl, job())
    assert "Trains with 2 workers" in (await visitor.page(PATH)).text
    assert "The Events of this namespace cannot be read" in (await visitor.page(f"{PATH}/events")).text


@pytest.mark.parametrize("why", ["Error from server (InternalError): etcd is sad", "Unable to connect to the server"])
async def test_events_that_cannot_be_read_hide_nothing_else(visitor: Visitor, kubectl: FakeKubectl, why: str) -> None:
    kubectl.fails(why, "get", "events")
    kubectl.fails(why, "get", "pods")
    says(kubectl, job())
    assert "Trains with 2 workers" in (await visitor.page(PATH)).text
    page = await visitor.page(f"{PATH}/events")
    assert "The Events of this namespace cannot be read" in page.text
    assert "created" in page.text


async def test_a_job_too_deep_for_yaml_has_a_page_that_says_so(visitor: Visitor, cluster: FakeKubectl) -> None:
    deep: Any = 1
    for _ in range(450):
        deep = [deep]
    found = job()
    found["spec"]["template"] = deep
    says(cluster, found)
    assert "too deep in one another" in (await visitor.page(f"{PATH}/yaml", 500)).text
    assert "Trains with 2 workers" in (await visitor.page(PATH)).text


async def test_curves_of_a_job_that_has_ended_are_not_asked_for_again(visitor: Visitor, cluster: FakeKubectl) -> None:
    for phase, live in (("Running", True), ("Failed", False)):
        found = job(phase=phase)
        cluster.says(found, "get", f"trainingjobs.headway.dev/{phase.lower()}")
        assert (await (await visitor.ask(f"/jobs/default/{phase.lower()}/curves.json")).json())["live"] is live


async def test_the_yaml_is_the_job_s_without_managed_fields(visitor: Visitor, cluster: FakeKubectl) -> None:
    found = job()
    found["metadata"]["managedFields"] = [{"manager": "kubectl"}]
    found["metadata"]["annotations"] = {"note": HOSTILE}
    says(cluster, found)
    answer = await visitor.ask(f"{PATH}/yaml")
    assert "<script>alert" not in await answer.text()
    told = (await visitor.page(f"{PATH}/yaml")).one("pre", id="yaml")
    assert f"note: {HOSTILE}" in told.text
    assert "managedFields" not in told.text


async def test_a_job_that_is_not_there_has_a_plain_page(visitor: Visitor, kubectl: FakeKubectl) -> None:
    kubectl.says("", "get", "trainingjobs.headway.dev/churn")
    for path in ("", "/events", "/yaml", "/logs", "/trials"):
        page = await visitor.page(f"{PATH}{path}", 404)
        assert page.one("h1").text == "This is not there"
        assert "there is no TrainingJob churn in namespace default" in page.text
    answer = await visitor.ask(f"{PATH}/curves.json")
    assert answer.status == 404
    assert "no TrainingJob churn" in (await answer.json())["error"]
    assert (await visitor.ask("/jobs/default/--all")).status == 404
    assert (await visitor.ask("/jobs/DEFAULT/churn")).status == 404


SHAPES: list[Any] = [
    None, 7, [], "x", {"attempts": "x"}, {"attempts": [{}, {"number": "1", "startTime": 7}, {"startTime": "x"}]},
    {"progress": {"percent": -1e300, "etaSeconds": -9, "step": -5, "epoch": 1e300, "metrics": {"a": 1, "b": HOSTILE}}},
    {"time": {"seconds": {HOSTILE: 5, "queued": "x"}, "goodputPercent": 1e9}, "warnings": [HOSTILE, 5]},
    {"result": {"artifacts": [{}, {"name": HOSTILE, "uri": HOSTILE, "sha256": HOSTILE, "sizeBytes": -1}]}},
    {"phase": HOSTILE, "summary": {"message": HOSTILE}, "conditions": [{"type": "Scheduled", "message": HOSTILE}]},
    {"phase": "Running", "workers": {"desired": -1}, "tuning": {"best": HOSTILE, "planned": HOSTILE}},
    {"tuning": {"best": {"parameters": {"a": 7, "b": [HOSTILE]}}, "runningTrials": [{"trial": "x", "value": {}}]}},
]  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES, ids=str)
async def test_a_status_of_any_shape_makes_pages_and_runs_nothing(
    visitor: Visitor, cluster: FakeKubectl, shape: Any
) -> None:
    found = copy.deepcopy(recorded("running"))
    found["status"] = shape
    found["metadata"]["creationTimestamp"] = HOSTILE
    found["spec"]["tuning"] = {}
    says(cluster, found)
    for path in ("", "/events", "/yaml", "/logs"):
        page = await visitor.page(f"{PATH}{path}")
        assert {script.attributes.get("src", "")[:8] for script in page.all("script")} == {"/static/"}
        assert not [name for each in page.all() for name in each.attributes if name.startswith("on") or name == "style"]
        leads = {each.attributes.get(name, "#") for each in page.all() for name in ("href", "action", "src")}
        assert {lead for lead in leads if not re.match(r"/(?!/)|#", lead)} == set()
    assert (await visitor.ask(f"{PATH}/curves.json")).status == 200


async def test_a_long_story_stays_a_readable_page(visitor: Visitor, cluster: FakeKubectl) -> None:
    found = copy.deepcopy(recorded("running"))
    found["status"]["warnings"] = ["w" * 5000] * 500
    found["status"]["progress"]["metrics"] = {f"train/m{index}": "1" for index in range(5000)}
    found["status"]["attempts"] = [found["status"]["attempts"][0]] * 500
    found["status"]["result"] = {"artifacts": [{"name": "a", "uri": "u" * 1000}] * 5000}
    says(cluster, found)
    assert len(await (await visitor.ask(PATH)).read()) < 500_000


@pytest.mark.parametrize("behind", [0, 20, 3000])
def test_attempts_stand_where_they_were_though_this_machine_s_clock_is_behind(behind: int) -> None:
    ended = {"number": 1, "startTime": "2026-11-29T10:00:00Z", "endTime": "2026-11-29T10:30:00Z", "cause": "NodeLost"}
    runs = {"number": 2, "startTime": "2026-11-29T10:40:00Z", "runningTime": "2026-11-29T10:50:00Z"}
    now = datetime(2026, 11, 29, 11, 0, tzinfo=UTC) - timedelta(minutes=behind)
    first, second = spans.attempts({"status": {"attempts": [ended, runs]}}, now)
    scale = 1000 / (60 if not behind else 50)
    lefts = [0.0, 40 * scale, min(50 * scale, 1000 - spans.LEAST)]
    assert [bar.left for each in (first, second) for bar in each.bars] == pytest.approx(lefts, abs=0.1)
    assert first.bars[0].width == pytest.approx(30 * scale, abs=0.1)
    assert (first.took, second.took) == ("30 min", "20 min" if not behind else "10 min")


def test_workers_in_a_row_are_told_as_ranges() -> None:
    assert ranges([0, 1, 2, 3, 7, 9, 10]) == "0-3, 7, 9-10"
    assert ranges([]) == ""


def by_pod(kubectl: FakeKubectl) -> None:
    """Let the head's pod read what is here."""
    kubectl.runs("exec", "churn-f5438-1-head")


def history(*losses: float) -> list[dict[str, Any]]:
    return [
        {"epoch": index + 1, "step": 100 * (index + 1), "train": {"loss": loss}, "validation": {"f1": 1 - loss}}
        for index, loss in enumerate(losses)
    ]


async def test_curves_go_from_the_checkpoint_s_history_to_what_is_seen_now(
    visitor: Visitor, cluster: FakeKubectl, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    checkpoint = run / "checkpoints" / "step-0000000300-attempt-1"
    checkpoint.mkdir(parents=True)
    (checkpoint / "state.json").write_text(json.dumps({"history": history(0.9, 0.5, 0.3)}))
    found = job(checkpoint={"uri": str(checkpoint), "step": 300, "time": "2026-11-29T19:00:00Z"})
    found["status"]["attempts"][0]["logs"] = f"{run}/logs/attempt-1"
    says(cluster, found)
    by_pod(cluster)
    told = await (await visitor.ask(f"{PATH}/curves.json")).json()
    assert told["series"]["train/loss"] == [[100, 0.9], [200, 0.5], [300, 0.3], [7410, 0.231]]
    assert told["series"]["validation/f1"][-1] == [7410, 0.912]
    assert told["note"] == ""
    asked = [call[-2] for call in cluster.calls("exec")]
    assert asked == [str(checkpoint), str(run / "tracking")]
    await visitor.ask(f"{PATH}/curves.json")
    assert len(cluster.calls("exec")) == 2  # a checkpoint never changes, and a record is looked at every 10 s


async def test_curves_of_a_job_whose_storage_cannot_be_read_are_what_was_seen_and_say_so(
    visitor: Visitor, cluster: FakeKubectl
) -> None:
    says(cluster, job(checkpoint={"uri": "s3://models/elsewhere/step", "step": 3, "time": "2026-11-29T19:00:00Z"}))
    told = await (await visitor.ask(f"{PATH}/curves.json")).json()
    assert told["series"]["train/loss"] == [[7410, 0.231]]
    assert told["note"].startswith("Only what was seen since this page was opened: 's3://models/elsewhere/step', which")


async def test_a_finished_job_has_the_curves_of_its_result_held_against_the_digest(
    visitor: Visitor, cluster: FakeKubectl, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    data = json.dumps({"training": {"history": history(0.5, float("nan"))}}).encode()
    (run / "result.json").write_bytes(data)
    artifact = {"name": "result", "uri": f"{run}/result.json", "sizeBytes": len(data)}
    for digest, known in ((hashlib.sha256(data).hexdigest(), True), ("0" * 64, False)):
        done = job(phase="Succeeded", result={"artifacts": [artifact | {"sha256": digest}], "metrics": {}})
        done["metadata"]["uid"] = f"{int(known)}5438d8b"
        done["status"]["attempts"][0]["logs"] = f"{run}/logs/attempt-1"
        name = f"churn-{int(known)}"
        cluster.says(done, "get", f"trainingjobs.headway.dev/{name}")
        by_pod(cluster)
        told = await (await visitor.ask(f"/jobs/default/{name}/curves.json")).json()
        if known:
            assert told["series"]["train/loss"][:2] == [[100, 0.5], [200, None]]
        else:
            assert "is not what the job has left" in told["note"]


async def test_a_job_that_has_not_finished_an_epoch_has_curves_from_its_record(
    visitor: Visitor, cluster: FakeKubectl, tmp_path: Path
) -> None:
    recorder = Recorder(Store.open(str(tmp_path)), 1)
    recorder.begin("", name="churn", parameters={})
    values = {"step/loss": 0.5, "learning_rate": 0.1}
    recorder.measured("", *(Measured(step=step, values=values, within=True) for step in (70, 150)))
    assert recorder.flush()
    found = job(checkpoint=None)
    found["status"]["attempts"][0]["logs"] = f"{tmp_path}/logs/attempt-1"
    says(cluster, found)
    by_pod(cluster)
    told = await (await visitor.ask(f"{PATH}/curves.json")).json()
    assert told["series"] == {
        "step/loss": [[70, 0.5], [150, 0.5]], "learning_rate": [[70, 0.1], [150, 0.1]],
        "train/loss": [[7410, 0.231]], "validation/f1": [[7410, 0.912]],
    }  # fmt: skip
    assert told["note"] == ""


async def test_a_record_that_is_no_record_is_told_and_ends_no_page(
    visitor: Visitor, cluster: FakeKubectl, tmp_path: Path
) -> None:
    (tmp_path / "tracking").mkdir()
    (tmp_path / "tracking/events-0001-000001.jsonl").write_text("[[[\n")
    found = job(checkpoint=None)
    found["status"]["attempts"][0]["logs"] = f"{tmp_path}/logs/attempt-1"
    says(cluster, found)
    by_pod(cluster)
    told = await (await visitor.ask(f"{PATH}/curves.json")).json()
    assert told["series"]["train/loss"] == [[7410, 0.231]]
    assert "events-0001-000001.jsonl is no part of a record" in told["note"]
    await visitor.ask(f"{PATH}/curves.json")
    assert len(cluster.calls("exec")) == 1


async def test_epochs_are_there_where_the_points_inside_them_cannot_be_read(
    visitor: Visitor, cluster: FakeKubectl, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "checkpoints/step-2"
    checkpoint.mkdir(parents=True)
    (checkpoint / "state.json").write_text(json.dumps({"history": history(0.9, 0.5)}))
    (tmp_path / "tracking").mkdir()
    (tmp_path / "tracking/events-0001-000001.jsonl").write_text('{"version": 2, "after": 0}\n')
    found = job(checkpoint={"uri": str(checkpoint), "step": 200, "time": "2026-11-29T19:00:00Z"})
    found["status"]["attempts"][0]["logs"] = f"{tmp_path}/logs/attempt-1"
    says(cluster, found)
    by_pod(cluster)
    told = await (await visitor.ask(f"{PATH}/curves.json")).json()
    assert told["series"]["train/loss"][:2] == [[100, 0.9], [200, 0.5]]
    assert told["note"].startswith(
        "Points inside epochs cannot be read: tracking/events-0001-000001.jsonl is of another"
    )


def test_curves_are_read_from_what_a_trainer_writes() -> None:
    record = EpochRecord(epoch=1, step=7, train={"loss": 0.5}, validation={"f1": 0.25}, learning_rate=0.1)
    expected = {"train/loss": [(7, 0.5)], "validation/f1": [(7, 0.25)]}
    state = json.loads(SharedState(history=[record]).model_dump_json())
    assert histories.STATE_FILE == STATE_FILE
    assert histories.series_of(state["history"]) == expected
    summary = json.loads(TrainingSummary(history=[record]).model_dump_json())
    assert histories.series_of(summary["history"]) == expected


@pytest.mark.parametrize(("asked", "lines"), [("", ["one", "two <b>", "loss=3"]), ("?find=loss", ["loss=3"])])
async def test_the_driver_s_log_is_read_from_its_pod(
    visitor: Visitor, cluster: FakeKubectl, asked: str, lines: list[str]
) -> None:
    says(cluster, job())
    cluster.says("one\ntwo <b>\n\x1b[31mloss=9\rloss=3\x1b[0m\n", "logs", "churn-f5438-1-head", "--tail=100")
    page = await visitor.page(f"{PATH}/logs{asked}")
    assert page.one("pre", id="log").text.split(" ") == " ".join(lines).split(" ")
    assert page.one("p", id="place").text.startswith("from pod churn-f5438-1-head")
    assert [each.text for each in page.one("select", name="source").all("option")] == ["driver", "rank-0", "rank-1"]
    assert "headway logs churn --tail 100 -n default" in page.text


async def test_a_rank_s_log_is_read_from_the_storage_and_only_its_end(
    visitor: Visitor, cluster: FakeKubectl, tmp_path: Path
) -> None:
    folder = tmp_path / "run" / "logs" / "attempt-1"
    folder.mkdir(parents=True)
    (folder / "rank-1.000-00000.log").write_text("".join(f"line {index}\n" for index in range(300)))
    found = job()
    found["status"]["attempts"][0]["logs"] = str(folder)
    says(cluster, found)
    by_pod(cluster)
    page = await visitor.page(f"{PATH}/logs?source=rank-1&attempt=1")
    told = page.one("pre", id="log").text
    assert told.startswith("line 200 line 201")
    assert told.endswith("line 299")
    assert "headway logs churn --rank 1 --attempt 1 --tail 100 -n default" in page.text
    by_pod(cluster)
    missing = await visitor.page(f"{PATH}/logs?source=rank-7&attempt=1")
    assert "there is no log of rank-7 in attempt 1, but of rank-1" in missing.one("div", id="log").text
    assert (await visitor.page(f"{PATH}/logs?tail=5", 400)).one("h1").text == "This address cannot be meant"
    elsewhere = await visitor.page(f"{PATH}/logs?source=../../etc/passwd")
    assert "there is no log of ../../etc/passwd" in elsewhere.text


async def test_a_log_that_only_a_pod_can_read_is_a_command_with_reader_pod(
    visitor: Visitor, cluster: FakeKubectl
) -> None:
    done = job(phase="Succeeded", storage={"persistentVolumeClaim": {"name": "models"}})
    done["status"]["attempts"][0] |= {
        "endTime": "2026-11-29T19:00:00Z",
        "logs": "/mnt/headway/storage/x/logs/attempt-1",
    }
    says(cluster, done)
    page = await visitor.page(f"{PATH}/logs")
    assert "this is in the volume of claim models, which only a pod can read" in page.one("div", id="log").text
    assert page.one("div", class_="command").one("code").text == "headway logs churn --tail 100 -n default --reader-pod"
    assert not cluster.calls("create")


async def test_a_digest_that_is_none_is_not_offered_to_be_copied(visitor: Visitor, cluster: FakeKubectl) -> None:
    done = job(phase="Succeeded")
    done["status"]["result"] = {"artifacts": [{"name": "model", "uri": "s3://m/x", "sha256": "a\nrm -rf ~\n"}]}
    says(cluster, done)
    page = await visitor.page(PATH)
    assert page.one("table", class_="files").all("button") == []


async def test_a_log_of_long_lines_and_many_of_them_is_cut(visitor: Visitor, cluster: FakeKubectl) -> None:
    says(cluster, job())
    cluster.says("\n".join(["x" * 20_000] * 2000), "logs", "churn-f5438-1-head")
    answer = await visitor.ask(f"{PATH}/logs?tail=2000")
    assert len(await answer.read()) < 2_200_000
