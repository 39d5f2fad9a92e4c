"""`headway sign` and `headway verify`: who vouches for a finished model."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Sequence
from pathlib import Path

import click
from pydantic import ValidationError

from headway_api import signatures
from headway_api.bundle import MODEL_INFO_FILE, BundleInfo, FileDigest
from headway_api.signatures import SIGNATURE_FILE, BadKey, BadSignature
from headway_api.wording import printable
from headway_cli.extras import installing

_MOST_INFO_BYTES = 64 * 1024 * 1024
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command(short_help="Sign a finished model.")
@click.argument("model_dir", metavar="MODEL_DIR", type=_FOLDER)
@click.option(
    "--key",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="An Ed25519 key in PEM, as `openssl genpkey -algorithm ed25519` makes one.",
)
def sign(model_dir: Path, *, key: Path) -> None:
    """Sign the model of a finished run in MODEL_DIR, after checking each of its files: signature.json is left there.

    It vouches for model.json and all files that this tells of. `headway serve --public-key` and ModelDeployments with
    `server.signature` ask for it.
    """
    _needs_cryptography()
    data, files = _model(model_dir)
    _compare(model_dir, files)
    try:
        made = signatures.sign(signatures.statement(data, files), key.read_bytes()[: signatures.MOST_KEY_BYTES + 1])
        new = model_dir / f".{SIGNATURE_FILE}.new"
        new.write_bytes(made)
        new.replace(model_dir / SIGNATURE_FILE)
    except BadKey as error:
        raise click.ClickException(f"--key {key}: {error}") from error
    except OSError as error:
        raise click.ClickException(f"{error.filename}: {error.strerror}") from error
    click.echo(f"{model_dir / SIGNATURE_FILE} vouches for {MODEL_INFO_FILE} and {len(files)} files that it tells of")


@click.command(short_help="Check a finished model's files and its signature.")
@click.argument("model_dir", metavar="MODEL_DIR", type=_FOLDER)
@click.option(
    "--public-key",
    "public_keys",
    multiple=True,
    required=True,
    metavar="KEY",
    help="An Ed25519 key: a file in PEM, or ed25519:BASE64; again for others, of which one has to have signed.",
)
def verify(model_dir: Path, *, public_keys: tuple[str, ...]) -> None:
    """Check that one of the keys has signed the model in MODEL_DIR, and that its files are those that were signed.

    Files that are not there, as weights where a server has fetched a model, are told. It ends with 1 where anything is
    not as it should be.
    """
    _needs_cryptography()
    keys = trusted(public_keys)
    try:
        envelope = _read(model_dir / SIGNATURE_FILE, signatures.MOST_BYTES)
        signed = signatures.signed_files(envelope, keys)
        data, files = _model(model_dir)
        signatures.check(data, files, signed)
    except BadSignature as error:
        raise click.ClickException(f"{model_dir}: {printable(str(error))}") from error
    missing = _compare(model_dir, files)
    without = f"; not there: {', '.join(missing)}" if missing else ""
    click.echo(f"{model_dir} is signed, and its files are those that were signed{printable(without)}")


def trusted(words: Sequence[str]) -> tuple[bytes, ...]:
    """The public keys of a command line. Raises UsageError."""
    if not words:
        return ()
    _needs_cryptography()
    found = []
    for word in words:
        try:
            if word.startswith("ed25519:"):
                text = word
            else:
                with Path(word).open("rb") as stream:
                    text = stream.read(signatures.MOST_KEY_BYTES).decode("latin-1")
            found.append(signatures.public_key(text))
        except OSError as error:
            raise click.UsageError(f"--public-key {printable(word)}: {error.strerror}") from error
        except BadKey as error:
            raise click.UsageError(f"--public-key {printable(word)}: {error}") from error
    return tuple(found)


def _needs_cryptography() -> None:
    """Raises ClickException, before anything is begun: it is imported where a key is used alone."""
    try:
        importlib.import_module("cryptography")
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"signatures need the Python package {error.name}: {installing('headway[server]')}"
        ) from error


def _model(folder: Path) -> tuple[bytes, list[FileDigest]]:
    """model.json, and the files that it tells of, whose names lead nowhere else."""
    data = _read(folder / MODEL_INFO_FILE, _MOST_INFO_BYTES)
    try:
        files = list(BundleInfo[object].model_validate_json(data).files.values())
    except ValidationError as error:
        raise click.ClickException(f"{folder / MODEL_INFO_FILE} is not what this version of Headway reads") from error
    for file in files:
        if not file.in_folder:
            raise click.ClickException(f"{MODEL_INFO_FILE} names {file.name[:80]!r}, which is no file of its folder")
    return data, files


def _compare(folder: Path, files: Sequence[FileDigest]) -> list[str]:
    """The files that are not there; those that are have to be what model.json tells of."""
    missing = []
    for file in files:
        path = folder / file.name
        try:
            with path.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
        except FileNotFoundError:
            missing.append(file.name)
            continue
        except OSError as error:
            raise click.ClickException(f"{path} cannot be read: {error.strerror}") from error
        if digest != file.sha256:
            raise click.ClickException(f"{path} is not what {MODEL_INFO_FILE} tells of: it was changed")
    return missing


def _read(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as stream:
            data = stream.read(most + 1)
    except OSError as error:
        raise click.ClickException(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > most:
        raise click.ClickException(f"{path} has more than {most} bytes")
    return data
