"""What the operator, a deployment's judge and its servers tell each other of drift.

The operator writes a Watch into `monitoring.json` of the deployment's rollout ConfigMap, whatever becomes of rollouts:
it moves no shares and has no epoch. The judge reads it and tells servers, in each Reply to a Report, of which version
how much is to be sampled (rollout_wire.Sampling). A server of that version counts the rows of sampled requests into
bins, which are those of its bundle's `reference.json`, and sends what came since the last time as a Batch. The judge
adds batches up to windows, and writes what it finds as a DriftWord into `drift.json` of the same ConfigMap.

No value of a request is in any of these words: only names of features, which the bundle has, and counts.

A batch is sent again until it was answered, with the same number: the judge takes each number of a process once, and
no batch that was made for another judge, which may have counted it. So a lost reply counts nothing twice, a lost server
loses one batch, and a lost judge one of each server and the open window.

A judge has no bundle: it asks for the reference where it does not know it, and gets it in a batch of its own, as both
together may be too long. Its digest is one of what the judge is told, so that no other reference has it.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

from pydantic import Field

from headway_api.base import Cut, OrElse, StatusSection
from headway_api.monitoring import MOST_WINDOWS
from headway_api.rollout_wire import Count, Fraction
from headway_api.status_words import Time, Word
from headway_api.training_rows import MAX_TEXT

KEY_WATCH = "monitoring.json"
"""The operator's key."""
KEY_DRIFT = "drift.json"
"""The judge's key."""
WATCH_MAX_BYTES = 4 * 1024
DRIFT_MAX_BYTES = 16 * 1024
BATCH_MAX_BYTES = 256 * 1024
DRIFT_PATH = "/v1/drift"
"""Of the judge's port for reports, with the same token."""
BATCH_SECONDS = 10.0
"""A server sends what it has counted so often, where there is anything."""
BATCH_ROWS = 100_000
"""Rows of a batch, at most: while nobody answers, what comes beyond it is not counted."""
DRIFT_BEAT_SECONDS = 120.0
"""A judge renews its word so often at least; one that is older than three of these is none."""
DRIFT_CHANGES_SECONDS = 10.0
"""And no more often than this where anything has changed."""
UNUSED_SECONDS = 60.0
"""A reference by which no server has counted for so long gives way to another one that is told of the same version."""
MOST_WATCHED = 256
"""Features that are counted, at most: those that the reference has first. The prediction is counted beside them."""
MOST_CELLS = 64
"""Cells of a feature, at most."""
MOST_TOLD = 5
"""Features that a word names, at most, of each kind."""

State = Literal["Stable", "Drifted", "Insufficient", "Unavailable"]
"""Stable: as the training rows. Drifted: enough of the last windows alarm. Insufficient: too few rows came to tell.
Unavailable: there is nothing to compare with, or the values of all features are wrong."""
Problem = Literal["Missing", "Unseen", "OutOfRange"]
"""Missing: values that are not there. Unseen: values that no training row has. OutOfRange: numbers below or above all
of them. Each more often than in the training rows."""
FeatureName = Annotated[str, Cut(MAX_TEXT)]


class Watch(StatusSection):
    """What is watched, by the operator."""

    uid: str = ""
    """The ModelDeployment's uid."""
    version: Count = 0
    """The number of the version that answers. 0: none does."""
    sample: Fraction = 0.0
    """The share of its requests that is counted. 0: none is."""
    rows: Annotated[int, Field(ge=1)] = 1000
    """Rows of a window."""
    seconds: Annotated[int, Field(ge=0)] = 0
    """Seconds that a window lasts at least."""
    alpha: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.01
    """The probability, at most, that a window alarms by chance."""
    min_effect: Annotated[float, Field(gt=0.0, le=1.0)] = 0.05
    """The least effect that counts."""
    of: Annotated[int, Field(ge=1, le=MOST_WINDOWS)] = 3
    """The last windows that are looked at together."""
    need: Annotated[int, Field(ge=1, le=MOST_WINDOWS)] = 2
    """In so many of them an alarm makes it Drifted."""


class WatchedFeature(StatusSection):
    """A feature of the reference, as the judge needs it: how many training rows are in each of its cells.

    The cells of numbers are the reference's bins, from the lowest on; of values, the named ones in the reference's
    order, and last all others. What is missing, below, above or unseen is in no cell.
    """

    name: FeatureName
    """As the reference has it."""
    kind: Literal["numbers", "values"]
    """Whether the cells are in an order."""
    prediction: bool = False
    """Whether it is the model's answer, and not of its input."""
    cells: Annotated[list[Count], Field(max_length=MOST_CELLS)] = Field(default_factory=list)
    """Training rows in each."""
    missing: Count = 0
    """Training rows whose value is missing."""


