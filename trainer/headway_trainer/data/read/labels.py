"""A table beside images that says what is on each of them: which of its rows is whose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headway_api.data import TABLES, Data
from headway_api.wording import listed
from headway_trainer.data.content import TableContent
from headway_trainer.data.read.files import SourceFile, SourceFiles, find_files
from headway_trainer.data.read.image_names import ImageNames
from headway_trainer.data.read.options import Options
from headway_trainer.data.read.tables import load_table
from headway_trainer.data.resolve import refuse_unknown
from headway_trainer.errors import NotFound, UserError

MOST_STRAY = 0.05
"""The share of the rows that may name no image, and one in any case: as of images that cannot be read."""
_SHOWN = 3
_ROLES = ("target", "weight", "group", "time", "fold")
"""The roles that a column beside images may have."""


def find_labels(file: str, images: SourceFiles, secret_dir: str | None) -> SourceFiles:
    """The table, or where each part has one below its own folder, the tables. Raises UserError and StorageError."""
    if "://" in file or file.startswith("/"):
        return find_files(file, None, secret_dir)
    stores = {id(image.store): image for image in reversed(images.files)}
    found = []
    for image in reversed(stores.values()):
        try:
            size = image.store.size(file)
        except NotFound as error:
            raise UserError(
                f"data.source.labels.file: there is no {file} in {image.store.uri}: correct its path, which is one"
                " below the images' folder, or write a full one"
            ) from error
        found.append(SourceFile(image.store, file, size, image.part if len(stores) > 1 else None))
    whole = find_files(found[0].uri, None, secret_dir)
    return replace(whole, files=found)


def labelled(images: SourceFiles, labels: SourceFiles, spec: Data) -> tuple[SourceFiles, TableContent]:
    """The images that have a row, in their order, and these rows, with the columns that the job speaks of.

    Raises UserError where rows and images are not each other's, but for a few rows without an image, and for images
    without a row where `data.missingTargets` lets them be left out: these are warnings. Raises StorageError.
    """
    if labels.format not in TABLES:
        raise UserError(f"data.source.labels.file: {labels.uri} is {labels.format}: labels are csv, parquet or jsonl")
    table = load_table(labels, spec.target_names, Options.of(spec))
    _refuse_unknown(table, spec)
    index = ImageNames(images.files, by_part=labels.files[0].part is not None)
    column = _image_column(table, index, spec)
    names = table.table.column_names
    beside = [name for name in names if name in spec.target_names or _role(spec, name) in _ROLES]
    rows, warnings = _rows_of_images(table, column, beside, index)
    there = np.flatnonzero(rows >= 0)
    if len(there) < len(rows):
        missing = [images.files[one].uri for one in np.flatnonzero(rows < 0)]
        warnings.append(_without_row(missing, len(rows), labels.uri, spec))
    notes = [f"The column {column!r} of {labels.uri} names the images."]
    if others := [name for name in names if name not in (*beside, column)]:
        notes.append(
            f"Left out, as a model of images learns from nothing beside them: {listed([repr(one) for one in others])}."
        )
    kept = replace(table, table=table.table.select(beside), parts=None).at(rows[there])
    stores = {id(image.store) for image in images.files}
    beside_images = sum(id(file.store) in stores for file in labels.files)
    chosen = replace(images, files=[images.files[one] for one in there], left_out=images.left_out - beside_images)
    return chosen, replace(kept, notes=[*kept.notes, *notes], warnings=[*kept.warnings, *warnings])


def _refuse_unknown(table: TableContent, spec: Data) -> None:
    """Raise UserError for a column that the job speaks of and that is not there."""
    given = [name for name, column in (spec.columns or {}).items() if column.role != "ignore"]
    for name in (*spec.target_names, *given):
        field = "data.target" if name in spec.target_names else "data.columns"
        refuse_unknown(name, table.table.column_names, field, table.files[0][0])


def _role(spec: Data, name: str) -> str | None:
    given = (spec.columns or {}).get(name)
    return given.role if given is not None else None


def _names(table: TableContent, column: str) -> list[str | None]:
    values = table.table[column]
    names: list[str | None] = (values if pa.types.is_string(values.type) else pc.cast(values, pa.string())).to_pylist()
    return names


def _may_name(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_integer(kind))


def _image_column(table: TableContent, index: ImageNames, spec: Data) -> str:
    """The column that names the images. Raises UserError where none does, or several do as well."""
    labels = spec.source.labels
    given = labels.image_column if labels is not None else None
    names = table.table.column_names
    if given is not None:
        if given not in names or not _may_name(table.table[given].type):
            fault = "has no column" if given not in names else "has other values than text in the column"
            raise UserError(
                f"data.source.labels.imageColumn: {table.files[0][0]} {fault} {given!r}: it has "
                f"{listed([repr(name) for name in names])}"
            )
        return given
    counts = {
        name: sum(bool(one) for one in index.find(_names(table, name), table.parts))
        for name in names
        if _may_name(table.table[name].type) and name not in spec.target_names and _role(spec, name) is None
    }
    most = max(counts.values(), default=0)
    best: list[str] = [name for name, count in counts.items() if count == most]
    way = "write the one that does as data.source.labels.imageColumn"
    if most == 0:
        looked = listed([repr(name) for name in counts]) or "none that could"
        raise UserError(
            f"data.source.labels: no column of {table.files[0][0]} names an image, as {index.paths[0]} is one; looked"
            f" at were {looked}: {way}, or correct the names"
        )
    if len(best) > 1:
        raise UserError(
            f"data.source.labels: the columns {listed([repr(name) for name in best])} of {table.files[0][0]} name as"
            f" many images each: {way}"
        )
    return best[0]


def _rows_of_images(
    table: TableContent, column: str, beside: Sequence[str], index: ImageNames
) -> tuple[npt.NDArray[np.int64], list[str]]:
    """The number of each image's row, -1 where it has none, and what people should know of the rows.

    Raises UserError for a row that may mean several images, for two rows of an image that say different things, and
    where many rows name none.
    """
    rows, names = np.full(len(index.paths), -1, np.int64), _names(table, column)
    stray, again = list[int](), list[int]()
    for row, found in enumerate(index.find(names, table.parts)):
        if len(found) > 1:
            first, second = (index.paths[one] for one in found[:2])
            raise UserError(
                f"{column!r} is {names[row]!r} in {table.where(row)}, which may be {first} or {second}: write more of"
                " the path"
            )
        if not found:
            stray.append(row)
        elif rows[found[0]] < 0:
            rows[found[0]] = row
        else:
            _refuse_other(table, int(rows[found[0]]), row, beside, index.paths[found[0]])
            again.append(row)
    told = _stray(table, column, names, stray) if stray else []
    if again:
        told.append(
            f"{len(again)} rows say again what another one says of the same image, and were left out; "
            f"{table.where(again[0])} is one of them."
        )
    return rows, told


def _refuse_other(table: TableContent, one: int, other: int, beside: Sequence[str], image: str) -> None:
    said = table.table.select(beside).take(pa.array([one, other])).to_pylist()
    differs = next((name for name in beside if said[0][name] != said[1][name]), None)
    if differs is not None:
        raise UserError(
            f"{image} has two rows: {differs!r} is {said[0][differs]!r} in {table.where(one)} and {said[1][differs]!r}"
            f" in {table.where(other)}: take one out"
        )


def _stray(table: TableContent, column: str, names: Sequence[str | None], rows: Sequence[int]) -> list[str]:
    """Told of rows that name no image, where they are few. Raises UserError where they are many. names: what each row
    has in that column."""
    shown = ", ".join(f"{names[row]!r} in {table.where(row)}" for row in rows[:_SHOWN])
    more = f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
    if len(rows) > max(1, MOST_STRAY * len(names)):
        raise UserError(
            f"{len(rows)} of {len(names)} rows of labels name no image: {column!r} is {shown}{more}; correct the names,"
            " or take the rows out"
        )
    return [f"Left out, as there is no such image: {shown}{more}."]


def _without_row(missing: Sequence[str], images: int, labels: str, spec: Data) -> str:
    """Told of images without a row. Raises UserError where nobody wants them to be left out."""
    shown = listed(missing, _SHOWN)
    if spec.missing_targets != "drop":
        raise UserError(
            f"{len(missing)} of {images} images have no row in {labels}: {shown}; label them, take them out, or leave"
            " them out with data.missingTargets: drop"
        )
    return f"{len(missing)} of {images} images have no row in {labels}, and were left out: {shown}."
