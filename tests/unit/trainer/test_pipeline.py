"""The driver's way from its start to training: what is timed, and what is not."""

from __future__ import annotations

import hashlib
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headway_api import wire
from headway_api.data import Data
from headway_api.evaluation import Evaluation
from headway_api.export import Export as ExportSpec
from headway_api.job import Retry, TrainingJobSpec
from headway_api.model import Model
from headway_api.status import CheckpointStatus
from headway_trainer import publish
from headway_trainer.data.info import INFO_FILE, DataInfo
from headway_trainer.errors import GateFailed, StorageError, UserError
from headway_trainer.export.record import Export, ModelInfo, staged
from headway_trainer.outcome import Interrupted, Lost, judge
from headway_trainer.pipeline import Pipeline, compare_code
from headway_trainer.progress import Nowhere
from headway_trainer.ray.runtime import Head, lent_cores, local_cores
from headway_trainer.report.model import RunResult
from headway_trainer.run import Run, Surroundings
from headway_trainer.stages import Prepare, Results
from headway_trainer.storage import FileDigest, Store
from headway_trainer.training.checkpoints.store import MODEL_FILE, Checkpoints, Manifest, now
from headway_trainer.training.link import TrainEnd

SPEC = TrainingJobSpec.model_validate(
    {
        "data": {"source": {"builtin": {"name": "digits"}}},
        "model": {"name": "mlp"},
        "training": {"epochs": 1},
        "workers": {"replicas": 2},
    }
)


PREPARE = "headway_trainer.stages.prepare.prepare"


class Pods(Head):
    """A head without Ray: workers come as a test says."""

    def __init__(self, temp_dir: Path, places: list[int]) -> None:
        super().__init__(temp_dir=str(temp_dir))
        self.looks = 0
        self._places = places

    def _connect(self) -> None:
        """There is nothing to connect to."""

    def wait_for_processes(self, count: int, deadline: float) -> int:  # noqa: ARG002 - as Head's
        self.looks += 1
        return self._places[min(self.looks, len(self._places)) - 1]


class World:
    """A pipeline, whose clock a test turns."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, places: list[int]) -> None:
        self.head, self.stop, self.ready = Pods(tmp_path, places), threading.Event(), threading.Event()
        file = wire.RunFile(namespace="n", name="x", uid="u", storage_uri=str(tmp_path / "run"), spec=SPEC)
        self.said: list[wire.Outcome] = []
        around = Surroundings(
            head=self.head,
            sink=Nowhere(),
            stop=self.stop,
            note=lambda _: None,
            ready=self.ready.set,
            succeeded=self.said.append,
        )
        self.pipeline = Pipeline(file, around)
        self.store = Store.open(file.storage_uri)
        self.now = time.monotonic()
        monkeypatch.setattr("headway_trainer.run.time.monotonic", self.clock)

    def change(self, **fields: Any) -> None:
        """Give the run another spec, or other fields."""
        spec = self.pipeline.file.spec.model_copy(update=fields.pop("spec", {}))
        self.pipeline.file = self.pipeline.file.model_copy(update={"spec": spec, **fields})

    def run(self) -> Run:
        """The run as its stages see it."""
        return Run(self.pipeline.file, self.pipeline.around, self.pipeline.reporter)

    def prepare(self, attempt: int = 1) -> DataInfo:
        """Prepare the data as the pipeline does."""
        run = self.run()
        run.checkpoints = Checkpoints(run.store, attempt)
        assert run.spec.data is not None
        return Prepare().run(run.spec.data, run, Results())

    def execute(self) -> tuple[RunResult, wire.Outcome]:
        try:
            return self.pipeline.execute()
        finally:
            self.head._stopping.set()

    def clock(self) -> float:
        self.now += 0.5
        return self.now


def test_the_head_is_ready_while_the_data_is_still_prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, monkeypatch, [2])

    class PreparedError(Exception):
        pass

    def prepare(*_: object, **__: object) -> None:
        assert world.ready.wait(30)
        raise PreparedError

    monkeypatch.setattr(PREPARE, prepare)
    with pytest.raises(PreparedError):
        world.execute()


def test_a_head_that_does_not_come_up_is_never_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, monkeypatch, [2])

    def refused() -> None:
        raise ConnectionError("no Ray")

    monkeypatch.setattr(world.head, "_connect", refused)
    world.head.start(world.ready.set)
    with pytest.raises(ConnectionError, match="no Ray"):
        world.head.wait()
    assert not world.ready.is_set()


def test_workers_that_are_there_are_seen_however_long_preparing_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, monkeypatch, [1, 2])
    world.now += SPEC.scheduling.startup_deadline_seconds + 1
    world.run()._await_workers()
    assert world.head.looks == 2


def test_workers_that_do_not_come_are_waited_for_until_the_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, monkeypatch, [1])
    began = world.now
    with pytest.raises(Lost, match=r"1 of 2 workers came within 900 seconds"):
        world.run()._await_workers()
    assert 900 <= world.now - began <= 903


def test_a_stop_ends_the_wait_for_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, monkeypatch, [1])
    world.stop.set()
    with pytest.raises(Interrupted, match="stopped before training began"):
        world.run()._await_workers()


def _trained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training has left the one checkpoint that is published."""

    def train(run: Run, _: object) -> TrainEnd:
        checkpoints = run.checkpoints
        (part,) = checkpoints.write_parts(7, {MODEL_FILE: lambda: [b"weights"]})
        manifest = Manifest(step=7, epoch=1, batch=0, attempt=run.file.attempt, world_size=2, time=now(), files=[part])
        status = checkpoints.commit(manifest)
        return TrainEnd(finished=True, step=7, epochs_run=1, chosen=manifest.name, checkpoint=status)

    monkeypatch.setattr(Run, "on_workers", train)


