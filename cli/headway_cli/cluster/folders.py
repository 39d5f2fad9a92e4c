"""A folder of a job on its storage, wherever that is: read over the network, in a pod, or on this machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Protocol, TypeGuard, TypeVar

from headway_cli.cluster.errors import MOST_WORDS, ClusterError, explained
from headway_cli.cluster.kubectl import Kubectl, Stream
from headway_cli.cluster.names import MAIN_CONTAINER
from headway_cli.extras import installing

MOUNT = "/mnt/headway/storage"
"""Where pods have a volume: URIs of a job with one begin so."""
SECRET_DIR = "/etc/headway/secrets/storage"  # noqa: S105 - a path, not a secret
CHUNK = 4 << 20
Answer = TypeVar("Answer")
MOST_ANSWER = 64 << 20
MOST_FILES = 200_000
MOST_LOG_BYTES = 64 << 20
"""Of a file whose size is not asked for, as logs are read: a job cuts them into parts of 256 KiB."""


class Folder(Protocol):
    """Some files, none of them in a folder below."""

    def files(self) -> dict[str, int]:
        """Their names and sizes in bytes. Raises ClusterError."""

    def read(self, name: str, start: int, most: int) -> bytes:
        """A piece of a file, as long as the file has it. Raises ClusterError."""


class InStore:
    """A folder in an object store, with the credentials of this process' environment."""

    def __init__(self, uri: str) -> None:
        """Raises ClusterError where the URI cannot be meant, or the package that reads it is not here."""
        try:
            from headway_server import stores
            from headway_server.errors import BadModel
        except ModuleNotFoundError as error:
            raise ClusterError(
                f"{uri} is read by the Python package {error.name}: {installing('headway[server]')}, or let a pod "
                "read it by --reader-pod"
            ) from error
        self._uri = uri
        retry: Any = {"max_retries": 3, "retry_timeout": timedelta(seconds=20)}
        try:
            self._store = stores.open_store(uri, stores.credentials(None), retry=retry)
        except BadModel as error:
            raise _unread(uri, str(error)) from error

    def files(self) -> dict[str, int]:
        """See Folder."""
        import obstore

        def listed() -> dict[str, int]:
            found: dict[str, int] = {}
            for page in obstore.list(self._store):
                found |= {each["path"].rpartition("/")[2]: each["size"] for each in page}
                if len(found) > MOST_FILES:
                    raise ClusterError(f"{self._uri} has more than {MOST_FILES} files: that is no folder of a job's")
            return found

        return self._asked(listed)

    def read(self, name: str, start: int, most: int) -> bytes:
        """See Folder."""
        import obstore

        def piece() -> bytes:
            size = obstore.head(self._store, name)["size"]
            if size <= start:
                return b""
            return bytes(obstore.get_range(self._store, name, start=start, end=min(size, start + most)))

        return self._asked(piece)

    def _asked(self, ask: Callable[[], Answer]) -> Answer:
        from obstore.exceptions import BaseError

        try:
            return ask()
        except (BaseError, FileNotFoundError, PermissionError) as error:
            raise _unread(self._uri, str(error) or type(error).__name__) from error


def _unread(uri: str, said: str) -> ClusterError:
    return ClusterError(
        f"{uri} cannot be read from here: {said.splitlines()[0][:300]}\nSet its credentials in the environment, as "
        "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT_URL; or let a pod read it with the "
        "job's own, by --reader-pod."
    )


SERVER = """
import json, os, sys
uri, secrets = sys.argv[1:3]
local = uri.startswith("/")
if not local:
    from headway_trainer.storage import Store
    store = Store.open(uri, secrets if os.path.isdir(secrets) else None)
def files():
    if not local:
        return dict(store.walk(""))
    if not os.path.isdir(uri):
        return {}
    return {entry.name: entry.stat().st_size for entry in os.scandir(uri) if entry.is_file()}
def read(name, start, most):
    if local:
        with open(os.path.join(uri, name), "rb") as stream:
            stream.seek(start)
            return stream.read(most)
    return store.read_range(name, start, max(0, min(most, store.size(name) - start)))
for line in sys.stdin:
    asked, data = json.loads(line), b""
    try:
        data = read(*asked) if asked else json.dumps(files()).encode()
        said = {"bytes": len(data)}
    except Exception as error:
        said = {"error": str(error)[:500]}
    sys.stdout.buffer.write(json.dumps(said).encode() + b"\\n" + data)
    sys.stdout.buffer.flush()
"""
"""What a pod runs for us. A volume is read by the standard library alone: where it runs beside a job's own processes it
must not take their memory."""


class InPod:
    """A folder as a pod reaches it, by `kubectl exec`."""

    def __init__(self, stream: Stream) -> None:
        """stream: of a pod that runs SERVER."""
        self._stream = stream

    def files(self) -> dict[str, int]:
        """See Folder."""
        try:
            found = json.loads(self._ask([]))
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict) or len(found) > MOST_FILES or not all(map(_is_size, found.values())):
            raise ClusterError("the pod's answer is no list of files")
        return found

    def read(self, name: str, start: int, most: int) -> bytes:
        """See Folder."""
        data = self._ask([name, start, most])
        if len(data) > most:
            raise ClusterError(f"the pod's answer has {len(data):,} bytes of {name}, and {most:,} were asked for")
        return data

    def _ask(self, request: list[Any]) -> bytes:
        try:
            self._stream.write(json.dumps(request).encode() + b"\n")
            head = json.loads(self._stream.line() or b"null")
        except (OSError, ValueError, RecursionError) as error:
            raise self._ended() from error
        if not isinstance(head, dict):
            raise self._ended()
        if "error" in head:
            raise ClusterError(str(head["error"])[:MOST_WORDS])
        size = head.get("bytes")
        if not _is_size(size) or size > MOST_ANSWER:
            raise ClusterError(f"the pod's answer is no piece of a file, of {MOST_ANSWER >> 20} MiB at most")
        data = self._stream.read(size)
        if len(data) < size:
            raise self._ended()
        return data

    def _ended(self) -> ClusterError:
        return explained(self._stream.end()[1])


def _is_size(value: object) -> TypeGuard[int]:
    """Whether a pod, which is a tenant's, has said how many bytes something has."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63


@contextmanager
def in_pod(kubectl: Kubectl, pod: str, uri: str) -> Iterator[Folder]:
    """The folder at a URI, or a path, as a pod reaches it. Raises ClusterError."""
    words = ["exec", pod, f"--container={MAIN_CONTAINER}", "--stdin", "--", "python", "-c", SERVER, uri, SECRET_DIR]
    with kubectl.stream(*words, writes=True) as stream:
        yield InPod(stream)


def pieces(folder: Folder, name: str, size: int | None = None) -> Iterator[bytes]:
    """A file piece by piece; no more than `size` of it. Raises ClusterError, also for a log that has no end."""
    start = 0
    while size is None or start < size:
        if size is None and start >= MOST_LOG_BYTES:
            raise ClusterError(f"{name} has more than {MOST_LOG_BYTES >> 20} MiB: a job has not written such a log")
        piece = folder.read(name, start, CHUNK if size is None else min(CHUNK, size - start))
        if not piece:
            return
        start += len(piece)
        yield piece
