"""What other packages declare under a name: a model, an estimator or a metric, with what is to be known before it is
used. `registry` finds it, by an entry point of the package."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, JsonValue, ValidationError

from headway_api import metrics
from headway_api.metrics import BETTER, TASKS, Better, Task
from headway_api.model import ModelFacts, Rows
from headway_api.wording import listed
from headway_trainer.errors import UserError

if TYPE_CHECKING:
    import torch

TAKES: tuple[Rows, ...] = ("table", "image", "series")
"""The rows that a package's model may be for: sequences of tokens are made for Headway's own alone."""


@dataclass(frozen=True, kw_only=True)
class NamedModel:
    """A model of the group `headway.models`, or an estimator of the group `headway.estimators`.

    Raises ValueError for tasks or rows that are none.
    """

    build: Callable[..., Any]
    """Of a model: `build(info, options)`, which returns a torch.nn.Module or a Program. Of an estimator:
    `build(info, options, seed=, threads=)`, which returns what `estimators.member.Member` says, not fitted yet."""
    options: type[BaseModel]
    """What `spec.model.options` takes: a pydantic model. What it does not name is refused."""
    tasks: Collection[Task]
    """What it can learn."""
    rows: Collection[Rows]
    """The rows that it can be given: `table`, `image` or `series`."""

    def __post_init__(self) -> None:
        _refuse_others("tasks", self.tasks, TASKS)
        _refuse_others("rows", self.rows, TAKES)
        options = self.options
        if not (isinstance(options, type) and issubclass(options, BaseModel) and options is not BaseModel):
            raise ValueError("options is no pydantic model: give a class that is derived from pydantic.BaseModel")

    def facts(self, *, estimator: bool) -> ModelFacts:
        """What specs are judged by."""
        return ModelFacts(frozenset(self.rows), frozenset(self.tasks), estimator=estimator)

    def parse(self, name: str, options: Mapping[str, JsonValue]) -> BaseModel:
        """The typed options of `model.options`; name: the model's. Raises UserError for what does not fit."""
        fields = self.options.model_fields
        if self.options.model_config.get("extra") != "allow":
            allowed = {info.alias or field for field, info in fields.items()} | set(fields)
            for given in options:
                if given not in allowed:
                    known = listed(sorted(allowed)) or "no options"
                    raise UserError(f"model.options: {name} has no option {given!r}: it has {known}")
        try:
            return self.options.model_validate(dict(options))
        except ValidationError as error:
            first = error.errors()[0]
            path = ".".join(("model.options", *(str(part) for part in first["loc"])))
            raise UserError(f"{path} of {name}: {first['msg']}") from error
        except Exception as error:  # what a package's own checks raise
            raise UserError(f"model.options of {name} raised {type(error).__name__}: {error}") from error


@dataclass(frozen=True, kw_only=True)
class NamedMetric:
    """A metric of the group `headway.metrics`: one number, computed once over the rows of all training processes.

    What it is made of is either `sums` or `rows`, called as `(predicted, actual)` for some rows at a time, without
    gradients. Of a classification, predicted are probabilities, float64 (rows, classes), and actual labels, int64
    (rows,). Of a regression both are float64 (rows, targets), of a forecast (rows, horizon, targets), in the units of
    the source. Of a reconstruction both are float64 (rows, *row_shape), as the model takes features.

    Raises ValueError where it contradicts itself.
    """

    better: Better
    """Whether smaller (`min`) or larger (`max`) values are better."""
    tasks: Collection[Task]
    """The tasks that have it."""
    value: Callable[[torch.Tensor], torch.Tensor | float]
    """Of the sums, or the rows, of a whole part, float64 on the CPU: the metric. NaN where it is undefined."""
    sums: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None = None
    """Any numbers that are added up over all rows, always of the same shape."""
    rows: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None = None
    """What is kept of each row, (rows, ...), for what no sum tells: 8 bytes for each number, in each process."""
    least: float | None = None
    """The least value that it can have, if there is one."""
    most: float | None = None
    """The greatest value that it can have, if there is one."""

    def __post_init__(self) -> None:
        if self.better not in BETTER:
            raise ValueError(f"better is {self.better!r}: write 'min' or 'max'")
        _refuse_others("tasks", self.tasks, TASKS)
        if (self.sums is None) == (self.rows is None):
            raise ValueError("give sums or rows, and not both")

    @property
    def facts(self) -> metrics.Metric:
        """What specs are judged by."""
        return metrics.Metric(frozenset(self.tasks), self.better, self.least, self.most)


def _refuse_others(field: str, given: Collection[str], known: Collection[str]) -> None:
    if isinstance(given, str) or not given or not set(given) <= set(known):
        raise ValueError(f"{field} is {given!r}: write some of {', '.join(known)}")
