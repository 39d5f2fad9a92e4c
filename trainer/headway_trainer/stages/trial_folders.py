"""The folders of trials: those of running ones and of the best one stay."""

from __future__ import annotations

from headway_trainer.data.prepared import CHILDREN
from headway_trainer.run import Run
from headway_trainer.stages.trial_specs import scope_of
from headway_trainer.tuning.events import Ended
from headway_trainer.tuning.study import Study
from headway_trainer.tuning.trial import Trial


def kept_of(study: Study) -> set[str]:
    """The names of the folders that stay: of what runs, and of the best trial."""
    own = (*study.running, *([study.best] if study.best else []))
    repeats = (each for each in study.at_work if each.repeat > 1)
    return {scope_of(each.number, each.repeat) for each in (*own, *repeats)}


def drop_ended(run: Run, ended: Ended, best_before: Trial | None, kept: set[str]) -> None:
    """Delete what stays of none: of a trial, or a repeat, that has ended, and of the best one before. Raises
    StorageError."""
    own = {scope_of(ended.trial, ended.repeat), scope_of(ended.trial)}
    for scope in sorted((own | ({scope_of(best_before.number)} if best_before else set())) - kept):
        run.store.delete(f"{CHILDREN}/{scope}")


def tidy(run: Run, study: Study) -> None:
    """Delete the folders of trials that have ended, but for the best one's: an attempt may die before it does.

    Raises StorageError.
    """
    kept = kept_of(study)
    for name in run.store.list(CHILDREN):
        if name.startswith(scope_of("")) and name not in kept:
            run.fence()
            run.store.delete(f"{CHILDREN}/{name}")
