"""`make bench`: runs the benchmarks, prints a table of each, and keeps its figures in results/NAME.json.

A benchmark is a module of this folder with `PARTS`: functions by name that yield `report.Measured`. The parameters of a
part all have defaults, and can be set from the command line. What is slow to measure again is a part of its own.
"""

from __future__ import annotations

import importlib
import inspect
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import click

from bench.report import RESULTS, Machine, Measured, Row, keep, row, table

BENCHMARKS = (
    "scale",
    "start",
    "steps",
    "loading",
    "recovery",
    "tuning",
    "search",
    "population",
    "serving",
    "splitting",
)
"""The modules, in the order in which they run."""

Part = Callable[..., Iterable[Measured]]


class NoSuchError(ValueError):
    """What was asked for is not there. The message says what is."""


def load(benchmark: str) -> Mapping[str, Part]:
    """The parts of a benchmark."""
    parts: Mapping[str, Part] = importlib.import_module(f"bench.{benchmark}").PARTS
    return parts


def chosen(only: Iterable[str], known: Mapping[str, Mapping[str, Part]]) -> list[tuple[str, str]]:
    """The benchmarks and parts that are named, as `NAME` or `NAME.PART`; all if none is."""
    every = [(name, part) for name, parts in known.items() for part in parts]
    wanted = list(only)
    for word in wanted:
        if not any(word in (name, f"{name}.{part}") for name, part in every):
            names = ", ".join(f"{name}.{part}" for name, part in every)
            raise NoSuchError(f"there is no benchmark {word!r}; there are {names}")
    return [pair for pair in every if not wanted or pair[0] in wanted or ".".join(pair) in wanted]


def arguments(part: Part, settings: Mapping[str, str]) -> dict[str, Any]:
    """The settings that a part has a parameter for, each of its default's type."""
    parameters = inspect.signature(part).parameters
    return {name: type(parameters[name].default)(text) for name, text in settings.items() if name in parameters}


def measure(benchmark: str, name: str, part: Part, settings: Mapping[str, str]) -> list[Row]:
    """Run a part."""
    values = arguments(part, settings)
    command = f"make bench ONLY={benchmark}.{name}"
    if values:
        command += f' SET="{" ".join(f"{key}={value}" for key, value in values.items())}"'
    machine, began = Machine(), datetime.now(UTC)
    found = list(part(**values))
    return [row(one, command=command, machine=machine.describe(), date=began) for one in found]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--only", default="", metavar="NAMES", help="Benchmarks (scale) or parts of them (scale.jobs).")
@click.option("--set", "settings", default="", metavar="KEY=VALUE...", help="Parameters of parts.")
@click.option("--list", "listing", is_flag=True, help="Say what there is, with its parameters.")
def main(only: str, settings: str, listing: bool) -> None:
    """Run the benchmarks."""
    known = {name: load(name) for name in BENCHMARKS}
    given = dict(word.split("=", 1) for word in settings.split() if "=" in word)
    try:
        parts = chosen(only.split(), known)
    except NoSuchError as error:
        raise click.UsageError(str(error)) from None
    for key in given:
        if not any(key in inspect.signature(known[name][part]).parameters for name, part in parts):
            raise click.UsageError(f"none of these benchmarks has a parameter {key!r}: see --list")
    if listing:
        for name, part in parts:
            click.echo(f"{name}.{part}{inspect.signature(known[name][part])}\n    {_first_line(known[name][part])}")
        return
    failed = [f"{name}.{part}" for name, part in parts if not _run(name, part, known[name][part], given)]
    if failed:
        click.echo(f"not measured: {', '.join(failed)}; the kept figures of these stand", err=True)
    sys.exit(1 if failed else 0)


def _run(benchmark: str, name: str, part: Part, settings: Mapping[str, str]) -> bool:
    """Run one part and keep what it found; whether it went well. What went before it is kept all the same."""
    click.echo(f"\n{benchmark}.{name}: {_first_line(part)}", err=True)
    began = time.monotonic()
    try:
        rows = measure(benchmark, name, part, settings)
    except Exception:
        traceback.print_exc()
        return False
    keep(RESULTS / f"{benchmark}.json", rows)
    click.echo(table(rows))
    click.echo(f"({time.monotonic() - began:.0f} s)", err=True)
    return True


def _first_line(part: Part) -> str:
    return (inspect.getdoc(part) or "").partition("\n")[0]


if __name__ == "__main__":
    main()
