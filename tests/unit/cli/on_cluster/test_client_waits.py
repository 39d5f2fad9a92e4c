"""headway.client waits for deployments, and what a program gives for a wait is judged."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from fake_kubectl import FakeKubectl, listed
from harness import ROOT
from hasty_clock import Hasty
from headway import jobs, statuses
from headway.client import (
    Client,
    Deployment,
    HeadwayError,
    JobEndedError,
    NotFoundError,
    RolloutError,
    RunError,
    TimedOutError,
    UnreachedError,
    UsageError,
)
from headway_api.deployment_status import ModelDeploymentStatus
from headway_api.status import TrainingJobStatus
from headway_cli.cluster.polling import looked
from headway_cli.cluster.rollouts import Wanted, judged
from markdown_blocks import blocks
from unit.cli.on_cluster.test_client import state, the_job


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Hasty:
    made = Hasty()
    monkeypatch.setattr(statuses, "CLOCK", made)
    monkeypatch.setattr(jobs, "CLOCK", made)
    return made


def version(number: int, kind: str, **more: Any) -> dict[str, Any]:
    return {
        "name": f"churn-{number}",
        "number": number,
        "state": kind,
        "source": {"uri": f"s3://models/{number}", "digest": f"sha256:{'a' * 64}"},
        "server": {},
        "image": "server:1",
        "since": "2026-11-29T18:00:00Z",
        **more,
    }


def deployment(*versions: dict[str, Any], conditions: str = "", generation: int = 1, **more: Any) -> dict[str, Any]:
    """A deployment. conditions: each as `Type=Status:Reason`."""
    told = []
    for word in conditions.split():
        kind, _, rest = word.partition("=")
        holds, _, reason = rest.partition(":")
        time = "2026-11-29T18:00:00Z"
        told.append({"type": kind, "status": holds, "reason": reason or "Said", "lastTransitionTime": time})
    champion = next((each["name"] for each in versions if each["state"] == "Champion"), None)
    last = max((each["number"] for each in versions), default=0)
    status: dict[str, Any] = {
        "observedGeneration": 1,
        "conditions": told,
        "versions": list(versions),
        "lastNumber": last,
        **more,
    }
    return {
        "kind": "ModelDeployment",
        "metadata": {"name": "churn", "uid": "d-1", "generation": generation},
        "status": status | ({"champion": champion} if champion else {}),
    }


ANSWERS = "Accepted=True Ready=True:Answering Progressing=False:Idle"
BAKES = "Accepted=True Ready=True:Answering Progressing=True:Baking"
BEGINS = "Accepted=True Ready=False:NoVersion Progressing=True:Preparing"
REJECTED = f"{ANSWERS} RolledBack=True:ErrorRate"
INVALID = "Accepted=False:InvalidSpec Ready=True:Answering Progressing=True:Preparing"
SLEEPS = "Accepted=True Ready=True:ScaledToZero Progressing=False:Idle"
OLD, NEW = version(1, "Previous", job="churn-1"), version(2, "Champion", job="churn-2")
BAD = version(2, "Rejected", job="churn-2", reason="ErrorRate", message="too many errors")


@pytest.mark.parametrize(
    ("found", "wanted", "verdict"),
    [
        (deployment(NEW, conditions=ANSWERS), Wanted(), "there"),
        (deployment(NEW, conditions=ANSWERS, generation=2), Wanted(), "waits"),
        (deployment(), Wanted(), "waits"),
        ({"metadata": {"generation": 1}}, Wanted(), "waits"),
        (deployment(NEW, OLD, conditions=BAKES), Wanted(), "waits"),
        (deployment(NEW, OLD, conditions=BAKES), Wanted("Ready"), "there"),
        (deployment(conditions=BEGINS), Wanted("Ready"), "waits"),
        (deployment(NEW, conditions=SLEEPS), Wanted(), "there"),
        (deployment(version(1, "Champion"), BAD, conditions=REJECTED), Wanted(), "never"),
        (deployment(version(1, "Champion"), BAD, conditions=REJECTED), Wanted("Ready"), "there"),
        (deployment(BAD, conditions="Accepted=True Ready=False RolledBack=True"), Wanted("Ready"), "never"),
        (deployment(NEW, conditions=INVALID), Wanted(), "never"),
        (deployment(NEW, OLD, conditions=BAKES), Wanted(version="churn-1"), "there"),
        (deployment(NEW, OLD, conditions=BAKES), Wanted(version="churn-2"), "waits"),
        (deployment(NEW, conditions=ANSWERS), Wanted(version="churn-2"), "there"),
        (deployment(NEW, conditions=ANSWERS), Wanted(version="churn-3"), "waits"),
        (deployment(NEW, conditions=ANSWERS), Wanted(version="churn-1"), "never"),
        (deployment(NEW, conditions=ANSWERS), Wanted(version="churn-" + "9" * 5000), "waits"),
        (deployment(NEW, conditions=INVALID), Wanted(version="churn-3"), "never"),
        (deployment(version(1, "Champion"), BAD, conditions=REJECTED), Wanted(version="churn-2"), "never"),
        (deployment(NEW, OLD, conditions=ANSWERS), Wanted(job="churn-2"), "there"),
        (deployment(NEW, OLD, conditions=ANSWERS), Wanted(job="churn-9"), "waits"),
        (deployment(version(1, "Champion"), BAD, conditions=REJECTED), Wanted(job="churn-2"), "never"),
    ],
)
def test_a_rollout_has_ended_where_it_stands(found: dict[str, Any], wanted: Wanted, verdict: str) -> None:
    assert judged(found, wanted).verdict == verdict


def the_deployment(kubectl: FakeKubectl, *states: dict[str, Any]) -> Deployment:
    for each in (states[0], *states):
        kubectl.says(listed(each), "get", "modeldeployments.headway.dev/churn")
    return Client(namespace="team-a").deployment("churn")


def test_a_deployment_is_waited_for_until_its_rollout_has_ended(kubectl: FakeKubectl, clock: Hasty) -> None:
    states = (deployment(conditions=BEGINS), deployment(NEW, OLD, conditions=BAKES))
    found = the_deployment(kubectl, *states, deployment(NEW, conditions=ANSWERS))
    status = found.wait()
    assert (status.champion, clock.passed) == ("churn-2", 4.0)
    assert found.status().champion == "churn-2"


def test_a_version_that_is_rejected_ends_the_wait_with_its_reason_and_the_status(kubectl: FakeKubectl) -> None:
    found = the_deployment(kubectl, deployment(version(1, "Champion"), BAD, conditions=REJECTED))
    with pytest.raises(RolloutError, match="churn: version churn-2 is rejected: too many errors: see `headway") as told:
        found.wait(job="churn-2")
    assert told.value.status.champion == "churn-1"


def test_a_wait_for_a_rollout_that_takes_too_long_says_where_it_is(kubectl: FakeKubectl, clock: Hasty) -> None:
    found = the_deployment(kubectl, deployment(NEW, OLD, conditions=BAKES))
    with pytest.raises(TimedOutError, match=r"within 5 s: it is .*Baking\nIt goes on; see `headway status churn`"):
        found.wait(5)
    assert clock.passed == 5.0, "it looks once more at the end"


def test_a_deployment_that_is_deleted_or_another_one_is_not_waited_for(kubectl: FakeKubectl) -> None:
    other = deployment(NEW, conditions=ANSWERS)
    other["metadata"]["uid"] = "d-2"
    found = the_deployment(kubectl, deployment(conditions=BEGINS), other)
    with pytest.raises(NotFoundError, match="there is another deployment of that name"):
        found.wait()
    kubectl.says("", "get", "modeldeployments.headway.dev/gone")
    with pytest.raises(NotFoundError, match="there is no ModelDeployment gone in namespace team-a"):
        Client(namespace="team-a").deployment("gone")


def test_a_job_that_is_made_again_under_its_name_ends_the_wait_as_one_that_was_deleted(kubectl: FakeKubectl) -> None:
    other = state("running")
    other["metadata"]["uid"] = "u-2"
    job = the_job(kubectl, state("running"), state("running"), other)
    with pytest.raises(NotFoundError, match="was deleted meanwhile, and there is another job of that name"):
        job.wait()


@pytest.mark.parametrize("timeout", [-1, float("nan"), float("-inf")])
def test_a_timeout_that_cannot_be_meant_is_a_mistake(kubectl: FakeKubectl, timeout: float) -> None:
    job, found = the_job(kubectl, state("running")), the_deployment(kubectl, deployment(NEW, conditions=ANSWERS))
    for call in (job.wait, found.wait, lambda each: job.stop(timeout=each), lambda each: job.resume(timeout=each)):
        with pytest.raises(UsageError, match="write how many seconds at most"):
            call(timeout)
    with pytest.raises(UsageError, match="write how many seconds at most, or wait=False"):
        job.stop(timeout=None)  # type: ignore[arg-type]  # which is what it refuses
    assert not kubectl.calls("patch")


def test_what_is_waited_for_is_a_word_that_there_is(kubectl: FakeKubectl) -> None:
    job, found = the_job(kubectl, state("running")), the_deployment(kubectl, deployment(NEW, conditions=ANSWERS))
    with pytest.raises(UsageError, match="until 'running': write one of Running, Suspended, Succeeded, Failed"):
        job.wait(until="running")  # type: ignore[arg-type]  # which is what it refuses
    with pytest.raises(UsageError, match="until 'Done': write one of RolledOut, Ready"):
        found.wait(until="Done")  # type: ignore[arg-type]  # which is what it refuses
    with pytest.raises(UsageError, match="give either version or job"):
        found.wait(version="churn-1", job="churn-1")
    for typed in ("chrun-1", "churn", "churn-", "churn-01", "churn-x", "churn-1\n", "1"):
        with pytest.raises(UsageError, match="versions of churn are named churn-1, churn-2, "):
            found.wait(version=typed)
    with pytest.raises(UsageError, match="'No_Name' is no name"):
        found.wait(job="No_Name")
    assert len(kubectl.calls("get")) == 2, "nothing is waited for that can never be"


@pytest.mark.parametrize(
    "error",
    [
        JobEndedError("it is Failed", TrainingJobStatus(phase="Failed")),
        RolloutError("rejected", ModelDeploymentStatus(phase="Degraded")),
        RunError("bad data", 64, "the end of it"),
        TimedOutError("too long"),
    ],
)
def test_an_error_goes_from_process_to_process(error: HeadwayError) -> None:
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))
    assert str(copy.copy(error)) == str(error)
    assert "\n" not in str(error), "a message, and not all that it was made of"


def test_a_login_that_has_expired_is_waited_out_for_ten_minutes_and_told(kubectl: FakeKubectl, clock: Hasty) -> None:
    job = the_job(kubectl, state("running"), state("running"))
    expired = "error: You must be logged in to the server (Unauthorized)\n"
    kubectl.fails(expired, "get", "trainingjobs.headway.dev/churn")
    with pytest.raises(UnreachedError, match="Log in again as your cluster wants it"):
        job.wait()
    assert clock.passed > 600


@pytest.mark.parametrize(("within", "looks"), [(0.0, 1), (1.0, 2), (4.0, 3), (5.0, 4)])
def test_the_last_look_is_at_the_end_of_the_time(clock: Hasty, within: float, looks: int) -> None:
    found: list[None] = []
    with pytest.raises(TimedOutError):
        list(looked(lambda: found.append(None), 2.0, clock, within))
    assert (len(found), clock.passed) == (looks, within)


def test_the_pages_program_waits_for_the_version_of_its_job(
    kubectl: FakeKubectl, capsys: pytest.CaptureFixture[str]
) -> None:
    (block,) = [each for each in blocks(ROOT / "docs/how-to/python-client.md") if ".deployment(" in each.text]
    found = deployment(version(2, "Champion", job="homes"), conditions=ANSWERS)
    found["metadata"]["name"] = "homes"
    kubectl.says(listed(found), "get", "modeldeployments.headway.dev/homes")
    exec(block.text, {"client": Client(namespace="team-a")})  # noqa: S102 - the page's own program
    assert capsys.readouterr().out == "churn-2\n"
