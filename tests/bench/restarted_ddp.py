"""The loop of bare_ddp without an end, for torchrun to restart: the rival of the benchmark `recovery`.

Called by torchrun as `restarted_ddp.py FOLDER`. In FOLDER each rank leaves its process number, and rank 0 the time of
its first optimiser step after each start. It resumes from nothing: that is less work than a job has.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from bench.bare_ddp import BATCH, digits, network


def main(folder: Path) -> None:
    """Train until killed."""
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    # With torchrun's own store, the restarted workers often wait for each other for good.
    store = folder / f"store-{os.environ['TORCHELASTIC_RESTART_COUNT']}"
    distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
    (folder / f"pid-{rank}").write_text(str(os.getpid()))
    torch.set_num_threads(1)
    x, y = digits()
    model = DistributedDataParallel(network())
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.002, fused=True)
    loss_function = nn.CrossEntropyLoss()
    told = False
    while True:
        rows = torch.randint(len(x), (BATCH // world,))
        optimizer.zero_grad(set_to_none=True)
        loss_function(model(x[rows]), y[rows]).backward()
        optimizer.step()
        if rank == 0 and not told:
            told = True
            with (folder / "first-steps").open("a") as file:
                file.write(f"{time.time()}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
