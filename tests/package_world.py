"""A package of models, estimators and metrics that tests install in a folder of their own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from headway_api.job import TrainingJobSpec
from headway_trainer.data import DataInfo
from headway_trainer.registry import package_metric

CODE = """\
from pathlib import Path

Path(__file__).with_suffix(".imported").touch()

import numpy as np
from pydantic import BaseModel, Field

from headway_trainer import NamedMetric, NamedModel
from headway_trainer.estimators.form import Form, Linear

error = NamedMetric(
    tasks=["regression", "forecasting"], better="min", least=0.0,
    sums=lambda predicted, actual: (predicted - actual).abs().sum(), value=lambda total: total,
)
hits = NamedMetric(
    tasks=["classification"], better="max", least=0.0, most=1.0,
    rows=lambda predicted, actual: predicted.argmax(dim=1) == actual, value=lambda rows: rows.mean(),
)


class Options(BaseModel):
    depth: int = Field(default=2, ge=1)


class Fits:
    def __init__(self, info, options, *, seed, threads):
        self.outputs_of = info.outputs

    def fit(self, x, y, weights):
        self.linear = Linear(np.zeros((x.shape[1], self.outputs_of)), np.zeros(self.outputs_of))
        return Form(self.linear, "values", self.outputs_of)

    def outputs(self, x):
        return np.zeros((len(x), self.outputs_of))


def plain(info, **options):
    raise ValueError("no such depth")


network = NamedModel(build=plain, options=Options, tasks=["classification"], rows=["image"])
estimator = NamedModel(build=Fits, options=Options, tasks=["regression"], rows=["table"])
number = 5
"""
POINTS = {
    "headway.models": {"acme.network": "network", "acme.number": "number", "acme.gone": "gone", "acme.both": "network"},
    "headway.estimators": {
        "acme.estimator": "estimator", "acme.plain": "plain", "acme.both": "estimator", "linear": "estimator",
    },
    "headway.metrics": {"acme.error": "error", "acme.hits": "hits", "acme.model": "network", "f1": "hits"},
}  # fmt: skip
DIABETES: dict[str, Any] = {"source": {"builtin": {"name": "diabetes"}}}
DIGITS: dict[str, Any] = {"source": {"builtin": {"name": "digits"}}}


@contextmanager
def acme_installed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package that is installed in a folder of its own."""
    (folder / "acme_code.py").write_text(CODE)
    (folder / "acme_broken.py").write_text("import no_such_module\n")
    (folder / "acme_wrong.py").write_text(
        "from headway_trainer import NamedMetric\n"
        "metric = NamedMetric(tasks=['ranking'], better='min', sums=sum, value=float)\n"
    )
    install(folder, "acme", {group: _of("acme_code", points) for group, points in POINTS.items()})
    broken = {"headway.metrics": {"broken.import": "acme_broken:x", "broken.tasks": "acme_wrong:metric"}}
    install(folder, "broken", broken)
    monkeypatch.syspath_prepend(folder)
    package_metric.cache_clear()
    yield
    package_metric.cache_clear()
    for name in ("acme_code", "acme_broken", "acme_wrong"):
        sys.modules.pop(name, None)


def _of(module: str, points: dict[str, str]) -> dict[str, str]:
    return {name: f"{module}:{attribute}" for name, attribute in points.items()}


def install(folder: Path, name: str, groups: dict[str, dict[str, str]]) -> None:
    meta = folder / f"{name}-1.0.dist-info"
    meta.mkdir()
    (meta / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [
        line
        for group, points in groups.items()
        for line in (f"[{group}]", *(f"{point} = {value}" for point, value in points.items()))
    ]
    (meta / "entry_points.txt").write_text("\n".join(lines) + "\n")


def spec_of(
    data: dict[str, Any] = DIABETES, model: str = "mlp", options: dict[str, Any] | None = None, **fields: Any
) -> TrainingJobSpec:
    named = {"name": model, "options": options or {}}
    return TrainingJobSpec.model_validate({"data": data, "model": named, "training": {}, **fields})


def with_metrics(*names: str) -> dict[str, Any]:
    return {"evaluation": {"metrics": list(names)}}


def info_of(**fields: Any) -> DataInfo:
    known = {"task": "regression", "input_shape": (3,), "outputs": 2, "rows": {}, "content_hash": "", "digest": ""}
    return DataInfo.model_validate(known | fields)


CLASSES = info_of(task="classification", outputs=3, classes=list("abc"))
VALUES = info_of(target_names=["a", "b"], target_mean=[10.0, -5.0], target_std=[2.0, 100.0])
