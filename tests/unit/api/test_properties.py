"""What holds for any document: the valid ones round-trip, the damaged ones give problems and never an exception."""

from __future__ import annotations

import json
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headway_api.job import TrainingJob, TrainingJobSpec
from headway_api.validate import MOST_PROBLEMS, check, problems_of
from headway_api.wire import RunFile
from job_documents import JOBS, JSON, damaged

TIMES = settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])


@TIMES
@given(JOBS)
def test_a_valid_job_has_no_problems_as_a_document_and_as_a_file(document: dict[str, Any]) -> None:
    assert problems_of(document) == []
    assert check(json.dumps(document).encode()).problems == []


@TIMES
@given(JOBS)
def test_what_the_models_accept_they_write_so_that_they_accept_it_again(document: dict[str, Any]) -> None:
    job = TrainingJob.model_validate(document)
    written = json.loads(job.model_dump_json(exclude_none=True))
    assert TrainingJob.model_validate(written) == job
    assert problems_of(written) == []


@TIMES
@given(JOBS)
def test_a_spec_reaches_the_pods_as_it_was_written(document: dict[str, Any]) -> None:
    spec = TrainingJobSpec.model_validate(document["spec"])
    run = RunFile(namespace="a", name="b", uid="c", storage_uri="d", spec=spec)
    assert RunFile.model_validate_json(run.model_dump_json(exclude_none=True)).spec == spec


@TIMES
@given(JOBS)
def test_what_a_user_wrote_is_kept(document: dict[str, Any]) -> None:
    def kept(given: Any, written: Any) -> bool:
        if isinstance(given, dict) and isinstance(written, dict):
            return all(kept(value, written.get(key)) for key, value in given.items())
        return bool(given == written)

    assert kept(document, TrainingJob.model_validate(document).model_dump(mode="json"))


@TIMES
@given(damaged())
def test_a_damaged_job_gives_problems_or_is_valid_and_never_an_exception(document: dict[str, Any]) -> None:
    problems = problems_of(document)
    assert len(problems) <= MOST_PROBLEMS
    assert all(str(problem).isprintable() and len(str(problem)) < 1000 for problem in problems)
    if not problems:
        assert TrainingJob.model_validate({key: value for key, value in document.items() if key != "status"})


@TIMES
@given(damaged())
def test_each_problem_of_a_file_has_a_line_in_it(document: dict[str, Any]) -> None:
    text = json.dumps(document, indent=1)
    problems = check(text.encode()).problems
    assert all(problem.line and 1 <= problem.line <= text.count("\n") + 1 for problem in problems)
    assert bool(problems) >= bool(problems_of(document))


@TIMES
@given(st.dictionaries(st.text(max_size=10) | st.sampled_from(["kind", "spec", "metadata", "apiVersion"]), JSON))
def test_any_mapping_gives_problems(document: dict[str, Any]) -> None:
    assert problems_of(document)


@TIMES
@given(damaged(), st.integers(0, 10_000), st.binary(max_size=3))
def test_any_bytes_are_judged(document: dict[str, Any], place: int, noise: bytes) -> None:
    data = yaml.safe_dump(document).encode()
    place = min(place, len(data))
    report = check(data[:place] + noise + data[place + len(noise) :])
    assert report.problems or report.documents
