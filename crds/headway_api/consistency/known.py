"""The names that a spec is judged by: Headway's own, and with them those of packages where these are at hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from headway_api.metrics import METRICS, Metric
from headway_api.model import MODELS, ModelFacts


@dataclass(frozen=True)
class Known:
    """What is known of each name. A name with a dot that is not here is another package's, and is not judged."""

    models: Mapping[str, ModelFacts] = MODELS
    metrics: Mapping[str, Metric] = METRICS


OWN = Known()
"""What is known without the image that will run a job."""
