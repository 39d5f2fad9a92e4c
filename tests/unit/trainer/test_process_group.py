"""Workers that train together, as processes of their own: one model is judged and saved."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from training_runs import training

RANK = """
import json, sys
import torch
from pathlib import Path
from torch import distributed
from headway_api.training import Training
from headway_trainer.storage import Store
from headway_trainer.training.process_group import Workers
from headway_trainer.training.loop import Loop
from rank_end import end_of_rank
from training_runs import make_job

rank, folder, spec = int(sys.argv[1]), Path(sys.argv[2]), Training.model_validate_json(sys.argv[3])
distributed.init_process_group("gloo", init_method=f"file://{folder}/group", rank=rank, world_size=2)
group = Workers(torch.device("cpu"))
odd = torch.nn.Module()
odd.register_buffer("turned", torch.full((3, 2), float(rank)).t())
odd.register_buffer("flag", torch.tensor(rank == 0))
odd.register_buffer("count", torch.tensor([rank + 7]))
odd.register_buffer("nothing", torch.zeros(0))
group.share(odd.buffers())
assert torch.equal(odd.turned, torch.zeros(2, 3)) and odd.flag.item() and odd.count.tolist() == [7], odd.state_dict()
group.share(torch.nn.Linear(1, 1).buffers())
job = make_job(Store.open(str(folder)), spec, group=group)
judged, save = [], []
validate = Loop._validate

def told(loop):
    own = {name: buffer.tolist() for name, buffer in loop._model.named_buffers()}
    metrics = validate(loop)
    shared = {name: buffer.tolist() for name, buffer in loop._model.named_buffers()}
    judged.append({"own": own, "shared": shared, "metrics": metrics})
    return metrics

Loop._validate = told
Loop(job).run()
(folder / f"rank-{rank}.json").write_text(json.dumps(judged))
end_of_rank()
"""

JUDGE = """
import json, sys
import torch
from pathlib import Path
from torch import distributed, nn
from headway_trainer.data import DataInfo
from headway_trainer.evaluation.evaluate import Shard, evaluate
from headway_trainer.metrics import ranking
from headway_trainer.programs import Supervised
from headway_trainer.tasks import task_of
from headway_trainer.training.process_group import Alone, Workers
from rank_end import end_of_rank

rank, folder, cut = int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
distributed.init_process_group("gloo", init_method=f"file://{folder}/group", rank=rank, world_size=2)
generator = torch.Generator().manual_seed(0)
told = {}

def judge(name, task, x, y, weights):
    info = DataInfo.model_validate({"task": task, "input_shape": (3,), "outputs": 3, "classes": list("abc"), "rows": {},
        "content_hash": "", "digest": "", "target_std": [1.0, 10.0, 1e6], "target_mean": [0.0, 0.0, 0.0]})
    found = []
    for group, part in ((Workers(torch.device("cpu")), [slice(cut), slice(cut, None)][rank]), (Alone(), slice(None))):
        shard = Shard(x[part], y[part], len(y), weights[part])
        task = task_of(info)
        judged = evaluate(Supervised(nn.Identity(), task), shard, metrics=task.metric_names, ranks=group, batch_size=4)
        found.append({"scalars": judged.scalars, "by_target": judged.by_target, "notes": judged.notes,
            "confusion_matrix": judged.confusion_matrix})
    told[name] = found

x, weights = torch.randn(41, 3, generator=generator), torch.rand(41, generator=generator)
labels = torch.randint(0, 3, (41,), generator=generator)
judge("classification", "classification", x, labels, weights)
judge("regression", "regression", x, torch.randn(41, 3, generator=generator), weights)
ranking.EXACT_SCORES = 0
judge("in bins", "classification", x, labels, weights)
(folder / f"rank-{rank}.json").write_text(json.dumps(told))
end_of_rank()
"""

SUMS = """
import json, sys
import torch
from pathlib import Path
from torch import distributed, nn
from headway_trainer.training.process_group import Workers
from rank_end import end_of_rank

rank, folder, world_size = int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
distributed.init_process_group("gloo", init_method=f"file://{folder}/group", rank=rank, world_size=world_size)
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
parallel = Workers(torch.device("cpu")).parallel(model)
torch.manual_seed(rank)
rows, found = torch.randn(32, 64), []
for _ in range(3):
    model.zero_grad()
    parallel(rows).square().sum().backward()
    found.append([one.grad.view(torch.int32).sum(dtype=torch.int64).item() for one in model.parameters()])
(folder / f"rank-{rank}.json").write_text(json.dumps(found))
end_of_rank()
"""


def _run_ranks(script: str, folder: Path, argument: str, world_size: int = 2) -> list[Any]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])}
    ranks = [
        subprocess.Popen([sys.executable, "-c", script, str(rank), str(folder), argument], env=environment)
        for rank in range(world_size)
    ]
    assert [one.wait(240) for one in ranks] == [0] * world_size
    return [json.loads((folder / f"rank-{rank}.json").read_text()) for rank in range(world_size)]


@pytest.mark.parametrize("cut", ["0", "17"], ids=["one rank has no rows", "17 and 24 rows"])
def test_metrics_over_ranks_are_those_of_all_rows_and_the_same_on_each(tmp_path: Path, cut: str) -> None:
    first, second = _run_ranks(JUDGE, tmp_path, cut)
    for name in ("classification", "regression", "in bins"):
        together, alone = first[name]
        assert together == second[name][0]
        assert together["scalars"] == pytest.approx(alone["scalars"])
        assert together["confusion_matrix"] == alone["confusion_matrix"]
        assert together["notes"] == alone["notes"]
        assert together["by_target"].keys() == alone["by_target"].keys()
        for target, values in together["by_target"].items():
            assert values == pytest.approx(alone["by_target"][target])
    assert len(first["regression"][0]["by_target"]) == 3
    assert first["in bins"][0]["notes"]
    assert not first["classification"][0]["notes"]


def test_every_rank_validates_the_buffers_that_rank_0_saves(tmp_path: Path) -> None:
    spec = training(epochs=2).model_dump_json()
    first, second = _run_ranks(RANK, tmp_path, spec)
    assert len(first) == 2
    for one, other in zip(first, second, strict=True):
        assert one["own"] != other["own"], "each rank has averages of its own rows, or this shows nothing"
        assert one["shared"] == other["shared"] == one["own"]
        assert one["metrics"] == other["metrics"]


@pytest.mark.parametrize("world_size", [2, 4])
def test_gradients_are_added_in_the_same_order_in_the_first_step_as_in_every_other(
    tmp_path: Path, world_size: int
) -> None:
    first, *others = _run_ranks(SUMS, tmp_path, str(world_size), world_size)
    assert first[0] == first[1] == first[2], "a run that was resumed adds as one that was not"
    assert all(other == first for other in others)
