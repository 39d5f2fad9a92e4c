"""Where a tracker's server is: not where clouds give nodes' credentials away."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

from headway_api.addresses import is_refused
from headway_trainer.tracking.trackers.base import BrokenError, DownError


def refuse_clouds_own(uri: str) -> None:
    """Raise BrokenError where the name in a URI leads to an address of the node or the cloud, and DownError where it
    leads nowhere now."""
    host = urlsplit(uri).hostname or ""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise DownError(f"{host} has no address: {error}") from error
    for each in found:
        address = ipaddress.ip_address(str(each[4][0]).partition("%")[0])
        if is_refused(address):
            raise BrokenError(f"{host} is {address}, an address of the node or the cloud, which no tracker has")
