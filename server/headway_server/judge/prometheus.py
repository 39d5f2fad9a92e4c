"""Asks a Prometheus for one number: by HTTP/1.1, within bounds on time and size, and never where no query should lead.

The address is a tenant's word, and the answer is a stranger's. No redirect is followed, names are looked up once, and
what is connected to is what was looked at: addresses at which clouds give their nodes' credentials away are refused. A
Secret's credentials are sent to the address alone that stands in the same Secret, so who may name a Secret in a
ModelDeployment cannot have it sent to somebody of their choice.
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import json
import re
import socket
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import httptools

from headway_api import rollout_wire as wire
from headway_api.addresses import URL, Address, is_refused
from headway_api.wording import printable

TIMEOUT_SECONDS = 10.0
"""For all of it: the name, the connection, and the answer."""
MOST_BYTES = 256 * 1024
"""Of an answer with its headers. One number takes less than one KiB; what is longer has many series."""
MOST_SECRET_BYTES = 256 * 1024
MOST_WORDS = 300
_TOKEN = re.compile(r"[\x21-\x7e]+")
_OK, _REDIRECTS = 200, range(300, 400)


class NoValue(Exception):  # noqa: N818 - what came
    """There is no number. The message says why, in words for people."""


async def ask(gate: wire.QueryGate, secrets: Path, *, seconds: float = TIMEOUT_SECONDS) -> float:
    """The number that a query gives; it may be infinite, or NaN.

    secrets: the folder with the Secrets that queries name. Raises NoValue.
    """
    try:
        async with asyncio.timeout(seconds):
            return await _asked(gate, secrets)
    except TimeoutError as error:
        raise NoValue(f"there was no answer within {seconds:g} s") from error
    except ssl.SSLCertVerificationError as error:
        raise NoValue(
            f"its certificate is not trusted ({_shown(error.verify_message)}): give its authorities in ca.crt of the"
            " Secret"
        ) from error
    except ssl.SSLError as error:
        raise NoValue(f"no connection by TLS: {_shown(error.reason or str(error))}") from error
    except OSError as error:
        raise NoValue(f"no connection: {_shown(error.strerror or str(error) or type(error).__name__)}") from error


async def _asked(gate: wire.QueryGate, secrets: Path) -> float:
    if re.fullmatch(URL, gate.url) is None:
        raise NoValue("its url is none that may be asked")
    try:
        parts = urlsplit(gate.url)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except ValueError as error:
        raise NoValue("its url has a port or an address that there cannot be") from error
    host = parts.hostname or ""
    held = _Secret.read(secrets / gate.secret, gate.secret, gate.url) if gate.secret else _Secret()
    request = _request(parts.path, parts.netloc, gate.query, held)
    return _number(*await _exchanged(host, port, parts.scheme, held, request))


def _request(path: str, host: str, query: str, held: _Secret) -> bytes:
    words = urlencode({"query": query, "timeout": f"{TIMEOUT_SECONDS:g}s"})
    lines = [
        f"GET {path.rstrip('/')}/api/v1/query?{words} HTTP/1.1",
        f"Host: {host}",
        "Accept: application/json",
        "Accept-Encoding: identity",
        "User-Agent: headway-judge",
        "Connection: close",
    ]
    if held.authorization:
        lines.append(f"Authorization: {held.authorization}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


async def _exchanged(host: str, port: int, scheme: str, held: _Secret, request: bytes) -> tuple[int, bytes]:
    """Status and body of the answer."""
    context = held.context() if scheme == "https" else None
    last: OSError = OSError("the name has no address")
    for address in await _addresses(host, port):
        try:
            reader, writer = await asyncio.open_connection(
                str(address), port, ssl=context, server_hostname=host if context else None
            )
        except OSError as error:
            last = error
            continue
        try:
            writer.write(request)
            return await _read(reader)
        finally:
            writer.transport.abort()
    raise last


async def _addresses(host: str, port: int) -> list[Address]:
    """What a name stands for. Raises NoValue where one of these is none that may be reached."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise NoValue(f"the name {host} is not known: {error.strerror}") from error
    except UnicodeError as error:
        raise NoValue(
            f"{_shown(host)} is no name of a host: a part of it is empty, or has over 63 characters"
        ) from error
    addresses = list(dict.fromkeys(ipaddress.ip_address(str(each[4][0]).partition("%")[0]) for each in found))
    for address in addresses:
        if is_refused(address):
            raise NoValue(f"{host} is {address}, an address of the node or the cloud, which no query may reach")
    return addresses


@dataclass
class _Answer:
    """What the parser has read."""

    parts: list[bytes] = field(default_factory=list)
    bounded: bool = False
    """Whether the answer says where it ends."""
    begun: bool = False
    complete: bool = False

    def on_header(self, name: bytes, _: bytes) -> None:
        self.bounded |= name.lower() in (b"content-length", b"transfer-encoding")

    def on_headers_complete(self) -> None:
        self.begun = True

    def on_body(self, part: bytes) -> None:
        self.parts.append(part)

    def on_message_complete(self) -> None:
        self.complete = True


