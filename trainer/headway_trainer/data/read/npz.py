"""Reads .npz files: an array of features, and one of targets."""

from __future__ import annotations

import contextlib
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from headway_api.columns import Column
from headway_trainer.data.content import ArrayContent, ReadFacts
from headway_trainer.data.read.files import SourceFile, SourceFiles
from headway_trainer.data.read.hashes import hash_arrays
from headway_trainer.data.read.memory import array_scratch
from headway_trainer.data.read.shapes import as_rows
from headway_trainer.data.scratch import MEMORY, Scratch
from headway_trainer.data.unlabelled import no_target
from headway_trainer.errors import UserError
from headway_trainer.storage import CHUNK

Columns = Mapping[str, Column]
"""What the job says of arrays, by their names."""
_NOTHING: Columns = MappingProxyType({})


def load_npz(files: SourceFiles, target: str | None = "y", columns: Columns = _NOTHING) -> ArrayContent:
    """One .npz file, or one for each part: the array `target` and one other array, the features.

    Without a target, every array but that of the features is left out, `y` first of all, and that is a note. Arrays
    that columns ignore count as not there. Pickled objects are refused. Raises UserError, naming file and array.
    """
    if len(files.files) > 1 and len({file.part for file in files.files}) < len(files.files):
        raise UserError(f"data.source: {files.uri} holds {len(files.files)} npz files: name one of them, or one a part")
    scratch = _scratch(files)
    loaded = [_load(file, target, columns, scratch) for file in files.files]
    first, uri = loaded[0], files.files[0].uri
    for (x, y, name), file in zip(loaded, files.files, strict=True):
        if x.shape[1:] != first[0].shape[1:] or y.shape[1:] != first[1].shape[1:] or name != first[2]:
            raise UserError(
                f"{file.uri} has {name!r} of shape {x.shape} and targets of shape {y.shape}, but {uri} has "
                f"{first[2]!r} of {first[0].shape} and {first[1].shape}: all parts need rows of one shape"
            )
    one = len(loaded) == 1
    x = first[0] if one else scratch.concatenated([x for x, _, _ in loaded])
    y = first[1] if one else np.concatenate([y for _, y, _ in loaded])
    given = columns.get(first[2])
    told = as_rows(x, first[2], given.kind if given is not None else None)
    return ArrayContent(
        x=told.x,
        y=y,
        content_hash=hash_arrays(told.x, y),
        target=f"the array {target} of {uri}" if target else uri,
        notes=[] if target else _left_out(files, first[2]),
        warnings=told.warnings,
        read=ReadFacts(rows=len(y), files_left_out=files.left_out),
        parts=None if not files.has_parts else _parts(files, [len(y) for _, y, _ in loaded]),
        scratch=scratch,
    )


def _parts(files: SourceFiles, counts: list[int]) -> npt.NDArray[np.int8]:
    return np.repeat(np.array([file.part for file in files.files], np.int8), counts)


def _scratch(files: SourceFiles) -> Scratch:
    """Where the arrays of the files are to lie. Raises UserError where there is no room for them."""
    size = rows = 0
    for file in files.files:
        with file.store.open_input(file.path) as stream:
            try:
                with zipfile.ZipFile(stream) as archive:
                    members = archive.infolist()
                    size += sum(member.file_size for member in members)
                    rows += max((_rows(archive, member) for member in members), default=0)
            except (ValueError, zipfile.BadZipFile) as error:
                raise _no_arrays(file, error) from error
    return array_scratch(size, rows, files.uri)


