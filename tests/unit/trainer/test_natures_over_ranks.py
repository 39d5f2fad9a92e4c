"""Jobs of each nature on three ranks that share nothing evenly: killed at several points and resumed they have the
weights of a run that was never killed, and their metrics are scikit-learn's, of all ranks' rows together."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn import metrics as sklearn

from headway_api import wire
from headway_api.data import Data
from headway_api.job import TrainingJobSpec
from headway_api.model import tokens_of
from headway_trainer.data import DataInfo, prepare
from headway_trainer.data.info import Blocks
from headway_trainer.storage import Store
from series import sales, spec_of
from texts import write_reviews

RANKS = 3
FEW = {"train": 0.6, "validation": 0.02, "test": 0.38}
"""Of 97 rows 58, 2 and 37: no part can be divided by three, and one rank has no row of validation."""
STEPS = ["step 7", "step 2", "judge", "export"]
SGD = {"epochs": 3, "batchSize": 16, "optimizer": {"lr": 0.01}, "checkpoint": {"everySteps": 3}}
MLP = {"name": "mlp", "options": {"hidden": [8], "dropout": 0.2}}


@dataclasses.dataclass(frozen=True)
class Case:
    """A job, but for where its data is."""

    data: Callable[[Path], dict[str, Any]]
    model: dict[str, Any]
    training: dict[str, Any] = dataclasses.field(default_factory=lambda: dict(SGD))
    dies: list[str] = dataclasses.field(default_factory=lambda: list(STEPS))
    blocks: bool = False
    onnx: bool = False


def _table(folder: Path, rows: int = 97) -> str:
    """Numbers, gaps, a category, three classes of which one is rare, a value, and what each row weighs."""
    draw = random.Random(8)  # noqa: S311 - no secret
    lines = ["a,b,colour,label,price,much"]
    for _ in range(rows):
        a, b, colour = draw.gauss(0, 1), draw.gauss(0, 1), draw.choice(["red", "green", ""])
        label = "rare" if a > 1.2 else "high" if a + b > 0 else "low"
        price = 50 * a + (30 if colour == "red" else 0) + draw.gauss(0, 3)
        lines.append(f"{'' if draw.random() < 0.1 else a:},{b},{colour},{label},{price},{draw.randint(1, 4)}")
    path = folder / "rows.csv"
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def _columns(**roles: str) -> dict[str, Any]:
    return {name: {"role": role} for name, role in roles.items()}


def _classes(folder: Path) -> dict[str, Any]:
    ignored = _columns(price="ignore", much="ignore")
    return {"source": {"uri": _table(folder)}, "target": "label", "split": FEW, "columns": ignored}


def _values(folder: Path) -> dict[str, Any]:
    columns = _columns(label="ignore", much="weight")
    return {"source": {"uri": _table(folder)}, "target": "price", "split": FEW, "columns": columns}


def _rows(folder: Path) -> dict[str, Any]:
    columns = _columns(label="ignore", much="ignore")
    return {"source": {"uri": _table(folder)}, "task": "reconstruction", "split": FEW, "columns": columns}


def _texts(folder: Path) -> dict[str, Any]:
    return {"source": {"uri": write_reviews(folder, 97)}, "target": "label", "split": FEW}


def _series(folder: Path) -> dict[str, Any]:
    from pyarrow import parquet

    parquet.write_table(sales([61, 40]), folder / "sales.parquet")
    return spec_of(folder / "sales.parquet", 8, 3).model_dump(mode="json", by_alias=True, exclude_none=True)


FITTED = ["fit", "judge", "export"]
CASES: dict[str, Case] = {
    "class weights": Case(_classes, MLP, {**SGD, "classWeights": "balanced", "clip": {"norm": 0.5}}),
    "weights of rows": Case(_values, MLP, {**SGD, "schedule": {"name": "cosine", "warmupSteps": 3}}, onnx=True),
    "rows in blocks": Case(_classes, MLP, blocks=True),
    "reconstruction": Case(_rows, {"name": "autoencoder", "options": {"hidden": [6], "latent": 2}}),
    "variational": Case(_rows, {"name": "autoencoder", "options": {"hidden": [6], "latent": 2, "variational": True}}),
    "texts, lstm": Case(_texts, {"name": "lstm", "options": {"embedding": 4, "hidden": 5, "length": 8}}),
    "texts, transformer": Case(
        _texts, {"name": "transformer", "options": {"width": 8, "heads": 2, "hidden": 6, "length": 8}}
    ),
    "forecast": Case(_series, {"name": "gru", "options": {"hidden": 5}}),
    "several optimisers": Case(_classes, {"entrypoint": "rank_runs:adversarial"}),
    "linear": Case(_values, {"name": "linear"}, {}, FITTED, onnx=True),
    "forest": Case(_classes, {"name": "randomForest", "options": {"trees": 5}}, {}, FITTED, onnx=True),
    "boosting": Case(
        _classes,
        {"name": "gradientBoosting", "options": {"iterations": 4}},
        {"classWeights": "balanced"},
        FITTED,
        onnx=True,
    ),
}


def _write(folder: Path, case: Case) -> None:
    """A job's folder, as `rank_runs` takes it."""
    folder.mkdir()
    spec = TrainingJobSpec.model_validate(
        {
            "data": case.data(folder),
            "model": case.model,
            "training": case.training,
            "export": {"formats": ["safetensors", "onnx"] if case.onnx else ["safetensors"]},
            "workers": {"replicas": RANKS},
            "seed": 5,
        }
    )
    assert isinstance(spec.data, Data)
    info = prepare(spec.data, seed=5, store=Store.open(str(folder / "whole")), tokens=tokens_of(spec.model))
    if case.blocks:
        info = info.model_copy(update={"blocks": Blocks(rows=4, window=3)})
    shutil.copytree(folder / "whole", folder / "killed")
    run = wire.RunFile(namespace="", name="job", uid="", storage_uri="", spec=spec)
    job = {"run": run.model_dump(mode="json", by_alias=True), "info": info.model_dump(mode="json"), "dies": case.dies}
    (folder / "job.json").write_text(json.dumps(job))


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all jobs, once the ranks have run them."""
    folder = tmp_path_factory.mktemp("jobs")
    for name, case in CASES.items():
        _write(folder / name, case)
    path = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
    ranks = [
        subprocess.Popen(
            [sys.executable, "-m", "rank_runs", str(rank), str(RANKS), str(folder)],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        )
        for rank in range(RANKS)
    ]
    said = [rank.communicate(timeout=400)[1] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0] * RANKS, "\n".join(said)[-6000:]
    return folder


def _told(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [json.loads((folder / f"rank-{rank}.json").read_text()) for rank in range(RANKS)]
    return found


def _said(folder: Path, part: str) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    with np.load(folder / f"{part}.npz") as file:
        return file["outputs"], file["target"]


def _info(folder: Path) -> DataInfo:
    return DataInfo.model_validate(json.loads((folder / "job.json").read_text())["info"])


@pytest.mark.parametrize("name", CASES)
def test_no_rank_has_as_many_rows_as_the_others(ended: Path, name: str) -> None:
    rows = _info(ended / name).rows
    assert rows["train"] % RANKS, rows
    assert rows["validation"] < RANKS or name == "forecast", rows


@pytest.mark.parametrize("name", CASES)
def test_killed_at_each_point_and_resumed_it_is_the_model_of_a_run_that_was_not(ended: Path, name: str) -> None:
    told = _told(ended / name)
    assert len({digest for one in told for digest in one["weights"]}) == 1, "on each rank, killed or not"
    whole, resumed = told[0]["whole"], told[0]["resumed"]
    assert [one["resumed"] for one in told[1:]] == [None] * (RANKS - 1)
    for told_of in ("metrics", "byTarget", "byHorizon", "naive", "confusionMatrix", "step", "epochsRun", "warnings"):
        assert resumed[told_of] == whole[told_of], told_of
    assert [_timeless(one) for one in resumed["history"]] == [_timeless(one) for one in whole["history"]]
    assert (resumed["export"] or {}).get("file", {}).get("sha256") == (whole["export"] or {}).get("file", {}).get(
        "sha256"
    )
    assert resumed["resumedFromStep"] == whole["step"], "the last attempts had nothing left to train"


def _timeless(record: dict[str, Any]) -> dict[str, Any]:
    return {**record, "seconds": None}


@pytest.mark.parametrize("part", ["validation", "test"])
@pytest.mark.parametrize("name", CASES)
def test_metrics_over_ranks_are_those_of_all_predictions(ended: Path, name: str, part: str) -> None:
    folder = ended / name
    told, info = _told(folder)[0]["whole"]["metrics"][part], _info(folder)
    outputs, target = _said(folder, part)
    assert len(target) == info.rows[part] > 0
    if info.task == "classification":
        expected = _of_classes(outputs, target, info.outputs)
    elif info.task == "reconstruction":
        expected = _of_rows(outputs.reshape(len(outputs), -1), target.reshape(len(target), -1))
    else:
        expected = _of_values(outputs.reshape(len(outputs), -1), target.reshape(len(target), -1), info.target_std)
    for metric, value in expected.items():
        assert told[metric] == pytest.approx(value, rel=1e-5, abs=1e-6), metric


def _of_classes(outputs: npt.NDArray[Any], y: npt.NDArray[Any], classes: int) -> dict[str, float]:
    shares = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    said = outputs.argmax(axis=1)
    present = sorted({*y.tolist(), *said.tolist()})
    expected = {
        "accuracy": sklearn.accuracy_score(y, said),
        "f1": sklearn.f1_score(y, said, average="macro", labels=present, zero_division=0),
    }
    if len(np.unique(y)) == classes:
        wanted = np.eye(classes)[y]
        expected["rocAuc"] = sklearn.roc_auc_score(wanted, shares, average="macro")
        expected["loss"] = sklearn.log_loss(y, shares)
    return expected


def _of_values(outputs: npt.NDArray[Any], y: npt.NDArray[Any], std: list[float]) -> dict[str, float]:
    scale = np.tile(std, outputs.shape[1] // len(std))
    pair = (y * scale).reshape(-1), (outputs * scale).reshape(-1)
    return {"mae": sklearn.mean_absolute_error(*pair), "rmse": sklearn.root_mean_squared_error(*pair)}


def _of_rows(outputs: npt.NDArray[Any], x: npt.NDArray[Any]) -> dict[str, float]:
    return {"mse": sklearn.mean_squared_error(x, outputs), "mae": sklearn.mean_absolute_error(x, outputs)}


@pytest.mark.parametrize(
    ("name", "logged"), [("several optimisers", {"critic", "generator"}), ("variational", {"kl", "reconstruction"})]
)
def test_what_a_program_logs_is_told_of_each_epoch_by_name(ended: Path, name: str, logged: set[str]) -> None:
    history = _told(ended / name)[0]["resumed"]["history"]
    assert [one["train"].keys() for one in history] == [{"loss", *logged}] * 3
    if name == "variational":
        for one in history:
            parts = one["train"]["kl"] + one["train"]["reconstruction"]
            assert parts == pytest.approx(one["train"]["loss"], rel=1e-6), "the mean over the rows of all ranks"
