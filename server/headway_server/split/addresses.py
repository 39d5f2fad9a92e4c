"""Where other servers are. Pure."""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import urlsplit


@lru_cache(16)
def address(url: str) -> tuple[str, int] | None:
    """Host and port of `http://host:port`; None where a URL is anything else."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme != "http" or not host or port is None or parts.username is not None or not host.isascii():
        return None
    if parts.path not in ("", "/") or parts.query or parts.fragment or any(one.isspace() for one in host):
        return None
    return host, port
