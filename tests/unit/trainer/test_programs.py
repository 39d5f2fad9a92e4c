"""A program of another nature than supervised learning: several optimisers, gradients over ranks, exact resume."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from headway_trainer import Program, task_of
from headway_trainer.data.batches import Batch
from headway_trainer.errors import UserError
from headway_trainer.programs import MakeOptimizer, Turn
from headway_trainer.storage import Store
from headway_trainer.training.checkpoints.state import seed_everything
from markdown_blocks import ROOT, blocks
from training_runs import CLASSES, FEATURES, data_info, finish, make_job, run_until, same, training


class Networks(nn.Module):
    """A classifier beside a generator of rows and its critic; the classifier alone answers."""

    def __init__(self) -> None:
        super().__init__()
        self.classifier = nn.Linear(FEATURES, CLASSES)
        self.generator = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, FEATURES))
        self.critic = nn.Sequential(nn.Linear(FEATURES, 8), nn.ReLU(), nn.Linear(8, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.classifier(x)
        return logits


class Adversarial(Program):
    """A generative adversarial network (Goodfellow et al., 2014), and a classifier: three optimisers, four updates."""

    model: Networks

    def __init__(self, seed: int = 5) -> None:
        seed_everything(seed)
        super().__init__(Networks(), task_of(data_info(60, 20)))

    def optimizers(self, make: MakeOptimizer) -> dict[str, torch.optim.Optimizer]:
        return {
            "classifier": make(self.model.classifier.parameters()),
            "generator": torch.optim.RMSprop(self.model.generator.parameters(), lr=0.01),
            "critic": make(self.model.critic.parameters()),
        }

    def step(self, batch: Batch, turn: Turn) -> torch.Tensor:
        for _ in range(2):  # the critic learns twice as often
            made = self.model.generator(torch.randn(len(batch.x), 2))
            real, false = self.model.critic(batch.x), self.model.critic(made.detach())
            turn.update(functional.softplus(-real).mean() + functional.softplus(false).mean(), "critic")
        made = self.model.generator(torch.randn(len(batch.x), 2))
        turn.update(functional.softplus(-self.model.critic(made)).mean(), "generator")
        with turn.autocast():
            loss = functional.cross_entropy(turn.model(batch.x), batch.y)
        turn.update(loss, "classifier")
        return loss


SPEC = {"clip": {"norm": 0.5}, "schedule": {"name": "cosine"}, "checkpoint": {"everySteps": 3}}


@pytest.mark.parametrize("step", [2, 5, 8, 11])
def test_a_gan_that_is_killed_and_resumed_has_the_same_weights_bit_for_bit(tmp_path: Path, step: int) -> None:
    _, weights = finish(make_job(Store.open(str(tmp_path / "whole")), training(**SPEC), model=Adversarial()))
    store = Store.open(str(tmp_path / "killed"))
    run_until(make_job(store, training(**SPEC), model=Adversarial()), step)
    torch.manual_seed(999)
    resumed, again = finish(make_job(store, training(**SPEC), attempt=2, model=Adversarial()))
    assert (resumed.resumed_from_step or 0) == 3 * ((step - 1) // 3)
    assert same(weights, again)
    start = Adversarial().model.state_dict()
    assert not [name for name, value in weights.items() if torch.equal(value, start[name])]


class Own(Program):
    """A program of one network that does what a test gives it to do."""

    def __init__(self, optimizers: Any = None, step: Any = None) -> None:
        super().__init__(nn.Linear(FEATURES, CLASSES), task_of(data_info(60, 20)))
        self._make, self._do = optimizers, step

    def optimizers(self, make: MakeOptimizer) -> dict[str, torch.optim.Optimizer]:
        return self._make(self.model) if self._make else super().optimizers(make)

    def step(self, batch: Batch, turn: Turn) -> Any:
        loss = functional.cross_entropy(turn.model(batch.x), batch.y)
        return self._do(loss, turn) if self._do else loss


def _sgd(parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.1)


def _updated(loss: torch.Tensor, turn: Turn) -> torch.Tensor:
    turn.update(loss)
    return loss


@pytest.mark.parametrize(
    ("program", "match"),
    [
        (Own(), "Own.step called turn.update in no step of an epoch"),
        (Own(step=lambda loss, turn: turn.update(loss)), "Own.step gave NoneType: it must give the mean loss"),
        (Own(step=lambda loss, _: loss.expand(3)), r"Own.step gave \(3,\): it must give the mean loss"),
        (Own(step=lambda loss, turn: turn.update(loss, "other")), "there is no optimiser 'other', only main"),
        (Own(lambda _: {}), "gave none: give at least one"),
        (Own(lambda model: {"a/b": _sgd(model.parameters())}), "names one 'a/b': write letters"),
        (Own(lambda _: {"main": _sgd(nn.Linear(1, 1).parameters())}), "a parameter that is not in its model"),
    ],
)
def test_a_program_that_could_not_be_kept_or_learns_nothing_is_told_in_one_sentence(
    tmp_path: Path, program: Program, match: str
) -> None:
    with pytest.raises(UserError, match=match):
        finish(make_job(Store.open(str(tmp_path)), training(), model=program))


class Counting(torch.optim.SGD):
    """An optimiser that keeps a number that is no tensor."""

    def step(self, closure: Any = None) -> Any:
        for parameter in self.param_groups[0]["params"]:
            self.state[parameter]["seen"] = self.state[parameter].get("seen", 0) + 1
        return super().step(closure)


def test_an_optimiser_whose_state_no_checkpoint_can_hold_is_refused(tmp_path: Path) -> None:
    program = Own(lambda model: {"main": Counting(model.parameters(), lr=0.1)}, _updated)
    with pytest.raises(UserError, match=r"the optimiser main \(Counting\) keeps seen as int"):
        finish(make_job(Store.open(str(tmp_path)), training(checkpoint={"everySteps": 1}), model=program))


def test_a_checkpoint_of_other_optimisers_is_refused_with_the_way_out(tmp_path: Path) -> None:
    store, spec = Store.open(str(tmp_path)), training(checkpoint={"everySteps": 1}, optimizer={"name": "sgd"})
    run_until(make_job(store, spec, model=Own(None, _updated)), 3)
    other = Own(lambda model: {"other": _sgd(model.parameters())}, lambda loss, turn: turn.update(loss, "other"))
    with pytest.raises(UserError, match=r"other optimisers trained it.*--fresh"):
        finish(make_job(store, spec, attempt=2, model=other))


RANKS = """\
import json, sys
from pathlib import Path
import torch
from torch import distributed
from headway_trainer.storage import Store
from headway_trainer.training.process_group import Workers
from test_programs import Plain
from rank_end import end_of_rank
from training_runs import finish, make_job, training

