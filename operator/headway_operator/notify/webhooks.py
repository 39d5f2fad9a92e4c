"""The administrator's webhooks, and one POST to one of them.

They are files of a folder, as a Secret is mounted: each has the name of a namespace and holds a URL. Whoever knows such
a URL may write into the channel behind it, so it is in no log and no error.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from headway_api.addresses import is_refused, is_written_refused

OTHERS = "_others"
"""The file of all namespaces that have none of their own. No namespace can have that name."""
MOST_URL_BYTES = 2048
MOST_RETRY_AFTER_SECONDS = 30.0
TIMEOUT = aiohttp.ClientTimeout(total=10.0)
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_URL = re.compile(r"https?://[\x21-\x7e]+")
_TOO_MANY, _SERVERS_FAULT = 429, 500
_TAKEN = range(200, 300)


class NotTakenError(Exception):
    """The word was not taken. The message says why, without the URL."""

    def __init__(self, message: str, *, again: bool, after: float = 0.0) -> None:
        super().__init__(message)
        self.again = again
        """Whether it may be taken later."""
        self.after = after
        """Seconds for which the webhook asks to be left alone."""


@dataclass(frozen=True)
class Webhooks:
    """The folder. It is read for each word, as a Secret may change."""

    folder: Path

    def url(self, namespace: str) -> str | None:
        """The namespace's URL; None where it has none. Raises NotTakenError for what is no URL."""
        if not _NAMESPACE.fullmatch(namespace):
            return None
        told = self._read(namespace)
        if told is None:
            told = self._read(OTHERS)
        if not told:
            return None  # an empty file: this namespace is told nothing
        if not usable(told):
            raise NotTakenError("what the Secret holds for it is no http or https URL", again=False)
        return told

    def channel(self, namespace: str) -> str | None:
        """What is the same for namespaces with the same URL, and is no secret; None where a namespace has none."""
        try:
            url = self.url(namespace)
        except NotTakenError:
            return namespace  # its words fail, and are told as failures
        return hashlib.sha256(url.encode()).hexdigest() if url is not None else None

    def _read(self, name: str) -> str | None:
        try:
            with (self.folder / name).open("rb") as file:
                return file.read(MOST_URL_BYTES + 1).decode("ascii", "replace").strip()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise NotTakenError(f"the webhook cannot be read: {error.strerror}", again=True) from error


def usable(url: str) -> bool:
    """Whether a text is a URL that may be asked, as far as can be told before its name is looked up."""
    if len(url) > MOST_URL_BYTES or not _URL.fullmatch(url):
        return False
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        return False
    return bool(host) and parts.username is None and parts.password is None


class Resolver(AbstractResolver):
    """Looks names up, and lets none lead to an address of the node or the cloud. aiohttp connects to what it gives."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """See aiohttp. Raises OSError."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, family=family)
        results = []
        for kind, _, protocol, _, address in found:
            plain = str(address[0]).partition("%")[0]
            if is_refused(ipaddress.ip_address(plain)):
                raise OSError(None, "its name leads to an address of the node or the cloud")
            results.append(
                ResolveResult(
                    hostname=host, host=plain, port=port, family=kind, proto=protocol, flags=socket.AI_NUMERICHOST
                )
            )
        return results

    async def close(self) -> None:
        """There is nothing to close."""


def session() -> aiohttp.ClientSession:
    """What POSTs: no cookies, no redirects, no proxy, and nobody's names but those that Resolver lets through."""
    connector = aiohttp.TCPConnector(resolver=Resolver(), use_dns_cache=False, limit=16, force_close=True)
    return aiohttp.ClientSession(connector=connector, timeout=TIMEOUT, cookie_jar=aiohttp.DummyCookieJar())


async def post(client: aiohttp.ClientSession, url: str, text: str) -> None:
    """One try. Raises NotTakenError."""
    if is_written_refused(url):  # aiohttp looks up no address that is written as one
        raise NotTakenError("its URL has an address of the node or the cloud", again=False)
    try:
        async with client.post(url, json={"text": text}, allow_redirects=False) as answer:
            status, after = answer.status, answer.headers.get("Retry-After", "")
    except TimeoutError as error:
        raise NotTakenError(f"no answer within {TIMEOUT.total:g} s", again=True) from error
    except aiohttp.ClientError as error:
        # aiohttp's own words may have the URL.
        raise NotTakenError(f"no connection ({type(error).__name__})", again=True) from error
    except (OSError, ValueError) as error:
        raise NotTakenError(f"no connection ({type(error).__name__})", again=True) from error
    if status in _TAKEN:
        return
    later = status == _TOO_MANY or status >= _SERVERS_FAULT
    raise NotTakenError(f"it answers {status}", again=later, after=_seconds(after))


def _seconds(text: str) -> float:
    return min(float(text), MOST_RETRY_AFTER_SECONDS) if re.fullmatch(r"\d{1,6}", text) else 0.0