def _exporting(monkeypatch: pytest.MonkeyPatch, export: Export | None, content: bytes = b"onnx") -> None:
    """Training has also left an exported model where the export puts it."""
    _trained(monkeypatch)
    train: Any = Run.on_workers

    def with_export(run: Run, function: object) -> TrainEnd:
        run.store.write(staged(1), content)
        metrics: dict[str, dict[str, Any]] = {"test": {"accuracy": 0.9}}
        end: TrainEnd = train(run, function)
        return end.model_copy(update={"export": export, "metrics": metrics})

    monkeypatch.setattr(Run, "on_workers", with_export)


ONNX = Export(file=FileDigest(name=staged(1), sha256=hashlib.sha256(b"onnx").hexdigest(), size_bytes=4))


def test_the_folder_of_a_finished_model_has_all_that_serving_it_takes_with_digests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, monkeypatch, [2])
    _exporting(monkeypatch, ONNX)
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
    _exporting(monkeypatch, export)
    result, _ = world.execute()
    told = ModelInfo.model_validate_json(world.store.read("model.json"))
    assert told.files.keys() == left
    assert world.store.exists(MODEL_FILE) == ("weights" in left)
    assert ("Use the weights" in world.store.read("report.md").decode()) == ("weights" in left)
    assert (result.export is None) == (export is None)


def test_an_exported_model_that_is_not_what_was_checked_is_never_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, monkeypatch, [2])
    _exporting(monkeypatch, ONNX, b"another")
    with pytest.raises(StorageError, match="is not what was written there"):
        world.execute()
    assert not world.store.exists(publish.RESULT_FILE)


def test_a_model_that_cannot_be_exported_is_a_success_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, monkeypatch, [2])
    _exporting(monkeypatch, Export(problem="no model.onnx was written, as it decides by values"))
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
    gates = [floor, {"name": "low", "metric": "accuracy", "min": 0}]
    world.change(spec={"evaluation": Evaluation.model_validate({"gates": gates})})
    _exporting(monkeypatch, ONNX)
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
    _trained(monkeypatch)
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
    _trained(monkeypatch)

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


def test_a_resume_tells_that_the_source_has_changed_and_goes_on_with_the_rows_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, monkeypatch, [2])
    source = tmp_path / "rows.csv"
    source.write_text("a,label\n" + "".join(f"{number}.5,{number % 2}\n" for number in range(100)))
    data = Data.model_validate({"source": {"uri": str(source)}, "target": "label"})
    world.change(spec={"data": data})
    before = world.prepare()
    assert world.pipeline.reporter.told.warnings == []
    source.write_text(source.read_text() + "1,1\n")
    assert world.prepare() == before
    assert world.pipeline.reporter.told.warnings == [
        f"The source has changed since the rows of this run were prepared ({source}: 698 bytes then, 702 now): it goes "
        "on with those rows; a job of another name takes the new ones."
    ]


