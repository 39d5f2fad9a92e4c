"""From `spec.data` to arrays on the store: load, check, split, encode, scale, write. Runs once, on the head."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headway_api import wire
from headway_api.bundle import FileDigest
from headway_api.data import Data
from headway_api.model import TokenOptions
from headway_api.training_rows import REFERENCE_FILE
from headway_trainer.data import encode, sources
from headway_trainer.data.content import ArrayContent, TableContent
from headway_trainer.data.examine import Examined, examine, learning_from_validation, profile_of, where_of
from headway_trainer.data.features import stays, write_features
from headway_trainer.data.forecast.info import ForecastInfo
from headway_trainer.data.forecast.write import sample_windows, write_windows
from headway_trainer.data.info import INFO_FILE, SPLITS, Blocks, DataInfo
from headway_trainer.data.ordering import by_parts, picked
from headway_trainer.data.prepared import (
    STUDY_FOLDER,
    Prepared,
    damage,
    data_digest,
    find_prepared,
    fold_folder,
)
from headway_trainer.data.read.memory import shown
from headway_trainer.data.reference import refer, rows_to_see
from headway_trainer.data.sample import Rows, choose_rows, spread, write_sample
from headway_trainer.data.split import Parts
from headway_trainer.data.target_scale import Standardised, standardise
from headway_trainer.data.targets import Target
from headway_trainer.data.transform import ArrayChain, Chain, TableChain
from headway_trainer.data.vocabulary import write_vocabularies
from headway_trainer.data.weights import weights_of
from headway_trainer.seeds import split_seed
from headway_trainer.storage import Store

Indices = npt.NDArray[np.int64]
ARRAY = "x"
"""What the features of a source of arrays are called."""
_SHARD_SHARE = 0.25
"""Of its memory, a training process holds so much of prepared rows at most."""


def prepare(
    spec: Data,
    *,
    seed: int,
    store: Store,
    tokens: TokenOptions | None = None,
    retrain: bool = False,
    volume_dir: str = wire.DATA_VOLUME_DIR,
    secret_dir: str = wire.DATA_SECRET_DIR,
    fence: Callable[[], None] = lambda: None,
    processes: int = 1,
    fold_processes: int = 1,
    process_memory: int | None = None,
) -> DataInfo:
    """Prepare the data of a run, and write `data/<part>.x.npy`, `data/<part>.y.npy` and, last, `data/info.json`.

    What an earlier attempt prepared from the same spec and seed is reused, so that a resumed run sees the same rows:
    where it is still what was written. tokens: how texts are encoded for a model that takes sequences; else they are
    bags of words. retrain: the run learns from the rows of the validation part, too, and its trials have rows of their
    own without them, in STUDY_FOLDER. processes and fold_processes: the training processes that share the rows, and
    those of a fold; process_memory: the bytes that each has, beyond a quarter of which rows are read in blocks; none:
    all are in memory.

    Raises UserError for data that cannot be learnt from, StorageError, and what fence raises, which is asked before
    anything is written.
    """
    digest = data_digest(spec, seed, tokens, retrain=retrain)
    found = find_prepared(store, digest)
    damaged = None if found is None else damage(store, found)
    if found is not None and damaged is None:
        return found.info
    # First, so that a file that changes while it is read counts as changed since.
    source = sources.take_fingerprint(spec, volume_dir=volume_dir, secret_dir=secret_dir)
    content = sources.load(spec, volume_dir=volume_dir, secret_dir=secret_dir)
    fence()
    wanted = _Wanted(spec, tokens, digest)
    known = examine(spec, split_seed(spec, seed), content, tokens=tokens is not None)
    own = learning_from_validation(spec, split_seed(spec, seed), content, known) if retrain else known
    info, files = _prepare(wanted, content, own, store)
    study, its_files = _prepare_child(wanted, content, known, store, STUDY_FOLDER) if retrain else (None, [])
    folds = [_prepare_fold(wanted, content, known, store, number=number) for number in range(1, len(known.folds) + 1)]
    in_blocks = partial(_in_blocks_where_large, process_memory=process_memory)
    info = in_blocks(info, processes=processes)
    study = None if study is None else in_blocks(study, processes=processes)
    files += [*its_files, *(file for _, those in folds for file in those)]
    if found is not None:
        same = "as before" if found.info.content_hash == info.content_hash else "which has changed since"
        note = f"{damaged}, so the data was prepared again from its source, {same}."
        info = info.model_copy(update={"profile": info.profile.with_note(note)})
    fence()
    prepared = Prepared(
        info=info,
        files=files,
        source=source,
        folds=[in_blocks(fold, processes=fold_processes) for fold, _ in folds],
        study=study,
    )
    store.write(INFO_FILE, prepared.model_dump_json(indent=2).encode())
    return info


def _in_blocks_where_large(info: DataInfo, *, processes: int, process_memory: int | None) -> DataInfo:
    """What is known of the data, and how its rows are read where a process cannot hold its share."""
    assert info.transforms is not None  # noqa: S101 - rows were prepared
    row = info.features * (1 if stays(info.transforms) else 4)
    share = -(-sum(info.rows.values()) // processes) * row
    if info.forecast is not None:
        return info  # its rows are places in a series, which is small beside the windows that are made of it
    if process_memory is None or share <= _SHARD_SHARE * process_memory:
        return info
    blocks = Blocks.of(row)
    note = (
        f"Each training process has {shown(share)} of rows, over a quarter of its memory ({shown(process_memory)}):"
        f" they are read in blocks of {blocks.rows:,} rows, shuffled among {blocks.window} blocks at a time."
    )
    return info.model_copy(update={"blocks": blocks, "profile": info.profile.with_note(note)})


def source_changes(
    spec: Data,
    *,
    seed: int,
    store: Store,
    tokens: TokenOptions | None = None,
    retrain: bool = False,
    folders: tuple[str, str] = (wire.DATA_VOLUME_DIR, wire.DATA_SECRET_DIR),
) -> str | None:
    """How the source differs from what rows were prepared from, in words; none if it does not, or there are no rows.

    tokens and retrain: as of `prepare`. folders: those of the data's volume and of its credentials. Raises StorageError
    for the run's own storage.
    """
    found = find_prepared(store, data_digest(spec, seed, tokens, retrain=retrain))
    if found is None or found.source is None:
        return None
    return sources.changes_since(found.source, spec, volume_dir=folders[0], secret_dir=folders[1])


@dataclass(frozen=True)
class _Wanted:
    """What is to be prepared."""

    spec: Data
    tokens: TokenOptions | None
    digest: str


def _prepare(
    wanted: _Wanted, content: TableContent | ArrayContent, known: Examined, store: Store
) -> tuple[DataInfo, list[FileDigest]]:
    info, files, chain = _transformed(wanted, content, known, store)
    files += _keep(store, content, known, chain)
    return info.model_copy(update={"profile": profile_of(known, content)}), files


def _prepare_fold(
    wanted: _Wanted, content: TableContent | ArrayContent, known: Examined, store: Store, *, number: int
) -> tuple[DataInfo, list[FileDigest]]:
    """Prepare a fold, counted from 1: the transforms are fitted on its own training rows alone."""
    parts, folder = known.folds[number - 1], fold_folder(number)
    weights = weights_of(known.schema, known.table, parts.indices[0], where_of(content))
    fold = replace(known, parts=parts, weights=weights, folds=[])
    return _prepare_child(wanted, content, fold, store, folder)


def _prepare_child(
    wanted: _Wanted, content: TableContent | ArrayContent, known: Examined, store: Store, folder: str
) -> tuple[DataInfo, list[FileDigest]]:
    """Prepare rows in a folder of their own, by transforms of their own; what there is to say of them is not kept."""
    own = replace(known, notes=[], warnings=[])
    info, files, _ = _transformed(
        replace(wanted, digest=f"{wanted.digest}/{folder}"), content, own, store.child(folder)
    )
    return info, [file.model_copy(update={"name": f"{folder}/{file.name}"}) for file in files]


def _transformed(
    wanted: _Wanted, content: TableContent | ArrayContent, known: Examined, store: Store
) -> tuple[DataInfo, list[FileDigest], Chain]:
    """Fit the transforms and write the arrays; what there is to tell but for the profile."""
    told = known
    target, parts = known.learnt()
    standardised = _standardised(target, parts, known.target_called)
    y = target.values if standardised is None else standardised.y
    if content.scratch.on_disk:
        content, known, y = _on_disk(content, known, y)
    chain = _fit(wanted, content, known)
    told.schema = known.schema
    # What another spec left there goes first, so that no reader takes old and new arrays together.
    store.delete(INFO_FILE)
    target, parts = known.learnt()
    forecast = _forecast(known, chain)
    info = DataInfo(
        task=target.task,
        input_shape=chain.input_shape if forecast is None else (forecast.history, *chain.input_shape),
        outputs=_outputs(target, chain) if forecast is None else target.outputs * forecast.horizon,
        forecast=forecast,
        classes=target.classes,
        feature_names=chain.feature_names,
        transforms=chain,
        rows=dict(
            zip(SPLITS, map(len, parts.indices if known.plan is None else known.plan.windows.starts), strict=True)
        ),
        class_balance=_class_balance(target, parts),
        content_hash=content.content_hash,
        target_names=[] if standardised is None else known.target_names,
        target_mean=[] if standardised is None else standardised.mean,
        target_std=[] if standardised is None else standardised.std,
        weighted=known.weights is not None,
        written=content.written if isinstance(content, TableContent) else {},
        digest=wanted.digest,
    )
    return info, _write(store, content, known, y, chain), chain


def _on_disk(
    content: TableContent | ArrayContent, known: Examined, y: npt.NDArray[Any]
) -> tuple[TableContent | ArrayContent, Examined, npt.NDArray[Any]]:
    """The rows of a source that lies on the disk, and y of them, in the order in which they are to be written; windows
    of a forecast are made of rows in the order that they have."""
    known.notes.append(
        "The data is larger than the memory that is left here, so it lay on the disk while it was prepared: the "
        "same rows and numbers come out."
    )
    if known.plan is not None:
        return content, known, y
    content, known, order = by_parts(content, known)
    return content, known, y[order]


def _forecast(known: Examined, chain: Chain) -> ForecastInfo | None:
    """What there is to know of windows; none for other tasks."""
    if known.plan is None or not isinstance(chain, TableChain):
        return None
    target, _ = known.learnt()
    names = chain.feature_names
    return known.plan.info(target.values, [names.index(name) for name in known.target_names])


def _write(
    store: Store, content: TableContent | ArrayContent, known: Examined, y: npt.NDArray[Any], chain: Chain
) -> list[FileDigest]:
    """Write the arrays; what was written."""
    rows = _rows_of(content, known)
    if known.plan is not None and isinstance(chain, TableChain):
        return write_windows(store, known.plan, rows, y, chain)
    _, parts = known.learnt()
    return write_features(store, rows, y, known.weights, parts=parts, chain=chain, on_disk=content.scratch.on_disk)


def _outputs(target: Target, chain: Chain) -> int:
    """Of a reconstruction, the features."""
    return target.outputs or math.prod(chain.input_shape)


def _fit(wanted: _Wanted, content: TableContent | ArrayContent, known: Examined) -> Chain:
    """The transforms, fitted on the training rows; what they did is written into what is known."""
    _, parts = known.learnt()
    train = parts.indices[0]
    if isinstance(content, ArrayContent):
        return ArrayChain.fit(
            ARRAY, content.x, train, wanted.spec.scale, content.feature_names, scratch=content.scratch
        )
    assert known.table is not None  # noqa: S101 - a table's columns are resolved
    steps = encode.choose_steps(known.schema, wanted.tokens, known.past, scratch=content.scratch)
    chain = TableChain.fit(steps, known.table, train, wanted.spec.scale)
    known.warnings += encode.warnings_of(chain.transforms)
    known.schema = encode.tell_done(known.schema, chain.transforms, forecast=known.plan is not None)
    return chain


def _rows_of(content: TableContent | ArrayContent, known: Examined) -> Callable[[Indices], pa.Table | npt.NDArray[Any]]:
    """The raw rows that are asked for by their numbers, as the transforms take them."""
    if isinstance(content, ArrayContent):
        return lambda index: content.x[index]
    table = known.table
    assert table is not None  # noqa: S101 - a table's columns are resolved
    if content.scratch.on_disk:
        return lambda index: picked(table, index, content.scratch)
    return lambda index: table.take(pa.array(index))


def _keep(store: Store, content: TableContent | ArrayContent, known: Examined, chain: Chain) -> list[FileDigest]:
    """Keep what the finished model's folder needs of the raw rows: some to check it with, and what all were like."""
    target, parts = known.learnt()
    rows = content.x if isinstance(content, ArrayContent) else known.table
    train, *held_out = parts.indices
    unseen = np.concatenate(held_out)
    if known.plan is not None and known.table is not None and isinstance(chain, TableChain):
        chosen: Rows = sample_windows(known.plan, known.table, chain)
    else:
        chosen = choose_rows(rows, unseen if len(unseen) else train, chain)
    sample = write_sample(store, chosen)
    seen = spread(train, rows_to_see(chain))
    reference = refer(rows, chain, target.values[seen], target.classes, rows=len(train), index=seen)
    described = store.write_described(
        f"data/{REFERENCE_FILE}", reference.model_dump_json(exclude={"predictions"}).encode()
    )
    return [sample, described, *write_vocabularies(store, chain)]


def _standardised(target: Target, parts: Parts, name: str) -> Standardised | None:
    return standardise(target.values, parts.indices[0], name) if target.classes is None and target.outputs else None


def _class_balance(target: Target, parts: Parts) -> dict[str, dict[str, int]] | None:
    if target.classes is None:
        return None
    balance: dict[str, dict[str, int]] = {}
    for name, index in zip(SPLITS, parts.indices, strict=True):
        counts = np.bincount(target.values[index], minlength=target.outputs)
        balance[name] = dict(zip(target.classes, counts.tolist(), strict=True))
    return balance
