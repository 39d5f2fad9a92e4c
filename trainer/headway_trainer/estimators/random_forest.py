"""Random forests (Breiman, 2001)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from headway_api.model import RandomForestOptions
from headway_trainer.data.info import DataInfo
from headway_trainer.data.read.memory import check_memory
from headway_trainer.errors import UserError
from headway_trainer.estimators.form import GRAPH_BYTES, MOST_VALUES, Floats, Form, Tree, joined
from headway_trainer.estimators.member import Features, of_all_classes, refuse_one_class

_ROUNDS = 20
"""The trees are grown in about so many rounds, after each of which it is told how far the forest is."""


class RandomForest:
    """`randomForest`."""

    def __init__(self, info: DataInfo, options: RandomForestOptions, *, seed: int, threads: int) -> None:
        self._info, self._options, self._threads = info, options, threads
        self.notes: list[str] = []
        kind = RandomForestRegressor if info.classes is None else RandomForestClassifier
        by_task = 1.0 if info.classes is None else "sqrt"
        self._model = kind(
            max_depth=options.max_depth,
            min_samples_leaf=options.min_leaf_rows,
            max_features=options.max_features or by_task,
            max_samples=None if options.max_rows == 1.0 else options.max_rows,
            n_jobs=threads,
            random_state=seed,
            warm_start=True,
        )
        self.planned = options.trees
        self.done = 0

    def memory(self, rows: int, features: int) -> int:  # noqa: ARG002 - the features are taken as they are given
        """What each tree that grows has of the rows; the trees themselves are seen as they grow."""
        return rows * (60 * self._threads + 16 * self._info.outputs)

    def fit(self, x: Features, y: npt.NDArray[Any], weights: npt.NDArray[Any] | None) -> Form:
        """Grow the trees, a few at a time: they are the same as if they were grown at once.

        Raises UserError for a forest that neither memory nor file will hold, as soon as its first trees tell.
        """
        refuse_one_class(self._info, y)
        target = y if self._info.classes is not None or self._info.outputs > 1 else y.reshape(-1)
        step = max(self._threads, -(-self.planned // _ROUNDS))
        while self.done < self.planned:
            self._model.set_params(n_estimators=min(self.planned, self.done + step))
            self._model.fit(x, target, sample_weight=weights)
            self.done = len(self._model.estimators_)
            self._refuse_too_large()
        columns = tuple(range(self._columns))
        trees = [self._tree(one.tree_, columns) for one in self._model.estimators_]
        form = joined(trees, np.zeros(self._columns), float(len(trees)))
        if self._info.classes is None:
            return Form(form, "values", self._info.outputs)
        return Form(form, "probabilities", self._info.outputs, tuple(int(label) for label in self._model.classes_))

    @property
    def _columns(self) -> int:
        return self._info.outputs if self._info.classes is None else len(self._model.classes_)

    def _tree(self, tree: Any, columns: tuple[int, ...]) -> Tree:
        return Tree(
            feature=tree.feature,
            threshold=tree.threshold,
            left=tree.children_left,
            right=tree.children_right,
            leaf=tree.children_left < 0,
            values=tree.value.reshape(tree.node_count, -1),  # for classes, shares of the rows
            columns=columns,
        )

    def _refuse_too_large(self) -> None:
        nodes = sum(one.tree_.node_count for one in self._model.estimators_)
        values = math.ceil(nodes * (1 + self._columns / 2) / self.done * self.planned)
        remedy = "raise model.options.minLeafRows, or lower model.options.maxDepth or model.options.trees"
        if values > MOST_VALUES:
            raise UserError(
                f"a forest of {self.planned} trees like the first {self.done} has about {values:,} nodes and values of "
                f"leaves, and model.onnx holds {MOST_VALUES:,}: {remedy}"
            )
        grown = nodes * (self.planned - self.done) / self.done * (64 + 8 * self._columns)
        check_memory(int(grown + values * GRAPH_BYTES), f"a forest of {self.planned} trees like its first", remedy)

    def outputs(self, x: Features) -> Floats:
        """By predict_proba or predict."""
        if self._info.classes is None:
            return np.asarray(self._model.predict(x), np.float64).reshape(len(x), -1)
        return of_all_classes(self._model.predict_proba(x), self._model.classes_, self._info.outputs)
