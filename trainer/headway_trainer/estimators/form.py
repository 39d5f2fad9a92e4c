"""What a fitted estimator computes, as plain numbers: the graph is written from it, and nothing of the library stays
that has fitted it.

Pure: no such library, and no onnx, is known here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

MOST_VALUES = 40_000_000
"""A file of ONNX holds 2 GiB, and each node of a tree, and each number in a leaf, takes up to 40 bytes of it."""
GRAPH_BYTES = 400
"""What a node takes in memory while the graph is written: its attributes are lists of Python's."""
LEAST_PROBABILITY = float(np.finfo(np.float64).eps)
"""What a probability of 0 counts as in the loss, which would else be infinite: as scikit-learn's log_loss has it."""


@dataclass(frozen=True)
class Linear:
    """Columns as weighted sums of the features."""

    weights: Floats
    """(features, columns)."""
    bias: Floats
    """(columns,)."""

    @property
    def columns(self) -> int:
        """How many columns it gives."""
        return len(self.bias)


@dataclass(frozen=True)
class Trees:
    """Columns as sums over trees: each tree adds what its leaf holds. A row goes left where `feature <= threshold`, or
    `feature < threshold` of strict ones."""

    tree: Integers
    """Of each node, the tree that it is in: (nodes,)."""
    node: Integers
    """Its number in that tree, 0 for the root."""
    feature: Integers
    """The feature that it looks at; 0 for a leaf."""
    threshold: npt.NDArray[np.float32]
    """What it compares the feature with; 0 for a leaf."""
    left: Integers
    """The node's number, in its tree, where a row goes that is not above the threshold; 0 for a leaf."""
    right: Integers
    """The node's number for the others."""
    leaf: npt.NDArray[np.bool_]
    """Whether it is a leaf."""
    value_tree: Integers
    """Of each value in a leaf, the tree: (values,)."""
    value_node: Integers
    """The leaf's number in its tree."""
    value_column: Integers
    """The column that it is added to."""
    value: npt.NDArray[np.float32]
    """What is added."""
    base: npt.NDArray[np.float32]
    """What each column begins with: (columns,)."""
    divisor: float = 1.0
    """What the sums are divided by: the number of trees for a mean."""
    strict: bool = False
    """Whether a row that is as large as the threshold goes right."""
    missing_left: npt.NDArray[np.bool_] | None = None
    """Whether a row without the feature, which is NaN, goes left; none where it goes right in each node: (nodes,)."""

    @property
    def columns(self) -> int:
        """How many columns it gives."""
        return len(self.base)


@dataclass(frozen=True)
class Form:
    """A fitted model from features, float32 (rows, features), to a task's outputs (rows, outputs)."""

    raw: Linear | Trees
    """What is computed first."""
    gives: Literal["values", "margins", "probabilities"]
    """What its columns are: standardised targets; what a softmax makes probabilities of; or probabilities."""
    outputs: int
    """The outputs: targets or classes."""
    labels: tuple[int, ...] = ()
    """The label of each column, where they are classes: a class without a training row has none."""


@dataclass(frozen=True)
class Tree:
    """One tree as the library that has grown it has it."""

    feature: npt.NDArray[Any]
    """(nodes,)."""
    threshold: npt.NDArray[Any]
    """In 64 bits, or in 32 of a tree whose comparison is strict: (nodes,)."""
    left: npt.NDArray[Any]
    """(nodes,)."""
    right: npt.NDArray[Any]
    """(nodes,)."""
    leaf: npt.NDArray[np.bool_]
    """(nodes,)."""
    values: npt.NDArray[Any]
    """What each node would add, of which the leaves count: (nodes, columns of this tree)."""
    columns: tuple[int, ...]
    """The columns that it adds to."""
    missing_left: npt.NDArray[np.bool_] | None = None
    """Whether a row without the feature goes left; none where it goes right: (nodes,)."""


def joined(trees: list[Tree], base: Floats, divisor: float = 1.0, *, strict: bool = False) -> Trees:
    """The trees as one sum, all of which say where missing values go, or none. base: what each column begins with;
    strict: as Trees has it."""
    sizes = [len(tree.leaf) for tree in trees]
    leaf = np.concatenate([tree.leaf for tree in trees])
    leaves = [np.flatnonzero(tree.leaf) for tree in trees]

    def inner(parts: list[npt.NDArray[Any]]) -> Integers:
        return np.where(leaf, 0, np.concatenate(parts)).astype(np.int64)

    threshold = np.concatenate([tree.threshold for tree in trees])
    missing = [tree.missing_left for tree in trees if tree.missing_left is not None]
    widths = [len(tree.columns) for tree in trees]
    counts = [len(own) * width for own, width in zip(leaves, widths, strict=True)]
    return Trees(
        tree=np.repeat(np.arange(len(trees)), sizes),
        node=np.concatenate([np.arange(size) for size in sizes]),
        feature=inner([tree.feature for tree in trees]),
        threshold=np.where(leaf, np.float32(0), threshold if strict else rounded_down(threshold)).astype(np.float32),
        left=inner([tree.left for tree in trees]),
        right=inner([tree.right for tree in trees]),
        leaf=leaf,
        value_tree=np.repeat(np.arange(len(trees)), counts),
        value_node=np.concatenate([np.repeat(own, width) for own, width in zip(leaves, widths, strict=True)]),
        value_column=np.concatenate([np.tile(tree.columns, len(own)) for tree, own in zip(trees, leaves, strict=True)]),
        value=np.concatenate([tree.values[own].reshape(-1) for tree, own in zip(trees, leaves, strict=True)]).astype(
            np.float32
        ),
        base=base.astype(np.float32),
        divisor=divisor,
        strict=strict,
        missing_left=np.concatenate(missing) & ~leaf if missing else None,
    )


def rounded_down(threshold: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """The greatest 32-bit numbers that are not above these of 64 bits: of a feature in 32 bits, each says the same.

    Rounded to the nearest one, a threshold between two neighbouring numbers could send the upper one the other way.
    """
    with np.errstate(over="ignore"):
        nearest = threshold.astype(np.float32)
        below = np.nextafter(nearest, np.float32(-np.inf))
    return np.where(nearest.astype(np.float64) > threshold, below, nearest)
