"""What the server tells of itself by each protocol."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

SERVER_NAME = "headway"
PLATFORM = "onnx_onnxv1"
"""The protocol's name for what runs the model."""


def server_version() -> str:
    """The distribution's version."""
    try:
        return version("headway")
    except PackageNotFoundError:
        return "unknown"
