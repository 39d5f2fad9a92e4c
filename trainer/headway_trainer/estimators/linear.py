"""Linear models: Ridge for a regression, LogisticRegression for classes."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge

from headway_api.model import LinearOptions
from headway_trainer.data.info import DataInfo
from headway_trainer.estimators.form import Floats, Form
from headway_trainer.estimators.form import Linear as LinearForm
from headway_trainer.estimators.member import Features, of_all_classes, refuse_one_class

_TOLERANCE = 1e-6
"""Of LogisticRegression's gradient: the default, 1e-4, leaves the third digit of a weight open."""


class Linear:
    """`linear`."""

    planned = 0
    done = 0

    def __init__(self, info: DataInfo, options: LinearOptions, *, seed: int, threads: int) -> None:  # noqa: ARG002
        """Neither solver draws lots; both leave threads to BLAS."""
        self._info, self._options = info, options
        self.notes: list[str] = []
        self._model: Any = None

    def memory(self, rows: int, features: int) -> int:
        """A copy in 64 bits, which weights make a second time; then the normal equations, or the rows' margins."""
        if self._info.classes is None:
            copies = 2 if self._info.weighted else 1
            return 8 * features * (rows * copies + 3 * features)
        return 8 * rows * (features + 5 * self._info.outputs)

    def fit(self, x: Features, y: npt.NDArray[Any], weights: npt.NDArray[Any] | None) -> Form:
        """Fit in 64 bits."""
        refuse_one_class(self._info, y)
        precise = x.astype(np.float64)
        if self._info.classes is None:
            return self._fit_values(precise, y.astype(np.float64), weights)
        model = LogisticRegression(C=1 / self._options.alpha, max_iter=self._options.max_iterations, tol=_TOLERANCE)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # it is told below
            model.fit(precise, y, sample_weight=weights)
        self._model = model
        if model.n_iter_.max() >= self._options.max_iterations:
            self.notes.append(
                f"The solver was stopped after model.options.maxIterations, {self._options.max_iterations}, and had "
                "not converged: raise it, or raise model.options.alpha."
            )
        weight, bias = model.coef_.T, model.intercept_
        if len(model.classes_) == 2:  # noqa: PLR2004 - one margin, of the second class against the first
            weight, bias = np.hstack([np.zeros_like(weight), weight]), np.concatenate([[0.0], bias])
        labels = tuple(int(label) for label in model.classes_)
        return Form(LinearForm(weight, bias), "margins", self._info.outputs, labels)

    def _fit_values(self, x: Floats, y: Floats, weights: npt.NDArray[Any] | None) -> Form:
        self._model = Ridge(alpha=self._options.alpha, copy_X=False).fit(
            x, y.reshape(len(y), -1), sample_weight=weights
        )
        outputs = self._info.outputs
        weights_of = LinearForm(self._model.coef_.reshape(outputs, -1).T, self._model.intercept_.reshape(outputs))
        return Form(weights_of, "values", outputs)

    def outputs(self, x: Features) -> Floats:
        """By predict_proba or predict, in 64 bits."""
        precise = x.astype(np.float64)
        if self._info.classes is None:
            return np.asarray(self._model.predict(precise), np.float64).reshape(len(x), -1)
        return of_all_classes(self._model.predict_proba(precise), self._model.classes_, self._info.outputs)
