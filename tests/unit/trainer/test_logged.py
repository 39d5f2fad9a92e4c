"""What steps log by name: means over rows, over ranks, over a resume; and what cannot be told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from headway_trainer import Program, task_of
from headway_trainer.data.batches import Batch
from headway_trainer.errors import UserError
from headway_trainer.programs import Turn
from headway_trainer.storage import Store
from headway_trainer.training.checkpoints.state import seed_everything
from headway_trainer.training.logged import MOST_NAMES, Logged
from headway_trainer.training.process_group import Alone
from training_runs import CLASSES, FEATURES, Driver, data_info, finish, make_job, run_until, training

CPU = torch.device("cpu")


class Other(Alone):
    """A rank beside which another one has logged something."""

    def __init__(self, names: list[str], sums: list[float], rows: list[int]) -> None:
        self._names, self._told = names, torch.tensor([sums, rows], dtype=torch.float64)

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor + (self._told if tensor.dim() == 2 else len(self._names))

    def gather(self, text: str) -> list[str]:
        return [text, f"[{', '.join(f'{name!r}' for name in self._names)}]".replace("'", '"')]


def test_a_name_is_told_as_its_mean_over_the_rows_that_it_was_logged_for() -> None:
    logged = Logged(CPU)
    for value, rows in ((1.0, 10), (torch.tensor(4.0, requires_grad=True), 5)):
        logged.add("critic", value, rows)
    logged.add("generator", 7, 5)
    assert logged.means() == logged.over_ranks(Alone()) == {"critic": 2.0, "generator": 7.0}
    logged.clear()
    assert logged.over_ranks(Alone()) == {}


def test_a_name_that_only_one_rank_has_logged_is_told_of_its_rows() -> None:
    logged = Logged(CPU)
    logged.add("b", 2.0, 3)
    # By their names: "a" of the other alone, "b" of both.
    assert logged.over_ranks(Other(["a", "b"], [30.0, 4.0], [10, 1])) == {"a": 3.0, "b": 2.5}
    assert Logged(CPU).over_ranks(Other(["a"], [30.0], [10])) == {"a": 3.0}


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        ("loss", 1.0, "'loss', which is what step returns: choose another name"),
        ("a/b", 1.0, "the name 'a/b': begin with a letter"),
        ("", 1.0, "the name '': begin with a letter"),
        ("x" * 64, 1.0, "begin with a letter"),
        ("parts", torch.zeros(3), r"turn.log\('parts', ...\) was given \(3,\): give one number"),
    ],
)
def test_what_cannot_be_told_is_a_sentence(name: str, value: Any, match: str) -> None:
    with pytest.raises(UserError, match=match):
        Logged(CPU).add(name, value, 1)


def test_more_names_than_a_status_bears_are_refused() -> None:
    logged = Logged(CPU)
    for number in range(MOST_NAMES):
        logged.add(f"n{number}", 1.0, 1)
    logged.add("n0", 1.0, 1)
    with pytest.raises(UserError, match="more than 16 names, last 'more'"):
        logged.add("more", 1.0, 1)


class Parts(Program):
    """Logs how far off it is, and every third step how large its weights are."""

    def __init__(self) -> None:
        seed_everything(5)
        super().__init__(nn.Linear(FEATURES, CLASSES), task_of(data_info(60, 20)))

    def step(self, batch: Batch, turn: Turn) -> torch.Tensor:
        loss = functional.cross_entropy(self.model(batch.x), batch.y)
        turn.update(loss)
        turn.log("twice", 2 * loss)
        if turn.position % 3 == 0:
            turn.log("size", sum(one.detach().square().sum() for one in self.model.parameters()))
        return loss


def test_names_are_in_each_epoch_and_in_progress_and_go_on_exactly_after_a_kill(tmp_path: Path) -> None:
    spec, link = training(checkpoint={"everySteps": 3}), Driver()
    whole, _ = finish(make_job(Store.open(str(tmp_path / "whole")), spec, model=Parts(), link=link))
    store = Store.open(str(tmp_path / "killed"))
    run_until(make_job(store, spec, model=Parts()), 8)
    resumed, _ = finish(make_job(store, spec, attempt=2, model=Parts()))
    assert resumed.resumed_from_step == 6, "in the middle of an epoch"
    assert [one.train for one in resumed.history] == [one.train for one in whole.history]
    for record in whole.history:
        assert record.train.keys() == {"loss", "twice", "size"}
        assert record.train["twice"] == pytest.approx(2 * (record.train["loss"] or 0))
    assert {"train/loss", "train/twice", "train/size"} <= link.progress[-1].metrics.keys()
