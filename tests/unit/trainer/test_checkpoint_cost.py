"""What a checkpoint costs: how often one is taken, what it copies, and how large it grows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save
from torch import nn

from headway_api.status import CheckpointStatus
from headway_api.training import Checkpoint
from headway_trainer.report.model import EpochRecord
from headway_trainer.storage import CHUNK, Store
from headway_trainer.training import history
from headway_trainer.training.checkpoints.best import BEST_FILE, BestWeights
from headway_trainer.training.checkpoints.saver import seconds_between
from headway_trainer.training.checkpoints.shared_state import SharedState
from headway_trainer.training.checkpoints.store import MODEL_FILE, Checkpoints, Manifest
from headway_trainer.training.checkpoints.tensors import pieces
from training_runs import Driver, Ticks, finish, make_job, run_until, same, small_model, training

TYPES = (
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.float8_e4m3fn,
    torch.float8_e5m2,
    torch.complex64,
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint64, torch.uint32, torch.uint16, torch.uint8),
    torch.bool,
)


pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=6),
        st.tuples(st.sampled_from(TYPES), st.lists(st.integers(0, 3), max_size=3)),
        max_size=6,
    )
)
def test_streamed_tensors_are_the_bytes_of_safetensors_own_writer(
    shapes: dict[str, tuple[torch.dtype, list[int]]],
) -> None:
    tensors = {
        name: torch.arange(int(np.prod(shape)), dtype=torch.int64).reshape(shape).to(dtype)
        for name, (dtype, shape) in shapes.items()
    }
    assert b"".join(bytes(piece) for piece in pieces(tensors)) == save(tensors)


def test_tied_and_transposed_weights_are_written_whole() -> None:
    layer = nn.Linear(3, 2)
    tensors = {"one": layer.weight, "other": layer.weight, "turned": layer.weight.t()}
    copies = {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}
    assert b"".join(bytes(piece) for piece in pieces(tensors)) == save(copies)


def test_what_is_written_is_the_models_own_memory_in_small_pieces() -> None:
    weight = torch.zeros(3 * CHUNK // 4 + 1)
    _, *content = pieces({"weight": weight})
    assert len(content) == 4
    assert all(np.shares_memory(np.asarray(piece), weight.numpy()) for piece in content)


def test_a_type_that_the_format_does_not_know_is_named() -> None:
    with pytest.raises(ValueError, match=r"odd is torch\.complex128, which safetensors cannot hold"):
        list(pieces({"odd": torch.zeros(1, dtype=torch.complex128)}))


@pytest.mark.parametrize(
    ("spec", "cost", "seconds"),
    [
        ({}, 0.0, 10.0),
        ({}, 0.4, 10.0),
        ({}, 4.0, 100.0),
        ({"everySeconds": 3}, 4.0, 3.0),
        ({"everySteps": 3}, 4.0, None),
    ],
)
def test_without_a_rhythm_of_its_own_a_run_saves_for_a_twenty_fifth_of_its_time_at_most(
    spec: dict[str, int], cost: float, seconds: float | None
) -> None:
    assert seconds_between(Checkpoint.model_validate(spec), cost) == seconds


def test_the_time_of_all_checkpoints_is_told_with_the_progress(tmp_path: Path) -> None:
    driver, clock = Driver(), Ticks(0.0)
    spec = training(epochs=3, checkpoint={"everySteps": 1, "keepLast": 100})
    job = make_job(Store.open(str(tmp_path)), spec, link=driver, clock=clock)
    commit, saved = job.checkpoints.commit, 0

    def slow(manifest: Manifest) -> CheckpointStatus:
        nonlocal saved
        saved += 1
        clock.now += 5
        return commit(manifest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job.checkpoints, "commit", slow)
        finish(job)
    told = [progress.checkpoint_seconds for progress in driver.progress]
    assert saved > 2
    assert told == sorted(told)
    assert told[-1] in (5 * saved, 5 * (saved - 1)), "the last one may come after the last word"


def test_better_epochs_cost_no_checkpoint_of_their_own(tmp_path: Path) -> None:
    job = make_job(Store.open(str(tmp_path)), training(epochs=8, checkpoint={"keepLast": 100}), clock=Ticks(0.0))
    end, _ = finish(job)
    losses = [record.validation["loss"] or 0 for record in end.history]
    assert losses[1] < losses[0], "an epoch should be better than the one before, or this shows nothing"
    assert [one.step for one in job.checkpoints.complete()] == [end.step]


def test_who_keeps_several_best_checkpoints_gets_one_of_each_better_epoch(tmp_path: Path) -> None:
    spec = training(epochs=8, checkpoint={"keepBest": 100})
    job = make_job(Store.open(str(tmp_path)), spec, clock=Ticks(0.0))
    end, _ = finish(job)
    best, better = float("inf"), []
    for record in end.history:
        if (record.validation["loss"] or 0) < best:
            best = record.validation["loss"] or 0
            better.append(record.step)
    assert len(better) > 2
    assert {one.step for one in job.checkpoints.complete()} >= set(better)


@pytest.mark.parametrize("killed_at", [3, 9, 14, 21, 23])
def test_the_best_model_of_a_run_that_is_killed_is_the_best_one_of_a_run_that_is_not(
    tmp_path: Path, killed_at: int
) -> None:
    spec = training(epochs=6, optimizer={"lr": 0.5}, checkpoint={"everySteps": 3})
    whole = make_job(Store.open(str(tmp_path / "whole")), spec)
    end, _ = finish(whole)
    best, step = _best(whole.checkpoints, tmp_path / "whole")
    assert step < end.step, "the last epoch should not be the best, or this shows nothing"
    store = Store.open(str(tmp_path / "killed"))
    run_until(make_job(store, spec), killed_at)
    resumed = make_job(store, spec, attempt=2)
    finish(resumed)
    again, step_again = _best(resumed.checkpoints, tmp_path / "killed")
    assert step_again == step
    assert same(best, again)


def test_a_run_that_an_older_version_began_goes_on_with_its_best_model(tmp_path: Path) -> None:
    spec = training(epochs=6, optimizer={"lr": 0.5}, checkpoint={"everySteps": 4, "keepLast": 100})
    store = Store.open(str(tmp_path))
    run_until(make_job(store, spec), 22)
    for path in (tmp_path / "checkpoints").glob("*/manifest.json"):
        manifest = json.loads(path.read_text())
        manifest |= {"version": 1, "best": None}
        manifest["files"] = [one for one in manifest["files"] if one["name"] != BEST_FILE]
        path.write_text(json.dumps(manifest))
    before = Checkpoints(store, 2).by_merit("validation/loss", "min")[0]
    assert before.step < 20, "the newest should not be the best, or this shows nothing"
    weights = load_file(tmp_path / "checkpoints" / before.name / MODEL_FILE)
    job = make_job(store, spec, attempt=2)
    finish(job)
    best, step = _best(job.checkpoints, tmp_path)
    assert step == before.step
    assert same(weights, best)


def test_the_best_weights_do_not_move_with_the_model() -> None:
    model, best = small_model(), BestWeights()
    best.take(model, 4, {"validation/loss": 1.0})
    before = {name: tensor.clone() for name, tensor in best.tensors.items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    assert same(before, best.tensors)
    addresses = [tensor.data_ptr() for tensor in best.tensors.values()]
    best.take(model, 8, {"validation/loss": 0.5})
    assert same(dict(model.state_dict()), best.tensors)
    assert [tensor.data_ptr() for tensor in best.tensors.values()] == addresses, "one copy, whatever the epochs"


def test_a_history_is_bounded_and_the_same_wherever_a_run_was_resumed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MOST_RECORDS", 8)
    every_epoch = [_record(epoch) for epoch in range(1, 200)]
    grown: list[EpochRecord] = []
    for number, record in enumerate(every_epoch, start=1):
        grown = history.thinned([*grown, record])
        assert grown == history.thinned(every_epoch[:number])
        assert len(grown) <= 8 + 2
        assert (grown[0].epoch, grown[-1].epoch) == (1, number)


def test_a_history_that_grows_epoch_by_epoch_has_every_epoch_while_it_is_short() -> None:
    grown: list[EpochRecord] = []
    for epoch in range(1, 2 * history.MOST_RECORDS + 2):
        grown = history.thinned([*grown, _record(epoch)])
        if epoch <= history.MOST_RECORDS:
            assert len(grown) == epoch
    assert [one.epoch for one in grown[:4]] == [1, 4, 8, 12]
    assert grown[-1].epoch == 2 * history.MOST_RECORDS + 1
    assert history.note(5) is None
    assert history.note(4001) == "The history has every 4th epoch, the first and the last, of 4001."


def test_the_gradient_scaler_of_fp16_steps_on_with_the_state_that_a_checkpoint_keeps() -> None:
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", enabled=True)
    state = SharedState(scaler=scaler.state_dict())
    again = SharedState.model_validate_json(state.model_dump_json())
    resumed = torch.amp.GradScaler("cpu", enabled=True)
    resumed.load_state_dict(dict(again.scaler))
    torch.autograd.backward(resumed.scale(model(torch.ones(1, 2)).sum()))
    resumed.step(optimizer)
    resumed.update()
    assert resumed.get_growth_interval() == scaler.get_growth_interval()


def _best(checkpoints: Checkpoints, folder: Path) -> tuple[dict[str, torch.Tensor], int]:
    manifest = checkpoints.by_merit("validation/loss", "min")[0]
    path = folder / "checkpoints" / manifest.name / manifest.candidate.file
    return load_file(path), manifest.candidate.step


def _record(epoch: int) -> EpochRecord:
    return EpochRecord(epoch=epoch, step=epoch)
