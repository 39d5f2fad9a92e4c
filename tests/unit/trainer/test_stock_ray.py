"""The switch between Ray as it is and Ray as Headway changes it, and the version that the changes are made for."""

from __future__ import annotations

import logging
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

from headway_trainer.errors import UserError
from headway_trainer.ray import own_stage
from headway_trainer.ray.stock import ENV, RAY, is_known, stock, warn_of_version
from headway_trainer.ray.torch_backend import TorchGroup

ROOT = Path(__file__).parents[3]


def test_ray_is_the_version_whose_inside_is_changed() -> None:
    found = version("ray")
    assert is_known(found), (
        f"Ray moved to {found}, and trainer/headway_trainer/ray changes the inside of {RAY}: Node (node.py), "
        "DataParallelTrainer, TrainController and WorkerGroup (controller.py), Backend (torch_backend.py), "
        "FailurePolicy (failure_policy.py), setup_worker.py and ray.train's imports (preload.py). Read what changed in "
        "each, run tests/integration with and without HEADWAY_STOCK_RAY=1, and then raise stock.RAY."
    )


def test_the_pin_of_ray_is_that_version() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    pins = {one for packages in extras.values() for one in packages if one.startswith("ray[")}
    assert pins == {f"ray[train,tune]~={RAY}.0"}


@pytest.mark.parametrize(("value", "on"), [("", False), ("0", False), ("1", True)])
def test_the_switch_is_on_or_off(monkeypatch: pytest.MonkeyPatch, value: str, on: bool) -> None:
    monkeypatch.setenv(ENV, value)
    assert stock() is on


def test_a_switch_that_says_neither_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENV, "yes")
    with pytest.raises(ValueError, match=r"HEADWAY_STOCK_RAY is 'yes', and must be 1 \(Ray as it is\) or 0"):
        stock()


@pytest.mark.parametrize(("found", "switch", "warned"), [("2.60.3", "0", 0), ("2.61.0", "0", 1), ("2.61.0", "1", 0)])
def test_another_version_of_ray_is_told_of_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, found: str, switch: str, warned: int
) -> None:
    monkeypatch.setenv(ENV, switch)
    with caplog.at_level(logging.WARNING):
        warn_of_version(found)
    assert len(caplog.records) == warned


def test_a_training_function_of_ones_own_is_refused_with_ray_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENV, "1")
    with pytest.raises(UserError, match=r"runs the built-in loop alone, and this job has training\.entrypoint"):
        own_stage.train_own(None, None)  # type: ignore[arg-type]  # nothing of the stage is looked at


def test_with_ray_as_it_is_a_fit_is_rays_own(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray.train.torch
    from ray.train import RunConfig

    from headway_trainer.ray import controller

    made: list[dict[str, object]] = []

    class Recorder:
        def __init__(self, _: object, **named: object) -> None:
            made.append(named)

        def fit(self) -> ray.train.Result:
            return ray.train.Result(metrics=None, checkpoint=None, error=None, path=None, return_value="done")

    monkeypatch.setattr(ray.train.torch, "TorchTrainer", Recorder)
    monkeypatch.setenv(ENV, "1")
    group = TorchGroup(gpus=0, progress_seconds=60)
    value = controller.fit(
        lambda _: None,
        {},
        pods=2,
        processes=2,
        group=group,
        run_config=RunConfig(),
        policy=None,  # Ray's own
        live=None,
    )
    assert value == "done"
    assert made[0]["torch_config"].backend == "gloo"  # type: ignore[attr-defined]
    assert made[0]["scaling_config"].num_workers == 4  # type: ignore[attr-defined]
