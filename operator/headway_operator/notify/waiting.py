"""Words that wait for their channel, and whose turn it is. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from headway_operator.notify.message import Message, left_out

WAITING_LIMIT = 2000
CHANNEL_LIMIT = 1000
NAMESPACE_LIMIT = 100
"""How many words wait, of all channels, of one, and of a namespace. One that says too much, or a channel that hangs,
does not silence the others."""


@dataclass
class _Channel:
    """What waits for one URL."""

    words: dict[str, deque[Message]] = field(default_factory=dict)
    """By namespace, in the order of their turns."""
    dropped: dict[str, int] = field(default_factory=dict)
    """How many words of a namespace had no room since one of it was told of that."""
    count: int = 0


class Waiting:
    """The words of all channels. Each channel that is here has its turn, or a word of it is under way."""

    def __init__(self) -> None:
        self._channels: dict[str, _Channel] = {}
        self._count = 0

    def add(self, key: str, said: Message) -> tuple[bool, bool]:
        """Take a word in: whether there was room for it, and whether its channel is new here. key: the channel."""
        is_new = key not in self._channels
        channel = self._channels.setdefault(key, _Channel())
        words = channel.words.get(said.namespace, ())
        room = len(words) < NAMESPACE_LIMIT and channel.count < CHANNEL_LIMIT and self._count < WAITING_LIMIT
        if room:
            channel.words.setdefault(said.namespace, deque()).append(said)
            channel.count, self._count = channel.count + 1, self._count + 1
        else:
            channel.dropped[said.namespace] = channel.dropped.get(said.namespace, 0) + 1
        return room, is_new

    def next(self, key: str) -> Message:
        """The word of a channel whose turn it is. After the last one of a namespace comes how many had no room."""
        channel = self._channels[key]
        if not channel.words:
            namespace = next(iter(channel.dropped))
            return left_out(namespace, channel.dropped.pop(namespace))
        namespace = next(iter(channel.words))
        words = channel.words.pop(namespace)
        said = words.popleft()
        if words:
            channel.words[namespace] = words  # behind the other namespaces
        channel.count, self._count = channel.count - 1, self._count - 1
        return said

    def done(self, key: str) -> bool:
        """A word is no more under way; whether its channel has others."""
        channel = self._channels[key]
        if channel.words or channel.dropped:
            return True
        del self._channels[key]
        return False
