"""headway events: attempts, conditions and Events in one order."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fake_kubectl import FakeKubectl, error, listed, recorded
from headway_api.status import Attempt
from headway_cli.cluster import timeline
from headway_cli.cluster.polling import Clock
from headway_cli.main import main
from headway_cli.verbs import events as verb


def call(*words: str) -> Result:
    """Run the command."""
    return CliRunner().invoke(main, ["events", *words])


def event(
    reason: str, message: str, second: int, *, pod: str = "", kind: str = "Normal", **more: Any
) -> dict[str, Any]:
    """An Event of the recorded job, or of a pod."""
    job = recorded("running")
    about = {"kind": "Pod", "name": pod, "uid": "other"} if pod else {"kind": "TrainingJob", "name": "churn"}
    return {
        "involvedObject": about | ({} if pod else {"uid": job["metadata"]["uid"]}),
        "reason": reason,
        "message": message,
        "type": kind,
        "eventTime": f"2026-11-29T18:53:{second:02}.5Z",
        "metadata": {"name": f"churn.{second}"},
    } | more


@pytest.fixture
def job() -> dict[str, Any]:
    """A job of which one attempt was lost."""
    made = copy.deepcopy(recorded("suspended"))
    first = {
        "number": 1,
        "name": "churn-f5438-1",
        "image": "trainer:1",
        "startTime": "2026-11-29T18:50:00Z",
        "scheduledTime": "2026-11-29T18:50:09Z",
        "runningTime": "2026-11-29T18:50:48Z",
        "endTime": "2026-11-29T18:55:00Z",
        "cause": "NodeLost",
        "node": "gpu-7",
        "message": "gpu-7 does not answer",
        "lossEvents": [{"cause": "OutOfMemory", "time": "2026-11-29T18:52:00Z"}],
    }
    second = {
        "number": 2,
        "name": "churn-f5438-2",
        "startTime": "2026-11-29T18:55:02Z",
        "resumedFromStep": 6912,
        "stepsLost": 118,
    }
    for attempt in (first, second):
        Attempt.model_validate(attempt)
    made["metadata"]["creationTimestamp"] = "2026-11-29T18:49:00Z"
    made["status"] |= {"attempts": [first, second], "conditions": []}
    made["metadata"]["uid"] = recorded("running")["metadata"]["uid"]
    return made


def test_all_that_has_happened_is_told_once_and_in_order(kubectl: FakeKubectl, job: dict[str, Any]) -> None:
    uid = job["metadata"]["uid"]
    kubectl.says(listed(job), "get", "/churn")
    own = [event("AttemptStarted", "again", 1), event("NewBest", "trial 3", 30)]
    kubectl.says(listed(*own), "get", "involvedObject.uid")
    worker = f"churn-{uid[:5]}-1-worker-0-0"
    pods = [
        event("BackOff", "Back-off pulling", 10, pod=worker, kind="Warning", series={"count": 7}),
        event("Pulled", "not ours", 11, pod=f"churn-two-{uid[:5]}-1-head"),
        event("Pulled", "an earlier job's", 12, pod="churn-00000-1-head"),
    ]
    kubectl.says(listed(*pods), "get", "involvedObject.kind=Pod")
    done = call("churn")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines() == [
        "2026-11-29 18:49:00   created",
        "2026-11-29 18:50:00   attempt 1 started        image trainer:1",
        "2026-11-29 18:50:48   all pods ready           48 s after the start: 9 s for nodes, 39 s for images "
        "and joining",
        "2026-11-29 18:52:00 ! worker lost              OutOfMemory",
        f"2026-11-29 18:53:10 ! BackOff                  {worker}: Back-off pulling (7 times)",
        "2026-11-29 18:53:30   NewBest                  trial 3",
        "2026-11-29 18:55:00 ! attempt 1 ended          NodeLost on node gpu-7: gpu-7 does not answer",
        "2026-11-29 18:55:02   attempt 2 started        from step 6,912, 118 steps are done again",
    ]
    warned = call("churn", "--warnings").stdout.splitlines()
    assert [line.split()[3] for line in warned] == ["worker", "BackOff", "attempt"]
    told = json.loads(call("churn", "-o", "json").stdout)
    assert [each["what"] for each in told][-1] == "attempt 2 started"


def test_recorded_events_of_the_operator_add_nothing_that_the_attempts_tell() -> None:
    job = recorded("running")
    told = timeline.of_events(recorded("events")["items"], job)
    assert told == []
    later = recorded("events-later")["items"]
    for each in later:
        each["involvedObject"]["uid"] = job["metadata"]["uid"]
    assert [each.what for each in timeline.of_events(later, job)] == ["Suspended"]


def test_who_may_not_see_events_sees_what_the_status_tells(kubectl: FakeKubectl, job: dict[str, Any]) -> None:
    kubectl.says(listed(job), "get", "/churn")
    kubectl.fails(error("forbidden"), "get", "events")
    done = call("churn")
    assert done.exit_code == 0
    assert "You may not see Events" in done.stderr
    assert len(done.stdout.splitlines()) == 6


def test_a_watch_tells_what_is_new_and_ends_with_the_job(
    kubectl: FakeKubectl, job: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hasty(Clock):
        def sleep(self, seconds: float) -> None:
            assert seconds == verb.LOOK_SECONDS

    monkeypatch.setattr(verb, "CLOCK", Hasty())
    ended = copy.deepcopy(job)
    ended["status"]["phase"] = "Failed"
    failed = {"type": "Failed", "status": "True", "reason": "NodeLost", "message": "five nodes were lost"}
    ended["status"]["conditions"] = [failed | {"lastTransitionTime": "2026-11-29T18:59:00Z"}]
    for state in (job, job, ended):
        kubectl.says(listed(state), "get", "/churn")
    kubectl.says(listed(), "get", "events")
    done = call("churn", "-w")
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert len(lines) == 7
    assert lines[-1] == "2026-11-29 18:59:00 ! Failed: NodeLost         five nodes were lost"


def test_words_of_a_tenant_s_pod_stay_in_their_line(kubectl: FakeKubectl, job: dict[str, Any]) -> None:
    kubectl.says(listed(job), "get", "/churn")
    evil = event("Failed\x1b[2J", "a\n2026-11-29 18:59:00   Complete", 1)
    kubectl.says(listed(evil), "get", "involvedObject.uid")
    kubectl.says(listed(), "get", "involvedObject.kind=Pod")
    told = call("churn").stdout
    assert "\x1b" not in told
    assert "\\u000a2026-11-29 18:59:00   Complete" in told
