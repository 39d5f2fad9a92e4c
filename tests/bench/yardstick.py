"""What a machine is worth: a fixed loop of Python, measured beside each figure that is kept.

A reference that was taken on another machine counts as much more or less as the loop took there.
"""

from __future__ import annotations

import functools
import json
import time

_RUNS = 5
_DOCUMENTS = 2_000


@functools.cache
def loop_ms() -> float:
    """Milliseconds of CPU that the loop takes on this machine: the best of some runs, as other work only adds."""
    return min(_timed() for _ in range(_RUNS))


def _timed() -> float:
    began = time.process_time()
    _work()
    return 1000 * (time.process_time() - began)


def _work() -> int:
    """What an operator does all day: text to dicts, a little sorting and counting, dicts to text."""
    text = json.dumps({"metadata": {"name": "job", "labels": {str(n): "x" * n for n in range(20)}}, "items": [1] * 50})
    total = 0
    for number in range(_DOCUMENTS):
        document = json.loads(text)
        document["items"].append(number)
        total += sum(document["items"]) + len(sorted(document["metadata"]["labels"].values()))
        text = json.dumps(document | {"items": document["items"][-50:]})
    return total
