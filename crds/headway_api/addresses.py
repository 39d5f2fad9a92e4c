"""Addresses of servers that a tenant names, and those that none may lead to: where clouds give nodes' credentials away.
Pure."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
URL = r"^https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?$"
"""No credentials, no query and no escapes: what is asked is added to it."""
REFUSED = tuple(
    ipaddress.ip_network(network)
    # Link-local, multicast and "this host"; AWS' by IPv6, Alibaba's, and Azure's hosts.
    for network in (
        *("169.254.0.0/16", "0.0.0.0/8", "224.0.0.0/4", "100.100.100.200/32", "168.63.129.16/32"),
        *("fe80::/10", "ff00::/8", "::/128", "fd00:ec2::/32"),
    )
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def is_refused(address: Address) -> bool:
    """Whether it is an address that is the node's or the cloud's own, whatever way it is written."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            address = inner
    return any(address in network for network in REFUSED if network.version == address.version)


def is_written_refused(url: str) -> bool:
    """Whether the host of a URL is such an address as it stands there; what a name leads to is known where it is
    asked."""
    try:
        return is_refused(ipaddress.ip_address(urlsplit(url).hostname or ""))
    except ValueError:
        return False
