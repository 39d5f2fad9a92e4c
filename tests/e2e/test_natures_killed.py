"""Jobs of several natures that lose a worker's pod in the middle of training, and jobs on Ray as it is.

Each ends with the weights of the same job by `headway run`, which nothing happens to.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import Cluster

from .natures import Natures, boosting, folds, kill_a_worker, natures_of, saved, texts, tuned, weights
from .node import Node
from .steady import run_here

# tests/integration does the same to pods that are processes of one machine, and is quick.
pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(900)]

STOCK = {
    "resources": {"cpu": "10m", "memory": "2Gi"},
    "template": {"spec": {"containers": [{"name": "main", "env": [{"name": "HEADWAY_STOCK_RAY", "value": "1"}]}]}},
}


@pytest.fixture(scope="module")
def place(headway: Cluster, node: Node) -> Iterator[Natures]:
    """A namespace with the tables, in which no job runs yet."""
    with natures_of(headway, node) as found:
        yield found


def test_two_ranks_that_read_texts_end_with_the_weights_of_a_run_that_was_not_killed(
    place: Natures, tmp_path: Path
) -> None:
    document = texts("texts-killed", epochs=100)
    place.apply(document)
    ended = kill_a_worker(place, "texts-killed", lambda folder: len(saved(folder)) > 1)
    whole = run_here(document, tmp_path, "--set", f"data.source={{uri: {place.lake / 'reviews.parquet'}}}")
    assert weights(ended.folder) == weights(whole)


def test_folds_of_which_one_is_killed_end_with_the_figures_and_the_weights_of_a_run_that_was_not(
    place: Natures, tmp_path: Path
) -> None:
    document = folds("folds-killed", epochs=40)
    place.apply(document)
    both = ("fold-1", "fold-2")
    ended = kill_a_worker(place, "folds-killed", lambda folder: all(saved(folder / "children" / one) for one in both))
    whole = run_here(document, tmp_path)
    assert ended.result["crossValidation"] == json.loads((whole / "result.json").read_text())["crossValidation"]
    assert weights(ended.folder) == weights(whole)


def told_of_trials(folder: Path) -> list[dict[str, Any]]:
    """What a search's result says of its trials, but for how long they took."""
    trials = json.loads((folder / "result.json").read_text())["tuning"]["trials"]
    return [{key: one[key] for key in ("number", "parameters", "state", "value", "epochs")} for one in trials]


def test_trials_one_after_the_other_are_the_same_as_those_that_nothing_happens_to(
    place: Natures, tmp_path: Path
) -> None:
    document = tuned("tuned-killed", epochs=27, trials=9, maxConcurrent=1, search={"name": "tpe", "startupTrials": 3})
    whole = run_here(document, tmp_path)
    place.apply(document)
    place.cluster.wait(
        "a trial in the middle",
        lambda: (
            place.cluster.get("tj", "tuned-killed", "-n", place.namespace)
            .get("status", {})
            .get("tuning", {})
            .get("stopped", 0)
            >= 2
        ),
        within=300,
        every=0.2,
    )
    head = place.cluster.items(
        "pods", "-n", place.namespace, "-l", "headway.dev/job=tuned-killed,headway.dev/role=head"
    )
    place.cluster.kubectl(
        "delete", "pod", head[0]["metadata"]["name"], "-n", place.namespace, "--force", "--grace-period=0"
    )
    ended = place.wait_for("tuned-killed")
    assert ended.status["phase"] == "Succeeded", ended.story
    assert ended.status["attempt"] == 2
    assert told_of_trials(ended.folder) == told_of_trials(whole)
    assert weights(ended.folder) == weights(whole)


def on_stock_ray(document: dict[str, Any]) -> dict[str, Any]:
    """The job on Ray as it is, whose own processes take memory, too: of each fold that is trained, one in the head."""
    pods = {role: document["spec"][role] | STOCK for role in ("head", "workers")}
    return {**document, "spec": {**document["spec"], **pods}}


@pytest.fixture(scope="module")
def stock(headway: Cluster, node: Node) -> Iterator[Natures]:
    documents = [on_stock_ray(folds("stock-folds")), on_stock_ray(boosting("stock-boosting"))]
    with natures_of(headway, node, *documents) as found:
        yield found


def test_folds_on_ray_as_it_is_give_the_same_figures_and_weights(stock: Natures, tmp_path: Path) -> None:
    ended = stock.ended("stock-folds")
    assert ended.status["phase"] == "Succeeded", ended.story
    whole = run_here(folds("stock-folds"), tmp_path)
    assert ended.result["crossValidation"] == json.loads((whole / "result.json").read_text())["crossValidation"]
    assert weights(ended.folder) == weights(whole)


def test_trees_are_fitted_on_ray_as_it_is(stock: Natures, tmp_path: Path) -> None:
    ended = stock.ended("stock-boosting")
    assert ended.status["phase"] == "Succeeded", ended.story
    whole = run_here(boosting("stock-boosting"), tmp_path)
    assert ended.result["metrics"] == json.loads((whole / "result.json").read_text())["metrics"]
