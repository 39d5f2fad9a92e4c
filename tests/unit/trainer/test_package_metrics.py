"""Metrics of other packages: computed where they are named, over all rows, and blamed by name."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from headway_trainer.data import DataInfo
from headway_trainer.declared import NamedMetric
from headway_trainer.errors import UserError
from headway_trainer.evaluation import chosen_metrics
from headway_trainer.metrics.packages import PackageValues
from headway_trainer.registry import package_metric
from headway_trainer.tasks import task_of
from headway_trainer.tasks.tasks import epoch_metrics
from headway_trainer.training.process_group import Alone
from package_world import CLASSES, VALUES


@pytest.mark.usefixtures("acme")
def test_metrics_of_packages_are_computed_where_they_are_named_and_fit() -> None:
    values, classes = task_of(VALUES), task_of(CLASSES)
    assert chosen_metrics(values, ["mae", "acme.error"]) == ("mae", "acme.error")
    assert chosen_metrics(values, None, ["acme.error"]) == (*values.metric_names, "acme.error")
    with pytest.raises(
        UserError, match=r"acme\.error is a metric of forecasting and regression, and this is a classifi"
    ):
        chosen_metrics(classes, None, ["acme.error"])
    assert "acme.hits" not in epoch_metrics(classes, ["validation/loss"])
    assert epoch_metrics(classes, ["validation/acme.hits", "validation/acme.hits"])[-1] == "acme.hits"


class Together:
    """Ranks one after the other: what each gave at each call is put together by the last."""

    def __init__(self, others: Sequence[Any]) -> None:
        self._others = others
        self._calls = 0

    def _all(self, own: torch.Tensor) -> list[torch.Tensor]:
        asked: list[torch.Tensor] = [own]
        for other in self._others:
            recorder = Recorder(self._calls)
            try:
                other().reduce(recorder)
            except Reached as reached:
                asked.append(reached.tensor)
        self._calls += 1
        return asked

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum."""
        return torch.stack(self._all(tensor)).sum(dim=0)

    def gather_rows(self, tensor: torch.Tensor) -> torch.Tensor:
        """The rows."""
        return torch.cat(self._all(tensor))


class Reached(Exception):  # noqa: N818 - no error
    """What a rank gives at the call that is asked for."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor


class Recorder:
    """A rank up to one of its calls. The first call is that of the shapes, whose answer is another rank's."""

    def __init__(self, wanted: int) -> None:
        self._wanted, self._calls = wanted, 0

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """The call."""
        return self._call(tensor)

    def gather_rows(self, tensor: torch.Tensor) -> torch.Tensor:
        """The call."""
        return self._call(tensor)

    def _call(self, tensor: torch.Tensor) -> torch.Tensor:
        if self._calls == self._wanted:
            raise Reached(tensor)
        self._calls += 1
        return SHAPE if len(tensor) == 0 else tensor


SHAPE = torch.tensor([[0] * 9])
"""A rank without rows hears of a number without axes."""


def _fed(metric: NamedMetric, info: DataInfo, outputs: torch.Tensor, y: torch.Tensor) -> PackageValues:
    values = PackageValues("acme.some", metric, task_of(info).compared)
    for start in range(0, len(y), 4):
        values.update(outputs[start : start + 4].double(), y[start : start + 4])
    return values


@pytest.mark.usefixtures("acme")
@pytest.mark.parametrize("cuts", [(), (5,), (0,), (11,), (3, 3, 8)], ids=str)
@pytest.mark.parametrize(("name", "info"), [("acme.hits", CLASSES), ("acme.error", VALUES)], ids=["rows", "sums"])
def test_a_metric_is_that_of_all_rows_however_the_ranks_divide_them(
    name: str, info: DataInfo, cuts: tuple[int, ...]
) -> None:
    generator = torch.Generator().manual_seed(1)
    outputs = torch.randn(11, info.outputs, generator=generator)
    labels, values = torch.randint(0, 3, (11,), generator=generator), torch.randn(11, 2, generator=generator)
    y = values if info.classes is None else labels
    shards = list(itertools.pairwise([0, *cuts, 11]))
    fed = [lambda one=one: _fed(package_metric(name), info, outputs[slice(*one)], y[slice(*one)]) for one in shards]
    first = fed[0]()
    first.reduce(Together(fed[1:]) if cuts else Alone())
    if info.classes is None:
        scale = torch.tensor([2.0, 100.0], dtype=torch.float64)
        expected = ((outputs.double() - y.double()) * scale).abs().sum().item()
    else:
        expected = (outputs.argmax(dim=1) == y).double().mean().item()
    assert first.value().item() == pytest.approx(expected, rel=1e-12)


def test_a_part_without_rows_has_no_value() -> None:
    metric = NamedMetric(tasks=["regression"], better="min", sums=lambda said, true: (said - true).sum(), value=float)
    values = PackageValues("acme.some", metric, task_of(VALUES).compared)
    values.reduce(Alone())
    assert np.isnan(values.value().item())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"sums": lambda *_: 1 / 0, "value": float},
            "the metric acme.some: sums raised ZeroDivisionError: division by",
        ),
        ({"sums": lambda *_: 3.0, "value": float}, "sums must give a tensor of real numbers .*, and gave a float"),
        ({"sums": lambda said, _: said, "value": float}, "sums must always give the same shape, and gave the shape"),
        (
            {"rows": lambda said, _: said.sum(), "value": float},
            r"rows must give \(rows, ...\), and gave the shape \(\)",
        ),
        ({"sums": lambda said, _: said.sum(0), "value": lambda sums: sums}, "value must give one number, and gave the"),
        ({"sums": lambda said, _: said.sum(0), "value": lambda sums: sums.nothing}, "value raised AttributeError"),
        (
            {"sums": lambda said, _: said.sum(0), "value": lambda _: None},
            "value must give one number, and gave a NoneT",
        ),
    ],
)
def test_what_a_metric_gives_wrongly_is_one_sentence(given: dict[str, Any], words: str) -> None:
    metric = NamedMetric(tasks=["regression"], better="min", **given)
    y = torch.zeros(11, 2)

    def computed() -> None:
        values = _fed(metric, VALUES, y, y)
        values.reduce(Alone())
        values.value()

    with pytest.raises(UserError, match=words):
        computed()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"better": "more", "sums": sum}, "better is 'more': write 'min' or 'max'"),
        ({"tasks": "regression", "sums": sum}, "tasks is 'regression': write some of"),
        ({"tasks": [], "sums": sum}, r"tasks is \[\]"),
        ({}, "give sums or rows, and not both"),
        ({"sums": sum, "rows": sum}, "give sums or rows, and not both"),
    ],
)
def test_a_metric_that_contradicts_itself_is_none(fields: dict[str, Any], words: str) -> None:
    given: dict[str, Any] = {"tasks": ["regression"], "better": "min", "value": float} | fields
    with pytest.raises(ValueError, match=words):
        NamedMetric(**given)
