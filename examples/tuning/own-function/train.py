"""A training function whose arguments are tuned: each trial calls it with values of its own."""

import tempfile
from pathlib import Path

import ray.train
import ray.train.torch
import torch
from torch import distributed, nn

from headway_trainer import data_batches, data_info, save_model


def train(config):
    info, hidden = data_info(), config["hidden"]
    own = nn.Sequential(nn.Flatten(), nn.Linear(info.features, hidden), nn.ReLU(), nn.Linear(hidden, info.outputs))
    model = ray.train.torch.prepare_model(own)
    optimizer = torch.optim.Adam(model.parameters(), lr=config["lr"])
    first, best = 0, 0.0
    if (checkpoint := ray.train.get_checkpoint()) is not None:  # the trial was interrupted
        with checkpoint.as_directory() as folder:
            state = torch.load(Path(folder, "state.pt"))
        own.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        first, best = state["epoch"], state["best"]

    for epoch in range(first + 1, config["epochs"] + 1):
        for x, y, weight in data_batches("train", batch_size=64, epoch=epoch):
            loss = nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            (loss * weight).backward()
            optimizer.step()
        value = accuracy(own)
        if value > best:  # before the report, which does not return in a trial that is stopped
            best = value
            save_model(model)
        with tempfile.TemporaryDirectory() as folder:
            saved = None
            if ray.train.get_context().get_world_rank() == 0:
                state = {"model": own.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch, "best": best}
                torch.save(state, Path(folder, "state.pt"))
                saved = ray.train.Checkpoint.from_directory(folder)
            ray.train.report({"epoch": epoch, "validation_accuracy": value}, checkpoint=saved)


@torch.no_grad()
def accuracy(model):
    """The share of the validation part, over the trial's workers, that the model gets right."""
    counts = torch.zeros(2)
    for x, y, _ in data_batches("validation", batch_size=1024):
        counts += torch.tensor([(model(x).argmax(dim=1) == y).sum(), len(y)])
    distributed.all_reduce(counts)
    return (counts[0] / counts[1]).item()