class WatchedReference(StatusSection):
    """What a version's rows are compared with."""

    features: Annotated[list[WatchedFeature], Field(max_length=MOST_WATCHED + 1)] = Field(default_factory=list)
    """Each, in the order of the counts of each batch."""
    left_out: Count = 0
    """Features of the model that are not among them."""

    @property
    def digest(self) -> str:
        """The SHA-256 of all of it, in hexadecimal digits: servers and judge come to the same."""
        return hashlib.sha256(self.model_dump_json(exclude_defaults=True).encode()).hexdigest()


class FeatureCounts(StatusSection):
    """The rows of a batch, for one feature. They add up to no more than the batch has."""

    cells: Annotated[list[Count], Field(max_length=MOST_CELLS)] = Field(default_factory=list)
    """Rows in each cell, as many as the reference has. Of values, the last is for those that are not named, where the
    training rows had others, too."""
    missing: Count = 0
    """Rows whose value is missing."""
    below: Count = 0
    """Numbers below all of the training rows."""
    above: Count = 0
    """Numbers above all of them."""
    unseen: Count = 0
    """Values that no training row has: where all of these are named."""


class Batch(StatusSection):
    """What a server has counted since its last batch that was answered."""

    uid: str
    """The ModelDeployment's uid."""
    boot: Annotated[str, Cut(32)]
    """Drawn by the server's process when it begins, as in a Report."""
    version: Count
    """The number of the version that it serves."""
    number: Count = 0
    """Of the batch in this process, from 1 on; it is sent again with the same number. 0: nothing was counted."""
    judge: Annotated[str, Cut(32)] = ""
    """For which judge it was made, as its reply says: another one does not count it. Empty: none was heard yet."""
    digest: Annotated[str, Cut(64)] = ""
    """Of the reference, as WatchedReference.digest has it."""
    rows: Annotated[int, Field(ge=0, le=BATCH_ROWS)] = 0
    """Rows of the batch."""
    counts: Annotated[list[FeatureCounts], Field(max_length=MOST_WATCHED + 1)] = Field(default_factory=list)
    """Of each feature, in the reference's order."""
    reference: WatchedReference | None = None
    """Where the judge has asked for it: then there are no counts, and the number is 0."""
    unavailable: Annotated[str, Cut(500)] = ""
    """Why this server has nothing to compare with: a sentence; then there are no counts."""


class BatchReply(StatusSection):
    """What the judge answers to a batch."""

    taken: Count = 0
    """The number of the last batch of this process that needs not be sent again."""
    judge: Annotated[str, Cut(32)] = ""
    """Drawn by the judge when it begins to count, and again whenever it forgets what it has taken. A batch that was
    made for another one is not counted."""
    reference: bool = False
    """Whether it needs the reference, before it can take any."""


class DriftedFeature(StatusSection):
    """How far a feature is from the training rows."""

    name: FeatureName
    """Which."""
    score: Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
    """Its effect as a multiple of minEffect: 1 and above alarms."""


class QualityProblem(StatusSection):
    """What is wrong with the values of a feature; for as long as it is, nobody can tell whether it drifts."""

    name: FeatureName
    """Which feature."""
    problem: Annotated[Problem, OrElse("OutOfRange")]
    """The worst that is wrong with it."""
    share: Fraction
    """The share of the last window's rows for which it is so."""
    usual: Fraction = 0.0
    """The share of the training rows."""


class DriftWord(StatusSection):
    """What the judge has found."""

    uid: str = ""
    """The ModelDeployment's uid; an admission policy refuses a word without it."""
    version: Count = 0
    """The version that it is about."""
    state: State
    """In a word."""
    score: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] | None = None
    """The greatest of the last window's significant features; 0 where none is. None: no window is over yet, or
    none of its features could be compared."""
    features: Annotated[list[DriftedFeature], Field(max_length=MOST_TOLD)] = Field(default_factory=list)
    """The significant features of the last window, the greatest score first."""
    data_quality: Annotated[list[QualityProblem], Field(max_length=MOST_TOLD)] = Field(default_factory=list)
    """What is wrong with values in the last window, the worst first."""
    problems: Count = 0
    """How many features have something wrong with their values."""
    checked: Time | None = None
    """When the last window ended."""
    windows: Count = 0
    """Windows of this version that are over."""
    recent: Annotated[list[bool], Cut(MOST_WINDOWS)] = Field(default_factory=list)
    """Of the last `of` of them in which anything could be compared, the newest last, whether each alarms: with the rest
    of the word all that a judge has to know again after a restart, which costs it the open window."""
    rows: Count = 0
    """Rows of the window that is open."""
    watched: Count = 0
    """Features that are compared, the prediction among them."""
    left_out: Count = 0
    """Features of the model that are not."""
    reference: Annotated[str, Cut(64)] = ""
    """The digest of what the windows were held against: they say nothing of another reference."""
    message: Annotated[str, Cut(500)] = ""
    """A sentence: why it is Insufficient or Unavailable; else what was found."""
    beat: Count = 0
    """Grows with each write: a word that is repeated is a new one."""
    told_by: Word | None = None
    """The judge's pod."""
