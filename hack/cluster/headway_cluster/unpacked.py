"""Programs out of Debian packages that are unpacked into the cache, not installed: tests use them, no cluster does."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from .errors import ClusterError
from .paths import cache_dir, locked
from .shell import find, run, say

PACKAGES: dict[str, str] = {"prometheus": "prometheus", "promtool": "prometheus"}
"""By program: the package that has it as /usr/bin/PROGRAM, and needs no more than libc for it."""


def program(name: str) -> str:
    """The machine's own program where there is one, else the one from its package, fetched on first use."""
    found = find(name)
    if found:
        return found
    package = PACKAGES[name]
    with locked(cache_dir() / "locks" / "unpacked.lock"):
        home = cache_dir() / "unpacked" / package
        if not home.exists():
            _unpack(package, home)
    return str(home / "usr/bin" / name)


def _unpack(package: str, home: Path) -> None:
    if not find("apt-get"):
        raise ClusterError(f"no apt-get here: install {package} yourself")
    say(f"which: fetching Debian's {package}")
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.parent) as folder:
        try:
            run(["apt-get", "download", "-qq", package], cwd=Path(folder))
        except ClusterError:
            # The machine may never have asked what packages there are.
            run(["apt-get", "update", "-qq"])
            run(["apt-get", "download", "-qq", package], cwd=Path(folder))
        fetched = next(Path(folder).glob("*.deb"))
        run(["dpkg-deb", "-x", fetched, Path(folder) / "files"])
        shutil.move(Path(folder) / "files", home)
