"""`headway trials`: the trials of a search, of a finished run or of one that goes on, for people and for programs."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from pydantic import JsonValue
from pydantic.alias_generators import to_camel
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from headway_api.wording import listed, printable
from headway_cli.cluster.kubectl import Kubectl, Target, job
from headway_cli.cluster.names import KINDS
from headway_cli.cluster.run_folders import with_trials
from headway_cli.found_trials import Found, find
from headway_cli.run_folder import unfinished_run
from headway_cli.shown import Steady, put
from headway_cli.verbs.shared import ClusterCommand, checked, complete_trials, target_options, telling_where

if TYPE_CHECKING:
    from headway_trainer.report.trial_records import TrialRecord
    from headway_trainer.tuning.events import TrialState

_FIELDS = ("number", "state", "value", "epochs", "seconds", "cause", "message")
"""Of a trial, beside its parameters."""
_OF_REPEATS = ("own_value", "deviation", "repeats")
"""Where trials were repeated with other seeds: the value with the job's, and how many others there were."""
_FEWEST_SIGNS = 140
"""How wide the table is in a file or a pipe."""
_COLUMN_SIGNS = 18
"""What a parameter needs of a terminal's width."""
_OTHER_SIGNS = 50
_MOST_COLUMNS = 16
_MOST_FAILED = 5
"""Failed trials whose sentences are told."""
_MOST_WORDS = 300
"""Characters of such a sentence."""


@click.command(cls=ClusterCommand, short_help="List the trials of a search for better parameters.")
@click.argument("folder", metavar="DIR", shell_complete=complete_trials)
@target_options
@click.option(
    "--output",
    "-o",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    show_default=True,
    help="What to print: json has all that is known of each trial, csv a column for each parameter.",
)
@click.option(
    "--most", type=click.IntRange(min=1), default=50, show_default=True, metavar="N", help="The trials of the table."
)
@click.option("--reader-pod", is_flag=True, help="Let a short-lived pod read the job's storage, if only a pod can.")
def trials(folder: str, *, target: Target, output: str, most: int, reader_pod: bool) -> None:
    """List the trials of the run in DIR: the output folder of headway run, or a job's folder on its storage (a path or
    a URI), or tj/NAME for a job of a cluster.

    The trials of a finished run are listed the best first. Of a run that has not finished they are those of its log so
    far, by number.
    """
    from headway_trainer.errors import StorageError, UserError

    try:
        with _place(folder, target, reader_pod=reader_pod) as place:
            own = unfinished_run(Path(place)) if "://" not in place else None
            found = find(place, *([str(own)] if own is not None else []))
    except (UserError, StorageError) as error:
        raise click.ClickException(printable(str(error))) from error
    if found.note is not None:
        click.echo(printable(found.note), err=True)
    if output == "json":
        documents = [one.model_dump(mode="json") for one in found.records]
        put(json.dumps(documents, indent=2, ensure_ascii=False, allow_nan=False))
    elif output == "csv":
        _write_csv(found)
    else:
        _print_table(found, most)


@contextmanager
def _place(folder: str, target: Target, *, reader_pod: bool) -> Iterator[str]:
    """The folder of a run; of a job in a cluster, what is needed of it."""
    kind, slash, _ = folder.partition("/")
    if not slash or kind not in KINDS or Path(folder).exists():
        yield folder
        return
    kubectl = Kubectl(target)
    with telling_where(kubectl):
        found = job(kubectl, checked(folder))
    with with_trials(kubectl, found, by_pod=reader_pod) as place:
        yield place


def _parameters(found: Sequence[TrialRecord]) -> list[str]:
    return list(dict.fromkeys(name for one in found for name in one.parameters))


