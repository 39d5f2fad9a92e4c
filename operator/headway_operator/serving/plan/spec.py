"""From a ModelDeployment's document to the spec that counts."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from headway_api.deployment import ModelDeployment, ModelDeploymentSpec
from headway_api.validate import problems_of, too_deep
from headway_operator.engine.text import bounded
from headway_operator.serving.plan.model import Defaults

PROBLEM_LIMIT = 300


def resolve(document: Mapping[str, Any], defaults: Defaults) -> tuple[ModelDeploymentSpec | None, tuple[str, ...]]:
    """The spec of a document; or else what is wrong with it, a sentence each."""
    if too_deep(document) is None:
        with contextlib.suppress(ValidationError):  # what is wrong is told in better words
            spec = ModelDeployment.model_validate({key: document[key] for key in document if key != "status"}).spec
            if spec.server.image is None and defaults.image is None:
                return None, (
                    "spec.server.image: is missing, and the operator has no default server image: set one of them",
                )
            return spec, ()
    return None, tuple(bounded(str(problem), PROBLEM_LIMIT) for problem in problems_of(document))
