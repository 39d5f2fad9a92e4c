"""A small job of each nature that a job can have, with the files that they read and the code that is their users'."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyarrow import parquet

from harness import Cluster
from series import sales
from texts import reviews

from .conftest import made_namespace
from .node import Node
from .steady import config_map, job

SMALL = {"cpu": "10m", "memory": "1Gi"}
AT_A_TIME = 4
"""Jobs: more are no faster on few cores, and ask for more memory than a small node has."""
HISTORY, HORIZON = 14, 3
SHOPS = 2
BREAST_CANCER = {"source": {"builtin": {"name": "breast_cancer"}}}

PROGRAM = """
import torch
from torch import nn

from headway_trainer import Program, task_of


class Alternating(Program):
    \"\"\"Learns the last layer and those below it in turns, by optimisers of their own.\"\"\"

    def optimizers(self, make):
        *below, last = self.model
        return {"below": make(nn.Sequential(*below).parameters()), "last": torch.optim.SGD(last.parameters(), lr=0.1)}

    def step(self, batch, turn):
        for name in ("below", "last"):
            loss = self.task.loss(turn.model(batch.x), batch.y, "mean")
            turn.update(loss, name)
        return loss


def make(info):
    layers = nn.Flatten(), nn.Linear(info.features, 32), nn.ReLU(), nn.Linear(32, info.outputs)
    return Alternating(nn.Sequential(*layers), task_of(info))
"""

RAY_TRAIN = """
import os
import tempfile

import ray.train
import torch
from ray.train import Checkpoint
from ray.train.torch import prepare_data_loader, prepare_model
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset


