"""Reconstruction: a job without a target, from a file to anomaly scores of new rows."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pyarrow import csv
from sklearn import metrics as sklearn
from sklearn.datasets import load_breast_cancer
from torch import nn
from torch.distributions import Normal, kl_divergence

from headway_api.data import Data
from headway_api.model import Model
from headway_trainer import publish
from headway_trainer.data import DataInfo, prepare, read_split
from headway_trainer.data.batches import Batch, Feed
from headway_trainer.errors import UserError
from headway_trainer.evaluation.baseline import baseline
from headway_trainer.evaluation.evaluate import Shard, evaluate
from headway_trainer.export.predict import Predictor
from headway_trainer.export.record import ModelInfo, staged
from headway_trainer.export.stage import export
from headway_trainer.metrics.features import FeatureErrors, by_feature_error
from headway_trainer.models import build
from headway_trainer.models.autoencoder import Variational
from headway_trainer.programs import Program, Supervised
from headway_trainer.storage import Store
from headway_trainer.tasks import task_of
from headway_trainer.training.checkpoints.store import Checkpoints
from headway_trainer.training.loop_inputs import LoopInputs
from headway_trainer.training.process_group import Alone
from training_runs import finish, job_of, run_until, same, training


class Parts(Alone):
    """Ranks that have been fed one after the other: what each holds is gathered here."""

    def __init__(self, others: list[FeatureErrors]) -> None:
        self._others = others

    def gather_rows(self, tensor: torch.Tensor) -> torch.Tensor:
        found: list[torch.Tensor] = [tensor]

        class TakenError(Exception):
            """Enough was seen."""

        class Spy(Alone):
            def gather_rows(self, tensor: torch.Tensor) -> torch.Tensor:
                found.append(tensor)
                raise TakenError

        for other in self._others:
            with pytest.raises(TakenError):
                other.reduce(Spy())
        return torch.cat(found)


@settings(max_examples=40)
@given(
    rows=st.integers(2, 40),
    features=st.integers(1, 5),
    cuts=st.lists(st.integers(0, 40), max_size=3),
    far=st.sampled_from([0.0, 1e3, 1.7e9]),
    seed=st.integers(0, 1000),
)
def test_metrics_are_those_of_scikit_learn_however_rows_are_divided_and_however_far_from_0(
    rows: int, features: int, cuts: list[int], far: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    y = torch.randn(rows, features, generator=generator, dtype=torch.float64) * 100 + far
    said = y + torch.randn(rows, features, generator=generator, dtype=torch.float64) * 30
    bounds = sorted({0, rows, *(cut for cut in cuts if cut < rows)})
    parts = []
    for start, stop in itertools.pairwise(bounds):
        parts.append(FeatureErrors(features, torch.device("cpu")))
        half = (start + stop) // 2
        for some in (slice(start, half), slice(half, stop)):
            if some.start < some.stop:
                parts[-1].update(said[some], y[some])
    parts[0].reduce(Parts([*parts[1:], FeatureErrors(features, torch.device("cpu"))]))
    told = {name: float(metric.value(parts[0])) for name, metric in by_feature_error().items()}
    pair = (y.numpy(), said.numpy())
    assert told["mse"] == pytest.approx(sklearn.mean_squared_error(*pair), rel=1e-9)
    assert told["rmse"] == pytest.approx(sklearn.mean_squared_error(*pair) ** 0.5, rel=1e-9)
    assert told["mae"] == pytest.approx(sklearn.mean_absolute_error(*pair), rel=1e-9)
    assert told["r2"] == pytest.approx(sklearn.r2_score(*pair, multioutput="variance_weighted"), abs=1e-6)


@pytest.mark.parametrize(("rows", "off", "r2"), [(1, 0.0, float("nan")), (3, 0.0, 1.0), (3, 0.5, 0.0)])
def test_r2_where_nothing_varies(rows: int, off: float, r2: float) -> None:
    errors = FeatureErrors(2, torch.device("cpu"))
    y = torch.full((rows, 2), 3.0)
    errors.update((y + off).double(), y)
    errors.reduce(Alone())
    assert float(errors.r2()) == pytest.approx(r2, nan_ok=True)


def _prepared(folder: Path, source: dict[str, Any], **data: Any) -> tuple[DataInfo, Store]:
    store = Store.open(str(folder / "run"))
    spec = Data.model_validate({"source": source, "task": "reconstruction", **data})
    return prepare(spec, seed=0, store=store), store


def _program(info: DataInfo, **options: Any) -> Program:
    torch.manual_seed(0)
    spec = Model.model_validate({"name": "autoencoder", "options": options})
    return build(spec, info, load_function=lambda name: pytest.fail(f"{name} must not be loaded"))


def _job(info: DataInfo, store: Store, program: Program, attempt: int = 1, **spec: Any) -> LoopInputs:
    told = {"epochs": 30, "batchSize": 32, "optimizer": {"lr": 0.003}, **spec}
    return job_of(info, store, program, training(**told), attempt=attempt)


def _table(folder: Path) -> str:
    """Two columns that follow from each other, a class that follows from them, a time, and gaps."""
    draw = random.Random(3)  # noqa: S311 - no secret
    size = [draw.gauss(1000, 50) for _ in range(300)]
    table = pa.table(
        {
            "size": pa.array([None if index % 40 == 7 else value for index, value in enumerate(size)]),
            "weight": [value * 2 + draw.gauss(0, 1) for value in size],
            "anomaly_score": ["large" if value > 1000 else "small" for value in size],
            "day": pa.array([1_600_000_000 + 86400 * index for index in range(300)], pa.timestamp("s")),
        }
    )
    csv.write_csv(table, folder / "rows.csv")
    return str(folder / "rows.csv")


def _bundle(info: DataInfo, store: Store, program: Program) -> ModelInfo:
    exported = export(program.model, info, store, staged(1))
    assert exported.problem is None
    assert exported.parity is not None
    assert exported.parity.max_difference is not None
    assert exported.parity.max_difference < 1e-5
    store.write("model.safetensors", b"")
    told = ModelInfo(data=info, signature=exported.signature, parity=exported.parity)
    publish.publish_model(store, None, exported, told)
    publish.tidy(store)
    return told


@pytest.mark.parametrize("options", [{"latent": 2}, {"latent": 2, "variational": True, "beta": 0.1}], ids=str)
def test_a_table_without_a_target_from_the_file_to_scores_of_new_rows(tmp_path: Path, options: dict[str, Any]) -> None:
    info, store = _prepared(tmp_path, {"uri": _table(tmp_path)})
    assert (info.task, info.classes, info.outputs, info.target_names) == ("reconstruction", None, info.features, [])
    assert {column.role for column in info.profile.columns} == {"feature"}
    program = _program(info, **options)
    end, _ = finish(_job(info, store, program))
    first, last = end.history[0].validation, end.history[-1].validation
    assert (last["mse"] or 9) < 0.5 * (first["mse"] or 0)
    told = _bundle(info, store, program)
    assert told.signature is not None
    assert [(one.name, one.names) for one in told.signature.outputs] == [
        ("anomaly_score", []),
        ("value", ["size", "weight"]),
    ]
    assert told.signature.inputs[2].name == "column 3"  # the name of the column is that of an output
    odd = "size,weight,anomaly_score,day\n1000,2000,large,2020-10-01\n1000,5000,small,2020-10-01\n"
    (tmp_path / "new.csv").write_text(odd)
    table = pa.concat_tables(Predictor.open(store.uri).predict(str(tmp_path / "new.csv")))
    assert table.column_names == ["anomaly_score", "reconstructed.size", "reconstructed.weight"]
    usual, strange = table["anomaly_score"].to_pylist()
    assert strange > 20 * usual
    assert table["reconstructed.weight"][0].as_py() == pytest.approx(2000, abs=100)


def test_what_a_prediction_says_in_torch_is_what_the_graph_says(tmp_path: Path) -> None:
    info, store = _prepared(tmp_path, {"uri": _table(tmp_path)})
    program = _program(info)
    x, _ = read_split(store, info, "test")
    with torch.no_grad():
        said = task_of(info).prediction.of(program.model.eval()(x), x)
    _bundle(info, store, program)
    size = 1000.0
    (tmp_path / "one.csv").write_text(f"size,weight,anomaly_score,day\n{size},2000,large,2020-10-01\n")
    table = pa.concat_tables(Predictor.open(store.uri).predict(str(tmp_path / "one.csv")))
    assert said["value"].shape == (len(x), 2)
    assert said["anomaly_score"].shape == (len(x),)
    assert (table["anomaly_score"][0].as_py() > 0) is True
    # A fresh model says about the mean of everything, in the columns' own units.
    assert said["value"][:, 1].mean().item() == pytest.approx(2000, rel=0.1)
    assert table["reconstructed.weight"][0].as_py() == pytest.approx(said["value"][:, 1].mean().item(), rel=0.1)


def test_images_without_class_folders_have_a_score_each(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for index in range(60):
        pixels = np.add.outer(np.arange(8), np.arange(8)) * 8 + draw.integers(0, 20, (8, 8))
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "images" / f"{index}.png")
    info, store = _prepared(tmp_path, {"uri": str(tmp_path / "images"), "format": "imageFolder"})
    assert info.input_shape == (1, 8, 8)
    assert read_split(store, info, "train")[0].dtype == torch.uint8
    program = _program(info, hidden=[16], latent=2)
    end, _ = finish(_job(info, store, program, epochs=2))
    assert end.history[-1].validation["mse"] is not None
    told = _bundle(info, store, program)
    assert told.signature is not None
    assert [(one.name, one.shape, one.names) for one in told.signature.outputs] == [
        ("anomaly_score", [], []),
        ("value", [1, 8, 8], []),
    ]


def test_an_array_needs_no_y_and_one_that_is_there_is_left_out_and_said(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(50, 3))
    np.savez(tmp_path / "alone.npz", x=x)
    np.savez(tmp_path / "labelled.npz", x=x, y=np.arange(50))
    alone, _ = _prepared(tmp_path / "one", {"uri": str(tmp_path / "alone.npz")})
    both, store = _prepared(tmp_path / "two", {"uri": str(tmp_path / "labelled.npz")})
    assert alone.rows == both.rows
    assert not [note for note in alone.notes if "Left out" in note]
    assert f"Left out of {tmp_path}/labelled.npz was the array y, as there is no target." in both.notes
    train = read_split(store, both, "train")
    assert train[1].shape == (both.rows["train"], 0)
    assert len(both.profile.columns) == 1


def test_the_labels_of_a_built_in_set_are_left_out_and_said(tmp_path: Path) -> None:
    info, _ = _prepared(tmp_path, {"builtin": {"name": "digits"}})
    assert info.notes[0] == "The target of digits was left out: a reconstruction learns the features alone."
    assert info.class_balance is None


def test_the_loss_of_a_variational_one_is_the_evidence_lower_bound_by_the_feature(tmp_path: Path) -> None:
    info, store = _prepared(tmp_path, {"builtin": {"name": "iris"}})
    program = _program(info, variational=True, latent=2, beta=3.0)
    assert isinstance(program, Variational)
    x, y = read_split(store, info, "train")
    mean, log_variance = program.model.encode(x)
    judged = program.judge(Batch(x, y, None))
    log_probability = Normal(judged.outputs, 1.0).log_prob(x).sum(dim=1)  # type: ignore[no-untyped-call]
    likelihood = log_probability + info.features / 2 * np.log(2 * np.pi)
    divergence = kl_divergence(Normal(mean, (0.5 * log_variance).exp()), Normal(0.0, 1.0)).sum(dim=1)
    expected = -2 / info.features * (likelihood - 3.0 * divergence)
    assert judged.losses is not None
    assert torch.allclose(judged.losses, expected, atol=1e-5)
    again = program.judge(Batch(x, y, None))
    assert torch.equal(judged.outputs, again.outputs)


def test_weights_of_rows_weigh_the_variational_loss(tmp_path: Path) -> None:
    info, store = _prepared(tmp_path, {"builtin": {"name": "iris"}})
    x, y = read_split(store, info, "train")
    weights = torch.zeros(len(x))
    weights[0] = float(len(x))

    class Turn:
        position, planned = 0, 1

        def __init__(self) -> None:
            self.losses: list[torch.Tensor] = []
            self.logged: dict[str, torch.Tensor] = {}

        def model(self, x: torch.Tensor) -> Any:
            raise AssertionError(x)

        def autocast(self) -> Any:
            return torch.enable_grad()

        def update(self, loss: torch.Tensor, optimizer: str = "main") -> None:
            assert optimizer == "main"
            self.losses.append(loss)

        def log(self, name: str, value: torch.Tensor | float) -> None:
            self.logged[name] = torch.as_tensor(value)

    program, turn = _program(info, variational=True, beta=0.0), Turn()
    program.step(Batch(x, y, weights), turn)
    torch.manual_seed(3)
    one = program.step(Batch(x, y, weights), turn)
    assert not torch.allclose(one, program.step(Batch(x, y, None), turn))
    assert len(turn.losses) == 3
    assert torch.allclose(turn.logged["reconstruction"] + turn.logged["kl"], turn.losses[-1])


@pytest.mark.parametrize("variational", [False, True])
def test_killed_and_resumed_it_has_the_same_weights_bit_for_bit(tmp_path: Path, variational: bool) -> None:
    info, store = _prepared(tmp_path, {"builtin": {"name": "iris"}})
    spec: dict[str, Any] = {"epochs": 3, "checkpoint": {"everySteps": 3}, "clip": {"norm": 1.0}}

    def program() -> Program:
        return _program(info, variational=variational, latent=2)

    _, weights = finish(_job(info, store, program(), **spec))
    for manifest in Checkpoints(store, 1).complete():
        store.delete(f"checkpoints/{manifest.name}")
    killed = _job(info, store, program(), **spec)
    if variational:  # its step does not call the model itself
        killed.model.forward = killed.model.encode  # type: ignore[assignment]
        killed.model.encode = lambda x: nn.Module.__call__(killed.model, x)  # type: ignore[assignment]
    run_until(killed, 8)
    torch.manual_seed(999)
    resumed, again = finish(_job(info, store, program(), attempt=2, **spec))
    assert resumed.resumed_from_step == 6
    assert same(weights, again)


def test_the_baseline_says_the_mean_of_each_feature(tmp_path: Path) -> None:
    info, store = _prepared(tmp_path, {"uri": _table(tmp_path)})
    x, _ = read_split(store, info, "train")
    test_x, test_y = read_split(store, info, "test")
    program = Supervised(baseline(info, x.double().mean(dim=0)), task_of(info))
    judged = evaluate(program, Shard(test_x, test_y, len(test_y)), metrics=["mse", "r2"], ranks=Alone()).scalars
    expected = (test_x - x.mean(dim=0)).square().mean().item()
    assert judged["mse"] == judged["loss"] == pytest.approx(expected, rel=1e-5)
    assert judged["r2"] == pytest.approx(0.0, abs=0.1)


def test_a_model_of_another_task_is_refused_where_only_the_data_tells_the_task(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    info = prepare(Data.model_validate({"source": {"builtin": {"name": "iris"}}}), seed=0, store=store)
    with pytest.raises(UserError, match="autoencoder is for reconstruction, and this is a classification: write mlp"):
        _program(info)


def test_a_model_of_ones_own_must_give_rows_of_the_shape_that_it_takes(tmp_path: Path) -> None:
    info, _ = _prepared(tmp_path, {"builtin": {"name": "iris"}})
    with pytest.raises(UserError, match=r"gives \(2, 3\).*reconstruction.*\(2, 4\), one output for each feature"):
        build(Model(entrypoint="mine:make"), info, load_function=lambda _: lambda _: nn.Linear(4, 3))


def test_what_was_trained_on_benign_tumours_alone_tells_malignant_ones_by_their_score(tmp_path: Path) -> None:
    rows, target = load_breast_cancer(as_frame=True, return_X_y=True)
    rows[target == 1].iloc[:250].to_csv(tmp_path / "benign.csv", index=False)
    rows.to_csv(tmp_path / "rows.csv", index=False)
    info, store = _prepared(tmp_path, {"uri": str(tmp_path / "benign.csv")})
    program = _program(info, latent=4)
    finish(_job(info, store, program, epochs=30))
    _bundle(info, store, program)
    table = pa.concat_tables(Predictor.open(store.uri).predict(str(tmp_path / "rows.csv")))
    new = [*np.flatnonzero(target == 0), *np.flatnonzero(target == 1)[250:]]
    assert sklearn.roc_auc_score(target.iloc[new] == 0, table["anomaly_score"].to_numpy()[new]) > 0.85
    assert table.column_names[1] == "reconstructed.mean radius"


def test_uint8_images_are_fed_as_they_are_reconstructed(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.random.default_rng(0).integers(0, 255, (40, 4, 4), dtype=np.uint8))
    info, store = _prepared(tmp_path, {"uri": str(tmp_path / "a.npz")}, columns={"x": {"kind": "image"}})
    x, y = read_split(store, info, "train")
    fed = Feed(info, torch.device("cpu"))(x)
    program = _program(info, hidden=[], latent=16)
    judged = evaluate(
        program,
        Shard(x, y, len(y)),
        metrics=["mse"],
        ranks=Alone(),
        feed=Feed(info, torch.device("cpu")),
    ).scalars
    with torch.no_grad():
        expected = (program.model.eval()(fed) - fed).square().mean().item()
    assert judged["mse"] == pytest.approx(expected, rel=1e-5)
