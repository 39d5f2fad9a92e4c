"""Trials with a training function of the user's own: how one is trained, and how the best one becomes the run's."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import ValidationError

from headway_api.job import TrainingJobSpec
from headway_trainer.api import MODEL_FILE
from headway_trainer.data import DataInfo
from headway_trainer.errors import NotFound, StorageError
from headway_trainer.kept_results import keep, recall
from headway_trainer.outcome import Interrupted
from headway_trainer.run import Run
from headway_trainer.stages.trial_ends import of_reports
from headway_trainer.storage import Store
from headway_trainer.training.checkpoints.store import RAY_FOLDER
from headway_trainer.training.link import TrainEnd
from headway_trainer.tuning.events import Ended
from headway_trainer.tuning.log import FOLDER
from headway_trainer.tuning.trial import Trial

MOST_REPORTS = 10_000
"""Reports of a trial that are judged, and counted by limits."""
_KEPT = "own-trial"
BEST_FILE = f"{FOLDER}/best.json"
"""What the best trial came to: a search whose trials are raised after its end may need it again."""


def is_own(spec: TrainingJobSpec) -> bool:
    """Whether a function of the user's own is trained."""
    return spec.training is not None and spec.training.entrypoint is not None


def trained(trial: Trial, child: Run, info: DataInfo | None) -> Ended:
    """Train one; how it ended. Raises as `own_trial_stage.train_own_trial`, and Interrupted for one whose run is to
    stop: that goes on in the next attempt from its newest checkpoint."""
    from headway_trainer.ray.own_trial_stage import train_own_trial

    end = child.on_workers(lambda stage: train_own_trial(stage, info))
    child.fence()
    keep(child.store, _KEPT, _KEPT, end)
    if child.compared is None:
        raise ValueError(f"{child.scope} is compared with nothing")
    if not end.finished:
        raise Interrupted("stopped; the newest checkpoint that the training function reported is where it goes on")
    return of_reports(trial, child.compared, end)


def stopped(trial: Trial, child: Run) -> Ended:
    """How one ended that was stopped on its way, as the search is over: by what it has reported."""
    if child.compared is None:
        raise ValueError(f"{child.scope} is compared with nothing")
    return of_reports(trial, child.compared, TrainEnd(finished=False))


def take_over(trial: Store, run: Run) -> None:
    """Let what the best trial has left be the run's own: its checkpoints, its model, and what it came to.

    To be called again where it was interrupted. Raises StorageError.
    """
    end = recall(trial, _KEPT, _KEPT, TrainEnd)
    if end is None:
        raise StorageError(
            "what the best trial came to cannot be read any more: nothing is left to make the model from"
        )
    for path in (BEST_FILE, RAY_FOLDER, MODEL_FILE):  # of the best one before
        run.store.delete(path)
    for path, _ in trial.walk(RAY_FOLDER):
        _copy(trial, run.store, f"{RAY_FOLDER}/{path}")
    if trial.is_file(MODEL_FILE):
        _copy(trial, run.store, MODEL_FILE)
    checkpoint = end.checkpoint
    if checkpoint is not None:
        uri = checkpoint.uri.replace(trial.uri.rstrip("/"), run.store.uri.rstrip("/"), 1)
        checkpoint = checkpoint.model_copy(update={"uri": uri})
    own = end.model_copy(update={"checkpoint": checkpoint, "finished": True})
    run.store.write(BEST_FILE, own.model_dump_json().encode())


def has_taken_over(run: Run) -> bool:
    """Whether a best trial was taken over whole. Raises StorageError."""
    return run.store.is_file(BEST_FILE)


def end_of_the_best(run: Run) -> TrainEnd:
    """What the best trial came to, which was taken over. Raises StorageError."""
    try:
        return TrainEnd.model_validate_json(run.store.read(BEST_FILE))
    except (NotFound, ValidationError) as error:
        raise StorageError(f"what the best trial came to cannot be read any more: {error}") from error


def _copy(source: Store, target: Store, path: str) -> None:
    def pieces() -> Iterator[bytes]:
        with source.open_input(path) as stream:
            while piece := stream.read(1 << 20):
                yield piece

    target.write_pieces(path, pieces, last=True)