def _rows(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> int:
    """The length of an array of the file; 0 for what is none, which reading tells of."""
    with contextlib.suppress(ValueError, EOFError), archive.open(member) as stream:
        return next(iter(_header(stream, member.filename)[0]), 0)
    return 0


def _header(stream: IO[bytes], name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """The shape of an array of the file, whether its first axis varies fastest, and its type."""
    version = np.lib.format.read_magic(stream)
    header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in header:
        raise ValueError(f"the array {name!r} is written in .npy format {version[0]}.{version[1]}")
    return header[version](stream)


def _load(
    file: SourceFile, target: str | None, columns: Columns, scratch: Scratch
) -> tuple[npt.NDArray[Any], npt.NDArray[Any], str]:
    """Features, targets, and the name of the features."""
    with file.store.open_input(file.path) as stream:
        try:
            with np.load(stream, allow_pickle=False) as arrays:
                x_name, y_name = _choose(arrays.files, target, columns, file.uri)
                x = _mapped(file, arrays.zip, x_name, scratch) if scratch.on_disk else arrays[x_name]
                y = no_target(len(x) if x.ndim else 0) if y_name is None else arrays[y_name]
        except (ValueError, zipfile.BadZipFile, EOFError) as error:
            raise _no_arrays(file, error) from error
    _check_arrays(x, y, x_name, y_name or "", file.uri)
    return _native(x, scratch), _native(y, MEMORY), x_name


def _native(array: npt.NDArray[Any], scratch: Scratch) -> npt.NDArray[Any]:
    """The array in numbers that all code here takes: of the machine's own byte order, floats of 32 or 64 bits."""
    kind = array.dtype.newbyteorder("=")
    if kind.kind == "f":
        kind = np.dtype(np.float32 if kind.itemsize <= 4 else np.float64)  # noqa: PLR2004 - bytes
    if kind == array.dtype:
        return array
    made = scratch.empty(array.shape, kind)
    step = max(1, CHUNK // max(1, made[:1].nbytes))
    with np.errstate(over="ignore"):  # a number that is infinite then is refused as one
        for start in range(0, len(array), step):
            scratch.write(made[start : start + step], array[start : start + step].astype(kind))
    return made


def _no_arrays(file: SourceFile, error: Exception) -> UserError:
    return UserError(
        f"{file.uri} is no .npz file of plain arrays ({error}): write it with numpy.savez, "
        "with numbers, booleans or fixed-width text and no Python objects"
    )


def _mapped(file: SourceFile, archive: zipfile.ZipFile, name: str, scratch: Scratch) -> npt.NDArray[Any]:
    """An array of the file, as it lies there if it can be mapped, else unpacked to the disk piece by piece."""
    member = archive.getinfo(f"{name}.npy")
    folder = file.store.local_path()
    with archive.open(member) as stream:
        shape, fortran, dtype = _header(stream, name)
        if dtype.hasobject:
            raise ValueError(f"the array {name!r} holds Python objects")
        if folder is not None and member.compress_type == zipfile.ZIP_STORED:
            path = folder / file.path
            at = _begin(path, member) + stream.tell()
            return np.memmap(path, dtype, "r", at, shape, "F" if fortran else "C").view(np.ndarray)
        made = scratch.empty(shape[::-1] if fortran else shape, dtype)
        flat, at = made.reshape(-1).view(np.uint8), 0
        while at < len(flat):
            piece = stream.read(CHUNK)
            if not piece:
                raise EOFError(f"the array {name!r} ends early")
            scratch.write(flat[at : at + len(piece)], np.frombuffer(piece, np.uint8))
            at += len(piece)
        return made.T if fortran else made


def _begin(path: Path, member: zipfile.ZipInfo) -> int:
    """Where the bytes of a member begin in the archive: after its own header, a name, and what zip writes beside it."""
    with path.open("rb") as file:
        file.seek(member.header_offset + 26)
        name, extra = struct.unpack("<HH", file.read(4))
    return member.header_offset + 30 + int(name) + int(extra)


def _left_out(files: SourceFiles, features: str) -> list[str]:
    """What is to be said of arrays that were not read."""
    with files.files[0].store.open_input(files.files[0].path) as stream, np.load(stream, allow_pickle=False) as arrays:
        others = sorted(set(arrays.files) - {features})
    return [f"Left out of {files.files[0].uri} was the array {name}, as there is no target." for name in others]


def _choose(there: list[str], target: str | None, columns: Columns, uri: str) -> tuple[str, str | None]:
    """The names of the features' and the target's array."""
    shown = ", ".join(sorted(there)) or "none"
    strange = [name for name in columns if name not in there]
    if strange:
        raise UserError(f"data.columns names the array {strange[0]!r}, but {uri} has {shown}: correct the name")
    if target is not None and target not in there:
        raise UserError(f"{uri} has no array {target!r}, but {shown}: set data.target to one")
    others = [
        name for name in there if name != (target or "y") and (name not in columns or columns[name].role != "ignore")
    ]
    given = [name for name in others if name in columns and columns[name].role == "feature"]
    chosen = given or [name for name in ("x", "X") if name in others][:1] or others
    if len(chosen) != 1:
        raise UserError(
            f"{uri} must have one array of features{f' beside {target!r}' if target else ''}, or one named 'x', but "
            f"has {', '.join(sorted(others)) or 'none'}: give one the role feature, or the others the role ignore,"
            " under data.columns"
        )
    return chosen[0], target


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
