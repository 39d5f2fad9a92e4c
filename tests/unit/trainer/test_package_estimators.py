"""Estimators of other packages need fit and outputs alone, and are blamed by name."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from headway_trainer.errors import UserError
from headway_trainer.estimators.form import Form, Linear
from headway_trainer.estimators.package_member import PackageMember
from headway_trainer.export.estimator_body import body_of
from package_world import CLASSES, VALUES, install


def _graph(**changed: Any) -> Any:
    from headway_trainer.export.graph import OnnxGraph

    names: dict[str, Any] = {"input": "features", "output": "outputs", "outputs": 2} | changed
    graph = OnnxGraph("")
    x = graph.value(names["input"], "float", (3,))
    weights = graph.constant(np.ones((3, names["outputs"]), np.float32))
    return graph.model({names["output"]: (graph.node("MatMul", x, weights), "float", (names["outputs"],))})


def test_a_graph_of_a_packages_own_is_taken_as_it_is() -> None:
    from headway_trainer.export.estimator_body import BodyModule

    x = torch.arange(6.0).reshape(2, 3)
    assert BodyModule(body_of(_graph(), VALUES, "acme.some"), 1)(x).tolist() == [[3, 3], [12, 12]]


def _older() -> Any:
    graph = _graph()
    graph.opset_import[0].version = 11
    return graph


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (None, "model.name acme.some: fit gave a NoneType: it must give an onnx.ModelProto, or a Form .*cannot be exp"),
        (_graph(input="x"), r"the graph that fit gave takes \['x'\] and gives \['outputs'\]: name its input features"),
        (_graph(outputs=5), r"the graph that fit gave gives torch.float32 \(2, 5\) for 2 rows: it must .* \(2, 2\)"),
        (_older(), "has the operators of ai.onnx 11: make it with ai.onnx 20, ai.onnx.ml 4"),
    ],
    ids=["none", "another input", "too many outputs", "older operators"],
)
def test_an_estimator_without_a_graph_that_fits_is_refused(made: Any, words: str) -> None:
    with pytest.raises(UserError, match=words):
        body_of(made, VALUES, "acme.some")


X = np.zeros((4, 3), np.float32)


@pytest.mark.usefixtures("acme")
def test_an_estimator_of_a_package_needs_fit_and_outputs_alone() -> None:
    member = PackageMember("acme.estimator", {}, VALUES, seed=0, threads=1)
    form = member.fit(X, np.zeros((4, 2)), None)
    assert isinstance(form, Form)
    assert isinstance(form.raw, Linear)
    assert member.outputs(X).shape == (4, 2)
    assert (member.planned, member.done, member.notes, member.memory(10, 3)) == (0, 0, [], 240)


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ("build=lambda *_, **__: 1 / 0", "model.name acme.own: build raised ZeroDivisionError: division by zero"),
        ("build=lambda *_, **__: 5", "model.name acme.own: build gave a int, which has no fit and no outputs"),
        ("build=Own", "model.name acme.own: fit raised RuntimeError: no luck"),
    ],
)
def test_what_an_estimator_does_wrongly_is_one_sentence(
    own: str, words: str, acme: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (acme / "acme_own.py").write_text(
        "from pydantic import BaseModel\nfrom headway_trainer import NamedModel\n"
        "class Options(BaseModel):\n    pass\n"
        "class Own:\n"
        "    def __init__(self, *_, **__): pass\n"
        "    def fit(self, *_): raise RuntimeError('no luck')\n"
        "    def outputs(self, x): return x\n"
        f"own = NamedModel({own}, options=Options, tasks=['regression'], rows=['table'])\n"
    )
    other = acme / "other"
    other.mkdir()
    install(other, "own", {"headway.estimators": {"acme.own": "acme_own:own"}})
    monkeypatch.syspath_prepend(other)
    sys.modules.pop("acme_own", None)
    with pytest.raises(UserError, match=words):
        PackageMember("acme.own", {}, VALUES, seed=0, threads=1).fit(X, np.zeros((4, 2)), None)


@pytest.mark.usefixtures("acme")
def test_a_task_that_only_the_data_tells_is_judged_where_the_model_is_built() -> None:
    with pytest.raises(UserError, match=r"model\.name acme\.estimator is for regression, and this is a classification"):
        PackageMember("acme.estimator", {}, CLASSES, seed=0, threads=1)
