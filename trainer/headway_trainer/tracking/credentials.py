"""Credentials of trackers: what of a Secret becomes a variable, and that no message has any of them."""

from __future__ import annotations

import base64
import os
from pathlib import Path

from headway_api.tracking import ENVIRONMENT
from headway_trainer.errors import UserError

MOST_BYTES = 2**20
"""Of a key of a Secret, which has no more either."""
_SECRET = ("TOKEN", "PASSWORD", "KEY")
"""How the names of variables end whose values are nobody's to read."""
_LEAST = 4
"""Characters of what is concealed: less than that stands in any text."""


def environment_of(secret_dir: str | None) -> dict[str, str]:
    """The variables of a tracker that a Secret's folder holds; other keys of it are left alone. Where a variable names
    a file and the Secret has what is to be in it, it names the Secret's file. Raises UserError for what no variable can
    have, and OSError."""
    folder = Path(secret_dir or "")
    if secret_dir is None or not folder.is_dir():
        return {}
    found = sorted(path for path in folder.iterdir() if path.name.startswith(ENVIRONMENT) and path.is_file())
    return {path.name: _value(path) for path in found}


def _value(path: Path) -> str:
    with path.open("rb") as stream:
        data = stream.read(MOST_BYTES)
    if data.lstrip().startswith(b"-----BEGIN"):
        return str(path)
    text = data.decode(errors="replace").strip()
    if not text.isprintable() or "\ufffd" in text:
        raise UserError(
            f"{path.name} of the Secret of tracking.secretRef is no text in one line: put the value alone into it,"
            " without line breaks"
        )
    return text


def concealed(text: str) -> str:
    """A text without the credentials in this process' environment: clients' errors show the headers that they sent."""
    given = {name: value for name, value in os.environ.items() if name.startswith(ENVIRONMENT)}
    user, password = (given.get(f"MLFLOW_TRACKING_{part}", "") for part in ("USERNAME", "PASSWORD"))
    secrets = [line for name, value in given.items() if name.endswith(_SECRET) for line in value.splitlines()]
    if password:
        secrets.append(base64.b64encode(f"{user}:{password}".encode()).decode())
    for secret in sorted((one.strip() for one in secrets), key=len, reverse=True):
        if len(secret) >= _LEAST:
            text = text.replace(secret, "…")
    return text
