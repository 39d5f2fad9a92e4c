"""All contradictions."""

from __future__ import annotations

from contradictions.across import ACROSS_SECTIONS
from contradictions.data import OF_COLUMNS, OF_SOURCES, OF_SPLITS
from contradictions.learning import OF_METRICS, OF_TRAINING
from contradictions.tasks import OF_FORECASTS, OF_LABELS, OF_RECONSTRUCTIONS

CONTRADICTIONS = [
    *OF_METRICS,
    *OF_SOURCES,
    *OF_COLUMNS,
    *OF_SPLITS,
    *OF_TRAINING,
    *OF_FORECASTS,
    *OF_RECONSTRUCTIONS,
    *OF_LABELS,
    *ACROSS_SECTIONS,
]
