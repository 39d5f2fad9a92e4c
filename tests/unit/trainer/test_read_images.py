"""Awkward images and arrays: what is not in the rows is said, and what is uncertain is refused with what to write."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from headway_api.data import Data
from headway_trainer.data.content import ArrayContent
from headway_trainer.data.sources import load
from headway_trainer.errors import UserError


def _load(path: Path, **fields: Any) -> ArrayContent:
    spec = Data.model_validate({"source": {"uri": str(path)}, **fields})
    content = load(spec, volume_dir="/none", secret_dir="/none")  # noqa: S106 - a folder
    assert isinstance(content, ArrayContent)
    return content


def _image(path: Path, seed: int, size: tuple[int, int] = (8, 8), mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = size
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)


def _folder(tmp_path: Path, count: int = 10) -> Path:
    for index in range(count):
        _image(tmp_path / "ab"[index % 2] / f"{index}.png", index)
    return tmp_path


@pytest.mark.parametrize("data", [b"", b"no image at all", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_one_broken_image_is_left_out_and_said(data: bytes, tmp_path: Path) -> None:
    (_folder(tmp_path) / "a" / "broken.png").write_bytes(data)
    content = _load(tmp_path)
    assert len(content.x) == len(content.y) == 10
    assert content.read.files_left_out == 1
    (warning,) = content.warnings
    assert warning.startswith("Left out, as it cannot be read: ")
    assert "a/broken.png (" in warning


def test_an_image_that_was_cut_short_is_left_out_and_said(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(buffer, "png")
    (_folder(tmp_path) / "b" / "cut.png").write_bytes(buffer.getvalue()[:200])
    content = _load(tmp_path)
    assert len(content.x) == 10
    assert "b/cut.png" in content.warnings[0]


def test_many_broken_images_end_the_job(tmp_path: Path) -> None:
    for name in ("1", "2"):
        (_folder(tmp_path) / "a" / f"broken{name}.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"broken1\.png .*broken2\.png .* are no images that can be read"):
        _load(tmp_path)


def test_a_class_that_loses_its_only_image_is_said(tmp_path: Path) -> None:
    (_folder(tmp_path) / "c").mkdir()
    (tmp_path / "c" / "only.png").write_bytes(b"broken")
    content = _load(tmp_path)
    assert content.class_names == ["a", "b"]
    assert "The class 'c' has lost all its images thereby." in content.warnings


def test_images_of_another_size_are_resized_to_the_most_common_one_and_said(tmp_path: Path) -> None:
    _image(_folder(tmp_path) / "a" / "large.png", 99, (16, 24))
    content = _load(tmp_path)
    assert content.x.shape == (11, 3, 8, 8)
    (warning,) = content.warnings
    assert "1 of 11 images were resized to 8 x 8 pixels" in warning
    assert "a/large.png, for example, is 16 x 24" in warning


def test_a_resized_image_keeps_its_colour(tmp_path: Path) -> None:
    _folder(tmp_path)
    Image.new("RGB", (31, 17), (10, 20, 30)).save(tmp_path / "a" / "even.png")
    content = _load(tmp_path)
    even = [row for row in content.x if row[0].max() == 10 and row[0].min() == 10]
    assert len(even) == 1
    assert even[0].reshape(3, -1).tolist() == [[10] * 64, [20] * 64, [30] * 64]


def test_pages_and_frames_beyond_the_first_are_said(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), (index, 0, 0)) for index in range(3)]
    for name in ("pages.tif", "frames.gif"):
        frames[0].save(_folder(tmp_path) / "a" / name, save_all=True, append_images=frames[1:])
    (warning,) = _load(tmp_path).warnings
    assert "2 files have several pages or frames, of which only the first was read" in warning


def test_transparency_that_is_dropped_is_said_and_opaque_images_are_not(tmp_path: Path) -> None:
    Image.new("RGBA", (8, 8), (1, 2, 3, 255)).save(_folder(tmp_path) / "a" / "opaque.png")
    assert _load(tmp_path).warnings == []
    Image.new("RGBA", (8, 8), (1, 2, 3, 100)).save(tmp_path / "a" / "clear.png")
    (warning,) = _load(tmp_path).warnings
    assert "The transparency of 1 images was dropped" in warning


def test_images_of_16_bits_keep_all_of_them(tmp_path: Path) -> None:
    for index in range(4):
        path = tmp_path / "ab"[index % 2] / f"{index}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((4, 4), 1000 * index + 7, np.uint16)).save(path)
    content = _load(tmp_path)
    assert content.x.dtype == np.uint16
    assert sorted(content.x[:, 0, 0, 0].tolist()) == [7, 1007, 2007, 3007]


def test_folders_named_as_parts_are_parts_with_the_classes_in_them(tmp_path: Path) -> None:
    for part, count in (("train", 3), ("val", 2), ("test", 1)):
        for name in "ab":
            for index in range(count):
                _image(tmp_path / part / name / f"{index}.png", 100 * len(part) + 10 * ord(name) + index)
    content = _load(tmp_path)
    assert content.class_names == ["a", "b"]
    assert content.parts is not None
    assert [int((content.parts == part).sum()) for part in range(3)] == [6, 4, 2]


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    for name in ("bus", "train"):
        _image(tmp_path / name / "1.png", 1)
    content = _load(tmp_path)
    assert content.class_names == ["bus", "train"]
    assert content.parts is None


def test_the_same_image_in_two_classes_or_two_parts_is_said(tmp_path: Path) -> None:
    for name in ("a", "b"):
        _image(_folder(tmp_path / "classes") / name / "same.png", 7777)
    assert any("1 images stand in several classes" in warning for warning in _load(tmp_path / "classes").warnings)
    for part in ("train", "test"):
        _image(_folder(tmp_path / "parts" / part, 4) / "a" / "same.png", 7777)
    assert any("images stand in several parts" in warning for warning in _load(tmp_path / "parts").warnings)


def test_labels_in_a_table_beside_images_are_not_passed_over(tmp_path: Path) -> None:
    (_folder(tmp_path) / "labels.csv").write_text("file,label\n")
    with pytest.raises(UserError, match=r"a table of labels beside images is named in data\.source\.labels"):
        _load(tmp_path)


# Arrays.


def _npz(tmp_path: Path, x: Any) -> Path:
    np.savez(tmp_path / "data.npz", x=x, y=np.arange(len(x)) % 2)
    return tmp_path / "data.npz"


@pytest.mark.parametrize(
    ("shape", "kind", "expected"),
    [
        ((5, 50, 6), "series", (5, 50, 6)),
        ((5, 50, 6), "image", (5, 1, 50, 6)),
        ((5, 4, 32, 3), "image", (5, 4, 32, 3)),
        ((5, 8, 8), "series", (5, 8, 8)),
    ],
)
def test_what_the_axes_mean_can_be_given(
    shape: tuple[int, ...], kind: str, expected: tuple[int, ...], tmp_path: Path
) -> None:
    content = _load(_npz(tmp_path, np.zeros(shape)), columns={"x": {"kind": kind}})
    assert content.x.shape == expected
    assert content.warnings == []


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        ((5, 50, 6), r"may be images \(rows, height, width\) or series .*\{x: \{kind: image\}\}"),
        ((5, 4, 32, 3), "may have its channels first or last"),
        ((5, 8, 8, 8), "may have its channels first or last"),
    ],
)
def test_arrays_that_may_be_one_or_the_other_are_refused(shape: tuple[int, ...], told: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=told):
        _load(_npz(tmp_path, np.zeros(shape)))


def test_an_npz_file_a_part_is_read_as_parts(tmp_path: Path) -> None:
    for name, rows in (("train", 4), ("test", 2)):
        np.savez(tmp_path / f"{name}.npz", x=np.ones((rows, 3)), y=np.arange(rows) % 2)
    content = _load(tmp_path)
    assert content.x.shape == (6, 3)
    assert content.parts is not None
    assert sorted(content.parts.tolist()) == [0, 0, 0, 0, 2, 2]
