"""Two judges at once: the newer one's word stands, the older one gives way, and judges again if the other one ends."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway_api import rollout_wire as wire
from headway_server.judge.app import Admin
from headway_server.judge.gates import Counts
from headway_server.judge.metrics import Metrics
from headway_server.judge.process import Writer
from headway_server.judge.rollout import Judge
from headway_server.judge.store import Conflict
from headway_server.judge.terms import SILENT_SECONDS, Terms
from rollouts import counts, report, route

STEP = 2.0


class ConfigMap:
    """With a version that grows."""

    def __init__(self) -> None:
        self.data = {wire.KEY_ROUTE: route().model_dump_json()}
        self.version = 1

    @property
    def verdict(self) -> wire.Verdict:
        return wire.Verdict.model_validate_json(self.data[wire.KEY_VERDICT])


class Store:
    """One judge's way to it, which refuses what was not read."""

    def __init__(self, of: ConfigMap) -> None:
        self.of, self.version = of, 0

    def exchange(self, data: Mapping[str, str]) -> dict[str, str]:
        if data:
            if self.version != self.of.version:
                raise Conflict("it was written by somebody else meanwhile")
            self.of.data.update(data)
            self.of.version += 1
        self.version = self.of.version
        return dict(self.of.data)

    def close(self) -> None:
        """Nothing is open."""


class Pod:
    """A judge, and how it writes."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.judge, self.metrics = world, Judge(name), Metrics()
        self.writer = Writer(self.judge, Store(world.config), self.metrics, lambda: world.now)

    def report(self, candidate: Counts, stable: Counts = Counts(900)) -> wire.Reply:  # noqa: B008 - it never changes
        said = self.judge.take(report(counts(stable=stable, candidate=candidate)), self.world.now)
        return wire.Reply.model_validate_json(said)


class World:
    def __init__(self) -> None:
        self.now, self.config = 0.0, ConfigMap()

    async def turns(self, *pods: Pod, count: int = 3) -> None:
        """Each exchanges so often, one after the other."""
        for _ in range(count):
            for pod in pods:
                await pod.writer.exchange()
            self.now += STEP


@pytest.fixture
def world() -> World:
    return World()


async def test_a_judge_that_begins_later_is_the_one_that_counts(world: World) -> None:
    old, new = Pod(world, "old"), Pod(world, "new")
    await world.turns(old)
    assert (world.config.verdict.told_by, world.config.verdict.term) == ("old", 1)
    old.report(Counts(100, 60))
    await world.turns(new)
    old.judge.look(world.now)
    assert (world.config.verdict.told_by, world.config.verdict.term) == ("new", 2)
    await world.turns(old, new)
    assert world.config.verdict.told_by == "new", "nothing was written over it"
    assert (old.judge.deposed, new.judge.deposed) == (True, False)
    assert old.report(Counts(100)).judging is False, "servers keep to what they were told"
    assert (old.judge.urgent, old.judge.due(world.now), old.judge.to_ask()) == (False, {}, ())
    assert old.metrics.registry.get_sample_value("headway_judge_exchanges_total", {"result": "conflict"}) == 1


async def test_who_has_given_way_is_not_ready_and_lives(world: World) -> None:
    old, new = Pod(world, "old"), Pod(world, "new")
    await world.turns(old, count=2)
    await world.turns(new, old, count=2)
    said = []

    async def send(message: Any) -> None:
        said.append(message.get("status"))

    admin = Admin(old.judge, old.metrics)
    for path in (wire.JUDGE_READY_PATH, wire.JUDGE_LIVE_PATH):
        await admin({"method": "GET", "path": path}, None, send)  # type: ignore[arg-type]  # it reads no body
    assert [status for status in said if status] == [503, 200]


async def test_a_judge_that_is_alone_again_goes_on_from_what_the_other_one_found(world: World) -> None:
    old, new = Pod(world, "old"), Pod(world, "new")
    await world.turns(old, count=2)
    await world.turns(new, old, count=2)
    new.report(Counts(100, 60))
    await world.turns(new, old, count=2)
    assert world.config.verdict.verdict == "fail"
    failed = world.config.verdict
    world.now += SILENT_SECONDS
    await world.turns(old, count=2)
    assert old.judge.deposed is False
    assert (world.config.verdict.verdict, world.config.verdict.message) == ("fail", failed.message)
    assert (world.config.verdict.told_by, world.config.verdict.term) == ("old", 3)
    await world.turns(new, old)
    assert (new.judge.deposed, old.judge.deposed) == (True, False)


async def test_two_that_begin_at_once_are_one_in_the_end(world: World) -> None:
    one, two = Pod(world, "one"), Pod(world, "two")
    await world.turns(one, two, count=4)
    assert [one.judge.deposed, two.judge.deposed].count(True) == 1


@given(st.lists(st.sampled_from(["one", "two", "three", "wait"]), max_size=60))
def test_of_any_number_of_judges_at_most_one_is_not_deposed_once_all_have_read(order: list[str]) -> None:
    config, now = ConfigMap(), 0.0
    judges = {name: (Judge(name), Store(config)) for name in ("one", "two", "three")}
    begun: set[str] = set()
    terms: list[int] = []

    def turn(name: str) -> None:
        judge, store = judges[name]
        begun.add(name)
        due = judge.due(now)
        try:
            found = store.exchange(due)
        except Conflict:
            judge.read(store.exchange({}), now)
            return
        if due:
            judge.wrote(now)
            terms.append(config.verdict.term)
        judge.read(found, now)

    for name in order:
        if name == "wait":
            now += SILENT_SECONDS / 2
        else:
            turn(name)
            now += 1.0
    assert terms == sorted(terms), "no word of an older judge comes after one of a newer one"
    for _ in range(8):  # before its first word each of the three may be refused once for each word of another one
        for name in sorted(begun):
            turn(name)
            now += 1.0
    assert sum(not judges[name][0].deposed for name in begun) <= 1 or len(begun) == 0


def test_a_word_of_before_there_were_terms_and_nonsense_depose_nobody() -> None:
    terms = Terms("pod")
    terms.read("", 0.0)
    terms.wrote()
    for text in (wire.Verdict(rollout=1).model_dump_json(), "{", '"x"', ""):
        terms.read(text, 1.0)
        assert not terms.deposed


def test_two_files_have_no_versions_and_a_second_judge_still_takes_over(tmp_path: Path) -> None:
    first, second = Terms("a"), Terms("b")
    file = tmp_path / "verdict.json"
    first.read("", 0.0)
    file.write_text(wire.Verdict(term=first.own, told_by="a").model_dump_json())
    first.wrote()
    second.read(file.read_text(), 0.0)
    file.write_text(wire.Verdict(term=second.own, told_by="b").model_dump_json())
    first.read(file.read_text(), 1.0)
    assert (first.deposed, second.own) == (True, 2)
