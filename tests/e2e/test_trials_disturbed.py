"""A search to which all that can happens: its operator is killed, its storage is away, it is suspended, and it is given
more trials, while it runs and after its end. It ends with the trials and the weights of one that nothing happens to."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import HACK_CLUSTER, Cluster, run
from headway_trainer.storage import Store
from headway_trainer.tuning.events import Asked, Ended
from headway_trainer.tuning.log import EventLog

from .conftest import made_namespace
from .natures import weights
from .node import Node
from .steady import job, run_here, wait_until_nothing_is_left

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.alone, pytest.mark.timeout(1500)]

NAME, SYSTEM = "disturbed", "headway-system"
OPERATOR = "app.kubernetes.io/component=operator"
BEFORE, RAISED, AFTER = 12, 15, 17
"""Its trials: as it is applied, once it runs, and after its end."""


def document(trials: int) -> dict[str, Any]:
    """The job: one trial of some seconds after the other, so that each depends on all before it."""
    return job(
        NAME,
        data={"source": {"builtin": {"name": "digits"}}},
        model={"name": "mlp", "options": {"hidden": [1024, 1024]}},
        training={"epochs": 9, "batchSize": 16, "checkpoint": {"everySteps": 100}},
        tuning={
            "parameters": {
                "training.optimizer.lr": {"logUniform": {"min": 0.00001, "max": 0.03}},
                "training.optimizer.weightDecay": {"uniform": {"min": 0, "max": 0.1}},
            },
            "metric": "validation/accuracy",
            "search": {"name": "tpe", "startupTrials": 3},
            "scheduler": {"name": "asha", "graceEpochs": 3},
            "trials": trials,
        },
        export={"formats": ["safetensors"]},
        seed=3,
    )


class Search:
    """The job in the cluster, with its storage in a server that can be away."""

    def __init__(self, cluster: Cluster, node: Node, namespace: str) -> None:
        self.cluster, self.node, self.namespace = cluster, node, namespace
        environment = dict(line.split("=", 1) for line in run(HACK_CLUSTER, "s3", "--bucket", "models").split())
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "store"}, "stringData": environment}
        cluster.apply(json.dumps(secret), namespace)
        storage = {"storage": {"uri": "s3://models/headway", "secretRef": {"name": "store"}}}
        applied = document(BEFORE)
        applied["spec"] |= storage | {"retry": {"infrastructure": 50, "preempted": 50}}
        cluster.apply(json.dumps(applied), namespace)
        uid = cluster.get("tj", NAME, "-n", namespace)["metadata"]["uid"]
        self.folder = cluster.kubeconfig.parent / "s3/models/headway" / namespace / f"{NAME}-{uid[:8]}"
        """Where the server keeps the job's files."""

    @property
    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.cluster.get("tj", NAME, "-n", self.namespace).get("status", {})
        return found

    @property
    def ended(self) -> int:
        """How many trials have ended, as the status tells."""
        told = self.status.get("tuning", {})
        return sum(told.get(state, 0) for state in ("completed", "stopped", "failed"))

    def wait(self, what: str, check: Callable[[], object]) -> None:
        self.cluster.wait(what, check, within=400, every=0.2)

    def set(self, **spec: Any) -> None:
        """Change fields of its spec."""
        patch = json.dumps({"spec": spec})
        self.cluster.kubectl("patch", "tj", NAME, "-n", self.namespace, "--type=merge", "-p", patch)

    def trials_begun_and_ended(self) -> tuple[list[int], list[int]]:
        """The numbers of trials that its log has begun, and those that it has ended, in order."""
        events = EventLog(Store.open(str(self.folder)), 0).read()
        begun = [event.trial for event in events if isinstance(event, Asked)]
        return begun, [event.trial for event in events if isinstance(event, Ended)]

    def result(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "result.json").read_text())
        return found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the same search runs without a cluster."""
    return tmp_path_factory.mktemp("whole")


@pytest.fixture(scope="module")
def whole(place: Path) -> Path:
    """The output folder of the same search, which nothing happens to."""
    return run_here(document(RAISED), place)


@pytest.fixture(scope="module")
def search(headway: Cluster, node: Node, whole: Path) -> Iterator[Search]:
    """The job, applied; the other search is over by then, as the two share the machine's cores."""
    assert whole
    with made_namespace(headway) as namespace:
        yield Search(headway, node, namespace)


