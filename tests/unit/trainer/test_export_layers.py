"""Graphs that are written layer by layer say what the module says; what is not known to the last option is traced."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from headway_api.model import Model
from headway_trainer.data import DataInfo
from headway_trainer.export import body
from headway_trainer.export.body import FEATURES, OUTPUTS, export_body
from headway_trainer.models import build


def _info(shape: tuple[int, ...], **known: Any) -> DataInfo:
    told = {"task": "classification", "outputs": 3, "classes": ["a", "b", "c"], **known}
    return DataInfo(input_shape=shape, rows={}, content_hash="", digest="", **told)


TABLE, IMAGES, SERIES = _info((5,)), _info((2, 9, 6)), _info((7, 4))
ITSELF = _info((5,), task="reconstruction", outputs=5, classes=None)
MODELS = [
    ("mlp", TABLE, {}),
    ("mlp", TABLE, {"activation": "gelu", "hidden": [8, 4], "dropout": 0.5}),
    ("mlp", SERIES, {"activation": "silu"}),
    ("mlp", IMAGES, {"activation": "tanh", "hidden": []}),
    ("cnn", IMAGES, {"channels": [4, 3], "hidden": 6, "dropout": 0.2}),
    ("cnn", _info((1, 1, 5)), {"channels": [4]}),
    ("gru", SERIES, {"hidden": 6}),
    ("gru", SERIES, {"hidden": 6, "layers": 3, "dropout": 0.1}),
    ("autoencoder", ITSELF, {"hidden": [4], "latent": 2}),
    ("autoencoder", _info((1, 4, 4), task="reconstruction", outputs=16, classes=None), {"hidden": [4], "latent": 2}),
    ("autoencoder", ITSELF, {"hidden": [4], "latent": 2, "variational": True}),
]


@pytest.fixture
def _never_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    def traced(*_: object) -> None:
        raise AssertionError("torch's exporter was asked")

    monkeypatch.setattr(body, "_traced", traced)


def _said(module: nn.Module, shape: tuple[int, ...], rows: int) -> tuple[np.ndarray, np.ndarray]:
    """What the module, and what its graph says, of random rows."""
    x = torch.randn(rows, *shape)
    graph = export_body(module, shape).SerializeToString()
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    with torch.no_grad():
        return module(x).numpy(), session.run([OUTPUTS], {FEATURES: x.numpy()})[0]


@pytest.mark.usefixtures("_never_traced")
@pytest.mark.parametrize(("name", "info", "options"), MODELS)
def test_models_of_headway_are_written_layer_by_layer(name: str, info: DataInfo, options: dict[str, Any]) -> None:
    torch.manual_seed(1)
    spec = Model.model_validate({"name": name, "options": options})
    model = build(spec, info, load_function=lambda _: nn.Identity).model
    model(torch.randn(16, *info.input_shape))  # so that batch normalisation has seen something
    expected, found = _said(model.eval(), info.input_shape, rows=3)
    assert found.shape == expected.shape
    assert np.allclose(found, expected, atol=1e-5)


LAYERS: list[Callable[[], nn.Module]] = [
    nn.ReLU, nn.Tanh, nn.Sigmoid, nn.GELU, nn.SiLU, nn.Identity, nn.Dropout,
    lambda: nn.GELU("tanh"),
    lambda: nn.Conv2d(4, 4, 3, padding=1, bias=False),
    lambda: nn.Conv2d(4, 4, (3, 1), padding=(1, 0), groups=2),
    lambda: nn.Conv2d(4, 4, 3, dilation=2, padding=2),
    lambda: nn.BatchNorm2d(4, eps=0.1),
    lambda: nn.MaxPool2d(3, stride=1, padding=1),
    lambda: nn.MaxPool2d((1, 3), stride=1, padding=(0, 1)),
    lambda: nn.Linear(8, 8, bias=False),
]  # fmt: skip


@given(chosen=st.lists(st.sampled_from(LAYERS), max_size=5), seed=st.integers(0, 2**31))
def test_any_known_layers_one_after_the_other_say_what_torch_says(
    chosen: list[Callable[[], nn.Module]], seed: int
) -> None:
    torch.manual_seed(seed)
    module = nn.Sequential(*(make() for make in chosen), nn.Flatten(), nn.Linear(4 * 8 * 8, 2)).eval()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(body, "_traced", None)
        expected, found = _said(module, (4, 8, 8), rows=2)
    assert np.allclose(found, expected, atol=1e-4)


class _Derived(nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) + 1


def _hooked() -> nn.Module:
    layer = nn.Linear(4, 3)
    layer.register_forward_hook(lambda _, __, out: out + 1)
    return layer


def _overridden() -> nn.Module:
    layer = nn.Linear(4, 3)
    plain = layer.forward
    vars(layer)["forward"] = lambda x: plain(x) + 1  # as `layer.forward = ...` does
    return layer


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: _Derived(4, 3), (4,)),
        (lambda: nn.Sequential(_hooked()), (4,)),
        (_overridden, (4,)),
        (lambda: nn.utils.parametrizations.weight_norm(nn.Linear(4, 3)), (4,)),
        (lambda: nn.Linear(4, 3).double(), (4,)),
        (lambda: nn.LayerNorm(4), (4,)),
        (lambda: nn.MaxPool2d(2, ceil_mode=True), (1, 3, 3)),
        (lambda: nn.Conv2d(1, 1, 3, padding="same"), (1, 3, 3)),
        (lambda: nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"), (1, 3, 3)),
        (lambda: nn.BatchNorm2d(1, track_running_stats=False), (1, 3, 3)),
        (lambda: nn.Flatten(2), (1, 3, 3)),
    ],
)
def test_what_is_not_known_to_the_last_option_is_left_to_torchs_exporter(
    make: Callable[[], nn.Module], shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[nn.Module] = []
    monkeypatch.setattr(body, "_traced", lambda model, _: asked.append(model))
    module = make().eval()
    export_body(module, shape)
    assert asked == [module]


LIGHT = """
import sys, torch
from torch import nn
from headway_trainer.export.body import export_body
export_body(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)).eval(), (4,))
heavy = [name for name in ("torch._dynamo", "torch.onnx._internal.exporter", "onnxscript") if name in sys.modules]
assert not heavy, heavy
"""


def test_a_plain_model_is_exported_without_the_imports_of_torchs_exporter() -> None:
    done = subprocess.run([sys.executable, "-c", LIGHT], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
