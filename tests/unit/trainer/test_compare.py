"""What gates compare with is read before anything is trained, and is the same for all attempts."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from headway_api import wire
from headway_api.evaluation import Gate
from headway_api.job import TrainingJobSpec
from headway_trainer.errors import UserError
from headway_trainer.progress import Nowhere
from headway_trainer.report.gates import of_other_data
from headway_trainer.report.model import DataSummary, Metrics, RunResult
from headway_trainer.reporter import Reporter
from headway_trainer.run import Run, Surroundings
from headway_trainer.stages import STAGES, Compare, Prepare, Results

UID = "0a1b2c3d-0000-0000-0000-000000000000"


def run_of(root: Path, gate: dict[str, Any], *, results: Path | None = None, uid: str = UID) -> tuple[Run, list[Gate]]:
    """A run in a cluster's storage, whose job has one gate, and the gates that compare with another run."""
    gates = {"gates": [{"name": "better", "metric": "accuracy"} | gate, {"name": "floor", "metric": "f1", "min": 0.1}]}
    spec = TrainingJobSpec.model_validate(
        {"data": {"source": {"builtin": {"name": "iris"}}}, "model": {"name": "mlp"}, "training": {}}
        | {"evaluation": gates}
    )
    folder = wire.run_folder(str(root), "team", "new", uid or "local")
    file = wire.RunFile(namespace="team", name="new", uid=uid, storage_uri=folder, spec=spec)
    around = Surroundings(
        head=cast("Any", SimpleNamespace()),
        sink=Nowhere(),
        stop=threading.Event(),
        note=lambda _: None,
        results_uri=str(results) if results else None,
    )
    run = Run(file, around, Reporter(file, around.sink, around.note))
    run.checkpoints.claim()
    return run, Compare().spec(spec) or []


def leave(folder: Path, job: str, accuracy: float | None, **fields: Any) -> None:
    """The result of a finished run."""
    told: dict[str, Any] = {
        "job": job,
        "outcome": "Succeeded",
        "seed": 0,
        "world_size": 1,
        "started": "2026-01-01T00:00:00Z",
        "finished": "2026-01-01T00:00:00Z",
        "duration_seconds": 1.0,
        "metrics": Metrics(test={"accuracy": accuracy, "loss": 0.1}),
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "result.json").write_text(RunResult.model_validate(told | fields).model_dump_json())


def standard(run: Run, gates: list[Gate]) -> float | None:
    return Compare().run(gates, run, Results()).by_gate["better"].value


def test_a_job_is_compared_with_the_newest_finished_run_of_another_that_passed_its_gates(tmp_path: Path) -> None:
    leave(tmp_path / "team/old-11111111", "old", 0.7)
    leave(tmp_path / "team/old-22222222", "old", 0.8, finished="2026-02-01T00:00:00Z")
    leave(tmp_path / "team/old-33333333", "old", 0.9, finished="2026-03-01T00:00:00Z", outcome="Failed")
    leave(tmp_path / "team/old-fashioned-44444444", "old-fashioned", 0.95, finished="2026-04-01T00:00:00Z")
    leave(tmp_path / "other/old-55555555", "old", 0.99, finished="2026-05-01T00:00:00Z")
    assert standard(*run_of(tmp_path, {"against": {"job": "old"}})) == 0.8


def test_a_job_that_names_itself_is_compared_with_the_one_before_of_its_name(tmp_path: Path) -> None:
    leave(tmp_path / "team/new-11111111", "new", 0.7)
    leave(tmp_path / f"team/new-{UID[:8]}", "new", 0.9, uid=UID, finished="2026-02-01T00:00:00Z")
    assert standard(*run_of(tmp_path, {"against": {"job": "new"}})) == 0.7


def test_on_ones_own_machine_a_job_is_a_folder_beside_the_runs_own(tmp_path: Path) -> None:
    leave(tmp_path / "out/old", "old", 0.7)
    run, gates = run_of(tmp_path / "out/new/.headway", {"against": {"job": "old"}}, results=tmp_path / "out", uid="")
    assert standard(run, gates) == 0.7


def test_a_result_may_be_named_by_its_place(tmp_path: Path) -> None:
    leave(tmp_path / "elsewhere", "old", 0.6)
    assert standard(*run_of(tmp_path, {"against": {"uri": str(tmp_path / "elsewhere/result.json")}})) == 0.6


def test_each_attempt_is_judged_by_what_the_first_one_read(tmp_path: Path) -> None:
    leave(tmp_path / "team/old-11111111", "old", 0.7)
    assert standard(*run_of(tmp_path, {"against": {"job": "old"}})) == 0.7
    leave(tmp_path / "team/old-22222222", "old", 0.8, finished="2026-02-01T00:00:00Z")
    assert standard(*run_of(tmp_path, {"against": {"job": "old"}})) == 0.7


@pytest.mark.parametrize(
    ("gate", "words"),
    [
        ({"against": {"job": "nobody"}}, r"better compares with the job nobody, which has no finished model"),
        ({"against": {"job": "old"}, "metric": "f1"}, r"compares f1 with the job old, .* it has accuracy, loss"),
        ({"against": {"job": "empty"}}, r"compares accuracy with the job empty, whose result has no such metric"),
        ({"against": {"job": "old"}, "metric": "validation/f1"}, r"it has none of the validation part"),
        ({"against": {"job": "broken"}}, r"broken-11111111/result.json, which is no result.json of a finished run"),
        ({"against": {"uri": "/nowhere/result.json"}}, r"/nowhere/result.json, where no file is: correct uri"),
    ],
)
def test_what_cannot_be_compared_with_ends_the_run_before_anything_is_trained(
    tmp_path: Path, gate: dict[str, Any], words: str
) -> None:
    leave(tmp_path / "team/old-11111111", "old", 0.7)
    leave(tmp_path / "team/empty-11111111", "empty", None)
    (tmp_path / "team/broken-11111111").mkdir()
    (tmp_path / "team/broken-11111111/result.json").write_text("[]")
    run, gates = run_of(tmp_path, gate)
    with pytest.raises(UserError, match=words):
        standard(run, gates)
    assert isinstance(STAGES[0], Compare)


def test_a_job_whose_gates_compare_with_no_run_reads_none(tmp_path: Path) -> None:
    _, gates = run_of(tmp_path, {"against": {"baseline": True}})
    assert gates == []


def test_a_result_of_other_data_is_said_to_be_one(tmp_path: Path) -> None:
    data = DataSummary(task="classification", rows={"train": 1}, input_shape=[4], content_hash="other", scaling="none")
    leave(tmp_path / "team/old-11111111", "old", 0.7, data=data)
    run, gates = run_of(tmp_path, {"against": {"job": "old"}})
    standards = Compare().run(gates, run, Results())
    (sentence,) = of_other_data(standards, "this")
    assert sentence.startswith("The gate better compares with the job old, which was measured on other data")
    assert of_other_data(standards, "other") == []


def test_a_result_of_another_task_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    other = DataSummary(task="regression", rows={}, input_shape=[4], content_hash="0" * 64, scaling="standard")
    leave(tmp_path / "team/old-11111111", "old", 0.9, data=other)
    run, gates = run_of(tmp_path, {"metric": "loss", "against": {"job": "old"}})
    before = Results()
    before.add(Compare(), Compare().run(gates, run, before))
    assert run.spec.data is not None
    with pytest.raises(UserError, match=r"better compares with the job old, which learns a regression, and this job a"):
        Prepare().run(run.spec.data, run, before)
