"""Which of two judges counts: each process has a term, and the greater one wins. Pure.

There are two where a node is lost and comes back, or where a Deployment was deleted and made again. Each would hear of
a part of the servers, and write over the other. The store writes nothing over what was not read, so a judge learns of
a newer one before it says a word after it.
"""

from __future__ import annotations

from pydantic import ValidationError

from headway_api import rollout_wire as wire

SILENT_SECONDS = 3 * wire.BEAT_SECONDS
"""Whoever has given way judges again when the other one has said nothing for so long: it may be gone for good."""


class Terms:
    """The term of one process, and what it knows of others'."""

    def __init__(self, told_by: str | None) -> None:
        """told_by: the pod's name."""
        self.own = 1
        self.deposed = False
        """Whether another process has a greater term, and speaks."""
        self._told_by = told_by
        self._spoken = False
        self._text = ""
        self._since = 0.0
        """When that text was first seen."""

    def read(self, text: str, now: float) -> None:
        """Take the last word of anybody."""
        if text != self._text:
            self._text, self._since = text, now
            self._heard(text)
        elif self.deposed and now - self._since >= SILENT_SECONDS:
            self._take_over(text)

    def wrote(self) -> None:
        """This process has spoken in its term."""
        self._spoken = True

    def _heard(self, text: str) -> None:
        said = said_in(text)
        if said is None:
            self.deposed = False
        elif not self._spoken:
            self.own = max(self.own, said.term + 1)
        else:
            mine = said.term == self.own and said.told_by == self._told_by
            self.deposed = said.term >= self.own and not mine

    def _take_over(self, text: str) -> None:
        said = said_in(text)
        self.own = max(self.own, (said.term if said is not None else 0) + 1)
        self.deposed = False


def said_in(text: str) -> wire.Verdict | None:
    """The verdict that was written last; None where there is none, or none that can be read."""
    try:
        return wire.Verdict.model_validate_json(text)
    except ValidationError:
        return None
