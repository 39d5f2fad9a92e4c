"""Checkpoints as files: complete or not there, verified, fenced, and kept as asked."""

from __future__ import annotations

import itertools
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import fs

from headway_trainer.errors import StorageError
from headway_trainer.storage import CHUNK, Pieces, Store
from headway_trainer.training.checkpoints.store import MANIFEST, Checkpoints, Damaged, Manifest, folder_name, now
from headway_trainer.training.early_stopping import Mode
from training_runs import cut_at_write, finish, make_job, same, training

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path))


def of(data: bytes) -> Pieces:
    return lambda: [data]


def commit(checkpoints: Checkpoints, step: int, **metrics: float) -> Manifest:
    files = checkpoints.write_parts(step, {name: of(f"{name} {step}".encode()) for name in ("a.bin", "b.bin")})
    manifest = Manifest(
        step=step,
        epoch=step,
        batch=0,
        attempt=checkpoints.attempt,
        world_size=1,
        time=now(),
        metrics={f"validation/{name}": value for name, value in metrics.items()},
        files=files,
    )
    checkpoints.commit(manifest)
    return manifest


def test_a_checkpoint_without_its_manifest_is_none(store: Store) -> None:
    checkpoints = Checkpoints(store, 1)
    commit(checkpoints, 5)
    checkpoints.write_parts(9, {"a.bin": of(b"half")})
    found = checkpoints.newest()
    assert found.manifest is not None
    assert found.manifest.step == 5
    assert found.notes == []


@pytest.mark.parametrize("harm", ["cut", "changed", "gone", "manifest cut", "newer format"])
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before_and_named(
    store: Store, tmp_path: Path, harm: str
) -> None:
    checkpoints = Checkpoints(store, 1)
    commit(checkpoints, 5)
    commit(checkpoints, 9)
    folder = tmp_path / "checkpoints" / folder_name(9, 1)
    match harm:
        case "cut":
            (folder / "b.bin").write_bytes(b"b")
        case "changed":
            (folder / "b.bin").write_bytes(b"B.bin 9")
        case "gone":
            (folder / "b.bin").unlink()
        case "manifest cut":
            (folder / MANIFEST).write_text((folder / MANIFEST).read_text()[:40])
        case "newer format":
            text = (folder / MANIFEST).read_text()
            (folder / MANIFEST).write_text(text.replace('"version": 2', '"version": 3'))
    found = checkpoints.newest()
    assert found.manifest is not None
    assert found.manifest.step == 5
    assert len(found.notes) == 1
    assert "step-0000000009-attempt-1 was passed over" in found.notes[0]


def test_a_file_is_read_only_if_it_is_what_was_written(store: Store, tmp_path: Path) -> None:
    checkpoints = Checkpoints(store, 1)
    manifest = commit(checkpoints, 5)
    assert checkpoints.read(manifest, "a.bin") == b"a.bin 5"
    (tmp_path / "checkpoints" / manifest.name / "a.bin").write_bytes(b"A.bin 5")
    with pytest.raises(Damaged, match=r"content of a\.bin is not what was written"):
        checkpoints.read(manifest, "a.bin")
    with pytest.raises(Damaged, match=r"holds no c\.bin"):
        checkpoints.read(manifest, "c.bin")


def test_an_older_attempt_can_neither_commit_nor_claim_after_a_newer_one(store: Store) -> None:
    old, new = Checkpoints(store, 1), Checkpoints(store, 2)
    old.claim()
    commit(old, 5)
    new.claim()
    with pytest.raises(StorageError, match=r"attempt 1 of this run was replaced by attempt 2"):
        commit(old, 6)
    with pytest.raises(StorageError, match=r"replaced by attempt 2"):
        old.claim()
    newest = new.newest().manifest
    assert newest is not None
    assert newest.step == 5
    commit(new, 6)


def test_an_attempt_that_was_replaced_deletes_nothing_that_its_successor_reads(store: Store) -> None:
    old, new = Checkpoints(store, 1), Checkpoints(store, 2)
    commit(old, 900)
    new.claim()
    found = new.newest().manifest
    # One that was frozen between the look at the fence and the last write.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(old, "refuse_if_fenced", lambda: None)
        commit(old, 1000)
    with pytest.raises(StorageError, match=r"replaced by attempt 2"):
        old.retain(1, 1, "validation/loss", "min")
    assert found is not None
    assert new.read(found, "a.bin") == b"a.bin 900"


def test_a_loop_whose_attempt_was_replaced_ends_with_an_error(store: Store) -> None:
    job = make_job(store, training(), attempt=1)
    Checkpoints(store, 3).claim()
    with pytest.raises(StorageError, match=r"replaced by attempt 3"):
        finish(job)


def test_attempts_have_folders_of_their_own_for_the_same_step(store: Store) -> None:
    old, new = Checkpoints(store, 1), Checkpoints(store, 2)
    commit(old, 5)
    new.claim()
    commit(new, 5)
    old.write_parts(5, {"a.bin": of(b"a zombie writes on")})
    newest = new.newest().manifest
    assert newest is not None
    assert newest.attempt == 2


