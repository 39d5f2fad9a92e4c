"""Gradient boosting on histograms (Ke and others, 2017; Friedman, 2001), as scikit-learn has it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from headway_api.model import GradientBoostingOptions
from headway_trainer.data.info import DataInfo
from headway_trainer.estimators.form import Floats, Form, Tree, joined
from headway_trainer.estimators.member import Features, of_all_classes, refuse_one_class


class GradientBoosting:
    """`gradientBoosting`."""

    def __init__(self, info: DataInfo, options: GradientBoostingOptions, *, seed: int, threads: int) -> None:  # noqa: ARG002
        """The threads are OpenMP's, which whoever calls fit bounds."""
        self._info, self._options = info, options
        self.notes: list[str] = []
        kind = HistGradientBoostingRegressor if info.classes is None else HistGradientBoostingClassifier
        self._models = [
            kind(
                learning_rate=options.learning_rate,
                max_iter=options.iterations,
                max_leaf_nodes=options.max_leaves,
                max_depth=options.max_depth,
                min_samples_leaf=options.min_leaf_rows,
                l2_regularization=options.l2,
                max_features=options.max_features,
                max_bins=options.max_bins,
                categorical_features=None,
                early_stopping=False,
                random_state=seed,
            )
            for _ in range(info.outputs if info.classes is None else 1)
        ]
        self.planned = options.iterations * len(self._models)

    @property
    def done(self) -> int:
        """scikit-learn's own list of trees, which grows while it fits; nothing else tells."""
        return sum(len(getattr(model, "_predictors", ())) for model in self._models)

    def memory(self, rows: int, features: int) -> int:
        """The features in 64 bits, in bins of a byte, and what finding the bins takes; gradients, margins and the rows'
        places."""
        return rows * (11 * features + 40 + 24 * self._info.outputs)

    def fit(self, x: Features, y: npt.NDArray[Any], weights: npt.NDArray[Any] | None) -> Form:
        """Fit a model to the classes, or one to each target."""
        refuse_one_class(self._info, y)
        targets = y.reshape(len(y), -1)
        for column, model in enumerate(self._models):
            model.fit(x, targets[:, column], sample_weight=weights)
        if self._info.classes is None:
            base = np.array([model._baseline_prediction.item() for model in self._models])
            trees = [tree for column, model in enumerate(self._models) for tree in _trees(model, column)]
            return Form(joined(trees, base), "values", self._info.outputs)
        model = self._models[0]
        base = model._baseline_prediction.reshape(-1)
        labels = tuple(int(label) for label in model.classes_)
        binary = len(base) == 1  # one margin, of the second class against the first
        trees = _trees(model, 1 if binary else 0)
        return Form(joined(trees, np.append(0.0, base) if binary else base), "margins", self._info.outputs, labels)

    def outputs(self, x: Features) -> Floats:
        """By predict_proba or predict."""
        if self._info.classes is None:
            return np.stack([model.predict(x) for model in self._models], axis=1)
        model = self._models[0]
        return of_all_classes(model.predict_proba(x), model.classes_, self._info.outputs)


def _trees(model: Any, first: int) -> list[Tree]:
    """The trees of a fitted model, those of an iteration for the columns from `first` on."""
    return [_tree(one.nodes, first + column) for iteration in model._predictors for column, one in enumerate(iteration)]


def _tree(nodes: npt.NDArray[Any], column: int) -> Tree:
    return Tree(
        feature=nodes["feature_idx"],
        threshold=nodes["num_threshold"],
        left=nodes["left"],
        right=nodes["right"],
        leaf=nodes["is_leaf"].astype(bool),
        values=nodes["value"].reshape(-1, 1),
        columns=(column,),
    )
