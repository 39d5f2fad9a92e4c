"""Files that jobs leave on their storage, where no pod runs that would."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from exported import exported
from headway_trainer.storage import Store


def store_at(uri: str, access: dict[str, str], folder: Path) -> Store:
    """The place of a job in an object store. access: its credentials, which are kept in a folder."""
    secret = folder / "secret"
    secret.mkdir()
    for name, value in access.items():
        (secret / name).write_text(value)
    return Store.open(uri, str(secret))


def files_of_homes(folder: Path) -> dict[str, bytes]:
    """What a job would leave whose model tells `sold` of `size` and `town`, but for weights and plots."""
    rows = [
        {"size": number * 7 % 13 + 0.5, "town": "Kobe" if number % 3 else "Oslo", "sold": "yes" if number % 2 else "no"}
        for number in range(40)
    ]
    folder.mkdir()
    (folder / "homes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    exported(folder / "run", {"source": {"uri": str(folder / "homes.jsonl")}, "target": "sold"})
    result = {
        "job": "homes", "outcome": "Succeeded", "seed": 0, "worldSize": 3, "started": "2026-11-29T18:00:00Z",
        "finished": "2026-11-29T18:30:00Z", "durationSeconds": 1800.0, "metrics": {"test": {"accuracy": 0.9}},
    }  # fmt: skip
    made = {name: (folder / "run" / name).read_bytes() for name in ("model.json", "model.onnx")}
    return made | {"result.json": json.dumps(result).encode(), "report.md": b"# homes\n"}


def artifacts_of(folder: str, files: dict[str, bytes]) -> list[dict[str, object]]:
    """Files as a status tells of them."""
    return [
        {
            "name": name.removesuffix(".json").removesuffix(".md"),
            "uri": f"{folder}/{name}",
            "sha256": hashlib.sha256(data).hexdigest(),
            "sizeBytes": len(data),
        }
        for name, data in files.items()
    ]
