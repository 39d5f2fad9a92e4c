"""`headway judge`: what servers count of a new version becomes a verdict."""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path

import click
import uvloop

from headway_api.rollout_wire import KEY_TOKEN, TOKEN_DIR
from headway_api.wording import printable
from headway_server.judge.process import JudgeSettings, judge_until_told
from headway_server.judge.store import ConfigMapStore, FileStore, Store

_PORT = click.IntRange(0, 65_535)
_FILE = click.Path(path_type=Path, dir_okay=False)
_DEFAULTS = JudgeSettings()
_TOKEN_FILE = Path(TOKEN_DIR) / KEY_TOKEN


@click.command(short_help="Judge a new version by what its servers count.")
@click.option("--host", default=_DEFAULTS.host, show_default=True, help="The address to listen on; 0.0.0.0 for all.")
@click.option("--port", type=_PORT, default=_DEFAULTS.port, show_default=True, help="For reports; 0: any free one.")
@click.option(
    "--admin-port", type=_PORT, default=_DEFAULTS.admin_port, show_default=True, help="For health and /metrics."
)
@click.option("--namespace", help="Of the ConfigMap.")
@click.option("--config-map", help="The ConfigMap that has the route, and gets the verdict.")
@click.option("--route", type=_FILE, help="In place of a ConfigMap: a file that has the route.")
@click.option("--verdict", type=_FILE, help="The file that gets the verdict; the judge's memory lies beside it.")
@click.option(
    "--token-file",
    type=_FILE,
    help=f"What reports have to bear.  [default: {_TOKEN_FILE} with a ConfigMap, nothing with files]",
)
@click.option(
    "--query-secrets",
    type=click.Path(path_type=Path, file_okay=False),
    default=_DEFAULTS.secrets,
    show_default=True,
    help="The folder with the Secrets that queries of a Prometheus name, a folder each.",
)
@click.option("--load", is_flag=True, help="Also write how many requests are in flight: load.json, or VERDICT.load.")
def judge(
    *,
    host: str,
    port: int,
    admin_port: int,
    namespace: str | None,
    config_map: str | None,
    route: Path | None,
    verdict: Path | None,
    token_file: Path | None,
    query_secrets: Path,
    load: bool,
) -> None:
    """Take the reports of servers that split requests between two versions, and judge the new one, until SIGTERM.

    On a cluster the operator starts it, with --namespace and --config-map. On one machine --route and --verdict are
    files: write a route into the one, and read the verdict from the other.
    """
    store = _store(namespace, config_map, route, verdict)
    if token_file is None and config_map is not None:
        token_file = _TOKEN_FILE
    settings = JudgeSettings(
        host=host,
        port=port,
        admin_port=admin_port,
        token_file=token_file,
        told_by=socket.gethostname(),
        secrets=query_secrets,
        load=load,
    )
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.WARNING)

    def started(data: int, admin: int) -> None:
        click.echo(f"Judging on http://{host}:{data} (health and metrics on port {admin})")

    try:
        uvloop.run(judge_until_told(settings, store, started=started))
    except ValueError as error:
        raise click.ClickException(f"--token-file: {printable(str(error))}") from error
    except OSError as error:
        if error.filename is not None:
            raise click.ClickException(f"--token-file {error.filename}: {error.strerror}") from error
        raise click.ClickException(
            f"--host {host} --port {port} --admin-port {admin_port}: {error.strerror}"
        ) from error


def _store(namespace: str | None, config_map: str | None, route: Path | None, verdict: Path | None) -> Store:
    """Where route and verdict are. Raises UsageError unless exactly one place is named."""
    by_map, by_files = (namespace, config_map), (route, verdict)
    if namespace and config_map and by_files == (None, None):
        host, port = (os.environ.get(f"KUBERNETES_SERVICE_{name}") for name in ("HOST", "PORT"))
        if not host or not port:
            raise click.UsageError("--config-map: this is no pod of a cluster, as KUBERNETES_SERVICE_HOST is not set")
        return ConfigMapStore(namespace, config_map, host=host, port=port)
    if route and verdict and by_map == (None, None):
        return FileStore(route, verdict)
    raise click.UsageError("give either --namespace and --config-map, or --route and --verdict")
