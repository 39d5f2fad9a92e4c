"""What XGBoost fits: its graph says what XGBoost says, and a fit that was left goes on to the same bytes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st

from headway_api import wire
from headway_api.data import Data
from headway_api.model import parse_options
from headway_trainer.data import DataInfo, prepare
from headway_trainer.errors import UserError
from headway_trainer.estimators import member_estimator, xgboost_member
from headway_trainer.estimators.base import Fitted, Place
from headway_trainer.estimators.form import Trees
from headway_trainer.estimators.iterations import COURSE_FILE, STATE_FILE, Course, FitLeft, Iterative, Keeper, Part
from headway_trainer.estimators.judge import judge
from headway_trainer.estimators.xgboost_form import form_of
from headway_trainer.estimators.xgboost_member import XGBoost
from headway_trainer.export.estimator_body import BodyModule, estimator_body
from headway_trainer.storage import Store
from headway_trainer.training.checkpoints.store import BODY_FILE, Checkpoints
from headway_trainer.training.link import Link, Request, Silence, TrainEnd
from headway_trainer.training.process_group import Alone
from training_runs import Driver

FEATURES = 5
SAMPLED = {"iterations": 14, "maxDepth": 4, "subsample": 0.6, "colsampleByTree": 0.8, "colsampleByNode": 0.7}


def info_of(classes: int = 0, targets: int = 1) -> DataInfo:
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


def member_of(info: DataInfo, threads: int = 1, seed: int = 1, **options: Any) -> XGBoost:
    return XGBoost(info, parse_options("xgboost", options), seed=seed, threads=threads)  # type: ignore[arg-type]


def rows_of(seed: int, classes: int, targets: int, count: int, missing: float = 0.0) -> tuple[Any, Any]:
    draws = np.random.default_rng(seed)
    # Few different values: thresholds lie among them, so that many rows are as large as one.
    x = (np.round(4 * draws.standard_normal((count, FEATURES))) / 4).astype(np.float32)
    y: Any = draws.integers(0, classes, count) if classes else (3 + x[:, :targets] ** 2).astype(np.float32)
    if classes:
        y[:classes] = np.arange(classes)
    x[draws.random(x.shape) < missing] = np.nan
    return x, y[:, 0] if not classes and targets == 1 else y


def said(member: XGBoost, form: Any, x: Any) -> tuple[Any, Any]:
    """What the graph and what XGBoost say of rows."""
    outputs = BodyModule(estimator_body(form, (FEATURES,)).SerializeToString(), 1)(torch.from_numpy(x)).double()
    found = outputs.softmax(dim=1) if form.labels else outputs
    return found.numpy(), member.outputs(x)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    classes=st.sampled_from([0, 0, 2, 3, 5]),
    targets=st.integers(1, 3),
    missing=st.sampled_from([0.0, 0.3]),
    options=st.fixed_dictionaries(
        {
            "iterations": st.integers(1, 8),
            "maxDepth": st.integers(1, 6),
            "gamma": st.sampled_from([0.0, 0.5, 20.0]),
            "subsample": st.sampled_from([0.5, 1.0]),
            "colsampleByLevel": st.sampled_from([0.5, 1.0]),
            "maxBins": st.sampled_from([2, 16, 256]),
        },
        optional={"maxLeaves": st.integers(2, 9), "growPolicy": st.just("lossguide"), "l1": st.just(0.5)},
    ),
)
def test_the_graph_says_what_xgboost_says(
    seed: int, classes: int, targets: int, missing: float, options: dict[str, Any]
) -> None:
    x, y = rows_of(seed, classes, targets, 120, missing)
    member = member_of(info_of(classes, targets), seed=seed, **options)
    form = member.fit(x, y, None)
    # Rows that lack all features, and rows beyond all that was seen, too.
    far = np.array([[np.nan] * FEATURES, [1e30] * FEATURES, [-1e30] * FEATURES], np.float32)
    found, own = said(member, form, np.concatenate([x, far]))
    assert found.shape == (len(x) + 3, classes or targets)
    assert np.abs(found - own).max() < 1e-5


def test_a_row_that_is_as_large_as_a_threshold_goes_right_as_in_xgboost() -> None:
    x = np.repeat(np.array([[1.0], [2.0], [3.0]], np.float32), 40, axis=0)
    y = np.repeat(np.array([0.0, 5.0, 9.0], np.float32), 40)
    info = info_of().model_copy(update={"input_shape": (1,)})
    member = member_of(info, iterations=30, learningRate=1.0, l2=0)
    form = member.fit(x, y, None)
    assert isinstance(form.raw, Trees)
    assert {float(one) for one in form.raw.threshold if one} <= {2.0, 3.0}
    body = BodyModule(estimator_body(form, (1,)).SerializeToString(), 1)
    assert body(torch.tensor([[1.0], [2.0], [3.0]])).flatten().tolist() == pytest.approx([0, 5, 9], abs=1e-4)


def test_what_was_pruned_is_no_part_of_the_graph() -> None:
    tree = {
        "left_children": [1, -1, 3, -1, -1],
        "right_children": [4, -1, 2, -1, -1],
        "split_indices": [2, 0, 1, 0, 0],
        "split_conditions": [0.5, -1.0, 7.0, 8.0, 2.0],
        "default_left": [1, 0, 1, 0, 0],
    }
    trees = {"trees": [tree], "tree_info": [0]}
    model = {"learner": {"gradient_booster": {"model": trees}, "learner_model_param": {"base_score": "[2.5E-1]"}}}
    raw: Any = form_of(model, 1, ()).raw
    assert (raw.left.tolist(), raw.right.tolist(), raw.leaf.tolist()) == ([1, 0, 0], [2, 0, 0], [False, True, True])
    assert raw.value.tolist() == [-1.0, 2.0]
    assert raw.missing_left.tolist() == [True, False, False]
    assert raw.base.tolist() == [0.25]


def test_options_are_xgboosts_own() -> None:
    x, y = rows_of(5, 3, 1, 400)
    given_options: dict[str, Any] = {
        "iterations": 9,
        "learningRate": 0.2,
        "maxDepth": 0,
        "maxLeaves": 7,
        "growPolicy": "lossguide",
        "minChildWeight": 2.5,
        "gamma": 0.1,
        "maxDeltaStep": 0.7,
        "l2": 3,
        "l1": 0.2,
        "maxBins": 20,
    }
    member = member_of(info_of(3), **given_options)
    member.fit(x, y, None)
    parameters = {
        "objective": "multi:softprob",
        "num_class": 3,
        "tree_method": "hist",
        "eta": 0.2,
        "max_depth": 0,
        "max_leaves": 7,
        "grow_policy": "lossguide",
        "min_child_weight": 2.5,
        "gamma": 0.1,
        "max_delta_step": 0.7,
        "lambda": 3,
        "alpha": 0.2,
        "max_bin": 20,
        "nthread": 1,
    }
    by_hand = xgboost.train(parameters, xgboost.DMatrix(x, label=y), 9)
    assert np.abs(member.outputs(x) - by_hand.predict(xgboost.DMatrix(x))).max() < 1e-6
    trees = json.loads(by_hand.save_raw("json"))["learner"]["gradient_booster"]["model"]["trees"]
    own = json.loads(member._booster.save_raw("json"))["learner"]["gradient_booster"]["model"]["trees"]
    assert own == trees


def test_each_share_that_is_drawn_changes_the_trees_and_so_does_the_seed() -> None:
    x, y = rows_of(6, 2, 1, 400)
    fits: list[dict[str, Any]] = [
        {},
        *({name: 0.5} for name in ("subsample", "colsampleByTree", "colsampleByLevel", "colsampleByNode")),
    ]
    found = {json.dumps(one): member_of(info_of(2), iterations=4, **one) for one in fits}
    found["seed"] = member_of(info_of(2), iterations=4, subsample=0.5, seed=2)
    for member in found.values():
        member.fit(x, y, None)
    assert len({member.outputs(x).tobytes() for member in found.values()}) == len(found)


def test_trees_of_many_leaves_do_not_keep_a_histogram_for_each_and_are_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    draws = np.random.default_rng(7)
    x, y = draws.standard_normal((2000, FEATURES)).astype(np.float32), draws.standard_normal(2000).astype(np.float32)
    options: dict[str, Any] = {"iterations": 3, "maxDepth": 0, "maxLeaves": 300, "growPolicy": "lossguide"}
    large = member_of(info_of(), **options)
    form, memory = large.fit(x, y, None), large.memory(2000, FEATURES)
    monkeypatch.setattr(xgboost_member, "_HISTOGRAM_BYTES", 100_000)
    small = member_of(info_of(), **options)
    assert np.abs(large.outputs(x) - said(small, small.fit(x, y, None), x)[0]).max() < 1e-4
    assert isinstance(form.raw, Trees)
    assert len(form.raw.tree) > 3 * 500
    histogram = 16 * FEATURES * 256
    assert memory - small.memory(2000, FEATURES) == (600 - 100_000 // histogram) * histogram


# Leaving a fit, and going on with it.


def bytes_of(form: Any) -> bytes:
    body: bytes = estimator_body(form, (FEATURES,)).SerializeToString()
    return body


class Stop:
    """Says no after so many iterations."""

    def __init__(self, member: XGBoost, after: int) -> None:
        self._member, self._after = member, after

    def __call__(self) -> bool:
        return self._member.done < self._after


@pytest.mark.parametrize(
    "options",
    [
        SAMPLED,
        {"iterations": 14},
        {"iterations": 14, "growPolicy": "lossguide", "maxDepth": 0, "maxLeaves": 6, "colsampleByLevel": 0.6},
        {**SAMPLED, "iterations": 60, "earlyStoppingRounds": 12},
    ],
    ids=["drawn rows and features", "all rows and features", "by loss", "early stopping"],
)
@pytest.mark.parametrize("classes", [0, 2, 4], ids=["values", "two classes", "four classes"])
def test_a_fit_that_was_left_twice_gives_the_bytes_of_one_that_was_not(options: dict[str, Any], classes: int) -> None:
    x, y = rows_of(8, classes, 2, 500, missing=0.1)
    part = Part(*rows_of(9, classes, 2, 200), None)
    whole = member_of(info_of(classes, 2), **options)
    whole.begin(lambda: part, None, lambda: True)
    body = bytes_of(whole.fit(x, y, None))
    kept: tuple[Course, bytes] | None = None
    for after in (3, 7):
        left = member_of(info_of(classes, 2), **options)
        left.begin(lambda: part, kept, Stop(left, after))
        with pytest.raises(FitLeft):
            left.fit(x, y, None)
        kept = Course.model_validate_json(left.course.model_dump_json()), left.state()
    last = member_of(info_of(classes, 2), **options)
    last.begin(lambda: part, kept, lambda: True)
    assert bytes_of(last.fit(x, y, None)) == body
    assert last.course == whole.course
    assert last.notes == whole.notes


def test_early_stopping_keeps_the_iterations_up_to_the_lowest_loss() -> None:
    draws = np.random.default_rng(0)
    x, other = (draws.standard_normal((150, FEATURES)).astype(np.float32) for _ in range(2))
    y, told = ((rows[:, 0] + 2 * draws.standard_normal(150)).astype(np.float32) for rows in (x, other))
    member = member_of(info_of(), iterations=200, earlyStoppingRounds=5)
    member.begin(lambda: Part(other, told, None), None, lambda: True)
    form = member.fit(x, y, None)
    course = member.course
    losses = [one.validation["loss"] or 0.0 for one in course.history]
    assert course.early_stopped
    assert course.best == 1 + losses.index(min(losses))
    assert course.iterations == course.best + 5
    assert isinstance(form.raw, Trees)
    assert len(set(form.raw.tree.tolist())) == course.best
    own = member.outputs(other)[:, 0]
    assert np.mean((own - told) ** 2) == pytest.approx(course.best_loss, rel=1e-5)
    assert member.notes == [
        f"Of {course.iterations} iterations the model has the first {course.best}, with the lowest validation/loss, "
        f"{course.best_loss:.6g}: it was stopped early."
    ]


def test_early_stopping_without_validation_rows_is_refused() -> None:
    x, y = rows_of(1, 2, 1, 50)
    with pytest.raises(UserError, match=r"model\.options\.earlyStoppingRounds .* set data\.split\.validation above 0"):
        member_of(info_of(2), earlyStoppingRounds=3).fit(x, y, None)


def test_rows_of_classes_that_were_not_learnt_judge_nothing_on_the_way_and_that_is_told() -> None:
    x, y = rows_of(2, 3, 1, 90)
    other, told = rows_of(3, 4, 1, 60)
    member = member_of(info_of(4), iterations=3)
    member.begin(lambda: Part(other, told, np.ones(60)), None, lambda: True)
    member.fit(x, y, None)
    absent = int((told == 3).sum())
    assert member.notes == [
        f"{absent} rows of the validation part are of classes without a training row: the losses after each iteration "
        "leave them out."
    ]
    assert all(one.validation["loss"] is not None for one in member.course.history)


def test_trees_that_no_file_holds_are_refused_by_the_first_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xgboost_member, "MOST_VALUES", 10_000)
    x, y = rows_of(4, 0, 1, 400)
    member = member_of(info_of(), iterations=50_000)
    with pytest.raises(UserError, match=r"50000 iterations of trees like those so far .* 10,000: lower .*maxDepth"):
        member.fit(x, y, None)
    assert member.done == 1


def test_very_many_losses_are_thinned_out() -> None:
    course = Course()
    for index in range(9001):
        course = course.after(1.0, 1 / (1 + index), 5)
    assert len(course.history) <= 4001
    assert (course.history[0].epoch, course.history[-1].epoch, course.best) == (1, 9001, 9001)
    assert course.newest == {"train/loss": 1.0, "validation/loss": 1 / 9001}


# A whole fit, as a training process makes it.


def place_of(store: Store, *, attempt: int = 1, link: Link | None = None, **options: Any) -> Place:
    data = {"source": {"builtin": {"name": "breast_cancer"}}, "split": {"train": 0.6, "validation": 0.2, "test": 0.2}}
    model = {"name": "xgboost", "options": SAMPLED | options}
    info = prepare(Data.model_validate(data), seed=0, store=store)
    run = {"namespace": "", "name": "a", "uid": "", "attempt": attempt, "storageUri": store.uri}
    file = wire.RunFile.model_validate({**run, "spec": {"data": data, "model": model, "training": {}}})
    return Place(file, info, store, torch.device("cpu"), Alone(), link or Silence())


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "run"))


def fitted(place: Place) -> Fitted:
    found = member_estimator.MemberEstimator().fit(place)
    assert isinstance(found, Fitted)
    return found


def body_of(store: Store) -> bytes:
    checkpoints = Checkpoints(store, 9)
    manifest = checkpoints.newest().manifest
    assert manifest is not None
    return checkpoints.read(manifest, BODY_FILE)


def after_iteration(monkeypatch: pytest.MonkeyPatch, what: Callable[[Keeper, int], None]) -> None:
    """Call something after each iteration of a fit, before it is asked whether it goes on."""
    own = Keeper.goes_on

    def goes_on(keeper: Keeper) -> bool:
        what(keeper, keeper._member.course.iterations)
        return own(keeper)

    monkeypatch.setattr(Keeper, "goes_on", goes_on)


def test_the_losses_after_each_iteration_are_those_of_the_evaluation(store: Store) -> None:
    end = judge(place := place_of(store), fitted(place))
    assert [one.epoch for one in end.history] == list(range(1, 15))
    last = end.history[-1]
    for part, values in (("train", last.train), ("validation", last.validation)):
        assert values["loss"] == pytest.approx(end.metrics[part]["loss"], rel=1e-4)
    assert (end.iterations, end.epochs_run, end.kept, end.early_stopped) == (14, 0, None, False)
    assert isinstance(XGBoost(place.info, parse_options("xgboost", {}), seed=0, threads=1), Iterative)  # type: ignore[arg-type]


def test_a_run_that_is_asked_to_stop_leaves_a_checkpoint_and_the_next_attempt_goes_on_to_the_same_bytes(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(member_estimator, "POLL_SECONDS", 0.001)
    with monkeypatch.context() as patch:
        after_iteration(patch, lambda keeper, done: keeper.heed(Request.STOP if done == 5 else Request.NONE))
        end = member_estimator.MemberEstimator().fit(place_of(store))
    assert isinstance(end, TrainEnd)
    assert (end.finished, end.step) == (False, 5)
    assert end.checkpoint is not None
    assert end.checkpoint.step == 5
    manifest = Checkpoints(store, 9).newest().manifest
    assert manifest is not None
    assert {one.name for one in manifest.files} == {COURSE_FILE, STATE_FILE}
    again = fitted(place_of(store, attempt=2))
    assert (again.end.resumed_from_step, again.end.iterations) == (5, 14)
    other = Store.open(str(tmp_path / "other"))
    undisturbed = fitted(place_of(other))
    assert body_of(store) == body_of(other)
    assert again.end.history == undisturbed.end.history
    assert [one.name for one in Checkpoints(store, 9).complete()] == ["step-0000000014-attempt-2"]


def test_a_checkpoint_is_taken_when_it_is_due_and_when_it_is_asked_for(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("headway_trainer.estimators.iterations.time.monotonic", lambda: clock[0])
    seen: list[tuple[int, int]] = []

    def look(keeper: Keeper, done: int) -> None:
        clock[0] += 4.0  # seconds an iteration: due after 10
        if done == 8:
            keeper.heed(Request.CHECKPOINT)
        if keeper.status is not None:
            seen.append((done, keeper.status.step))

    after_iteration(monkeypatch, look)
    fitted(place_of(store, iterations=9))
    assert seen == [(4, 3), (5, 3), (6, 3), (7, 6), (8, 6)]


def test_a_run_that_was_killed_goes_on_from_the_checkpoint_before(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(keeper: Keeper, done: int) -> None:
        keeper.heed(Request.CHECKPOINT if done == 4 else Request.NONE)
        if done == 6:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        after_iteration(patch, die)
        with pytest.raises(KeyboardInterrupt):
            fitted(place_of(store))
    assert fitted(place_of(store, attempt=2)).end.resumed_from_step == 4
    other = Store.open(str(tmp_path / "other"))
    fitted(place_of(other))
    assert body_of(store) == body_of(other)


def test_a_checkpoint_of_other_options_is_not_gone_on_with(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        after_iteration(patch, lambda keeper, done: keeper.heed(Request.STOP if done == 3 else Request.NONE))
        member_estimator.MemberEstimator().fit(place_of(store))
    found = fitted(place_of(store, attempt=2, learningRate=0.11))
    assert (found.end.resumed_from_step, found.end.iterations) == (None, 14)


def test_the_driver_hears_of_the_losses_and_of_the_newest_checkpoint(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(member_estimator, "POLL_SECONDS", 0.0)
    driver = Driver({1: Request.CHECKPOINT})
    fitted(place_of(store, iterations=400, link=driver))
    told = [one for one in driver.progress if one.checkpoint is not None]
    assert told
    assert set(told[-1].metrics) == {"train/loss", "validation/loss"}
    assert all(one.planned == 400 for one in driver.progress)
