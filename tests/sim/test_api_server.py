"""The API server in memory refuses what the real one does: tests/cluster asks that one about the same documents."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from headway_operator.engine import kube
from headway_operator.engine.kube import InvalidError, Object
from mutations.every import MUTATIONS, Mutation
from mutations.job import BASE
from sim.builders import T0, document
from sim.fakes.api import ApiServer
from sim.fakes.schema import installed

OTHERS_DO = ("unknown", "a label", "an endless label", "no metadata", "no name")
"""Mistakes that the definition of a kind does not judge: strict clients and the API server's own rules do."""
JUDGED = [
    mutation
    for mutation in MUTATIONS
    if mutation.schema and mutation.document and not mutation.name.startswith(OTHERS_DO)
]


def server() -> ApiServer:
    return ApiServer(lambda: T0, judge=installed().judge)


def stored(status: dict[str, Any]) -> tuple[ApiServer, Object]:
    """A server that has a job with a status."""
    made = server()
    made.create(kube.JOBS, "default", document())
    made.change(kube.JOBS, "digits", lambda body: body.update(status=status))
    found = made.find(kube.JOBS, "digits")
    assert found is not None
    return made, found


def write(made: ApiServer, **status: Any) -> None:
    made.change(kube.JOBS, "digits", lambda body: body.update(status=status))


@pytest.mark.parametrize("mutation", JUDGED, ids=lambda mutation: mutation.name)
def test_a_spec_that_the_schema_forbids_is_refused(mutation: Mutation) -> None:
    with pytest.raises(InvalidError, match="is invalid"):
        server().create(kube.JOBS, "default", copy.deepcopy(mutation.document or {}))


def test_a_spec_without_a_mistake_is_taken_and_what_no_schema_knows_is_left_out() -> None:
    made = server().create(kube.JOBS, "default", BASE | {"spec": BASE["spec"] | {"fancy": 1}})
    assert made["spec"] == BASE["spec"]


def test_what_only_the_operator_can_judge_is_taken() -> None:
    server().create(kube.JOBS, "default", document(model={"name": "mlp", "options": {"no such option": 1}}))


def test_the_parts_of_a_spec_that_are_frozen_change_before_the_job_begins_and_not_after() -> None:
    made, _ = stored({"attempt": 0})
    made.change(kube.JOBS, "digits", lambda body: body["spec"].update(seed=3))
    write(made, attempt=1)
    made.change(kube.JOBS, "digits", lambda body: body["spec"].update(suspend=True, workers={"replicas": 4}))
    with pytest.raises(InvalidError, match=r"spec\.seed cannot change once the job has begun"):
        made.change(kube.JOBS, "digits", lambda body: body["spec"].update(seed=4))


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ({"progress": {"step": 10**19}}, "status.progress.step: .* must be of type int64"),
        ({"progress": {"percent": 101}}, "status.progress.percent: .* less than or equal to 100"),
        ({"progress": {"metrics": {"a": 1}}}, 'metrics.a: .* must be of type string: "integer"'),
        ({"phase": "Sleeping"}, 'status.phase: Unsupported value: "Sleeping"'),
        ({"startTime": "x" * 65}, "status.startTime: Too long"),
        ({"attempts": [{"number": 1, "startTime": ""}] * 2}, r"status.attempts\[1\]: Duplicate value"),
        ({"attempts": [{"startTime": ""}]}, r"status.attempts\[0\].number: Required value"),
        ({"attempts": [{"number": n, "startTime": ""} for n in range(21)]}, "status.attempts: Too many: 21"),
    ],
)
def test_a_status_that_the_schema_forbids_is_refused(status: dict[str, Any], says: str) -> None:
    made, before = stored({"attempt": 1})
    with pytest.raises(InvalidError, match=says):
        write(made, **status)
    assert made.find(kube.JOBS, "digits") == before


def test_of_a_status_what_has_not_changed_is_not_judged_again_and_what_is_unknown_is_left_out() -> None:
    made, before = stored({"attempt": 1})
    before["status"]["phase"] = "OfAnotherVersion"
    write(made, phase="OfAnotherVersion", attempt=2, fancy=1)
    found = made.find(kube.JOBS, "digits")
    assert found is not None
    assert found["status"] == {"phase": "OfAnotherVersion", "attempt": 2}
