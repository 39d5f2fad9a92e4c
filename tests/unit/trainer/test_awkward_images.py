"""Awkward folders of images: the right pixels and classes, a warning that names what is odd, or one sentence.

What is right was written down for each folder before it was tried; none may be wrong in silence.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from awkward_files import outcome_of
from headway_api.data import Data
from headway_trainer.data.content import ArrayContent
from headway_trainer.data.sources import load

SIZE = 8
CLASSES = ("cat", "dog")


def pixels(seed: int) -> Any:
    return np.random.default_rng(seed).integers(0, 255, (SIZE, SIZE, 3), dtype=np.uint8)


def image(seed: int = 0, mode: str = "RGB") -> Image.Image:
    return Image.fromarray(pixels(seed)).convert(mode)


def png(made: Image.Image, form: str = "png", **options: Any) -> bytes:
    buffer = io.BytesIO()
    made.save(buffer, form, **options)
    return buffer.getvalue()


def deep_png(channels: int) -> bytes:
    """A png of 16 bits a colour, which Pillow does not write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = np.random.default_rng(1).integers(0, 65535, (SIZE, SIZE * channels), dtype=np.uint16).astype(">u2")
    packed = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    header = struct.pack(">IIBBBBB", SIZE, SIZE, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def folder(tmp_path: Path, count: int = 20) -> Path:
    """Cats and dogs, half each, as png."""
    for index in range(count):
        put(tmp_path, f"{CLASSES[index % 2]}/{index:02}.png", png(image(index)))
    return tmp_path


def put(root: Path, name: str, data: bytes) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def grey_depth(root: Path, index: int) -> None:
    put(root, f"{CLASSES[index % 2]}/{index:02}.png", deep_png(1))


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return png(Image.fromarray(np.repeat(pixels(99), 2, axis=1)).resize((SIZE, SIZE)), "jpeg", exif=exif)


SAID: list[tuple[str, Callable[[Path], Any], int, list[str]]] = [
    ("nothing odd", Path.exists, 20, []),
    ("no image under such a name", lambda root: put(root, "cat/x.png", b"text"), 20, ["cat/x.png", "cannot be read"]),
    ("an image that was cut", lambda root: put(root, "cat/x.png", png(image(50))[:-60]), 20, ["cat/x.png"]),
    ("a jpeg under the name of png", lambda root: put(root, "cat/x.png", png(image(50), "jpeg")), 21, []),
    (
        "grey, two colours, palette",
        lambda root: [put(root, f"cat/{m}.png", png(image(50, m))) for m in ("L", "1", "P")],
        23,
        [],
    ),
    ("colours of print", lambda root: put(root, "cat/x.jpg", png(image(50, "CMYK"), "jpeg")), 21, []),
    (
        "transparency",
        lambda root: put(root, "cat/x.png", png(Image.fromarray(np.full((SIZE, SIZE, 4), 9, np.uint8)))),
        21,
        ["transparency"],
    ),
    (
        "transparency of a palette",
        lambda root: put(
            root, "cat/x.gif", png(image(50, "P"), "gif", transparency=int(np.asarray(image(50, "P"))[0, 0]))
        ),
        21,
        ["transparency"],
    ),
    ("16 bits a colour", lambda root: put(root, "cat/x.png", deep_png(3)), 21, ["16 bits a colour", "cat/x.png"]),
    (
        "16 bits a colour, transparent",
        lambda root: put(root, "cat/x.png", deep_png(4)),
        21,
        ["16 bits a colour", "transparency"],
    ),
    (
        "an animation",
        lambda root: put(root, "cat/x.gif", png(image(50), "gif", save_all=True, append_images=[image(51)])),
        21,
        ["only the first was read", "cat/x.gif"],
    ),
    (
        "pages",
        lambda root: put(root, "cat/x.tif", png(image(50), "tiff", save_all=True, append_images=[image(51)])),
        21,
        ["only the first was read"],
    ),
    (
        "another size",
        lambda root: put(root, "cat/x.png", png(image(50).resize((9, 5)))),
        21,
        ["resized to 8 x 8", "9 x 5"],
    ),
    (
        "files of systems and tools",
        lambda root: [
            put(root, name, b"junk")
            for name in (
                "cat/Thumbs.db",
                ".DS_Store",
                "cat/._00.png",
                "__MACOSX/cat/00.png",
                "desktop.ini",
                "dog/~$00.png",
            )
        ],
        20,
        [],
    ),
    ("folders in class folders", lambda root: put(root, "cat/more/of them/x.png", png(image(50))), 21, []),
    (
        "names with blanks, line breaks and other letters",
        lambda root: [
            put(root, f"cat/{name}.PNG", png(image(i + 50)))
            for i, name in enumerate(("a b", "a\nb", "ß猫🐈", "e\u0301"))
        ],
        24,
        [],
    ),
    ("a class folder with nothing in it", lambda root: (root / "owl").mkdir(), 20, ["'owl'", "no class"]),
    (
        "a class folder of files that are not read",
        lambda root: put(root, "owl/1.heic", b"heic"),
        20,
        ["'owl'", "no class"],
    ),
    (
        "class folders that differ in case",
        lambda root: [put(root, f"Cat/{i}.png", png(image(i + 50))) for i in range(4)],
        24,
        ["'Cat', 'cat'", "case"],
    ),
    (
        "an image in two classes",
        lambda root: put(root, "dog/x.png", (root / "cat/00.png").read_bytes()),
        21,
        ["several classes", "byte for byte"],
    ),
    ("a link to a class folder elsewhere", lambda root: linked(root, "owl"), 24, []),
    ("a link that leads back", lambda root: (root / "cat" / "back").symlink_to(root), 20, []),
]


def linked(root: Path, name: str) -> None:
    elsewhere = root.parent / "elsewhere"
    for index in range(4):
        put(elsewhere, f"{index}.png", png(image(index + 50)))
    (root / name).symlink_to(elsewhere)


@pytest.mark.parametrize(
    ("make", "rows", "words"), [pytest.param(*case, id=name.replace(" ", "-")) for name, *case in SAID]
)
def test_what_is_odd_in_a_folder_of_images_is_read_right_or_said(
    make: Callable[[Path], Any], rows: int, words: list[str], tmp_path: Path
) -> None:
    root = folder(tmp_path / "pets")
    make(root)
    got = outcome_of(root)
    assert not isinstance(got, str), got
    known, profile = got
    target, _ = known.learnt()
    assert profile.rows == rows
    assert [word for word in words if word not in " ".join(profile.warnings)] == [], profile.warnings
    assert words or profile.warnings == []
    more = sorted(path.name for path in root.iterdir() if path.name in ("owl", "Cat") and any(path.glob("*.png")))
    assert target.classes == sorted([*CLASSES, *more])


def divided(root: Path) -> None:
    for path in sorted(root.glob("*/*.png")):
        part = path.parent / ("test" if path.stem > "15" else "train")
        part.mkdir(exist_ok=True)
        path.rename(part / path.name)


REFUSED: list[tuple[str, Callable[[Path], Any], list[str]]] = [
    ("images in no class folder", lambda root: put(root, "x.png", png(image(50))), ["x.png", "class folder"]),
    ("many that are broken", lambda root: [put(root, f"cat/x{i}.png", b"text") for i in range(4)], ["can be read"]),
    ("one of 16 bits and grey", lambda root: put(root, "cat/x.png", deep_png(1)), ["16 bits", "one depth"]),
    (
        "pixels that are no colours",
        lambda root: put(root, "cat/x.tif", png(Image.fromarray(np.ones((8, 8), np.float32)), "tiff")),
        ["mode F", "convert"],
    ),
    (
        "a table of labels beside them",
        lambda root: put(root, "labels.csv", b"file,label\n"),
        ["formats csv, imageFolder"],
    ),
    (
        "a link to an image that is not there",
        lambda root: (root / "cat" / "x.png").symlink_to("/none/x.png"),
        ["cat/x.png is a link to a file or folder that is not there"],
    ),
    (
        "a link to a class folder that is not there",
        lambda root: (root / "owl").symlink_to("/none/owl"),
        ["owl is a link"],
    ),
    (
        "a link to itself",
        lambda root: (root / "cat" / "self").symlink_to(root / "cat" / "self"),
        ["cat/self is a link"],
    ),
    ("parts below the classes", divided, ["test and train", "parts stand above classes"]),
]


@pytest.mark.parametrize(("make", "words"), [pytest.param(*case, id=name.replace(" ", "-")) for name, *case in REFUSED])
def test_a_folder_that_may_be_meant_otherwise_is_refused(
    make: Callable[[Path], Any], words: list[str], tmp_path: Path
) -> None:
    root = folder(tmp_path / "pets")
    make(root)
    got = outcome_of(root)
    assert isinstance(got, str)
    assert [word for word in words if word not in got] == [], got


def test_images_are_turned_as_their_camera_says(tmp_path: Path) -> None:
    upright = np.zeros((SIZE, SIZE, 3), np.uint8)
    upright[0] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held so that the image has to be turned clockwise
    lying = Image.fromarray(np.rot90(upright).copy())
    put(tmp_path, "cat/0.png", png(lying, exif=exif))
    put(tmp_path, "dog/0.png", png(image(1)))
    put(tmp_path, "dog/1.png", png(image(2)))
    put(tmp_path, "cat/1.png", png(image(3)))
    content = load(Data.model_validate({"source": {"uri": str(tmp_path)}}), volume_dir="", secret_dir="")
    assert isinstance(content, ArrayContent)
    assert np.array_equal(content.x[0], np.moveaxis(upright, -1, 0))


def test_images_of_16_bits_and_grey_keep_them(tmp_path: Path) -> None:
    for index in range(20):
        grey_depth(tmp_path, index)
    got = outcome_of(tmp_path)
    assert not isinstance(got, str), got
    assert float(got[0].schema.columns[0].stats.max or 0) > 255


def test_parts_above_the_classes_are_parts_and_an_empty_class_of_one_is_said(tmp_path: Path) -> None:
    for part in ("train", "val"):
        folder(tmp_path / part)
    (tmp_path / "val" / "owl").mkdir()
    got = outcome_of(tmp_path)
    assert not isinstance(got, str), got
    assert got[0].learnt()[0].classes == list(CLASSES)
    assert any("'owl'" in warning for warning in got[1].warnings)


@pytest.mark.parametrize("name", [b"cat/\xe9.png", b"\xff/x.png"])
def test_a_name_that_is_no_text_is_refused(name: bytes, tmp_path: Path) -> None:
    root = folder(tmp_path / "pets")
    put(root, os.fsdecode(name), png(image(50)))
    got = outcome_of(root)
    assert isinstance(got, str)
    assert "no UTF-8" in got
