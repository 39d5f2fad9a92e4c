"""Small training runs in this process: what the tests of the loop share."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import pytest
import torch
from torch import nn

from headway_api.training import Training
from headway_trainer.data.batches import Rows
from headway_trainer.data.info import DataInfo
from headway_trainer.data.shards import read_series, stored_split
from headway_trainer.programs import Program, Supervised
from headway_trainer.storage import Store
from headway_trainer.tasks import task_of
from headway_trainer.training.checkpoints.state import seed_everything
from headway_trainer.training.checkpoints.store import Checkpoints
from headway_trainer.training.compiler_stub import without_compiler
from headway_trainer.training.link import Answer, Question, Request, TrainEnd, TrainProgress
from headway_trainer.training.loop import Loop
from headway_trainer.training.loop_inputs import LoopInputs
from headway_trainer.training.process_group import Alone, Group

FEATURES, CLASSES = 4, 3
torch.set_num_threads(1)  # as a job's workers do; and two threads on matrices this small only wait for each other


class Killed(BaseException):
    """The process ends here, as by SIGKILL: nothing may catch it."""


class Driver:
    """The driver's end of the link: keeps progress, asks for what it was told to at a step, and answers a trial."""

    def __init__(
        self, requests: dict[int, Request] | None = None, answer: Callable[[Question], Answer] = lambda _: Answer.GO_ON
    ) -> None:
        self.progress: list[TrainProgress] = []
        self.questions: list[Question] = []
        self._requests, self._answer = requests or {}, answer
        self._calls = 0

    def tell(self, progress: TrainProgress) -> None:
        self.progress.append(progress)

    def request(self) -> Request:
        self._calls += 1
        return self._requests.get(self._calls, Request.NONE)

    def heard(self) -> int:
        measured = self.progress[-1].measured if self.progress else []
        return (measured[-1].step or -1) if measured else -1

    def ask(self, question: Question) -> Answer:
        self.questions.append(question)
        return self._answer(question)

    def close(self) -> None:
        """Everything was told at once."""


def data_info(train: int, validation: int, task: str = "classification") -> DataInfo:
    return DataInfo.model_validate(
        {
            "task": task,
            "input_shape": (FEATURES,),
            "outputs": CLASSES if task == "classification" else 1,
            "classes": ["a", "b", "c"] if task == "classification" else None,
            "rows": {"train": train, "validation": validation, "test": 0},
            "content_hash": "0",
            "digest": "0",
        }
    )


def rows(count: int, seed: int) -> Rows:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, FEATURES, generator=generator)
    return x, x[:, :CLASSES].argmax(dim=1)


def small_model(seed: int = 5, dropout: float = 0.3) -> nn.Module:
    seed_everything(seed)
    layers = [nn.Linear(FEATURES, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, CLASSES)]
    return nn.Sequential(*layers)


def training(**fields: Any) -> Training:
    plain = {"epochs": 3, "batchSize": 16, "optimizer": {"lr": 0.05}}
    return Training.model_validate(plain | fields)


def make_job(
    store: Store,
    spec: Training,
    *,
    attempt: int = 1,
    link: Driver | None = None,
    group: Group | None = None,
    model: nn.Module | Program | None = None,
    train_rows: int = 60,
    validation_rows: int = 20,
    clock: Callable[[], float] | None = None,
    compared_at: frozenset[int] = frozenset(),
    until: int | None = None,
) -> LoopInputs:
    group = group or Alone()
    x, y = rows(train_rows, 1)
    start, stop = group.rank * train_rows // group.world_size, (group.rank + 1) * train_rows // group.world_size
    vx, vy = rows(validation_rows, 2)
    vstart, vstop = (rank * validation_rows // group.world_size for rank in (group.rank, group.rank + 1))
    info, made = data_info(train_rows, validation_rows), model or small_model()
    return LoopInputs(
        spec=spec,
        seed=7,
        info=info,
        program=made if isinstance(made, Program) else Supervised(made, task_of(info)),
        train=(x[start:stop], y[start:stop]),
        validation=(vx[vstart:vstop], vy[vstart:vstop]),
        group=group,
        checkpoints=Checkpoints(store, attempt),
        link=link or Driver(),
        clock=clock or Ticks(),
        compared_at=compared_at,
        until=until,
    )


def job_of(
    info: DataInfo,
    data: Store,
    program: Program,
    spec: Training,
    *,
    run: Store | None = None,
    attempt: int = 1,
    **fields: Any,
) -> LoopInputs:
    """What the loop is given of prepared data, as the only process. run: where its checkpoints go, if not beside it."""
    return LoopInputs(
        spec=spec,
        info=info,
        program=program,
        train=stored_split(data, info, "train"),
        validation=stored_split(data, info, "validation"),
        group=Alone(),
        checkpoints=Checkpoints(run or data, attempt),
        link=Driver(),
        series=read_series(data, info),
        **{"seed": 0, **fields},
    )


class Ticks:
    """A clock that goes on by a fixed time at each look."""

    def __init__(self, step: float = 0.01) -> None:
        self.now, self._step = 0.0, step

    def __call__(self) -> float:
        self.now += self._step
        return self.now


def run_until(job: LoopInputs, step: int) -> None:
    """Run the loop, and kill it in the forward pass of optimiser step `step` (from 1) of this process."""
    steps = 0

    def hook(module: nn.Module, *_: object) -> None:
        nonlocal steps
        steps += module.training
        if steps == step:
            raise Killed

    handle = job.model.register_forward_pre_hook(hook)
    try:
        with without_compiler():
            Loop(job).run()
    except Killed:
        return
    finally:
        handle.remove()
    raise AssertionError(f"the run had fewer than {step} steps")


def cut_at_write(job: LoopInputs, number: int) -> bool:
    """Run the loop, and kill it in the middle of its write number `number`; whether there were so many."""
    writes = 0
    open_output = Store.open_output

    @contextlib.contextmanager
    def counted(self: Store, path: str, *, durable_name: bool = True) -> Iterator[BinaryIO]:
        nonlocal writes
        writes += 1
        with open_output(self, path, durable_name=durable_name) as stream:
            yield stream
            if writes == number:
                raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "open_output", counted)
        try:
            finish(job)
        except Killed:
            return True
    return False


def finish(job: LoopInputs) -> tuple[TrainEnd, dict[str, torch.Tensor]]:
    """Run the loop to its end; how it ended, and the weights."""
    with without_compiler():
        end = Loop(job).run()
    return end, {name: tensor.clone() for name, tensor in job.model.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Whether two sets of weights are equal, bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
