"""One rank of several, without Ray, in what a job's training processes do: `python -m rank_runs RANK RANKS FOLDER`.

Each folder in FOLDER is a job (`job.json`: a run file, what is known of its rows, and where it is killed) with two
copies of its prepared rows. In `whole` it is fitted, judged and exported without a fault; in `killed` it dies at each
point in turn, and goes on by a next attempt. All ranks die at once, as when the machine does.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn
from unittest import mock

import numpy as np
import torch
from torch import distributed, nn
from torch.nn import functional

from headway_trainer import Program, task_of
from headway_trainer.data import DataInfo, read_split
from headway_trainer.data.batches import Batch, Feed
from headway_trainer.data.shards import read_series
from headway_trainer.estimators import member_estimator
from headway_trainer.estimators.base import Fitted, Place
from headway_trainer.estimators.judge import judge as judge_model
from headway_trainer.programs import MakeOptimizer, Turn
from headway_trainer.ray import built_in_function
from headway_trainer.storage import Store
from headway_trainer.training.link import TrainEnd
from headway_trainer.training.updates import Updates
from rank_end import end_of_rank
from training_runs import Driver, Killed

JUDGE = judge_model


def main(rank: int, ranks: int, folder: Path) -> NoReturn:
    """Run all jobs, one after the other, and leave `rank-N.json` in the folder of each."""
    distributed.init_process_group("gloo", init_method=f"file://{folder}/group", rank=rank, world_size=ranks)
    for file in sorted(folder.glob("*/job.json")):
        told = _job(file.parent, json.loads(file.read_text()), rank)
        (file.parent / f"rank-{rank}.json").write_text(json.dumps(told))
    end_of_rank()


def _job(folder: Path, job: dict[str, Any], rank: int) -> dict[str, Any]:
    whole, fitted = _run(job, folder / "whole", 1)
    if rank == 0:
        _say(fitted, DataInfo.model_validate(job["info"]), Store.open(str(folder / "whole")), folder)
    for attempt, where in enumerate(job["dies"], 1):
        with _dying(where):
            try:
                _run(job, folder / "killed", attempt)
            except Killed:
                continue
        raise AssertionError(f"it came to its end before it was killed at {where}")
    resumed, again = _run(job, folder / "killed", len(job["dies"]) + 1)
    return {"whole": whole, "resumed": resumed, "weights": [_digest(one.program.model) for one in (fitted, again)]}


def _run(job: dict[str, Any], store: Path, attempt: int) -> tuple[dict[str, Any] | None, Fitted]:
    """An attempt; what rank 0 returns, and the model that every rank judges."""
    judged: list[Fitted] = []

    def judge(place: Place, fitted: Fitted) -> TrainEnd:
        judged.append(fitted)
        return JUDGE(place, fitted)

    config: dict[str, Any] = {
        "run": json.dumps({**job["run"], "storageUri": str(store), "attempt": attempt}),
        "info": json.dumps(job["info"]),
        "secret_dir": None,
        "code_dir": None,
        "threads": 1,
        "scope": "",
        "rows_uri": None,
        "compared_at": [],
        "until": None,
    }
    own = getattr(built_in_function, "judge")  # noqa: B009 - what `_dying` has put there
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(built_in_function, "WorkerLink", return_value=Driver()))
        stack.enter_context(mock.patch.object(built_in_function, "own_device", return_value=torch.device("cpu")))
        if own is JUDGE:
            stack.enter_context(mock.patch.object(built_in_function, "judge", judge))
        return built_in_function.train(config), judged[0]


@contextlib.contextmanager
def _dying(where: str) -> Iterator[None]:
    """Within it, every rank dies at a point: `step N` (of this attempt), `fit`, `judge`, or `export`."""
    name, _, number = where.partition(" ")
    begin = Updates.begin

    def die(*_: object) -> None:
        raise Killed

    def at_step(self: Updates, *arguments: Any) -> None:
        begin(self, *arguments)
        if self.steps == int(number):
            raise Killed

    def once_judged(place: Place, fitted: Fitted) -> TrainEnd:
        JUDGE(place, fitted)
        raise Killed

    patches: dict[str, list[tuple[Any, str, Callable[..., Any]]]] = {
        "step": [(Updates, "begin", at_step)],
        "fit": [(member_estimator._FirstRank, "_keep", die), (member_estimator, "_wait", die)],
        "judge": [(built_in_function, "judge", die)],
        "export": [(built_in_function, "judge", once_judged)],
    }
    with contextlib.ExitStack() as stack:
        for target, attribute, function in patches[name]:
            stack.enter_context(mock.patch.object(target, attribute, function))
        yield


def _say(fitted: Fitted, info: DataInfo, store: Store, folder: Path) -> None:
    """Leave what the model says of all rows of each part, and what it should have said, in `PART.npz`."""
    feed = Feed(info, torch.device("cpu"), read_series(store, info))
    fitted.program.model.eval()
    for part in ("validation", "test"):
        x, y = read_split(store, info, part)
        with torch.no_grad():
            rows = fitted.program.judge(Batch(feed(x), y, None))
        np.savez(folder / f"{part}.npz", outputs=rows.outputs.double().numpy(), target=rows.target.numpy())


def _digest(model: nn.Module) -> str:
    state = sorted(model.state_dict().items())
    return hashlib.sha256(b"".join(name.encode() + value.numpy().tobytes() for name, value in state)).hexdigest()


class Networks(nn.Module):
    """A classifier, and a generator of rows with its critic beside it; the classifier alone answers."""

    def __init__(self, info: DataInfo) -> None:
        super().__init__()
        self.classifier = nn.Linear(info.features, info.outputs)
        self.generator = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, info.features))
        self.critic = nn.Sequential(nn.Linear(info.features, 8), nn.ReLU(), nn.Linear(8, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.classifier(x)
        return logits


class Adversarial(Program):
    """Three optimisers and three updates a step, with what they learn from logged by name."""

    model: Networks

    def optimizers(self, make: MakeOptimizer) -> dict[str, torch.optim.Optimizer]:
        networks: Iterable[tuple[str, nn.Module]] = self.model.named_children()
        return {name: make(network.parameters()) for name, network in networks}

    def step(self, batch: Batch, turn: Turn) -> torch.Tensor:
        made = self.model.generator(torch.randn(len(batch.x), 2))
        real, false = self.model.critic(batch.x), self.model.critic(made.detach())
        critic = functional.softplus(-real).mean() + functional.softplus(false).mean()
        turn.update(critic, "critic")
        turn.log("critic", critic)
        if turn.position % 2:
            generator = functional.softplus(-self.model.critic(made)).mean()
            turn.update(generator, "generator")
            turn.log("generator", generator)
        loss = self.task.loss(turn.model(batch.x), batch.y, "mean")
        turn.update(loss, "classifier")
        return loss


def adversarial(info: DataInfo) -> Program:
    """`model.entrypoint` of a job."""
    return Adversarial(Networks(info), task_of(info))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
