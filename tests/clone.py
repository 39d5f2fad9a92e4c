"""A copy of this checkout as a newcomer gets it: what git tracks or would track, and nothing else."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from harness import ROOT


def copy_to(target: Path) -> Path:
    """Copies the checkout, without what .gitignore names, into an empty folder."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        source = ROOT / name
        if source.is_file():
            destination = target / name
            destination.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, destination)
    return target
