"""What is known of a key beside what the API server says; it goes with the key, in one place."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from headway_operator.engine.keys import Ref
from headway_operator.engine.steps import Refusal

FIRST_REFUSAL_DELAY = 5.0
LONGEST_REFUSAL_DELAY = 60.0
STATUS_REFUSED_SECONDS = 60.0
"""So long the words of a status that was refused are left out of the next ones."""


@dataclass(slots=True)
class Memory:
    """What one process remembers of one object."""

    uid: str
    last_write: float | None = None
    """When the status was last written."""
    last_reconciled: float = float("-inf")
    refusals: dict[str, Refusal] = field(default_factory=dict)
    """What was refused of its children, by name."""
    refused_times: int = 0
    """How often in a row."""
    made: dict[Ref, str] = field(default_factory=dict)
    """Its children that nobody watches, as far as they were made here and not deleted, with their uids."""
    unsure: bool = False
    """A child was asked for, and no answer tells whether it was made: the watch may take its time to show it."""
    status_refused_until: float = float("-inf")
    course: Any = None
    """What the kind's measures remember."""

    def note_refusals(self, asked: set[str], refused: dict[str, Refusal], generation: int, now: float) -> None:
        """Children were asked for, and some of them refused: those that were not are forgotten."""
        recent = now - LONGEST_REFUSAL_DELAY
        kept = {
            name: refusal for name, refusal in self.refusals.items() if name not in asked and refusal.retry_at > recent
        }
        if not refused:
            self.refusals, self.refused_times = kept, 0 if not kept else self.refused_times
            return
        self.refused_times += 1
        delay = min(LONGEST_REFUSAL_DELAY, FIRST_REFUSAL_DELAY * 2.0 ** min(self.refused_times - 1, 10))
        self.refusals = kept | {
            name: replace(refusal, retry_at=now + delay, generation=generation) for name, refusal in refused.items()
        }
