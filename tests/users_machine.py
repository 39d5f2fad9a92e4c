"""A user's machine: pipx, a shell, and of Headway nothing but a wheel that a package index could have.

Nothing of the checkout or of this test run's Python is within reach: the home and the folder are new, and on PATH are
pipx, what pipx installs, and the system's programs.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from client_environment import python_with
from clone import copy_to
from harness import ROOT

PIPX = ROOT / "requirements" / "pipx.lock"
LOCK = ROOT / "requirements" / "dev.lock"
_NETWORK = ("PIP_", "UV_", "SSL_", "REQUESTS_", "HTTP_", "HTTPS_", "NO_PROXY", "http_", "https_", "no_proxy")
"""Variables by which this machine reaches its package index."""
_SYSTEM = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True)
class Typed:
    """What became of a line."""

    line: str
    code: int
    out: str
    errors: str

    @property
    def said(self) -> str:
        """Both streams, and the line."""
        return f"$ {self.line}\n{self.out}{self.errors}"


@dataclass(frozen=True)
class Machine:
    """The user's home, the folder in which they type, and their environment."""

    home: Path
    folder: Path
    environment: dict[str, str]

    def typed(self, line: str, timeout: float = 300, **variables: str) -> Typed:
        """Types a line in bash, in the folder. variables: more of the environment."""
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=self.folder,
            env=self.environment | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return Typed(line, done.returncode, done.stdout, done.stderr)

    def type(self, line: str, timeout: float = 300, **variables: str) -> str:
        """Types a line that has to go well; what it prints to stdout."""
        done = self.typed(line, timeout, **variables)
        assert done.code == 0, f"it ended with {done.code}:\n{done.said[-8000:]}"
        return done.out


def machine(folder: Path, *, cache: str | None = None) -> Machine:
    """A machine in an empty folder, whose package index has this checkout's wheel, and everything else in the
    versions that Headway is tested with.

    cache: uv's folder of fetched packages; this user's where it is not given. They are some 6 GB.
    """
    home, here, programs, index = (folder / name for name in ("home", "work", "programs", "index"))
    for each in (home, here, programs):
        each.mkdir()
    tools = python_with(PIPX, "--require-hashes").parent
    for program in ("pipx", "uv"):
        (programs / program).symlink_to(tools / program)
    wheel = build_wheel(folder / "checkout", index)
    pins = folder / "pins.txt"
    pins.write_text(_pinned(LOCK.read_text()) + f"headway=={wheel.name.split('-')[1]}\n")
    environment = {name: value for name, value in os.environ.items() if name.startswith(_NETWORK)} | {
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PATH": f"{home}/.local/bin:{programs}:{_with_kubectl()}",
        "PIPX_DEFAULT_BACKEND": "uv",  # pip takes minutes to copy what uv links to
        "PIPX_DEFAULT_PYTHON": sys.executable,
        "UV_CACHE_DIR": cache or _told(tools / "uv", "cache", "dir"),
        "UV_CONSTRAINT": str(pins),
        "UV_FIND_LINKS": str(index),
    }
    return Machine(home, here, environment)


def losses(said: str) -> list[float]:
    """The losses on the lines of progress of `headway run`, of which a quick training has few."""
    return [float(loss) for loss in re.findall(r"^epoch \d+/\d+ .* train/loss ([\d.e-]+) ", said, re.MULTILINE)]


def build_wheel(checkout: Path, into: Path) -> Path:
    """The wheel of a fresh copy of this checkout, built as its build backend builds it."""
    copy_to(checkout)
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(into)],
        cwd=checkout,
        check=True,
        capture_output=True,
    )
    (wheel,) = into.glob("*.whl")
    shutil.rmtree(checkout)
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert wheel.name == f"headway-{version}-py3-none-any.whl"
    return wheel


def _pinned(lock: str) -> str:
    """A lock without its hashes, as constraints are."""
    return "".join(
        f"{line.removesuffix(chr(92)).strip()}\n" for line in lock.splitlines() if re.match(r"[A-Za-z]", line)
    )


def _with_kubectl() -> str:
    """The system's folders of programs, and kubectl's, which users of clusters have."""
    kubectl = shutil.which("kubectl")
    found = str(Path(kubectl).parent) if kubectl else ""
    return _SYSTEM if not found or found in _SYSTEM.split(":") else f"{_SYSTEM}:{found}"


def _told(*words: str | Path) -> str:
    return subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True).stdout.strip()
