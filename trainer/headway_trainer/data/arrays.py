"""Sources that hold arrays: the sets that ship with scikit-learn, and .npz files."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from headway_trainer.data.content import ArrayContent
from headway_trainer.data.memory import check_fits
from headway_trainer.errors import UserError
from headway_trainer.storage import Store

_CHANNEL_COUNTS = (1, 3, 4)
_ROWS_HEIGHT_WIDTH = 3
_ROWS_AND_IMAGE = 4


def load_builtin(name: str) -> ArrayContent:
    """A data set that ships with scikit-learn; digits are images (1, 8, 8)."""
    if name == "digits":
        return _digits()
    from sklearn import datasets

    bunch = getattr(datasets, f"load_{name}")()
    names = None if name == "diabetes" else [str(value) for value in bunch.target_names]
    return ArrayContent(
        x=bunch.data,
        y=bunch.target,
        content_hash=hash_arrays(bunch.data, bunch.target),
        target=f"the target of {name}",
        class_names=names,
        feature_names=[str(value) for value in bunch.feature_names],
    )


def _digits() -> ArrayContent:
    """As `sklearn.datasets.load_digits`, whose import alone takes seconds: what people try first starts quickly."""
    spec = importlib.util.find_spec("sklearn")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("scikit-learn is not installed", name="sklearn")
    with gzip.open(Path(spec.submodule_search_locations[0], "datasets", "data", "digits.csv.gz"), "rt") as rows:
        table = np.loadtxt(rows, delimiter=",")
    x, y = table[:, :-1].reshape(-1, 1, 8, 8), table[:, -1].astype(np.int64)
    return ArrayContent(
        x=x,
        y=y,
        content_hash=hash_arrays(x, y),
        target="the target of digits",
        class_names=[str(digit) for digit in range(10)],
    )


def load_npz(store: Store, path: str, target: str | None) -> ArrayContent:
    """One .npz file: the array `target` (default y) and one other array, the features. Pickled objects are refused."""
    uri = f"{store.uri}/{path}" if path else store.uri
    with store.open_input(path) as stream:
        try:
            with zipfile.ZipFile(stream) as archive:
                check_fits(2 * sum(member.file_size for member in archive.infolist()), uri)
            stream.seek(0)
            with np.load(stream, allow_pickle=False) as arrays:
                x_name, y_name = _choose(arrays.files, target or "y", uri)
                x, y = arrays[x_name], arrays[y_name]
        except (ValueError, zipfile.BadZipFile, EOFError) as error:
            raise UserError(
                f"{uri} is no .npz file of plain arrays ({error}): write it with numpy.savez, "
                "with numbers, booleans or fixed-width text and no Python objects"
            ) from error
    _check_arrays(x, y, x_name, y_name, uri)
    x, notes = _as_channels_first(x, x_name)
    return ArrayContent(x=x, y=y, content_hash=hash_arrays(x, y), target=f"the array {y_name} of {uri}", notes=notes)


def hash_arrays(*arrays: npt.NDArray[Any]) -> str:
    """sha256 over the types, shapes and values."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _choose(names: list[str], target: str, uri: str) -> tuple[str, str]:
    """The names of the features' and the target's array."""
    if target not in names:
        raise UserError(
            f"{uri} has no array {target!r}, but {', '.join(sorted(names)) or 'none'}: set data.target to one"
        )
    others = [name for name in names if name != target]
    features = next((name for name in ("x", "X") if name in others), others[0] if len(others) == 1 else None)
    if features is None:
        raise UserError(
            f"{uri} must have one array of features beside {target!r}, or one named 'x', "
            f"but has {', '.join(sorted(others)) or 'none'}"
        )
    return features, target


def _check_arrays(x: npt.NDArray[Any], y: npt.NDArray[Any], x_name: str, y_name: str, uri: str) -> None:
    if x.dtype.kind not in "iufb":
        raise UserError(f"{uri}: the array {x_name!r} has the type {x.dtype}; features must be numbers")
    if y.dtype.kind not in "iufbU":
        raise UserError(f"{uri}: the array {y_name!r} has the type {y.dtype}; a target must be numbers or text")
    if x.ndim < 2:  # noqa: PLR2004 - rows and features
        raise UserError(f"{uri}: the array {x_name!r} has the shape {x.shape}; it must be rows by features")
    if y.ndim == 0 or len(x) != len(y):
        raise UserError(f"{uri}: {x_name!r} has {len(x)} rows and {y_name!r} has {y.size}: they must be equal")
    if x.size == 0:
        raise UserError(f"{uri}: the array {x_name!r} of shape {x.shape} has no rows or no features")


def _as_channels_first(x: npt.NDArray[Any], name: str) -> tuple[npt.NDArray[Any], list[str]]:
    """Images as (rows, channels, height, width), which is what models take."""
    if x.ndim == _ROWS_HEIGHT_WIDTH:
        return x[:, np.newaxis], [f"{name} of shape {x.shape} is taken as images with one channel."]
    channels_last = x.ndim == _ROWS_AND_IMAGE and x.shape[-1] in _CHANNEL_COUNTS and x.shape[1] not in _CHANNEL_COUNTS
    if channels_last:
        return np.moveaxis(x, -1, 1), [f"{name} of shape {x.shape} is taken as images with the channels last."]
    return x, []
