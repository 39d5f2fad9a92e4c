"""The data sets that ship with scikit-learn."""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path

import numpy as np

from headway_trainer.data.content import ArrayContent
from headway_trainer.data.read.hashes import hash_arrays


def load_builtin(name: str) -> ArrayContent:
    """A data set that ships with scikit-learn; digits are images (1, 8, 8)."""
    if name == "digits":
        return _digits()
    from sklearn import datasets

    bunch = getattr(datasets, f"load_{name}")()
    names = None if name == "diabetes" else [str(value) for value in bunch.target_names]
    return ArrayContent(
        x=bunch.data,
        y=bunch.target,
        content_hash=hash_arrays(bunch.data, bunch.target),
        target=f"the target of {name}",
        class_names=names,
        feature_names=[str(value) for value in bunch.feature_names],
    )


def _digits() -> ArrayContent:
    """As `sklearn.datasets.load_digits`, whose import alone takes seconds: what people try first starts quickly."""
    spec = importlib.util.find_spec("sklearn")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("scikit-learn is not installed", name="sklearn")
    with gzip.open(Path(spec.submodule_search_locations[0], "datasets", "data", "digits.csv.gz"), "rt") as rows:
        table = np.loadtxt(rows, delimiter=",")
    x, y = table[:, :-1].reshape(-1, 1, 8, 8), table[:, -1].astype(np.int64)
    return ArrayContent(
        x=x,
        y=y,
        content_hash=hash_arrays(x, y),
        target="the target of digits",
        class_names=[str(digit) for digit in range(10)],
    )
