"""Models: the registry's fit any data that they are for, and a user's own is checked before training begins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from headway_api.model import Model
from headway_trainer.data import DataInfo
from headway_trainer.errors import UserError
from headway_trainer.models import build
from headway_trainer.models.build import parameter_count


def _info(shape: tuple[int, ...] = (4,), outputs: int = 3, classes: bool = True) -> DataInfo:
    return DataInfo(
        task="classification" if classes else "regression",
        input_shape=shape,
        outputs=outputs,
        classes=[str(index) for index in range(outputs)] if classes else None,
        rows={"train": 10, "validation": 0, "test": 0},
        content_hash="",
        digest="",
    )


def _loader(function: Callable[..., Any]) -> Callable[[str], Callable[..., Any]]:
    return lambda _: function


def _unused(name: str) -> Callable[..., Any]:
    raise AssertionError(f"{name} must not be loaded")


def _named(name: str, info: DataInfo, options: dict[str, Any] | None = None) -> nn.Module:
    return build(Model.model_validate({"name": name, "options": options or {}}), info, load_function=_unused).model


def _own(function: Callable[..., Any], info: DataInfo | None = None, **options: Any) -> nn.Module:
    return build(Model(entrypoint="mine:make", options=options), info or _info(), load_function=_loader(function)).model


@settings(max_examples=15)
@given(
    shape=st.lists(st.integers(1, 6), min_size=1, max_size=4).map(tuple),
    hidden=st.lists(st.integers(1, 8), max_size=3),
    outputs=st.integers(1, 5),
    rows=st.integers(1, 4),
)
def test_mlp_takes_rows_of_any_shape(shape: tuple[int, ...], hidden: list[int], outputs: int, rows: int) -> None:
    model = _named("mlp", _info(shape, outputs), {"hidden": hidden})
    assert model(torch.zeros(rows, *shape)).shape == (rows, outputs)


@settings(max_examples=15)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(2, 20), st.integers(2, 20)),
    channels=st.lists(st.integers(1, 4), min_size=1, max_size=6),
    rows=st.integers(1, 3),
)
def test_cnn_takes_images_of_any_size_and_one_row_too(
    shape: tuple[int, int, int], channels: list[int], rows: int
) -> None:
    # Halved often, an odd side becomes one pixel: batch normalisation needs a second row then, and says so.
    assume(rows > 1 or len(channels) == 1 or any(side & (side - 1) == 0 for side in shape[1:]))
    options = {"channels": channels, "hidden": 4}
    model = _named("cnn", _info(shape), options)
    assert model.training
    assert model(torch.zeros(rows, *shape)).shape == (rows, 3)


def test_each_block_of_cnn_halves_the_image_while_it_is_above_two() -> None:
    model = build(
        Model(name="cnn", options={"channels": [2, 2, 2, 2], "hidden": 4}), _info((1, 8, 16)), load_function=_unused
    ).model
    pools = [module.kernel_size for module in model.modules() if isinstance(module, nn.MaxPool2d)]
    assert pools == [(2, 2), (2, 2), (1, 2)]


def test_parameters_are_those_of_the_layers() -> None:
    model = _named("mlp", _info(), {"hidden": [5]})
    assert parameter_count(model) == (4 * 5 + 5) + (5 * 3 + 3)
    next(model.parameters()).requires_grad_(False)
    assert parameter_count(model) == 5 + (5 * 3 + 3)


@pytest.mark.parametrize(
    ("activation", "layer"), [("relu", nn.ReLU), ("gelu", nn.GELU), ("tanh", nn.Tanh), ("silu", nn.SiLU)]
)
def test_mlp_options_are_heeded(activation: str, layer: type[nn.Module]) -> None:
    options = {"hidden": [5, 6], "activation": activation, "dropout": 0.5}
    model = _named("mlp", _info(), options)
    kinds = [type(module) for module in model.children()]
    assert kinds == [nn.Flatten, nn.Linear, layer, nn.Dropout, nn.Linear, layer, nn.Dropout, nn.Linear]


def test_the_same_seed_gives_the_same_weights_and_the_check_draws_no_numbers() -> None:
    def draw(name: str) -> tuple[torch.Tensor, torch.Tensor]:
        torch.manual_seed(3)
        model = _named(name, _info((1, 8, 8)))
        return torch.cat([parameter.flatten() for parameter in model.parameters()]), torch.rand(1)

    for name in ("mlp", "cnn"):
        first, second = draw(name), draw(name)
        assert torch.equal(first[0], second[0])
        assert torch.equal(first[1], second[1])


def test_checking_a_model_leaves_its_statistics_alone() -> None:
    model = _named("cnn", _info((1, 8, 8)))
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert [int(norm.num_batches_tracked) for norm in norms if norm.num_batches_tracked is not None] == [0, 0]


def test_cnn_on_rows_that_are_no_images_says_to_use_mlp() -> None:
    with pytest.raises(UserError, match=r"cnn is for images, but a row of this data has the shape \(13,\).*to mlp"):
        _named("cnn", _info((13,)))


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_the_targets_own_units_are_no_part_of_a_model(name: str) -> None:
    info = _info((1, 8, 8), 2, classes=False)
    far = info.model_copy(update={"target_mean": [150_000.0, -3.0], "target_std": [1000.0, 0.5]})
    torch.manual_seed(0)
    model = _named(name, far).eval()
    torch.manual_seed(0)
    plain = _named(name, info).eval()
    x = torch.randn(5, 1, 8, 8)
    assert torch.equal(model(x), plain(x))


# The user's own.


def test_a_users_function_gets_the_data_and_its_options() -> None:
    def make(info: DataInfo, width: int, deep: bool = False) -> nn.Module:
        assert deep
        return nn.Sequential(nn.Linear(info.input_shape[0], width), nn.Linear(width, info.outputs))

    model = _own(make, width=7, deep=True)
    assert [tuple(parameter.shape) for parameter in model.parameters()] == [(7, 4), (7,), (3, 7), (3,)]
    assert model.training


def test_a_lazy_model_of_the_user_is_shaped_by_the_check() -> None:
    model = _own(lambda info: nn.Sequential(nn.LazyLinear(8), nn.Linear(8, info.outputs)))
    assert parameter_count(model) == (4 * 8 + 8) + (8 * 3 + 3)


def test_a_regression_may_give_one_number_a_row_without_an_axis() -> None:
    model = _own(lambda _: nn.Sequential(nn.Linear(4, 1), nn.Flatten(0)), _info(outputs=1, classes=False))
    assert model(torch.zeros(2, 4)).shape == (2,)


def _raise(_: DataInfo) -> nn.Module:
    raise KeyError("conv1\nand more")


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (_raise, r"model\.entrypoint mine:make raised KeyError: 'conv1\\nand more'"),
        (lambda: nn.Linear(4, 3), r"raised TypeError: .*takes 0 positional arguments"),
        (lambda _: nn.Linear, r"returned an object of type type: it must return a torch\.nn\.Module"),
        (lambda _: None, r"returned an object of type NoneType"),
        (
            lambda _: nn.Linear(5, 3),
            r"cannot take a batch of shape \(2, 4\), which is what the data gives: RuntimeError",
        ),
        (
            lambda _: nn.Linear(4, 2),
            r"gives \(2, 2\) for a batch of 2 rows: .* shape \(2, 3\), one output for each class",
        ),
        (lambda _: nn.LSTM(4, 3), r"gives an object of type tuple"),
    ],
)
def test_a_users_model_that_does_not_fit_is_refused_with_the_reason(function: Callable[..., Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        _own(function)


def test_a_model_that_the_memory_does_not_do_for_is_not_the_users_mistake() -> None:
    with pytest.raises(MemoryError):
        _own(lambda _: nn.Linear(4, bytearray(2**60)))  # type: ignore[arg-type]  # it does not come to that


def test_a_users_error_keeps_its_cause_for_the_log() -> None:
    with pytest.raises(UserError) as caught:
        _own(_raise)
    assert isinstance(caught.value.__cause__, KeyError)
