"""A training function of one's own: plain PyTorch and Ray Train. Headway prepares the data and keeps the model."""

import tempfile
from pathlib import Path

import ray.train
import ray.train.torch
import torch
from torch import distributed, nn

from headway_trainer import data_batches, data_info, save_model


def train(config):
    model = nn.Sequential(nn.Flatten(), nn.Linear(data_info().features, 64), nn.ReLU(), nn.Linear(64, 10))
    model = ray.train.torch.prepare_model(model)  # on this worker's device, and as one with the other workers'
    own = getattr(model, "module", model)
    optimizer = torch.optim.Adam(model.parameters(), lr=config["lr"])
    first = 0
    if (checkpoint := ray.train.get_checkpoint()) is not None:
        with checkpoint.as_directory() as folder:
            state = torch.load(Path(folder, "state.pt"), map_location=ray.train.torch.get_device())
        own.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["epoch"] + 1

    for epoch in range(first, config["epochs"]):
        # As many batches on each worker; the weight makes up for a row more or less.
        for x, y, weight in data_batches("train", batch_size=64, epoch=epoch):
            loss = nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            (loss * weight).backward()
            optimizer.step()
        metrics = {"epoch": epoch + 1, "loss": loss.item(), "validation_accuracy": accuracy(own)}
        with tempfile.TemporaryDirectory() as folder:
            saved = None
            if ray.train.get_context().get_world_rank() == 0:
                state = {"model": own.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch}
                torch.save(state, Path(folder, "state.pt"))
                saved = ray.train.Checkpoint.from_directory(folder)
            ray.train.report(metrics, checkpoint=saved)
    save_model(model)


@torch.no_grad()
def accuracy(model):
    """The share of the validation part, over all workers, that the model gets right."""
    counts = torch.zeros(2, device=ray.train.torch.get_device())
    for x, y, _ in data_batches("validation", batch_size=1024):
        counts += torch.stack([(model(x).argmax(dim=1) == y).sum(), torch.tensor(len(y), device=y.device)])
    distributed.all_reduce(counts)
    return (counts[0] / counts[1]).item()
