"""The words and numbers that statuses are made of, with their bounds: what a pod says ends up in them."""

from __future__ import annotations

from typing import Annotated

from headway_api.base import MOST_COUNTED, Between, Cut

Time = Annotated[str, Cut(64)]
"""RFC 3339, UTC, whole seconds."""
Word = Annotated[str, Cut(253)]
Message = Annotated[str, Cut(4096)]
Place = Annotated[str, Cut(4096)]
Count = Annotated[int, Between(0, MOST_COUNTED)]
"""A number that a pod says: whatever it says, the API server takes it."""
Number = Annotated[str, Cut(64)]
"""A number as text, as the API conventions want it."""
MAX_METRICS = 128
MAX_METRIC_NAME_LENGTH = 128
MetricValues = Annotated[
    dict[Annotated[str, Cut(MAX_METRIC_NAME_LENGTH)], Number],
    Cut(MAX_METRICS),
]
"""By `split/name`."""