def test_what_leads_nowhere_is_cleared_when_a_run_goes_on(store: Store) -> None:
    checkpoints = Checkpoints(store, 1)
    first = commit(checkpoints, 5)
    commit(checkpoints, 9)
    checkpoints.write_parts(12, {"a.bin": of(b"half")})
    checkpoints.clear_after(first)
    assert [one.step for one in checkpoints.complete()] == [5]
    assert store.child("checkpoints").list() == [folder_name(5, 1)]


@given(
    values=st.lists(st.floats(0, 10) | st.none(), min_size=1, max_size=8),
    last=st.integers(1, 3),
    best=st.integers(1, 3),
    mode=st.sampled_from(["min", "max"]),
)
def test_the_newest_and_the_best_stay(
    tmp_path_factory: pytest.TempPathFactory, values: list[float | None], last: int, best: int, mode: Mode
) -> None:
    checkpoints = Checkpoints(Store.open(str(tmp_path_factory.mktemp("run"))), 1)
    for step, value in enumerate(values, start=1):
        commit(checkpoints, step, **({} if value is None else {"loss": value}))
        checkpoints.retain(last, best, "validation/loss", mode)
    kept = [one.step for one in checkpoints.complete()]
    steps = range(1, len(values) + 1)
    assert set(steps[-last:]) <= set(kept)
    rated = sorted(
        (value if mode == "min" else -value, step)
        for step, value in zip(steps, values, strict=True)
        if value is not None
    )
    assert {step for _, step in rated[: best if best > 1 else 0]} <= set(kept)
    assert len(kept) <= last + best
    assert checkpoints.newest().manifest is not None


def test_merit_puts_the_best_first_the_earlier_of_equals_and_unrated_ones_last(store: Store) -> None:
    checkpoints = Checkpoints(store, 1)
    commit(checkpoints, 1, loss=2.0)
    commit(checkpoints, 2, loss=1.0)
    commit(checkpoints, 3)
    commit(checkpoints, 4, loss=1.0)
    assert [one.step for one in checkpoints.by_merit("validation/loss", "min")] == [2, 4, 1, 3]
    assert [one.step for one in checkpoints.by_merit("validation/loss", "max")] == [1, 2, 4, 3]


def test_a_run_resumes_from_the_one_before_when_its_newest_checkpoint_is_damaged(store: Store, tmp_path: Path) -> None:
    spec = training(checkpoint={"everySteps": 2, "keepLast": 5})
    _, weights = finish(make_job(store, spec))
    folders = sorted((tmp_path / "checkpoints").glob("step-*"))
    (folders[-1] / "model.safetensors").write_bytes(b"")
    resumed, again = finish(make_job(store, spec, attempt=2))
    assert resumed.resumed_from_step is not None
    assert resumed.resumed_from_step < 12
    assert any("was passed over: model.safetensors has 0 bytes" in note for note in resumed.notes)
    assert same(weights, again)


def test_a_save_that_is_cut_off_at_any_write_leaves_the_checkpoint_before(store: Store) -> None:
    spec = training(checkpoint={"everySteps": 4})
    _, weights = finish(make_job(Store.open(f"{store.uri}/whole"), spec))
    for cut in itertools.count(1):
        run = Store.open(f"{store.uri}/cut-{cut}")
        if not cut_at_write(make_job(run, spec), cut):
            break
        newest = Checkpoints(run, 2).newest()
        assert newest.notes == []
        _, again = finish(make_job(run, spec, attempt=2))
        assert same(weights, again)
    assert cut > 12


def test_a_large_model_is_copied_without_being_in_memory(store: Store, tmp_path: Path) -> None:
    checkpoints = Checkpoints(store, 1)
    data = bytes(range(256)) * (8 * CHUNK // 256) + b"the end"
    (part,) = checkpoints.write_parts(5, {"a.bin": of(data)})
    manifest = Manifest(step=5, epoch=1, batch=0, attempt=1, world_size=1, time=now(), files=[part])
    target = Store(fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem()), "", "test://bucket")
    tracemalloc.start()
    try:
        assert checkpoints.copy(manifest, "a.bin", target, "b.bin") == part.model_copy(update={"name": "b.bin"})
        assert tracemalloc.get_traced_memory()[1] < 3 * CHUNK
    finally:
        tracemalloc.stop()
    assert target.read("b.bin") == data


def test_a_file_that_is_not_what_was_written_is_copied_nowhere(store: Store) -> None:
    checkpoints = Checkpoints(store, 1)
    manifest = commit(checkpoints, 5)
    store.write("checkpoints/step-0000000005-attempt-1/a.bin", b"A.BIN 5")
    store.write("a.bin", b"from before")
    with pytest.raises(Damaged, match=r"the content of a\.bin"):
        checkpoints.copy(manifest, "a.bin", store, "a.bin")
    assert store.read("a.bin") == b"from before"
    with pytest.raises(Damaged, match=r"holds no c\.bin"):
        checkpoints.copy(manifest, "c.bin", store, "c.bin")
