"""Data four times as large as the memory limit of each pod that touches it: prepared, learnt, killed and resumed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from harness import Cluster

from .natures import Natures, claimed, kill_a_worker, natures_of, saved, weights
from .node import Node
from .steady import job

# tests/integration/test_larger_than_memory.py does the same in control groups of this machine.
pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(3600)]

MEBIBYTES = 1200
"""The limit of each pod: the program itself, with PyTorch and Ray, takes about half of it at its most."""
TIMES = 4
COLUMNS = 400
ROWS = TIMES * MEBIBYTES * 2**20 // (8 * COLUMNS)
GROUP = 8192
"""Rows that are made and written at once."""


def wide(name: str) -> dict[str, Any]:
    """A job on that table, with pods of that limit."""
    pod = {"cpu": "100m", "memory": f"{MEBIBYTES}Mi"}
    return job(
        name,
        memory=pod["memory"],
        head={"resources": pod},
        data={"source": claimed("lake/wide.parquet"), "target": "label"},
        model={"name": "mlp", "options": {"hidden": [16]}},
        training={"epochs": 1, "batchSize": 2048, "optimizer": {"lr": 0.005}, "checkpoint": {"everySteps": 50}},
        retry=dict.fromkeys(("infrastructure", "internal", "outOfMemory", "hang"), 0),
        progressDeadlineSeconds=1800,
        seed=3,
    )


def write_table(path: Path) -> None:
    """Numbers by chance, and a label that some of them tell."""
    draw = np.random.default_rng(9)
    names = [f"c{index}" for index in range(COLUMNS)]
    schema = pa.schema([*((name, pa.float64()) for name in names), ("label", pa.string())])
    with parquet.ParquetWriter(path, schema, compression="none", use_dictionary=False) as writer:
        for start in range(0, ROWS, GROUP):
            block = draw.standard_normal((min(GROUP, ROWS - start), COLUMNS))
            label = np.where(block[:, :4].sum(axis=1) > 0, "yes", "no")
            writer.write_table(pa.table([*block.T, label], schema=schema))


@pytest.fixture(scope="module")
def place(headway: Cluster, node: Node) -> Iterator[Natures]:
    with natures_of(headway, node) as found:
        write_table(found.lake / "wide.parquet")
        yield found


def test_a_table_of_four_times_the_memory_trains_within_it_and_resumes_exactly(place: Natures) -> None:
    assert (place.lake / "wide.parquet").stat().st_size >= TIMES * MEBIBYTES * 2**20
    place.apply(wide("whole"))
    whole = place.wait_for("whole", within=1500)
    assert whole.status["phase"] == "Succeeded", whole.story
    assert whole.status["attempt"] == 1, "one of its pods was ended for want of memory"
    assert whole.status["attempts"][0].get("workersReplaced", 0) == 0, whole.story
    notes = " ".join(whole.result["data"]["profile"]["notes"])
    assert "lay on the disk while it was prepared" in notes
    assert "over a quarter of its memory" in notes
    assert sum(whole.result["data"]["rows"].values()) == ROWS
    assert float(whole.status["result"]["metrics"]["test/accuracy"]) > 0.9
    assert whole.result["export"]["parity"]["holds"]

    place.apply(wide("killed"))
    killed = kill_a_worker(place, "killed", lambda folder: len(saved(folder)) > 1, begins=1500, ends=1500)
    assert killed.result["metrics"] == whole.result["metrics"]
    assert weights(killed.folder) == weights(whole.folder)
