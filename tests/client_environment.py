"""What is foreign in environments of their own, made once and kept in the cache.

tritonclient wants an older protobuf than the server has, and with that one installed pip would quietly take a
tritonclient of 2024. So both clients live in a virtual environment that `requirements/clients.lock` describes.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from headway_cluster.paths import cache_dir, locked

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements" / "clients.lock"


def client_python() -> Path:
    """The Python that has the clients."""
    return python_with(LOCK, "--require-hashes")


def python_with(lock: Path, *options: str) -> Path:
    """The Python that has what a file pins; the first call makes its environment, which takes some seconds and the
    network. options: of `uv pip sync`.

    Raises RuntimeError with what uv said where that fails.
    """
    made_from = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()[:16]
    folder = cache_dir() / lock.stem / made_from
    python, complete = folder / "bin" / "python", folder / "complete"
    with locked(cache_dir() / "locks" / lock.name):
        if not complete.exists():
            _uv("venv", "--quiet", "--clear", "--python", sys.executable, str(folder))
            _uv("pip", "sync", "--quiet", *options, "--python", str(python), str(lock))
            complete.touch()
    return python


def _uv(*words: str) -> None:
    done = subprocess.run([sys.executable, "-m", "uv", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"uv {' '.join(words)} failed, which makes an environment:\n{done.stderr}")


async def told_by(script: Path, *words: str) -> dict[str, Any]:
    """What a script prints as JSON that runs with the clients, while this event loop goes on."""
    python = await asyncio.to_thread(client_python)
    process = await asyncio.create_subprocess_exec(
        str(python), "-I", str(script), *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, problems = await process.communicate()
    if process.returncode:
        raise AssertionError(f"{script.name} {' '.join(words)} failed:\n{problems.decode()}")
    told: dict[str, Any] = json.loads(out)
    return told
