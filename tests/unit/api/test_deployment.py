"""ModelDeployments, judged as documents; tests/cluster has a real API server judge the same ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from deployment_documents import DEPLOYMENT, GOOD, deployment
from deployment_mistakes import MISTAKES, Mistake
from headway_api.deployment import ModelDeployment
from headway_api.deployment_status import MOST_VERSIONS, ModelDeploymentStatus, summarise
from headway_api.served import MOST_MASKED
from headway_api.validate import check, problems_of
from headway_cli.main import main
from headway_operator.engine.packed import LARGEST, pack

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_a_mistake_is_told_in_one_sentence_that_names_field_and_mend(mistake: Mistake) -> None:
    told = {problem.field: problem.message for problem in problems_of(mistake.document)}
    assert mistake.says in told[mistake.field], told
    assert len(told) == 1, told


@pytest.mark.parametrize("changes", GOOD, ids=str)
def test_a_document_without_a_mistake_is_valid(changes: dict[str, Any]) -> None:
    assert problems_of(deployment(changes)) == []


@pytest.mark.parametrize("path", sorted((EXAMPLES / "serving").glob("*.yaml")), ids=lambda path: path.name)
def test_each_example_is_valid(path: Path) -> None:
    report = check(path.read_bytes())
    assert report.problems == []
    assert [document.value["kind"] for document in report.documents] == ["ModelDeployment"]


def test_validate_tells_of_both_kinds_in_one_file(tmp_path: Path) -> None:
    file = tmp_path / "both.yaml"
    both = [(EXAMPLES / "digits.yaml").read_text(), yaml.safe_dump(DEPLOYMENT)]
    file.write_text("---\n".join(both))
    said = CliRunner().invoke(main, ["validate", str(file)])
    assert said.exit_code == 0, said.output
    assert "TrainingJob digits is valid" in said.output
    assert "ModelDeployment digits is valid" in said.output


def test_headway_run_refuses_a_deployment_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "md.yaml"
    file.write_text(yaml.safe_dump(DEPLOYMENT))
    said = CliRunner().invoke(main, ["run", str(file)])
    assert said.exit_code == 1
    assert "holds a ModelDeployment: headway run takes a TrainingJob" in said.output


def test_what_is_left_out_is_filled_in() -> None:
    least = {**DEPLOYMENT, "spec": {"versions": {"source": DEPLOYMENT["spec"]["versions"]["source"]}}}
    spec = ModelDeployment.model_validate(least).spec
    assert (spec.replicas, spec.suspend, spec.versions.keep) == (1, False, 3)
    assert (spec.rollout.blue_green, spec.rollout.split, spec.rollout.bake_seconds) == (None, None, 300)
    assert (spec.server.image, spec.server.resources.memory) == (None, "512Mi")


def _version(number: int, **fields: Any) -> dict[str, Any]:
    spec = DEPLOYMENT["spec"]
    entry = {"name": f"digits-{number}", "number": number, "state": "Retired", "since": "2026-01-01T00:00:00Z"}
    return {**entry, "source": spec["versions"]["source"], "server": spec["server"], "image": "i", **fields}


def test_the_status_is_bounded_and_keeps_the_newest_versions() -> None:
    status = ModelDeploymentStatus.model_validate(
        {"versions": [_version(number) for number in range(1, 40)], "selector": "x" * 5000, "replicas": 10**12}
    )
    assert [version.number for version in status.versions] == list(range(40 - MOST_VERSIONS, 40))
    assert (len(status.selector), status.replicas) == (512, 10**9)


def test_the_longest_records_of_all_versions_leave_the_status_small_enough_to_be_kept() -> None:
    mask = [f"{number:02}" + "\N{GRINNING FACE}" * 62 for number in range(MOST_MASKED)]
    server = {**DEPLOYMENT["spec"]["server"], "records": {"mask": mask}}
    versions = [_version(number, server=server) for number in range(1, MOST_VERSIONS + 1)]
    status = ModelDeploymentStatus.model_validate({"versions": versions})
    packed = pack(status.model_dump(mode="json", by_alias=True, exclude_none=True))
    assert not packed.too_large
    assert packed.size < 0.7 * LARGEST


def test_the_columns_tell_of_champion_and_candidate() -> None:
    versions = [
        _version(1, state="Champion", weight=100, replicas={"desired": 3, "ready": 2}),
        _version(2, state="Candidate"),
    ]
    status = ModelDeploymentStatus.model_validate(
        {"champion": "digits-1", "candidate": "digits-2", "versions": versions}
    )
    summary = summarise(status)
    assert (summary.ready, summary.weight, summary.message) == ("2/3", "0%", None)
    assert summarise(ModelDeploymentStatus()).ready is None


def test_a_status_of_a_newer_operator_is_read_as_far_as_it_is_known() -> None:
    status = ModelDeploymentStatus.model_validate(
        {
            "phase": "Watching",
            "audit": {"score": 2},
            "versions": [_version(1, state="Shadow")],
            "conditions": [{"type": "Audited", "status": "True", "reason": "X", "lastTransitionTime": "now"}],
        }
    )
    assert (status.phase, status.versions[0].state, status.conditions) == ("Progressing", "Retired", [])
