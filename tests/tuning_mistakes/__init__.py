"""Wrong sections of `spec.tuning`, by subject."""

from tuning_mistakes.bounds import BOUNDS
from tuning_mistakes.objectives import ACCURACY, OBJECTIVES, SIZE, both, kept
from tuning_mistakes.searches import SEARCHES
from tuning_mistakes.values import VALUES

MISTAKES = [*VALUES, *SEARCHES, *OBJECTIVES, *BOUNDS]

__all__ = ["ACCURACY", "MISTAKES", "SIZE", "both", "kept"]
