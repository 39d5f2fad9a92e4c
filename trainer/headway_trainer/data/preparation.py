"""From `spec.data` to arrays on the store: load, check, split, encode, scale, write. Runs once, on the head."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field, ValidationError

from headway_api import wire
from headway_api.base import StatusSection
from headway_api.data import Data
from headway_api.model import TokenOptions
from headway_trainer.data import encode, sources
from headway_trainer.data.content import ArrayContent, TableContent
from headway_trainer.data.examine import Examined, examine, profile_of, where_of
from headway_trainer.data.fingerprint import Fingerprint
from headway_trainer.data.forecast.info import SERIES_FILE
from headway_trainer.data.forecast.write import sample_windows, write_windows
from headway_trainer.data.info import INFO_FILE, SPLITS, Blocks, DataInfo, w_file, x_file, y_file
from headway_trainer.data.ordering import by_parts, picked
from headway_trainer.data.read.memory import shown
from headway_trainer.data.reference import REFERENCE_FILE, refer, rows_to_see
from headway_trainer.data.sample import SAMPLE_FILE, Rows, choose_rows, spread, write_sample
from headway_trainer.data.shards import write_array, write_blocks
from headway_trainer.data.split import Parts
from headway_trainer.data.target_scale import Standardised, standardise
from headway_trainer.data.targets import Target
from headway_trainer.data.transform import ArrayChain, Chain, TableChain
from headway_trainer.data.vocabulary import VOCABULARY_FILE, write_vocabularies
from headway_trainer.data.weights import weights_of
from headway_trainer.errors import NotFound
from headway_trainer.kept_results import kept_path
from headway_trainer.seeds import split_seed
from headway_trainer.storage import FileDigest, Store

Indices = npt.NDArray[np.int64]
ARRAY = "x"
"""What the features of a source of arrays are called."""
BLOCK_BYTES = 4 * 1024 * 1024
FEWEST_ROWS = 256
"""Of a table in a block, as each block costs some time for each column."""
"""Features that are made and written at once."""
CHILDREN = "children"
"""The folder of what belongs to the trainings that a run has beside its own."""
_SHARD_SHARE = 0.25
"""Of its memory, a training process holds so much of prepared rows at most."""
BLOCKS_OF_DISK = 16
"""Blocks of them for which rows are fetched from the disk at once."""
FORMAT = 5
"""Counts up when the same spec and seed would be prepared differently, so that older arrays are not reused."""


class Prepared(StatusSection):
    """`data/info.json`: what is known of prepared data, and the arrays that belong to it."""

    info: DataInfo
    """What is known of it."""
    files: list[FileDigest]
    """All its arrays, by their paths in the run's folder."""
    source: Fingerprint | None = None
    """What the source's files were like; none for a built-in set."""
    folds: list[DataInfo] = Field(default_factory=list)
    """What is known of the rows of each fold, whose arrays are in the folder of `fold_folder`."""


