"""W&B and Comet, whose SDKs are in the user's image: what they are asked, by modules that keep what they are called
with."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from headway_api.tracking import Comet, Tracking, WandB
from headway_trainer.storage import Store
from headway_trainer.tracking.events import Began
from headway_trainer.tracking.follower import Follower, left, read_cursor
from headway_trainer.tracking.recorder import Recorder
from headway_trainer.tracking.trackers import comet_service, wandb_service
from headway_trainer.tracking.trackers.base import BrokenError, DownError
from headway_trainer.tracking.trackers.comet_service import CometService
from headway_trainer.tracking.trackers.wandb_service import WandBService
from headway_trainer.training.link import Measured


class Run:
    """A run of W&B's SDK; what has been logged reaches the server when it is finished."""

    def __init__(self, server: dict[str, list[int]], run_id: str) -> None:
        self._server, self._id, self._steps = server, run_id, list[int]()
        known = server.setdefault(run_id, [])
        self.starting_step = known[-1] + 1 if known else 0
        self.summary = dict[str, float]()
        self.exit_code: int | None = None
        self.config = SimpleNamespace(update=lambda *_, **__: None)

    def log(self, values: dict[str, float], step: int) -> None:
        assert values
        self._steps.append(step)

    def finish(self, exit_code: int) -> None:
        self.exit_code = exit_code
        self._server[self._id] += self._steps


class FakeWandB(ModuleType):
    """W&B's SDK, as far as it is called."""

    def __init__(self) -> None:
        super().__init__("wandb")
        self.server: dict[str, list[int]] = {}
        self.begun: list[dict[str, Any]] = []
        self.down = False

    def Settings(self, **given: Any) -> dict[str, Any]:  # noqa: N802 - the SDK's name
        return given

    def init(self, **given: Any) -> Run:
        if self.down:
            raise OSError("no route")
        self.begun.append(given)
        return Run(self.server, given["id"])


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> FakeWandB:
    module = FakeWandB()
    monkeypatch.setitem(sys.modules, "wandb", module)
    monkeypatch.setenv("WANDB_API_KEY", "k")
    return module


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path))


def recorder(store: Store, attempt: int) -> Recorder:
    made = Recorder(store, attempt, tracking=Tracking(tensorboard=False), tags={"headway.attempt": str(attempt)})
    made.begin("", name="job", parameters={"lr": "1"})
    return made


def measure(made: Recorder, *steps: int, scope: str = "") -> None:
    made.measured(scope, *(Measured(step=step, values={"loss": 1 / step}) for step in steps))


def test_wandb_has_one_run_over_all_attempts_and_each_step_once_though_nothing_was_settled(
    store: Store, wandb: FakeWandB
) -> None:
    first = recorder(store, 1)
    measure(first, 1, 2)
    assert first.flush()
    killed = Follower(store, "wandb", "there", WandBService(WandB(project="p", entity="team"), "job"))
    killed.follow()
    assert left(store, "wandb", "there") == 3, "nothing has arrived for certain"
    second = recorder(store, 2)
    measure(second, 1, 2, 3)
    second.begin("trial-1", name="trial-1", parameters={"lr": "2"})
    measure(second, 1, scope="trial-1")
    second.end("trial-1", "completed", values={"final": 1.0})
    second.end("", "completed")
    assert second.flush()
    follower = Follower(store, "wandb", "there", WandBService(WandB(project="p", entity="team"), "job"))
    follower.follow()
    follower.close(1.0)
    assert sorted(wandb.server.values()) == [[1], [1, 2, 3]]
    assert left(store, "wandb", "there") == 0
    root, *_, trial = wandb.begun
    assert (root["project"], root["entity"], root["resume"], root["job_type"]) == ("p", "team", "allow", "job")
    assert (trial["group"], trial["job_type"]) == (root["group"], "trial")
    assert root["settings"]["console"] == "off"
    assert "base_url" not in root["settings"]


