"""Reads a folder of images with one folder a class, or one a part and in it one a class."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from headway_api.wording import listed
from headway_trainer.data.content import ArrayContent, Parts, ReadFacts, TableContent
from headway_trainer.data.read.files import SourceFile, SourceFiles, is_data
from headway_trainer.data.read.memory import array_scratch
from headway_trainer.data.read.parts import NAMES, below_part, part_of
from headway_trainer.data.read.picture import Picture, Unreadable, decode, resized
from headway_trainer.data.scratch import MEMORY, Scratch
from headway_trainer.errors import UserError

_READERS = 8
"""Files read at the same time: an object store takes long for each, but answers many at once."""
MOST_BROKEN = 0.05
"""The share of files that may be no readable images, and one in any case."""
_SHOWN = 3
_GIVEN_BACK = 0.7
"""The share of the decoded images whose memory is used again for those that are put together."""


@dataclass(frozen=True)
class _Image:
    file: SourceFile
    label: str
    picture: Picture


def load_images(files: SourceFiles, *, labelled: bool = True, beside: TableContent | None = None) -> ArrayContent:
    """The images as (rows, channels, height, width): one channel if all are grey, otherwise red, green and blue.

    They are uint8, or uint16 where all are 16-bit grey. The class is the name of the folder right below the source, or
    below the part's folder; where images are not to be labelled, their folders mean nothing. beside: a row for each
    file, which has the labels in place of the folders. Few broken files are left out; images of other sizes than the
    most are resized; both are warnings. Raises UserError, naming the file; StorageError.
    """
    by_folder = labelled and beside is None
    labels = [_class_of(file, files.uri) if by_folder else "" for file in files.files]
    if by_folder:
        _refuse_parts_below(files)
    with ThreadPoolExecutor(_READERS) as pool:
        # One tells how large the others are likely to be, before all are read.
        first, scratch = _decoded(files.files[0]), MEMORY
        if isinstance(first, Picture):
            # Each image is there as it was decoded, and once more among all.
            size = len(files.files) * first.pixels.nbytes * 3 // first.pixels.shape[2]
            scratch = array_scratch(2 * size, len(files.files), files.uri, int(_GIVEN_BACK * size))
        decoded = list(pool.map(partial(_decoded, scratch=scratch), files.files))
    images = [
        _Image(file, label, picture)
        for file, label, picture in zip(files.files, labels, decoded, strict=True)
        if isinstance(picture, Picture)
    ]
    kept = np.array([row for row, picture in enumerate(decoded) if isinstance(picture, Picture)], np.int64)
    del decoded
    warnings = _broken(files, images, labels) + (_classes_without_images(files, set(labels)) if by_folder else [])
    content = hashlib.sha256()
    for image in images:
        content.update(f"{image.file.path}\0{image.picture.digest}\n".encode())
    height, width = _common_size(images)
    classes, numbers = np.unique([image.label for image in images], return_inverse=True)
    parts = _parts(images) if files.has_parts else None
    warnings += _told(images, height, width) + _repeated(images, files.has_parts)
    twice = len(images) - len({image.picture.digest for image in images})
    read = ReadFacts(rows=len(images), files_left_out=files.left_out + len(files.files) - len(images), same_files=twice)
    notes = [f"{files.left_out} files in {files.uri} that are no images were left out."] if files.left_out else []
    if beside is not None:
        content.update(beside.content_hash.encode())
        return ArrayContent(
            x=_stacked(images, height, width, files.uri, scratch),
            y=np.zeros((len(kept), 0), np.float32),
            content_hash=content.hexdigest(),
            target=files.uri,
            beside=beside.at(kept),
            notes=[*notes, *beside.notes],
            warnings=[*beside.warnings, *warnings],
            read=replace(read, dialect=beside.read.dialect),
            parts=parts,
            scratch=scratch,
        )
    return ArrayContent(
        x=_stacked(images, height, width, files.uri, scratch),
        y=numbers.astype(np.int64),
        content_hash=content.hexdigest(),
        target=f"the class folder in {files.uri}",
        class_names=[str(name) for name in classes],
        classes_only=True,
        notes=notes,
        warnings=warnings,
        read=read,
        parts=parts,
        scratch=scratch,
    )


def _class_of(file: SourceFile, root: str) -> str:
    folder, mark, _ = below_part(file).partition("/")
    if not mark:
        part = f"/{NAMES[file.part]}" if file.part is not None else ""
        raise UserError(
            f"{file.uri} lies in no class folder: put each image into a folder {root}{part}/<class>/, or name a table"
            " of labels in data.source.labels: {file: NAME}"
        )
    return folder


def _refuse_parts_below(files: SourceFiles) -> None:
    """Raise UserError where each class seems to be divided into parts, as `cat/train` and `cat/test`."""
    if files.has_parts:
        return
    below = {file.path.split("/")[1] if file.path.count("/") > 1 else "" for file in files.files}
    parts = {part_of(name) for name in below}
    if None not in parts and 0 in parts and len(parts) > 1:
        raise UserError(
            f"data.source: the class folders of {files.uri} hold {' and '.join(sorted(below))}, which look like parts, "
            "and parts stand above classes: move the images, as into train/<class>/, or rename these folders if they "
            "are none"
        )


def _classes_without_images(files: SourceFiles, labels: set[str]) -> list[str]:
    """A warning that names the class folders of which nothing is read, empty ones among them."""
    roots: dict[tuple[str, str], SourceFile] = {}
    for file in files.files:
        roots.setdefault((file.store.uri, file.path.removesuffix(below_part(file))), file)
    lost = sorted(
        {
            name
            for (_, root), file in roots.items()
            for name in file.store.list(root)
            if is_data(name) and name not in labels and not file.store.is_file(f"{root}{name}")
        }
    )
    if not lost:
        return []
    shown = listed([repr(name) for name in lost], _SHOWN)
    what = "The folder" if len(lost) == 1 else "The folders"
    verb = (
        "holds no image that is read, and is no class"
        if len(lost) == 1
        else "hold no image that is read, and are no classes"
    )
    return [f"{what} {shown} in {files.uri} {verb}."]


def _decoded(file: SourceFile, scratch: Scratch = MEMORY) -> Picture | Unreadable:
    try:
        picture = decode(file.store.read(file.path))
        return replace(picture, pixels=scratch.copy(picture.pixels)) if isinstance(picture, Picture) else picture
    except ValueError as error:
        raise UserError(f"{file.uri} {error}") from error


def _broken(files: SourceFiles, images: Sequence[_Image], labels: Sequence[str]) -> list[str]:
    """Told of files that cannot be read, where they are few. Raises UserError where they are many."""
    there = {image.file for image in images}
    broken = [file for file in files.files if file not in there]
    if not broken:
        return []
    reasons = [result.reason for file in broken[:_SHOWN] if isinstance(result := _decoded(file), Unreadable)]
    shown = ", ".join(f"{file.uri} ({reason})" for file, reason in zip(broken, reasons, strict=False))
    more = f" and {len(broken) - _SHOWN} more" if len(broken) > _SHOWN else ""
    if not images or len(broken) > max(1, MOST_BROKEN * len(files.files)):
        verb = "is no image" if len(broken) == 1 else "are no images"
        raise UserError(f"{shown}{more} {verb} that can be read: repair or take out what is broken")
    warnings = [f"Left out, as it cannot be read: {shown}{more}."]
    lost = sorted(set(labels) - {image.label for image in images})
    return warnings + [f"The class {name!r} has lost all its images thereby." for name in lost if name]


def _common_size(images: Sequence[_Image]) -> tuple[int, int]:
    """Height and width: those that at least half the images have, or else the median."""
    sizes = Counter(image.picture.pixels.shape[:2] for image in images)
    (height, width), count = max(sizes.items(), key=lambda item: (item[1], item[0]))
    if count * 2 >= len(images):
        return height, width
    shapes = np.array([image.picture.pixels.shape[:2] for image in images])
    return int(np.median(shapes[:, 0])), int(np.median(shapes[:, 1]))


def _told(images: Sequence[_Image], height: int, width: int) -> list[str]:
    """What of the files is not in the rows."""
    other = [image for image in images if image.picture.pixels.shape[:2] != (height, width)]
    paged = [image for image in images if image.picture.frames > 1]
    clear = [image for image in images if image.picture.transparent]
    cut = [image for image in images if image.picture.cut]
    told = []
    if other:
        size = other[0].picture.pixels.shape
        told.append(
            f"{len(other)} of {len(images)} images were resized to {width} x {height} pixels, the most common or the "
            f"median size; {other[0].file.uri}, for example, is {size[1]} x {size[0]}."
        )
    if paged:
        told.append(
            f"{len(paged)} files have several pages or frames, of which only the first was read; "
            f"{paged[0].file.uri}, for example, has {paged[0].picture.frames}."
        )
    if clear:
        told.append(f"The transparency of {len(clear)} images was dropped; {clear[0].file.uri} is one of them.")
    if cut:
        told.append(
            f"{len(cut)} images have 16 bits a colour, of which the first 8 were read; {cut[0].file.uri} is one of "
            "them."
        )
    return told


def _repeated(images: Sequence[_Image], has_parts: bool) -> list[str]:
    """Told of equal files in different classes, and in different parts."""
    groups: dict[str, list[_Image]] = {}
    for image in images:
        groups.setdefault(image.picture.digest, []).append(image)
    several = [group for group in groups.values() if len(group) > 1]
    torn = [group for group in several if len({image.label for image in group}) > 1]
    told = []
    if torn:
        names = " and ".join(image.file.uri for image in torn[0][:2])
        told.append(f"{len(torn)} images stand in several classes, byte for byte the same, as {names}.")
    leaks = [group for group in several if has_parts and len({image.file.part for image in group}) > 1]
    if leaks:
        names = " and ".join(image.file.uri for image in leaks[0][:2])
        told.append(f"{len(leaks)} images stand in several parts, byte for byte the same, as {names}.")
    if several and not (torn or leaks):
        count = sum(len(group) - 1 for group in several)
        told.append(f"{count} images equal another one byte for byte; parts that are divided at random may share them.")
    return told


def _parts(images: Sequence[_Image]) -> Parts:
    return np.array([image.file.part for image in images], np.int8)


def _stacked(images: list[_Image], height: int, width: int, root: str, scratch: Scratch) -> npt.NDArray[Any]:
    """The pixels of all images, which are given up one by one."""
    deep = [image for image in images if image.picture.pixels.dtype == np.uint16]
    if deep and len(deep) < len(images):
        raise UserError(
            f"{deep[0].file.uri} has 16 bits a pixel, but other images in {root} have 8: convert all of them to one "
            "depth"
        )
    channels = max(image.picture.pixels.shape[2] for image in images)
    x = scratch.empty((len(images), channels, height, width), np.uint16 if deep else np.uint8)
    images.reverse()
    for row in range(len(x)):
        pixels = images.pop().picture.pixels
        if pixels.shape[:2] != (height, width):
            pixels = resized(pixels, height, width)
        scratch.write(x[row], np.moveaxis(pixels, -1, 0))
    return x
