"""Labels in a table beside images: which row is whose, what is left out, and what stands in no row or no folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from headway_api.data import Data
from headway_trainer.data import DataInfo, prepare, read_split
from headway_trainer.data.content import ArrayContent
from headway_trainer.data.preparation import source_changes
from headway_trainer.data.shards import read_weights
from headway_trainer.data.sources import load
from headway_trainer.errors import UserError
from headway_trainer.storage import Store


def _images(folder: Path, names: list[str]) -> Path:
    """Grey images, of which each has its number for a colour."""
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4), number + 1).save(path)
    return folder


def _spec(folder: Path, *, target: str = "label", column: str | None = None, **fields: Any) -> Data:
    labels = {"file": "labels.csv"} | ({} if column is None else {"imageColumn": column})
    return Data.model_validate({"source": {"uri": str(folder), "labels": labels}, "target": target, **fields})


def _load(spec: Data) -> ArrayContent:
    content = load(spec, volume_dir="/none", secret_dir="/none")  # noqa: S106 - a folder
    assert isinstance(content, ArrayContent)
    return content


def _labels(content: ArrayContent, name: str = "label") -> dict[int, Any]:
    """The label of each image, by the number that its colour is."""
    assert content.beside is not None
    values = content.beside.table[name].to_pylist()
    return dict(zip((content.x[:, 0, 0, 0] - 1).tolist(), values, strict=True))


NAMES = ["a.png", "cats/b.png", "cats/old/c.jpg", "dogs/b.png"]


@pytest.mark.parametrize(
    "written",
    [
        ["a.png", "cats/b.png", "c.jpg", "dogs/b.png"],
        ["./a.png", "cats\\b.png", "cats/old/c.jpg", "dogs/b.png"],
        ["a", "cats/b", "old/c", "dogs/b"],
        ["shots/a.png", "shots/cats/b.png", "shots/cats/old/c.jpg", "shots/dogs/b.png"],
    ],
    ids=["names", "as a camera or Windows writes them", "without endings", "with the folder"],
)
def test_a_row_names_its_image_by_the_end_of_its_path(written: list[str], tmp_path: Path) -> None:
    folder = _images(tmp_path / "shots", NAMES)
    rows = [f"{name},l{number}" for number, name in enumerate(written)]
    (folder / "labels.csv").write_text("\n".join(["image,label", *reversed(rows)]) + "\n")
    content = _load(_spec(folder))
    # Colours of a JPEG are near what they were.
    assert _labels(content) == {number: f"l{number}" for number in range(4)}
    assert any("column 'image' of" in note for note in content.notes)
    assert not any("no images" in note for note in content.notes)
    assert content.warnings == []


def test_numbers_name_images_and_codes_keep_their_zeros(tmp_path: Path) -> None:
    folder = _images(tmp_path, ["007.png", "008.png", "7.png"])
    (folder / "labels.csv").write_text("id,label\n007,x\n008,y\n7,z\n")
    assert _labels(_load(_spec(folder, column="id"))) == {0: "x", 1: "y", 2: "z"}


@pytest.mark.parametrize(
    ("text", "fields", "words"),
    [
        ("file,label\nb.png,x\n", {}, "'file' is 'b.png' in row 1 of .*, which may be .*cats/b.png or .*dogs/b.png"),
        ("file,label\na.png,x\na.png,y\n", {}, "a.png has two rows: 'label' is 'x' in row 1 .* and 'y' in row 2"),
        ("file,label\na.png,x\n", {}, r"3 of 4 images have no row in .*labels.csv: .*cats/b.png, .*; label them"),
        (
            "file,label\nz.png,x\n",
            {},
            "no column of .*labels.csv names an image, as .*a.png is one; looked at were 'file'",
        ),
        (
            "file,label\na.png,x\nq.png,x\nr.png,y\n",
            {},
            "2 of 3 rows of labels name no image: 'file' is 'q.png' in row 2",
        ),
        (
            "one,two,label\na.png,a.png,x\n",
            {},
            "the columns 'one', 'two' of .* name as many images each: write the one",
        ),
        ("file,kind\na.png,x\n", {}, "data.target: .*labels.csv has no column 'label', it has 'file', 'kind'"),
        (
            "file,label\na.png,x\n",
            {"column": "files"},
            "labels.imageColumn: .* has no column 'files': it has 'file', 'lab",
        ),
        ("file,label\na.png,x\n", {"columns": {"w": {"role": "weight"}}}, "data.columns: .* has no column 'w'"),
    ],
)
def test_rows_and_images_that_are_not_each_others_are_told_with_the_way_out(
    text: str, fields: dict[str, Any], words: str, tmp_path: Path
) -> None:
    folder = _images(tmp_path, NAMES)
    (folder / "labels.csv").write_text(text)
    with pytest.raises(UserError, match=words):
        _load(_spec(folder, **fields))


def test_labels_that_are_not_there_are_told_with_the_place(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"labels.file: there is no labels.csv in .*: correct its path, which is one below"
    ):
        _load(_spec(_images(tmp_path, NAMES)))


def test_what_is_left_out_is_told_by_its_name(tmp_path: Path) -> None:
    folder = _images(tmp_path, NAMES)
    (folder / "labels.csv").write_text("file,label,by\na.png,x,me\ncats/b.png,y,me\nz.png,x,me\na.png,x,you\n")
    content = _load(_spec(folder, missingTargets="drop"))
    assert _labels(content) == {0: "x", 1: "y"}
    stray, again, missing = content.warnings
    assert stray.startswith("Left out, as there is no such image: 'z.png' in row 3 of")
    assert again.startswith("1 rows say again what another one says of the same image")
    assert missing.startswith("2 of 4 images have no row in")
    assert "cats/old/c.jpg, " in missing
    assert any("nothing beside them: 'by'." in note for note in content.notes)


def test_a_broken_image_takes_its_row_with_it(tmp_path: Path) -> None:
    folder = _images(tmp_path, [f"{number}.png" for number in range(6)])
    (folder / "2.png").write_bytes(b"no image")
    (folder / "labels.csv").write_text("file,label\n" + "".join(f"{one}.png,l{one}\n" for one in range(6)))
    content = _load(_spec(folder))
    assert _labels(content) == {one: f"l{one}" for one in range(6) if one != 2}
    assert content.beside is not None
    assert content.beside.where(2).startswith("row 4 of")


@pytest.mark.parametrize("whole", [True, False], ids=["one table for all", "one for each part"])
def test_parts_have_labels_of_their_own_or_share_them(whole: bool, tmp_path: Path) -> None:
    _images(tmp_path / "train", ["1.png", "2.png"])
    _images(tmp_path / "test", ["1.png"])
    if whole:
        text = "file,label\ntrain/1.png,a\ntrain/2.png,b\ntest/1.png,c\n"
        (tmp_path / "labels.csv").write_text(text)
    else:
        (tmp_path / "train/labels.csv").write_text("file,label\n1.png,a\n2.png,b\n")
        (tmp_path / "test/labels.csv").write_text("file,label\n1.png,c\n")
    source = {
        "parts": {"train": str(tmp_path / "train"), "test": str(tmp_path / "test")},
        "labels": {"file": str(tmp_path / "labels.csv") if whole else "labels.csv"},
    }
    content = _load(Data.model_validate({"source": source, "target": "label"}))
    assert content.beside is not None
    assert content.beside.table["label"].to_pylist() == ["a", "b", "c"]
    assert content.parts is not None
    assert content.parts.tolist() == [0, 0, 2]


def test_folders_that_are_parts_are_so_with_labels_beside_them(tmp_path: Path) -> None:
    folder = _images(tmp_path, ["train/1.png", "train/2.png", "test/1.png"])
    (folder / "labels.csv").write_text("file,label\ntrain/1.png,a\ntrain/2.png,b\ntest/1.png,c\n")
    content = _load(_spec(folder))
    assert content.parts is not None
    assert content.beside is not None
    by_part = dict(zip(content.beside.table["label"].to_pylist(), content.parts.tolist(), strict=True))
    assert by_part == {"a": 0, "b": 0, "c": 2}


# Prepared.


def _prepared(tmp_path: Path, header: str, row: Any, count: int = 40, **fields: Any) -> tuple[DataInfo, Store]:
    folder = _images(tmp_path / "images", [f"{number:02}.png" for number in range(count)])
    rows = "".join(f"{number:02}.png,{row(number)}\n" for number in range(count))
    (folder / "labels.csv").write_text(f"file,{header}\n{rows}")
    store = Store.open(str(tmp_path / "run"))
    labels = {"source": {"uri": str(folder), "labels": {"file": "labels.csv"}}}
    return prepare(Data.model_validate(labels | fields), seed=0, store=store), store


def test_classes_are_kept_in_equal_shares_and_labels_stay_with_their_images(tmp_path: Path) -> None:
    info, store = _prepared(tmp_path, "label", lambda number: "ab"[number % 4 == 0], target="label")
    assert (info.task, info.classes, info.input_shape) == ("classification", ["a", "b"], (1, 4, 4))
    assert info.class_balance == {
        "train": {"a": 21, "b": 7}, "validation": {"a": 6, "b": 2}, "test": {"a": 3, "b": 1},
    }  # fmt: skip
    for part in ("train", "validation", "test"):
        x, y = read_split(store, info, part)
        assert [int(number - 1) % 4 == 0 for number in x[:, 0, 0, 0].tolist()] == y.bool().tolist()
    columns = {column.name: column for column in info.profile.columns}
    assert columns["x"].kind == "image"
    assert (columns["label"].role, columns["label"].done) == ("target", "predicted")


def test_several_numbers_are_learnt_each_with_its_weight_and_its_group_in_one_part(tmp_path: Path) -> None:
    columns = {"w": {"role": "weight"}, "camera": {"role": "group"}}
    info, store = _prepared(
        tmp_path, "age,size,w,camera", lambda number: f"{number}.5,{100 * number},{1 + number % 2},c{number // 4}",
        targets=["age", "size"], columns=columns,
    )  # fmt: skip
    assert (info.task, info.outputs, info.target_names) == ("regression", 2, ["age", "size"])
    x, y = read_split(store, info, "train")
    age = y.double()[:, 0].numpy() * info.target_std[0] + info.target_mean[0]
    numbers = x[:, 0, 0, 0].numpy() - 1.0
    assert np.allclose(age, numbers + 0.5, atol=1e-4)
    weights = read_weights(store, info, "train")
    assert weights is not None
    assert np.allclose(weights.numpy() / weights.numpy().min(), 1 + numbers % 2)
    groups = [{int(one - 1) // 4 for one in read_split(store, info, part)[0][:, 0, 0, 0]} for part in ("train", "test")]
    assert not groups[0] & groups[1]


def test_images_without_a_label_in_their_row_are_left_out_where_the_job_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the target column 'label' is empty in 1 of 40 rows, first in row 4 of"):
        _prepared(tmp_path, "label", lambda number: "" if number == 3 else "ab"[number % 2], target="label")
    info, store = _prepared(
        tmp_path, "label", lambda number: "" if number == 3 else "ab"[number % 2], target="label", missingTargets="drop"
    )
    assert sum(info.rows.values()) == 39
    x, y = read_split(store, info, "train")
    assert [int(number - 1) % 2 for number in x[:, 0, 0, 0].tolist()] == y.tolist()


def test_a_label_that_changes_is_a_change_of_the_source(tmp_path: Path) -> None:
    info, store = _prepared(tmp_path, "label", lambda number: "ab"[number % 2], target="label")
    labels = tmp_path / "images/labels.csv"
    spec = _spec(tmp_path / "images")
    assert source_changes(spec, seed=0, store=store) is None
    labels.write_text(labels.read_text().replace("01.png,b", "01.png,a"))
    assert "labels.csv: other content of the same size" in str(source_changes(spec, seed=0, store=store))
    (tmp_path / "again").mkdir()
    again = prepare(spec, seed=0, store=Store.open(str(tmp_path / "again")))
    assert again.content_hash != info.content_hash
