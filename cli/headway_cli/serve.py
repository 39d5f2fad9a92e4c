"""`headway serve`: a finished model over the Open Inference Protocol v2."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import click
import uvloop

from headway_api.wording import printable
from headway_cli.fetch import here
from headway_cli.server_options import PORT, judge_options, judging, listening_options
from headway_cli.sign import trusted
from headway_server.batching import Limits
from headway_server.cache import CacheLimits
from headway_server.errors import BadModel
from headway_server.http.limits import MIB
from headway_server.process import Front, Running, load
from headway_server.process import serve as serve_model
from headway_server.records.record import Payloads, RecordSettings
from headway_server.service import Service
from headway_server.settings import Settings

_DEFAULTS = Settings(model_dir="")


@click.command(short_help="Serve a finished model over HTTP.")
@click.argument("model_dir", metavar="MODEL_DIR")
@listening_options(_DEFAULTS.host, _DEFAULTS.port, _DEFAULTS.admin_port)
@click.option("--grpc-port", type=PORT, help="For requests by gRPC; 0: any free one.  [default: no gRPC]")
@click.option("--name", help="What clients call the model.  [default: its job's name]")
@click.option("--version", help="The version that it is served as.  [default: 1]")
@click.option(
    "--public-key",
    "public_keys",
    multiple=True,
    metavar="KEY",
    help="Serve only what this Ed25519 key has signed: a file in PEM, or ed25519:BASE64; again for others.",
)
@click.option("--threads", type=click.IntRange(1, 1024), help="That compute one run.  [default: the CPU limit]")
@click.option(
    "--inline/--no-inline", default=None, help="Run on the event loop, or in a thread.  [default: as runs are short]"
)
@click.option(
    "--max-batch-rows",
    type=click.IntRange(1, 65_536),
    default=_DEFAULTS.batching.max_size,
    show_default=True,
    help="Rows of waiting requests that are run together.",
)
@click.option(
    "--max-delay-milliseconds",
    type=click.FloatRange(0, 10_000),
    default=0,
    show_default=True,
    help="How long a run waits for more rows; 0: it takes what is there.",
)
@click.option(
    "--max-in-flight",
    type=click.IntRange(1, 65_536),
    default=_DEFAULTS.batching.max_in_flight,
    show_default=True,
    help="Requests that wait or run; more get 503.",
)
@click.option(
    "--queue-milliseconds",
    type=click.FloatRange(1, 600_000),
    default=_DEFAULTS.batching.max_wait_seconds * 1000,
    show_default=True,
    help="How long a request may wait for its run.",
)
@click.option(
    "--timeout-seconds",
    type=click.FloatRange(0.001, 3600),
    default=_DEFAULTS.timeout_seconds,
    show_default=True,
    help="After which a request that waits is not run any more.",
)
@click.option(
    "--max-request-bytes",
    type=click.IntRange(1024, 1024 * MIB),
    default=_DEFAULTS.http.max_request_bytes,
    show_default=True,
    help="Of a body; four times as much may be in memory at once.",
)
@click.option(
    "--warmup-requests",
    type=click.IntRange(1, 10_000),
    default=_DEFAULTS.warmup_requests,
    show_default=True,
    help="Runs of the model before the server is ready.",
)
@click.option(
    "--drain-seconds",
    type=click.FloatRange(0, 3600),
    default=_DEFAULTS.drain_seconds,
    show_default=True,
    help="For which requests are answered after SIGTERM.",
)
@click.option(
    "--cache-entries",
    type=click.IntRange(1, 1_000_000),
    help="Answers that are kept for small requests that are exactly the same.  [default: none]",
)
@click.option(
    "--cache-ttl-seconds",
    type=click.FloatRange(1, 604_800),
    default=CacheLimits.ttl_seconds,
    show_default=True,
    help="For which an answer is kept.",
)
@click.option(
    "--records-sample",
    type=click.FloatRange(0, 1, min_open=True),
    help="The share of requests of which records are kept; also has labels taken at /feedback.  [default: no records]",
)
@click.option(
    "--records-payloads",
    type=click.Choice(["none", "inputs", "all"]),
    default="none",
    show_default=True,
    help="What records have beside the prediction: nothing, the columns, these and all outputs.",
)
@click.option(
    "--records-mask", multiple=True, metavar="COLUMN", help="Leave a column out of records; again for others."
)
@click.option("--records-folder", type=click.Path(), help="Where records are written.  [default: standard output]")
@click.option(
    "--records-max-bytes",
    type=click.IntRange(32 * MIB),
    default=RecordSettings.max_bytes,
    show_default=True,
    help="Of all files in that folder: the oldest go.",
)
@judge_options("Who counts while requests are split between versions")
@click.option("--access-log", is_flag=True, help="Write a line of JSON for each request.")
def serve(
    model_dir: str,
    *,
    host: str,
    port: int,
    admin_port: int,
    grpc_port: int | None,
    name: str | None,
    version: str | None,
    public_keys: tuple[str, ...],
    threads: int | None,
    inline: bool | None,
    max_batch_rows: int,
    max_delay_milliseconds: float,
    max_in_flight: int,
    queue_milliseconds: float,
    timeout_seconds: float,
    max_request_bytes: int,
    warmup_requests: int,
    drain_seconds: float,
    cache_entries: int | None,
    cache_ttl_seconds: float,
    records_sample: float | None,
    records_payloads: Payloads,
    records_mask: tuple[str, ...],
    records_folder: str | None,
    records_max_bytes: int,
    access_log: bool,
    judge: str | None,
    judge_token_file: str | None,
    deployment_uid: str | None,
) -> None:
    """Serve the model of a finished run in MODEL_DIR, a folder or its URI in an object store, until SIGTERM or Ctrl-C.

    It takes requests of the Open Inference Protocol v2, as JSON or with binary tensors; /openapi.json tells its paths.
    With --grpc-port it takes them by gRPC, too.
    After SIGTERM it is not ready any more, answers for --drain-seconds, and ends when all is answered.
    """
    if max_delay_milliseconds >= queue_milliseconds:
        raise click.UsageError(
            f"--max-delay-milliseconds {max_delay_milliseconds:g} must be below --queue-milliseconds "
            f"{queue_milliseconds:g}: a request that comes alone would wait for longer than it may, and be refused"
        )
    settings = Settings(
        model_dir=model_dir,
        name=name,
        version=version,
        public_keys=trusted(public_keys),
        host=host,
        port=port,
        admin_port=admin_port,
        grpc_port=grpc_port,
        threads=threads,
        batching=Limits(
            max_size=max_batch_rows,
            max_delay_seconds=max_delay_milliseconds / 1000,
            max_in_flight=max_in_flight,
            max_wait_seconds=queue_milliseconds / 1000,
        ),
        http=replace(_DEFAULTS.http, max_request_bytes=max_request_bytes, max_bytes_in_flight=4 * max_request_bytes),
        warmup_requests=warmup_requests,
        timeout_seconds=timeout_seconds,
        drain_seconds=drain_seconds,
        cache=None if cache_entries is None else CacheLimits(cache_entries, cache_ttl_seconds),
        records=None
        if records_sample is None
        else RecordSettings(records_sample, records_payloads, records_mask, records_folder, records_max_bytes),
        inline=inline,
        access_log=access_log,
        judging=judging(judge, judge_token_file, deployment_uid),
    )
    try:
        with here(model_dir, signature=bool(public_keys)) as folder:
            settings = replace(settings, model_dir=folder if "://" in folder else str(Path(folder)))
            uvloop.run(
                serve_model(
                    load(settings),
                    settings,
                    fronts=_fronts(settings),
                    started=lambda running: _told(running, settings),
                )
            )
    except BadModel as error:
        raise click.ClickException(printable(str(error))) from error
    except OSError as error:
        by_grpc = "" if grpc_port is None else f" --grpc-port {grpc_port}"
        raise click.ClickException(
            f"--host {host} --port {port} --admin-port {admin_port}{by_grpc}: {error.strerror}"
        ) from error


def _fronts(settings: Settings) -> list[Callable[[Service], Front]]:
    """What serves other protocols than REST. gRPC takes 24 MiB: it is imported where it is asked for."""
    if settings.grpc_port is None:
        return []
    from headway_server.grpc.server import GrpcFront

    return [GrpcFront]


def _told(running: Running, settings: Settings) -> None:
    # What was made so far stays to the end: the collector need not look at it in each of its rounds.
    gc.collect()
    gc.freeze()
    model = running.service.model
    click.echo(
        f"Serving {model.name}, version {model.version}, on http://{settings.host}:{running.data.port} "
        + "".join(f"and by gRPC on port {one.port} " for one in running.others)
        + f"(health and metrics on port {running.admin.port})"
    )
