"""One way to read and write files on a local path, a volume or an object store: a `Store` over a pyarrow FileSystem.

Only whole files are written, and a reader sees either none of a file or all of it.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import parse_qsl, urlsplit

from pyarrow import ArrowException, fs

from headway_api.bundle import FileDigest
from headway_api.data import SCHEMES
from headway_trainer.credentials import google, read_secrets
from headway_trainer.errors import NotFound, UserError
from headway_trainer.storage_faults import patient, storage_errors

CHUNK = 8 * 1024 * 1024
"""Bytes that are read at once where a file is passed through rather than kept."""
UNSYNCED_BYTES = 64 * 1024 * 1024
"""What is written of a local file before it has to be on the disk."""
CONNECT_TIMEOUT_SECONDS = 10.0
Pieces = Callable[[], Iterable[bytes | memoryview]]
"""Gives a file's content piece by piece, from its beginning at each call."""
Files = list[tuple[str, int]]
"""Files as (path, size in bytes)."""
_TEMPORARY = ".tmp"
_S3_OPTIONS = {"region", "scheme", "endpoint_override", "allow_bucket_creation"}


class Store:
    """A folder on a file system. Paths given to its methods are relative to it and use `/`.

    Every method raises StorageError (NotFound where nothing is there) with a sentence that names the URI. Passing
    faults are met with patience first, but for files that are read or written piece by piece.
    """

    def __init__(self, filesystem: fs.FileSystem, base: str, uri: str) -> None:
        self.filesystem = filesystem
        self.base = base.rstrip("/") or ("/" if base.startswith("/") else "")
        self.uri = uri
        self._local = isinstance(filesystem, fs.LocalFileSystem)

    @staticmethod
    def open(uri: str, secret_dir: str | None = None) -> Store:
        """Open a local path or a URI (`file://`, `s3://`, `gs://`, `abfs://`).

        Credentials come from the files in secret_dir, named like the environment variables of the cloud's own tools,
        where there are any; otherwise from the usual environment. Raises UserError for a URI that cannot be meant.
        """
        with storage_errors(uri, "open"):
            return _open(uri, read_secrets(secret_dir))

    def child(self, *parts: str) -> Store:
        """A folder in this one; it need not exist."""
        path = "/".join(part.strip("/") for part in parts)
        return Store(self.filesystem, self._full(path), self._uri(path))

    def local_path(self) -> Path | None:
        """The folder on this machine's file system; none for an object store."""
        return Path(self.base) if self._local else None

    @patient
    def read(self, path: str) -> bytes:
        """The whole content of a file."""
        with self.open_input(path) as stream:
            return stream.read()

    @patient
    def read_range(self, path: str, offset: int, length: int) -> bytes:
        """length bytes of a file from offset on; fewer at its end."""
        with self.open_input(path) as stream:
            stream.seek(offset)
            return stream.read(length)

    @contextlib.contextmanager
    def open_input(self, path: str) -> Iterator[BinaryIO]:
        """A file for reading with seeks."""
        with storage_errors(self._uri(path), "read"), self.filesystem.open_input_file(self._full(path)) as stream:
            yield cast("BinaryIO", stream)

    @patient
    def write(self, path: str, data: bytes) -> None:
        """Write a whole file, replacing what is there."""
        with self.open_output(path) as stream:
            stream.write(data)

    def write_described(self, path: str, data: bytes) -> FileDigest:
        """As write; what was written."""
        self.write(path, data)
        return FileDigest(name=path, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))

    @patient
    def write_pieces(self, path: str, pieces: Pieces, *, last: bool) -> FileDigest:
        """Write a whole file piece by piece, replacing what is there; what was written. Each try asks for new pieces.

        last: whether its name has to outlive a power failure now; else it does once a later file of its folder does.
        """
        digest, size = hashlib.sha256(), 0
        with self.open_output(path, durable_name=last) as stream:
            for piece in pieces():
                digest.update(piece)
                size += stream.write(piece)
        return FileDigest(name=path, sha256=digest.hexdigest(), size_bytes=size)

    @contextlib.contextmanager
    def open_output(self, path: str, *, durable_name: bool = True) -> Iterator[BinaryIO]:
        """Write a file piece by piece; it comes to be when the block ends, and not at all when the block raises.

        durable_name: whether its folder is synced, too; its content always is.
        """
        with storage_errors(self._uri(path), "write"):
            if self._local:
                with _open_local_output(Path(self._full(path)), durable_name=durable_name) as local:
                    yield local
                return
            stream = self.filesystem.open_output_stream(self._full(path))
            try:
                yield cast("BinaryIO", stream)
            except BaseException:
                # An output stream of pyarrow can be closed but not abandoned.
                with contextlib.suppress(OSError, ArrowException):
                    stream.close()
                    self.filesystem.delete_file(self._full(path))
                raise
            stream.close()

    @patient
    def exists(self, path: str = "") -> bool:
        """Whether there is a file or a folder."""
        with storage_errors(self._uri(path), "look up"):
            return bool(self.filesystem.get_file_info(self._full(path)).type != fs.FileType.NotFound)

    @patient
    def is_file(self, path: str = "") -> bool:
        """Whether there is a file."""
        with storage_errors(self._uri(path), "look up"):
            return bool(self.filesystem.get_file_info(self._full(path)).type == fs.FileType.File)

    @patient
    def size(self, path: str = "") -> int:
        """A file's size in bytes."""
        with storage_errors(self._uri(path), "look up"):
            info = self.filesystem.get_file_info(self._full(path))
        if info.type != fs.FileType.File:
            raise NotFound(f"{self._uri(path)}: there is no such file")
        return int(info.size)

    @patient
    def list(self, path: str = "") -> list[str]:
        """The names of a folder's direct children, sorted; none where there is no such folder."""
        selector = fs.FileSelector(self._full(path), allow_not_found=True)
        with storage_errors(self._uri(path), "list"):
            names = (info.base_name for info in self.filesystem.get_file_info(selector))
            return sorted(name for name in names if not (name.startswith(".") and name.endswith(_TEMPORARY)))

    @patient
    def walk(self, path: str = "") -> Files:
        """All files below a folder, with paths relative to it, sorted.

        Links to folders are followed, but for those that lead back to a folder that they lie in. A link to a file that
        is not there is a file of no bytes, so that whoever reads it is told.
        """
        root = self._full(path)
        if self._local:
            with storage_errors(self._uri(path), "list"):
                return sorted(_walk_local(Path(root), "", ()))
        selector = fs.FileSelector(root, allow_not_found=True, recursive=True)
        with storage_errors(self._uri(path), "list"):
            infos = [info for info in self.filesystem.get_file_info(selector) if info.type == fs.FileType.File]
        return sorted((info.path[len(root) :].lstrip("/"), int(info.size)) for info in infos)

    @patient
    def modified(self, paths: Sequence[str]) -> dict[str, int]:
        """When files were changed last, in nanoseconds since 1970; without those that the storage tells nothing of."""
        if len(paths) == 1:
            with storage_errors(self._uri(paths[0]), "look up"):
                infos = [self.filesystem.get_file_info(self._full(paths[0]))]
        else:
            root, deep = self._full(""), any("/" in path for path in paths)
            with storage_errors(self.uri, "list"):
                infos = self.filesystem.get_file_info(fs.FileSelector(root, allow_not_found=True, recursive=deep))
        times = {info.path: info.mtime_ns for info in infos if info.mtime_ns is not None}
        return {path: times[self._full(path)] for path in paths if self._full(path) in times}

    @patient
    def delete(self, path: str = "") -> None:
        """Delete a file, or a folder with all that is in it; nothing happens where nothing is there."""
        full = self._full(path)
        with storage_errors(self._uri(path), "delete"), contextlib.suppress(FileNotFoundError):
            kind = self.filesystem.get_file_info(full).type
            if kind == fs.FileType.File:
                self.filesystem.delete_file(full)
            elif kind == fs.FileType.Directory and self._local:
                shutil.rmtree(full)
            elif kind == fs.FileType.Directory:
                self._delete_folder(full)

    def _delete_folder(self, full: str) -> None:
        """Delete a folder of an object store.

        A server that keeps folders in folders, such as a gateway to a file system, refuses to delete one that still
        holds something, in whatever order all of them are named in one request. By then the files are gone.
        """
        try:
            self.filesystem.delete_dir(full)
        except FileNotFoundError:
            raise
        except OSError:
            self.filesystem.delete_dir(full)

    @patient
    def sha256(self, path: str) -> str:
        """The digest of a file, in hex."""
        digest = hashlib.sha256()
        with self.open_input(path) as stream:
            while chunk := stream.read(CHUNK):
                digest.update(chunk)
        return digest.hexdigest()

    def _full(self, path: str) -> str:
        path = path.strip("/")
        if not path:
            return self.base
        return f"{self.base.rstrip('/')}/{path}" if self.base else path

    def _uri(self, path: str) -> str:
        path = path.strip("/")
        if not path:
            return self.uri
        head, mark, query = self.uri.partition("?")
        return f"{head.rstrip('/')}/{path}{mark}{query}"


