"""What a step of the built-in loop waits for its rows: a cnn on images of 224 x 224, read from the disk.

The images are written and prepared as a user's are, in 8 bits, more of them than a processor's caches hold. The share
is the time that the loop waited for batches, over the time of its steps; beside it stands the time of a batch gathered
by one thread on the loop's own path, as it was.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from bench.report import Goal, Measured
from headway_api.data import Data
from headway_api.model import Model
from headway_api.training import Training
from headway_trainer.data import prepare, read_split
from headway_trainer.data.batches import Feed
from headway_trainer.entrypoints import load_function
from headway_trainer.models import build
from headway_trainer.storage import Store
from headway_trainer.training.checkpoints.store import Checkpoints
from headway_trainer.training.link import Silence
from headway_trainer.training.loop import Loop
from headway_trainer.training.loop_inputs import LoopInputs
from headway_trainer.training.process_group import Alone

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


PARTS = {"cnn": cnn}
