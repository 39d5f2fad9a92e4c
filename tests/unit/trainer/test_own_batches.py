"""What a training function of one's own gets of the prepared rows: as many batches on each worker, each row once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import ConcatDataset, DataLoader, Dataset, DistributedSampler, Subset, TensorDataset

from headway_api.data import Data
from headway_trainer import api, double_sharding
from headway_trainer.data import prepare
from headway_trainer.data.info import DataInfo
from headway_trainer.errors import UserError
from headway_trainer.storage import Store
from headway_trainer.training.sampler import equal_batches

ROWS = 1281
"""Two workers have 640 and 641 of them."""

RANK = """
import json, sys
import torch
from pathlib import Path
from torch import distributed, nn
from headway_trainer import api, data_batches
from headway_trainer.data.info import DataInfo
from headway_trainer.storage import Store
from rank_end import end_of_rank

rank, folder = int(sys.argv[1]), Path(sys.argv[2])
distributed.init_process_group("gloo", init_method=f"file://{folder}/group", rank=rank, world_size=2)
info = DataInfo.model_validate_json((folder / "info.json").read_text())
api.enter(api.Here(Store.open(str(folder / "run")), info, rank, 2, seed=3))
torch.manual_seed(0)
model = nn.parallel.DistributedDataParallel(nn.Linear(info.features, 2))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
seen, weights = [], []
for x, y, weight in data_batches("train", batch_size=64, epoch=0):
    loss = nn.functional.cross_entropy(model(x), y)
    optimizer.zero_grad()
    (loss * weight).backward()
    optimizer.step()
    seen.append(x[:, 0].tolist())
    weights.append(weight)
