"""A finished model's predictions for the rows of a file: read as in training, block by block, without torch."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headway_api.bundle import ANOMALY_SCORE, LABEL, MODEL_INFO_FILE, PROBABILITIES, VALUE, Signature
from headway_api.reading import Read
from headway_trainer.data.convert import converted, known_names
from headway_trainer.data.forecast.info import ForecastInfo
from headway_trainer.data.read.files import SourceFile, SourceFiles, find_files
from headway_trainer.data.read.options import Options
from headway_trainer.data.read.stream import stream_table
from headway_trainer.data.transform import ArrayChain, Category, TableChain
from headway_trainer.errors import UserError
from headway_trainer.export.bundle import open_bundle
from headway_trainer.export.forecasts import forecast
from headway_trainer.export.pictures import image_blocks
from headway_trainer.export.record import ModelInfo
from headway_trainer.export.session import Outputs, Session

_ROWS = 1024
_MAX_BLOCK_BYTES = 16 * 1024 * 1024
_SHOWN = 60
_IMAGE_AXES = 3
FILE = "file"
"""The column of an answer that says of which image a line is."""
_RECONSTRUCTED = "reconstructed."
"""What begins the names of columns of reconstructed features: they are called as the rows' own."""


@dataclass(frozen=True)
class Predictor:
    """A finished model, ready to predict."""

    info: ModelInfo
    signature: Signature
    session: Session

    @staticmethod
    def open(folder: str) -> Predictor:
        """The model in a run's folder, a path or URI.

        Raises UserError where there is none that can predict, and StorageError where its files cannot be read, or are
        not what was written.
        """
        return Predictor(*open_bundle(folder))

    def predict(self, rows: str) -> Iterator[pa.Table]:
        """Predictions for the rows that a path or URI holds, in their order, some at a time: `columns` names them. Of a
        forecast, the steps that follow the last row of each series, series by series. Of images, in the order of their
        paths, with the path in the first column, `file`.

        Raises UserError, naming file and column, for rows that the model cannot take; StorageError.
        """
        chain = self.info.data.transforms if self.info.data is not None else None
        of_images = isinstance(chain, ArrayChain) and len(chain.input_shape) == _IMAGE_AXES
        # A table beside images may have their labels, which nobody needs here.
        files = find_files(rows, None, None, prefer="imageFolder" if of_images else None)
        if isinstance(chain, TableChain):
            if files.format not in ("csv", "parquet", "jsonl"):
                raise UserError(
                    f"{rows} is {files.format}; this model takes the columns of csv, parquet or jsonl files"
                )
            forecast_info = self.info.data.forecast if self.info.data is not None else None
            return self._tables(files, chain) if forecast_info is None else self._forecasts(files, chain, forecast_info)
        if not isinstance(chain, ArrayChain):
            raise UserError(f"{MODEL_INFO_FILE} says nothing of the rows that the model was trained on")
        if files.format == "imageFolder" and of_images:
            return self._images(files, chain)
        if files.format != "npz":
            images = ", or images" if of_images else ""
            raise UserError(f"{rows} is {files.format}; this model takes an array of an npz file{images}")
        return self._arrays(files, chain)

    def _tables(self, files: SourceFiles, chain: TableChain) -> Iterator[pa.Table]:
        for block in self._blocks(files, chain, _kinds(chain)):
            for start in range(0, len(block), _ROWS):
                yield self._said(self.session.run(block.slice(start, _ROWS)))

    def _forecasts(self, files: SourceFiles, chain: TableChain, info: ForecastInfo) -> Iterator[pa.Table]:
        """All rows are read before the first answer, as they may be in any order of time."""
        kinds = {info.time: "time" if info.calendar else "number"} | ({info.group: "category"} if info.group else {})
        # The kind of a feature is that of its transform, also where it orders the rows.
        blocks = list(self._blocks(files, chain, kinds | _kinds(chain)))
        if blocks:
            yield from forecast(pa.concat_tables(blocks), info, self.signature, self.session, files.uri)

    def _blocks(self, files: SourceFiles, chain: TableChain, kinds: Mapping[str, str]) -> Iterator[pa.Table]:
        """The rows of the files as the model takes them, block by block, with the columns of these names and kinds."""
        written = self.info.data.written if self.info.data is not None else {}
        options = replace(Options.of_read(Read.model_validate(self.info.read)), written=written)
        categories = {one.inputs[0]: one.categories for one in chain.transforms if isinstance(one, Category)}
        row = 0
        for block in stream_table(files, options, kinds):
            columns = {name: _as_kind(block[name], name, kind, files.uri, row) for name, kind in kinds.items()}
            for name, known in categories.items():
                if pa.types.is_string(columns[name].type):
                    columns[name] = known_names(columns[name], known)
            yield pa.table(columns)
            row += len(block)

    def _arrays(self, files: SourceFiles, chain: ArrayChain) -> Iterator[pa.Table]:
        for file in files.files:
            x = _array(file, chain)
            for outputs in self.session.run_in_batches(x, _rows_at_once(chain)):
                yield self._said(outputs)

    def _images(self, files: SourceFiles, chain: ArrayChain) -> Iterator[pa.Table]:
        # Of arrays of numbers nobody knows how an image becomes one: those of images have 8 or 16 bits.
        deep = chain.tensor.type != "uint8"
        for paths, x in image_blocks(files, chain.input_shape, deep=deep, size=_rows_at_once(chain)):
            yield self._said(self.session.run(x)).add_column(0, FILE, pa.array(paths, pa.string()))

    def _said(self, outputs: Outputs) -> pa.Table:
        if LABEL in outputs:
            classes = next(one.names for one in self.signature.outputs if one.name == PROBABILITIES)
            columns: dict[str, Any] = {LABEL: pa.array(outputs[LABEL], pa.string())}
            found = outputs[PROBABILITIES]
            return pa.table(columns | {f"probability.{name}": found[:, index] for index, name in enumerate(classes)})
        if ANOMALY_SCORE in outputs:
            scores = {ANOMALY_SCORE: outputs[ANOMALY_SCORE]}
            names = next((one.names for one in self.signature.outputs if one.name == VALUE), [])
            values = {f"{_RECONSTRUCTED}{name}": outputs[VALUE][:, index] for index, name in enumerate(names)}
            return pa.table(scores | values)
        names = self.signature.outputs[0].names
        return pa.table({name: outputs[VALUE][:, index] for index, name in enumerate(names)})


