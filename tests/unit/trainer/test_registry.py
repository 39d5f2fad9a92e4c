"""Names and the code behind them: the API's catalogue and the trainer agree, and other packages can give names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from headway_api.consistency.facts import facts
from headway_api.data import BUILTIN_TASKS, Data
from headway_api.model import MODELS as CATALOGUE
from headway_api.model import Model
from headway_trainer import registry
from headway_trainer.data import DataInfo, prepare
from headway_trainer.errors import UserError
from headway_trainer.models import build
from headway_trainer.registry import MODELS
from headway_trainer.storage import Store

INFO = DataInfo(
    task="classification",
    input_shape=(4,),
    outputs=3,
    classes=["a", "b", "c"],
    rows={"train": 10, "validation": 0, "test": 0},
    content_hash="",
    digest="",
)

PACKAGE = """\
import torch

def linear(info, width=8):
    return torch.nn.Sequential(torch.nn.Linear(info.features, width), torch.nn.Linear(width, info.outputs))

def broken(info, **options):
    raise ValueError("no such depth")

nothing = 5
"""


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that is installed in a folder of its own, with models by name."""
    (tmp_path / "acme_models.py").write_text(PACKAGE)
    _distribution(tmp_path, "acme", {"linear": "linear", "broken": "broken", "number": "nothing", "gone": "gone"})
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def _distribution(folder: Path, name: str, models: dict[str, str]) -> None:
    meta = folder / f"{name}_models-1.0.dist-info"
    meta.mkdir()
    (meta / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-models\nVersion: 1.0\n")
    lines = [f"acme.{model} = {name}_models:{function}" for model, function in models.items()]
    (meta / "entry_points.txt").write_text("[headway.models]\n" + "\n".join(lines) + "\n")


def _build(**spec: Any) -> nn.Module:
    return build(
        Model.model_validate(spec), INFO, load_function=lambda name: pytest.fail(f"{name} must not be loaded")
    ).model


def test_the_trainer_has_code_for_each_model_of_the_catalogue_and_no_other() -> None:
    assert list(MODELS.own) == list(CATALOGUE)
    assert all(callable(MODELS.of(name)) for name in CATALOGUE)


@pytest.mark.parametrize("name", BUILTIN_TASKS)
def test_what_is_known_of_a_built_in_set_is_what_it_holds(name: str, tmp_path: Path) -> None:
    data = Data.model_validate({"source": {"builtin": {"name": name}}})
    known, info = facts(data), prepare(data, seed=0, store=Store.open(str(tmp_path)))
    assert known.task == info.task
    assert known.rows == ("image" if len(info.input_shape) == 3 else "table")


def test_nothing_is_imported_before_a_name_is_asked_for() -> None:
    unused = registry.Registry("model.name", ("headway.models",), {"mlp": "no_such_module:mlp"}, needs={})
    unused.check("mlp")
    with pytest.raises(ModuleNotFoundError):
        unused.of("mlp")


def test_a_model_whose_library_an_image_lacks_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    MODELS.check("xgboost")
    monkeypatch.setattr("headway_trainer.registry.util.find_spec", lambda _: None)
    MODELS.check("gradientBoosting")
    with pytest.raises(UserError, match=r"model\.name xgboost needs the package xgboost, .* install xgboost-cpu in it"):
        MODELS.check("xgboost")


@pytest.mark.usefixtures("acme")
def test_a_model_of_another_package_is_built_with_its_options() -> None:
    model = _build(name="acme.linear", options={"width": 5})
    assert isinstance(model, nn.Sequential)
    assert model[0].out_features == 5
    assert model(torch.zeros(2, 4)).shape == (2, 3)


@pytest.mark.usefixtures("acme")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("acme.lstm", "model.name acme.lstm is not in this image, which has acme.broken, acme.gone, acme.linear"),
        ("acme.broken", "model.name acme.broken raised ValueError: no such depth"),
        ("acme.gone", "model.name acme.gone cannot be imported from acme_models:gone"),
        ("acme.number", "model.name acme.number is acme_models:nothing, which is no function"),
    ],
)
def test_a_name_that_does_not_lead_to_a_model_is_the_users_mistake(name: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        _build(name=name)


@pytest.mark.usefixtures("acme")
def test_whether_the_image_has_a_name_is_known_without_importing_it() -> None:
    MODELS.check("acme.gone")
    with pytest.raises(UserError, match=r"group headway\.models or headway\.estimators"):
        MODELS.check("acme.lstm")


def test_a_name_that_two_packages_give_is_refused(acme: Path) -> None:
    _distribution(acme, "other", {"linear": "linear"})
    with pytest.raises(UserError, match="by several packages, as acme_models:linear and other_models:linear"):
        MODELS.check("acme.linear")
