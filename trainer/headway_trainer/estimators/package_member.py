"""An estimator of another package: what it raises, or gives wrongly, is one sentence for its user."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue

from headway_trainer.data.info import DataInfo
from headway_trainer.declared import NamedModel
from headway_trainer.entrypoints import describe
from headway_trainer.errors import UserError
from headway_trainer.estimators.form import Floats
from headway_trainer.estimators.member import Features, refuse_one_class
from headway_trainer.models.build import refuse_other_task
from headway_trainer.registry import package_model

_NEEDED = ("fit", "outputs")


class PackageMember:
    """A Member around a package's own, of which only `fit` and `outputs` have to be there."""

    def __init__(self, name: str, options: Mapping[str, JsonValue], info: DataInfo, *, seed: int, threads: int) -> None:
        """Raises UserError for options that do not fit, another task, and what the package raises or gives wrongly."""
        self._name, self._info = name, info
        declared = package_model(name)
        if not isinstance(declared, NamedModel):
            raise TypeError(f"{name} declares nothing")  # an entry point of its group does
        refuse_other_task(name, declared.tasks, info)
        parsed = declared.parse(name, options)
        self._own = self._called("build", lambda: declared.build(info, parsed, seed=seed, threads=threads))
        missing = [what for what in _NEEDED if not callable(getattr(self._own, what, None))]
        if missing:
            raise self._mistake(f"build gave a {type(self._own).__name__}, which has no {' and no '.join(missing)}")
        self.planned = int(self._called("planned", lambda: getattr(self._own, "planned", 0)))
        self.notes: list[str] = []

    @property
    def done(self) -> int:
        """Iterations that are done; none for an estimator that counts none."""
        return int(self._called("done", lambda: getattr(self._own, "done", 0)))

    def memory(self, rows: int, features: int) -> int:
        """What the package says; without a word of it, a copy of the rows in 64 bits."""
        own = getattr(self._own, "memory", None)
        return 8 * rows * features if own is None else int(self._called("memory", lambda: own(rows, features)))

    def fit(self, x: Features, y: npt.NDArray[Any], weights: npt.NDArray[Any] | None) -> Any:
        """What the package fits, which is looked at where its graph is made."""
        refuse_one_class(self._info, y)
        made = self._called("fit", lambda: self._own.fit(x, y, weights))
        self.notes = self._called("notes", lambda: [str(note) for note in getattr(self._own, "notes", ())])
        return made

    def outputs(self, x: Features) -> Floats:
        """What the package's own model says."""
        made = np.asarray(self._called("outputs", lambda: self._own.outputs(x)), np.float64)
        made = made.reshape(len(x), -1) if made.ndim == 1 and len(made) == len(x) else made
        wanted = (len(x), self._info.outputs)
        if made.shape != wanted:
            raise self._mistake(f"outputs gave the shape {made.shape} for {len(x)} rows: it must give {wanted}")
        return made

    def _called(self, what: str, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except (UserError, MemoryError):
            raise
        except Exception as error:
            raise self._mistake(f"{what} raised {describe(error)}") from error

    def _mistake(self, words: str) -> UserError:
        return UserError(f"model.name {self._name}: {words}")
