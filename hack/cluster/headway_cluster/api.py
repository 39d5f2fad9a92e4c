"""The few requests that `up` makes of the API server; kubectl would take half a second for each."""

from __future__ import annotations

import json
import socket
import ssl
import struct
import urllib.error
import urllib.request
from http import HTTPStatus
from typing import Any

from .errors import ClusterError
from .paths import Paths


class Api:
    """The API server, as the cluster's administrator."""

    def __init__(self, paths: Paths) -> None:
        self.url = paths.api_url
        context = ssl.create_default_context(cafile=str(paths.pki / "ca.crt"))
        context.load_cert_chain(str(paths.pki / "admin.crt"), str(paths.pki / "admin.key"))
        # No proxy: the address is this machine's own, whatever the environment says.
        self.opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )

    def request(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, str]:
        """One request: its status and text; 0 while nothing listens."""
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"{self.url}{path}", data, method=method)  # noqa: S310  (https, ours)
        request.add_header("Content-Type", "application/json")
        try:
            with self.opener.open(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(errors="replace")
        except OSError:
            return 0, ""

    def get(self, path: str) -> dict[str, Any] | None:
        """An object, or None if it is not there (yet)."""
        status, text = self.request("GET", path)
        if status != HTTPStatus.OK:
            return None
        found: dict[str, Any] = json.loads(text)
        return found

    def ready(self) -> bool:
        """Whether the API server says that all of it is ready."""
        return self.request("GET", "/readyz")[0] == HTTPStatus.OK

    def create(self, path: str, body: dict[str, Any]) -> None:
        """Create an object; one that is there already is fine."""
        status, text = self.request("POST", path, body)
        if status not in (HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.CONFLICT):
            raise ClusterError(f"POST {path}: {status} {text[:500]}")


def dns_answers(server: str, name: str) -> bool:
    """Whether a DNS server knows an A record of `name`."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    query = struct.pack(">6H", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">2H", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.settimeout(0.5)
        try:
            link.sendto(query, (server, 53))
            answer = link.recv(512)
        except OSError:
            return False
    _, flags, _, answers = struct.unpack(">4H", answer[:8])
    return flags & 15 == 0 and bool(answers)


def http_answers(url: str) -> bool:
    """Whether anything at all answers there."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
