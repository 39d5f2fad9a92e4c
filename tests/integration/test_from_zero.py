"""From one server to none and back, with real processes: a server, the judge, and the holder. The test is the operator.

Clients ask the holder throughout, as they do where a deployment falls asleep and wakes.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

from headway_api.rollout_wire import Route
from stub_judge import UID, judged
from wire_client import PATIENCE, ask

from .split_world import BODY, INFER, begun, serving
from .test_judged_rollouts import Judge
from .test_load_told import told


@contextlib.asynccontextmanager
async def holding(server: int, *words: str) -> AsyncIterator[int]:
    """A process of `headway hold`; its port."""
    to = ("--name=churn", f"--server=http://127.0.0.1:{server}")
    words = ("--port=0", "--admin-port=0", "--drain-seconds=0", *words)
    async with begun("hold", *to, *words) as (process, said):
        found = re.search(r"on http://127.0.0.1:(\d+) \(health and metrics on port \d+\)\n", said)
        assert found, said
        yield int(found[1])
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), PATIENCE) == 0


async def steady(port: int, failed: list[str], answered: list[float], ended: asyncio.Event) -> None:
    """A request every 0.2 s, each on a connection of its own, whatever becomes of the others."""
    pending = set()

    async def one() -> None:
        start = time.monotonic()
        try:
            reply = await ask(port, "POST", INFER, BODY)
        except OSError as error:
            failed.append(repr(error))
            return
        answered.append(time.monotonic() - start)
        if reply.status != 200:
            failed.append(f"{reply.status}: {reply.body[:200]!r}")

    while not ended.is_set():
        pending.add(asyncio.create_task(one()))
        await asyncio.sleep(0.2)
    await asyncio.gather(*pending)


async def course(folder: Path) -> None:
    (folder / "route.json").write_text(Route(uid=UID).model_dump_json())
    judge = Judge(folder, more=("--load",))
    judged(folder, 1)
    await judge.start()
    words = judged(folder, judge.port)
    try:
        async with serving(folder / "1", 1, *words) as first:
            port = first.port
        async with holding(port, *words) as held:
            word = await told(folder, lambda word: word.holders == 1)
            assert word.held == 0
            asked = time.monotonic()
            waits = asyncio.create_task(ask(held, "POST", INFER, BODY))
            await told(folder, lambda word: word.held == 1)
            told_after = time.monotonic() - asked
            async with serving(folder / "2", 1, *words, f"--port={port}"):
                assert (await waits).status == 200
            failed: list[str] = []
            answered: list[float] = []
            ended = asyncio.Event()
            client = asyncio.create_task(steady(held, failed, answered, ended))
            for number in range(3, 6):
                # The last server ends while requests arrive; then there is none for a while.
                await asyncio.sleep(1.0)
                async with serving(folder / str(number), 1, *words, f"--port={port}"):
                    before = len(answered)
                    async with asyncio.timeout(PATIENCE):
                        while len(answered) < before + 5:  # noqa: ASYNC110 - a client in a task has no event for it
                            await asyncio.sleep(0.05)
            async with serving(folder / "6", 1, *words, f"--port={port}"):
                ended.set()
                await client
            assert failed == []
            assert len(answered) > 15
            print(f"the judge has written of a held request after {told_after:.2f} s")
    finally:
        assert await judge.end() == 0


def test_no_request_fails_where_the_last_server_goes_and_another_comes(tmp_path: Path) -> None:
    asyncio.run(course(tmp_path))
