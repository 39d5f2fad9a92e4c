"""What all ranks of a run share, but for tensors, as its checkpoints hold it."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from headway_api.base import StatusSection
from headway_trainer.report.model import EpochRecord

STATE_FILE = "state.json"


class SharedState(StatusSection):
    """The counters of a run, equal on all ranks."""

    model_config = ConfigDict(frozen=False)

    step: int = 0
    """Optimiser steps done since the first attempt."""
    epoch: int = 0
    """Passes over the training part that are finished."""
    batch: int = 0
    """Steps done of the pass after them."""
    best: float | None = None
    """The best value of the checkpoint metric so far."""
    patience_best: float | None = None
    """The best value that early stopping has seen."""
    patience_waited: int = 0
    """Epochs since."""
    early_stopped: bool = False
    """Whether early stopping has ended the run."""
    pruned: bool = False
    """Whether the driver has ended the run, a trial, because others were better."""
    unanswered: bool = False
    """Whether a trial has yet to hear if it goes on after the last finished pass."""
    scaler: dict[str, int | float] = Field(default_factory=dict)
    """The state of the gradient scaler; empty where none is used. Its counters have to stay whole numbers."""
    epoch_seconds: float = 0.0
    """Seconds spent on the running pass so far."""
    history: list[EpochRecord] = Field(default_factory=list)
    """The finished passes, thinned out (`history.thinned`)."""
