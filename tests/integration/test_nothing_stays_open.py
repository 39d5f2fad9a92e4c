"""Ten thousand requests, and versions that come and go meanwhile, leave a server with the threads and files it had."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from grpc_requests import Client, raw
from held_things import Use, used_by
from wire_client import ask

from .split_world import BODY, INFER, Load, World, world

FEW = 2
"""Turns; each has a rollout of its own."""
ALONE = 50
"""Requests of a turn that are on a connection of their own, and as many by gRPC; the others are on kept ones."""
SLACK = 8
"""Connections that are kept for the next request, and threads that gRPC begins when it has a use for them."""


async def turn(there: World, number: int, requests: int) -> None:
    """A rollout: its candidate has another name than that of the one before."""
    host = ("127.0.0.1", "localhost")[number % 2]
    url, grpc = f"http://{host}:{there.candidate.port}", f"{host}:{there.candidate.grpc}"
    await there.split(share=0.5, epoch=number + 1, salt=str(number), candidate_url=url, candidate_grpc=grpc)
    async with Load(there.stable.port, total=requests) as load:
        pass
    assert load.failed == {}
    assert min(load.of("1"), load.of("2")) > 0
    client = Client(there.stable.grpc, retries=True)
    for _ in range(ALONE):
        assert (await ask(there.stable.port, "POST", INFER, BODY)).status == 200
        assert (await client.call("ModelInfer", raw())).model_name
    await client.channel.close()


@pytest.mark.parametrize(("many", "requests"), [(4, 200), pytest.param(10, 1000, marks=pytest.mark.long)])
async def test_a_server_has_the_threads_and_files_that_it_had(many: int, requests: int, tmp_path: Path) -> None:
    for name in ("1", "2"):
        (tmp_path / name).mkdir()
    async with world(tmp_path) as there:
        pids = [one.process.pid for one in (there.stable, there.candidate)]
        for number in range(FEW):
            await turn(there, number, requests)
        few = [used_by(pid) for pid in pids]
        for number in range(FEW, FEW + many):
            await turn(there, number, requests)
        for pid, before in zip(pids, few, strict=True):
            await there.judge.heard(partial(_as_before, pid, before))


def _as_before(pid: int, before: Use) -> bool:
    now = used_by(pid)
    return now.threads <= before.threads + SLACK and now.files <= before.files + SLACK
