"""What other libraries fit: the graph says what its own model says, and a fit is kept, resumed, stopped and refused."""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn import metrics as reference
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression, Ridge

from headway_api import wire
from headway_api.data import Data
from headway_api.model import parse_options
from headway_trainer.data import DataInfo, prepare, read_split
from headway_trainer.data.read import memory
from headway_trainer.data.sample import SAMPLE_FILE
from headway_trainer.errors import UserError
from headway_trainer.estimators import fit, member_estimator, random_forest
from headway_trainer.estimators.base import Fitted, Place
from headway_trainer.estimators.form import rounded_down
from headway_trainer.estimators.judge import judge
from headway_trainer.estimators.member import Member
from headway_trainer.export.estimator_body import BodyModule, estimator_body
from headway_trainer.export.session import Session
from headway_trainer.registry import MODELS
from headway_trainer.storage import Store
from headway_trainer.training.checkpoints.store import BODY_FILE, Checkpoints
from headway_trainer.training.link import Link, Request, Silence, TrainEnd
from headway_trainer.training.process_group import Alone, Group
from training_runs import Driver

FEATURES = 6
SMALL: dict[str, dict[str, Any]] = {
    "linear": {},
    "randomForest": {"trees": 12},
    "gradientBoosting": {"iterations": 12},
    "xgboost": {"iterations": 12},
}
NAMES = tuple(SMALL)


def _info(classes: int = 0, targets: int = 1) -> DataInfo:
    return DataInfo.model_validate(
        {
            "task": "classification" if classes else "regression",
            "input_shape": (FEATURES,),
            "outputs": classes or targets,
            "classes": [f"class {label}" for label in range(classes)] if classes else None,
            "rows": {"train": 0, "validation": 0, "test": 0},
            "content_hash": "0",
            "digest": "0",
        }
    )


def _member(name: str, info: DataInfo, *, threads: int = 1, options: dict[str, Any] | None = None) -> Member:
    parsed = parse_options(name, SMALL[name] | (options or {}))
    member: Member = MODELS.of(name)(info, parsed, seed=1, threads=threads)
    return member


def _labelled(classes: int, absent: tuple[int, ...] = (), rows: int = 300) -> tuple[Any, Any]:
    draws = np.random.default_rng(3)
    x = draws.standard_normal((rows, FEATURES)).astype(np.float32)
    y = np.argmax(x[:, :classes] + 0.5 * draws.standard_normal((rows, classes)), axis=1)
    kept = ~np.isin(y, absent)
    return np.ascontiguousarray(x[kept]), y[kept]


def _valued(targets: int, rows: int = 300) -> tuple[Any, Any]:
    x = np.random.default_rng(4).standard_normal((rows, FEATURES)).astype(np.float32)
    y = (x[:, :targets] ** 2 + x[:, -1:]).astype(np.float32)
    return x, y[:, 0] if targets == 1 else y


def _graph_says(member: Member, x: Any, y: Any, weights: Any = None) -> torch.Tensor:
    body = estimator_body(member.fit(x, y, weights), (FEATURES,)).SerializeToString()
    outputs: torch.Tensor = BodyModule(body, 1)(torch.from_numpy(x)).double()
    return outputs


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("classes", "absent"),
    [(2, ()), (4, ()), (5, (1, 4)), (3, (0,))],
    ids=["two", "four", "five of which two have no row", "three of which the first has no row"],
)
def test_the_graph_gives_the_class_probabilities_and_the_loss_of_the_library(
    name: str, classes: int, absent: tuple[int, ...]
) -> None:
    x, y = _labelled(classes, absent)
    member = _member(name, _info(classes))
    outputs = _graph_says(member, x, y)
    own = member.outputs(x)
    assert own.shape == (len(x), classes)
    assert np.abs(outputs.softmax(dim=1).numpy() - own).max() < 1e-6
    assert (outputs.argmax(dim=1).numpy() == own.argmax(axis=1)).all()
    # A class without a training row is as unlikely as the loss can say, and not infinitely so.
    told = torch.full((len(x),), absent[0] if absent else int(y[0]))
    loss = torch.nn.functional.cross_entropy(outputs, told).item()
    assert loss == pytest.approx(reference.log_loss(told.numpy(), own, labels=list(range(classes))), rel=1e-4)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("targets", [1, 3])
def test_the_graph_gives_the_values_of_the_library_for_each_target(name: str, targets: int) -> None:
    x, y = _valued(targets)
    member = _member(name, _info(targets=targets))
    outputs = _graph_says(member, x, y).numpy()
    assert outputs.shape == (len(x), targets)
    assert np.abs(outputs - member.outputs(x)).max() < 1e-5


