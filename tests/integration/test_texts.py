"""The page about texts, typed as it stands: profile, training on two workers, and predictions for raw texts."""

from __future__ import annotations

import csv
import json
import subprocess
from pathlib import Path

import pytest

from markdown_blocks import ROOT, script

pytestmark = pytest.mark.ray


def test_the_page_about_texts_can_be_typed_and_its_model_knows_the_order_of_words(tmp_path: Path) -> None:
    page = script(ROOT / "docs/how-to/texts.md", cluster=False)
    done = subprocess.run(["bash", "-c", page], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    assert "the first 16 words" in " ".join(done.stdout.replace("│", " ").split())
    result = json.loads((tmp_path / "out/reviews/result.json").read_text())
    # A bag of words has nothing to go by: each word is in as many rows of one class as of the other.
    assert result["metrics"]["test"]["accuracy"] > 0.95
    assert result["export"]["parity"]["holds"]
    with (tmp_path / "said.csv").open() as file:
        said = [row["label"] for row in csv.DictReader(file)]
    assert said.count("yes") == pytest.approx(200, abs=10)