class _LocalOutput(io.BufferedWriter):
    """A file that is brought to the disk as it is written.

    All at its end, in a control group of version 1 whose memory is full of pages that wait for the disk, everything
    stands still until the kernel gets to them.
    """

    _unsynced = 0

    def write(self, data: Any) -> int:
        """Write bytes; how many they are."""
        count = super().write(data)
        self._unsynced += count
        if self._unsynced >= UNSYNCED_BYTES:
            self.flush()
            os.fdatasync(self.fileno())
            self._unsynced = 0
        return count


def _walk_local(folder: Path, prefix: str, above: tuple[tuple[int, int], ...]) -> Iterator[tuple[str, int]]:
    """The files of a folder and below; above tells the folders that it lies in."""
    try:
        status = folder.stat()
    except FileNotFoundError:
        return
    here = (status.st_dev, status.st_ino)
    if here in above or not stat.S_ISDIR(status.st_mode):
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            path = f"{prefix}{entry.name}"
            if entry.is_symlink() and not Path(entry.path).exists():
                yield path, 0
            elif entry.is_dir():
                yield from _walk_local(Path(entry.path), f"{path}/", (*above, here))
            elif entry.is_file():
                yield path, entry.stat().st_size


@contextlib.contextmanager
def _open_local_output(path: Path, *, durable_name: bool) -> Iterator[BinaryIO]:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name[:128]}.{secrets.token_hex(6)}{_TEMPORARY}")
    try:
        with _LocalOutput(io.FileIO(temporary, "x")) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable_name:
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make a rename durable; not every file system lets a folder be synced."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _open(uri: str, secret: dict[str, str]) -> Store:
    if "://" not in uri:
        path = str(Path(uri).expanduser().absolute())
        return Store(fs.LocalFileSystem(), path, path)
    parts = urlsplit(uri)
    if parts.scheme not in SCHEMES:
        raise UserError(f"{uri}: {parts.scheme}:// is not known; use a local path or one of {', '.join(SCHEMES)}")
    if parts.password is not None or (parts.username is not None and parts.scheme == "s3"):
        shown = f"{parts.scheme}://{parts.hostname}{parts.path}"
        raise UserError(f"{shown}: the URI holds credentials, and it is stored in the clear: put them in secretRef")
    match parts.scheme:
        case "file":
            return _open(parts.path, secret)
        case "s3":
            return Store(_s3(uri, secret), f"{parts.netloc}{parts.path}", uri)
        case "abfs" | "abfss":
            return _azure(uri, secret)
        case _:
            with google(secret):
                filesystem, base = fs.FileSystem.from_uri(uri)
            return Store(filesystem, base, uri)


