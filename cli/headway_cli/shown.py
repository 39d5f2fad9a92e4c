"""What people wrote, on a terminal, so that nothing in it steers that; and errors of plain functions as click shows
errors, with their exit codes."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Iterable
from typing import Any, TextIO

import click

from headway_api.wording import printable
from headway_cli.cluster.errors import HeadwayError, InvalidJobError, UsageError


def steady(text: str) -> str:
    """Lines of a document for a terminal, in which nothing but their ends and tabs steers that."""
    return "\n".join("\t".join(map(printable, line.split("\t"))) for line in text.split("\n"))


def put(document: str) -> None:
    """Write a document to standard output: as it is into a file or a pipe, `steady` on a terminal."""
    click.echo(steady(document) if sys.stdout.isatty() else document)


class Steady:
    """A terminal, as a stream for documents."""

    closed = False

    def __init__(self, terminal: TextIO) -> None:
        self._terminal = terminal
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def write(self, part: bytes | str) -> int:
        """Write a part of a document. A character of bytes may go on in the next one."""
        self._terminal.write(steady(part if isinstance(part, str) else self._decoder.decode(part)))
        return len(part)

    def writelines(self, parts: Iterable[bytes]) -> None:
        """Write some parts of a document."""
        for part in parts:
            self.write(part)

    def flush(self) -> None:
        """Nothing is kept back."""
        self._terminal.flush()


class PlainCommand(click.Command):
    """A command of which errors of plain functions become messages and exit codes."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run it."""
        try:
            return super().invoke(ctx)
        except HeadwayError as error:
            raise shown(error) from error


class _Shown(click.ClickException):
    """An error with an exit code of its own."""

    def __init__(self, error: HeadwayError) -> None:
        super().__init__(_harmless(error))
        self.exit_code = error.exit_code  # type: ignore[misc]  # click reads it from the instance


class _Mistakes(_Shown):
    """A job with mistakes."""

    def show(self, file: Any = None) -> None:
        """Each mistake on a line of its own, as `headway validate` prints them."""
        click.echo(self.message, file=file, err=True)


def shown(error: HeadwayError) -> click.ClickException:
    """The error as click has it."""
    if isinstance(error, UsageError):
        return click.UsageError(_harmless(error))
    return _Mistakes(error) if isinstance(error, InvalidJobError) else _Shown(error)


def _harmless(error: HeadwayError) -> str:
    return "\n".join(map(printable, str(error).splitlines()))
