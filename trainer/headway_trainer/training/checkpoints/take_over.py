"""The checkpoint of a trial, taken over into another folder: the best one into the run's that it was tried for, as one
that has nothing left to train, so that the run judges its model, exports it, and publishes it; the newest one into that
of another trial, which goes on from it."""

from __future__ import annotations

from headway_api.status import CheckpointStatus
from headway_trainer.errors import NotFound, StorageError
from headway_trainer.storage import Store
from headway_trainer.training.checkpoints.shared_state import STATE_FILE, SharedState
from headway_trainer.training.checkpoints.store import FOLDER, Checkpoints, Damaged, Manifest, folder_name
from headway_trainer.training.early_stopping import Mode


def take_over(trial: Checkpoints, run: Store, attempt: int, metric: str, mode: Mode) -> CheckpointStatus:
    """Copy the checkpoint of a trial that holds its best model, as one of the run's attempt that is over.

    metric and mode: what is best. Raises StorageError, also where none of them can be read any more.
    """
    for manifest in trial.by_merit(metric, mode):
        try:
            return _copied(trial, manifest, run, attempt, over=True)
        except (Damaged, NotFound):
            continue
    raise StorageError("no checkpoint of the best trial can be read any more: nothing is left to make the model from")


def go_on_from(source: Checkpoints, epoch: int, trial: Store, attempt: int) -> CheckpointStatus:
    """Let a trial go on from where another one is: what it had itself is deleted.

    epoch: the finished epochs of source, whose newest checkpoint is of their end. trial: its folder. To be called again
    where it was interrupted. Raises StorageError, also where that checkpoint cannot be read any more.
    """
    found = source.newest()
    manifest = found.manifest
    if manifest is None or (manifest.epoch, manifest.batch) != (epoch, 0):
        why = f" ({' '.join(found.notes)})" if found.notes else ""
        raise StorageError(f"the checkpoint that a trial is to take over has no end of epoch {epoch} any more{why}")
    own = Checkpoints(trial, attempt)
    own.claim()
    own.clear_after(None)
    return _copied(source, manifest, trial, attempt, over=False)


def _copied(trial: Checkpoints, manifest: Manifest, to: Store, attempt: int, *, over: bool) -> CheckpointStatus:
    own = Checkpoints(to, attempt)
    folder = to.child(FOLDER, folder_name(manifest.step, attempt))
    files = []
    for file in manifest.files:
        if over and file.name == STATE_FILE:
            state = SharedState.model_validate_json(trial.read(manifest, file.name))
            ended = state.model_copy(update={"pruned": True, "unanswered": False})
            files.append(folder.write_described(file.name, ended.model_dump_json().encode()))
        else:
            files.append(trial.copy(manifest, file.name, folder, file.name))
    return own.commit(manifest.model_copy(update={"attempt": attempt, "files": files}))
