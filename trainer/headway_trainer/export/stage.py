"""The export at the end of a run: the model as ONNX, compared with the trained one on raw rows of the source."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import nn

from headway_api.bundle import Parity
from headway_trainer.data.info import DataInfo
from headway_trainer.data.sample import Rows, read_sample, with_made_rows
from headway_trainer.data.vocabulary import with_vocabularies
from headway_trainer.errors import StorageError
from headway_trainer.export.body import reason
from headway_trainer.export.onnx_model import onnx_model, whole_model
from headway_trainer.export.parity import compare, trained
from headway_trainer.export.record import Export, signature
from headway_trainer.export.session import Session
from headway_trainer.storage import Store

_BATCH = 64
_NO_ROWS = Export(problem="no model.onnx was written: no rows were prepared")


def export(model: nn.Module, info: DataInfo, store: Store, path: str) -> Export:
    """Export a model, on the CPU, to a path in the run's folder, and check it on raw rows of the source.

    What keeps the model from being exported is told in the answer; the run is none the worse. Raises StorageError.
    """
    was_training = model.training
    model.eval()
    try:
        known = with_vocabularies(info, store)
        return _export(lambda: onnx_model(model, known), lambda rows: trained(model, known, rows), known, store, path)
    finally:
        model.train(was_training)


def export_fitted(body: bytes, says: npt.NDArray[np.float64] | None, info: DataInfo, store: Store, path: str) -> Export:
    """As `export`, of a graph from features to outputs. says: what the fitted model said of the rows, as `trained`
    has it; none where no rows were prepared."""
    if says is None:
        return _NO_ROWS
    return _export(lambda: whole_model(onnx.load_model_from_string(body), info), lambda _: says, info, store, path)


def _export(
    make: Callable[[], onnx.ModelProto],
    expected: Callable[[Rows], npt.NDArray[np.float64]],
    info: DataInfo,
    store: Store,
    path: str,
) -> Export:
    if info.transforms is None:
        return _NO_ROWS
    try:
        data = make().SerializeToString()
        takes = signature(info)
        rows = with_made_rows(read_sample(store, info.transforms), info.transforms, takes.history or 1)
        parts = list(Session(data, takes, threads=torch.get_num_threads()).run_in_batches(rows, _BATCH))
        said = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        parity = compare(expected(rows), said, info)
    except (MemoryError, StorageError):
        raise
    except Exception as error:  # whatever the exporter, or the runtime, makes of a model: it is trained all the same
        return Export(problem=f"no model.onnx was written, as the model cannot be exported: {reason(error)}")
    if not parity.holds:
        return Export(parity=parity, problem=_broken(parity))
    return Export(file=store.write_described(path, data), signature=takes, parity=parity)


def _broken(parity: Parity) -> str:
    by = "something that is no number" if parity.max_difference is None else f"{parity.max_difference:.3g}"
    return (
        f"no model.onnx was written, as the exported model did not say what the trained one says: on {parity.rows} "
        f"rows of the source they differ by up to {by}, where {parity.tolerance:g} is allowed"
    )
