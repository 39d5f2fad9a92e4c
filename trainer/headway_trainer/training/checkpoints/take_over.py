"""The best checkpoint of a trial, taken over into the folder of the run that it was tried for: as one that has nothing
left to train, so that the run judges its model, exports it, and publishes it."""

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
            return _copied(trial, manifest, run, attempt)
        except (Damaged, NotFound):
            continue
    raise StorageError("no checkpoint of the best trial can be read any more: nothing is left to make the model from")


def _copied(trial: Checkpoints, manifest: Manifest, run: Store, attempt: int) -> CheckpointStatus:
    own = Checkpoints(run, attempt)
    folder = run.child(FOLDER, folder_name(manifest.step, attempt))
    files = []
    for file in manifest.files:
        if file.name == STATE_FILE:
            state = SharedState.model_validate_json(trial.read(manifest, file.name))
            over = state.model_copy(update={"pruned": True, "unanswered": False})
            files.append(folder.write_described(file.name, over.model_dump_json().encode()))
        else:
            files.append(trial.copy(manifest, file.name, folder, file.name))
    return own.commit(manifest.model_copy(update={"attempt": attempt, "files": files}))
