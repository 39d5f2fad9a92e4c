"""A training function of one's own: plain PyTorch and Ray Train. Headway prepares the data and keeps the model."""

import tempfile
from pathlib import Path

import ray.train
import ray.train.torch
import torch
from torch import nn

from headway_trainer import data_info, data_shard, save_model


def train(config):
    x, y = data_shard("train")
    validation_x, validation_y = data_shard("validation")
    model = nn.Sequential(nn.Flatten(), nn.Linear(data_info().features, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=config["lr"])
    first = 0
    if (checkpoint := ray.train.get_checkpoint()) is not None:
        with checkpoint.as_directory() as folder:
            state = torch.load(Path(folder, "state.pt"))
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["epoch"] + 1
    model = ray.train.torch.prepare_model(model)

    for epoch in range(first, config["epochs"]):
        for batch in torch.randperm(len(y)).split(32):
            loss = nn.functional.cross_entropy(model(x[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            accuracy = (model(validation_x).argmax(dim=1) == validation_y).float().mean()
        metrics = {"epoch": epoch + 1, "loss": loss.item(), "validation_accuracy": accuracy.item()}
        with tempfile.TemporaryDirectory() as folder:
            saved = None
            if ray.train.get_context().get_world_rank() == 0:
                own = getattr(model, "module", model)
                state = {"model": own.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch}
                torch.save(state, Path(folder, "state.pt"))
                saved = ray.train.Checkpoint.from_directory(folder)
            ray.train.report(metrics, checkpoint=saved)
    save_model(model)
