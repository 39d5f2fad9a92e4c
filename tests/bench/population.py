"""What a population finds (`tuning.scheduler.name: pbt`), beside the same trials whose values stay what they were, for
the same epochs: losses, which are the same on any machine.

Trials are trained one after the other in this process by the trainer's own loop, and take over its checkpoints. A seed
is the job's: it divides the rows, begins the weights and draws the first values, which both have.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import JsonValue

from bench.report import Goal, Measured, Reference
from headway_api import wire
from headway_api.job import TrainingJobSpec
from headway_api.overlay import with_parameters
from headway_trainer.data import DataInfo, prepare
from headway_trainer.errors import UserError
from headway_trainer.estimators.base import Place
from headway_trainer.estimators.loop import LoopEstimator
from headway_trainer.storage import Store
from headway_trainer.training.checkpoints.store import Checkpoints
from headway_trainer.training.checkpoints.take_over import go_on_from
from headway_trainer.training.link import Silence, TrainEnd
from headway_trainer.training.process_group import Alone
from headway_trainer.tuning.events import Ended
from headway_trainer.tuning.study import Study

METRIC = "validation/loss"


def _spec(seed: int, epochs: int, trials: int, scheduler: Mapping[str, Any], data: str) -> TrainingJobSpec:
    return TrainingJobSpec.model_validate(
        {
            "data": {"source": {"builtin": {"name": data}}},
            "model": {"name": "mlp", "options": {"hidden": [64], "dropout": 0.2}},
            "training": {"epochs": epochs, "batchSize": 64, "optimizer": {"name": "sgd"}},
            "tuning": {
                "parameters": {
                    "training.optimizer.lr": {"logUniform": {"min": 0.001, "max": 1}},
                    "training.optimizer.weightDecay": {"logUniform": {"min": 0.00001, "max": 0.01}},
                    "model.options.dropout": {"uniform": {"min": 0.05, "max": 0.6}},
                },
                "metric": METRIC,
                "search": {"name": "random"},
                "trials": trials,
                "scheduler": scheduler,
            },
            "workers": {"replicas": 1},
            "seed": seed,
        }
    )


class _Search:
    """The trials of a job, one after the other."""

    def __init__(self, spec: TrainingJobSpec, info: DataInfo, rows: Store, folder: Path) -> None:
        assert spec.tuning is not None
        assert spec.training is not None
        self._spec, self._info, self._rows, self._folder = spec, info, rows, folder
        self._epochs = spec.training.epochs
        self._study = Study(spec.tuning, metric=METRIC, seed=spec.seed, epochs=self._epochs)

    def best(self) -> float:
        """Run all trials; the least validation loss that a model was kept with."""
        study = self._study
        while True:
            while study.ask() is not None:
                pass
            for trial in study.running:
                self._advance(trial.number)
            if (generation := study.generation()) is None:
                assert study.best is not None
                assert study.best.value is not None
                return study.best.value
            for move in generation.moves:
                go_on_from(Checkpoints(self._store(move.source), 1), generation.epoch, self._store(move.trial), 1)
            study.evolve(generation)

    def _advance(self, number: int) -> None:
        """Train a trial to the end of its generation."""
        until = self._study.until or self._epochs
        try:
            end = self._trained(number, self._study.trials[number].parameters, until)
        except UserError as error:
            self._study.end(Ended(trial=number, state="failed", cause="UserError", message=str(error)))
            return
        if end.epochs_run < self._epochs:
            self._study.report(number, end.epochs_run, end.history[-1].validation["loss"])
            return
        value = end.kept.value if end.kept is not None else None
        self._study.end(Ended(trial=number, state="completed", value=value, epochs=end.epochs_run))

    def _trained(self, number: int, parameters: Mapping[str, JsonValue], until: int) -> TrainEnd:
        store = self._store(number)
        place = Place(
            run=wire.RunFile(
                namespace="", name="job", uid="", storage_uri=store.uri, spec=with_parameters(self._spec, parameters)
            ),
            info=self._info,
            store=store,
            device=torch.device("cpu"),
            group=Alone(),
            link=Silence(),
            scope=f"trial-{number}",
            rows_of=self._rows,
            until=until,
        )
        end = LoopEstimator(stub=True).fit(place)
        assert isinstance(end, TrainEnd)
        return end

    def _store(self, number: int) -> Store:
        return Store.open(str(self._folder / f"trial-{number}"))


def digits(
    seeds: int = 5, trials: int = 8, epochs: int = 30, interval: int = 3, data: str = "digits"
) -> Iterator[Measured]:
    """The least validation loss of a population, beside that of the same trials with values that stay."""
    torch.set_num_threads(1)  # as a job's workers do
    found: dict[str, list[float]] = {"none": [], "pbt": []}
    for seed in range(1, seeds + 1):
        for name, losses in found.items():
            scheduler: dict[str, Any] = {"name": name}
            if name == "pbt":
                scheduler["intervalEpochs"] = interval
            spec = _spec(seed, epochs, trials, scheduler, data)
            assert spec.data is not None
            with tempfile.TemporaryDirectory() as folder:
                rows = Store.open(f"{folder}/rows")
                info = prepare(spec.data, seed=seed, store=rows)
                losses.append(_Search(spec, info, rows, Path(folder)).best())
    what = f"{data}, {trials} trials of {epochs} epochs"
    stay = Reference(f"values that stay: {_listed(found['none'])}", sum(found["none"]) / seeds)
    mean = sum(found["pbt"]) / seeds
    yield Measured(f"{what}: best loss, mean of {seeds} seeds", mean, "", stay, Goal("at most", 1.0, "ratio"))
    better = sum(mine < other for mine, other in zip(found["pbt"], found["none"], strict=True))
    yield Measured(f"{what}: seeds in which a population is better ({_listed(found['pbt'])})", better, "")


def _listed(values: list[float]) -> str:
    return " ".join(f"{value:.4f}" for value in values)


PARTS = {"digits": digits}