def test_options_and_seed_are_scikit_learns_own() -> None:
    x, y = _labelled(3)
    by_hand = {
        "linear": LogisticRegression(C=0.5, tol=1e-6, max_iter=1000).fit(x.astype(float), y),
        "randomForest": RandomForestClassifier(12, min_samples_leaf=3, max_features=0.5, random_state=1).fit(x, y),
        "gradientBoosting": HistGradientBoostingClassifier(max_iter=12, max_leaf_nodes=5, random_state=1).fit(x, y),
    }
    options: dict[str, dict[str, Any]] = {
        "linear": {"alpha": 2.0},
        "randomForest": {"minLeafRows": 3, "maxFeatures": 0.5},
        "gradientBoosting": {"maxLeaves": 5},
    }
    for name, model in by_hand.items():
        member = _member(name, _info(3), options=options[name])
        member.fit(x, y, None)
        assert np.allclose(member.outputs(x), model.predict_proba(x), atol=1e-12), name
    x, y = _valued(2)
    ridge, forest = Ridge(alpha=2.0).fit(x.astype(float), y), RandomForestRegressor(12, random_state=1).fit(x, y)
    for name, regressor, given_options in (("linear", ridge, {"alpha": 2.0}), ("randomForest", forest, {})):
        member = _member(name, _info(targets=2), options=given_options)
        member.fit(x, y.astype(np.float32), None)
        assert np.allclose(member.outputs(x), regressor.predict(x), atol=1e-6), name


@pytest.mark.parametrize("name", NAMES)
def test_rows_that_weigh_nothing_teach_nothing(name: str) -> None:
    x, y = _labelled(2)
    weights = np.ones(len(x))
    weights[::3] = 0
    noisy = np.where(weights == 0, 1 - y, y)
    one, other = _member(name, _info(2)), _member(name, _info(2))
    one.fit(x, y, weights)
    other.fit(x, noisy, weights)
    assert np.allclose(one.outputs(x), other.outputs(x), atol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_a_fit_gives_the_same_bytes_again_whatever_the_threads(name: str) -> None:
    x, y = _labelled(3)
    bodies = {
        estimator_body(_member(name, _info(3), threads=threads).fit(x, y, None), (FEATURES,)).SerializeToString()
        for threads in (1, 1, 3)
    }
    assert len(bodies) == 1


@given(
    threshold=st.floats(-1e39, 1e39, allow_subnormal=False),
    value=st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=False),
)
@example(threshold=(np.float64(np.float32(0.1)) + np.float64(np.nextafter(np.float32(0.1), 1))) / 2, value=0.1)
@example(threshold=1.0, value=1.0)
def test_a_threshold_of_32_bits_sends_each_feature_the_way_of_that_of_64(threshold: float, value: float) -> None:
    rounded = rounded_down(np.array([threshold]))[0]
    with np.errstate(over="ignore"):
        neighbours = [np.nextafter(np.float32(threshold), np.float32(side)) for side in (-np.inf, np.inf)]
    for feature in (np.float32(value), *neighbours):
        assert (feature <= rounded) == (np.float64(feature) <= threshold)


def test_one_class_in_the_training_part_is_refused_by_its_name() -> None:
    x, _ = _labelled(2)
    for name in NAMES:
        with pytest.raises(UserError, match="all rows of the training part are of the class 'class 1'"):
            _member(name, _info(2)).fit(x, np.ones(len(x), dtype=np.int64), None)


def test_a_solver_that_was_stopped_says_so() -> None:
    x, y = _labelled(4)
    member = _member("linear", _info(4), options={"maxIterations": 2})
    member.fit(x, y, None)
    assert member.notes == [
        "The solver was stopped after model.options.maxIterations, 2, and had not converged: raise it, or raise "
        "model.options.alpha."
    ]


def test_a_forest_that_no_file_holds_is_refused_by_its_first_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random_forest, "MOST_VALUES", 10_000)
    member = _member("randomForest", _info(), options={"trees": 1000})
    with pytest.raises(UserError, match=r"a forest of 1000 trees like the first 50 .* 10,000: raise .*minLeafRows"):
        member.fit(*_valued(1), None)
    assert member.done == 50


# A whole fit, as a training process makes it.


def _place(
    store: Store,
    name: str = "gradientBoosting",
    *,
    source: str = "iris",
    split: dict[str, Any] | None = None,
    attempt: int = 1,
    link: Link | None = None,
    group: Group | None = None,
    options: dict[str, Any] | None = None,
    **training: Any,
) -> Place:
    data = {"source": {"builtin": {"name": source}}, "split": split or {}}
    info = prepare(Data.model_validate(data), seed=0, store=store)
    spec = {"data": data, "model": {"name": name, "options": SMALL[name] | (options or {})}, "training": training}
    run = {"namespace": "", "name": "a", "uid": "", "attempt": attempt, "storageUri": store.uri, "spec": spec}
    file = wire.RunFile.model_validate(run)
    return Place(file, info, store, torch.device("cpu"), group or Alone(), link or Silence())


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "run"))


