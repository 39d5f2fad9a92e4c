"""What the process is around the protocols: the CPUs it may use, its warm-up, its admin port, and its end."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headway_server.cpus import cpu_limit
from headway_server.errors import BadModel, ModelFailed
from headway_server.model import ServedModel
from headway_server.process import Running, load, serve
from headway_server.service import warm_up
from headway_server.settings import Settings
from served import bundle
from wire_client import Wire, ask, request, when

from .test_app import BODY, INFER

SETTINGS = Settings(model_dir="", port=0, admin_port=0, drain_seconds=3600)


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "max 100000\n"}, 4),
        ({"cpu.max": "6400000 100000\n"}, 4),
        ({"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4),
        ({}, 4),
    ],
)
def test_the_container_s_limit_counts_and_not_what_the_node_has(
    files: dict[str, str], limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert cpu_limit(tmp_path) == limit


def test_warm_up_tells_how_long_the_slower_runs_take_once_the_first_are_over(echo_model: ServedModel) -> None:
    clock = itertools.chain.from_iterable((0.0, 9.0) if at < 5 else (0.0, 0.001) for at in range(10))
    assert warm_up(echo_model, 10, lambda: next(clock)) == pytest.approx(0.001)


class Server:
    """A server in a task of the test's loop."""

    def __init__(self, model: ServedModel, settings: Settings = SETTINGS) -> None:
        self.running: Running | None = None
        self.task = asyncio.create_task(serve(model, settings, started=self._started))

    def _started(self, running: Running) -> None:
        self.running = running

    async def ready(self) -> Running:
        """Once it takes requests."""
        await when(lambda: self.running or self.task.done())
        assert self.running is not None
        return self.running


async def test_the_admin_port_has_health_and_metrics_and_nothing_else(echo_model: ServedModel) -> None:
    server = Server(echo_model)
    admin = (await server.ready()).admin.port
    assert (await ask(admin, "GET", "/v2/health/ready")).json == {"live": True, "ready": True}
    assert (await ask(admin, "GET", "/v2/health/live")).json == {"live": True}
    assert b'headway_server_ready{model="churn",version="1"} 1.0' in (await ask(admin, "GET", "/metrics")).body
    assert (await ask(admin, "POST", "/metrics")).status == 405
    assert "this port has" in (await ask(admin, "GET", INFER)).error
    os.kill(os.getpid(), signal.SIGINT)
    await server.task


async def test_after_sigterm_it_is_not_ready_answers_still_and_ends_at_the_second(echo_model: ServedModel) -> None:
    server = Server(echo_model)
    running = await server.ready()
    wire = await Wire.to(running.data.port)
    assert (await wire.ask("POST", INFER, BODY)).status == 200
    os.kill(os.getpid(), signal.SIGTERM)
    await when(lambda: running.service.draining)
    assert (await ask(running.admin.port, "GET", "/v2/health/ready")).status == 503
    assert (await ask(running.admin.port, "GET", "/v2/health/live")).status == 200
    reply = await wire.ask("POST", INFER, BODY)
    assert (reply.status, reply.headers["connection"]) == (200, "close")
    assert (await ask(running.data.port, "POST", INFER, BODY)).status == 200
    os.kill(os.getpid(), signal.SIGTERM)
    await server.task
    with pytest.raises(ConnectionRefusedError):
        await Wire.to(running.data.port)
    await wire.close()


async def test_when_the_time_to_drain_is_over_what_has_begun_is_still_answered(echo_model: ServedModel) -> None:
    settings = replace(SETTINGS, drain_seconds=0, batching=replace(SETTINGS.batching, max_delay_seconds=0.2))
    server = Server(echo_model, settings)
    running = await server.ready()
    wire = await Wire.to(running.data.port)
    wire.send(request("POST", INFER, BODY))
    await when(lambda: running.service.batcher.in_flight)
    os.kill(os.getpid(), signal.SIGTERM)
    reply = await wire.reply()
    assert reply is not None
    assert reply.status == 200
    await server.task
    await wire.close()


async def test_a_model_that_cannot_be_run_never_takes_requests(echo_model: ServedModel) -> None:
    class Broken:
        reference, info, signature = None, echo_model.info, echo_model.signature

        def run(self, feeds: Any) -> Any:  # noqa: ARG002 - a model's
            raise ModelFailed("no kernel")

    broken: Any = Broken()
    with pytest.raises(BadModel, match="churn: no kernel"):
        await serve(broken, replace(SETTINGS, model_dir="churn"))


async def test_a_port_that_is_taken_leaves_no_other_open(echo_model: ServedModel) -> None:
    server = Server(echo_model)
    running = await server.ready()
    with pytest.raises(OSError, match="in use"):
        await serve(echo_model, replace(SETTINGS, port=running.data.port))
    os.kill(os.getpid(), signal.SIGINT)
    await server.task


def test_the_name_and_the_version_can_stand_in_a_path(tmp_path: Path) -> None:
    folder = str(bundle(tmp_path))
    assert load(replace(SETTINGS, model_dir=folder, name="a.b-1", version="7")).name == "a.b-1"
    for bad in (Settings(folder, name="a/b"), Settings(folder, version="x y"), Settings(folder, name="é")):
        with pytest.raises(BadModel, match="cannot stand in a path"):
            load(bad)
