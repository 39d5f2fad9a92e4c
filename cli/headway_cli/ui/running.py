"""The server's life: from the address that is printed to Ctrl-C."""

from __future__ import annotations

import asyncio
import html
import signal
import tempfile
import threading
import webbrowser
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web

from headway_cli.cluster.errors import ClusterError
from headway_cli.ui.asking import Site
from headway_cli.ui.guard import Keys
from headway_cli.ui.server import Pages

HOST = "127.0.0.1"
THREADS = 8
"""How many pages are made at the same time, each by its kubectl."""
CLOSE_SECONDS = 1.0
MOST_LINE, MOST_FIELD = 8190, 64 << 10
"""Bytes of the first line of a request, and of a header: all that other programs of this machine serve at 127.0.0.1 put
their cookies into the same one."""


def serve(site: Site, port: int, ready: Callable[[str], None], *, opened: bool = False) -> None:
    """Serve until Ctrl-C or SIGTERM. ready: is told the address with the key. opened: also in a browser.

    Raises ClusterError where the port is taken.
    """
    asyncio.run(_serve(site, port, ready, opened=opened))


async def _serve(site: Site, port: int, ready: Callable[[str], None], *, opened: bool) -> None:
    keys, ended = Keys(), asyncio.Event()
    executor = ThreadPoolExecutor(THREADS, thread_name_prefix="headway-ui")
    runner = web.AppRunner(
        Pages(site, keys, executor, lambda: datetime.now(UTC)).app(),
        access_log=None,  # the key is in the first address
        handle_signals=False,
        shutdown_timeout=CLOSE_SECONDS,
        max_line_size=MOST_LINE,
        max_field_size=MOST_FIELD,
    )
    await runner.setup()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):
            loop.add_signal_handler(each, ended.set)
    with tempfile.TemporaryDirectory(prefix="headway-ui-") as folder:
        try:
            listening = web.TCPSite(runner, HOST, port)
            try:
                await listening.start()
            except OSError as error:
                raise ClusterError(
                    f"port {port} of {HOST} cannot be had: {error.strerror or error}: another `headway ui`? --port 0 "
                    "takes a free one"
                ) from error
            address = f"http://{HOST}:{runner.addresses[0][1]}/?key={keys.first}"
            ready(address)
            if opened:
                # A browser of the terminal, as lynx, goes on until it is left, and asks for its first page meanwhile.
                uri = _way(Path(folder), address).as_uri()
                threading.Thread(target=webbrowser.open, args=(uri,), daemon=True).start()
            await ended.wait()
        finally:
            site.reach.end()
            await runner.cleanup()
            executor.shutdown(wait=False, cancel_futures=True)


def _way(folder: Path, address: str) -> Path:
    """A file, for this user alone, that leads to the address: among the words of a process everybody would see it."""
    path = folder / "headway.html"
    path.touch(mode=0o600)
    shown = html.escape(address)
    path.write_text(f'<!doctype html><meta http-equiv="refresh" content="0; url={shown}"><a href="{shown}">Headway</a>')
    return path
