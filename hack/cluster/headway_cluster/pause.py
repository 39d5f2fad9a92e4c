"""The image that holds a pod's namespaces open: one small program of our own, as an archive for containerd."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from pathlib import Path
from typing import Any

from . import build
from .paths import REGISTRY_HOST, cache_dir

PAUSE_IMAGE = f"{REGISTRY_HOST}/pause:1"
_OCI = "application/vnd.oci.image"


def architecture() -> str:
    """This machine's architecture as images name it."""
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def _tar(files: dict[str, bytes]) -> bytes:
    """A tar with fixed times and owners: the same program gives the same image."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o755
            archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def _blob(blobs: dict[str, bytes], kind: str, data: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(data).hexdigest()
    blobs[f"blobs/sha256/{digest}"] = data
    return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(data)}


def pause_archive() -> Path:
    """An OCI archive with the pause image, made if it is not in the cache."""
    archive = cache_dir() / "images" / "pause.tar"
    program = Path(build.program(build.PAUSE, "pause"))
    if archive.exists() and archive.stat().st_mtime >= program.stat().st_mtime:
        return archive
    blobs: dict[str, bytes] = {}
    layer = _blob(blobs, f"{_OCI}.layer.v1.tar", _tar({"pause": program.read_bytes()}))
    config = {
        "os": "linux",
        "architecture": architecture(),
        "config": {"Entrypoint": ["/pause"], "User": "65535:65535"},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{_OCI}.manifest.v1+json",
        "config": _blob(blobs, f"{_OCI}.config.v1+json", json.dumps(config).encode()),
        "layers": [layer],
    }
    entry = _blob(blobs, manifest["mediaType"], json.dumps(manifest).encode())  # type: ignore[arg-type]
    entry["annotations"] = {"io.containerd.image.name": PAUSE_IMAGE, "org.opencontainers.image.ref.name": "1"}
    index = {"schemaVersion": 2, "manifests": [entry]}
    layout = {"imageLayoutVersion": "1.0.0"}
    files = {"oci-layout": json.dumps(layout).encode(), "index.json": json.dumps(index).encode(), **blobs}
    archive.parent.mkdir(parents=True, exist_ok=True)
    archive.write_bytes(_tar(files))
    return archive
