"""What is told outside of the cluster, and in which words. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from headway_api.wording import printable
from headway_operator.engine.kinds import Owner
from headway_operator.engine.steps import Notice
from headway_operator.engine.text import bounded

_MENTION = re.compile(r"(?<!\w)@(?=\w)")
_LINK = re.compile(r"\bhttps?(?=://)|\bwww(?=\.)", re.IGNORECASE)
_BREAK = "\u200b"
"""Has no width, and ends a word for who looks for mentions and links."""
MOST_CHARACTERS = 2000
"""Of a message before it is escaped; Slack cuts at 40,000, others at 2,000 to 4,000."""
TITLES: Mapping[tuple[str, str, str], str] = MappingProxyType(
    {
        ("TrainingJob", "Complete", ""): "succeeded",
        ("TrainingJob", "Failed", ""): "failed",
        ("TrainingJob", "AttemptFailed", "Hang"): "hung, and is tried again",
        ("TrainingJob", "Suspended", ""): "is suspended",
        ("ModelDeployment", "Promoted", ""): "has a new version",
        ("ModelDeployment", "RolledBack", ""): "rejected a version",
        ("ModelDeployment", "Stalled", ""): "does not get on with its rollout",
        ("ModelDeployment", "AwaitingApproval", ""): "waits for an approval",
    }
)
"""What is told, by kind, the reason of the Event, and its cause where not every Event of that reason is told."""


@dataclass(frozen=True, slots=True)
class Message:
    """A word on its way."""

    namespace: str
    text: str
    digest: str
    """The same for the same word on the same occasion."""


def message(owner: Owner, notice: Notice) -> Message | None:
    """What is told of a notice, if anything."""
    key = owner.key
    title = TITLES.get((key.kind, notice.reason, "")) or TITLES.get((key.kind, notice.reason, notice.cause))
    if title is None:
        return None
    said = f"{owner.uid} {owner.generation} {notice.occasion} {notice.reason} {notice.message}"
    words = f"{key.kind} {key.namespace}/{key.name} {title}: {printable(notice.message)}"
    return Message(key.namespace, _escaped(bounded(words, MOST_CHARACTERS)), hashlib.sha256(said.encode()).hexdigest())


def left_out(namespace: str, count: int) -> Message:
    """That so many words of a namespace had no room."""
    words = f"{count:,} more notifications of namespace {namespace} were left out, as too many came at once: see"
    return Message(namespace, f"{words} `headway status -n {namespace}`", "")


def _escaped(text: str) -> str:
    """Without what calls people or leads elsewhere: messages hold what users' code has said.

    In Slack that begins with `<`. Mattermost and Rocket.Chat take `@all` and Markdown's links as they stand, and all of
    them make links of addresses, whose pages and pictures they fetch and show.
    """
    text = _MENTION.sub(f"@{_BREAK}", text).replace("](", "] (")
    text = _LINK.sub(lambda found: found[0] + _BREAK, text)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
