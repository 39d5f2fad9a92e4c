"""What `headway serve` and `headway hold` share: where they listen, and who is told what they count."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from headway_api.wording import printable
from headway_server.split.judging import Judging

PORT = click.IntRange(0, 65_535)
Command = Callable[..., Any]


def listening_options(host: str, port: int, admin_port: int) -> Callable[[Command], Command]:
    """The options --host, --port and --admin-port with these defaults."""

    def with_options(command: Command) -> Command:
        for option in (
            click.option(
                "--admin-port", type=PORT, default=admin_port, show_default=True, help="For health and /metrics."
            ),
            click.option("--port", type=PORT, default=port, show_default=True, help="For requests; 0: any free one."),
            click.option("--host", default=host, show_default=True, help="The address to listen on; 0.0.0.0 for all."),
        ):
            command = option(command)
        return command

    return with_options


def judge_options(told: str) -> Callable[[Command], Command]:
    """The options --judge, --judge-token-file and --deployment-uid, for `judging`. told: who the judge is."""

    def with_options(command: Command) -> Command:
        for option in (
            click.option(
                "--deployment-uid",
                metavar="UID",
                help="The ModelDeployment's, which is reported; needed with --judge.",
            ),
            click.option("--judge-token-file", metavar="FILE", help="What it takes reports with; needed with --judge."),
            click.option("--judge", metavar="URL", help=f"{told}: http://HOST:PORT."),
        ):
            command = option(command)
        return command

    return with_options


def judging(url: str | None, token_file: str | None, uid: str | None) -> Judging | None:
    """Who is reported to. Raises UsageError."""
    if url is None and token_file is None and uid is None:
        return None
    if not url or not token_file or not uid:
        raise click.UsageError("--judge, --judge-token-file and --deployment-uid are needed together, or none of them")
    try:
        return Judging.at(url, token_file, uid)
    except ValueError as error:
        raise click.UsageError(f"--judge {printable(str(error))}") from error
