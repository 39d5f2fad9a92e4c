"""Preparation as a whole: what is on the store, what each worker reads of it, and what a resumed attempt sees."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import fs
from sklearn.datasets import load_breast_cancer, load_diabetes

from headway_api.data import Data
from headway_trainer.data import SPLITS, DataInfo, prepare, read_split
from headway_trainer.data.info import INFO_FILE, x_file, y_file
from headway_trainer.data.prepared import Prepared, data_digest
from headway_trainer.data.read import memory as memory_module
from headway_trainer.data.shards import read_rows, write_array
from headway_trainer.data.split.at_random import split
from headway_trainer.data.transform import Scale
from headway_trainer.errors import StorageError, UserError
from headway_trainer.storage import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "run"))


def _spec(source: dict[str, Any], **fields: Any) -> Data:
    return Data.model_validate({"source": source, **fields})


def _builtin(name: str, **fields: Any) -> Data:
    return _spec({"builtin": {"name": name}}, **fields)


def _whole(store: Store, info: DataInfo) -> tuple[torch.Tensor, torch.Tensor]:
    parts = [read_split(store, info, split) for split in SPLITS]
    return torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts])


@pytest.mark.parametrize("name", ["digits", "breast_cancer", "wine", "iris", "diabetes"])
def test_every_builtin_set_is_prepared_and_read_back_whole(name: str, store: Store) -> None:
    info = prepare(_builtin(name), seed=1, store=store)
    x, y = _whole(store, info)
    assert len(x) == len(y) == sum(info.rows.values())
    assert x.shape[1:] == info.input_shape
    assert x.dtype == torch.float32
    assert y.dtype == (torch.int64 if info.classes else torch.float32)
    assert store.list("data") == sorted(
        ["info.json", "reference.json", "sample.bin", *(f"{split}.{kind}.npy" for split in SPLITS for kind in "xy")]
    )
    assert Prepared.model_validate_json(store.read(INFO_FILE)).info == info


def test_digits_have_the_documented_shares_and_balance(store: Store) -> None:
    info = prepare(_builtin("digits"), seed=0, store=store)
    assert info.rows == {"train": 1258, "validation": 359, "test": 180}
    assert info.class_balance is not None
    assert sum(info.class_balance["test"].values()) == 180
    assert set(info.class_balance["test"].values()) == {18}
    assert info.notes == []


@pytest.mark.parametrize("method", ["standard", "minMax"])
def test_scaling_statistics_come_from_the_training_part_alone(method: str, store: Store) -> None:
    info = prepare(_builtin("breast_cancer", scale=method), seed=3, store=store)
    train, _ = read_split(store, info, "train")
    test, _ = read_split(store, info, "test")
    if method == "standard":
        assert torch.allclose(train.mean(0), torch.zeros(30), atol=1e-4)
        assert torch.allclose(train.std(0, correction=0), torch.ones(30), atol=1e-4)
        assert not torch.allclose(test.mean(0), torch.zeros(30), atol=1e-2)
    else:
        assert train.min(0).values.abs().max() < 1e-6
        assert (train.max(0).values - 1).abs().max() < 1e-6
        assert test.max() > 1.0
    # Undone, the rows are those of the source.
    undone = test.double() * torch.tensor(info.scaling.divisor) + torch.tensor(info.scaling.offset)
    source = load_breast_cancer().data
    assert all(np.isclose(source, row.numpy(), rtol=1e-4, atol=1e-4).all(axis=1).any() for row in undone)


def test_targets_of_a_regression_are_standardised_by_the_training_part(store: Store) -> None:
    info = prepare(_builtin("diabetes"), seed=0, store=store)
    _, train = read_split(store, info, "train")
    _, test = read_split(store, info, "test")
    assert train.dtype == torch.float32
    assert train.double().mean().item() == pytest.approx(0.0, abs=1e-6)
    assert train.double().std(correction=0).item() == pytest.approx(1.0)
    assert info.target_names == ["target"]
    source = np.sort(load_diabetes().target)
    values = np.concatenate([(part.double().numpy() * info.target_std + info.target_mean) for part in (train, test)])
    assert np.abs(values[:, None] - source).min(axis=1).max() < 1e-4
    assert prepare(_builtin("wine"), seed=0, store=store).target_mean == []


@pytest.mark.parametrize(
    ("values", "std"),
    [
        (1.7e9 + np.arange(40) % 20 * 10.0, 57.66),  # a second of the day, as Unix tells the time
        (np.stack([np.arange(40) * 1e5, np.arange(40) % 5 * 0.4], axis=1), 1.154e6),
        (np.stack([np.full(40, 3.3), np.arange(40) % 5], axis=1), 1.0),
    ],
    ids=["far from 0", "of two sizes", "one of them constant"],
)
def test_each_target_is_stored_to_seven_digits_of_its_own_spread(
    tmp_path: Path, store: Store, values: npt.NDArray[np.float64], std: float
) -> None:
    np.savez(tmp_path / "a.npz", x=np.random.default_rng(0).normal(size=(40, 2)), y=values)
    info = prepare(_spec({"uri": str(tmp_path / "a.npz")}, task="regression"), seed=0, store=store)
    columns = values.reshape(40, -1)
    assert info.target_std[0] == pytest.approx(std, rel=0.2)
    for part in ("train", "validation", "test"):
        _, y = read_split(store, info, part)
        back = y.double().numpy().reshape(len(y), -1) * info.target_std + info.target_mean
        nearest = np.abs(back[:, None, :] - columns[None]).max(axis=2).min(axis=1)
        assert nearest.max() <= 1e-6 * max(info.target_std)


def test_a_target_beyond_all_others_is_named(tmp_path: Path, store: Store) -> None:
    y = np.arange(40) * 1e-8
    y[split(40, (0.7, 0.2, 0.1), 0).indices[2][0]] = 1e29
    np.savez(tmp_path / "a.npz", x=np.zeros((40, 2)) + np.arange(40)[:, None], y=y)
    with pytest.raises(
        UserError, match=r"the array y of .* is 1e\+29 in row \d+, which is more than 1e\+30 standard deviations"
    ):
        prepare(_spec({"uri": str(tmp_path / "a.npz")}, task="regression"), seed=0, store=store)


def test_a_seed_of_the_splits_own_keeps_the_parts_while_the_runs_seed_changes(tmp_path: Path) -> None:
    def test_rows(seed: int, split_seed: int | None) -> torch.Tensor:
        spec = _builtin("iris", split={"seed": split_seed} if split_seed is not None else {})
        target = Store.open(str(tmp_path / f"{seed}-{split_seed}"))
        return read_split(target, prepare(spec, seed=seed, store=target), "test")[0]

    assert torch.equal(test_rows(1, 5), test_rows(2, 5))
    assert torch.equal(test_rows(5, None), test_rows(2, 5))
    assert not torch.equal(test_rows(1, None), test_rows(2, None))
    spec = _builtin("iris", split={"seed": 5})
    assert data_digest(spec, 1) == data_digest(spec, 2) != data_digest(_builtin("iris"), 1)


def test_images_are_scaled_by_channel_and_constant_features_do_not_blow_up() -> None:
    images = np.stack([np.full((4, 5), 7.0), np.arange(20.0).reshape(4, 5)])[np.newaxis].repeat(3, axis=0)
    scaling = Scale.fit(images, "standard")
    scaled = scaling.apply(images)
    assert scaling.per == "channel"
    assert scaling.divisor[0] == 1.0
    assert (scaled[:, 0] == 0).all()
    assert np.isclose(scaled[:, 1].std(), 1.0)


def test_a_feature_that_varies_is_scaled_however_far_from_0_it_is() -> None:
    far = 5e9 + np.array([[-300.0, 0.0], [0.0, 0.0], [300.0, 0.0]])
    for method in ("standard", "minMax"):
        scaling = Scale.fit(far, method)
        assert scaling.divisor == pytest.approx([244.9 if method == "standard" else 600.0, 1.0], rel=1e-3)
    noise = np.full((4, 1), 0.3) + np.array([[0.0], [5e-17], [0.0], [5e-17]])
    assert Scale.fit(noise, "standard").divisor == [1.0], "rounding is no feature"


def test_categories_and_booleans_are_not_scaled(store: Store, tmp_path: Path) -> None:
    rows = "".join(f"{index}.5,{'ab'[index % 2]},{index % 3 == 0},{index % 2}\n" for index in range(40))
    (tmp_path / "data.csv").write_text(f"n,t,b,y\n{rows}")
    info = prepare(_spec({"uri": str(tmp_path / "data.csv")}, target="y"), seed=0, store=store)
    x, y = read_split(store, info, "train")
    assert info.feature_names == ["n", "t=a", "t=b", "b"]
    assert set(x[:, 1:].flatten().tolist()) == {0.0, 1.0}
    assert torch.equal(x[:, 2], y.float())
    assert abs(x[:, 0].mean()) < 1e-5


def test_none_leaves_numbers_as_they_are(store: Store) -> None:
    info = prepare(_builtin("digits", scale="none"), seed=0, store=store)
    x, _ = read_split(store, info, "train")
    assert (x.min().item(), x.max().item()) == (0.0, 16.0)
    assert info.scaling.offset == []


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    stores = [Store.open(str(tmp_path / name)) for name in ("one", "two", "three")]
    for store, seed in zip(stores, (5, 5, 6), strict=True):
        prepare(_builtin("wine"), seed=seed, store=store)
    bytes_of = [[store.read(f"data/{name}") for name in store.list("data")] for store in stores]
    assert bytes_of[0] == bytes_of[1]
    assert bytes_of[0] != bytes_of[2]


def test_how_rows_lie_in_files_changes_nothing(tmp_path: Path) -> None:
    lines = [f"{index},{index % 7},{'ab'[index % 2]}\n" for index in range(60)]
    for folder, cuts in (("one", [60]), ("three", [10, 40, 60])):
        (tmp_path / folder).mkdir()
        start = 0
        for number, stop in enumerate(cuts):
            (tmp_path / folder / f"{number}.csv").write_text("a,b,y\n" + "".join(lines[start:stop]))
            start = stop
    infos = [
        prepare(
            _spec({"uri": str(tmp_path / folder), "format": "csv"}, target="y"),
            seed=2,
            store=Store.open(str(tmp_path / "out" / folder)),
        )
        for folder in ("one", "three")
    ]
    assert infos[0].content_hash == infos[1].content_hash
    names = [x_file("train"), y_file("train"), x_file("test")]
    for name in names:
        assert (tmp_path / "out" / "one" / name).read_bytes() == (tmp_path / "out" / "three" / name).read_bytes()


# What a later attempt sees.


def test_a_later_attempt_sees_the_same_rows_though_the_source_has_changed(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("a,y\n" + "".join(f"{index}.5,{index % 2}\n" for index in range(20)))
    spec = _spec({"uri": str(path)}, target="y")
    first = prepare(spec, seed=0, store=store)
    rows = store.read(x_file("train"))
    path.unlink()
    assert prepare(spec, seed=0, store=store) == first
    assert store.read(x_file("train")) == rows


def test_another_seed_or_spec_prepares_anew(store: Store) -> None:
    first = prepare(_builtin("iris"), seed=0, store=store)
    second = prepare(_builtin("iris"), seed=1, store=store)
    third = prepare(_builtin("wine"), seed=1, store=store)
    assert len({first.digest, second.digest, third.digest}) == 3
    assert read_split(store, third, "train")[0].shape[1:] == (13,)


def test_credentials_are_no_part_of_what_is_prepared() -> None:
    with_secret = _spec({"uri": "s3://bucket/a.csv", "secretRef": {"name": "mine"}}, target="y")
    assert data_digest(with_secret, 0) == data_digest(_spec({"uri": "s3://bucket/a.csv"}, target="y"), 0)


@pytest.mark.parametrize("left", [b"", b'{"digest": "half', b"{}"])
def test_what_an_attempt_left_half_done_is_prepared_anew(left: bytes, store: Store) -> None:
    store.write(INFO_FILE, left)
    info = prepare(_builtin("iris"), seed=0, store=store)
    assert sum(info.rows.values()) == 150


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("file", [x_file, y_file])
def test_arrays_that_are_gone_or_altered_are_prepared_anew(
    split: str, file: Callable[[str], str], store: Store
) -> None:
    before = _whole(store, prepare(_builtin("iris"), seed=0, store=store))
    store.delete(file(split))
    gone = prepare(_builtin("iris"), seed=0, store=store)
    assert gone.notes[-1] == f"{file(split)} was gone, so the data was prepared again from its source, as before."
    store.write(file(split), store.read(file(split))[:-4] + b"odd!")
    altered = prepare(_builtin("iris"), seed=0, store=store)
    assert "was not what was written there" in altered.notes[-1]
    assert all(map(torch.equal, before, _whole(store, altered)))
    assert prepare(_builtin("iris"), seed=0, store=store) == altered, "and is taken as it is by the next attempt"


def test_a_note_says_when_the_rows_are_others_than_before(store: Store, tmp_path: Path) -> None:
    def write(value: int) -> None:
        rows = "".join(f"{row}.5,{row % 2}\n" for row in range(value, value + 100))
        (tmp_path / "a.csv").write_text(f"a,y\n{rows}")

    spec = _spec({"uri": str(tmp_path / "a.csv")}, target="y")
    write(0)
    prepare(spec, seed=0, store=store)
    write(1000)
    assert not any("prepared again" in note for note in prepare(spec, seed=0, store=store).notes)
    store.delete(x_file("test"))
    assert prepare(spec, seed=0, store=store).notes[-1].endswith("from its source, which has changed since.")


def test_a_read_that_ends_early_is_a_storage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_array(Store.open(str(tmp_path)), "a.npy", np.ones((4, 2), dtype=np.float32))
    remote = _remote(tmp_path)
    size = remote.size("a.npy")
    (tmp_path / "a.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-4])
    monkeypatch.setattr(remote, "size", lambda _: size)
    with pytest.raises(StorageError, match=r"a\.npy ended early"):
        read_rows(remote, "a.npy", 0, 4)


def test_the_info_is_written_last(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(_builtin("iris"), seed=0, store=store)

    def fail(*_: Any) -> None:
        raise StorageError("the disk is full")

    monkeypatch.setattr("headway_trainer.data.features.write_array", fail)
    with pytest.raises(StorageError):
        prepare(_builtin("wine"), seed=0, store=store)
    assert not store.exists(INFO_FILE)


# Shards.


def _remote(folder: Path) -> Store:
    """A store that hides its local path, so that rows go the way of an object store."""
    return Store(fs.SubTreeFileSystem(str(folder), fs.LocalFileSystem()), "", "test://bucket")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(rows=st.integers(0, 100), world=st.integers(1, 12), remote=st.booleans())
def test_shards_cover_a_part_exactly_once_for_any_world_size(
    rows: int, world: int, remote: bool, tmp_path: Path
) -> None:
    store = Store.open(str(tmp_path))
    x = np.arange(rows * 6, dtype=np.float32).reshape(rows, 2, 3)
    write_array(store, x_file("train"), x)
    write_array(store, y_file("train"), np.arange(rows))
    info = _info(rows)
    shards = [read_split(_remote(tmp_path) if remote else store, info, "train", rank, world) for rank in range(world)]
    assert torch.equal(torch.cat([part for part, _ in shards]), torch.from_numpy(x))
    assert torch.cat([part for _, part in shards]).tolist() == list(range(rows))
    sizes = [len(part) for _, part in shards]
    assert max(sizes) - min(sizes) <= 1


def _info(rows: int) -> DataInfo:
    return DataInfo(task="regression", input_shape=(2, 3), outputs=1, rows={"train": rows}, content_hash="", digest="")


@pytest.mark.parametrize("remote", [False, True])
def test_a_shard_may_be_written_to_without_touching_the_file(remote: bool, tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    write_array(store, "a.npy", np.ones((4, 2), dtype=np.float32))
    rows = read_rows(_remote(tmp_path) if remote else store, "a.npy", 1, 3)
    rows += 1
    assert read_rows(store, "a.npy", 0, 4).tolist() == [[1.0, 1.0]] * 4


def test_arrays_are_plain_npy_files(store: Store) -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    write_array(store, "a.npy", array.T)
    folder = store.local_path()
    assert folder is not None
    assert np.array_equal(np.load(folder / "a.npy", allow_pickle=False), array.T)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda data: data[:-4], "does not hold the rows"),
        (lambda data: b"x" * len(data), "is no array of Headway"),
        (lambda data: data[:5], "is no array of Headway"),
    ],
)
def test_a_spoilt_array_is_a_storage_error(spoil: Any, told: str, store: Store) -> None:
    write_array(store, "a.npy", np.ones((4, 2), dtype=np.float32))
    store.write("a.npy", spoil(store.read("a.npy")))
    with pytest.raises(StorageError, match=told):
        read_rows(store, "a.npy", 0, 1)


def test_rows_that_are_not_there_are_a_storage_error(store: Store) -> None:
    write_array(store, "a.npy", np.ones((4, 2), dtype=np.float32))
    with pytest.raises(StorageError, match="holds 4 rows, so rows 2 to 5 cannot be read"):
        read_rows(store, "a.npy", 2, 5)
    with pytest.raises(ValueError, match="rank 3 is not in a world of 3"):
        read_split(store, _info(4), "train", 3, 3)


# What people are told.


def test_a_rare_class_is_noted(store: Store, tmp_path: Path) -> None:
    rows = ["a"] * 30 + ["b"] * 30 + ["rare"] * 2
    (tmp_path / "data.csv").write_text("n,y\n" + "".join(f"{index}.5,{name}\n" for index, name in enumerate(rows)))
    info = prepare(_spec({"uri": str(tmp_path / "data.csv")}, target="y"), seed=0, store=store)
    assert any("not stratified: class 'rare' has 2 rows" in note for note in info.notes)


def test_a_class_that_training_never_sees_is_noted(store: Store, tmp_path: Path) -> None:
    rows = ["a"] * 30 + ["b"] * 30 + ["rare"]
    (tmp_path / "data.csv").write_text("n,y\n" + "".join(f"{index}.5,{name}\n" for index, name in enumerate(rows)))
    split = {"train": 0.1, "validation": 0.4, "test": 0.5}
    notes = [
        prepare(_spec({"uri": str(tmp_path / "data.csv")}, target="y", split=split), seed=seed, store=store).warnings
        for seed in range(5)
    ]
    assert any("Class 'rare' has no row in the training part" in note for found in notes for note in found)


def test_stratify_never_is_taken_at_its_word_without_a_note(store: Store) -> None:
    split = {"train": 0.5, "validation": 0.2, "test": 0.3, "stratify": "never"}
    info = prepare(_builtin("iris", split=split), seed=0, store=store)
    assert not any("stratified" in note for note in info.notes)
    assert info.class_balance is not None
    assert len(set(info.class_balance["train"].values())) > 1


def test_parts_without_a_share_are_empty_and_can_be_read(store: Store) -> None:
    split = {"train": 1.0, "validation": 0.0, "test": 0.0}
    info = prepare(_builtin("iris", split=split), seed=0, store=store)
    x, y = read_split(store, info, "test", 1, 2)
    assert (x.shape, y.shape) == ((0, 4), (0,))


def test_too_few_rows_for_the_split_say_how_to_mend(store: Store, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("a,y\n1,0.5\n2,1.5\n")
    with pytest.raises(UserError, match=r"data\.split: 2 rows cannot be divided into 3 parts; give more rows"):
        prepare(_spec({"uri": str(tmp_path / "data.csv")}, target="y"), seed=0, store=store)


def test_tiny_data_is_prepared_with_a_row_in_each_part(store: Store, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("a,y\n1,0.5\n2,1.5\n3,0.7\n")
    info = prepare(_spec({"uri": str(tmp_path / "data.csv")}, target="y"), seed=0, store=store)
    assert info.rows == {"train": 1, "validation": 1, "test": 1}


def test_more_rows_than_the_memory_holds_are_refused_before_they_are_read(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data.csv").write_text("a,y\n" + "1,0\n" * 100_000)
    monkeypatch.setattr(memory_module, "available_bytes", lambda: 1_000_000)
    message = r"the 100,000 rows of .*data\.csv, even where .* takes about .* MiB of memory, but 1 MiB are left: raise"
    with pytest.raises(UserError, match=message):
        prepare(_spec({"uri": str(tmp_path / "data.csv")}, target="y"), seed=0, store=store)


def test_the_memory_that_is_left_is_known_on_this_machine() -> None:
    left = memory_module.available_bytes()
    assert left is not None
    assert left > 2**20


@pytest.mark.parametrize(
    ("limit", "left"),
    [("max", 4096 * 1024), ("3000000", 3_000_000 - 2_000_000 + 900_000), ("9000000", 4096 * 1024)],
)
def test_the_containers_limit_counts_without_the_pages_of_files(limit: str, left: int, tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:  8192 kB\nMemAvailable:  4096 kB\nHugePages_Total:  0\n")
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    (tmp_path / "memory.current").write_text("2000000\n")
    (tmp_path / "memory.stat").write_text("anon 1000000\nactive_file 400000\ninactive_file 500000\n")
    none = tmp_path / "none"
    assert memory_module.available_bytes(tmp_path / "meminfo", tmp_path, none) == left
    assert memory_module.available_bytes(none, none, none) is None


def test_a_volume_is_read_below_its_mount(store: Store, tmp_path: Path) -> None:
    (tmp_path / "volume" / "churn").mkdir(parents=True)
    (tmp_path / "volume" / "churn" / "1.csv").write_text("a,y\n" + "1,x\n2,z\n" * 10)
    spec = _spec({"persistentVolumeClaim": {"name": "lake", "path": "churn"}}, target="y")
    info = prepare(spec, seed=0, store=store, volume_dir=str(tmp_path / "volume"))
    assert info.classes == ["x", "z"]
    with pytest.raises(
        UserError, match=r"the volume lake is mounted in the pods of a cluster only.*set data\.source\.uri"
    ):
        prepare(spec, seed=1, store=store, volume_dir=str(tmp_path / "not mounted"))


def test_an_image_folder_is_classification_whatever_is_asked(store: Store, tmp_path: Path) -> None:
    from PIL import Image

    for index in range(12):
        folder = tmp_path / "images" / "ab"[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), index * 10).save(folder / f"{index}.png")
    info = prepare(_spec({"uri": str(tmp_path / "images")}), seed=0, store=store)
    assert (info.input_shape, info.classes, info.scaling.per) == ((1, 8, 8), ["a", "b"], "channel")
    with pytest.raises(UserError, match=r"is a class, but data\.task is regression"):
        prepare(_spec({"uri": str(tmp_path / "images")}, task="regression"), seed=0, store=store)


def test_several_targets_of_an_npz_are_kept(store: Store, tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=np.random.default_rng(0).normal(size=(50, 3)), y=np.arange(100.0).reshape(50, 2))
    info = prepare(_spec({"uri": str(tmp_path / "data.npz")}), seed=0, store=store)
    assert info.outputs == 2
    assert read_split(store, info, "train")[1].shape == (35, 2)


def test_two_npz_files_are_one_too_many(store: Store, tmp_path: Path) -> None:
    for name in ("a", "b"):
        np.savez(tmp_path / f"{name}.npz", x=np.zeros((4, 2)), y=np.zeros(4))
    with pytest.raises(UserError, match="holds 2 npz files: name one of them"):
        prepare(_spec({"uri": f"{tmp_path}/*.npz"}), seed=0, store=store)


def test_the_info_is_json_in_camel_case(store: Store) -> None:
    prepare(_builtin("wine"), seed=0, store=store)
    told = json.loads(store.read(INFO_FILE))["info"]
    assert {"inputShape", "classBalance", "contentHash", "featureNames"} <= set(told)
    assert len(told["contentHash"]) == 64
