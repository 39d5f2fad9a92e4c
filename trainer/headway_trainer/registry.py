"""The code behind the names that a spec may hold: found when it is asked for, so that a start imports no more.

Headway's own names and their options are in `headway_api` (a Catalogue each). Another package gives a name by an entry
point of its distribution, in the group of what it is:

    [project.entry-points."headway.models"]
    "acme.resnet" = "acme_models:resnet"

It is imported when a job names it, and not before.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module, util
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from headway_api.metrics import METRICS as METRIC_CATALOGUE
from headway_api.model import Model, estimator_of
from headway_trainer.declared import NamedMetric, NamedModel
from headway_trainer.errors import UserError

Function = Callable[..., Any]
MODEL_GROUP, ESTIMATOR_GROUP, METRIC_GROUP = "headway.models", "headway.estimators", "headway.metrics"
_GROUPS = (MODEL_GROUP, ESTIMATOR_GROUP, METRIC_GROUP)


@cache
def _installed(path: tuple[str, ...]) -> tuple[EntryPoint, ...]:  # noqa: ARG001 - what is found depends on it
    """All names that packages on Python's path give."""
    found = entry_points()
    return tuple(point for group in _GROUPS for point in found.select(group=group))


@dataclass(frozen=True)
class Packages:
    """The names of one kind that installed packages give."""

    field: str
    """What messages call the field of the spec that holds the name."""
    groups: tuple[str, ...]
    """The groups of entry points in which packages give names."""
    own: Collection[str]
    """Headway's own names."""

    def check(self, name: str, field: str | None = None) -> None:
        """Raise UserError where this image has no such name, or several. Nothing is imported. field: for messages."""
        if name not in self.own:
            self.find(name, field)
        elif points := self._points(name):
            raise UserError(
                f"{field or self.field} {name} is Headway's own, and {_told(points)} gives it, too: uninstall the"
                " package, or let it give a name with a dot, as package.name"
            )

    def find(self, name: str, field: str | None = None) -> EntryPoint:
        """The entry point of another package's name. Raises UserError where none has it, or several do."""
        found = self._points(name)
        if not found:
            there = (point.name for point in _installed(tuple(sys.path)) if point.group in self.groups)
            others = sorted({*self.own, *there})
            groups = " or ".join(self.groups)
            raise UserError(
                f"{field or self.field} {name} is not in this image, which has {', '.join(others)}: install the package"
                f" that gives it (by an entry point in the group {groups}), or write one of these"
            )
        if len({(point.group, point.value) for point in found}) > 1:
            raise UserError(
                f"{field or self.field} {name} is given by several packages, as {_told(found)}: uninstall all but one"
            )
        return found[0]

    def version(self, name: str) -> str:
        """The version of the package that gives a name. Raises UserError as find does."""
        distribution = self.find(name).dist
        return distribution.version if distribution is not None else ""

    def load(self, name: str, field: str | None = None) -> Any:
        """What another package has under a name. Raises UserError where none has it, or it cannot be imported."""
        point = self.find(name, field)
        try:
            return point.load()
        except Exception as error:
            raise UserError(
                f"{field or self.field} {name} cannot be imported from {point.value}: {type(error).__name__}: {error}"
            ) from error

    def _points(self, name: str) -> list[EntryPoint]:
        return [point for point in _installed(tuple(sys.path)) if point.group in self.groups and point.name == name]


@dataclass(frozen=True)
class Registry(Packages):
    """Headway's own functions of one kind, and beside them the names of packages."""

    own: Mapping[str, str]
    """Headway's own functions, as `module:function`."""
    needs: Mapping[str, tuple[str, str]]
    """Of names whose library an image of one's own may lack: the module, and what is installed for it."""

    def check(self, name: str, field: str | None = None) -> None:
        """As for all packages; and raise UserError where the library is not installed."""
        super().check(name, field)
        module, package = self.needs.get(name, ("", ""))
        if module and util.find_spec(module) is None:
            raise UserError(
                f"{field or self.field} {name} needs the package {module}, which is not in this image: install"
                f" {package} in it (headway[trainer] has it), or write another model"
            )

    def of(self, name: str) -> Function:
        """One of Headway's own functions."""
        module, _, function = self.own[name].partition(":")
        found: Function = getattr(import_module(module), function)
        return found


def _told(points: Collection[EntryPoint]) -> str:
    return " and ".join(sorted({point.value for point in points}))


MODELS = Registry(
    field="model.name",
    groups=(MODEL_GROUP, ESTIMATOR_GROUP),
    own={
        "mlp": "headway_trainer.models.registry:mlp",
        "cnn": "headway_trainer.models.registry:cnn",
        "gru": "headway_trainer.models.gru:gru",
        "linear": "headway_trainer.estimators.linear:Linear",
        "randomForest": "headway_trainer.estimators.random_forest:RandomForest",
        "gradientBoosting": "headway_trainer.estimators.gradient_boosting:GradientBoosting",
        "xgboost": "headway_trainer.estimators.xgboost_member:XGBoost",
        "lstm": "headway_trainer.models.sequence:lstm",
        "transformer": "headway_trainer.models.sequence:transformer",
        "autoencoder": "headway_trainer.models.autoencoder:autoencoder",
    },
    needs={"xgboost": ("xgboost", "xgboost-cpu")},
)
"""Headway's own models are called as `function(info, options)` and return a torch.nn.Module or a Program; what
scikit-learn or XGBoost fits is an `estimators.member.Member`."""
METRICS = Packages(field="the metric", groups=(METRIC_GROUP,), own=METRIC_CATALOGUE)
"""Headway's own metrics are those of the tasks."""


def package_model(name: str) -> NamedModel | Function:
    """What another package has under the name of a model: a NamedModel; or a function that is called as
    `function(info, **options)`, as a `model.entrypoint` is. Raises UserError."""
    found = MODELS.load(name)
    if isinstance(found, NamedModel):
        return found
    if estimator_name(Model(name=name)) is not None:
        raise _of_another_kind(MODELS, name, "is no headway_trainer.NamedModel")
    if not callable(found) or isinstance(found, type):
        raise _of_another_kind(MODELS, name, "is no function, and no headway_trainer.NamedModel")
    function: Function = found
    return function


@cache
def package_metric(name: str, field: str | None = None) -> NamedMetric:
    """A metric of another package; field: for messages. Raises UserError."""
    found = METRICS.load(name, field)
    if not isinstance(found, NamedMetric):
        raise _of_another_kind(METRICS, name, "is no headway_trainer.NamedMetric", field)
    return found


def _of_another_kind(packages: Packages, name: str, words: str, field: str | None = None) -> UserError:
    return UserError(f"{field or packages.field} {name} is {packages.find(name, field).value}, which {words}")


def estimator_name(model: Model | None) -> str | None:
    """The model's name, where an estimator fits it, Headway's or another package's; else none. Nothing is imported.

    Raises UserError for a name that this image has not.
    """
    name = model.name if model is not None else None
    if name is None or name in MODELS.own:
        return estimator_of(model)
    return name if MODELS.find(name).group == ESTIMATOR_GROUP else None
