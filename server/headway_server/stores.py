"""Object stores by the URIs that TrainingJobs have, and with the credentials of their Secrets: for reading alone."""

from __future__ import annotations

import http.client
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlsplit

from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, HTTPStore, ObjectStore, S3Store

from headway_server.errors import BadModel

GOOGLE = "GOOGLE_APPLICATION_CREDENTIALS"
OPTIONS = ("allow_bucket_creation", "endpoint_override", "region", "scheme")
"""Of s3:// URIs, as jobs have them; what concerns writing means nothing here."""
NAMES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_ENDPOINT_URL",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_ACCOUNT_NAME",
    GOOGLE,
    f"{GOOGLE}_JSON",
)
"""What a Secret, or an environment, may hold of use."""
_LONG = (GOOGLE, f"{GOOGLE}_JSON")
"""Those that are a file, or its path."""
_VALUE = re.compile("[!-~]{1,4096}", re.ASCII)
_PLACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(:[0-9]{1,5})?", re.ASCII)
_ENDPOINT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(:[0-9]{1,5})?(/[A-Za-z0-9._/-]*)?", re.ASCII)
MOST_SECRET_BYTES = 1024 * 1024
RETRY: Any = {
    "max_retries": 1000,
    "retry_timeout": timedelta(seconds=180),
    "backoff": {"init_backoff": timedelta(milliseconds=200), "max_backoff": timedelta(seconds=10), "base": 2},
}
"""A store that does not answer is asked again for so long, before the whole is given up."""
TIMEOUTS = {"connect_timeout": "10s", "timeout": "300s"}
Region = Callable[[str], str | None]
"""Finds the region of a bucket of Amazon's."""


@dataclass(frozen=True)
class _Asked:
    """A store that is to be opened."""

    uri: str
    parts: SplitResult
    secret: Mapping[str, str]
    retry: Any
    region_of: Region


def credentials(folder: str | None) -> dict[str, str]:
    """What a mounted Secret holds, by its keys; the environment where there is no folder. Raises BadModel."""
    if folder is None:
        return {name: os.environ[name] for name in NAMES if os.environ.get(name)}
    try:
        return {name: _text(Path(folder, name)) for name in NAMES if Path(folder, name).is_file()}
    except (OSError, ValueError) as error:
        raise BadModel(f"{folder}, the Secret's folder, cannot be read: {error}") from error


def _text(file: Path) -> str:
    with file.open("rb") as stream:
        return stream.read(MOST_SECRET_BYTES).decode().strip()


def open_store(
    uri: str, secret: Mapping[str, str], *, region_of: Region | None = None, retry: Any = None
) -> ObjectStore:
    """The folder at a URI. Raises BadModel for a URI that cannot be meant."""
    parts = urlsplit(uri)
    if parts.password is not None or (parts.username is not None and not parts.scheme.startswith("abfs")):
        raise BadModel(
            f"{parts.scheme}://{parts.hostname}{parts.path}: the URI holds credentials: put them in a Secret"
        )
    opener = _OPENERS.get(parts.scheme)
    if opener is None:
        raise BadModel(
            f"{uri}: {parts.scheme}:// is not known; use one of {', '.join(f'{one}://' for one in _OPENERS)}"
        )
    if not parts.hostname or not _PLACE.fullmatch(parts.netloc.replace("@", ".")):
        raise BadModel(f"{uri} names no bucket and no host")
    wrong = next((name for name, value in secret.items() if name not in _LONG and not _VALUE.fullmatch(value)), None)
    if wrong is not None:
        raise BadModel(f"{wrong} of the credentials is empty, or has characters that none has: correct the Secret")
    if parts.query and opener is not _s3:
        raise BadModel(f"{uri}: only s3:// has options: take {parts.query} out")
    try:
        return opener(_Asked(uri, parts, secret, retry or RETRY, region_of or amazon_region))
    except BaseError as error:
        raise BadModel(f"{uri} cannot be opened: {str(error).splitlines()[0]}") from error


def _client(*, plain: bool) -> Any:
    """Options of the HTTP client. plain: whether it may speak without TLS."""
    return {**TIMEOUTS, "allow_http": plain}


def _folder(parts: SplitResult) -> str | None:
    return parts.path.strip("/") or None


