"""New images for a finished model, made as the images that it was trained on were."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from headway_trainer.data.read.files import SourceFile, SourceFiles
from headway_trainer.data.read.picture import Unreadable, decode, resized
from headway_trainer.errors import UserError

_READERS = 8
Block = tuple[list[str], npt.NDArray[Any]]


def image_blocks(files: SourceFiles, shape: tuple[int, ...], *, deep: bool, size: int) -> Iterator[Block]:
    """The files' paths and their images, (rows, channels, height, width), at most `size` at once, in their order.

    shape: of one image of the training; deep: whether those had 16 bits. Another size is resized, as it was in
    training, and grey images become coloured ones where the model takes colour. Raises UserError, naming the file, for
    what is no image, and for colour or depth that the model has not seen; StorageError.
    """
    with ThreadPoolExecutor(_READERS) as pool:
        for start in range(0, len(files.files), size):
            some = files.files[start : start + size]
            images = list(pool.map(lambda file: _image(file, shape, deep=deep), some))
            yield [file.path or file.uri.rpartition("/")[2] for file in some], np.stack(images)


def _image(file: SourceFile, shape: tuple[int, ...], *, deep: bool) -> npt.NDArray[Any]:
    channels, height, width = shape
    try:
        picture = decode(file.store.read(file.path))
    except ValueError as error:
        raise UserError(f"{file.uri} {error}") from error
    if isinstance(picture, Unreadable):
        raise UserError(f"{file.uri} is no image that can be read ({picture.reason}): repair it, or take it out")
    pixels = picture.pixels
    if (pixels.dtype == np.uint16) != deep:
        raise UserError(
            f"{file.uri} has {pixels.dtype.itemsize * 8} bits a pixel, but the model was trained on images of "
            f"{16 if deep else 8}: convert it"
        )
    if pixels.shape[2] > channels:
        raise UserError(f"{file.uri} is in colour, but the model was trained on grey images: convert it to grey")
    if pixels.shape[:2] != (height, width):
        pixels = resized(pixels, height, width)
    return np.broadcast_to(np.moveaxis(pixels, -1, 0), shape)
