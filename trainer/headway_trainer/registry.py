"""The code behind the names that a spec may hold: found when it is asked for, so that a start imports no more.

Headway's own names and their options are in `headway_api` (a Catalogue each). Another package gives a name by an entry
point of its distribution, in the registry's group:

    [project.entry-points."headway.models"]
    "acme.resnet" = "acme_models:resnet"
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from headway_trainer.errors import UserError

Function = Callable[..., Any]


@dataclass(frozen=True)
class Registry:
    """The functions of one kind of name."""

    field: str
    """The field of the spec that holds the name, for messages."""
    group: str
    """The group of entry points in which other packages give names."""
    own: Mapping[str, str]
    """Headway's own functions, as `module:function`."""

    def of(self, name: str) -> Function:
        """The function of a name. Raises UserError where this image has none, or it cannot be imported."""
        if name in self.own:
            module, _, function = self.own[name].partition(":")
            found: Function = getattr(import_module(module), function)
            return found
        return self._load(self._find(name))

    def check(self, name: str) -> None:
        """Raise UserError where this image has no such name. Nothing is imported."""
        if name not in self.own:
            self._find(name)

    def _find(self, name: str) -> EntryPoint:
        found = list(entry_points(group=self.group, name=name))
        if not found:
            others = sorted({*self.own, *entry_points(group=self.group).names})
            raise UserError(
                f"{self.field} {name} is not in this image, which has {', '.join(others)}: install the package that"
                f" gives it (by an entry point in the group {self.group}), or write one of these"
            )
        values = sorted({point.value for point in found})
        if len(values) > 1:
            raise UserError(
                f"{self.field} {name} is given by several packages, as {' and '.join(values)}: uninstall all but one"
            )
        return found[0]

    def _load(self, point: EntryPoint) -> Function:
        try:
            function = point.load()
        except Exception as error:
            raise UserError(
                f"{self.field} {point.name} cannot be imported from {point.value}: {type(error).__name__}: {error}"
            ) from error
        if not callable(function):
            raise UserError(f"{self.field} {point.name} is {point.value}, which is no function")
        loaded: Function = function
        return loaded


MODELS = Registry(
    field="model.name",
    group="headway.models",
    own={
        "mlp": "headway_trainer.models.registry:mlp",
        "cnn": "headway_trainer.models.registry:cnn",
        "gru": "headway_trainer.models.gru:gru",
        "linear": "headway_trainer.estimators.linear:Linear",
        "randomForest": "headway_trainer.estimators.random_forest:RandomForest",
        "gradientBoosting": "headway_trainer.estimators.gradient_boosting:GradientBoosting",
        "lstm": "headway_trainer.models.sequence:lstm",
        "transformer": "headway_trainer.models.sequence:transformer",
        "autoencoder": "headway_trainer.models.autoencoder:autoencoder",
    },
)
"""Headway's own models are called as `function(info, options)`, those of other packages as `function(info, **options)`,
as a `model.entrypoint` is. Both return a torch.nn.Module or a Program; what scikit-learn fits is an
`estimators.member.Member`."""
