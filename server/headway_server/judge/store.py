"""Where route and verdict are: a ConfigMap, or files. One call writes what is due, and reads all there is."""

from __future__ import annotations

import contextlib
import json
import ssl
from collections.abc import Mapping
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from headway_api import drift_wire
from headway_api import rollout_wire as wire

SERVICE_ACCOUNT_DIR = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_TIMEOUT_SECONDS = 5.0
_MOST_BYTES = 4 * 1024 * 1024
"""Of an answer: a ConfigMap has one MiB, which JSON in JSON may make longer."""
_SHOWN_BYTES = 300
_OK, _CONFLICT = 200, 409


class Conflict(OSError):  # noqa: N818 - what was found
    """Somebody has written since it was read last, so nothing was written now."""


class Store(Protocol):
    """Takes what is due."""

    def exchange(self, data: Mapping[str, str]) -> dict[str, str]:
        """Write these keys, if any, and return all keys. Takes seconds at most. Raises Conflict where there are newer
        ones than were returned last, and OSError where it fails."""

    def close(self) -> None:
        """There is no other exchange."""


class ConfigMapStore:
    """A ConfigMap, by merge patches: one that changes nothing is how it is read, with no right to read others.

    What is written replaces what was read and nothing newer: two judges never write over each other unseen.
    """

    def __init__(self, namespace: str, name: str, *, host: str, port: str, folder: Path = SERVICE_ACCOUNT_DIR) -> None:
        """host and port: the API server's. folder: the ServiceAccount's token and the API server's CA."""
        self._path = f"/api/v1/namespaces/{quote(namespace)}/configmaps/{quote(name)}"
        self._host, self._port, self._folder = host, int(port), folder
        self._connection: HTTPSConnection | None = None
        self._version: str | None = None
        """The resourceVersion of what was read last."""

    def exchange(self, data: Mapping[str, str]) -> dict[str, str]:
        """A patch. Raises OSError, with the API server's own words where it refuses."""
        based_on = {"metadata": {"resourceVersion": self._version}} if self._version else {}
        body = json.dumps({**based_on, "data": dict(data)} if data else {}).encode()
        try:
            status, answer = self._patch(body)
        except (OSError, HTTPException) as error:
            self.close()
            raise OSError(f"{self._host}: {error or type(error).__name__}") from error
        if status == _CONFLICT:
            raise Conflict(f"{self._host}: it was written by somebody else meanwhile")
        if status != _OK:
            raise OSError(f"{self._host} answers {status}: {_words(answer)}")
        try:
            told = json.loads(answer)
            found = told.get("data") or {}
            version = (told.get("metadata") or {}).get("resourceVersion")
            self._version = version if isinstance(version, str) else None
            return {str(key): str(value) for key, value in found.items()}
        except (ValueError, AttributeError) as error:
            raise OSError(f"{self._host} answers with what is no ConfigMap: {_words(answer)}") from error

    def close(self) -> None:
        """Leave the API server."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _patch(self, body: bytes) -> tuple[int, bytes]:
        if self._connection is not None:
            # The API server may have left a connection that was kept; a patch may be sent twice.
            try:
                return self._send(self._connection, body)
            except TimeoutError:
                raise
            except (OSError, HTTPException):
                pass
        self.close()
        context = ssl.create_default_context(cafile=str(self._folder / "ca.crt"))
        self._connection = HTTPSConnection(self._host, self._port, timeout=_TIMEOUT_SECONDS, context=context)
        return self._send(self._connection, body)

    def _send(self, connection: HTTPSConnection, body: bytes) -> tuple[int, bytes]:
        # The kubelet renews the token.
        token = (self._folder / "token").read_text().strip()
        headers = {"Content-Type": "application/merge-patch+json", "Authorization": f"Bearer {token}"}
        connection.request("PATCH", self._path, body, headers)
        response = connection.getresponse()
        answer = response.read(_MOST_BYTES)
        if response.will_close or not response.isclosed():
            self.close()
        return response.status, answer


def _words(answer: bytes) -> str:
    """A Status of Kubernetes has a message."""
    with contextlib.suppress(ValueError, AttributeError):
        message = json.loads(answer).get("message")
        if isinstance(message, str):
            return message[:_SHOWN_BYTES]
    return answer[:_SHOWN_BYTES].decode(errors="replace")


class FileStore:
    """Files, for one machine: the route in one, the verdict in another; what is watched for drift beside the one, and
    the judge's memory and its other words beside the other."""

    def __init__(self, route: Path, verdict: Path) -> None:
        self._files = {
            wire.KEY_ROUTE: route,
            wire.KEY_VERDICT: verdict,
            wire.KEY_MEMORY: verdict.with_name(f"{verdict.name}.memory"),
            wire.KEY_LOAD: verdict.with_name(f"{verdict.name}.load"),
            drift_wire.KEY_WATCH: route.with_name(f"{route.name}.monitoring"),
            drift_wire.KEY_DRIFT: verdict.with_name(f"{verdict.name}.drift"),
        }

    def exchange(self, data: Mapping[str, str]) -> dict[str, str]:
        """Each file is replaced as a whole; one that is not there is not among what is returned."""
        for key, text in data.items():
            path = self._files[key]
            new = path.with_name(f"{path.name}.new")
            new.write_text(text)
            new.replace(path)
        found = {}
        for key, path in self._files.items():
            with contextlib.suppress(FileNotFoundError):
                found[key] = path.read_text()
        return found

    def close(self) -> None:
        """Nothing is open."""