def prepare(
    spec: Data,
    *,
    seed: int,
    store: Store,
    tokens: TokenOptions | None = None,
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
    bags of words. processes and fold_processes: the training processes that share the rows, and those of a fold;
    process_memory: the bytes that each has, beyond a quarter of which rows are read in blocks; none: all are in memory.

    Raises UserError for data that cannot be learnt from, StorageError, and what fence raises, which is asked before
    anything is written.
    """
    digest = data_digest(spec, seed, tokens)
    found = _prepared(store, digest)
    damaged = None if found is None else _damage(store, [one for one in found.files if not _is_done(store, one)])
    if found is not None and damaged is None:
        return found.info
    # First, so that a file that changes while it is read counts as changed since.
    source = sources.take_fingerprint(spec, volume_dir=volume_dir, secret_dir=secret_dir)
    content = sources.load(spec, volume_dir=volume_dir, secret_dir=secret_dir)
    fence()
    wanted = _Wanted(spec, tokens, digest)
    known = examine(spec, split_seed(spec, seed), content, tokens=tokens is not None)
    info, files = _prepare(wanted, content, known, store)
    folds = [_prepare_fold(wanted, content, known, store, number=number) for number in range(1, len(known.folds) + 1)]
    in_blocks = partial(_in_blocks_where_large, process_memory=process_memory)
    info = in_blocks(info, processes=processes)
    files += [file for _, those in folds for file in those]
    if found is not None:
        same = "as before" if found.info.content_hash == info.content_hash else "which has changed since"
        note = f"{damaged}, so the data was prepared anew from its source, {same}."
        info = info.model_copy(update={"profile": info.profile.with_note(note)})
    fence()
    prepared = Prepared(
        info=info, files=files, source=source, folds=[in_blocks(fold, processes=fold_processes) for fold, _ in folds]
    )
    store.write(INFO_FILE, prepared.model_dump_json(indent=2).encode())
    return info


def _in_blocks_where_large(info: DataInfo, *, processes: int, process_memory: int | None) -> DataInfo:
    """What is known of the data, and how its rows are read where a process cannot hold its share."""
    assert info.transforms is not None  # noqa: S101 - rows were prepared
    row = info.features * (1 if _stays(info.transforms) else 4)
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
    folders: tuple[str, str] = (wire.DATA_VOLUME_DIR, wire.DATA_SECRET_DIR),
) -> str | None:
    """How the source differs from what rows were prepared from, in words; none if it does not, or there are no rows.

    folders: those of the data's volume and of its credentials. Raises StorageError for the run's own storage.
    """
    found = _prepared(store, data_digest(spec, seed, tokens))
    if found is None or found.source is None:
        return None
    return sources.changes_since(found.source, spec, volume_dir=folders[0], secret_dir=folders[1])


def forget(store: Store) -> None:
    """Delete prepared rows, and models that lie beside them until they are published: the files that are known, and no
    others. Raises StorageError."""
    files = [file(name) for file in (x_file, y_file, w_file) for name in SPLITS]
    files += [SERIES_FILE, SAMPLE_FILE, f"data/{REFERENCE_FILE}", f"data/{VOCABULARY_FILE}"]
    with contextlib.suppress(NotFound, ValidationError):
        files += [file.name for file in Prepared.model_validate_json(store.read(INFO_FILE)).files]
    # What tells of the rows goes first: rows that are half deleted are none.
    folder = INFO_FILE.partition("/")[0]
    files += [f"{folder}/{name}" for name in store.list(folder) if re.fullmatch(r"model-\d+\.onnx", name)]
    for path in dict.fromkeys([INFO_FILE, *files]):
        store.delete(path)
    if not store.list(folder):
        store.delete(folder)
    for name in store.list(CHILDREN):
        forget(store.child(CHILDREN, name))


def fold_folder(number: int) -> str:
    """The folder, in the run's, of what belongs to a fold, counted from 1."""
    return f"{CHILDREN}/fold-{number}"


def data_digest(spec: Data, seed: int, tokens: TokenOptions | None = None) -> str:
    """Identifies what is prepared: the data section, without credentials, the seed of the split, and how texts become
    tokens, if they do."""
    told = [FORMAT, spec.model_dump(mode="json", exclude={"source": {"secret_ref"}}), split_seed(spec, seed)]
    told += [] if tokens is None else [tokens.model_dump(mode="json")]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _prepared(store: Store, digest: str) -> Prepared | None:
    if not store.exists(INFO_FILE):
        return None
    try:
        found = Prepared.model_validate_json(store.read(INFO_FILE))
    except ValidationError:
        return None
    return found if found.info.digest == digest else None


def _damage(store: Store, files: Sequence[FileDigest]) -> str | None:
    """Which of the arrays is not what was written, in words; none if all are."""
    for file in files:
        try:
            if store.size(file.name) != file.size_bytes or store.sha256(file.name) != file.sha256:
                return f"{file.name} was not what was written there"
        except NotFound:
            return f"{file.name} was gone"
    return None


def prepared_folds(store: Store) -> list[DataInfo]:
    """What is known of the rows of each fold, once `prepare` has returned. Raises StorageError."""
    return Prepared.model_validate_json(store.read(INFO_FILE)).folds


def _is_done(store: Store, file: FileDigest) -> bool:
    """Whether an array is of a fold that has ended: it may be gone."""
    folder, _, _ = file.name.rpartition("/data/")
    return folder != "" and store.exists(kept_path("train", folder))


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
    fold = replace(known, parts=parts, weights=weights, folds=[], notes=[], warnings=[])
    info, files, _ = _transformed(
        replace(wanted, digest=f"{wanted.digest}/{folder}"), content, fold, store.child(folder)
    )
    return info, [file.model_copy(update={"name": f"{folder}/{file.name}"}) for file in files]


def _transformed(
    wanted: _Wanted, content: TableContent | ArrayContent, known: Examined, store: Store
) -> tuple[DataInfo, list[FileDigest], Chain]:
    """Fit the transforms and write the arrays; what there is to tell but for the profile."""
    told = known
    target, parts = known.learnt()
    if isinstance(content, ArrayContent):
        known.notes += encode.check_array(content.x)
    standardised = _standardised(target, parts, known.target_called)
    y = target.values if standardised is None else standardised.y
    if content.scratch.on_disk:
        known.notes.append(
            "The data is larger than the memory that is left here, so it lay on the disk while it was prepared: the "
            "same rows and numbers come out."
        )
        if known.plan is None:
            content, known, order = by_parts(content, known)
            target, parts = known.learnt()
            y = y[order]
    chain = _fit(wanted, content, known, parts)
    told.schema = known.schema
    rows = _rows_of(content, known)
    # What another spec left there goes first, so that no reader takes old and new arrays together.
    store.delete(INFO_FILE)
    forecast, windows = None, parts.indices
    if known.plan is not None and isinstance(chain, TableChain):
        names = chain.feature_names
        forecast = known.plan.info(target.values, [names.index(name) for name in known.target_names])
        windows = known.plan.windows.starts
        files = write_windows(store, known.plan, rows, y, chain)
    else:
        at_once = BLOCKS_OF_DISK if content.scratch.on_disk else 1
        files = _write(store, rows, y, known.weights, parts=parts, chain=chain, at_once=at_once)
    info = DataInfo(
        task=target.task,
        input_shape=chain.input_shape if forecast is None else (forecast.history, *chain.input_shape),
        outputs=_outputs(target, chain) if forecast is None else target.outputs * forecast.horizon,
        forecast=forecast,
        classes=target.classes,
        feature_names=chain.feature_names,
        transforms=chain,
        rows={name: len(index) for name, index in zip(SPLITS, windows, strict=True)},
        class_balance=_class_balance(target, parts),
        content_hash=content.content_hash,
        target_names=[] if standardised is None else known.target_names,
        target_mean=[] if standardised is None else standardised.mean,
        target_std=[] if standardised is None else standardised.std,
        weighted=known.weights is not None,
        written=content.written if isinstance(content, TableContent) else {},
        digest=wanted.digest,
    )
    return info, files, chain


def _outputs(target: Target, chain: Chain) -> int:
    """Of a reconstruction, the features."""
    return target.outputs or math.prod(chain.input_shape)


def _fit(wanted: _Wanted, content: TableContent | ArrayContent, known: Examined, parts: Parts) -> Chain:
    """The transforms, fitted on the training rows; what they did is written into what is known."""
    train = parts.indices[0]
    if isinstance(content, ArrayContent):
        return ArrayChain.fit(
            ARRAY, content.x, train, wanted.spec.scale, content.feature_names, scratch=content.scratch
        )
    assert known.table is not None  # noqa: S101 - a table's columns are resolved
    steps = encode.choose_steps(known.schema, known.table, content.where, wanted.tokens, known.past)
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
    reference = refer(_rows_of(content, known)(seen), chain, target.values[seen], target.classes, rows=len(train))
    described = store.write_described(f"data/{REFERENCE_FILE}", reference.model_dump_json().encode())
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


def _write(
    store: Store,
    rows: Callable[[Indices], Any],
    y: npt.NDArray[Any],
    weights: npt.NDArray[np.float32] | None,
    *,
    parts: Parts,
    chain: Chain,
    at_once: int,
) -> list[FileDigest]:
    files = []
    for name, index in zip(SPLITS, parts.indices, strict=True):
        shape, dtype = (len(index), *chain.input_shape), np.uint8 if _stays(chain) else np.float32
        blocks = (_stored(block, chain) for block in _in_blocks(rows, index, chain, at_once=at_once))
        files.append(write_blocks(store, x_file(name), shape, dtype, blocks))
        files.append(write_array(store, y_file(name), y[index]))
        if weights is not None:
            files.append(write_array(store, w_file(name), weights[index]))
    return files


def _stays(chain: Chain) -> bool:
    """Whether rows are stored as they are: numbers of 8 bits, a quarter of the size, for `batches.Feed` to scale."""
    return isinstance(chain, ArrayChain) and chain.tensor.type == "uint8"


def _stored(rows: Any, chain: Chain) -> npt.NDArray[Any]:
    """Rows as they are stored."""
    return rows if _stays(chain) else chain.apply(rows)


def _in_blocks(rows: Callable[[Indices], Any], index: Indices, chain: Chain, *, at_once: int) -> Iterator[Any]:
    """The rows of these numbers in blocks whose features take BLOCK_BYTES in 64 bits; of a wide table, FEWEST_ROWS at
    least. at_once blocks are fetched at once."""
    least = FEWEST_ROWS if isinstance(chain, TableChain) else 1
    step = max(least, BLOCK_BYTES // (8 * max(1, math.prod(chain.input_shape))))
    for start in range(0, len(index), at_once * step):
        some = rows(index[start : start + at_once * step])
        for begin in range(0, len(some), step):
            yield some.slice(begin, step) if isinstance(some, pa.Table) else some[begin : begin + step]
