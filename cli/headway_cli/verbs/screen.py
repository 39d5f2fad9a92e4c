"""A block of lines on a terminal that is drawn again in its place."""

from __future__ import annotations

from collections.abc import Sequence

import click

from headway_api.wording import printable
from headway_cli.cluster.tables import fitted
from headway_cli.verbs.shared import height, say, width


class Screen:
    """A block of lines on a terminal that is drawn again in its place."""

    def __init__(self) -> None:
        self._drawn = 0

    def draw(self, lines: Sequence[tuple[str, str | None]]) -> None:
        """Draw lines over those before; as many as there is room for."""
        columns = width() or 80
        if self._drawn:
            click.echo(f"\x1b[{self._drawn}F\x1b[J", nl=False, color=True)
        kept = lines[: max(1, height() - 2)]
        for line, mark in kept:
            # A line that wraps would be two.
            say(fitted(printable(line), columns - 1), mark=mark)
        self._drawn = len(kept)

    def forget(self) -> None:
        """Something else was written below: begin anew there."""
        self._drawn = 0