def train_loop_per_worker(config):
    digits = load_digits()
    rows = TensorDataset(torch.tensor(digits.data / 16.0, dtype=torch.float32), torch.tensor(digits.target))
    loader = prepare_data_loader(DataLoader(rows, batch_size=config["batch_size"], shuffle=True))
    model = prepare_model(torch.nn.Linear(64, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=config["lr"])
    for epoch in range(config["epochs"]):
        loader.sampler.set_epoch(epoch)
        for x, y in loader:
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
        with tempfile.TemporaryDirectory() as folder:
            saved = None
            if ray.train.get_context().get_world_rank() == 0:
                torch.save(model.module.state_dict(), os.path.join(folder, "model.pt"))
                saved = Checkpoint.from_directory(folder)
            ray.train.report({"loss": loss.item(), "epoch": epoch}, checkpoint=saved)
"""


def small(name: str, *, workers: int = 1, **spec: Any) -> dict[str, Any]:
    """A job whose pods are so small that many of them find room on one node."""
    made = job(name, workers=workers, **spec)
    for pods in ("head", "workers"):
        made["spec"][pods]["resources"] = SMALL
    return made


def claimed(path: str) -> dict[str, Any]:
    """A source on the job's volume."""
    return {"persistentVolumeClaim": {"name": "models", "path": path}}


def texts(name: str = "texts", *, epochs: int = 12, **spec: Any) -> dict[str, Any]:
    """Texts, word by word, on two workers."""
    return small(
        name,
        workers=2,
        data={"source": claimed("lake/reviews.parquet"), "target": "label", "columns": {"text": {"kind": "text"}}},
        model={"name": "lstm", "options": {"length": 16, "embedding": 32, "hidden": 32, "dropout": 0.1}},
        training={"epochs": epochs, "batchSize": 32, "optimizer": {"lr": 0.02}, "checkpoint": {"everySteps": 10}},
        seed=5,
        **spec,
    )


def folds(name: str = "folds", *, epochs: int = 5, **spec: Any) -> dict[str, Any]:
    """Three folds, two of them at a time."""
    return small(
        name,
        workers=2,
        data={"source": {"builtin": {"name": "digits"}}, "split": {"folds": 3}},
        model={"name": "mlp", "options": {"hidden": [64], "dropout": 0.2}},
        training={"epochs": epochs, "batchSize": 32, "optimizer": {"lr": 0.002}, "checkpoint": {"everySteps": 25}},
        seed=11,
        **spec,
    )


def boosting(name: str = "boosting", **spec: Any) -> dict[str, Any]:
    """Trees by scikit-learn, whose rare class counts as much as the other, and which must do better than guessing."""
    gate = {"name": "no-guess", "metric": "test/accuracy", "against": {"baseline": True}, "minDelta": 0.2}
    return small(
        name,
        data=BREAST_CANCER,
        model={"name": "gradientBoosting", "options": {"iterations": 30}},
        training={"classWeights": "balanced"},
        evaluation={"gates": [gate]},
        **spec,
    )


def tuned(name: str = "tuned", *, epochs: int = 9, trials: int = 6, **tuning: Any) -> dict[str, Any]:
    """Trials of a worker each, of which successive halving stops some."""
    searched = {
        "parameters": {
            "training.optimizer.lr": {"logUniform": {"min": 0.0001, "max": 0.3}},
            "model.options.hidden": {"choice": [[32], [64, 32]]},
        },
        "metric": "validation/accuracy",
        "search": {"name": "random"},
        "scheduler": {"name": "asha"},
        "trials": trials,
    }
    return small(
        name,
        workers=2,
        data={"source": {"builtin": {"name": "digits"}}},
        model={"name": "mlp", "options": {"hidden": [64]}},
        training={"epochs": epochs, "batchSize": 64},
        tuning=searched | tuning,
        seed=3,
    )


def all_natures() -> list[dict[str, Any]]:
    """One job of each nature."""
    forecast = {"history": HISTORY, "horizon": HORIZON}
    gates = [{"name": "too-good", "metric": "test/accuracy", "max": 0.5}]
    return [
        texts(),
        folds(),
        tuned(),
        boosting(),
        small(
            "anomalies",
            data={**BREAST_CANCER, "task": "reconstruction"},
            model={"name": "autoencoder", "options": {"hidden": [32], "latent": 4, "variational": True}},
            training={"epochs": 5, "batchSize": 32, "optimizer": {"lr": 0.003}},
        ),
        small(
            "weighted",
            data=BREAST_CANCER,
            model={"name": "mlp", "options": {"hidden": [32]}},
            training={"epochs": 5, "batchSize": 32, "optimizer": {"lr": 0.005}, "classWeights": "balanced"},
            export={"formats": ["onnx"]},
        ),
        small("gated", data=BREAST_CANCER, model={"name": "linear"}, training={}, evaluation={"gates": gates}),
        small(
            "forecast",
            data={
                "source": claimed("lake/sales.parquet"),
                "target": "sold",
                "task": "forecasting",
                "forecast": forecast,
                "columns": {"day": {"role": "time"}, "shop": {"role": "group"}},
            },
            model={"name": "gru", "options": {"hidden": 16}},
            training={"epochs": 3, "batchSize": 32, "optimizer": {"lr": 0.01}},
        ),
        small(
            "own-step",
            workers=2,
            code={"configMap": {"name": "own"}},
            data={"source": {"builtin": {"name": "digits"}}},
            model={"entrypoint": "program:make"},
            training={"epochs": 5, "batchSize": 64, "optimizer": {"lr": 0.005}},
            export={"formats": ["safetensors"]},
        ),
        small(
            "own-loop",
            workers=2,
            code={"configMap": {"name": "own"}},
            training={
                "entrypoint": "loop:train_loop_per_worker",
                "arguments": {"lr": 0.003, "batch_size": 64, "epochs": 3},
            },
        ),
    ]


def write_files(folder: Path) -> None:
    """The tables that the jobs read: texts, and series of two shops."""
    folder.mkdir(exist_ok=True)
    parquet.write_table(reviews(400), folder / "reviews.parquet")
    parquet.write_table(sales([90] * SHOPS), folder / "sales.parquet")


@dataclass(frozen=True)
class Ended:
    """What a job of a nature has left."""

    status: dict[str, Any]
    folder: Path
    """Its folder on the volume, as this machine reaches it."""
    story: str

    @property
    def result(self) -> dict[str, Any]:
        """Its result.json."""
        result: dict[str, Any] = json.loads((self.folder / "result.json").read_text())
        return result

    def artifacts(self) -> set[str]:
        """What it has left: each file that its result names lies on the volume, and the status names those among them
        that people look for first."""
        named = {one["name"]: one["sha256"] for one in self.result["artifacts"]}
        for one in self.result["artifacts"]:
            assert digest(self.folder / one["path"]) == one["sha256"], one
        told = {one["name"]: one["sha256"] for one in self.status["result"]["artifacts"]}
        assert told.pop("result") == digest(self.folder / "result.json")
        assert told == {name: named[name] for name in ("model", "onnx", "report") if name in named}
        return set(named)

    @property
    def sentences(self) -> str:
        """Its warnings."""
        return "\n".join(self.status.get("warnings", []))


@dataclass(frozen=True)
class Natures:
    """A namespace in which jobs of several natures run."""

    cluster: Cluster
    namespace: str
    volume: Path
    under_way: dict[str, Future[Ended]]

    @property
    def lake(self) -> Path:
        """Where the tables are, on the volume."""
        return self.volume / "lake"

    def ended(self, name: str) -> Ended:
        """What a job has left, once it has ended."""
        return self.under_way[name].result()

    def apply(self, document: dict[str, Any]) -> None:
        """Apply a job."""
        self.cluster.apply(json.dumps(document), self.namespace)

    def run(self, document: dict[str, Any]) -> Ended:
        """Apply a job, and wait for its end; what it has left."""
        self.apply(document)
        return self.wait_for(document["metadata"]["name"])

    def wait_for(self, name: str, within: float = 480) -> Ended:
        """Wait for a job's end; what it has left."""
        found = self.cluster.finished(name, self.namespace, within)
        folder = self.volume / self.namespace / f"{name}-{found['metadata']['uid'][:8]}"
        return Ended(found["status"], folder, self.cluster.story(name, self.namespace))


@contextmanager
def natures_of(cluster: Cluster, node: Node, *documents: dict[str, Any]) -> Iterator[Natures]:
    """These jobs, some at a time, in a namespace of their own, beside the tables and the code that they need."""
    with made_namespace(cluster) as namespace, ThreadPoolExecutor(AT_A_TIME) as pool:
        volume = node.volume(namespace)
        found = Natures(cluster, namespace, volume, {})
        write_files(found.lake)
        cluster.apply(json.dumps(config_map("own", program=PROGRAM, loop=RAY_TRAIN)), namespace)
        found.under_way.update({one["metadata"]["name"]: pool.submit(found.run, one) for one in documents})
        yield found


def kill_a_worker(
    place: Natures, name: str, when: Callable[[Path], bool], *, begins: float = 300, ends: float = 480
) -> Ended:
    """Delete a worker's pod once its job's folder holds something, without any grace; what the job leaves.

    begins: seconds in which it must hold that. ends: seconds from then on in which the job must end.
    """
    words = ("-n", place.namespace)
    uid = place.cluster.get("tj", name, *words)["metadata"]["uid"]
    folder = place.volume / place.namespace / f"{name}-{uid[:8]}"
    place.cluster.wait(f"{name} trains", lambda: when(folder), within=begins, every=0.05)
    pods = place.cluster.items("pods", *words, "-l", f"headway.dev/job={name},headway.dev/role=worker")
    place.cluster.kubectl(
        "delete", "pod", pods[0]["metadata"]["name"], *words, "--force", "--grace-period=0", "--wait=false"
    )
    ended = place.wait_for(name, within=ends)
    assert ended.status["phase"] == "Succeeded", ended.story
    (attempt,) = ended.status["attempts"]
    assert attempt["workersReplaced"] == 1, "it was killed while it trained"
    assert attempt["resumedFromStep"] > 0
    return ended


def saved(folder: Path) -> list[Path]:
    """The complete checkpoints in a run's folder."""
    return list(folder.glob("checkpoints/step-*/manifest.json"))


def weights(folder: Path) -> str:
    """The digest of a run's weights."""
    return digest(folder / "model.safetensors")


def digest(path: Path) -> str:
    """The sha256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
