"""Workers that train together, as processes of their own: one model is judged and saved."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

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
from training_runs import make_job

rank, folder, spec = int(sys.argv[1]), Path(sys.argv[2]), Training.model_validate_json(sys.argv[3])
distributed.init_process_group("gloo", init_method=f"file://{folder}/group", rank=rank, world_size=2)
group = Workers(torch.device("cpu"))
odd = torch.nn.Module()
odd.register_buffer("turned", torch.full((3, 2), float(rank)).t())
odd.register_buffer("flag", torch.tensor(rank == 0))
odd.register_buffer("count", torch.tensor([rank + 7]))
odd.register_buffer("nothing", torch.zeros(0))
group.share_buffers(odd)
assert torch.equal(odd.turned, torch.zeros(2, 3)) and odd.flag.item() and odd.count.tolist() == [7], odd.state_dict()
group.share_buffers(torch.nn.Linear(1, 1))
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
distributed.destroy_process_group()
"""


def test_every_rank_validates_the_buffers_that_rank_0_saves(tmp_path: Path) -> None:
    spec = training(epochs=2).model_dump_json()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])}
    ranks = [
        subprocess.Popen([sys.executable, "-c", RANK, str(rank), str(tmp_path), spec], env=environment)
        for rank in range(2)
    ]
    assert [one.wait(120) for one in ranks] == [0, 0]
    first, second = (json.loads((tmp_path / f"rank-{rank}.json").read_text()) for rank in range(2))
    assert len(first) == 2
    for one, other in zip(first, second, strict=True):
        assert one["own"] != other["own"], "each rank has averages of its own rows, or this shows nothing"
        assert one["shared"] == other["shared"] == one["own"]
        assert one["metrics"] == other["metrics"]