async def _read(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    answer, size = _Answer(), 0
    parser = httptools.HttpResponseParser(answer)
    while not answer.complete:
        data = await reader.read(65_536)
        if not data:
            if answer.begun and not answer.bounded:
                break
            raise NoValue("the connection was closed before all of the answer had come")
        size += len(data)
        if size > MOST_BYTES:
            raise NoValue(
                f"the answer has more than {MOST_BYTES:,} bytes: have the query give one number, as sum() does"
            )
        try:
            parser.feed_data(data)
        except httptools.HttpParserError as error:
            raise NoValue("the answer is no HTTP/1.1") from error
    return parser.get_status_code(), b"".join(answer.parts)


def _number(status: int, body: bytes) -> float:
    """The number in an answer of Prometheus."""
    if status in _REDIRECTS:
        raise NoValue(f"it answers {status}, and redirects are not followed: give the address that this leads to")
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict) or told.get("status") not in ("success", "error"):
        raise NoValue(f"it answers {status}, and not as Prometheus does")
    if status != _OK or told["status"] != "success":
        words = [str(told[key]) for key in ("errorType", "error") if isinstance(told.get(key), str)]
        raise NoValue(f"Prometheus answers {status}: {_shown(': '.join(words))}")
    return _value(told.get("data"))


def _value(data: Any) -> float:
    kind, result = (data.get("resultType"), data.get("result")) if isinstance(data, dict) else (None, None)
    if kind == "vector" and isinstance(result, list):
        if not result:
            raise NoValue("the query finds no series")
        if len(result) > 1:
            raise NoValue(f"the query gives {len(result):,} series: have it give one number, as sum() does")
        pair = result[0].get("value") if isinstance(result[0], dict) else None
    elif kind == "scalar":
        pair = result
    else:
        raise NoValue(f"the query gives a {_shown(str(kind))}, and has to give one number")
    try:
        _, text = pair  # type: ignore[misc]  # what is no pair is told below
        return float(text)
    except (TypeError, ValueError) as error:
        raise NoValue("the query gives no number") from error


def _shown(words: str) -> str:
    words = printable(" ".join(words.split()))
    return words if len(words) <= MOST_WORDS else f"{words[: MOST_WORDS - 1]}…"


@dataclass(frozen=True)
class _Secret:
    """What a Secret holds."""

    authorization: str = ""
    authorities: str | None = None

    @staticmethod
    def read(folder: Path, name: str, url: str) -> _Secret:
        """From the folder that it is mounted as; it is read for each query, as it may change. Raises NoValue."""
        held = {key: _file(folder / key, name) for key in wire.QUERY_SECRET_KEYS}
        if not any(held.values()):
            raise NoValue(f"the Secret {name} is not there, or has none of url, token, username, password and ca.crt")
        token, user, word = (held[key] for key in ("token", "username", "password"))
        authorization = _bearer(token, name) if token else _basic(user, word, name) if user or word else ""
        if authorization and (not held["url"] or _origin(held["url"]) != _origin(url)):
            raise NoValue(
                f"the Secret {name} has credentials, and they are sent only to the address in its key url,"
                f" which has to be {_shown(_origin(url))}"
            )
        return _Secret(authorization, held["ca.crt"] or None)

    def context(self) -> ssl.SSLContext:
        """By which a server is known: the authorities of the Secret alone, or the system's. Raises NoValue."""
        try:
            return ssl.create_default_context(cadata=self.authorities)
        except (ssl.SSLError, ValueError) as error:
            raise NoValue("the Secret's ca.crt holds no certificate in PEM") from error


def _file(path: Path, name: str) -> str:
    try:
        with path.open("rb") as stream:
            data = stream.read(MOST_SECRET_BYTES + 1)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise NoValue(f"the Secret {name} cannot be read: {error.strerror}") from error
    if len(data) > MOST_SECRET_BYTES:
        raise NoValue(f"the Secret {name} has a key with more than {MOST_SECRET_BYTES} bytes")
    return data.decode("utf-8", "replace").strip()


def _bearer(token: str, name: str) -> str:
    if _TOKEN.fullmatch(token) is None:
        raise NoValue(f"the token of the Secret {name} has characters that no header takes")
    return f"Bearer {token}"


def _basic(user: str, word: str, name: str) -> str:
    if not user or ":" in user:
        raise NoValue(f"the Secret {name} needs a username, without a colon")
    return "Basic " + base64.b64encode(f"{user}:{word}".encode()).decode()


def _origin(url: str) -> str:
    """Scheme, host and port."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    except ValueError:
        return ""  # of no url: nothing is sent there
    return f"{parts.scheme}://{parts.hostname}:{port}"
