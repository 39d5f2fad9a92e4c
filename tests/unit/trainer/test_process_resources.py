"""What each training process has of GPUs and cores, whatever the pods and the machine have."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray.train import RunConfig, ScalingConfig
from ray.train.v2._internal.execution.context import DistributedContext
from ray.train.v2._internal.execution.worker_group import WorkerGroup, WorkerGroupContext

from headway_api.pods import Workers
from headway_trainer.process_resources import cores_short, gpus_for_each, gpus_unused, idle_beside, threads
from headway_trainer.ray import controller
from headway_trainer.ray.controller import Place, places, workers_in_pods
from headway_trainer.ray.pool import Shape
from headway_trainer.ray.torch_backend import TorchGroup


def pods(replicas: int, gpu: int = 0, processes: int | None = None, cpu: str = "1") -> Workers:
    return Workers.model_validate(
        {"replicas": replicas, "processes": processes, "resources": {"gpu": gpu, "cpu": cpu}}
        if processes is not None
        else {"replicas": replicas, "resources": {"gpu": gpu, "cpu": cpu}}
    )


@pytest.mark.parametrize(
    ("workers", "each", "world"),
    [
        (pods(3), 1, 3),
        (pods(1, gpu=8), 8, 8),
        (pods(2, gpu=8), 8, 16),
        (pods(2, gpu=4, processes=2), 2, 4),
        (pods(2, gpu=4, processes=1), 1, 2),
        (pods(2, processes=2), 2, 4),
    ],
    ids=["no GPUs", "one a GPU", "one a GPU in two pods", "two GPUs each", "all GPUs for one", "said, without GPUs"],
)
def test_a_pod_has_a_process_for_each_gpu_unless_the_job_says_how_many(workers: Workers, each: int, world: int) -> None:
    assert (workers.processes_each, workers.world_size) == (each, world)


@pytest.mark.parametrize(
    ("workers", "there", "lent"),
    [
        (pods(2), 0, 0),
        (pods(2, gpu=1), 2, 1),
        (pods(1, gpu=8), 8, 1),
        (pods(2, gpu=8), 16, 1),
        (pods(2, gpu=8, processes=1), 16, 8),
        (pods(2, gpu=4, processes=2), 8, 2),
        (pods(1, gpu=8, processes=1), 2, 2),
        (pods(1, gpu=8), 2, 0),
        (pods(2), 4, 1),
        (pods(2, processes=2), 4, 1),
        (pods(4, gpu=1), 3, 0),
    ],
    ids=[
        "no GPUs",
        "one each",
        "a pod of eight",
        "two pods of eight",
        "a pod of eight for one process",
        "two for each of two",
        "a machine with fewer",
        "a machine with too few",
        "not asked for, but there",
        "not asked for, but there for several a pod",
        "not for all",
    ],
)
def test_each_training_process_is_lent_what_the_job_asks_for_as_far_as_it_is_there(
    workers: Workers, there: int, lent: int
) -> None:
    assert gpus_for_each(workers, there) == lent


@pytest.mark.parametrize(
    ("workers", "there", "said"),
    [
        (pods(2), 0, None),
        (pods(2, gpu=1), 0, r"asks for GPUs, and this machine has none: it trains on the CPU\.$"),
        (pods(2, gpu=4, processes=2), 0, r"it trains on the CPU\.$"),
        (pods(2, gpu=8), 0, r"on the CPU, in 16 processes, .* set workers\.resources\.gpu to 0 for one a worker\.$"),
        (pods(2), 1, r"GPUs \(1\) are not used, as each of the 2 workers .* Set workers\.replicas to 1 to use them"),
        (pods(4, gpu=1), 3, r"GPUs \(3\) are not used, as each of the 4 workers"),
        (pods(1), 1, None),
        (pods(2), 4, r"uses 2 of this machine's 4 GPUs: more workers \(workers\.replicas\) would use more"),
        (pods(2, gpu=8), 16, None),
        (
            pods(1, gpu=8),
            2,
            r"GPUs \(2\) are not used, as each of the 8 training processes \(workers\.replicas 1 x 8\) needs one .* "
            r"Set workers\.replicas to 2 and workers\.resources\.gpu to 1 to use them",
        ),
        (
            pods(2, gpu=2, processes=2),
            3,
            r"Set workers\.replicas to 3, workers\.processes to 1 and workers\.resources\.gpu to 1 to use them",
        ),
        (pods(2, processes=2), 2, r"Set workers\.replicas to 2 and workers\.processes to 1 to use them"),
        (pods(1, gpu=8, processes=1), 2, r"Each training process has 2 of this machine's GPUs \(2\), and not the 8"),
        (pods(1, gpu=4, processes=2), 3, r"has 1 of .* \(3\), and not the 2 that"),
    ],
)
def test_a_gpu_that_is_there_is_used_or_it_is_said_why_not(workers: Workers, there: int, said: str | None) -> None:
    told = gpus_unused(workers, there)
    assert (told is None) == (said is None)
    assert said is None or re.search(said, told or "")


@pytest.mark.parametrize(
    ("workers", "cores", "count"),
    [
        (pods(1, cpu="300m"), 0, 1),
        (pods(2, cpu="2500m"), 0, 2),
        (pods(2, cpu="300m"), 32, 16),
        (pods(3, cpu="300m"), 2, 1),
        (pods(1), 8, 8),
        (pods(2, cpu="4"), 2, 4),
        (pods(2, cpu="8", processes=4), 0, 2),
        (pods(1, cpu="7", gpu=2), 0, 3),
        (pods(1, cpu="1", gpu=8), 0, 1),
        (pods(2, cpu="2", processes=2), 16, 4),
    ],
)
def test_a_process_computes_with_its_part_of_the_pods_cores_or_of_a_machine_that_is_its_own(
    workers: Workers, cores: int, count: int
) -> None:
    assert threads(workers, cores) == count


@pytest.mark.parametrize(
    ("workers", "cores", "said"),
    [
        (pods(2, cpu="300m"), 0, None),
        (pods(2, cpu="2", processes=2), 0, None),
        (pods(2, cpu="1500m", processes=2), 0, "The 2 training processes of a worker pod share the 1500m cores"),
        (pods(1, gpu=8), 0, "raise workers.resources.cpu to 8 or more"),
        (pods(1, gpu=8), 4, None),
    ],
    ids=["one process", "enough", "less than a core each", "GPUs beside the default of a core", "this machine's"],
)
def test_processes_of_a_pod_with_less_than_a_core_each_are_told_of(
    workers: Workers, cores: int, said: str | None
) -> None:
    told = cores_short(workers, cores)
    assert (told is None) == (said is None)
    assert said is None or said in (told or "")


@given(replicas=st.integers(1, 20), gpu=st.integers(0, 16), cpu=st.integers(1, 64), data=st.data())
def test_no_more_is_lent_than_is_there(replicas: int, gpu: int, cpu: int, data: st.DataObject) -> None:
    fitting = [count for count in range(1, 17) if gpu % count == 0]
    workers = pods(replicas, gpu, data.draw(st.sampled_from([None, *fitting])), str(cpu))
    there = data.draw(st.integers(0, 400))
    assert gpus_for_each(workers, there) * workers.world_size <= there
    assert gpus_for_each(workers, replicas * gpu) == workers.gpus_each, "a pod has all that it asked for"
    assert threads(workers) * workers.processes_each <= max(cpu, workers.processes_each)


def test_ranks_have_their_number_on_their_node_and_their_nodes_number() -> None:
    assert places(["a", "a", "b", "b"]) == [Place(0, 2, 0), Place(1, 2, 0), Place(0, 2, 1), Place(1, 2, 1)]
    assert places(["b", "a"]) == [Place(0, 1, 0), Place(0, 1, 1)]
    assert places([]) == []


@given(st.lists(st.sampled_from("abcd"), max_size=20))
def test_a_node_and_a_number_on_it_tell_a_rank_from_every_other(nodes: list[str]) -> None:
    found = places(nodes)
    assert len({(one.node_rank, one.local_rank) for one in found}) == len(nodes)
    assert all(
        one.local_rank < one.local_world_size == nodes.count(node) for one, node in zip(found, nodes, strict=True)
    )


def test_a_pod_has_all_its_processes_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[WorkerGroupContext] = []
    bundles: list[list[int]] = []
    monkeypatch.setattr(WorkerGroup, "_create_placement_group", lambda _, __, context: made.append(context))

    def create(_: object, count: int, *, placement_group_bundle_indices: list[int]) -> list[object]:
        bundles.append(placement_group_bundle_indices)
        place = DistributedContext(world_rank=0, world_size=count, local_rank=9, local_world_size=9, node_rank=9)
        return [
            SimpleNamespace(metadata=SimpleNamespace(node_id=str(bundle)), distributed_context=place)
            for bundle in placement_group_bundle_indices
        ]

    monkeypatch.setattr(WorkerGroup, "_create_workers", create)
    group = object.__new__(workers_in_pods(Shape(2, 4, 2)))
    asked = WorkerGroupContext("id", None, 8, {"headway_worker": 1.0, "GPU": 2.0})
    group._create_placement_group(None, asked)
    assert (made[0].num_workers, made[0].resources_per_worker) == (2, {"headway_worker": 4.0, "GPU": 8.0})
    ranks = [one.distributed_context for one in group._create_workers(8)]
    assert bundles == [[0, 0, 0, 0, 1, 1, 1, 1]]
    assert [(one.local_rank, one.local_world_size, one.node_rank) for one in ranks] == [
        (rank % 4, 4, rank // 4) for rank in range(8)
    ]


@pytest.mark.parametrize(("lent", "shared"), [(0, True), (1, True), (4, False)])
def test_a_process_with_one_gpu_sees_its_pods_as_under_torchrun_and_one_with_several_its_own(
    lent: int, *, shared: bool
) -> None:
    assert TorchGroup(gpus=lent).backend_cls().share_cuda_visible_devices is shared


def test_a_training_process_holds_all_gpus_that_it_is_lent(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[ScalingConfig] = []

    class Recorder:
        def __init__(self, _: object, *, scaling_config: ScalingConfig, **__: object) -> None:
            asked.append(scaling_config)

        def fit(self) -> SimpleNamespace:
            return SimpleNamespace(return_value=None)

    monkeypatch.setattr(controller, "_Trainer", Recorder)
    nobody: Any = SimpleNamespace()
    for gpus, processes in ((8, 1), (1, 8), (0, 2)):
        controller.fit(
            lambda _: None,
            {},
            pods=2,
            processes=processes,
            group=TorchGroup(gpus=gpus),
            run_config=RunConfig(name="run", storage_path="x"),
            policy=nobody,
            live=nobody,
            reports=nobody,
        )
    assert [(each.num_workers, each.use_gpu, each.num_gpus_per_worker) for each in asked] == [
        (2, True, 8),
        (16, True, 1),
        (4, False, 0),
    ]


@pytest.mark.parametrize(
    ("workers", "words"),
    [
        (pods(2), ("no use for 1 of the 2 workers: set workers.replicas to 1, and give",)),
        (pods(1, gpu=1), ("no use for the GPUs: take workers.resources.gpu out, and give",)),
        (pods(1, gpu=4), ("3 of the 4 training processes (workers.replicas 1 x 4) and the GPUs", "resources.gpu out")),
        (pods(1, processes=2), ("1 of the 2 training processes", ": take workers.processes out, and give")),
    ],
    ids=["workers", "a GPU", "GPUs", "processes"],
)
def test_what_a_fit_by_scikit_learn_has_no_use_for_is_told(workers: Workers, words: tuple[str, ...]) -> None:
    told = idle_beside("linear", workers)
    assert told is not None
    assert told.startswith("linear is fitted in one process on its CPU, which has no use for ")
    assert not [each for each in words if each not in told], told


def test_a_fit_by_scikit_learn_that_uses_all_that_is_asked_for_is_told_nothing() -> None:
    assert idle_beside("linear", pods(1, cpu="8")) is None
