"""What several files of these tests ask for by name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from headway_trainer.training.checkpoints.last_step import StepKeeper
from headway_trainer.training.link import TrainProgress
from package_world import acme_installed


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package that is installed in a folder of its own."""
    with acme_installed(tmp_path, monkeypatch):
        yield tmp_path


@pytest.fixture(scope="module")
def no_waiting_for_the_disk() -> Iterator[None]:
    """No power fails in here: what was written can be read without fsync."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _: None)
        yield


@pytest.fixture
def steps_end(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """For runs that are told of progress and come to no end that would close what keeps their last step."""
    told: list[StepKeeper] = []
    take = StepKeeper.take

    def noted(keeper: StepKeeper, progress: TrainProgress) -> int | None:
        told.append(keeper)
        return take(keeper, progress)

    monkeypatch.setattr(StepKeeper, "take", noted)
    yield
    for keeper in told:
        keeper.close()
