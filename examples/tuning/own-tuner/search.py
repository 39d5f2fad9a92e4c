"""A search with Ray Tune as it is: ASHA stops the trials of a small network early."""

import torch
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from sklearn.datasets import load_digits

from headway_trainer import save_model


def data():
    x, y = load_digits(return_X_y=True)
    x, y = torch.tensor(x, dtype=torch.float32) / 16, torch.tensor(y)
    return x[:1400], y[:1400], x[1400:], y[1400:]


def network(hidden):
    return torch.nn.Sequential(torch.nn.Linear(64, hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, 10))


def train(config, report=None):
    """A trial: it reports after each epoch. Ray Tune ends it there when others are better."""
    torch.manual_seed(0)
    x, y, x_validation, y_validation = data()
    model = network(config["hidden"])
    optimizer = torch.optim.SGD(model.parameters(), lr=config["lr"], momentum=0.9)
    for _ in range(config["epochs"]):
        for batch in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
        with torch.no_grad():
            accuracy = (model(x_validation).argmax(1) == y_validation).float().mean().item()
        if report is not None:
            report({"accuracy": accuracy})
    return model


def main(arguments):
    tuner = tune.Tuner(
        tune.with_parameters(lambda config: train(config, tune.report)),
        param_space={
            "lr": tune.loguniform(1e-4, 1.0),
            "hidden": tune.choice([16, 64]),
            "epochs": arguments["epochs"],
        },
        tune_config=tune.TuneConfig(
            metric="accuracy",
            mode="max",
            num_samples=arguments["trials"],
            scheduler=ASHAScheduler(max_t=arguments["epochs"], grace_period=1, reduction_factor=3),
        ),
    )
    best = tuner.fit().get_best_result()
    save_model(train(best.config))
