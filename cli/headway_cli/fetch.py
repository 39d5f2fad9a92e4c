"""`headway fetch`: a finished model from an object store, each file of it checked."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from headway_api.wording import printable
from headway_server import fetch as fetching
from headway_server import stores
from headway_server.errors import BadModel


class _BadModel(click.ClickException):
    exit_code = 65


class _Unavailable(click.ClickException):
    exit_code = 74


@click.command(short_help="Fetch a finished model from an object store.")
@click.argument("uri", metavar="URI")
@click.argument("folder", metavar="FOLDER", type=click.Path(file_okay=False, path_type=Path))
@click.option("--secret-dir", type=click.Path(), help="A mounted Secret.  [default: the environment's credentials]")
@click.option("--max-bytes", type=click.IntRange(1), help="Of all files together.  [default: any]")
@click.option("--digest", help="sha256:... of model.json, which has those of all other files.  [default: any]")
@click.option("--with-signature", is_flag=True, help="Fetch signature.json, too, which then has to be there.")
def fetch(
    uri: str, folder: Path, *, secret_dir: str | None, max_bytes: int | None, digest: str | None, with_signature: bool
) -> None:
    """Fetch what servers need of the finished model at URI into FOLDER, and check it.

    URI is s3://, gs://, abfs:// or https://, as a job's `spec.storage` has it. It ends with 65 where the model is not
    what it should be, and with 74 where the store does not give it.
    """
    size = _fetch(uri, folder, secret_dir=secret_dir, digest=digest, most=max_bytes, signature=with_signature)
    click.echo(f"{uri} is in {folder}: {size} bytes")


@contextlib.contextmanager
def here(place: str, *, signature: bool = False) -> Iterator[str]:
    """The folder of a model on this machine: the place itself, or a copy of what is there for as long as it is used.

    signature: whether its signature is needed.
    """
    if "://" not in place or place.startswith("file://"):
        yield place
        return
    with tempfile.TemporaryDirectory(prefix="headway-model-") as folder:
        _fetch(place, Path(folder), signature=signature)
        yield folder


def _fetch(
    uri: str,
    folder: Path,
    *,
    secret_dir: str | None = None,
    digest: str | None = None,
    most: int | None = None,
    signature: bool = False,
) -> int:
    """Fetch a model; how many bytes it has. Raises ClickException."""
    try:
        store = stores.open_store(uri, stores.credentials(secret_dir))
        return fetching.fetch(store, uri, folder, digest=digest, most=most, signature=signature)
    except BadModel as error:
        raise _BadModel(printable(str(error))) from error
    except fetching.Unavailable as error:
        raise _Unavailable(printable(str(error))) from error
