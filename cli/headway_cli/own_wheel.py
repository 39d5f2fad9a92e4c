"""Headway's own wheel, made of the packages that run: where it is installed there is none any more."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import zipfile
from importlib.metadata import Distribution
from pathlib import Path

PACKAGES = ("headway_api", "headway_cli", "headway_operator", "headway_server", "headway_trainer")
_WHEEL = "Wheel-Version: 1.0\nGenerator: headway\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that zip knows: the same packages are the same bytes."""


def write_wheel(folder: Path, distribution: Distribution) -> Path:
    """Write the wheel into a folder. distribution: Headway's, whose metadata it gets."""
    name = f"headway-{distribution.version}"
    info = f"{name}.dist-info"
    path = folder / f"{name}-py3-none-any.whl"
    contents = {
        **{file: source.read_bytes() for package in PACKAGES for file, source in _files(package)},
        f"{info}/METADATA": (distribution.read_text("METADATA") or "").encode(),
        f"{info}/WHEEL": _WHEEL.encode(),
        f"{info}/entry_points.txt": (distribution.read_text("entry_points.txt") or "").encode(),
    }
    record = "".join(f"{file},sha256={_digest(data)},{len(data)}\n" for file, data in contents.items())
    contents[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for file, data in contents.items():
            told = zipfile.ZipInfo(file, _EPOCH)
            told.external_attr = 0o644 << 16
            told.compress_type = zipfile.ZIP_DEFLATED
            wheel.writestr(told, data)
    return path


def _files(package: str) -> list[tuple[str, Path]]:
    """The files of a package, by their paths in a wheel."""
    spec = importlib.util.find_spec(package)
    folders = list(spec.submodule_search_locations or ()) if spec is not None else []
    if not folders:
        raise ModuleNotFoundError(f"the package {package} of this installation is not there", name=package)
    root = Path(folders[0])
    return [
        (f"{package}/{file.relative_to(root).as_posix()}", file)
        for file in sorted(root.rglob("*"))
        if file.is_file() and "__pycache__" not in file.parts
    ]


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
