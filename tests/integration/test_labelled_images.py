"""The page about images with a table of labels, typed as it stands: what is drawn is measured again from new images."""

from __future__ import annotations

import csv
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from markdown_blocks import ROOT, script

pytestmark = pytest.mark.ray


def test_the_page_about_labelled_images_can_be_typed_and_its_model_measures_discs(tmp_path: Path) -> None:
    page = script(ROOT / "docs/how-to/labelled-images.md", cluster=False)
    done = subprocess.run(["bash", "-c", page], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    told = " ".join(done.stdout.split())
    assert "The column 'file' of" in told
    assert "learns from nothing beside them: 'note'." in told
    result = json.loads((tmp_path / "out/discs/result.json").read_text())
    assert [column["role"] for column in result["data"]["profile"]["columns"]] == [
        "feature", "target", "target", "group",
    ]  # fmt: skip
    assert result["metrics"]["test"]["r2"] > 0.8
    assert result["export"]["parity"]["holds"]
    with (tmp_path / "said.csv").open() as said, (tmp_path / "discs/labels.csv").open() as labels:
        pairs = list(zip(csv.DictReader(said), csv.DictReader(labels), strict=True))
    assert all(one["file"] == true["file"] for one, true in pairs)
    errors = [abs(float(one["radius"]) - float(true["radius"])) for one, true in pairs]
    assert np.mean(errors) < 0.5
