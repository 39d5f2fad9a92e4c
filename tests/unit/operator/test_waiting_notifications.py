"""Words that wait for their channel: in any order of coming and going each has one turn, and none is lost silently."""

from __future__ import annotations

from collections import Counter, deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway_operator.notify import waiting as module
from headway_operator.notify.message import Message
from headway_operator.notify.waiting import Waiting

CHANNELS = {"a": "one", "b": "one", "c": "one", "d": "two"}
"""Of namespaces."""
ACTIONS = st.one_of(
    st.tuples(st.just("say"), st.sampled_from(sorted(CHANNELS))), st.just(("tell", "")), st.just(("end", ""))
)


@given(actions=st.lists(ACTIONS, max_size=120))
def test_each_word_is_told_in_order_or_counted_as_left_out(actions: list[tuple[str, str]]) -> None:
    with pytest.MonkeyPatch.context() as bounds:
        bounds.setattr(module, "NAMESPACE_LIMIT", 4)
        bounds.setattr(module, "CHANNEL_LIMIT", 6)
        bounds.setattr(module, "WAITING_LIMIT", 8)
        desk = Desk()
        for number, (action, namespace) in enumerate(actions):
            getattr(desk, action)(*([namespace, f"word {number}"] if action == "say" else []))
            desk.judge()
        while desk.turns or desk.under_way:
            desk.tell()
            desk.end()
        assert desk.told == desk.taken
        assert +desk.left_out == +desk.dropped


class Desk:
    """Who keeps turns as the senders do."""

    def __init__(self) -> None:
        self.waiting, self.turns, self.under_way = Waiting(), deque[str](), list[str]()
        self.taken: dict[str, list[str]] = {name: [] for name in CHANNELS}
        self.told: dict[str, list[str]] = {name: [] for name in CHANNELS}
        self.dropped, self.left_out = Counter[str](), Counter[str]()

    def say(self, namespace: str, word: str) -> None:
        has_room, is_new = self.waiting.add(CHANNELS[namespace], Message(namespace, "x", word))
        self.turns.extend([CHANNELS[namespace]] * is_new)
        self.taken[namespace].extend([word] * has_room)
        self.dropped[namespace] += not has_room

    def tell(self) -> None:
        if not self.turns:
            return
        self.under_way.append(self.turns.popleft())
        said = self.waiting.next(self.under_way[-1])
        if said.digest:
            self.told[said.namespace].append(said.digest)
        else:
            self.left_out[said.namespace] += int(said.text.split()[0])

    def end(self) -> None:
        if self.under_way and self.waiting.done(channel := self.under_way.pop(0)):
            self.turns.append(channel)

    def judge(self) -> None:
        assert len(set(self.turns) | set(self.under_way)) == len(self.turns) + len(self.under_way), "one turn each"
        assert sum(len(self.taken[name]) - len(self.told[name]) for name in CHANNELS) <= 8


def test_namespaces_of_a_channel_take_turns() -> None:
    waiting = Waiting()
    for namespace, digest in (("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1"), ("c", "c1"), ("b", "b2")):
        waiting.add("one", Message(namespace, "x", digest))
    assert [waiting.next("one").digest for _ in range(6)] == ["a1", "b1", "c1", "a2", "b2", "a3"]
    assert not waiting.done("one")
