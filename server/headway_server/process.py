"""The life of the server's process: load, warm up, serve, and end without dropping a request."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from headway_server.access import access_log
from headway_server.admin import Admin
from headway_server.cpus import cpu_limit
from headway_server.drift.watching import MOST_REPLY_BYTES, Watching
from headway_server.errors import BadModel, ModelFailed
from headway_server.http.listener import Listener
from headway_server.model import ServedModel
from headway_server.rest.app import App
from headway_server.service import LONGEST_INLINE_SECONDS, Service, warm_up
from headway_server.settings import Settings
from headway_server.split.judging import Judging
from headway_server.split.line import Line
from headway_server.split.splitter import Splitter

_LAST_ANSWERS_SECONDS = 30.0
"""For which requests that have begun are waited for at the very end."""


class Front(Protocol):
    """One protocol on one port."""

    @property
    def port(self) -> int:
        """The port that it listens on, once it does."""

    async def start(self) -> None:
        """Listen. Raises OSError where the port is taken."""

    async def stop(self, seconds: float) -> None:
        """Take nothing new, answer what has begun, for at most so many seconds, and close."""


@dataclass(frozen=True)
class Running:
    """A server that takes requests."""

    service: Service
    data: Front
    """REST."""
    admin: Front
    others: Sequence[Front]
    """What else was asked for."""
    inline: bool
    """Whether the model runs on the event loop."""
    slow_run_seconds: float
    """What its slower runs took at warm-up."""


def load(settings: Settings) -> ServedModel:
    """The model of the settings, checked. Raises BadModel."""
    threads = settings.threads or cpu_limit()
    return ServedModel.open(
        settings.model_dir,
        name=settings.name,
        version=settings.version,
        threads=threads,
        keys=settings.public_keys,
    )


async def serve(
    model: ServedModel,
    settings: Settings,
    *,
    fronts: Sequence[Callable[[Service], Front]] = (),
    started: Callable[[Running], None] = lambda _: None,
) -> None:
    """Serve until SIGTERM, which drains first, or SIGINT, which only answers what has begun.

    fronts: makes what serves other protocols. started: is told when requests are taken. Raises BadModel where the
    model fails at warm-up, and OSError where a port is taken.
    """
    running = await _start(model, settings, fronts)
    listeners = (running.data, *running.others)
    try:
        started(running)
        await _ended(running.service, settings.drain_seconds)
    finally:
        running.service.drain()
        if running.service.split is not None:
            await running.service.split.stop_copies()
        await asyncio.gather(*(one.stop(_LAST_ANSWERS_SECONDS) for one in listeners))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(running.service.batcher.close(), _LAST_ANSWERS_SECONDS)
        if running.service.split is not None:
            await running.service.split.end()
        if running.service.watching is not None:
            await running.service.watching.end()
        if running.service.recorder is not None:
            await asyncio.to_thread(running.service.recorder.writer.close)
        await running.admin.stop(0)


async def _start(model: ServedModel, settings: Settings, fronts: Sequence[Callable[[Service], Front]]) -> Running:
    try:
        slow = warm_up(model, settings.warmup_requests)
    except ModelFailed as error:
        raise BadModel(f"{settings.model_dir}: {error}") from error
    inline = slow < LONGEST_INLINE_SECONDS if settings.inline is None else settings.inline
    service = Service(model, settings, inline=inline)
    access = access_log if settings.access_log else None
    if settings.judging is not None:
        service.split = _split(service, settings.judging)
        await service.split.begin()
    data = Listener(App(service, access), settings.host, settings.port, settings.http)
    admin = Listener(Admin(service), settings.host, settings.admin_port, settings.admin)
    others = [make(service) for make in fronts]
    open_ones: list[Front] = []
    try:
        for one in (admin, *others, data):
            await one.start()
            open_ones.append(one)
    except BaseException:
        for one in open_ones:
            await one.stop(0)
        if service.split is not None:
            await service.split.end()
        if service.watching is not None:
            await service.watching.end()
        raise
    if service.recorder is not None:
        service.recorder.writer.start()
    service.begin()
    return Running(service, data, admin, others, inline, slow)


def _split(service: Service, judging: Judging) -> Splitter:
    """What reports to the judge, and what that may ask for beside a split: that rows are counted."""
    model = service.model
    split = Splitter(model.name, model.version, service.batcher, service.settings, judging)
    service.metrics.registry.register(split.collector)
    service.watching = Watching(
        model,
        split.state.version,
        judging.deployment_uid,
        Line(judging, MOST_REPLY_BYTES),
        lot=split.lot,
        count=service.metrics.watch_drift(),
    )
    split.sampled = service.watching.told
    return split


async def _ended(service: Service, drain_seconds: float) -> None:
    """Return when the listeners are to be closed."""
    loop = asyncio.get_running_loop()
    asked, at_once = asyncio.Event(), asyncio.Event()

    def terminate() -> None:
        (at_once if asked.is_set() else asked).set()

    def interrupt() -> None:
        asked.set()
        at_once.set()

    loop.add_signal_handler(signal.SIGTERM, terminate)
    loop.add_signal_handler(signal.SIGINT, interrupt)
    try:
        await asked.wait()
        # Endpoints go from proxies some time after the pod was told to end: until then requests still come.
        service.drain()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(at_once.wait(), drain_seconds)
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
        loop.remove_signal_handler(signal.SIGINT)