def _s3(uri: str, secret: dict[str, str]) -> fs.S3FileSystem:
    parts = urlsplit(uri)
    options = dict(parse_qsl(parts.query))
    if unknown := sorted(set(options) - _S3_OPTIONS):
        raise UserError(f"{uri}: {unknown[0]} is not an option; s3:// has {', '.join(sorted(_S3_OPTIONS))}")
    endpoint = options.get("endpoint_override") or secret.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT_URL")
    scheme = options.get("scheme")
    if endpoint and "://" in endpoint:
        given, endpoint = endpoint.split("://", 1)
        scheme = scheme or given
    region = options.get("region") or secret.get("AWS_REGION") or os.environ.get("AWS_REGION")
    if not region:
        # A server of one's own has no regions, but requests are signed for one.
        region = "us-east-1" if endpoint else fs.resolve_s3_region(parts.netloc)
    return fs.S3FileSystem(
        access_key=secret.get("AWS_ACCESS_KEY_ID"),
        secret_key=secret.get("AWS_SECRET_ACCESS_KEY"),
        session_token=secret.get("AWS_SESSION_TOKEN"),
        region=region,
        scheme=scheme,
        endpoint_override=endpoint.rstrip("/") if endpoint else None,
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        allow_bucket_creation=options.get("allow_bucket_creation") == "true",
        allow_delayed_open=True,  # a small file is one request instead of three
    )


def _azure(uri: str, secret: dict[str, str]) -> Store:
    """A container of the account that the URI names after `@`, or else of the secret's or the environment's."""
    parts = urlsplit(uri)
    container, _, host = parts.netloc.partition("@")
    account = host.partition(".")[0]
    account = account or secret.get("AZURE_STORAGE_ACCOUNT_NAME") or os.environ.get("AZURE_STORAGE_ACCOUNT_NAME", "")
    if not account:
        raise UserError(
            f"{uri}: no storage account is named; write abfs://CONTAINER@ACCOUNT.dfs.core.windows.net/PATH, "
            "or set AZURE_STORAGE_ACCOUNT_NAME"
        )
    key = secret.get("AZURE_STORAGE_ACCOUNT_KEY") or os.environ.get("AZURE_STORAGE_ACCOUNT_KEY")
    return Store(fs.AzureFileSystem(account, account_key=key), f"{container}{parts.path}", uri)