def _write_csv(found: Found) -> None:
    names, metrics = _parameters(found.records), found.metrics
    own = [*metrics, *(["violation"] if found.constrained else []), *(["front"] if found.front else [])]
    writer = csv.writer(Steady(sys.stdout) if sys.stdout.isatty() else sys.stdout, lineterminator="\n")
    repeated = any(one.repeats for one in found.records)
    fields = [*_FIELDS, *(_OF_REPEATS if repeated else ())]
    writer.writerow([*(to_camel(field) for field in fields), *own, *names])
    for one in found.records:
        told = [len(one.repeats) if field == "repeats" else getattr(one, field) for field in fields]
        told += [one.metrics.get(metric) for metric in metrics]
        told += [one.violation if one.metrics else None] if found.constrained else []
        told += [one.number in found.front] if found.front else []
        writer.writerow([*map(_cell, told), *(_cell(one.parameters.get(name)) for name in names)])


def _cell(value: JsonValue) -> JsonValue:
    """A value as a file of commas has it: what is no text, number or nothing as JSON."""
    if value is None or (isinstance(value, str | int | float) and not isinstance(value, bool)):
        return value
    return json.dumps(value, ensure_ascii=False)


def _print_table(found: Found, most: int) -> None:
    from headway_trainer.report.tuning import counts_told, parameter_names, value_told

    console = Console(emoji=False)
    if not console.is_terminal:
        console = Console(width=max(_FEWEST_SIGNS, console.width), emoji=False)
    first = parameter_names(found.result) if found.result is not None else []
    names = list(dict.fromkeys([*first, *_parameters(found.records)]))
    room = min(_MOST_COLUMNS, max(1, (console.width - _OTHER_SIGNS) // _COLUMN_SIGNS))
    table = Table()
    for heading in ("trial", "state", *_headings(found), "epochs", "seconds"):
        table.add_column(heading, justify="left" if heading == "state" else "right")
    for name in names[:room]:
        head, dot, last = name.rpartition(".")
        table.add_column(_shown(head + dot) + "\n" + _shown(last), overflow="fold")
    for one in found.records[:most]:
        state = one.state if one.cause is None else f"{one.state}: {value_told(one.cause)}"
        cells = [value_told(one.parameters[name]) if name in one.parameters else "" for name in names[:room]]
        told = (str(one.number), state, *_values(found, one), f"{one.epochs:,}", f"{one.seconds:.1f}", *cells)
        table.add_row(*map(_shown, told))
    console.print(table, highlight=False)
    counts = counts_told(_counts(found.records))
    console.print(_shown(f"Trials: {counts}."), highlight=False)
    if found.front:
        console.print(_shown(f"The front has {len(found.front):,} of them."), highlight=False)
    failed = [one for one in found.records if one.state == "failed" and one.message]
    for one in failed[:_MOST_FAILED]:
        console.print(_shown(f"Trial {one.number}: {value_told(one.message, _MOST_WORDS)}"), highlight=False)
    left = [f"{len(found.records) - most:,} more trials"] if len(found.records) > most else []
    left += [f"the parameters {listed(names[room:])}"] if len(names) > room else []
    if left:
        console.print(_shown(f"Not shown: {', '.join(left)}; --output csv has all."), highlight=False)


def _headings(found: Found) -> list[str]:
    """Of the columns with values."""
    if not found.metrics:
        return [found.result.metric if found.result is not None else "value"]
    return [*found.metrics, *(["violation"] if found.constrained else []), *(["front"] if found.front else [])]


def _values(found: Found, one: TrialRecord) -> list[str]:
    """The cells below them."""
    from headway_trainer.report.tuning import spread_told

    if not found.metrics:
        return ["" if one.value is None else f"{one.value:.6g}" if one.deviation is None else spread_told(one)]
    told = [f"{one.metrics[name]:.6g}" if name in one.metrics else "" for name in found.metrics]
    told += [f"{one.violation:.3g}" if one.metrics else ""] if found.constrained else []
    return [*told, *(["yes" if one.number in found.front else ""] if found.front else [])]


def _counts(found: Sequence[TrialRecord]) -> dict[TrialState, int]:
    counts: dict[TrialState, int] = {}
    for one in found:
        counts[one.state] = counts.get(one.state, 0) + 1
    return counts


def _shown(text: str) -> str:
    """What people wrote, for the console's markup: as it is, whatever is in it."""
    return escape(printable(text))
