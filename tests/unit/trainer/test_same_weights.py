"""The same job comes to the same model in every version: what split, order, seeds and optimiser give is written down.

Byte for byte it is so on one machine alone; other processors round sums in another order, so a few digits are compared.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

from headway_api.job import TrainingJobSpec
from headway_trainer.data import prepare
from headway_trainer.models import build
from headway_trainer.programs import Supervised
from headway_trainer.storage import Store
from headway_trainer.tasks import task_of
from headway_trainer.training.checkpoints.state import seed_everything
from training_runs import Ticks, finish, job_of

EXAMPLE = Path(__file__).parents[3] / "examples/digits.yaml"
EPOCHS = 2
WRITTEN_DOWN = {
    "0.weight": -1.709,
    "1.running_mean": -0.291,
    "4.weight": -6.770,
    "9.weight": -3.923,
    "12.weight": -1.148,
}
"""The fingerprint of some tensors after two epochs. Whoever means to change it says so in CHANGELOG.md."""


def test_digits_comes_to_the_weights_that_it_always_came_to(tmp_path: Path) -> None:
    spec = TrainingJobSpec.model_validate(yaml.safe_load(EXAMPLE.read_text())["spec"])
    assert spec.data is not None
    assert spec.model is not None
    assert spec.training is not None
    store = Store.open(str(tmp_path))
    info = prepare(spec.data, seed=spec.seed, store=store)
    seed_everything(spec.seed)
    model = build(spec.model, info, load_function=lambda _: torch.nn.Identity).model
    training = spec.training.model_copy(update={"epochs": EPOCHS})
    program = Supervised(model, task_of(info))
    _, weights = finish(job_of(info, store, program, training, seed=spec.seed, clock=Ticks()))
    assert {name: _fingerprint(weights[name]) for name in WRITTEN_DOWN} == pytest.approx(WRITTEN_DOWN, abs=0.02)


def _fingerprint(tensor: torch.Tensor) -> float:
    """A number that another seed, order or step changes: a sum in which each weight counts in a way of its own."""
    return float((tensor.double().flatten() * torch.arange(tensor.numel()).double().cos()).sum())