def _fitted(place: Place) -> Fitted:
    found = member_estimator.MemberEstimator().fit(place)
    assert isinstance(found, Fitted)
    return found


def _body(place: Place) -> bytes:
    manifest = Checkpoints(place.store, place.run.attempt).newest().manifest
    assert manifest is not None
    return Checkpoints(place.store, place.run.attempt).read(manifest, BODY_FILE)


@pytest.mark.parametrize("name", NAMES)
def test_all_parts_are_judged_and_the_export_takes_raw_rows(store: Store, name: str) -> None:
    place = _place(store, name)
    found = _fitted(place)
    end = judge(place, found)
    x, y = read_split(store, place.info, "test")
    member = fit.build_member(place)
    train = read_split(store, place.info, "train")
    member.fit(train[0].numpy(), train[1].numpy(), None)
    own = member.outputs(x.numpy())
    assert end.metrics["test"]["accuracy"] == pytest.approx(reference.accuracy_score(y, own.argmax(axis=1)))
    assert end.metrics["test"]["loss"] == pytest.approx(reference.log_loss(y, own), rel=1e-3)
    assert end.metrics["test"]["rocAuc"] == pytest.approx(reference.roc_auc_score(y, own, multi_class="ovr"))
    assert (end.iterations, end.epochs_run) == (SMALL[name].get("trees", SMALL[name].get("iterations", 0)), 0)
    exported = found.export()
    assert exported.problem is None
    assert exported.parity is not None
    assert exported.parity.holds
    assert exported.parity.rows > 10
    assert exported.file is not None
    assert exported.signature is not None
    assert Session(store.read(exported.file.name), exported.signature)


def test_a_regressions_errors_in_the_targets_units_are_scikit_learns(store: Store) -> None:
    place = _place(store, "randomForest", source="diabetes")
    end = judge(place, _fitted(place))
    x, y = read_split(store, place.info, "test")
    member = fit.build_member(place)
    train = read_split(store, place.info, "train")
    member.fit(train[0].numpy(), train[1].numpy(), None)
    std, mean = place.info.target_std[0], place.info.target_mean[0]
    own = member.outputs(x.numpy())[:, 0] * std + mean
    assert end.metrics["test"]["mae"] == pytest.approx(reference.mean_absolute_error(y * std + mean, own), rel=1e-4)
    assert end.metrics["test"]["r2"] == pytest.approx(reference.r2_score(y * std + mean, own), rel=1e-3)


def test_a_run_that_was_killed_after_the_fit_goes_on_from_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    first = _place(store)
    exported = _fitted(first).export()

    def never(*_: object) -> Any:
        raise AssertionError("it was fitted again")

    monkeypatch.setattr(member_estimator, "fitted", never)
    second = _place(store, attempt=2)
    found = _fitted(second)
    assert found.end.resumed_from_step == SMALL["gradientBoosting"]["iterations"]
    again = found.export()
    assert again.file is not None
    assert exported.file is not None
    assert again.file.sha256 == exported.file.sha256
    assert again.parity == exported.parity


