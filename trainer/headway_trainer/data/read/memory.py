"""What this process may still take: whether data is prepared in memory or on the disk, or refused in a sentence rather
than by the kernel. What counts is anonymous memory: pages of files, mapped ones too, are given back when needed."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from headway_trainer.data.read.yaml_keys import key
from headway_trainer.data.scratch import MEMORY, Scratch
from headway_trainer.errors import UserError

_CGROUP = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")
_MEMINFO = Path("/proc/meminfo")
TABLE_SHARE = 1.05
"""What a table of numbers takes while it is prepared: what is made of it is made by columns and by blocks of rows."""
TEXT_SHARE = 2.5
"""What is made of the largest column of texts while its values are counted and its words are learnt."""
PASSING_ARRAYS_BYTES = 55 * 1024 * 1024
"""Blocks of arrays on their way, and the rows that the reference of a model is made of."""
PASSING_BYTES = 110 * 1024 * 1024
"""Blocks on their way, whatever the size of the data."""
ROW_BYTES = 64
"""What a row takes beside its values: its target, its place in a part, its hash, and sorted copies of these."""
STREAMING_BYTES = 272 * 1024 * 1024
"""Blocks and buckets of rows on their way between disk and disk."""
_SAMPLE = 2**16
"""Rows that tell whether the texts of a column differ."""
_COPIES = 2
"""Of the data on the disk at once: as it was read, and in the order of the parts."""


def available_bytes(meminfo: Path = _MEMINFO, cgroup: Path = _CGROUP, own: Path = _OWN_CGROUP) -> int | None:
    """The memory that is left in this container, or on this machine; none where the system does not say."""
    return _least("MemAvailable:", _left_of_limit, meminfo, _cgroups(cgroup, own))


def limit_bytes(meminfo: Path = _MEMINFO, cgroup: Path = _CGROUP, own: Path = _OWN_CGROUP) -> int | None:
    """The memory that this container, or this machine, has in all; none where the system does not say."""
    return _least("MemTotal:", _limit, meminfo, _cgroups(cgroup, own))


def scratch_for(needed: int, rows: int, size: int, what: str) -> Scratch:
    """Where what is read is to lie: in memory, where preparing it takes no more bytes than are left; else on the disk.

    rows and size are those of the data, in bytes as arrays. Raises UserError where the disk, or what rows take in
    memory in any case, does not do.
    """
    left = available_bytes()
    if left is None or needed <= left:
        return MEMORY
    check_rows(rows, what, min(STREAMING_BYTES, 4 * size))
    folder = tempfile.gettempdir()
    free, wanted = shutil.disk_usage(folder).free, _COPIES * size
    if wanted > free:
        raise UserError(
            f"preparing {what} takes about {shown(needed)} of memory, of which {shown(left)} are left, or"
            f" {shown(wanted)} of disk in {folder}, of which {shown(free)} are left: raise spec.head.resources.memory,"
            " give that folder more room, or name another one by the environment variable TMPDIR"
        )
    return Scratch(folder)


def check_rows(rows: int, what: str, passing: int = STREAMING_BYTES) -> None:
    """Raise UserError if what is kept of each row in any case, however large the disk is, takes more than is left."""
    doing = f"preparing the {rows:,} rows of {what}, even where their values lie on the disk,"
    check_memory(rows * ROW_BYTES + passing, doing, "raise spec.head.resources.memory, or give less data")


def check_texts(table: pa.Table) -> None:
    """Raise UserError if the different texts of a column, which memory holds one column at a time even where the table
    lies on the disk, take more than is left."""
    for name in (field.name for field in table.schema if pa.types.is_string(field.type)):
        column = table[name]
        some = column.slice(0, _SAMPLE)
        different = len(pc.unique(some)) / max(1, len(some))
        check_memory(
            int(different * column.nbytes * TEXT_SHARE),
            f"examining column {name!r}, whose texts differ from row to row,",
            f"raise spec.head.resources.memory, or leave it out with data.columns: {{{key(name)}: {{role: ignore}}}}",
        )


def check_memory(needed: int, doing: str, remedy: str) -> None:
    """Raise UserError if doing something would take more bytes than are left. remedy: what the user can do then."""
    left = available_bytes()
    if left is not None and needed > left:
        raise UserError(f"{doing} takes about {shown(needed)} of memory, but {shown(left)} are left: {remedy}")


class ColumnSize(NamedTuple):
    """What a column takes as an array."""

    bytes: int
    is_text: bool = False

    @staticmethod
    def of(kind: pa.DataType, rows: int, text: int) -> ColumnSize:
        """Of a column of that type; text: its bytes where that is text."""
        if pa.types.is_string(kind):
            return ColumnSize(text, is_text=True)
        return ColumnSize(0 if pa.types.is_null(kind) else rows * kind.bit_width // 8 + rows // 8)


def table_scratch(columns: Iterable[ColumnSize], rows: int, what: str, passing: int = 0) -> Scratch:
    """As scratch_for, for a table. passing: bytes that are there while it is read, and no more when it is prepared."""
    sizes = list(columns)
    table = sum(column.bytes for column in sizes)
    return scratch_for(table_bytes(sizes, rows, passing), rows, table, what)


def table_bytes(columns: Sequence[ColumnSize], rows: int, passing: int = 0) -> int:
    """The most memory that preparing a table takes, beyond what the process has."""
    table = sum(column.bytes for column in columns)
    texts = max((column.bytes for column in columns if column.is_text), default=0)
    kept = int(table * TABLE_SHARE + texts * TEXT_SHARE) + rows * ROW_BYTES
    return kept + max(2 * passing, min(PASSING_BYTES, 4 * table))


def array_scratch(size: int, rows: int, what: str, given_back: int = 0) -> Scratch:
    """As scratch_for, for size bytes of arrays. given_back: those of them that are given up one by one as others come,
    in memory."""
    return scratch_for(size - given_back + min(PASSING_ARRAYS_BYTES, 4 * size), rows, size, what)


def shown(count: int) -> str:
    """A number of bytes for people."""
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{max(0, count) / 2**20:.0f} MiB"


def _least(entry: str, of_group: Callable[[Path], list[int]], meminfo: Path, folders: Iterable[Path]) -> int | None:
    """The least of what the machine tells by an entry of meminfo and of what its control groups tell, in bytes."""
    told = []
    with contextlib.suppress(OSError):
        told += [count * 1024 for name, count in _table(meminfo).items() if name == entry]
    for folder in folders:
        with contextlib.suppress(OSError, ValueError):
            told += of_group(folder)
    return min(told, default=None)


def _cgroups(root: Path, own: Path) -> Iterator[Path]:
    """The folders of this process's control group: of version 2, and of the memory of version 1.

    In a container of its own namespace, or of version 1, it is the root of what is mounted there.
    """
    inner: dict[str, str] = {}
    with contextlib.suppress(OSError):
        lines = (line.split(":", 2) for line in own.read_text().splitlines())
        inner = {names: path.strip("/") for _, names, path in lines if names in ("", "memory")}
    for base, path in ((root, inner.get("", "")), (root / "memory", inner.get("memory", ""))):
        yield base / path if (base / path).is_dir() else base


def _left_of_limit(folder: Path) -> list[int]:
    """What a control group's limit leaves; nothing where it has none. Raises OSError where there is no such group."""
    second = (folder / "memory.max").exists()
    used = int((folder / ("memory.current" if second else "memory.usage_in_bytes")).read_text())
    # Pages of files count as used, but are given back when they are needed.
    stat, prefix = _table(folder / "memory.stat"), "" if second else "total_"
    cached = stat.get(f"{prefix}active_file", 0) + stat.get(f"{prefix}inactive_file", 0)
    return [limit - used + cached for limit in _limit(folder)]


def _limit(folder: Path) -> list[int]:
    second = folder / "memory.max"
    limit = (second if second.exists() else folder / "memory.limit_in_bytes").read_text().strip()
    return [] if limit == "max" else [int(limit)]


def _table(path: Path) -> dict[str, int]:
    lines = (line.split() for line in path.read_text().splitlines())
    return {words[0]: int(words[1]) for words in lines if len(words) > 1}
