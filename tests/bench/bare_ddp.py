"""Data-parallel training as one writes it by hand for torchrun: the rival of the benchmarks `start` and `steps`.

The model of examples/digits.yaml, its data, optimiser, schedule and clipping, in plain torch, without validation,
checkpoints or progress. Rank 0 prints one line of JSON: when the first optimiser step was done, and the seconds of each
pass over the data. Called by torchrun as `bare_ddp.py EPOCHS`.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
import math
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

ROWS, BATCH, WARMUP = 1258, 64, 20


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """The first 1258 rows: images (rows, 1, 8, 8), standardised, and their labels."""
    spec = importlib.util.find_spec("sklearn")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    with gzip.open(Path(spec.submodule_search_locations[0], "datasets/data/digits.csv.gz"), "rt") as rows:
        table = np.loadtxt(rows, delimiter=",", max_rows=ROWS)
    x = torch.from_numpy(table[:, :-1]).float().reshape(-1, 1, 8, 8)
    return (x - x.mean()) / x.std(), torch.from_numpy(table[:, -1]).long()


def network() -> nn.Module:
    """The `cnn` of headway_trainer.models with channels 32 and 64, 128 hidden units, dropout 0.25."""
    layers: list[nn.Module] = []
    channels = 1
    for filters in (32, 64):
        layers += [nn.Conv2d(channels, filters, 3, padding=1, bias=False), nn.BatchNorm2d(filters), nn.ReLU()]
        layers.append(nn.MaxPool2d(2))
        channels = filters
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 4, 128), nn.ReLU(), nn.Dropout(0.25), nn.Linear(128, 10))


def main(epochs: int) -> None:
    """Train."""
    distributed.init_process_group("gloo")
    rank, world = distributed.get_rank(), distributed.get_world_size()
    torch.set_num_threads(1)
    torch.manual_seed(7)
    x, y = digits()
    x, y = x[rank::world], y[rank::world]
    model = network()
    parallel = DistributedDataParallel(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.002, weight_decay=0.01, fused=True)
    batch = BATCH // world
    steps = math.ceil(len(x) / batch)
    total = epochs * steps
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / WARMUP) * 0.5 * (1 + math.cos(math.pi * step / total))
    )
    loss_function = nn.CrossEntropyLoss()
    first, seconds = None, []
    for _ in range(epochs):
        order = torch.randperm(len(x))
        began = time.perf_counter()
        for step in range(steps):
            rows = order[step * batch : (step + 1) * batch]
            optimizer.zero_grad(set_to_none=True)
            loss = loss_function(parallel(x[rows]), y[rows])
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            first = first or time.time()
        seconds.append(time.perf_counter() - began)
    if rank == 0:
        print(json.dumps({"firstStep": first, "stepsAnEpoch": steps, "seconds": seconds}), flush=True)
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]))
    sys.stdout.flush()
    os._exit(0)  # what is left of torch's threads has nothing more to do
