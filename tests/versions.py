"""Another version of Headway, made from this one: a rule more, a field less."""

from __future__ import annotations

import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from harness import ROOT, run

SOURCES = ("crds/headway_api", "operator/headway_operator")
EDITS = {
    "crds/headway_api/training.py": (
        "epochs: Annotated[int, Field(ge=1, le=1_000_000)] = 10",
        "epochs: Annotated[int, Field(ge=1, le=2)] = 2",
    ),
    "crds/headway_api/job.py": (
        "    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0\n"
        '    """Seeds the split, the initial weights, shuffling and dropout."""\n',
        "",
    ),
}
"""By file, what stands in this version and what in the other: `training.epochs` is at most 2; there is no `seed`."""


SEED = re.compile(r"\b(self\.)?(_?run\.)?(spec|job)\.seed\b")
"""How the trainer reads the field that the other version does not have."""


@dataclass(frozen=True)
class Version:
    """The sources of the other version."""

    root: Path

    @property
    def path(self) -> str:
        """The PYTHONPATH with which its operator runs."""
        return os.pathsep.join(str(self.root / source.split("/", maxsplit=1)[0]) for source in SOURCES)

    @property
    def crds(self) -> list[Path]:
        """Its CRDs."""
        return sorted((self.root / "crds").glob("*.yaml"))


def other_version(root: Path) -> Version:
    """Edit the sources under a folder, which are a copy of this version's, and make their CRDs.

    Raises LookupError if what is to be edited stands there no more.
    """
    for name, (old, new) in EDITS.items():
        file = root / name
        text = file.read_text()
        if old not in text:
            raise LookupError(f"{name} does not have {old!r} any more: edit EDITS")
        file.write_text(text.replace(old, new))
    for file in (root / "trainer").rglob("*.py"):
        text = file.read_text()
        if SEED.search(text):
            file.write_text(SEED.sub("0", text))
    version = Version(root)
    run(sys.executable, "-m", "headway_api.crd", "--output", root / "crds", PYTHONPATH=version.path)
    return version


def copy_sources(root: Path) -> Path:
    """Copy what an operator's process needs into an empty folder."""
    for source in SOURCES:
        shutil.copytree(ROOT / source, root / source, ignore=shutil.ignore_patterns("__pycache__"))
    return root
