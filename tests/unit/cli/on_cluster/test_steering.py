"""headway stop and resume: what is asked for, what is waited for, and what is said of it."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fake_kubectl import FakeKubectl, error, listed, recorded
from hasty_clock import Hasty
from headway_cli.main import main
from headway_cli.verbs import resume as resume_verb
from headway_cli.verbs import stop as stop_verb


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Hasty:
    made = Hasty()
    monkeypatch.setattr(stop_verb, "CLOCK", made)
    monkeypatch.setattr(resume_verb, "CLOCK", made)
    return made


def call(*words: str) -> Result:
    """Run the command."""
    return CliRunner().invoke(main, list(words))


def job(state: str = "running", *, generation: int = 1, **spec: Any) -> dict[str, Any]:
    """A recorded job, as the API server has it at a generation."""
    made = copy.deepcopy(recorded(state))
    made["metadata"] |= {"name": "churn", "uid": recorded("running")["metadata"]["uid"], "generation": generation}
    made["spec"] |= spec
    return made


def suspended() -> dict[str, Any]:
    made = job("suspended", generation=2, suspend=True)
    made["status"]["checkpoint"] = {"uri": "s3://a", "step": 7423, "time": "2026-11-29T18:52:15Z"}
    made["spec"]["workers"] = {"replicas": 2, "resources": {"gpu": 2}}
    return made


def going_on(**spec: Any) -> dict[str, Any]:
    made = job(generation=3, **spec)
    made["status"] |= {"observedGeneration": 3, "attempt": 2, "checkpoint": {"step": 7423}}
    return made


def patched(kubectl: FakeKubectl) -> list[Any]:
    """The changes that were asked for."""
    flags = [word for each in kubectl.calls("patch") for word in each if word.startswith("--patch=")]
    return [json.loads(flag.removeprefix("--patch=")) for flag in flags]


def test_stop_waits_until_no_pod_is_left_and_names_the_next_two_commands(kubectl: FakeKubectl) -> None:
    for state in (job(), job(), job(generation=2), suspended()):
        kubectl.says(listed(state), "get", "/churn")
    kubectl.says(job(generation=2, suspend=True), "patch")
    done = call("stop", "churn", "-n", "default")
    assert done.exit_code == 0, done.output
    assert patched(kubectl) == [{"metadata": {"uid": job()["metadata"]["uid"]}, "spec": {"suspend": True}}]
    assert done.stdout == "Suspended after 2 s; its newest checkpoint is of step 7,423. 4 GPUs are free.\n"
    assert done.stderr.splitlines()[1:] == [
        "the operator has not seen it yet",
        "  headway resume churn -n default",
        "  headway logs churn -n default",
    ]


def test_a_job_that_ends_before_it_stops_is_told_as_what_it_is(kubectl: FakeKubectl) -> None:
    failed = job("failed", generation=2)
    failed["status"]["observedGeneration"] = 2
    kubectl.says(listed(job()), "get", "/churn")
    kubectl.says(listed(failed), "get", "/churn")
    kubectl.says(job(generation=2), "patch")
    done = call("stop", "churn")
    assert done.exit_code == 64
    assert done.stdout.startswith("It has ended meanwhile, and was not stopped: Failed. ValueError")


@pytest.mark.parametrize("flag", ["--wait=false", "--wait=0"])
def test_without_waiting_it_only_asks(kubectl: FakeKubectl, flag: str) -> None:
    kubectl.says(listed(job()), "get", "/churn")
    kubectl.says(job(generation=2), "patch")
    done = call("stop", "churn", flag)
    assert (done.exit_code, done.stdout) == (0, "churn is asked to stop.\n")
    assert len(kubectl.calls("get")) == 1


def test_what_takes_too_long_ends_with_4_and_says_what_it_waits_for(kubectl: FakeKubectl, clock: Hasty) -> None:
    queued = going_on()
    queued["status"] |= {"phase": "Queued", "attempt": 1}
    queued["status"]["conditions"][1] = {"type": "Running", "status": "False", "message": "0/3 nodes have 4 GPUs"}
    kubectl.says(listed(suspended()), "get", "/churn")
    kubectl.says(listed(queued), "get", "/churn")
    kubectl.says(going_on(), "patch")
    done = call("resume", "churn", "--timeout", "30s")
    assert done.exit_code == 4
    assert "within 30 s: it is Queued: 0/3 nodes have 4 GPUs" in done.stderr
    assert "The request stands; see `headway status churn`." in done.stderr
    assert clock.passed == pytest.approx(30, abs=1)


def test_ctrl_c_ends_the_waiting_alone(kubectl: FakeKubectl, monkeypatch: pytest.MonkeyPatch, clock: Hasty) -> None:
    kubectl.says(listed(job()), "get", "/churn")
    kubectl.says(job(generation=2), "patch")

    def interrupted(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(clock, "sleep", interrupted)
    done = call("stop", "churn")
    assert done.exit_code == 130
    assert "Detached: churn is asked to stop, and will." in done.stderr
    assert len(kubectl.calls("patch")) == 1


def test_resume_changes_what_may_change_and_tells_where_it_goes_on(kubectl: FakeKubectl) -> None:
    workers = {"replicas": 8}
    before = suspended()
    for state in (before, before, going_on(workers=workers)):
        kubectl.says(listed(state), "get", "/churn")
    kubectl.says(job("suspended", generation=3, workers=workers), "patch")
    done = call("resume", "churn", "--set", "workers.replicas=8")
    assert done.exit_code == 0, done.output
    (change,) = patched(kubectl)
    assert change["spec"] == {"workers": {"replicas": 8}, "suspend": False}
    assert change["metadata"] == {"uid": before["metadata"]["uid"]}
    assert done.stdout == "Attempt 2 runs after 1 s, from the checkpoint of step 7,423, with 8 workers.\n"
    assert "headway logs churn -f" in done.stderr


@pytest.mark.parametrize(
    ("setting", "code", "says"),
    [
        ("workers.replica=8", 1, "spec.workers.replica"),
        ("workers.replicas=many", 1, "spec.workers.replicas"),
        ("workers", 2, "write KEY=VALUE"),
        ("workers.replicas.x=1", 2, "is no section"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_before_anything_is_asked(
    kubectl: FakeKubectl, setting: str, code: int, says: str
) -> None:
    kubectl.says(listed(job("suspended", generation=2, suspend=True)), "get", "/churn")
    done = call("resume", "churn", "--set", setting)
    assert done.exit_code == code
    assert says in done.stderr
    assert kubectl.calls("patch") == []


def test_what_the_api_server_refuses_is_told_in_its_words(kubectl: FakeKubectl) -> None:
    kubectl.says(listed(job("suspended", generation=2, suspend=True)), "get", "/churn")
    kubectl.fails(error("patch-immutable"), "patch")
    done = call("resume", "churn", "--set", "training.epochs=7")
    assert done.exit_code == 1
    assert "spec.training cannot change once the job has begun" in done.stderr


def test_what_needs_no_change_is_not_asked_for(kubectl: FakeKubectl) -> None:
    kubectl.says(listed(job("suspended", generation=2, suspend=True)), "get", "/churn")
    assert call("stop", "churn").stdout == "churn is suspended already.\n"
    (kubectl.folder / "rules").unlink()
    kubectl.says(recorded("config"), "config")
    kubectl.says(listed(job()), "get", "/churn")
    assert call("resume", "churn").stdout == "churn runs already.\n"
    assert kubectl.calls("patch") == []


@pytest.mark.parametrize("verb", ["stop", "resume"])
def test_a_job_that_has_ended_is_refused(kubectl: FakeKubectl, verb: str) -> None:
    kubectl.says(listed(job("failed")), "get", "/churn")
    done = call(verb, "churn")
    assert done.exit_code == 1
    assert "churn has ended (Failed)" in done.stderr
    assert kubectl.calls("patch") == []


def test_another_job_of_the_same_name_is_not_taken_for_it(kubectl: FakeKubectl) -> None:
    other = job()
    other["metadata"]["uid"] = "another"
    kubectl.says(listed(job()), "get", "/churn")
    kubectl.says(listed(other), "get", "/churn")
    kubectl.says(job(generation=2), "patch")
    done = call("stop", "churn")
    assert done.exit_code == 1
    assert "there is another job of that name" in done.stderr


@pytest.mark.parametrize(("verb", "state"), [("stop", job()), ("resume", suspended())])
def test_a_job_that_was_made_anew_between_look_and_request_is_left_alone(
    kubectl: FakeKubectl, verb: str, state: dict[str, Any]
) -> None:
    other = copy.deepcopy(state)
    other["metadata"]["uid"] = "another"
    kubectl.says(listed(state), "get", "/churn")
    kubectl.says(listed(other), "get", "/churn")
    kubectl.fails(error("patch-uid"), "patch", state["metadata"]["uid"])
    done = call(verb, "churn")
    assert done.exit_code == 1
    assert "churn was deleted meanwhile, and there is another job of that name" in done.stderr
    assert len(kubectl.calls("patch")) == 1
