"""XGBoost (Chen and Guestrin, 2016), driven iteration by iteration so that a fit can be left and gone on with."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import xgboost

from headway_api.model import XGBoostOptions
from headway_trainer.data.info import DataInfo
from headway_trainer.data.read.memory import check_memory
from headway_trainer.errors import UserError
from headway_trainer.estimators.form import GRAPH_BYTES, MOST_VALUES, Floats, Form
from headway_trainer.estimators.iterations import Course, FitLeft, Part
from headway_trainer.estimators.member import Features, of_all_classes, refuse_one_class
from headway_trainer.estimators.xgboost_form import form_of

_NODE_BYTES, _TREE_BYTES = 34, 600
"""What a node takes in XGBoost's binary format, and what each tree has beside its nodes, at least."""
_HISTOGRAM_BYTES = 256 * 2**20
"""What histograms of nodes may take that XGBoost keeps while a tree grows. By its own default they are 65,536, which is
GiBs for trees of thousands of leaves; without them a node's are counted again."""
_TEXT_BYTES = 400
"""What a node takes in memory while the model is read from XGBoost's JSON."""


class XGBoost:
    """`xgboost`."""

    def __init__(self, info: DataInfo, options: XGBoostOptions, *, seed: int, threads: int) -> None:
        self._info, self._options, self._seed, self._threads = info, options, seed, threads
        self.notes: list[str] = []
        self.course = Course()
        self.planned = options.iterations
        self._validation: Callable[[], Part | None] = lambda: None
        self._kept: bytes | None = None
        self._goes_on: Callable[[], bool] = lambda: True
        self._labels: npt.NDArray[Any] | None = None
        self._booster: Any = None

    @property
    def done(self) -> int:
        """Iterations that are done, those of earlier attempts too."""
        return self.course.iterations

    def memory(self, rows: int, features: int) -> int:
        """The features with their places, and in groups; gradients, margins and the rows' places; histograms."""
        options = self._options
        most = 1 << (options.max_depth or 30)
        nodes = 2 * min(most, options.max_leaves or most, rows)
        histograms = min(nodes, self._most_histograms(features)) * self._histogram(features)
        return rows * (12 * features + 40 + 24 * self._info.outputs) + histograms

    def _histogram(self, features: int) -> int:
        """The bytes of a node's: two sums of 64 bits for each group of values."""
        return 16 * features * self._options.max_bins

    def _most_histograms(self, features: int) -> int:
        """How many are kept at once: a node's, its sibling's and their parent's in any case."""
        return min(65_536, max(3, _HISTOGRAM_BYTES // self._histogram(features)))

    def begin(
        self, validation: Callable[[], Part | None], kept: tuple[Course, bytes] | None, goes_on: Callable[[], bool]
    ) -> None:
        """As `iterations.Iterative` has it."""
        self._validation, self._goes_on = validation, goes_on
        if kept is not None:
            self.course, self._kept = kept

    def state(self) -> bytes:
        """The trees so far, in XGBoost's binary format: all else follows from them, the rows and the seed."""
        return bytes(self._booster.save_raw("ubj"))

    def fit(self, x: Features, y: npt.NDArray[Any], weights: npt.NDArray[Any] | None) -> Form:
        """Grow the trees, or those that an earlier attempt has left.

        Raises UserError for early stopping without validation rows, and for a model that no file will hold; FitLeft.
        """
        refuse_one_class(self._info, y)
        self._labels = None if self._info.classes is None else np.unique(y)
        parts = [(self._matrix(Part(x, y, weights)), "train")]
        validation = self._validation()
        if validation is not None and (matrix := self._of_known_classes(validation)) is not None:
            parts.append((matrix, "validation"))
        if self._options.early_stopping_rounds is not None and len(parts) == 1:
            raise UserError(
                "model.options.earlyStoppingRounds goes by the loss of the validation part, and it has no rows to judge"
                " by: set data.split.validation above 0, or take it out"
            )
        self._grow(parts)
        return self._finished()

    def _grow(self, parts: list[tuple[Any, str]]) -> None:
        parameters = self._parameters()
        self._booster = booster = xgboost.Booster(parameters, [matrix for matrix, _ in parts])
        if self._kept is not None:
            booster.load_model(bytearray(self._kept))
            booster.set_param(parameters)
            self._kept = None
        while not self._ended():
            self._begin_samplers(booster)
            booster.update(parts[0][0], self.done)
            self._add(booster.eval_set(parts, self.done))
            if self.done & (self.done - 1) == 0:  # at powers of two, as it looks at all trees
                self._refuse_too_large()
            if not self._ended() and not self._goes_on():
                raise FitLeft

    def _ended(self) -> bool:
        return self.course.early_stopped or self.done >= self.planned

    def _begin_samplers(self, booster: Any) -> None:
        """Let what draws rows and features begin anew, from the seed and the iteration alone.

        XGBoost keeps what draws features from iteration to iteration, and no model file has its state. It makes a new
        one with each new updater, and a new updater where the tree method has been another one meanwhile.
        """
        options = self._options
        shares = (options.subsample, options.colsample_by_tree, options.colsample_by_level, options.colsample_by_node)
        if min(shares) < 1.0:
            booster.set_param("tree_method", "approx")
            booster.num_features()  # parameters are taken over by the first call that needs them
            booster.set_param("tree_method", "hist")

    def _add(self, told: str) -> None:
        """Take note of the losses in the text that XGBoost makes of them, with 17 digits."""
        losses = dict(part.rsplit(":", 1) for part in told.split("\t")[1:])
        found = {name.partition("-")[0]: float(value) for name, value in losses.items()}
        squared = self._info.classes is None
        by_part = {part: value**2 if squared else value for part, value in found.items() if math.isfinite(value)}
        patience = self._options.early_stopping_rounds
        self.course = self.course.after(by_part.get("train"), by_part.get("validation"), patience)

    def _finished(self) -> Form:
        course, booster = self.course, self._booster
        if self._options.early_stopping_rounds is not None:
            if course.best_loss is None:
                self.notes.append(
                    "The loss of the validation part was never a finite number, so early stopping could choose no"
                    " iteration: the first one was kept."
                )
            best = max(course.best, 1)
            booster = booster[:best]
            booster.set_param("nthread", self._threads)
            ended = "it was stopped early" if course.early_stopped else "it was not stopped early"
            loss = "" if course.best_loss is None else f" with the lowest validation/loss, {course.best_loss:.6g}"
            self.notes.append(f"Of {course.iterations} iterations the model has the first {best},{loss}: {ended}.")
        self._booster = booster
        self._refuse_too_large()
        labels = () if self._labels is None else tuple(int(label) for label in self._labels)
        return form_of(json.loads(booster.save_raw("json")), self._info.outputs, labels)

    def outputs(self, x: Features) -> Floats:
        """By XGBoost's own margins: their sums are in 32 bits, and what is made of them here is in 64."""
        rows = xgboost.DMatrix(x, missing=math.nan, nthread=self._threads)
        margins = np.asarray(self._booster.predict(rows, output_margin=True), np.float64)
        if self._labels is None:
            return margins.reshape(len(x), -1)
        if margins.ndim == 1:
            margins = np.stack([np.zeros(len(x)), margins], axis=1)
        shares = np.exp(margins - margins.max(axis=1, keepdims=True))
        return of_all_classes(shares / shares.sum(axis=1, keepdims=True), self._labels, self._info.outputs)

    def _matrix(self, part: Part) -> Any:
        y = part.y if self._labels is None else np.searchsorted(self._labels, part.y)
        return xgboost.DMatrix(part.x, label=y, weight=part.weights, missing=math.nan, nthread=self._threads)

    def _of_known_classes(self, part: Part) -> Any:
        """Rows to judge by: XGBoost knows no class without a training row. None where none is left."""
        if self._labels is not None and not (known := np.isin(part.y, self._labels)).all():
            self.notes.append(
                f"{int((~known).sum())} rows of the validation part are of classes without a training row: the losses"
                " after each iteration leave them out."
            )
            part = Part(part.x[known], part.y[known], None if part.weights is None else part.weights[known])
        return self._matrix(part) if len(part.x) else None

    def _parameters(self) -> dict[str, Any]:
        options = self._options
        return self._objective() | {
            "tree_method": "hist",
            "device": "cpu",
            "nthread": self._threads,
            "seed": self._seed,
            "seed_per_iteration": True,
            "verbosity": 0,
            "eta": options.learning_rate,
            "max_depth": options.max_depth,
            "max_leaves": options.max_leaves or 0,
            "grow_policy": options.grow_policy,
            "min_child_weight": options.min_child_weight,
            "gamma": options.gamma,
            "max_delta_step": options.max_delta_step,
            "lambda": options.l2,
            "alpha": options.l1,
            "subsample": options.subsample,
            "colsample_bytree": options.colsample_by_tree,
            "colsample_bylevel": options.colsample_by_level,
            "colsample_bynode": options.colsample_by_node,
            "max_bin": options.max_bins,
            "max_cached_hist_node": self._most_histograms(self._info.features),
        }

    def _objective(self) -> dict[str, Any]:
        if self._labels is None:
            return {"objective": "reg:squarederror", "eval_metric": "rmse"}
        if len(self._labels) == 2:  # noqa: PLR2004 - one margin, of the second class against the first
            return {"objective": "binary:logistic", "eval_metric": "logloss"}
        return {"objective": "multi:softprob", "eval_metric": "mlogloss", "num_class": len(self._labels)}

    @property
    def _trees_each(self) -> int:
        """The trees of an iteration."""
        if self._labels is None:
            return self._info.outputs
        return 1 if len(self._labels) == 2 else len(self._labels)  # noqa: PLR2004

    def _refuse_too_large(self) -> None:
        """Where early stopping may end the fit sooner, the trees that there are count; else as many as are planned."""
        done = self._booster.num_boosted_rounds()
        goal = done if self._options.early_stopping_rounds is not None else self.planned
        trees = done * self._trees_each
        there = max(trees, (len(self._booster.save_raw("ubj")) - _TREE_BYTES * trees) / _NODE_BYTES)
        nodes = math.ceil(there / done * goal)
        values = math.ceil(1.5 * nodes)
        told, remedy = f"{goal} iterations of trees like those so far", "lower model.options.maxDepth or iterations"
        if values > MOST_VALUES:
            raise UserError(
                f"{told} have about {values:,} nodes and values of leaves, and model.onnx holds {MOST_VALUES:,}: "
                f"{remedy}, or write model.options.maxLeaves"
            )
        check_memory(nodes * _TEXT_BYTES + values * GRAPH_BYTES, told, remedy)
