"""`headway hold`: keeps requests for a deployment that has no server, until it has one."""

from __future__ import annotations

import logging

import click
import uvloop

from headway_api.wording import printable
from headway_cli.server_options import judge_options, judging, listening_options
from headway_server.hold.process import HoldSettings
from headway_server.hold.process import hold as hold_until_told
from headway_server.http.limits import HttpLimits
from headway_server.split.addresses import address

_DEFAULTS = HoldSettings(name="", server=("", 0))


@click.command(short_help="Keep requests until there is a server.")
@click.option("--name", required=True, help="What clients call the model.")
@click.option(
    "--server", required=True, metavar="URL", help="Where servers answer, once there are any: http://HOST:PORT."
)
@listening_options(_DEFAULTS.host, _DEFAULTS.port, _DEFAULTS.admin_port)
@click.option(
    "--hold-seconds",
    type=click.FloatRange(0, 3600, min_open=True),
    default=_DEFAULTS.hold_seconds,
    show_default=True,
    help="For which a request is held; then it is answered 503.",
)
@click.option(
    "--most-held",
    type=click.IntRange(1, 100_000),
    default=_DEFAULTS.most_held,
    show_default=True,
    help="Requests that are here at once; what is beyond is answered 503.",
)
@click.option(
    "--max-request-bytes",
    type=click.IntRange(1024, 2**30),
    default=_DEFAULTS.http.max_request_bytes,
    show_default=True,
    help="Of a body; all together may have four times as many.",
)
@click.option(
    "--drain-seconds",
    type=click.FloatRange(0, 600),
    default=_DEFAULTS.drain_seconds,
    show_default=True,
    help="For which requests are still taken after SIGTERM.",
)
@judge_options("Who is told how many requests are held")
def hold(
    *,
    name: str,
    server: str,
    host: str,
    port: int,
    admin_port: int,
    hold_seconds: float,
    most_held: int,
    max_request_bytes: int,
    drain_seconds: float,
    judge: str | None,
    judge_token_file: str | None,
    deployment_uid: str | None,
) -> None:
    """Take the requests of a deployment that has no server, keep them, and hand them over as soon as it has one.

    Probes are answered by itself. With --judge the deployment's judge hears at once that requests wait.
    """
    to = address(server)
    if to is None:
        raise click.UsageError(f"--server {printable(server)} is not of the form http://HOST:PORT")
    settings = HoldSettings(
        name=name,
        server=to,
        host=host,
        port=port,
        admin_port=admin_port,
        hold_seconds=hold_seconds,
        most_held=most_held,
        drain_seconds=drain_seconds,
        http=HttpLimits(max_request_bytes=max_request_bytes, max_bytes_in_flight=4 * max_request_bytes),
        judging=judging(judge, judge_token_file, deployment_uid),
    )
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.WARNING)

    def started(data: int, admin: int) -> None:
        click.echo(f"Holding on http://{host}:{data} (health and metrics on port {admin})")

    try:
        uvloop.run(hold_until_told(settings, started=started))
    except OSError as error:
        raise click.ClickException(
            f"--host {host} --port {port} --admin-port {admin_port}: {error.strerror}"
        ) from error
