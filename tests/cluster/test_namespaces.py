"""With `watchNamespaces`, one of the namespaces goes: the others go on, also through a restart of the operator."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cluster.paper import Operator, Paper, why_no_paper

pytestmark = pytest.mark.cluster

STAYS, GOES = "stays", "goes"
FLAGS = ("--namespace", STAYS, "--namespace", GOES, "--resync-seconds", "5")
LOST = "headway_namespaces_lost"


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Paper]:
    """A control plane on which the operator has rights in two namespaces alone."""
    if reason := why_no_paper():
        pytest.skip(reason)
    with Paper.made("namespaces", tmp_path_factory.mktemp("namespaces"), namespaces=(STAYS, GOES)) as made:
        yield made


def runs(paper: Paper, name: str) -> None:
    """A new job of the namespace that stays runs."""
    paper.submit(name, STAYS)
    paper.until(f"{name} runs", lambda: paper.statuses(STAYS)[name].get("phase") == "Running")


def warnings(operator: Operator) -> list[str]:
    """How often the operator has said that the namespace is lost."""
    said = [line["message"] for line in operator.lines() if line["level"] == "warning"]
    return [message for message in said if f"the namespace {GOES} is to be watched" in message]


def test_a_namespace_that_is_deleted_is_one_warning_and_the_others_go_on(paper: Paper) -> None:
    with paper.operator(*FLAGS) as operator:
        for namespace in (STAYS, GOES):
            paper.submit("first", namespace)
        for namespace in (STAYS, GOES):
            paper.until("it runs", lambda: paper.statuses(namespace)["first"].get("phase") == "Running")  # noqa: B023
        assert operator.metric(LOST) == 0
        paper.cluster.kubectl("delete", "namespace", GOES, "--timeout=120s")
        paper.until("the loss in the metrics", lambda: operator.metric(LOST) == 1)
        runs(paper, "second")
        compared = operator.metric("headway_resync_last_timestamp_seconds") or 0
        paper.until(
            "two more comparisons",
            lambda: (operator.metric("headway_resync_last_timestamp_seconds") or 0) > compared + 10,
        )
        assert len(warnings(operator)) == 1, "said once"
        assert operator.get("/healthz") == "ok"
        assert operator.process.poll() is None
    with paper.operator(*FLAGS) as operator:
        assert operator.metric(LOST) == 1
        assert paper.statuses(STAYS)["first"]["attempt"] == 1
        runs(paper, "third")
        assert len(warnings(operator)) == 1
        assert operator.get("/healthz") == "ok"
