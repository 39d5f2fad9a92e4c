"""The wire between an operator and the API server: all that crosses it is written down, and it can be made to fail.

A proxy on this machine, in plain HTTP on the operator's side. What it has seen is the truth that the operator's own
numbers are compared with.
"""

from __future__ import annotations

import asyncio
import ssl
import tempfile
import threading
import time
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import yaml
from aiohttp import web

from ports import free_port

OPENED = 200
TLS_CLOSE_SECONDS = 0.5
"""How long TLS connections may take to close once their session is closed; nobody can be asked."""
_OF_THE_CONNECTION = {"host", "connection", "transfer-encoding", "content-length", "keep-alive"}


@dataclass(slots=True)
class Crossing:
    """A request."""

    at: float
    """When it came, by time.monotonic."""
    method: str
    path: str
    watch: bool
    status: int = 0
    """The answer's; 0: none has come."""

    @property
    def resource(self) -> str:
        """The plural of what it was about."""
        parts = self.path.split("/")
        after = parts.index("namespaces") + 2 if "namespaces" in parts else (3 if parts[1] == "api" else 4)
        return parts[after]

    @property
    def writes(self) -> bool:
        """Whether it was to change anything."""
        return self.method != "GET"


class Wire:
    """One wire; `with` it, the kubeconfig leads through it."""

    def __init__(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        self._server = cluster["server"]
        self._trust = ssl.create_default_context(cadata=_authority(cluster))
        port = free_port()
        config["clusters"][0]["cluster"] = {"server": f"http://127.0.0.1:{port}"}
        self._folder = tempfile.TemporaryDirectory()
        self.kubeconfig = Path(self._folder.name) / "kubeconfig"
        self.kubeconfig.write_text(yaml.safe_dump(config))
        self.crossings: list[Crossing] = []
        self.swallows: Callable[[Crossing], bool] = lambda crossing: False  # noqa: ARG005 - nothing yet
        """Which watches show nothing any more: bytes are taken, none are given."""
        self.stalls: Callable[[Crossing], bool] = lambda crossing: False  # noqa: ARG005 - nothing yet
        """Which requests get no answer, for as long as this is so."""
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(30)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()
        self._folder.cleanup()

    def written(self, since: float = 0.0) -> list[Crossing]:
        """The requests since then that were to change anything, those about the Lease excepted."""
        return [one for one in list(self.crossings) if one.writes and one.at >= since and one.resource != "leases"]

    def watches(self, resource: str) -> bool:
        """Whether a watch of a resource has been opened: its first list has been answered by then."""
        return any(one.watch and one.resource == resource and one.status == OPENED for one in list(self.crossings))

    async def _open(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._trust, limit=0),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
            trust_env=False,
        )
        app = web.Application(client_max_size=2**26)
        app.router.add_route("*", "/{path:.*}", self._cross)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()

    async def _close(self) -> None:
        await self._runner.cleanup()
        await self._session.close()
        await asyncio.sleep(TLS_CLOSE_SECONDS)

    async def _cross(self, request: web.Request) -> web.StreamResponse:
        crossing = Crossing(time.monotonic(), request.method, request.path, "watch" in request.query)
        self.crossings.append(crossing)
        while self.stalls(crossing):  # noqa: ASYNC110 - a test changes its mind in another thread
            await asyncio.sleep(0.1)
        body = await request.read() or None
        url = f"{self._server}{request.raw_path}"
        async with self._session.request(request.method, url, data=body, headers=_kept(request.headers)) as answer:
            crossing.status = answer.status
            if not crossing.watch:
                return web.Response(status=answer.status, body=await answer.read(), headers=_kept(answer.headers))
            stream = web.StreamResponse(status=answer.status, headers=_kept(answer.headers))
            await stream.prepare(request)
            async for chunk in answer.content.iter_any():
                if not self.swallows(crossing):
                    await stream.write(chunk)
            return stream


def _kept(headers: Any) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _OF_THE_CONNECTION}


def _authority(cluster: dict[str, str]) -> str:
    if text := cluster.get("certificate-authority-data"):
        return b64decode(text).decode()
    return Path(cluster["certificate-authority"]).read_text()