def test_a_resume_tells_that_the_code_has_changed_once_there_is_something_to_go_on_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, monkeypatch, [2])
    (tmp_path / "code").mkdir()
    module = tmp_path / "code/net.py"
    pipeline = world.pipeline
    world.change(spec={"model": Model(entrypoint="net:build")}, uid="")
    pipeline.around = replace(pipeline.around, code_dir=str(tmp_path / "code"))
    for text in ("first", "second"):
        module.write_text(text)
        compare_code(world.run())
    assert pipeline.reporter.told.warnings == [], "nothing was trained yet"
    world.store.write("checkpoints/step-0000000007-attempt-1/model.safetensors", b"weights")
    compare_code(world.run())
    assert pipeline.reporter.told.warnings == [], "nothing has changed"
    module.write_text("third")
    compare_code(world.run())
    assert pipeline.reporter.told.warnings == [
        "The code has changed since this run's last attempt (net.py): it goes on from the newest checkpoint with the "
        "code of now; headway run --fresh begins anew."
    ]


@pytest.mark.parametrize(("uid", "retries", "stays"), [("u", 0, False), ("u", 1, True), ("", 0, True)])
def test_after_an_error_of_the_user_no_copy_of_their_rows_stays_where_no_attempt_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uid: str, retries: int, *, stays: bool
) -> None:
    world = World(tmp_path, monkeypatch, [2])
    world.change(spec={"retry": Retry.model_validate({"userError": retries})}, uid=uid)

    def train(*_: object) -> TrainEnd:
        assert world.store.exists(INFO_FILE)
        raise UserError("train.py:3 raised KeyError")

    monkeypatch.setattr(Run, "on_workers", train)
    with pytest.raises(UserError):
        world.execute()
    assert world.store.exists(INFO_FILE) == world.store.exists("data") == stays


def test_a_driver_whose_place_another_has_taken_publishes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, monkeypatch, [2])
    _trained(monkeypatch)
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


def test_an_attempt_claims_the_run_before_it_prepares_and_a_replaced_one_writes_no_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, monkeypatch, [2])
    old = Checkpoints(world.store, 0)

    def prepare(*_: object, **__: object) -> None:
        with pytest.raises(StorageError, match="replaced by attempt 1"):
            old.refuse_if_fenced()
        raise Interrupted("far enough")

    with monkeypatch.context() as patch:
        patch.setattr(PREPARE, prepare)
        with pytest.raises(Interrupted):
            world.execute()
    with pytest.raises(StorageError, match="replaced by attempt 1"):
        world.prepare(attempt=0)
    assert world.store.list("data") == []


def test_a_limit_on_cpu_time_bounds_the_cores_of_this_machine(tmp_path: Path) -> None:
    limit = tmp_path / "cpu.max"
    limit.write_text("max 100000\n")
    every = local_cores(limit)
    assert every == local_cores(tmp_path / "nothing")
    limit.write_text("50000 100000\n")
    assert local_cores(limit) == 1
    limit.write_text(f"{100 * 100000} 100000\n")
    assert local_cores(limit) == every


@pytest.mark.parametrize(("given", "cores"), [("3", 6), ("", None), ("0", None), ("4,2", None)])
def test_whoever_says_how_many_threads_a_process_has_gets_so_many(
    monkeypatch: pytest.MonkeyPatch, given: str, cores: int | None
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert lent_cores(2) == (local_cores() if cores is None else cores)


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
    _exporting(monkeypatch, ONNX)
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
    _exporting(monkeypatch, ONNX)
    _die_publishing(world, monkeypatch, "publish_model")
    world.store.write(damaged, b"cut")
    again, train = _next_attempt(tmp_path, monkeypatch), Run.on_workers
    trained: list[Run] = []

    def counted(run: Run, function: Any) -> TrainEnd:
        trained.append(run)
        return train(run, function)

    monkeypatch.setattr(Run, "on_workers", counted)
    assert again.execute()[1].outcome == "Succeeded"
    assert len(trained) == 1


def test_another_spec_takes_no_result_of_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, monkeypatch, [2])
    _trained(monkeypatch)
    _die_publishing(world, monkeypatch, "publish_model")
    again = _next_attempt(tmp_path, monkeypatch)
    again.change(spec={"seed": 1})
    monkeypatch.setattr(Run, "on_workers", Dies(Run.on_workers))
    with pytest.raises(KeyboardInterrupt):
        again.execute()
