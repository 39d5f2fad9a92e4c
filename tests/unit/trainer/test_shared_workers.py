"""`tuning.trialsPerWorker`: what each of several trials has of the worker that they share."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from ray.train import RunConfig, ScalingConfig

from headway_api.job import TrainingJobSpec
from headway_api.pods import Workers
from headway_api.training import Training
from headway_trainer.errors import UserError
from headway_trainer.process_resources import (
    ALONE,
    UNITS,
    Sharing,
    at_once,
    cores_short_of_trials,
    gpus_for_each,
    memory_part,
    part,
    shared,
    threads,
)
from headway_trainer.ray import controller, torch_backend
from headway_trainer.ray.pool import KeptGroup
from headway_trainer.ray.torch_backend import TorchGroup
from headway_trainer.report.model import KeptModel
from headway_trainer.run import Run
from headway_trainer.side_by_side import side_by_side
from headway_trainer.training.exceptions import raise_as_users
from headway_trainer.training.link import TrainEnd
from made_runs import Heard, made_run, tuned

METRIC = "validation/accuracy"
GIB = 2**30


def workers(replicas: int = 1, processes: int | None = None, **resources: Any) -> Workers:
    return Workers.model_validate({"replicas": replicas, "processes": processes, "resources": resources})


@pytest.mark.parametrize(
    ("whole", "trials", "has"),
    [
        (workers(3, cpu="4", memory="8Gi"), 4, (1, 1, "1000m", 2 * GIB, 0)),
        (workers(cpu="500m", memory="1Gi"), 16, (1, 1, "31m", GIB // 16, 0)),
        (workers(gpu=1, cpu="8"), 4, (1, 1, "2000m", GIB // 2, 1)),
        (workers(gpu=4, cpu="8"), 4, (1, 1, "2000m", GIB // 2, 1)),
        (workers(gpu=8, cpu="8"), 2, (1, 4, "4000m", GIB, 4)),
        (workers(gpu=2, cpu="8"), 8, (1, 1, "1000m", GIB // 4, 1)),
        (workers(gpu=4, processes=1), 2, (1, 1, "500m", GIB, 2)),
        (workers(processes=4, cpu="4"), 2, (1, 2, "2000m", GIB, 0)),
        (workers(2, processes=4), 1, (1, 4, "1", 2 * GIB, 0)),
    ],
)
def test_a_trial_has_its_part_of_the_worker_as_if_it_were_a_pod(
    whole: Workers, trials: int, has: tuple[int, int, str, int, int]
) -> None:
    own = whole.shared_by(trials)
    memory = 2 * GIB if own.resources.memory == "2Gi" else int(own.resources.memory)
    assert (own.replicas, own.processes_each, own.resources.cpu, memory, own.resources.gpu) == has
    Workers.model_validate(own.model_dump(by_alias=True, exclude_none=True))


@pytest.mark.parametrize(
    ("whole", "trials", "gpus", "has"),
    [
        (workers(), 4, 0, (0, Sharing(4, 1))),
        (workers(gpu=1), 4, 1, (1, Sharing(4, 4))),
        (workers(gpu=4), 4, 4, (1, Sharing(1, 1))),
        (workers(gpu=4), 2, 4, (2, Sharing(1, 1))),
        (workers(gpu=4), 8, 4, (1, Sharing(2, 2))),
        (workers(gpu=4, processes=1), 2, 4, (2, Sharing(2, 1))),
        (workers(), 4, 3, (1, Sharing(4, 2))),
        (workers(gpu=4), 4, 2, (1, Sharing(1, 2))),
    ],
    ids=[
        "no GPU",
        "one for four",
        "one each",
        "two each",
        "half of one each",
        "several a process",
        "a machine's own, whose number does not divide",
        "a machine with fewer than were asked for",
    ],
)
def test_gpus_and_places_are_whole_or_in_equal_parts(
    whole: Workers, trials: int, gpus: int, has: tuple[int, Sharing]
) -> None:
    assert shared(whole, trials, gpus) == has


@given(gpu=st.integers(0, 16), trials=st.integers(2, 16), cpu=st.integers(1, 64), data=st.data())
def test_what_trials_have_together_is_never_more_than_the_worker_has(
    gpu: int, trials: int, cpu: int, data: st.DataObject
) -> None:
    processes = data.draw(st.sampled_from([None, *(count for count in range(1, 17) if gpu % count == 0)]))
    whole = workers(processes=processes, gpu=gpu, cpu=str(cpu))
    for many in (whole.processes_each, *([gpu] if gpu else [])):
        assume(many % trials == 0 or trials % many == 0)  # others are told of as a mistake
    own, (gpus, sharing) = whole.shared_by(trials), shared(whole, trials, gpu)
    taken = [round(part(sharers) * UNITS) for sharers in sharing]
    assert trials * own.processes_each * taken[0] <= whole.processes_each * UNITS
    each = gpus_for_each(own, gpus)
    assert trials * own.processes_each * each * taken[1] <= gpu * UNITS
    assert (each > 0) == (gpu > 0), "what was asked for is used"
    assert threads(own) * own.processes_each * trials <= max(cpu, own.processes_each * trials)
    assert min(own.processes_each, each) == 1 or not sharing.gpus > 1, "a part of a GPU is for one process"


@pytest.mark.parametrize("sharers", range(1, 17))
def test_parts_of_a_resource_and_of_a_gpus_memory_are_never_more_than_the_whole(sharers: int) -> None:
    assert round(part(sharers) * UNITS) * sharers <= UNITS
    assert part(sharers) * sharers > 0.99
    for total in (4 * GIB, 16 * GIB, 141 * GIB):
        assert 0 < memory_part(total, sharers) * sharers <= 1
    assert memory_part(16 * GIB, 1) == 1.0, "one alone takes what it likes"
    if sharers > 1:
        rest = 141 * GIB * (1 - sharers * memory_part(141 * GIB, sharers))
        assert rest == pytest.approx(sharers * GIB / 2), "what CUDA itself takes of each"


@pytest.mark.parametrize(
    ("cpu", "trials", "cores", "said"),
    [
        ("2", 2, 0, None),
        ("300m", 1, 0, None),
        ("2", 4, 8, None),
        ("2", 4, 0, "The 4 trials of a worker pod share the 2 cores that it asks for"),
    ],
    ids=["enough", "one trial", "this machine's", "less than a core each"],
)
def test_trials_with_less_than_a_core_each_are_told_of(cpu: str, trials: int, cores: int, said: str | None) -> None:
    told = cores_short_of_trials(workers(cpu=cpu), trials, cores)
    assert (told is None) == (said is None)
    assert said is None or said in (told or "")
    assert said is None or "lower tuning.trialsPerWorker" in (told or "")


@pytest.mark.parametrize(
    ("of_workers", "trials", "count"),
    [({}, 1, 1), ({}, 4, 4), ({"processes": 4}, 2, 4), ({"processes": 2}, 8, 8), ({"resources": {"gpu": 8}}, 1, 8)],
)
def test_a_worker_keeps_as_many_processes_ready_as_its_trials_take(
    of_workers: dict[str, Any], trials: int, count: int
) -> None:
    assert at_once(_spec(trials, of_workers)) == count


def _spec(trials: int, of_workers: dict[str, Any]) -> TrainingJobSpec:
    tuning = {"parameters": {"training.optimizer.lr": {"uniform": {"min": 0.1, "max": 1}}}, "trialsPerWorker": trials}
    return TrainingJobSpec.model_validate(
        {
            "data": {"source": {"builtin": {"name": "iris"}}},
            "model": {"name": "mlp"},
            "training": {},
            "tuning": tuning,
            "workers": of_workers,
        }
    )


def test_a_trials_group_takes_parts_of_a_place_and_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[ScalingConfig] = []
    shapes: list[Any] = []

    class Recorder:
        workers: Any = None

        def __init__(self, _: object, *, scaling_config: ScalingConfig, **__: object) -> None:
            asked.append(scaling_config)

        def fit(self) -> SimpleNamespace:
            shapes.append(self.workers.shape)
            return SimpleNamespace(return_value=None)

    monkeypatch.setattr(controller, "_Trainer", Recorder)
    nobody: Any = SimpleNamespace()
    for gpus, sharing in ((1, Sharing(4, 4)), (2, Sharing(2, 1)), (0, Sharing(3, 1)), (1, ALONE)):
        controller.fit(
            lambda _: None,
            {},
            pods=1,
            processes=1,
            group=TorchGroup(gpus=gpus),
            sharing=sharing,
            run_config=RunConfig(name="run", storage_path="x"),
            policy=nobody,
            live=nobody,
            reports=nobody,
        )
    assert [one.resources_per_worker for one in asked] == [
        {"headway_worker": 0.25, "GPU": 0.25},
        {"headway_worker": 0.5, "GPU": 2.0},
        {"headway_worker": 0.3333},
        {"headway_worker": 1.0, "GPU": 1.0},
    ]
    assert len(set(shapes)) == 4, "none takes the processes of another"


@pytest.mark.parametrize(
    ("sharers", "limited"), [(1, []), (4, [memory_part(80 * GIB, 4)])], ids=["a GPU of its own", "a quarter of one"]
)
def test_a_process_takes_no_more_of_a_shared_gpus_memory_than_its_part(
    monkeypatch: pytest.MonkeyPatch, sharers: int, limited: list[float]
) -> None:
    device, told = torch.device("cuda", 2), list[tuple[str, Any]]()
    monkeypatch.setattr("headway_trainer.ray.device.own_device", lambda: device)
    monkeypatch.setattr(torch.cuda, "set_device", lambda one: told.append(("device", one)))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=80 * GIB))
    monkeypatch.setattr(
        torch.cuda, "set_per_process_memory_fraction", lambda share, one: told.append(("memory", (share, one)))
    )
    with TorchGroup(gpus=1, gpu_sharers=sharers).train_func_context():
        pass
    assert told == [("device", device), *[("memory", (share, device)) for share in limited]]
    assert torch_backend._TorchBackend.share_cuda_visible_devices


@pytest.mark.parametrize(
    ("share", "remedy"), [(1.0, "or take more workers"), (0.24, "lower training.batchSize, or tuning.trialsPerWorker")]
)
def test_a_gpus_memory_that_is_full_is_told_with_what_to_change(
    monkeypatch: pytest.MonkeyPatch, share: float, remedy: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_per_process_memory_fraction", lambda: share)
    with pytest.raises(UserError, match=remedy):
        raise_as_users(torch.OutOfMemoryError("CUDA out of memory"))


class Trainer:
    """Stands for the workers: the higher the learning rate, the better. Trials meet until so many are there."""

    def __init__(self, at_once: int = 1) -> None:
        self.children: list[Run] = []
        self._lock, self._here = threading.Lock(), threading.Barrier(at_once)

    def __call__(self, child: Run, _: object) -> TrainEnd:
        with self._lock:
            self.children.append(child)
        self._here.wait(60)
        lr = (child.spec.training or Training()).optimizer.lr
        kept = KeptModel(checkpoint="", step=0, metric=METRIC, better="max", value=lr)
        return TrainEnd(finished=True, epochs_run=1, kept=kept)


def made(folder: Path, *, of_workers: dict[str, Any], cores: int = 0, **tuning: Any) -> tuple[Run, Heard]:
    spec = {
        "data": {"source": {"builtin": {"name": "iris"}}},
        "model": {"name": "mlp"},
        "training": {"epochs": 1},
        "tuning": {
            "parameters": {"training.optimizer.lr": {"grid": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]}},
            "metric": METRIC,
            "search": {"name": "grid"},
            **tuning,
        },
        "workers": of_workers,
        "seed": 3,
    }
    gpus = of_workers["replicas"] * of_workers["resources"].get("gpu", 0)
    run, sink = made_run(folder, spec, gpus=gpus, cores=cores)
    run.checkpoints.claim()
    return run, sink


@pytest.fixture
def _nothing_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headway_trainer.stages.best_trial.take_over_best", lambda *_: None)


@pytest.mark.usefixtures("_nothing_taken_over")
def test_as_many_trials_run_at_once_as_the_workers_have_parts(tmp_path: Path) -> None:
    trainer = Trainer(at_once=6)
    of_workers = {"replicas": 2, "resources": {"cpu": "6", "memory": "6Gi", "gpu": 1}}
    run, _ = made(tmp_path, of_workers=of_workers, trialsPerWorker=3)
    result = tuned(run, trainer)
    assert [one.state for one in result.trials] == ["completed"] * 6
    for child in trainer.children:
        resources = child.spec.workers.resources
        assert (child.spec.workers.world_size, resources.cpu, resources.gpu) == (1, "2000m", 1)
        assert (child.threads, child.around.gpus, child.around.sharing) == (2, 1, Sharing(3, 3))
    assert (run.spec.workers.replicas, run.threads) == (1, 2), "the best one is judged as trials are"
    assert run.around.sharing == Sharing(3, 3)


@pytest.mark.usefixtures("_nothing_taken_over")
def test_no_more_trials_run_at_once_than_max_concurrent(tmp_path: Path) -> None:
    running, most, lock = 0, 0, threading.Lock()
    two = threading.Barrier(2)

    class Counting(Trainer):
        def __call__(self, child: Run, function: object) -> TrainEnd:
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            two.wait(60)
            with lock:
                running -= 1
            two.wait(60)
            return super().__call__(child, function)

    run, _ = made(tmp_path, of_workers={"replicas": 2, "resources": {"cpu": "2"}}, trialsPerWorker=2, maxConcurrent=2)
    tuned(run, Counting())
    assert most == 2


@pytest.mark.usefixtures("_nothing_taken_over")
@pytest.mark.parametrize(("tuning", "count"), [({}, 6), ({"maxConcurrent": 4}, 4), ({"seeds": 2}, 12)])
def test_a_driver_has_no_more_threads_than_there_are_trials_however_many_there_is_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tuning: dict[str, Any], count: int
) -> None:
    asked: list[int] = []

    def one_after_the_other(*arguments: Any, at_once: int, **options: Any) -> list[Any]:
        asked.append(at_once)
        return side_by_side(*arguments, at_once=1, **options)

    monkeypatch.setattr("headway_trainer.run.side_by_side", one_after_the_other)
    of_workers = {"replicas": 500, "resources": {"cpu": "16"}}
    run, _ = made(tmp_path, of_workers=of_workers, trialsPerWorker=16, **tuning)
    tuned(run, Trainer())
    assert asked == [count]


@pytest.mark.usefixtures("_nothing_taken_over")
def test_few_cores_for_the_trials_of_a_worker_are_warned_of_once_and_those_of_a_machine_are_divided(
    tmp_path: Path,
) -> None:
    of_workers = {"replicas": 1, "resources": {"cpu": "1"}}
    run, _ = made(tmp_path / "pod", of_workers=of_workers, trialsPerWorker=4)
    tuned(run, Trainer())
    assert [one for one in run.reporter.told.warnings if "The 4 trials of a worker pod share the 1 cores" in one]
    trainer = Trainer()
    run, _ = made(tmp_path / "machine", of_workers=of_workers, trialsPerWorker=4, cores=8)
    tuned(run, trainer)
    assert {child.threads for child in trainer.children} == {2}
    assert not run.reporter.told.warnings


@pytest.mark.usefixtures("_nothing_taken_over")
def test_gpu_hours_count_the_part_of_a_gpu_that_a_trial_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[float] = []
    monkeypatch.setattr("headway_trainer.tuning.gpu_time.GpuTime._hold", lambda _, more: held.append(more))
    of_workers = {"replicas": 1, "resources": {"cpu": "8", "gpu": 2}}
    run, _ = made(tmp_path, of_workers=of_workers, trialsPerWorker=8)
    tuned(run, Trainer())
    assert sorted(set(held)) == [-0.25, 0.25]


def test_what_is_trained_after_the_trials_has_the_whole_worker_and_none_of_their_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headway_trainer.stages.trials.rows_of_trials", lambda _, run, info: (info, run.store.uri))
    ended: list[str] = []
    of_workers = {"replicas": 2, "resources": {"cpu": "4", "gpu": 1}}

    class Keeping(Trainer):
        def __call__(self, child: Run, function: object) -> TrainEnd:
            assert child.pool is not None
            place: Any = SimpleNamespace(shutdown=lambda: ended.append(child.scope))
            child.pool.put(None, KeptGroup(place, []))  # type: ignore[arg-type]  # of no shape that anybody asks for
            return super().__call__(child, function)

    run, _ = made(tmp_path, of_workers=of_workers, trialsPerWorker=2, final="retrain")
    result = tuned(run, Keeping())
    assert result.retrained is not None
    assert len(ended) == 6, "what trials leave holds parts of workers, and the training that follows needs all of one"
    resources = run.spec.workers.resources
    assert (run.spec.workers.replicas, resources.cpu, resources.gpu, run.threads) == (1, "4", 1, 4)
    assert (run.around.gpus, run.around.sharing, run.pool) == (1, ALONE, None)