told = {"seen": seen, "weights": weights, "model": model.module.weight.tolist()}
(folder / f"rank-{rank}.json").write_text(json.dumps(told))
end_of_rank()
"""


@pytest.fixture
def prepared(tmp_path: Path) -> DataInfo:
    numbers = np.arange(ROWS, dtype=np.float32)
    np.savez(tmp_path / "rows.npz", x=np.stack([numbers, numbers % 7], axis=1), y=np.arange(ROWS) % 2)
    spec = {
        "source": {"uri": str(tmp_path / "rows.npz"), "format": "npz"},
        "split": {"train": 1.0, "validation": 0.0, "test": 0.0},
        "scale": "none",
    }
    return prepare(Data.model_validate(spec), seed=0, store=Store.open(str(tmp_path / "run")))


@pytest.fixture
def _restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "_here", None)
    monkeypatch.setattr(double_sharding, "_given", [])
    monkeypatch.setattr(DistributedSampler, "__init__", DistributedSampler.__init__)


def here(tmp_path: Path, info: DataInfo, rank: int = 0, world_size: int = 2) -> None:
    api.enter(api.Here(Store.open(str(tmp_path / "run")), info, rank, world_size, seed=3))


def test_workers_with_uneven_shards_end_together_and_see_each_row_once(tmp_path: Path, prepared: DataInfo) -> None:
    assert prepared.rows["train"] == ROWS
    (tmp_path / "info.json").write_text(prepared.model_dump_json())
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    ranks = [
        subprocess.Popen([sys.executable, "-c", RANK, str(rank), str(tmp_path)], env=environment) for rank in range(2)
    ]
    assert [one.wait(120) for one in ranks] == [0, 0]
    first, second = (json.loads((tmp_path / f"rank-{rank}.json").read_text()) for rank in range(2))
    assert len(first["seen"]) == len(second["seen"]) == 21
    rows = [number for told in (first, second) for batch in told["seen"] for number in batch]
    assert sorted(rows) == list(range(ROWS))
    assert rows[:640] != sorted(rows[:640]), "in an order of the epoch's own"
    for one, other, own, others in zip(first["weights"], second["weights"], first["seen"], second["seen"], strict=True):
        assert one + other == pytest.approx(2.0)
        assert one / other == pytest.approx(len(own) / len(others))
    assert first["model"] == second["model"]


@given(st.tuples(st.integers(1, 3000), st.integers(1, 400), st.integers(1, 9)).filter(lambda case: case[0] >= case[2]))
def test_every_worker_has_as_many_batches_and_the_weights_are_those_of_the_rows(case: tuple[int, int, int]) -> None:
    rows, batch_size, world = case
    ranks = [equal_batches(rows, batch_size, rank, world) for rank in range(world)]
    assert len({len(one) for one in ranks}) == 1
    for batch in zip(*ranks, strict=True):
        sizes = [stop - start for (start, stop), _ in batch]
        assert [weight for _, weight in batch] == pytest.approx([size * world / sum(sizes) for size in sizes])
    assert sum(stop - start for one in ranks for (start, stop), _ in one) == rows


@pytest.mark.usefixtures("_restored")
def test_a_pass_is_the_same_whenever_it_is_made_and_another_one_is_not(tmp_path: Path, prepared: DataInfo) -> None:
    here(tmp_path, prepared, world_size=1)
    first, again, other = (
        torch.cat([x[:, 0] for x, _, _ in api.data_batches("train", 100, epoch=epoch)]).tolist() for epoch in (4, 4, 5)
    )
    assert first == again
    assert first != other
    assert sorted(first) == sorted(other) == list(range(ROWS))


@pytest.mark.usefixtures("_restored")
def test_a_batch_has_the_weights_of_its_rows_where_rows_have_weights(tmp_path: Path) -> None:
    lines = [f"{number},{number % 5 + 1},{number % 2}" for number in range(60)]
    (tmp_path / "rows.csv").write_text("\n".join(["a,w,y", *lines]) + "\n")
    spec = {
        "source": {"uri": str(tmp_path / "rows.csv"), "format": "csv"},
        "columns": {"a": {"role": "feature"}, "w": {"role": "weight"}},
        "target": "y",
        "scale": "none",
    }
    info = prepare(Data.model_validate(spec), seed=0, store=Store.open(str(tmp_path / "run")))
    here(tmp_path, info)
    batches = list(api.data_batches("train", 16, epoch=0))
    ratios = [w / (a % 5 + 1) for one in batches for a, w in zip(one.x[:, 0].tolist(), _numbers(one), strict=True)]
    assert ratios == pytest.approx([ratios[0]] * len(ratios))
    x, y, weight = batches[0]
    assert (len(x), weight) == (len(y), batches[0].weight)


def _numbers(batch: api.DataBatch) -> list[float]:
    assert batch.row_weights is not None
    numbers: list[float] = batch.row_weights.tolist()
    return numbers


@pytest.mark.usefixtures("_restored")
def test_what_cannot_be_meant_is_refused_and_a_part_without_rows_has_no_batches(
    tmp_path: Path, prepared: DataInfo
) -> None:
    here(tmp_path, prepared)
    with pytest.raises(UserError, match="give epoch=, the number of the pass"):
        api.data_batches("train", 10)
    with pytest.raises(UserError, match="batch_size is 0, and must be at least 1"):
        api.data_batches("train", 0, epoch=0)
    assert list(api.data_batches("validation", 10)) == []
    here(tmp_path, prepared, world_size=ROWS + 1)
    with pytest.raises(
        UserError,
        match=r"train part has 1281 rows for 1282 training processes: .* lower workers\.replicas or workers\.processes",
    ):
        api.data_batches("train", 10, epoch=0)


class Own(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    def __init__(self, x: torch.Tensor, y: torch.Tensor) -> None:
        self.rows = {"not looked into": 1}
        self.pairs = [(x[index], y[index]) for index in range(len(y))]

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.pairs[index]


@pytest.mark.usefixtures("_restored")
@pytest.mark.parametrize("kind", ["tensors", "subset", "joined", "own", "half"])
def test_a_shard_is_not_divided_again(tmp_path: Path, prepared: DataInfo, kind: str) -> None:
    here(tmp_path, prepared)
    x, y = api.data_shard("train")
    tensors = TensorDataset(x, y)
    datasets: dict[str, Dataset[object]] = {
        "tensors": tensors,
        "subset": Subset(tensors, [1, 2]),
        "joined": ConcatDataset([tensors, tensors]),
        "own": Own(x, y),
        "half": TensorDataset(x[:100], y[:100]),
    }
    with pytest.raises(UserError, match=r"divide the rows of data_shard\(\) again, .* add_dist_sampler=False"):
        DistributedSampler(datasets[kind], num_replicas=2, rank=0)  # as prepare_data_loader does
    assert len(DataLoader(datasets[kind], batch_size=10)) > 0, "without that sampler it is as it was"


@pytest.mark.usefixtures("_restored")
def test_rows_of_ones_own_are_divided_as_ever(tmp_path: Path, prepared: DataInfo) -> None:
    here(tmp_path, prepared)
    api.data_shard("train")
    assert len(DistributedSampler(TensorDataset(torch.zeros(10)), num_replicas=2, rank=0)) == 5


@pytest.mark.usefixtures("_restored")
def test_shards_that_differ_are_told_of_once_for_all_workers(
    tmp_path: Path, prepared: DataInfo, capsys: pytest.CaptureFixture[str]
) -> None:
    for rank in range(2):
        here(tmp_path, prepared, rank=rank)
        api.data_shard("train")
    assert capsys.readouterr().err.count("1281 rows cannot be divided equally among 2 workers") == 1