def told(result: dict[str, Any]) -> dict[str, Any]:
    """What a result says of its search, but for times."""
    tuning: dict[str, Any] = result["tuning"]
    for one in (tuning, *tuning["trials"]):
        del one["seconds"]
    return tuning


def is_the_same(search: Search, whole: Path, trials: int) -> None:
    """Nothing of what has happened can be seen of the trials and the model."""
    begun, ended = search.trials_begun_and_ended()
    assert begun == ended == list(range(1, trials + 1)), "none twice, none lost"
    assert told(search.result()) == told(json.loads((whole / "result.json").read_text()))
    assert weights(search.folder) == weights(whole)


def test_an_operator_killed_a_storage_away_a_suspension_and_more_trials_change_nothing_of_a_search(
    search: Search, whole: Path
) -> None:
    search.wait("two trials", lambda: search.ended >= 2)
    search.cluster.kubectl("delete", "pod", "-n", SYSTEM, "-l", OPERATOR, "--force", "--grace-period=0")
    search.wait("another operator, which tells of a further trial", lambda: search.ended >= 3)

    search.node.order("stop", "s3")
    try:
        search.wait("an attempt without its storage", lambda: "StorageError" in str(search.status["attempts"]))
    finally:
        search.node.order("start", "s3")
    search.wait("a trial after that", lambda: search.ended >= 5)

    search.set(suspend=True)
    search.wait("suspended", lambda: search.status["phase"] == "Suspended")
    pods = search.cluster.items("pods", "-n", search.namespace, "-l", f"headway.dev/job={NAME}")
    assert not pods
    assert search.ended < BEFORE, "it was in the middle"
    search.set(suspend=False)
    search.wait("it goes on", lambda: search.status["phase"] == "Running")
    search.set(tuning={"trials": RAISED})

    search.cluster.finished(NAME, search.namespace, 600)
    status, story = search.status, search.cluster.story(NAME, search.namespace)
    assert status["phase"] == "Succeeded", story
    causes = [one.get("cause") for one in status["attempts"]]
    assert {"StorageError", "Suspended"} <= set(causes), story
    assert causes[-2:] == [None, None], "the attempt that was told of fewer, and the one that went on"
    assert [one["trials"] for one in status["attempts"]][-2:] == [BEFORE, RAISED]
    assert "TrialsRaised" in story
    assert (status["tuning"]["planned"], search.ended) == (RAISED, RAISED)
    is_the_same(search, whole, RAISED)


def test_a_search_that_has_succeeded_goes_on_with_more_trials_and_its_result_stands_meanwhile(
    search: Search, place: Path
) -> None:
    before = search.status
    assert before["phase"] == "Succeeded", "by the test above"
    search.set(tuning={"trials": AFTER})
    search.wait("it goes on", lambda: search.status["attempt"] > before["attempt"])
    between = search.status
    assert between["result"] == before["result"]
    assert "completionTime" not in between
    whole = run_here(document(AFTER), place)
    search.cluster.finished(NAME, search.namespace, 600)
    assert search.status["phase"] == "Succeeded", search.cluster.story(NAME, search.namespace)
    assert search.status["tuning"]["planned"] == AFTER
    assert search.status["result"]["artifacts"] != before["result"]["artifacts"], "result.json has more trials"
    is_the_same(search, whole, AFTER)
    wait_until_nothing_is_left(search.cluster, search.namespace, NAME)
