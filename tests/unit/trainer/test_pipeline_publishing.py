"""What a run publishes at its end, and what is left of one that ends while it publishes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headway_api import wire
from headway_api.evaluation import Evaluation
from headway_api.export import Export as ExportSpec
from headway_api.status import CheckpointStatus
from headway_api.training_rows import Reference, Values
from headway_trainer import publish
from headway_trainer.data.info import INFO_FILE
from headway_trainer.errors import GateFailed, StorageError
from headway_trainer.export.record import Export, ModelInfo, staged
from headway_trainer.outcome import judge
from headway_trainer.report.model import RunResult
from headway_trainer.run import Run
from headway_trainer.storage import Store
from headway_trainer.training.checkpoints.store import MODEL_FILE, Checkpoints, now
from headway_trainer.training.link import TrainEnd
from unit.trainer.pipeline_world import ONNX, World, exporting, trained


def test_the_folder_of_a_finished_model_has_all_that_serving_it_takes_with_digests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, monkeypatch, [2])
    exporting(monkeypatch, ONNX)
    result, _ = world.execute()
    told = ModelInfo.model_validate_json(world.store.read("model.json"))
    assert {name: file.name for name, file in told.files.items()} == {
        "weights": "model.safetensors",
        "onnx": "model.onnx",
        "reference": "reference.json",
    }
    assert all(world.store.sha256(file.name) == file.sha256 for file in told.files.values())
    assert all(world.store.sha256(one.path) == one.sha256 for one in result.artifacts)
    assert {one.name for one in result.artifacts} >= {"model", "onnx", "reference", "model-info", "report"}
    assert told.provenance.uid == "u"
    assert result.data is not None
    assert told.provenance.data_hash == result.data.content_hash
    assert {"torch", "onnx", "numpy", "python", "headway"} <= told.provenance.packages.keys()
    assert not world.store.exists("data"), "nothing of the rows stays"


@pytest.mark.parametrize("asked", [True, False], ids=["a confusion matrix", "none"])
def test_the_reference_has_what_the_model_predicts_where_a_confusion_matrix_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: bool
) -> None:
    world = World(tmp_path, monkeypatch, [2])
    exporting(monkeypatch, ONNX)
    train: Any = Run.on_workers
    # Ten digits, of which all but one are predicted five times each.
    matrix = [[5 * (digit == said) for said in range(9)] + [0] for digit in range(10)]

    def with_matrix(run: Run, function: object) -> TrainEnd:
        end: TrainEnd = train(run, function)
        return end.model_copy(update={"confusion_matrix": matrix if asked else None})

    monkeypatch.setattr(Run, "on_workers", with_matrix)
    world.execute()
    told = Reference.model_validate_json(world.store.read("reference.json"))
    said = {str(digit): 5 for digit in range(9)} | {"9": 0}
    expected = Values(name="prediction", rows=45, missing=0, counts=said, others=0)
    assert told.predictions == ([expected] if asked else [])


@pytest.mark.parametrize(
    ("formats", "export", "left"),
    [
        (["safetensors", "onnx"], ONNX, {"weights", "onnx", "reference"}),
        (["onnx"], ONNX, {"onnx", "reference"}),
        (["safetensors"], None, {"weights", "reference"}),
        (["onnx"], Export(problem="no model.onnx was written"), {"weights", "reference"}),
    ],
    ids=["both", "onnx alone", "the weights alone", "the weights, as there is no onnx"],
)
def test_the_model_is_left_in_the_forms_that_are_asked_for_and_never_in_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, formats: list[str], export: Export | None, left: set[str]
) -> None:
    world = World(tmp_path, monkeypatch, [2])
    world.change(spec={"export": ExportSpec.model_validate({"formats": formats})})
    exporting(monkeypatch, export)
    result, word = world.execute()
    told = ModelInfo.model_validate_json(world.store.read("model.json"))
    assert told.files.keys() == left
    assert word.bundle == (f"sha256:{world.store.sha256('model.json')}" if "onnx" in left else None)
    assert world.store.exists(MODEL_FILE) == ("weights" in left)
    assert ("Use the weights" in world.store.read("report.md").decode()) == ("weights" in left)
    assert (result.export is None) == (export is None)


def test_an_exported_model_that_is_not_what_was_checked_is_never_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, monkeypatch, [2])
    exporting(monkeypatch, ONNX, b"another")
    with pytest.raises(StorageError, match="is not what was written there"):
        world.execute()
    assert not world.store.exists(publish.RESULT_FILE)


def test_a_model_that_cannot_be_exported_is_a_success_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, monkeypatch, [2])
    exporting(monkeypatch, Export(problem="no model.onnx was written, as it decides by values"))
    result, word = world.execute()
    warning = "No model.onnx was written, as it decides by values."
    assert (word.outcome, word.warnings) == ("Succeeded", [warning])
    assert not world.store.exists("model.onnx")
    assert warning in world.store.read("report.md").decode()
    assert result.export is not None


def test_a_gate_that_is_not_passed_fails_the_run_and_keeps_model_and_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, monkeypatch, [2])
    floor = {"name": "floor", "metric": "accuracy", "min": 0.95}
    gates = [floor, {"name": "low", "metric": "accuracy", "min": 0.1}]
    world.change(spec={"evaluation": Evaluation.model_validate({"gates": gates})})
    exporting(monkeypatch, ONNX)
    with pytest.raises(GateFailed) as failed:
        world.execute()
    verdict = judge(failed.value)
    word = world.pipeline.reporter.failed(verdict)
    assert (word.outcome, word.cause, verdict.exit_code) == ("Failed", "GateFailed", wire.EXIT_GATE_FAILED)
    assert "floor (test/accuracy is 0.9, at least 0.95 is asked for); it is kept" in word.message
    assert world.said == [], "nobody was told of a success"
    assert word.result is not None
    assert {"model", "report", "result"} <= {one.name for one in word.result.artifacts}
    assert world.store.read("model.onnx") == b"onnx"
    result = RunResult.model_validate_json(world.store.read(publish.RESULT_FILE))
    assert (result.outcome, [one.passed for one in result.gates]) == ("Failed", [False, True])
    assert "| floor | test/accuracy | 0.9 | 0.95 | - | - | **not passed** |" in world.store.read("report.md").decode()
    assert not world.store.exists("data")


def test_what_an_unfinished_run_needs_is_there_until_the_last_word_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, monkeypatch, [2])
    trained(monkeypatch)
    seen: list[object] = []

    def tidy(store: Store) -> None:
        seen.extend([len(world.said), store.exists(INFO_FILE)])

    monkeypatch.setattr(publish, "tidy", tidy)
    world.execute()
    assert seen == [1, True]


def test_a_storage_that_fails_once_all_is_published_costs_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, monkeypatch, [2])
    trained(monkeypatch)

    def refused(_: Store) -> None:
        raise StorageError("could not delete: it is read-only now")

    monkeypatch.setattr(publish, "tidy", refused)
    result, word = world.execute()
    assert (result.outcome, word.outcome) == ("Succeeded", "Succeeded")
    assert world.said == [word]
    assert world.store.read(MODEL_FILE) == b"weights"


def test_data_that_is_half_cleaned_up_is_prepared_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, monkeypatch, [2])
    before = world.prepare()
    delete, deleted = Store.delete, list[str]()

    def killed(store: Store, path: str = "") -> None:
        if deleted:
            raise KeyboardInterrupt
        deleted.append(path)
        delete(store, path)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "delete", killed)
        with pytest.raises(KeyboardInterrupt):
            publish.tidy(world.store)
    assert not world.store.exists(INFO_FILE)
    assert world.prepare() == before


def test_a_driver_whose_place_another_has_taken_publishes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, monkeypatch, [2])
    trained(monkeypatch)
    train: Any = Run.on_workers

    def slow(run: Run, function: object) -> TrainEnd:
        end: TrainEnd = train(run, function)
        Checkpoints(run.store, 2).claim()
        run.store.write(MODEL_FILE, b"the successor's")
        return end

    monkeypatch.setattr(Run, "on_workers", slow)
    with pytest.raises(StorageError, match="attempt 1 of this run was replaced by attempt 2"):
        world.execute()
    assert world.said == []
    assert world.store.read(MODEL_FILE) == b"the successor's"
    assert not world.store.exists(publish.RESULT_FILE)
    assert world.store.exists(INFO_FILE)


@pytest.mark.parametrize("checkpoint", [True, False])
def test_a_function_of_ones_own_that_saves_no_model_is_told_of_in_the_outcome_and_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, checkpoint: bool
) -> None:
    world = World(tmp_path, monkeypatch, [2])
    uri = f"{world.store.uri}/ray/run/checkpoint_39"
    newest = CheckpointStatus(uri=uri, step=40, time=now()) if checkpoint else None
    end = TrainEnd(finished=True, reports=40, own_steps=None, checkpoint=newest, metrics={"reported": {"loss": 0.5}})
    monkeypatch.setattr(Run, "on_workers", lambda *_: end)
    result, word = world.execute()
    told = "No model was saved, as the training function has not called headway_trainer.save_model; "
    told += f"its newest checkpoint is {uri}." if checkpoint else "it reported no checkpoint either."
    assert (word.warnings, result.message) == ([told], told)
    assert (result.training.epochs_run, result.training.steps, result.training.reports) == (None, None, 40)
    assert [artifact.name for artifact in result.artifacts] == ["report"]


class Dies:
    """Stands in for a function, and ends the driver at its first call, as by SIGKILL."""

    def __init__(self, function: Any) -> None:
        self.calls, self._function = 0, function

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        self.calls += 1
        if self.calls == 1:
            raise KeyboardInterrupt
        return self._function(*arguments, **keywords)


def _die_publishing(world: World, monkeypatch: pytest.MonkeyPatch, function: str) -> None:
    """Execute until the driver dies where it first calls a function of `publish`."""
    with monkeypatch.context() as patch:
        patch.setattr(publish, function, Dies(getattr(publish, function)))
        with pytest.raises(KeyboardInterrupt):
            world.execute()


def _next_attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    again = World(tmp_path, monkeypatch, [2])
    again.change(attempt=2)
    return again


@pytest.mark.parametrize("function", ["publish_model", "publish_result", "to_status"])
def test_a_driver_that_dies_while_it_publishes_trains_evaluates_and_exports_nothing_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    world = World(tmp_path, monkeypatch, [2])
    exporting(monkeypatch, ONNX)
    _die_publishing(world, monkeypatch, function)
    again = _next_attempt(tmp_path, monkeypatch)
    monkeypatch.setattr(Run, "on_workers", lambda *_: pytest.fail("nothing was left to train"))
    result, word = again.execute()
    assert (again.head.looks, result.training.steps, result.metrics.test) == (0, 7, {"accuracy": 0.9})
    assert (word.outcome, word.resumed_from_step, word.steps_lost, word.progress.percent) == ("Succeeded", 7, 0, 100)
    assert (world.store.read(MODEL_FILE), world.store.read("model.onnx")) == (b"weights", b"onnx")
    assert not world.store.exists("stages"), "only an unfinished run needs it"


@pytest.mark.parametrize("damaged", [staged(1), f"checkpoints/step-0000000007-attempt-1/{MODEL_FILE}"])
def test_what_training_has_left_is_taken_only_where_it_is_still_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damaged: str
) -> None:
    world = World(tmp_path, monkeypatch, [2])
    exporting(monkeypatch, ONNX)
    _die_publishing(world, monkeypatch, "publish_model")
    world.store.write(damaged, b"cut")
    again, train = _next_attempt(tmp_path, monkeypatch), Run.on_workers
    runs: list[Run] = []

    def counted(run: Run, function: Any) -> Any:
        runs.append(run)
        return train(run, function)

    monkeypatch.setattr(Run, "on_workers", counted)
    assert again.execute()[1].outcome == "Succeeded"
    assert len(runs) == 1


def test_another_spec_takes_no_result_of_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, monkeypatch, [2])
    trained(monkeypatch)
    _die_publishing(world, monkeypatch, "publish_model")
    again = _next_attempt(tmp_path, monkeypatch)
    again.change(spec={"seed": 1})
    monkeypatch.setattr(Run, "on_workers", Dies(Run.on_workers))
    with pytest.raises(KeyboardInterrupt):
        again.execute()
