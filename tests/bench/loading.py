"""What a step of the built-in loop waits for its rows: a cnn on images of 224 x 224, read from the disk.

The images are written and prepared as a user's are, in 8 bits, more of them than a processor's caches hold. The share
is the time that the loop waited for batches, over the time of its steps; beside it stands the time of a batch gathered
by one thread on the loop's own path, as it was.

And rows that memory does not hold: prepared blocks, read from the store in shuffled windows, beside Ray Data's batches
of the same rows from Parquet, each by the processor time that a megabyte takes.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from pyarrow import parquet

from bench.report import Goal, Measured, Reference
from headway_api.data import Data
from headway_api.model import Model
from headway_api.training import Training
from headway_trainer.data import prepare, read_split
from headway_trainer.data.batches import Feed, batches
from headway_trainer.data.info import Blocks, DataInfo
from headway_trainer.data.shards import stored_split, write_array
from headway_trainer.entrypoints import load_function
from headway_trainer.models import build
from headway_trainer.storage import Store
from headway_trainer.training.checkpoints.store import Checkpoints
from headway_trainer.training.link import Silence
from headway_trainer.training.loop import Loop
from headway_trainer.training.loop_inputs import LoopInputs
from headway_trainer.training.process_group import Alone
from headway_trainer.training.sampler import equal_batches

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Images:
    """Prepared images, and the loop over them."""

    inputs: LoopInputs
    batch: int

    def steps(self) -> tuple[Loop, float]:
        """Run the loop; it, and the seconds of its steps."""
        loop = Loop(self.inputs)
        seconds = sum(record.seconds or 0.0 for record in loop.run().history)
        return loop, seconds

    def gathered_at_once(self, batches: int = 5) -> float:
        """Seconds of a batch that one thread gathers and makes ready: the least of some."""
        x, _ = self.inputs.train
        assert isinstance(x, torch.Tensor)
        feed, taken = Feed(self.inputs.info, CPU), []
        for _ in range(batches):
            index = torch.randperm(len(x))[: self.batch]
            began = time.perf_counter()
            feed(x[index])
            taken.append(time.perf_counter() - began)
        return min(taken)


def images(folder: Path, rows: int, batch: int, epochs: int) -> Images:
    """Random images of two classes, written as .npz and prepared."""
    chance = np.random.default_rng(0)
    pixels = chance.integers(0, 256, (rows, 3, 224, 224), dtype=np.uint8)
    np.savez(folder / "images.npz", x=pixels, y=np.arange(rows) % 2)
    store = Store.open(str(folder / "run"))
    source = {"uri": str(folder / "images.npz"), "format": "npz"}
    split = {"train": 0.9, "validation": 0.1, "test": 0.0}
    info = prepare(Data.model_validate({"source": source, "split": split}), seed=0, store=store)
    options = {"channels": [8, 16], "hidden": 32}
    spec = Training.model_validate({"epochs": epochs, "batchSize": batch, "checkpoint": {"everySteps": 1_000_000}})
    inputs = LoopInputs(
        spec=spec,
        seed=0,
        info=info,
        program=build(Model.model_validate({"name": "cnn", "options": options}), info, load_function=load_function),
        train=read_split(store, info, "train"),
        validation=read_split(store, info, "validation"),
        group=Alone(),
        checkpoints=Checkpoints(store, 1),
        link=Silence(),
    )
    return Images(inputs, batch)


def cnn(rows: int = 320, batch: int = 32, epochs: int = 2) -> Iterator[Measured]:
    """A cnn of two layers on images of 3 x 224 x 224, one process on all cores."""
    with tempfile.TemporaryDirectory() as folder:
        work = images(Path(folder), rows, batch, epochs)
        loop, seconds = work.steps()
        yield Measured(
            "waiting for batches, share of a step, cnn on 3 x 224 x 224",
            loop.data_seconds / seconds,
            "share",
            None,
            Goal("at most", 0.05, "value"),
        )
        yield Measured("steps, cnn on 3 x 224 x 224, one process", loop.state.step / seconds, "steps/s", None, None)
        alone = work.gathered_at_once()
        yield Measured("a batch gathered on the loop's own path", alone * 1000, "ms", None, None)


RAY_DATA = """
import os, sys, ray
from pathlib import Path
quiet = {"include_dashboard": False, "logging_level": "ERROR", "log_to_driver": False}
ray.init(num_cpus=2, object_store_memory=300 * 2**20, **quiet)
from ray.data import DataContext
DataContext.get_current().enable_progress_bars = False
import torch

def seconds():
    "Of the processor: of this process and all below it, and of those of them that have ended."
    stats = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        stats[int(path.parent.name)] = int(fields[1]), sum(map(int, fields[11:15]))
    def under(process):
        while process in stats and process != os.getpid():
            process = stats[process][0]
        return process == os.getpid()
    return sum(ticks for process, (_, ticks) in stats.items() if under(process)) / os.sysconf("SC_CLK_TCK")

began, rows = seconds(), 0
data = ray.data.read_parquet(sys.argv[1])
for batch in data.iter_torch_batches(batch_size=1024, prefetch_batches=2, local_shuffle_buffer_size=65536):
    rows += len(torch.stack([batch[name] for name in batch], 1))
print(rows, seconds() - began)
ray.shutdown()
"""


def blocks(rows: int = 1_500_000, features: int = 32, batch: int = 1024) -> Iterator[Measured]:
    """Prepared rows, read in blocks and shuffled in windows, and the same from Parquet by Ray Data."""
    with tempfile.TemporaryDirectory() as name:
        folder, size = Path(name), rows * features * 4 / 1e6
        x = np.random.default_rng(0).standard_normal((rows, features), dtype=np.float32)
        store = Store.open(name)
        write_array(store, "data/train.x.npy", x)
        write_array(store, "data/train.y.npy", np.arange(rows) % 2)
        table = pa.table({f"f{index}": column for index, column in enumerate(x.T)})
        parquet.write_table(table, folder / "rows.parquet", row_group_size=65_536, compression="none")
        del x, table
        ray_rows, ray_seconds = subprocess.run(
            [sys.executable, "-c", RAY_DATA, str(folder / "rows.parquet")], check=True, capture_output=True, text=True
        ).stdout.split()
        theirs = int(ray_rows) * features * 4 / 1e6 / float(ray_seconds)
        info = DataInfo.model_validate(
            {
                "task": "classification", "input_shape": (features,), "outputs": 2, "classes": ["a", "b"],
                "rows": {"train": rows, "validation": 0, "test": 0}, "content_hash": "", "digest": "",
                "blocks": Blocks.of(features * 4),
            }
        )  # fmt: skip
        source = batches(stored_split(store, info, "train"), info, CPU)
        began = time.process_time()
        read = sum(
            len(one.x)
            for one in source.epoch([bounds for bounds, _ in equal_batches(rows, batch, 0, 1)], seed=0, epoch=0, rank=0)
        )
        assert read == rows
        ours = size / (time.process_time() - began)
        yield Measured(
            "shuffled rows read in blocks, a core",
            ours,
            "MB/s",
            Reference("Ray Data, local shuffle", theirs),
            Goal("at least", 5, "ratio"),
        )


PARTS = {"cnn": cnn, "blocks": blocks}