def _rows_at_once(chain: ArrayChain) -> int:
    return max(1, min(_ROWS, _MAX_BLOCK_BYTES // max(1, 8 * int(np.prod(chain.input_shape)))))


def _kinds(chain: TableChain) -> dict[str, str]:
    """What each column holds: a sequence of tokens is made of text."""
    kinds = ((name, one.kind) for one in chain.transforms for name in one.inputs)
    return {name: "text" if kind == "tokens" else kind for name, kind in kinds}


def _as_kind(column: pa.ChunkedArray, name: str, kind: str, uri: str, row: int) -> pa.ChunkedArray:
    """The column as the model takes it. row: how many rows are before it. Raises UserError for values of another kind.

    A column in which all rows of a block are empty has no type of its own.
    """
    found = column.type
    if pa.types.is_null(found):
        return column
    fits = pa.types.is_nested(found) == (kind == "vector") and not (kind == "number" and pa.types.is_boolean(found))
    made, odd = converted(column, kind) if fits and kind != "vector" else (column, None)
    if fits and odd is None:
        return made
    if odd is None:
        odd = int(pc.index(column.is_valid(), value=True).as_py())
    raise UserError(
        f"column {name!r} of {uri} is {str(column[odd].as_py())[:_SHOWN]!r} in row {row + odd + 1}, but the model was "
        f"trained with values of the kind {kind} there: correct it, or leave it empty"
    )


def _array(file: SourceFile, chain: ArrayChain) -> npt.NDArray[Any]:
    """The array of an npz file that holds the rows: named as in training, or the only one of their shape."""
    with file.store.open_input(file.path) as stream:
        try:
            with np.load(stream, allow_pickle=False) as arrays:
                names = sorted(arrays.files, key=lambda name: name not in (chain.tensor.name, "x", "X"))
                found = {name: arrays[name] for name in names}
        except (ValueError, zipfile.BadZipFile, EOFError, OSError) as error:
            raise UserError(f"{file.uri} is no .npz file of plain arrays ({error})") from error
    for x in found.values():
        if (rows := _shaped(x, chain.tensor.shape)) is not None and x.dtype.kind in "iufb":
            _check_complete(rows, file.uri, chain)
            return rows
    shapes = ", ".join(f"{name} {x.shape}" for name, x in found.items()) or "no array"
    raise UserError(f"{file.uri} holds {shapes}; the model takes numbers of shape {('N', *chain.tensor.shape)}")


def _shaped(x: npt.NDArray[Any], shape: tuple[int, ...]) -> npt.NDArray[Any] | None:
    """The rows in the axes of training: as they are, with one channel added, or with the channels moved first."""
    if x.ndim == 0:
        return None
    for rows in (x, x[:, np.newaxis], np.moveaxis(x, -1, 1) if x.ndim > 1 else x):
        if rows.shape[1:] == shape:
            return rows
    return None


def _check_complete(x: npt.NDArray[Any], uri: str, chain: ArrayChain) -> None:
    if x.dtype.kind == "f" and not chain.fill and np.isnan(x).any():
        row = int(np.argwhere(np.isnan(x))[0][0])
        raise UserError(f"{uri} holds NaN in row {row + 1}: such rows must be complete; take it out")
