"""python -m memory_peak DATA_SPEC RUN_FOLDER: prepare the data, and print what was told of the memory, and taken.

Anonymous memory is what counts: pages of files are given back when a control group needs them.
"""

from __future__ import annotations

import json
import re
import sys
import threading
from pathlib import Path
from typing import Any

from headway_api.data import Data
from headway_trainer.data import preparation
from headway_trainer.data.read import images, jsonl, memory, npz, tables  # noqa: F401 - before what is measured
from headway_trainer.storage import Store

_SECONDS = 0.004


def anonymous() -> int:
    """Bytes of this process that are no pages of files."""
    return sum(
        int(count) * 1024 for count in re.findall(r"Rss(?:Anon|Shmem):\s+(\d+)", Path("/proc/self/status").read_text())
    )


class Peak(threading.Thread):
    """Looks again and again how much memory is taken."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most = self.begin = anonymous()
        self.done = threading.Event()

    def run(self) -> None:
        """Until done."""
        while not self.done.wait(_SECONDS):
            self.most = max(self.most, anonymous())


def measured(spec: dict[str, Any], folder: str) -> dict[str, int]:
    """Bytes told before the rows are read, and taken at most until they are prepared."""
    told: list[int] = []
    plain = memory.scratch_for

    def scratch_for(needed: int, rows: int, size: int, what: str) -> Any:
        told.append(needed)
        return plain(needed, rows, size, what)

    vars(memory)["scratch_for"] = vars(jsonl)["scratch_for"] = scratch_for
    peak = Peak()
    peak.start()
    preparation.prepare(Data.model_validate(spec), seed=0, store=Store.open(folder))
    peak.done.set()
    return {"told": sum(told), "taken": peak.most - peak.begin}


if __name__ == "__main__":
    print(json.dumps(measured(json.loads(sys.argv[1]), sys.argv[2])))