def _s3(asked: _Asked) -> ObjectStore:
    uri, parts, secret = asked.uri, asked.parts, asked.secret
    options = dict(parse_qsl(parts.query))
    if unknown := sorted(set(options) - set(OPTIONS)):
        raise BadModel(f"{uri}: {unknown[0]} is not an option; s3:// has {', '.join(OPTIONS)}")
    endpoint, scheme = options.get("endpoint_override") or secret.get("AWS_ENDPOINT_URL"), options.get("scheme")
    if endpoint and "://" in endpoint:
        given, endpoint = endpoint.split("://", 1)
        scheme = scheme or given
    if endpoint and not _ENDPOINT.fullmatch(endpoint):
        raise BadModel(f"{uri}: the endpoint {endpoint[:200]!r} is none: write HOST:PORT, or a URL of that")
    region = options.get("region") or secret.get("AWS_REGION")
    if not region:
        # A server of one's own has no regions, but requests are signed for one.
        region = "us-east-1" if endpoint else asked.region_of(parts.netloc)
    if not region or not _PLACE.fullmatch(region):
        raise BadModel(f"{uri}: the region of the bucket is not known: write ?region=... or AWS_REGION in the Secret")
    config: Any = {"region": region}
    if endpoint:
        config["endpoint"] = f"{scheme or 'https'}://{endpoint.rstrip('/')}"
    for name, key in (
        ("AWS_ACCESS_KEY_ID", "access_key_id"),
        ("AWS_SECRET_ACCESS_KEY", "secret_access_key"),
        ("AWS_SESSION_TOKEN", "session_token"),
    ):
        if name in secret:
            config[key] = secret[name]
    if "access_key_id" not in config:
        # Without this it would ask the node who it is.
        config["skip_signature"] = True
    return S3Store(
        parts.netloc,
        prefix=_folder(parts),
        config=config,
        client_options=_client(plain=scheme == "http"),
        retry_config=asked.retry,
    )


def _gs(asked: _Asked) -> ObjectStore:
    parts, secret = asked.parts, asked.secret
    key = secret.get(f"{GOOGLE}_JSON") or secret.get(GOOGLE)
    config: Any = {"skip_signature": True}
    if key:
        config = {"service_account_key": key} if key.startswith("{") else {"service_account_path": key}
    return GCSStore(
        parts.netloc,
        prefix=_folder(parts),
        config=config,
        client_options=_client(plain=False),
        retry_config=asked.retry,
    )


def _azure(asked: _Asked) -> ObjectStore:
    """A container of the account that the URI names after `@`, or else of the Secret's."""
    uri, parts, secret = asked.uri, asked.parts, asked.secret
    container, _, host = parts.netloc.partition("@")
    account = host.partition(".")[0] or secret.get("AZURE_STORAGE_ACCOUNT_NAME")
    if not account:
        raise BadModel(
            f"{uri}: no storage account is named; write abfs://CONTAINER@ACCOUNT.dfs.core.windows.net/PATH, "
            "or AZURE_STORAGE_ACCOUNT_NAME in the Secret"
        )
    config: Any = {"account_name": account}
    key = secret.get("AZURE_STORAGE_ACCOUNT_KEY")
    config |= {"account_key": key} if key else {"skip_signature": True}
    return AzureStore(
        container,
        prefix=_folder(parts),
        config=config,
        client_options=_client(plain=False),
        retry_config=asked.retry,
    )


def _http(asked: _Asked) -> ObjectStore:
    return HTTPStore.from_url(
        asked.uri,
        client_options=_client(plain=asked.parts.scheme == "http"),
        retry_config=asked.retry,
    )


_OPENERS: Mapping[str, Callable[[_Asked], ObjectStore]] = {
    "s3": _s3,
    "gs": _gs,
    "gcs": _gs,
    "abfs": _azure,
    "abfss": _azure,
    "http": _http,
    "https": _http,
}


def amazon_region(bucket: str) -> str | None:
    """The region of a bucket, which Amazon tells anybody who asks; None where it does not answer."""
    connection = http.client.HTTPSConnection("s3.amazonaws.com", timeout=10)
    try:
        connection.request("HEAD", f"/{bucket}")
        return connection.getresponse().getheader("x-amz-bucket-region")
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
