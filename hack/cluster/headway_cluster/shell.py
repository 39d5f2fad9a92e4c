"""Running other programs, with errors that show what they printed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from .errors import ClusterError


def say(text: str) -> None:
    """Tell the person. Standard output is kept for answers that scripts read."""
    print(text, file=sys.stderr, flush=True)


def run(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
) -> str:
    """Run a program to its end and return its standard output."""
    words = [str(word) for word in argv]
    environment = {**os.environ, **env} if env else None
    done = subprocess.run(
        words,
        cwd=cwd,
        env=environment,
        input=stdin,
        text=True,
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        said = (done.stdout + done.stderr).strip()[-2000:]  # the error comes last
        raise ClusterError(f"{' '.join(words[:6])} ... ended with {done.returncode}\n{said}".rstrip())
    return done.stdout


def find(program: str, *places: str) -> str | None:
    """A program's path; /usr/sbin and the like count even where PATH leaves them out."""
    search = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin", "/usr/local/sbin", *places])
    return shutil.which(program, path=search)


def need(program: str) -> str:
    """A program's path, or an error that says how to get it."""
    path = find(program)
    if path is None:
        raise ClusterError(f"{program} is missing: run `hack/cluster/cluster deps`")
    return path


def free_gib(path: Path) -> float:
    """Free disk space where `path` will be (it need not exist yet)."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free / 2**30


def need_root(what: str) -> None:
    """Namespaces, mounts and cgroups are root's: say so at once instead of failing in the middle."""
    if os.geteuid() != 0:
        raise ClusterError(f"{what} needs root (namespaces, mounts, cgroups): run it with sudo")
