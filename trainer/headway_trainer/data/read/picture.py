"""Reads one image file. Pure."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

_GREY = ("1", "L", "LA")
_COLOUR = ("P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
_DEEP = ("I;16", "I;16L", "I;16B", "I;16N")


@dataclass(frozen=True)
class Picture:
    """An image."""

    pixels: npt.NDArray[Any]
    """uint8 (height, width, 1 or 3), or uint16 (height, width, 1)."""
    digest: str
    """Its file's sha256."""
    frames: int = 1
    """Pages or frames of the file; the pixels are those of the first."""
    transparent: bool = False
    """Whether it had a transparency that is not in the pixels."""
    cut: bool = False
    """Whether it has 16 bits a colour, of which 8 are in the pixels."""


@dataclass(frozen=True)
class Unreadable:
    """A file that is no image, or a broken one."""

    reason: str


def decode(data: bytes) -> Picture | Unreadable:
    """The image of a file, turned as its camera says. Raises ValueError for pixels of a kind that is not read."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    digest = hashlib.sha256(data).hexdigest()
    try:
        with Image.open(io.BytesIO(data)) as image:
            # A small file that unpacks to far more than any image has is an attack or a mistake.
            if image.width * image.height > (Image.MAX_IMAGE_PIXELS or 0):
                return Unreadable(f"{image.width} x {image.height} pixels are too many")
            frames = int(getattr(image, "n_frames", 1))
            cut = image.mode not in _DEEP and any(";16" in _raw_mode(tile) for tile in image.tile)
            upright = ImageOps.exif_transpose(image)
            mode = upright.mode
            if mode in _DEEP:
                return Picture(np.asarray(upright).astype(np.uint16)[..., np.newaxis], digest, frames)
            pixels = np.asarray(upright.convert("L" if mode in _GREY else "RGB"))
            transparent = upright.has_transparency_data and _is_transparent(upright)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        unknown = isinstance(error, UnidentifiedImageError)
        return Unreadable("its format is not known" if unknown else str(error) or type(error).__name__)
    if mode not in (*_GREY, *_COLOUR):
        raise ValueError(f"has pixels of the mode {mode}: convert it to 8 or 16-bit grey, or to RGB")
    return Picture(pixels.reshape(*pixels.shape[:2], -1), digest, frames, transparent, cut)


def _raw_mode(tile: Any) -> str:
    """How the file has its pixels, as Pillow calls it: `RGB;16B`."""
    arguments = tile[3]
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)


def _is_transparent(image: Any) -> bool:
    return bool((np.asarray(image.convert("RGBA"))[..., 3] < 255).any())  # noqa: PLR2004 - opaque in 8 bits


def resized(pixels: npt.NDArray[Any], height: int, width: int) -> npt.NDArray[Any]:
    """The pixels, (old height, old width, channels), stretched to height x width, with antialiasing."""
    from PIL import Image

    channels = []
    for index in range(pixels.shape[2]):
        # In 32-bit floats, as images of 16 bits are not resized otherwise.
        plane = Image.fromarray(np.ascontiguousarray(pixels[..., index]).astype(np.float32))
        channels.append(np.asarray(plane.resize((width, height), Image.Resampling.BILINEAR)))
    limit = np.iinfo(pixels.dtype).max
    made: npt.NDArray[Any] = np.clip(np.rint(np.stack(channels, axis=-1)), 0, limit).astype(pixels.dtype)
    return made
