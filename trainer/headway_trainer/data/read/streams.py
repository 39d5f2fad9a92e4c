"""A text file as chunks of UTF-8, whatever it is packed and written in."""

from __future__ import annotations

import codecs
import contextlib
import io
from collections.abc import Iterable, Iterator
from typing import BinaryIO, cast

import pyarrow as pa

from headway_trainer.data.read.encoding import detect, shown
from headway_trainer.data.read.files import SourceFile
from headway_trainer.errors import UserError

CHUNK = 2 * 1024 * 1024
"""Bytes that are read at once."""
LINES = 4 * 1024 * 1024
"""Bytes of whole lines that are looked at at once."""


_BROKEN = ("corrupt", "thrift", "truncated", "zlib", "magic bytes", "file size is")
"""Words of the errors by which pyarrow says that a file, and not the way to it, is broken."""
_PACKED = {
    b"\x1f\x8b": ("gzip", "give its name the ending .gz"),
    b"PK\x03\x04": ("zip (as Excel files are)", "unpack it, or save the sheet as csv"),
    b"PAR1": ("parquet", "give its name the ending .parquet"),
    b"\x28\xb5\x2f\xfd": ("zstd", "unpack it"),
    b"BZh": ("bzip2", "unpack it"),
    b"\xfd7zXZ\x00": ("xz", "unpack it"),
    b"\x04\x22\x4d\x18": ("lz4", "unpack it"),
    b"7z\xbc\xaf\x27\x1c": ("7z", "unpack it"),
    b"\xd0\xcf\x11\xe0": ("an old Office document (xls)", "save the sheet as csv"),
    b"SQLite format 3": ("an SQLite database", "export the table as csv"),
    b"%PDF": ("pdf", "export the table as csv"),
    b"\x89HDF": ("HDF5", "export the table as parquet"),
    b"ARROW1": ("Arrow IPC (Feather)", "write it as parquet"),
}
"""What files begin with that are no text: their format, and what to do."""
_TEXTS = {
    b"version https://git-lfs.github.com/spec/": ("a pointer of Git LFS", "fetch the file itself with git lfs pull"),
    b"<!doctype html": ("a page in HTML", "download the file itself; the page may ask for a login"),
    b"<html": ("a page in HTML", "download the file itself; the page may ask for a login"),
    b"<?xml": ("XML", "export the table as csv"),
    b"{\\rtf": ("RTF, of a word processor", "save it as plain text"),
}
"""The same of files that are text, in lower case: what stands where the rows should be."""


class BrokenFile(Exception):  # noqa: N818 - it is no fault of the program
    """The bytes of a file are not what its format asks for; the reason, in the words of pyarrow."""


@contextlib.contextmanager
def parsing() -> Iterator[None]:
    """Turn what pyarrow says of a broken file into BrokenFile, and let what it says of the way to the file pass."""
    try:
        yield
    except (pa.ArrowInvalid, OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and not any(word in str(error).lower() for word in _BROKEN):
            raise
        raise BrokenFile(str(error).splitlines()[0]) from error


class ChunkStream(io.RawIOBase):
    """Chunks of bytes as a file that pyarrow reads. What their iterator raises, reading raises."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        super().__init__()
        self._chunks = iter(chunks)
        self._left = b""

    def readable(self) -> bool:
        """Always."""
        return True

    def read(self, size: int = -1) -> bytes:
        """size bytes, fewer only at the end."""
        if size < 0:
            return self._left + b"".join(self._chunks)
        have = [self._left]
        count = len(self._left)
        while count < size and (chunk := next(self._chunks, None)) is not None:
            have.append(chunk)
            count += len(chunk)
        whole = b"".join(have)
        self._left = whole[size:]
        return whole[:size]


@contextlib.contextmanager
def open_bytes(file: SourceFile) -> Iterator[BinaryIO]:
    """The bytes of a file, unpacked."""
    with file.store.open_input(file.path) as stream:
        yield cast("BinaryIO", pa.CompressedInputStream(stream, "gzip")) if file.is_gzip else stream


@contextlib.contextmanager
def open_text(file: SourceFile, encoding: str | None) -> Iterator[Iterator[bytes]]:
    """The text of a file as chunks of UTF-8 without a byte order mark.

    encoding is the job's; None tells it from the file. Raises UserError, naming the line, for bytes that do not fit it.
    """
    with open_bytes(file) as source:
        yield _chunks(source, file.uri, encoding)


def text_instead(head: bytes) -> str | None:
    """What a file is, and what to do, where its first bytes are those of a text that holds no rows; else none."""
    begin = head[:200].removeprefix(codecs.BOM_UTF8).lstrip().lower()
    told = next((told for mark, told in _TEXTS.items() if begin.startswith(mark)), None)
    return None if told is None else f"holds no rows but is {told[0]}: {told[1]}"


def whole_lines(chunks: Iterable[bytes], longest: int) -> Iterator[bytes]:
    """Whole lines, LINES at once. Raises BrokenFile for a line of more than longest bytes."""
    held = b""
    for chunk in chunks:
        held += chunk
        cut = held.rfind(b"\n") + 1
        if cut and len(held) >= LINES:
            yield held[:cut]
            held = held[cut:]
        if len(held) > longest:
            raise BrokenFile(f"a line is longer than {longest >> 20} MiB")
    if held:
        yield held


def codec_of(file: SourceFile, encoding: str | None) -> str:
    """The codec of a file, as Python calls it."""
    with open_bytes(file) as source:
        return detect(_read(source, file.uri), encoding)


def _chunks(source: BinaryIO, uri: str, encoding: str | None) -> Iterator[bytes]:
    chunk = _read(source, uri)
    if (packed := next((told for mark, told in _PACKED.items() if chunk.startswith(mark)), None)) is not None:
        raise UserError(f"{uri} is no text but a file of the format {packed[0]}: {packed[1]}")
    if (other := text_instead(chunk)) is not None:
        raise UserError(f"{uri} {other}")
    codec = detect(chunk, encoding)
    plain = codec in ("utf-8", "utf-8-sig")
    if plain and chunk.startswith(codecs.BOM_UTF8):
        chunk = chunk[len(codecs.BOM_UTF8) :]
    decoder = codecs.getincrementaldecoder("utf-8" if plain else codec)("strict")
    lines = 0
    while True:
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            # The decoder holds the beginning of a character that the chunk before it ended with.
            before = bytes(error.object)[: error.start].decode(codec, "replace")
            raise UserError(_undecodable(uri, lines + line_ends(before.encode()) + 1, codec, error)) from error
        made = chunk if plain else text.encode()
        lines += line_ends(made)
        if made:
            yield made
        if not chunk:
            return
        chunk = _read(source, uri)


def _read(source: BinaryIO, uri: str) -> bytes:
    try:
        with parsing():
            return source.read(CHUNK)
    except BrokenFile as error:
        raise UserError(f"{uri} cannot be unpacked: {error}: write it again, or take it out") from error


def line_ends(data: bytes) -> int:
    r"""Ends of lines, written as \n, \r\n or \r."""
    return data.count(b"\n") + (data.count(b"\r") - data.count(b"\r\n") if b"\r" in data else 0)


def _undecodable(uri: str, line: int, codec: str, error: UnicodeDecodeError) -> str:
    wrong = bytes(error.object)[error.start : error.start + 4].hex(" ")
    told = f"{uri} is not written in {shown(codec)}: line {line} has the bytes {wrong}"
    return f"{told}: set data.read.encoding, for example to windows-1252 or latin-1, or save the file as UTF-8"
