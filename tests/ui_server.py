"""The pages of `headway ui` served for a browser, in a thread of the test."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime

from aiohttp import web

from headway_cli.ui.asking import Site
from headway_cli.ui.guard import Keys
from headway_cli.ui.server import Pages

START_SECONDS = 20.0


@contextmanager
def serving(site: Site, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Iterator[tuple[str, str]]:
    """The address of the server without a / at its end, and the address with the key, which lets a browser in."""
    keys, loop, up = Keys(), asyncio.new_event_loop(), threading.Event()
    found: list[str] = []
    with ThreadPoolExecutor(4) as executor:

        async def start() -> web.AppRunner:
            runner = web.AppRunner(Pages(site, keys, executor, now).app(), access_log=None, shutdown_timeout=1.0)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            found.append(f"http://127.0.0.1:{runner.addresses[0][1]}")
            return runner

        def live() -> None:
            runner = loop.run_until_complete(start())
            up.set()
            loop.run_forever()
            loop.run_until_complete(runner.cleanup())
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()

        thread = threading.Thread(target=live, daemon=True)
        thread.start()
        try:
            assert up.wait(START_SECONDS), "the server has not started"
            yield found[0], f"{found[0]}/?key={keys.first}"
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
