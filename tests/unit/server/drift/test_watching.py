"""A server's counts on their way to the judge: each once, again until they are answered, and bounded."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headway_api.drift_wire import (
    BATCH_ROWS,
    DRIFT_PATH,
    UNUSED_SECONDS,
    Batch,
    Watch,
    WatchedFeature,
    WatchedReference,
)
from headway_api.rollout_wire import Sampling
from headway_server.drift import counter as counter_module
from headway_server.drift.counter import Counter
from headway_server.drift.plan import Plan, plan
from headway_server.drift.rows import Taker
from headway_server.drift.watching import MOST_REPLY_BYTES, STALE_SECONDS, Watching
from headway_server.judge.drift.drifts import Drifts
from headway_server.judge.drift.windows import CountsError
from headway_server.split.judging import Judging
from headway_server.split.line import Line, NotHeard

from .test_rows import SIZE, TOWN, feeds, model, planned

UID = "2c7b3f0e-0000-4000-8000-000000000001"
SENT = feeds([0.5, 1.5], ["Kobe", "a secret"])


@dataclass
class Judge:
    """The real counting of the judge, over a line that a test may cut."""

    drifts: Drifts = field(default_factory=Drifts)
    heard: list[Batch] = field(default_factory=list)
    lose: str = ""
    """What is lost: the request, the answer, or nothing."""
    status: int = 0
    refuse: bool = False
    """Whether counts that cannot be may come."""
    now: float = 0.0

    def begins_again(self) -> None:
        """Another process, which knows nothing."""
        self.drifts = Drifts()
        self.drifts.read({"monitoring.json": Watch(uid=UID, version=1, sample=1.0).model_dump_json()})

    async def knows_the_reference_by_another_server(self) -> None:
        """So that it asks no other one for it."""
        reference = planned(SIZE, TOWN).reference
        other = Batch(uid=UID, boot="other", version=1, digest=reference.digest, reference=reference)
        assert not self.drifts.take(other, self.now).reference

    async def post(self, path: str, body: bytes, seconds: float) -> bytes:
        """As Line does."""
        assert path == DRIFT_PATH
        assert seconds > 0
        if self.lose == "request":
            raise NotHeard("nobody is there")
        if self.status:
            raise NotHeard("it says no", self.status)
        self.heard.append(Batch.model_validate_json(body))
        try:
            reply = self.drifts.take(self.heard[-1], self.now)
        except CountsError as error:
            if not self.refuse:
                raise
            raise NotHeard(str(error), 400) from error
        if self.lose == "answer":
            raise NotHeard("its answer is lost")
        return reply.model_dump_json().encode()

    def close(self) -> None:
        """Nothing is open."""

    @property
    def rows(self) -> int:
        """Rows of the open window."""
        word = self.drifts.word()
        assert word is not None
        return word.rows


@contextlib.asynccontextmanager
async def watching(
    judge: Judge, *features: Any, version: int = 1, clock: Callable[[], float] = lambda: 0.0
) -> AsyncIterator[Watching]:
    """One that is told to count all, and sends when it is told to."""
    judge.drifts.read({"monitoring.json": Watch(uid=UID, version=1, sample=1.0).model_dump_json()})
    line: Any = judge
    made = Watching(
        *(model(*(features or (SIZE, TOWN))), version, UID, line),
        lot=lambda: 0.5,
        count=lambda *_: None,
        clock=clock,
    )
    made.told(judge.drifts.sampling)
    if made._task is not None:
        made._task.cancel()
    try:
        yield made
    finally:
        await made.end()


async def sent(made: Watching, requests: int) -> None:
    """So many requests of two rows each are answered, and what was counted is sent."""
    for _ in range(requests):
        made.answered(SENT, {})
    if made._counter is not None:
        made._counter.count_waiting()
    await made.send(1.0)


async def test_rows_are_counted_and_told_and_none_of_their_values(caplog: pytest.LogCaptureFixture) -> None:
    judge = Judge()
    async with watching(judge) as made:
        await sent(made, 3)
        await sent(made, 2)
        await sent(made, 0)
    assert judge.rows == 10
    assert [one.number for one in judge.heard] == [1, 0, 1, 2], (
        "the reference was asked for; nothing is sent where nothing is new"
    )
    said = "".join(one.model_dump_json() for one in judge.heard) + caplog.text
    assert "secret" not in said
    assert "Kobe" not in said


@pytest.mark.parametrize("lost", ["request", "answer"])
async def test_what_is_lost_is_sent_again_with_its_number_and_counts_once(lost: str) -> None:
    judge = Judge()
    async with watching(judge) as made:
        await sent(made, 1)
        judge.lose = lost
        await sent(made, 2)
        await sent(made, 3)
        judge.lose = ""
        await sent(made, 0)
        assert judge.heard[-1].number == 2
        await sent(made, 0)
        assert (judge.heard[-1].number, judge.rows) == (3, 12)


async def test_a_judge_that_begins_again_is_told_the_reference_again() -> None:
    judge = Judge()
    async with watching(judge) as made:
        await sent(made, 1)
        judge.begins_again()
        await sent(made, 2)
    assert judge.rows == 4


@pytest.mark.parametrize(("lost", "rows"), [("request", 6), ("answer", 6), ("", 10)])
async def test_what_the_judge_before_may_have_counted_is_not_told_to_the_next_one(lost: str, rows: int) -> None:
    """The first request's rows are of the judge before; the second's are, if its answer was heard."""
    judge = Judge()
    async with watching(judge) as made:
        await sent(made, 1)
        judge.lose = lost
        if lost:
            await sent(made, 2)
        judge.lose = ""
        judge.begins_again()
        await judge.knows_the_reference_by_another_server()
        await sent(made, 2 if not lost else 0)
        await sent(made, 3)
        assert judge.rows == rows, "of another server none were counted"
        assert made._waiting is None


async def test_a_server_that_hears_its_first_judge_late_loses_nothing() -> None:
    judge = Judge(lose="request")
    async with watching(judge) as made:
        await sent(made, 1)
        judge.lose = ""
        await judge.knows_the_reference_by_another_server()
        await sent(made, 0)
        assert judge.rows == 2, "no judge counts what was made for none"


async def test_a_false_reference_keeps_a_server_from_counting_only_as_long_as_anybody_counts_by_it() -> None:
    judge = Judge(refuse=True)
    false = WatchedReference(features=[WatchedFeature(name="size", kind="numbers", cells=[1, 10**6])])
    async with watching(judge) as made:
        lie = Batch(uid=UID, boot="liar", version=1, digest=false.digest, reference=false)
        judge.drifts.take(lie, 0.0)
        await sent(made, 1)
        await sent(made, 2)
        assert judge.rows == 0
        judge.now = UNUSED_SECONDS + 1.0
        await sent(made, 3)
        assert judge.rows == 6


@pytest.mark.parametrize(("status", "numbers"), [(400, [2]), (413, [2]), (401, [1, 2]), (503, [1, 2])])
async def test_what_would_be_refused_again_is_given_up_and_the_rest_waits(status: int, numbers: list[int]) -> None:
    judge = Judge(status=status)
    async with watching(judge) as made:
        await sent(made, 1)
        judge.status = 0
        await sent(made, 1)
        await sent(made, 0)
        assert sorted({one.number for one in judge.heard} - {0}) == numbers


async def test_a_server_that_ends_tells_what_it_has_counted() -> None:
    judge = Judge()
    async with watching(judge) as made:
        await sent(made, 1)
        made.answered(SENT, {})
    assert judge.rows == 4


async def test_of_a_judge_that_is_gone_nothing_is_kept_for_the_next_one_that_asks() -> None:
    judge, now = Judge(), [0.0]
    async with watching(judge, clock=lambda: now[0]) as made:
        await sent(made, 1)
        judge.lose = "request"
        await sent(made, 2)
        now[0] = STALE_SECONDS
        made.forget_stale()
        assert made.share == 1.0, "it may be on its way to another node"
        await sent(made, 3)
        now[0] += 1.0
        made.forget_stale()
        assert made.share == 0.0
        judge.lose = ""
        await sent(made, 0)
        assert judge.rows == 2
        made.told(judge.drifts.sampling)
        await sent(made, 4)
        assert judge.rows == 10


@pytest.mark.parametrize("sampling", [None, Sampling(version=2, sample=1.0)], ids=["nothing", "another version"])
async def test_only_what_is_asked_for_is_counted(sampling: Sampling | None) -> None:
    judge = Judge()
    async with watching(judge) as made:
        assert made.share == 1.0
        made.told(sampling)
        assert made.share == 0.0
        made.told(Sampling(version=1, sample=0.25))
        assert made.share == 0.25
        await sent(made, 5)
        assert judge.heard == [], "the lot was 0.5 each time"


async def test_a_version_that_is_no_number_and_one_that_is_not_asked_do_nothing_at_all() -> None:
    for version in (0, 2):
        async with watching(Judge(), version=version) as made:
            assert (made.share, made._task, made._counter) == (0.0, None, None)


async def test_a_model_of_which_nothing_can_be_counted_says_why() -> None:
    judge = Judge()
    async with watching(judge, TOWN.model_copy(update={"counts": {}})) as made:
        assert made.share == 0.0
        await made.send(1.0)
    word = judge.drifts.word()
    assert word is not None
    assert (word.state, word.message[:41]) == ("Unavailable", "of the model's inputs none can be counted")


class TestCounter:
    def counter(self) -> tuple[Counter, Taker, dict[str, int]]:
        became: dict[str, int] = {}

        def count(result: str, rows: int) -> None:
            became[result] = became.get(result, 0) + rows

        found = plan(model(SIZE, TOWN))
        assert isinstance(found, Plan)
        return Counter(found, count), Taker(found), became

    def test_what_it_cannot_keep_up_with_is_dropped_and_told(self) -> None:
        counter, taker, became = self.counter()
        for _ in range(counter_module.MOST_WAITING + 7):
            counter.offer(*taker.take(SENT, {}))
        assert became == {"dropped": 14}
        counter.count_waiting()
        assert counter.next()[0] == became["counted"] == 2 * counter_module.MOST_WAITING

    def test_what_waits_holds_a_bounded_part_of_memory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(counter_module, "MOST_WAITING_BYTES", 2000)
        counter, taker, became = self.counter()
        for _ in range(100):
            counter.offer(*taker.take(SENT, {}))
        assert became["dropped"] > 180
        counter.count_waiting()
        counter.offer(*taker.take(SENT, {}))
        counter.count_waiting()
        assert counter.next()[0] == 200 - became["dropped"] + 2

    def test_while_nobody_takes_them_counts_stay_within_a_batch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(counter_module, "BATCH_ROWS", 50)
        counter, taker, became = self.counter()
        for _ in range(40):
            counter.offer(*taker.take(SENT, {}))
            counter.count_waiting()
        assert (counter.next()[0], became) == (50, {"counted": 50, "dropped": 30})
        assert BATCH_ROWS == 100_000

    def test_rows_that_cannot_be_counted_are_told_and_the_thread_goes_on(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        counter, taker, became = self.counter()
        counter.offer({"size": np.zeros((1, 0)), "town": np.zeros((1, 1))}, 1)
        counter.count_waiting()
        assert became == {"failed": 1}
        assert "rows could not be counted" in caplog.text
        counter.offer(*taker.take(SENT, {}))
        counter.count_waiting()
        assert counter.next()[0] == 2

    def test_a_million_unseen_values_take_no_more_memory_than_one(self) -> None:
        counter, taker, _ = self.counter()
        for start in range(0, 2000, 100):
            names = [f"value {start + at}" * 50 for at in range(100)]
            counter.offer(*taker.take(feeds([1.0] * 100, names), {}))
            counter.count_waiting()
        rows, (_, town) = counter.next()
        assert (rows, town.unseen, town.cells) == (2000, 2000, [0, 0, 0])


class TestLine:
    async def test_a_judge_that_is_not_there_or_has_no_token_for_is_not_heard(self, tmp_path: Path) -> None:
        judging = Judging.at("http://127.0.0.1:9", str(tmp_path / "token"), UID)
        line = Line(judging, MOST_REPLY_BYTES)
        with pytest.raises(NotHeard, match="token"):
            await line.post(DRIFT_PATH, b"{}", 1.0)
        (tmp_path / "token").write_text("t")
        with pytest.raises(NotHeard):
            await line.post(DRIFT_PATH, b"{}", 1.0)
        line.close()