def test_what_wandb_has_at_a_stop_is_not_told_again(store: Store, wandb: FakeWandB) -> None:
    for attempt, steps in ((1, (1, 2)), (2, (2, 3))):
        made = recorder(store, attempt)
        measure(made, *steps)
        made.end("", "interrupted" if attempt == 1 else "completed")
        assert made.flush()
        follower = Follower(store, "wandb", "there", WandBService(WandB(project="p"), "job"))
        follower.follow()
        follower.close(1.0)
        assert read_cursor(store, "wandb", "there").place.events > 0
    assert list(wandb.server.values()) == [[1, 2, 3]]


def test_a_wandb_that_does_not_answer_is_down(store: Store, wandb: FakeWandB) -> None:
    wandb.down = True
    assert recorder(store, 1).flush()
    with pytest.raises(DownError, match="OSError: no route"):
        Follower(store, "wandb", "there", WandBService(WandB(project="p"), "job")).follow()


@pytest.mark.parametrize(
    ("module", "variable", "make"),
    [
        ("wandb", "WANDB_API_KEY", lambda: WandBService(WandB(project="p"), "job")),
        ("comet_ml", "COMET_API_KEY", lambda: CometService(Comet(project="p"), "job")),
    ],
)
def test_an_image_without_the_sdk_or_a_job_without_a_key_is_told_what_to_do(
    module: str, variable: str, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(variable, raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(BrokenError, match=f"needs the package {module}, which the image does not have"):
        make()
    monkeypatch.setitem(sys.modules, module, ModuleType(module))
    with pytest.raises(BrokenError, match=f"put {variable} into the Secret of tracking.secretRef"):
        make()


class Experiment:
    """An experiment of Comet's SDK."""

    def __init__(self, key: str) -> None:
        self.key, self.calls = key, list[tuple[Any, ...]]()
        self.arrives = True

    def __getattr__(self, name: str) -> Any:
        return lambda *given, **named: self.calls.append((name, *given, *named.values()))

    def flush(self, timeout: int) -> bool:
        assert timeout > 0
        return self.arrives


class FakeComet(ModuleType):
    def __init__(self) -> None:
        super().__init__("comet_ml")
        self.experiments: dict[str, Experiment] = {}
        self.ExperimentConfig = SimpleNamespace

    def start(self, experiment_key: str, **given: Any) -> Experiment:
        assert given["mode"] == "get_or_create"
        return self.experiments.setdefault(experiment_key, Experiment(experiment_key))


def test_comet_is_told_parameters_numbers_and_the_parent_of_a_trial(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = FakeComet()
    monkeypatch.setitem(sys.modules, "comet_ml", module)
    monkeypatch.setenv("COMET_API_KEY", "k")
    made = recorder(store, 1)
    measure(made, 1, 2)
    made.begin("trial-1", name="trial-1", parameters={"lr": "2"})
    assert made.flush()
    service = CometService(Comet(project="p", workspace="w"), "job")
    follower = Follower(store, "comet", "there", service)
    follower.follow()
    root, trial = module.experiments.values()
    assert root.calls[:2] == [("log_parameters", {"lr": "1"}), ("log_others", {"headway.attempt": "1"})]
    assert ("log_metrics", {"loss": 0.5}, 2) in root.calls
    assert ("log_others", {comet_service.PARENT: root.key}) in trial.calls
    assert left(store, "comet", "there") == 0
    root.arrives = False
    measure(made, 3)
    assert made.flush()
    follower.follow()
    assert left(store, "comet", "there") == 1, "it has not arrived"


def test_ids_of_runs_are_those_of_each_attempt() -> None:
    one = Began(scope="trial-1", name="a", identity="i", at=1)
    assert wandb_service.id_of(one) == wandb_service.id_of(one.model_copy(update={"at": 2.0, "name": "b"}))
    assert wandb_service.id_of(one) != wandb_service.id_of(one.model_copy(update={"scope": "trial-2"}))
    assert len(wandb_service.id_of(one)) == 32
