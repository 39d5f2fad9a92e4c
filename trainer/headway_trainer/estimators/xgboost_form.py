"""XGBoost's own JSON of a model as a Form. Pure.

The format: https://xgboost.readthedocs.io/en/stable/tutorials/saving_model.html.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from headway_trainer.estimators.form import Floats, Form, Tree, joined


def form_of(model: Mapping[str, Any], outputs: int, labels: tuple[int, ...]) -> Form:
    """A model of `gbtree` without categories. labels: those of its classes, in their order; empty for a regression.

    A row goes left where `feature < threshold`, in 32 bits, and without the feature where the node says. Of two classes
    there is one margin, of the second against the first.
    """
    learner = model["learner"]
    trees = learner["gradient_booster"]["model"]
    binary = len(labels) == 2  # noqa: PLR2004
    columns = len(labels) or outputs
    base = np.array(json.loads(learner["learner_model_param"]["base_score"]), np.float64).reshape(-1)
    base = np.append(0.0, -np.log(1 / base - 1)) if binary else np.broadcast_to(base, columns)
    first = 1 if binary else 0
    grown = [_tree(one, first + column) for one, column in zip(trees["trees"], trees["tree_info"], strict=True)]
    return Form(joined(grown, base, strict=True), "margins" if labels else "values", outputs, labels)


def _tree(tree: Mapping[str, Any], column: int) -> Tree:
    left, right = (np.array(tree[name], np.int64) for name in ("left_children", "right_children"))
    # What was pruned is still listed, though no way leads there.
    there = _reachable(left, right)
    place = np.cumsum(there) - 1
    leaf = left[there] < 0
    # A leaf's value stands where the others have their threshold.
    condition: Floats = np.array(tree["split_conditions"], np.float64)[there]
    return Tree(
        feature=np.array(tree["split_indices"], np.int64)[there],
        threshold=condition.astype(np.float32),
        left=place[left[there]],
        right=place[right[there]],
        leaf=leaf,
        values=condition.reshape(-1, 1),
        columns=(column,),
        missing_left=np.array(tree["default_left"], bool)[there],
    )


def _reachable(left: Any, right: Any) -> Any:
    there = np.zeros(len(left), bool)
    level = np.array([0])
    while len(level):
        there[level] = True
        inner = level[left[level] >= 0]
        level = np.concatenate([left[inner], right[inner]])
    return there
