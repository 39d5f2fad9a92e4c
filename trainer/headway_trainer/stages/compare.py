"""What the gates compare with beside the baseline: the results of other runs, read before anything is trained, so that
hours of training do not end at a name that nobody has."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeGuard

from pydantic import ValidationError

from headway_api.evaluation import Against, Gate
from headway_api.job import TrainingJobSpec
from headway_trainer.errors import NotFound, StorageError, UserError
from headway_trainer.kept_results import digest_of, keep, recall
from headway_trainer.publish import RESULT_FILE
from headway_trainer.report.gates import Standard, Standards, value_of
from headway_trainer.report.model import RunResult
from headway_trainer.run import Run
from headway_trainer.stages.stage import Results
from headway_trainer.storage import Store

_UID = r"(-[0-9a-f]{8})?"
"""What follows a job's name in the name of its folder: the beginning of its uid. Nothing under `headway run`."""


class Compare:
    """Reads the results that gates compare with."""

    name = "compare"

    def spec(self, job: TrainingJobSpec) -> list[Gate] | None:
        """The gates that compare with another run."""
        return [gate for gate in job.evaluation.gates or () if _names_a_run(gate.against)] or None

    def run(self, spec: Sequence[Gate], run: Run, before: Results) -> Standards:  # noqa: ARG002 - it is the first
        """Read them, or take what the first attempt has read: all attempts are judged alike.

        Raises UserError for a result that is not there, cannot be read, or has no such metric.
        """
        digest = digest_of(*spec)
        found = recall(run.store, self.name, digest, Standards)
        if found is None:
            with run.reporter.alive_meanwhile():
                found = Standards(by_gate={gate.name: _standard(gate, run) for gate in spec})
            run.fence()
            keep(run.store, self.name, digest, found)
        return found


def _names_a_run(against: Against | None) -> TypeGuard[Against]:
    return against is not None and not against.baseline


def _standard(gate: Gate, run: Run) -> Standard:
    against = gate.against
    assert against is not None  # noqa: S101 - of these gates it is set
    if against.uri is not None:
        what = against.uri.partition("?")[0]
        result = _read(Store.open(against.uri, run.around.storage_secret_dir), "", gate)
    else:
        what = f"the job {against.job}"
        result = _newest(against.job or "", run, gate)
    value = value_of(gate, result.metrics)
    if value is None:
        part, _ = gate.part_and_name
        has = [name for name, number in getattr(result.metrics, part, {}).items() if number is not None]
        there = f"of the {part} part it has {', '.join(has)}" if has else f"it has none of the {part} part"
        raise UserError(
            f"evaluation.gates: {gate.name} compares {gate.metric} with {what}, whose result has no such metric: "
            f"{there}"
        )
    data = result.data
    return Standard(
        what=what, value=value, content_hash=data.content_hash if data else None, task=data.task if data else None
    )


def _newest(job: str, run: Run, gate: Gate) -> RunResult:
    """The result of the newest finished run of a job below the same folder, that passed its own gates."""
    root = Store.open(run.around.results_uri or _parent(run.file.storage_uri), run.around.storage_secret_dir)
    folders = [name for name in root.list() if re.fullmatch(re.escape(job) + _UID, name)]
    found = [
        _read(root, f"{folder}/{RESULT_FILE}", gate) for folder in folders if root.is_file(f"{folder}/{RESULT_FILE}")
    ]
    mine = run.file.uid or None
    done = [one for one in found if one.job == job and one.outcome == "Succeeded" and (mine is None or one.uid != mine)]
    if not done:
        raise UserError(
            f"evaluation.gates: {gate.name} compares with the job {job}, which has no finished model that passed its "
            f"own gates in {root.uri}: correct the name, or give the place of its {RESULT_FILE} as against.uri"
        )
    return max(done, key=lambda one: one.finished)


def _parent(uri: str) -> str:
    """The folder that holds the run's own."""
    path, mark, options = uri.partition("?")
    return path.rstrip("/").rpartition("/")[0] + mark + options


def _read(store: Store, path: str, gate: Gate) -> RunResult:
    where = store.child(path).uri if path else store.uri
    try:
        return RunResult.model_validate_json(store.read(path))
    except NotFound as error:
        raise UserError(
            f"evaluation.gates: {gate.name} compares with {where}, where no file is: correct uri"
        ) from error
    except ValidationError as error:
        raise UserError(
            f"evaluation.gates: {gate.name} compares with {where}, which is no {RESULT_FILE} of a finished run"
        ) from error
    except StorageError as error:
        raise StorageError(
            f"evaluation.gates: {gate.name} compares with a result that cannot be read: {error}"
        ) from error
