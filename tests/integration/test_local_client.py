"""headway.client.run trains for real, and predicts with what it has trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from client_environment import ROOT
from headway.client import LocalRun
from markdown_blocks import blocks

pytestmark = pytest.mark.ray


def test_the_pages_program_trains_on_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (block,) = [each for each in blocks(ROOT / "docs/how-to/python-client.md") if "run(" in each.text]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    names: dict[str, object] = {}
    exec(block.text, names)  # noqa: S102 - the page's own program
    told, noted = capfd.readouterr()
    assert noted == ""
    accuracy, folder = told.split()
    assert 0.5 < float(accuracy) <= 1
    assert folder == str(tmp_path / "out/small")
    done = names["done"]
    assert isinstance(done, LocalRun)
    answers = done.predict(np.zeros((2, 30), np.float32))
    assert len(answers) == 2
    assert {"label", "probabilities"} <= set(answers[0])
