"""`tuning.warmStart`: the trials of earlier studies that a searcher begins with, read once, before the first trial.

Files of other runs may have been written, or changed, by anybody: each is read up to a bound, and each doubt is one
sentence. Decided in docs/decisions/0094.
"""

from __future__ import annotations

import math
import re

from pydantic import ValidationError

from headway_api.tuning import MAX_TRIALS, EarlierStudy, Tuning
from headway_trainer.data import DataInfo
from headway_trainer.errors import NotFound, StorageError, UserError
from headway_trainer.publish import RESULT_FILE
from headway_trainer.report.model import RunResult
from headway_trainer.report.trial_records import TRIALS_FILE, TrialRecord
from headway_trainer.run import Run
from headway_trainer.storage import Store
from headway_trainer.tuning.events import EarlierSource, EarlierTrial, WarmStarted
from headway_trainer.tuning.space import Space

MOST_BYTES = 64 << 20
"""Of a file of an earlier run."""
MOST_TAKEN = 500
"""Trials that a searcher begins with; of more, as many that are equally far apart by their ranks."""
_UID = r"(-[0-9a-f]{8})?"
"""What follows a job's name in the name of its folder: the beginning of its uid. Nothing under `headway run`."""


def warm_start(tuning: Tuning, metric: str, run: Run, info: DataInfo) -> WarmStarted:
    """What is known from the earlier studies that the spec names.

    metric: what trials are compared by. Raises UserError for one that is not there, cannot be read, or is of another
    metric, and StorageError.
    """
    space, taken, sources = Space(tuning.parameters), list[EarlierTrial](), list[EarlierSource]()
    for index, one in enumerate(tuning.warm_start or ()):
        where = f"tuning.warmStart[{index}]"
        what, folder = _folder(one, where, run)
        result = _result(folder, where)
        _refuse_another(result, tuning, metric, info, f"{where}: {what}")
        if result.data is not None and result.data.content_hash != info.content_hash:
            run.reporter.warn(f"Trials of {what} were measured on other data: they may mislead the search.")
        records = _records(folder, where)
        own = [
            EarlierTrial(parameters=each.parameters, value=each.value)
            for each in records
            if each.value is not None and _is_of(each, space)
        ]
        taken += own
        sources.append(EarlierSource(what=what, taken=len(own), skipped=len(records) - len(own)))
    return WarmStarted(trials=_some(taken), sources=sources)


def _is_of(trial: TrialRecord, space: Space) -> bool:
    """Whether a trial says something of this space: with a value after all its epochs, and parameters that never
    changed."""
    whole = trial.state == "completed" and trial.value is not None and math.isfinite(trial.value)
    return whole and not trial.lineage and space.fault(trial.parameters) is None


def _some(trials: list[EarlierTrial]) -> list[EarlierTrial]:
    if len(trials) <= MOST_TAKEN:
        return trials
    ranked = sorted(range(len(trials)), key=lambda index: (trials[index].value, index))
    last = len(ranked) - 1
    chosen = {ranked[round(place * last / (MOST_TAKEN - 1))] for place in range(MOST_TAKEN)}
    return [trials[index] for index in sorted(chosen)]


def _folder(one: EarlierStudy, where: str, run: Run) -> tuple[str, Store]:
    """What it is, in words, and its folder."""
    if one.uri is not None:
        return one.uri.partition("?")[0], Store.open(one.uri, run.around.storage_secret_dir)
    job = one.job or ""
    root = Store.open(run.around.results_uri or _parent(run.file.storage_uri), run.around.storage_secret_dir)
    folders = [root.child(name) for name in root.list() if re.fullmatch(re.escape(job) + _UID, name)]
    there = [folder for folder in folders if folder.is_file(RESULT_FILE) and folder.is_file(TRIALS_FILE)]
    mine = run.file.uid or None
    found = [(_result(folder, where), folder) for folder in there]
    done = [each for each in found if each[0].job == job and (mine is None or each[0].uid != mine)]
    if not done:
        raise UserError(
            f"{where}: the job {job} has no finished trials in {root.uri}: correct the name, or give the folder of its "
            "run as uri"
        )
    return f"the job {job}", max(done, key=lambda each: each[0].finished)[1]


def _parent(uri: str) -> str:
    """The folder that holds the run's own."""
    path, mark, options = uri.partition("?")
    return path.rstrip("/").rpartition("/")[0] + mark + options


def _read(folder: Store, name: str, where: str) -> bytes:
    try:
        if folder.size(name) > MOST_BYTES:
            raise UserError(f"{where}: {folder.child(name).uri} is larger than {MOST_BYTES >> 20} MiB: take it out")
        return folder.read(name)
    except NotFound as error:
        raise UserError(
            f"{where}: {folder.uri} holds no {name}: give the folder of a finished run with spec.tuning"
        ) from error
    except StorageError as error:
        raise StorageError(f"{where}: an earlier study cannot be read: {error}") from error


def _result(folder: Store, where: str) -> RunResult:
    try:
        return RunResult.model_validate_json(_read(folder, RESULT_FILE, where))
    except ValidationError as error:
        raise UserError(
            f"{where}: {folder.child(RESULT_FILE).uri} is no {RESULT_FILE} of a finished run: give another folder"
        ) from error


def _records(folder: Store, where: str) -> list[TrialRecord]:
    lines = _read(folder, TRIALS_FILE, where).removesuffix(b"\n").split(b"\n")
    if len(lines) > MAX_TRIALS:
        raise UserError(f"{where}: {folder.child(TRIALS_FILE).uri} has more than {MAX_TRIALS} lines: take it out")
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(TrialRecord.model_validate_json(line))
        except ValidationError as error:
            raise UserError(
                f"{where}: line {number} of {folder.child(TRIALS_FILE).uri} is no trial: give the folder as its run "
                "wrote it"
            ) from error
    return found


def _refuse_another(result: RunResult, tuning: Tuning, metric: str, info: DataInfo, where: str) -> None:
    """Raise UserError where its values say nothing of this study's."""
    if result.tuning is None:
        raise UserError(f"{where} has no trials: give a run with spec.tuning")
    theirs, ours = (result.tuning.metric, result.tuning.better), (metric, tuning.better(metric))
    if theirs != ours:
        raise UserError(
            f"{where} was searched by {theirs[0]} ({theirs[1]}), and this job by {ours[0]} ({ours[1]}): their values "
            "are not comparable, so take it out, or set tuning.metric"
        )
    if result.data is not None and result.data.task != info.task:
        raise UserError(
            f"{where} learnt a {result.data.task}, and this job a {info.task}: their values are not comparable, so "
            "take it out"
        )
