"""A data profile on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from headway_api.wording import printable

if TYPE_CHECKING:
    from headway_trainer.data.profile import Profile

_WIDE = 110
"""Signs that the whole table needs; a narrower terminal shows what matters most."""
_NARROW = ("column", "kind", "role", "why", "missing")
MOST_AFTER_A_RUN = 20
"""Columns that are shown at the end of a run; the report has more."""


def print_profile(profile: Profile, console: Console, *, most: int = MOST_AFTER_A_RUN) -> None:
    """The table of columns, at most so many, what was read and is learnt, and the warnings; notes in a full profile."""
    from headway_trainer.data.profile import HEADINGS, bounded_columns, cells, summary

    shown = bounded_columns(profile.columns, most)
    cut = profile.model_copy(update={"columns": shown})
    if shown:
        table = Table(title=f"The data: {_shown(profile.source)}" if profile.source else "The data")
        chosen = [index for index, name in enumerate(HEADINGS) if console.width >= _WIDE or name in _NARROW]
        for heading in (HEADINGS[index] for index in chosen):
            right = heading in {"missing", "distinct"}
            table.add_column(heading, justify="right" if right else "left", overflow="fold")
        for row in map(cells, shown):
            table.add_row(*(_shown(row[index]) for index in chosen))
        console.print(table, highlight=False)
    console.print(_shown(summary(cut)), highlight=False)
    for warning in profile.warnings:
        console.print(f"[yellow]Warning:[/yellow] {_shown(warning)}", highlight=False)
    if most > MOST_AFTER_A_RUN:
        for note in profile.notes:
            console.print(_shown(note), highlight=False)


def _shown(text: str) -> str:
    """What files and people name, for the console's markup: as it is, whatever is in it."""
    return escape(printable(text))
