"""Names are looked up without holding anybody up who does not wait."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from headway_server.split.client import Client, NoReply
from headway_server.split.lookup import Lookup

FOUND = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80))]


class Names:
    """A name server that answers when it is let."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.asked: list[str] = []

    def getaddrinfo(self, host: str, _: int, **__: Any) -> list[Any]:
        """In place of socket's."""
        self.asked.append(host)
        self.answers.wait(60)
        if host == "nobody":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return FOUND


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    made = Names()
    monkeypatch.setattr("headway_server.split.lookup.socket.getaddrinfo", made.getaddrinfo)
    yield made
    made.answers.set()


def test_whoever_does_not_wait_any_longer_leaves_and_the_loop_ends_though_the_name_server_is_silent(
    names: Names,
) -> None:
    async def ask() -> None:
        with pytest.raises(TimeoutError):
            await Client(1000).post(("judge", 80), "/", {}, b"", 0.01)

    asyncio.run(ask())
    assert names.asked == ["judge"]
    assert not names.answers.is_set()


def test_all_who_ask_for_one_name_wait_for_one_thread(names: Names) -> None:
    async def ask() -> list[Any]:
        lookup = Lookup()
        waiting = [asyncio.ensure_future(lookup("judge", 80)) for _ in range(50)]
        await asyncio.sleep(0)
        waiting.pop().cancel()
        names.answers.set()
        found = await asyncio.gather(*waiting)
        await lookup("judge", 80)
        return found

    assert asyncio.run(ask()) == [[(socket.AF_INET, "127.0.0.1", 80)]] * 49
    assert names.asked == ["judge", "judge"], "what was found is not kept: pods and Services change their addresses"


def test_a_name_that_there_is_not_is_told_to_each_who_asks(names: Names) -> None:
    names.answers.set()

    async def ask() -> None:
        client = Client(1000)
        for _ in range(2):
            with pytest.raises(NoReply, match=r"nobody is there: .*not known") as told:
                await client.post(("nobody", 80), "/", {}, b"", 5)
            assert not told.value.connected

    asyncio.run(ask())
