"""Errors of plain functions as click shows errors: with their exit codes, and with nothing that steers a terminal."""

from __future__ import annotations

from typing import Any

import click

from headway_api.wording import printable
from headway_cli.cluster.errors import HeadwayError, InvalidJobError, UsageError


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
