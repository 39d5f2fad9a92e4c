"""The text that Prometheus scrapes, of metrics with a sample or more for each of many objects.

client_python makes an object of each sample, and 5,000 jobs have 150,000 of them. Here a sample is a line of text from
the beginning, and the event loop gets its turn between objects.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, Protocol

logger = logging.getLogger(__name__)

AT_A_TIME = 20
"""So many objects are told of between two turns of the event loop: some milliseconds."""
LABEL_LIMIT = 128
"""In characters, of a label's value: much of what is told was written by tenants."""
KEPT = 4096
"""So many values of labels are kept at hand as they are written: most are those of many jobs."""
_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


@dataclass(frozen=True, slots=True)
class Entry:
    """A metric, as the reference tells it."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    text: str


def labels_text(values: Mapping[str, object]) -> str:
    """Labels as they stand between the braces: bounded, escaped, and of characters that UTF-8 has."""
    return ",".join([f'{name}="{_escaped(str(value))}"' for name, value in values.items()])


@lru_cache(KEPT)
def _escaped(value: str) -> str:
    if len(value) > LABEL_LIMIT:
        value = f"{value[: LABEL_LIMIT - 1]}…"
    # Half of a surrogate pair cannot be sent at all.
    return value.translate(_ESCAPES).encode("utf-8", "replace").decode()


def number_text(value: float) -> str:
    """A number as Prometheus reads it, also where it is none."""
    if math.isfinite(value):
        return repr(value)
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"


class Samples:
    """Samples, by family: all of one have to stand together."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries = tuple(entries)
        self._lines: dict[str, list[str]] = {entry.name: [] for entry in self._entries}

    def add(self, name: str, labels: str, value: float | None) -> None:
        """A sample; nothing where there is no value. labels: as of `labels_text`."""
        if value is not None:
            braces = f"{{{labels}}}" if labels else ""
            self._lines[name].append(f"{name}{braces} {number_text(value)}\n")

    def families(self, *, openmetrics: bool) -> Iterator[bytes]:
        """The text of each family that has samples. openmetrics: in that form, without its last line."""
        for entry in self._entries:
            lines = self._lines[entry.name]
            if lines:
                name = entry.name.removesuffix("_total") if openmetrics else entry.name
                head = f"# HELP {name} {entry.text.translate(_ESCAPES)}\n# TYPE {name} {entry.kind}\n"
                yield "".join([head, *lines]).encode()


class Source(Protocol):
    """Objects of one kind, and what is told of each."""

    @property
    def entries(self) -> tuple[Entry, ...]:
        """What it tells."""
        ...

    def begin(self, samples: Samples) -> Iterable[Any]:
        """The objects to tell of, as they are now; what is told of none of them by itself is added at once."""
        ...

    def tell(self, each: Any, samples: Samples) -> None:
        """Add what is told of one."""
        ...


async def told_by(sources: Iterable[Source], *, openmetrics: bool) -> bytes:
    """What sources tell, in turns with whatever else the event loop has to do."""
    parts = []
    for source in sources:
        samples = Samples(source.entries)
        for count, each in enumerate(source.begin(samples), 1):
            try:
                source.tell(each, samples)
            except Exception:
                # One odd object must not take the numbers of all others away.
                logger.exception("a scrape could not tell of an object, and leaves it out")
            if count % AT_A_TIME == 0:
                await asyncio.sleep(0)
        for family in samples.families(openmetrics=openmetrics):
            parts.append(family)
            await asyncio.sleep(0)
    return b"".join(parts)