rank, folder = int(sys.argv[1]), Path(sys.argv[2])
distributed.init_process_group("gloo", init_method=f"file://{folder}/group", rank=rank, world_size=2)
spec = training(batchSize=64, optimizer={"name": "sgd", "lr": 0.1})
job = make_job(Store.open(str(folder / "run")), spec, group=Workers(torch.device("cpu")), train_rows=61,
    model=Plain(seed=5 + rank))
_, weights = finish(job)
print(json.dumps({name: value.tolist() for name, value in weights.items()}))
end_of_rank()
"""


class Plain(Program):
    """Learns in two updates a step; its weights begin as they are drawn, on each rank otherwise."""

    def __init__(self, seed: int = 5) -> None:
        seed_everything(seed)
        super().__init__(nn.Linear(FEATURES, CLASSES), task_of(data_info(61, 20)))

    def optimizers(self, make: MakeOptimizer) -> dict[str, torch.optim.Optimizer]:
        weight, bias = self.model.parameters()
        return {"weight": make([weight]), "bias": make([bias])}

    def step(self, batch: Batch, turn: Turn) -> torch.Tensor:
        loss = functional.cross_entropy(self.model(batch.x), batch.y)
        turn.update(loss, "weight")
        turn.update(functional.cross_entropy(self.model(batch.x), batch.y), "bias")
        return loss


def test_two_ranks_with_uneven_shards_take_the_gradient_of_all_rows_and_begin_alike(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    path = os.pathsep.join([*sys.path, str(Path(__file__).parent)])
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", RANKS, str(rank), str(tmp_path)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        )
        for rank in range(2)
    ]
    one, other = (json.loads(rank.communicate(timeout=120)[0].splitlines()[-1]) for rank in ranks)
    assert one == other
    # With all rows in each step, their order does not matter: one process learns the same.
    spec = training(batchSize=64, optimizer={"name": "sgd", "lr": 0.1})
    _, expected = finish(make_job(Store.open(str(tmp_path / "alone")), spec, train_rows=61, model=Plain()))
    for name, value in expected.items():
        assert torch.allclose(torch.tensor(one[name]), value, atol=1e-5), name


def test_the_step_on_the_page_about_own_code_learns(tmp_path: Path) -> None:
    (code,) = [block.text for block in blocks(ROOT / "docs/how-to/own-code.md") if "file=mixup.py" in block.words]
    module: dict[str, Any] = {}
    exec(code, module)  # noqa: S102 - ours
    seed_everything(1)
    program = module["make"](data_info(60, 20))
    end, _ = finish(make_job(Store.open(str(tmp_path)), training(epochs=20), model=program))
    assert (end.history[-1].validation["accuracy"] or 0) > 0.85
