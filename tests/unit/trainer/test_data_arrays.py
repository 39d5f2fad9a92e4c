"""Arrays: the built-in sets, .npz files and image folders; and what a target becomes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn import datasets

from headway_api.columns import Column
from headway_trainer.data.content import ArrayContent
from headway_trainer.data.encode import check_array
from headway_trainer.data.read.builtin import load_builtin
from headway_trainer.data.read.files import SourceFiles, find_files
from headway_trainer.data.read.images import load_images
from headway_trainer.data.read.npz import load_npz
from headway_trainer.data.targets import encode
from headway_trainer.data.transform import ArrayChain
from headway_trainer.errors import UserError


def test_digits_are_what_scikit_learn_gives() -> None:
    content, theirs = load_builtin("digits"), datasets.load_digits()
    assert np.array_equal(content.x[:, 0], theirs.images)
    assert np.array_equal(content.y, theirs.target)
    assert (content.x.dtype, content.y.dtype) == (theirs.images.dtype, theirs.target.dtype)


@pytest.mark.parametrize(
    ("name", "rows", "shape", "classes"),
    [
        ("digits", 1797, (1, 8, 8), [str(digit) for digit in range(10)]),
        ("wine", 178, (13,), ["class_0", "class_1", "class_2"]),
        ("iris", 150, (4,), ["setosa", "versicolor", "virginica"]),
        ("breast_cancer", 569, (30,), ["malignant", "benign"]),
        ("diabetes", 442, (10,), None),
    ],
)
def test_each_builtin_set_has_its_rows_shape_and_names(
    name: str, rows: int, shape: tuple[int, ...], classes: list[str] | None
) -> None:
    content = load_builtin(name)
    target = encode(content.y, None, content.target, content.class_names)
    assert content.x.shape == (rows, *shape)
    assert target.classes == classes
    assert target.task == ("regression" if classes is None else "classification")
    assert target.warnings == ()
    assert (content.feature_names is None) == (name == "digits")


def test_builtin_rows_are_those_of_scikit_learn_and_hash_the_same_each_time() -> None:
    digits = datasets.load_digits()
    content = load_builtin("digits")
    assert np.array_equal(content.x[:, 0], digits.images)
    assert content.content_hash == load_builtin("digits").content_hash
    assert content.content_hash != load_builtin("wine").content_hash


# .npz


def _npz(tmp_path: Path, **arrays: Any) -> SourceFiles:
    np.savez(tmp_path / "data.npz", **arrays)
    return find_files(str(tmp_path / "data.npz"), None, None)


def test_npz_takes_x_and_y(tmp_path: Path) -> None:
    content = load_npz(_npz(tmp_path, x=np.eye(4), y=np.arange(4), more=np.zeros(2)))
    assert np.array_equal(content.x, np.eye(4))
    assert np.array_equal(content.y, np.arange(4))


def test_an_array_that_is_ignored_counts_as_not_there(tmp_path: Path) -> None:
    files = _npz(tmp_path, pixels=np.eye(4), ids=np.arange(4), y=np.arange(4))
    assert load_npz(files, "y", {"ids": Column(role="ignore")}).x.shape == (4, 4)
    assert load_npz(files, "y", {"pixels": Column(role="feature")}).x.shape == (4, 4)
    with pytest.raises(UserError, match="must have one array of features"):
        load_npz(files)


def test_columns_that_name_no_array_are_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"names the array 'pixel', but .* has pixels, y: correct the name"):
        load_npz(_npz(tmp_path, pixels=np.eye(4), y=np.arange(4)), "y", {"pixel": Column(kind="image")})


def test_npz_takes_the_named_target_and_the_only_other_array(tmp_path: Path) -> None:
    content = load_npz(_npz(tmp_path, pixels=np.eye(4), label=np.array(["a", "b", "a", "b"])), "label")
    assert np.array_equal(content.x, np.eye(4))
    assert content.y.tolist() == ["a", "b", "a", "b"]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((5, 6, 6), (5, 1, 6, 6)),
        ((5, 6, 7, 3), (5, 3, 6, 7)),
        ((5, 3, 6, 7), (5, 3, 6, 7)),
        ((5, 8, 6, 6), (5, 8, 6, 6)),
        ((5, 16, 16, 8), (5, 8, 16, 16)),
        ((5, 2, 6, 7, 8), (5, 2, 6, 7, 8)),
    ],
)
def test_npz_images_become_channels_first(shape: tuple[int, ...], expected: tuple[int, ...], tmp_path: Path) -> None:
    content = load_npz(_npz(tmp_path, x=np.zeros(shape), y=np.zeros(5)))
    assert content.x.shape == expected
    assert bool(content.warnings) == (shape != expected)


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"x": np.zeros((2, 2))}, r"has no array 'y', but x: set data\.target"),
        ({"y": np.zeros(2)}, "must have one array of features beside 'y'"),
        ({"a": np.zeros((2, 2)), "b": np.zeros((2, 2)), "y": np.zeros(2)}, "but has a, b"),
        ({"x": np.zeros((3, 2)), "y": np.zeros(2)}, "'x' has 3 rows and 'y' has 2"),
        ({"x": np.zeros(2), "y": np.zeros(2)}, "it must be rows by features"),
        ({"x": np.array([["a"], ["b"]]), "y": np.zeros(2)}, "features must be numbers"),
        ({"x": np.zeros((2, 2)), "y": np.array([1j, 2j])}, "must be numbers or text"),
        ({"x": np.zeros((0, 2)), "y": np.zeros(0)}, "has no rows or no features"),
    ],
)
def test_npz_arrays_that_do_not_fit_are_named(arrays: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=told):
        load_npz(_npz(tmp_path, **arrays))


def test_npz_with_python_objects_is_refused_and_nothing_in_it_runs(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    with pytest.raises(UserError, match="with numbers, booleans or fixed-width text and no Python objects"):
        load_npz(_npz(tmp_path, x=np.array([[Trap()]], dtype=object), y=np.zeros(1)))
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("data", [b"", b"no zip file", b"PK\x03\x04 cut short"])
def test_a_file_that_is_no_npz_is_refused_by_name(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "data.npz").write_bytes(data)
    with pytest.raises(UserError, match=r"data\.npz is no \.npz file of plain arrays"):
        load_npz(find_files(str(tmp_path / "data.npz"), None, None))


def test_nan_in_features_becomes_the_median_of_the_training_rows() -> None:
    x = np.array([[1.0, np.nan], [3.0, np.nan], [np.nan, 9.0]])
    filled = ArrayChain.fit("x", x, np.array([0, 1]), "none").apply(x)
    assert filled.tolist() == [[1, 0], [3, 0], [2, 9]]
    assert check_array(x) == ["3 empty values of features were replaced by the median of the training part."]


@pytest.mark.parametrize(
    ("x", "told"),
    [
        (np.array([[1.0], [np.inf]]), "a number beyond 1e\\+30 in row 2"),
        (np.full((3, 1, 2, 2), np.nan), "NaN in row 1: images must be complete"),
    ],
)
def test_features_that_no_median_can_mend_are_refused(x: np.ndarray[Any, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        check_array(x)


# Images


def _image(path: Path, mode: str = "L", size: tuple[int, int] = (6, 4), colour: Any = 7) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)


def _images(tmp_path: Path) -> ArrayContent:
    return load_images(find_files(str(tmp_path), "imageFolder", None))


def test_an_image_folder_has_one_class_a_folder(tmp_path: Path) -> None:
    _image(tmp_path / "dog" / "1.png", colour=20)
    _image(tmp_path / "cat" / "1.png", colour=10)
    _image(tmp_path / "cat" / "more" / "2.bmp", colour=30)
    content = _images(tmp_path)
    target = encode(np.repeat(content.y, 2), None, content.target, content.class_names)
    assert content.x.shape == (3, 1, 4, 6)
    assert content.x[:, 0, 0, 0].tolist() == [10, 30, 20]
    assert content.y.tolist() == [0, 0, 1]
    assert target.classes == ["cat", "dog"]
    assert content.classes_only


def test_the_format_of_an_image_folder_is_told_from_its_files(tmp_path: Path) -> None:
    _image(tmp_path / "cat" / "1.png")
    assert find_files(str(tmp_path), None, None).format == "imageFolder"


def test_one_colour_image_makes_all_of_them_red_green_and_blue(tmp_path: Path) -> None:
    _image(tmp_path / "a" / "grey.png", colour=50)
    _image(tmp_path / "a" / "colour.png", "RGB", colour=(1, 2, 3))
    _image(tmp_path / "b" / "palette.gif", "P", colour=0)
    _image(tmp_path / "b" / "alpha.png", "RGBA", colour=(4, 5, 6, 128))
    x = _images(tmp_path).x
    assert x.shape == (4, 3, 4, 6)
    assert x[:2, :, 0, 0].tolist() == [[1, 2, 3], [50, 50, 50]]
    assert x[2, :, 0, 0].tolist() == [4, 5, 6]


def test_a_photo_that_was_turned_is_read_upright(tmp_path: Path) -> None:
    image = Image.new("L", (6, 4))
    exif = image.getexif()
    exif[0x0112] = 6
    (tmp_path / "a").mkdir()
    image.save(tmp_path / "a" / "1.jpg", exif=exif)
    assert _images(tmp_path).x.shape == (1, 1, 6, 4)


def test_the_image_hash_depends_on_names_and_bytes_alone(tmp_path: Path) -> None:
    for folder in ("one", "two", "three"):
        _image(tmp_path / folder / "a" / "1.png", colour=3 if folder == "three" else 2)
    hashes = [_images(tmp_path / folder).content_hash for folder in ("one", "two", "three")]
    assert hashes[0] == hashes[1] != hashes[2]


def test_files_that_are_no_images_are_left_out_and_noted(tmp_path: Path) -> None:
    _image(tmp_path / "a" / "1.png")
    (tmp_path / "a" / "notes.txt").write_text("hello")
    content = _images(tmp_path)
    assert len(content.x) == 1
    assert content.notes == [f"1 files in {tmp_path} that are no images were left out."]


def _break_place(folder: Path) -> None:
    _image(folder / "loose.png")


def _break_depth(folder: Path) -> None:
    _image(folder / "a" / "2.png", "I;16", colour=1000)


def _break_mode(folder: Path) -> None:
    _image(folder / "a" / "2.tif", "F", colour=0.5)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (_break_place, r"loose\.png lies in no class folder"),
        (_break_depth, r"a/2\.png has 16 bits a pixel, but other images in .* have 8"),
        (_break_mode, r"a/2\.tif has pixels of the mode F: convert it"),
    ],
)
def test_an_image_that_does_not_fit_is_named(spoil: Any, told: str, tmp_path: Path) -> None:
    _image(tmp_path / "a" / "1.png")
    spoil(tmp_path)
    with pytest.raises(UserError, match=told):
        _images(tmp_path)


def test_an_image_that_unpacks_to_far_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _image(tmp_path / "a" / "1.png", size=(100, 100))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(UserError, match=r"1\.png \(.*\) is no image that can be read"):
        _images(tmp_path)
