"""Reads a folder of images with one folder a class."""

from __future__ import annotations

import hashlib
import io
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from headway_trainer.data.content import ArrayContent
from headway_trainer.data.files import SourceFiles
from headway_trainer.data.memory import check_fits
from headway_trainer.errors import UserError

_READERS = 8
"""Files read at the same time: an object store takes long for each, but answers many at once."""
_GREY = ("1", "L", "LA")
_COLOUR = ("P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")


def load_images(files: SourceFiles) -> ArrayContent:
    """The images as uint8 (rows, channels, height, width): one channel if all are grey, otherwise red, green and blue.

    The class is the name of the folder right below the source. Raises UserError, naming the file; StorageError.
    """
    root = files.store.uri
    for path in files.paths:
        if "/" not in path:
            raise UserError(f"{files.uri(path)} lies in no class folder: put each image into a folder {root}/<class>/")
    first, _ = _load(files, files.paths[0])
    check_fits(len(files.paths) * first.shape[0] * first.shape[1] * 3, root)
    with ThreadPoolExecutor(_READERS) as pool:
        loaded = list(pool.map(lambda path: _load(files, path), files.paths))
    content = hashlib.sha256()
    for path, (image, digest) in zip(files.paths, loaded, strict=True):
        content.update(f"{path}\0{digest}\n".encode())
        if image.shape[:2] != first.shape[:2]:
            raise UserError(
                f"{files.uri(path)} is {_size(image)} pixels, but {files.uri(files.paths[0])} is {_size(first)}: "
                "all images must have one size, so resize them"
            )
    images = [image for image, _ in loaded]
    colour = any(image.shape[2] > 1 for image in images)
    x = np.stack([np.broadcast_to(image, (*image.shape[:2], 3)) if colour else image for image in images])
    folders = [path.split("/", 1)[0] for path in files.paths]
    classes, labels = np.unique(folders, return_inverse=True)
    notes = [f"{files.left_out} files in {root} that are no images were left out."] if files.left_out else []
    return ArrayContent(
        x=np.moveaxis(x, -1, 1),
        y=labels.astype(np.int64),
        content_hash=content.hexdigest(),
        target=f"the class folder in {root}",
        class_names=[str(name) for name in classes],
        classes_only=True,
        notes=notes,
    )


def _load(files: SourceFiles, path: str) -> tuple[npt.NDArray[Any], str]:
    """One image, uint8 (height, width, 1 or 3), and its file's sha256."""
    from PIL import Image, ImageOps

    data = files.store.read(path)
    try:
        with Image.open(io.BytesIO(data)) as image:
            # A small file that unpacks to far more than any image has is an attack or a mistake.
            if image.width * image.height > (Image.MAX_IMAGE_PIXELS or 0):
                raise ValueError(f"{image.width} x {image.height} pixels are too many")
            upright = ImageOps.exif_transpose(image)
            mode = upright.mode
            array = np.asarray(upright.convert("L" if mode in _GREY else "RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise UserError(
            f"{files.uri(path)} is no image that can be read ({error}): repair it or take it out"
        ) from error
    if mode not in (*_GREY, *_COLOUR):
        raise UserError(f"{files.uri(path)} has pixels of the mode {mode}: convert it to 8-bit grey or RGB")
    return array.reshape(*array.shape[:2], -1), hashlib.sha256(data).hexdigest()


def _size(image: npt.NDArray[Any]) -> str:
    return f"{image.shape[1]} x {image.shape[0]}"