def test_a_run_that_was_killed_while_it_was_fitted_fits_again_to_the_same_bytes(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = _place(store, "randomForest")
    with monkeypatch.context() as patch:
        patch.setattr(member_estimator, "fitted", _raise(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            _fitted(killed)
    found = _fitted(_place(store, "randomForest", attempt=2))
    assert found.end.resumed_from_step is None
    other = _place(Store.open(str(tmp_path / "other")), "randomForest")
    _fitted(other)
    assert _body(_place(store, "randomForest", attempt=2)) == _body(other)


def _raise(error: BaseException) -> Callable[..., Any]:
    def function(*_: object) -> Any:
        raise error

    return function


def test_parts_without_rows_are_left_out_of_the_comparison_and_the_evaluation(store: Store) -> None:
    place = _place(store, split={"train": 1.0, "validation": 0.0, "test": 0.0})
    end = judge(place, _fitted(place))
    assert (end.metrics["train"]["accuracy"] or 0) > 0.9
    assert not end.metrics["validation"]


def test_a_child_of_a_run_is_fitted_and_judged_without_the_sample_for_the_export(store: Store) -> None:
    place = dataclasses.replace(_place(store), scope="fold-1")
    store.delete(SAMPLE_FILE)
    end = judge(place, _fitted(place))
    assert (end.metrics["test"]["accuracy"] or 0) > 0.8


def test_a_checkpoint_of_another_fit_is_not_taken(store: Store) -> None:
    _fitted(_place(store, "randomForest"))
    found = _fitted(_place(store, "randomForest", attempt=2, options={"trees": 7}))
    assert found.end.resumed_from_step is None
    assert found.end.iterations == 7


def test_class_weights_reach_the_fit(store: Store) -> None:
    place = _place(store, "linear", source="wine", classWeights="balanced")
    x, y = read_split(store, place.info, "train")
    by_hand = LogisticRegression(class_weight="balanced", tol=1e-6, max_iter=1000).fit(x.numpy().astype(float), y)
    member = fit.build_member(place)
    fit.fitted(place, member)
    assert np.allclose(member.outputs(x.numpy()), by_hand.predict_proba(x.numpy().astype(float)), atol=1e-4)


class Stuck:
    """A member whose fit ends when it is let go."""

    planned = 9
    done = 4
    notes: list[str] = []  # noqa: RUF012 - nobody adds to it

    def __init__(self) -> None:
        self.let_go = threading.Event()

    def memory(self, *_: int) -> int:
        return 0

    def fit(self, *_: object) -> Any:
        assert self.let_go.wait(60)
        raise UserError("let go")

    def outputs(self, *_: object) -> Any:
        raise AssertionError


def test_a_stop_does_not_wait_for_the_end_of_the_fit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(member_estimator, "POLL_SECONDS", 0.001)
    stuck = Stuck()
    monkeypatch.setattr(member_estimator, "build_member", lambda _: stuck)
    driver = Driver({3: Request.STOP})
    end = member_estimator.MemberEstimator().fit(_place(store, link=driver))
    stuck.let_go.set()
    assert isinstance(end, TrainEnd)
    assert not end.finished
    assert [(one.step, one.done, one.planned, one.timed) for one in driver.progress[:1]] == [(4, 4, 9, True)]


def test_threads_of_a_fit_do_not_wait_in_busy_loops(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    _fitted(_place(store, "linear"))
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"


def test_a_fit_without_iterations_is_no_hang_however_long_it_takes(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(member_estimator, "POLL_SECONDS", 0.001)
    stuck = Stuck()
    stuck.planned = stuck.done = 0
    monkeypatch.setattr(member_estimator, "build_member", lambda _: stuck)
    driver = Driver({2: Request.STOP})
    member_estimator.MemberEstimator().fit(_place(store, link=driver))
    stuck.let_go.set()
    assert not driver.progress[0].timed


class Both(Alone):
    """Two ranks in two threads of this process; rank 0's numbers reach the other."""

    def __init__(self, rank: int, said: list[list[int]], there: threading.Barrier) -> None:
        self.rank, self.world_size = rank, 2
        self._said, self._there = said, there

    def from_first(self, numbers: list[int]) -> list[int]:
        if self.rank == 0:
            self._said.append(numbers)
        self._there.wait(60)
        found = self._said[-1]
        self._there.wait(60)
        return found


def test_the_other_ranks_wait_and_then_judge_the_same_model(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(member_estimator, "SIGN_SECONDS", 0.0)
    monkeypatch.setattr(member_estimator, "POLL_SECONDS", 0.001)
    said: list[list[int]] = []
    there = threading.Barrier(2)
    places = [_place(store, group=Both(rank, said, there)) for rank in range(2)]
    found: dict[int, Fitted] = {}
    other = threading.Thread(target=lambda: found.update({1: _fitted(places[1])}))
    other.start()
    found[0] = _fitted(places[0])
    other.join()
    assert {words[0] for words in said} == {member_estimator.Word.WAIT, member_estimator.Word.DONE}
    digests = [found[rank].program.model.state_dict()["digest"] for rank in range(2)]
    assert torch.equal(digests[0], digests[1])


def test_a_fit_that_the_memory_cannot_hold_is_refused_before_it_begins(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = _place(store)
    monkeypatch.setattr(memory, "available_bytes", lambda: 1000)
    with pytest.raises(UserError, match=r"fitting gradientBoosting to 105 rows of 4 features in one process takes"):
        _fitted(place)


def test_images_of_many_numbers_are_refused(store: Store) -> None:
    place = _place(store, source="digits")
    large = place.info.model_copy(update={"input_shape": (3, 224, 224)})
    with pytest.raises(UserError, match=r"an image of this data has 3 x 224 x 224: set model\.name to cnn"):
        fit.build_member(Place(place.run, large, store, place.device, place.group, place.link))


def test_a_graph_that_is_not_the_model_is_a_fault_and_no_model(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    place = _place(store, "linear")
    member = fit.build_member(place)
    own = member.outputs
    monkeypatch.setattr(member, "outputs", lambda x: own(x) * 0.9)
    with pytest.raises(
        RuntimeError, match="the graph of the fitted model differs from what the model itself says by 0"
    ):
        fit.fitted(place, member)
