"""A search that begins with what an earlier job of the same namespace has found: `tuning.warmStart` by a job's name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import HACK_CLUSTER, Cluster, run
from headway_trainer.report.trial_records import TrialRecord, read_trials
from headway_trainer.storage import Store

from .conftest import made_namespace
from .steady import job

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(900)]

FIRST, SECOND = "earlier", "later"
LR = "training.optimizer.lr"


def document(name: str, workers: int = 1, **tuning: Any) -> dict[str, Any]:
    return job(
        name,
        workers=workers,
        data={"source": {"builtin": {"name": "iris"}}},
        model={"name": "mlp"},
        training={"epochs": 3},
        tuning={
            "parameters": {LR: {"logUniform": {"min": 0.0001, "max": 0.1}}},
            "metric": "validation/loss",
            **tuning,
        },
        export={"formats": ["safetensors"]},
        storage={"uri": "s3://models/headway", "secretRef": {"name": "store"}},
        seed=3,
    )


@pytest.fixture(scope="module")
def namespace(headway: Cluster) -> Iterator[str]:
    """A namespace with a Secret for a storage that is looked into from here."""
    environment = dict(line.split("=", 1) for line in run(HACK_CLUSTER, "s3", "--bucket", "models").split())
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "store"}, "stringData": environment}
    with made_namespace(headway) as name:
        headway.apply(json.dumps(secret), name)
        yield name


def applied(cluster: Cluster, namespace: str, document: dict[str, Any]) -> tuple[dict[str, Any], Path]:
    """The status of a job at its end, and where the server keeps its files."""
    name = document["metadata"]["name"]
    cluster.apply(json.dumps(document), namespace)
    found = cluster.finished(name, namespace, 400)
    folder = cluster.kubeconfig.parent / "s3/models/headway" / namespace / f"{name}-{found['metadata']['uid'][:8]}"
    return found["status"], folder


def trials_of(folder: Path) -> list[TrialRecord]:
    return read_trials(Store.open(str(folder)))


def test_a_job_begins_with_the_trials_of_an_earlier_one_of_its_namespace_by_its_name(
    headway: Cluster, namespace: str
) -> None:
    search = {"name": "tpe", "startupTrials": 4}
    status, earlier = applied(headway, namespace, document(FIRST, search=search, trials=6, trialsPerWorker=2))
    assert status["phase"] == "Succeeded", headway.story(FIRST, namespace)
    found = trials_of(earlier)
    assert [one.state for one in found] == ["completed"] * 6
    assert any(_overlap(one, other) for one in found for other in found if one.number < other.number), (
        "two at once on the one worker"
    )

    warm = document(SECOND, search=search, trials=2, warmStart=[{"job": FIRST}])
    status, later = applied(headway, namespace, warm)
    assert status["phase"] == "Succeeded", headway.story(SECOND, namespace)
    (source,) = json.loads((later / "result.json").read_text())["tuning"]["earlier"]
    assert (source["what"], source["taken"], source["skipped"]) == (f"the job {FIRST}", 6, 0)
    own = trials_of(later)
    assert len(own) == 2, "none of them is a trial of this search"
    first = own[0].parameters[LR]
    assert first != found[0].parameters[LR], "a search of that seed without them begins with that one, by chance"

    again = document("nobody", search=search, trials=2, warmStart=[{"job": "never-there"}])
    status, _ = applied(headway, namespace, again)
    assert status["phase"] == "Failed"
    assert "the job never-there has no finished trials in" in headway.story("nobody", namespace)


def _overlap(one: TrialRecord, other: TrialRecord) -> bool:
    return one.ended is not None and other.ended is not None and one.began < other.ended and other.began < one.ended
