"""YAML text as JSON-like documents, each value with its line, read the way kubectl reads it.

The text may be hostile: everything is built from the parser's events without recursion, with bounds on size, depth and
the growth by aliases.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from headway_api.problems import Path, Problem
from headway_api.scalars import Scalar, resolve
from headway_api.wording import shown

MAX_BYTES = 3 * 1024 * 1024
"""The API server refuses requests above this size."""
MAX_DEPTH = 64
"""How deeply mappings and lists may lie in each other."""
MAX_VALUES = 100_000
"""How many values a file may hold, aliases written out."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
_TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "null": (type(None),),
    "timestamp": (str,),
}


@dataclass
class Document:
    """One document of a YAML stream."""

    value: Any
    """JSON-like: dicts with string keys, lists, strings, numbers, booleans and None. NaN and infinity may occur."""
    line: int
    """Where it begins, counted from 1."""
    lines: dict[Path, int] = field(default_factory=dict)
    """The line of each key and each list entry, by path."""
    problems: list[Problem] = field(default_factory=list)
    """What is wrong with it as YAML although it can be read: keys that are given twice."""

    def line_of(self, path: Path) -> int:
        """The line of what is at a path, or of the nearest thing around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, self.line)


class UnreadableError(Exception):
    """A text that is no YAML that kubectl would take. It carries one problem."""

    def __init__(self, message: str, line: int | None = None, path: Path = ()) -> None:
        super().__init__(message)
        self.problem = Problem(path, message, line)


def decode(data: bytes) -> str:
    """The text of a file. Raises UnreadableError where it is no UTF-8 or too large."""
    if len(data) > MAX_BYTES:
        raise UnreadableError(f"the file has {len(data)} bytes: at most {MAX_BYTES} are allowed", 1)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UnreadableError(
            f"byte 0x{data[error.start]:02x} is not UTF-8: save the file as UTF-8 text", line
        ) from None


def read(text: str) -> Iterator[Document]:
    """The documents of a YAML stream, one after the other; empty ones are left out.

    Raises UnreadableError at the first place that cannot be read; the documents before it have been given by then.
    """
    reader = _Reader()
    try:
        for event in yaml.parse(_yaml_of_json(text), Loader=_LOADER):
            document = reader.take(event)
            if document is not None and document.value is not None:
                yield document
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        context = f" {error.context}" if error.context else ""
        raise UnreadableError(f"not valid YAML: {error.problem}{context}", mark.line + 1 if mark else None) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise UnreadableError(f"not valid YAML: a character that is not allowed ({error.reason})", line) from None


_SURROGATES = re.compile(r"(?<!\\)((?:\\\\)*)\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})", re.IGNORECASE)


def _yaml_of_json(text: str) -> str:
    """What JSON may hold and YAML may not: tabs between values, and characters written as two halves."""
    if not text.lstrip().startswith("{"):
        return text
    return _SURROGATES.sub(
        lambda match: match[1] + bytes.fromhex(match[2] + match[3]).decode("utf-16-be"), text.replace("\t", " ")
    )


@dataclass
class _Anchor:
    """What an anchor names: a value with its size and height, so that an alias is counted without looking into it."""

    value: Any
    size: int
    height: int


@dataclass
class _Frame:
    """A mapping or a list that is being read."""

    value: Any
    path: Path
    line: int
    anchor: str | None
    size_before: int
    height: int = 1
    key: str | None = None
    key_line: int = 0
    merging: bool = False
    merged: dict[str, Any] = field(default_factory=dict)


_OPEN = object()


class _Reader:
    """Builds documents from the parser's events."""

    def __init__(self) -> None:
        self._frames: list[_Frame] = []
        self._anchors: dict[str, _Anchor | object] = {}
        self._document = Document(None, 1)
        self._size = 0

    def take(self, event: Any) -> Document | None:
        """Take the next event; gives the document that it ends, if it ends one."""
        line = event.start_mark.line + 1
        match event:
            case yaml.DocumentStartEvent():
                self._document, self._anchors = Document(None, line), {}
            case yaml.ScalarEvent():
                self._scalar(event, line)
            case yaml.AliasEvent():
                self._alias(str(event.anchor), line)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._begin(event, line)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._end()
            case yaml.DocumentEndEvent():
                return self._document
        return None

    def _scalar(self, event: Any, line: int) -> None:
        frame = self._frames[-1] if self._frames else None
        if frame is not None and isinstance(frame.value, dict) and frame.key is None and not frame.merging:
            self._key(frame, event, line)
            return
        value = _scalar_value(event, line, self._path(frame))
        if event.anchor:
            self._anchors[event.anchor] = _Anchor(value, 1, 0)
        self._put(value, line, 1, 0)

    def _key(self, frame: _Frame, event: Any, line: int) -> None:
        if event.value == "<<" and event.implicit[0]:
            frame.merging = True
            return
        value = _scalar_value(event, line, frame.path)
        if value is None:
            raise UnreadableError("a key is empty or null: give it a name", line, frame.path)
        key = value if isinstance(value, str) else shown(value)
        if event.anchor:
            self._anchors[event.anchor] = _Anchor(value, 1, 0)
        path = (*frame.path, key)
        if key in frame.value:
            first = self._document.lines.get(path, frame.line)
            self._document.problems.append(Problem(path, f"is given twice, first in line {first}", line))
        frame.key, frame.key_line = key, line
        self._document.lines[path] = line

    def _begin(self, event: Any, line: int) -> None:
        frame = self._frames[-1] if self._frames else None
        path = self._path(frame)
        if frame is not None and isinstance(frame.value, dict) and frame.key is None and not frame.merging:
            raise UnreadableError("a key is a mapping or a list: only plain keys are allowed", line, path)
        if event.tag not in (None, "!", f"{_TAG}map", f"{_TAG}seq"):
            raise UnreadableError(f"the tag {shown(event.tag)} is not allowed: take it out", line, path)
        if len(self._frames) >= MAX_DEPTH:
            raise UnreadableError(f"is nested too deeply: at most {MAX_DEPTH} levels are allowed", line, path[:3])
        if event.anchor:
            self._anchors[event.anchor] = _OPEN
        if not self._frames:
            self._document.line = line
        value: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
        self._frames.append(_Frame(value, path, line, event.anchor, self._size))

    def _end(self) -> None:
        frame = self._frames.pop()
        if frame.merged:
            frame.value = {**frame.merged, **frame.value}
        size = self._size - frame.size_before + 1
        if frame.anchor:
            self._anchors[frame.anchor] = _Anchor(frame.value, size, frame.height)
        self._put(frame.value, frame.line, 1, frame.height)

    def _alias(self, name: str, line: int) -> None:
        frame = self._frames[-1] if self._frames else None
        path = self._path(frame)
        anchor = self._anchors.get(name)
        if anchor is None:
            raise UnreadableError(
                f"the alias *{name[:64]} has no anchor: nothing before it is called &{name[:64]}", line, path
            )
        if not isinstance(anchor, _Anchor):
            raise UnreadableError(f"the anchor &{name[:64]} contains itself", line, path)
        if frame is not None and isinstance(frame.value, dict) and frame.key is None and not frame.merging:
            raise UnreadableError("a key is an alias: write the key out", line, path)
        if len(self._frames) + anchor.height > MAX_DEPTH:
            raise UnreadableError(f"is nested too deeply: at most {MAX_DEPTH} levels are allowed", line, path[:3])
        self._put(anchor.value, line, anchor.size, anchor.height)

    def _path(self, frame: _Frame | None) -> Path:
        """The path of the value that comes next."""
        if frame is None:
            return ()
        if isinstance(frame.value, list):
            return (*frame.path, len(frame.value))
        return frame.path if frame.key is None else (*frame.path, frame.key)

    def _put(self, value: Any, line: int, size: int, height: int) -> None:
        """Put a finished value where it belongs."""
        self._size += size
        if self._size > MAX_VALUES:
            raise UnreadableError(
                f"the file has too many values: at most {MAX_VALUES} are allowed, aliases written out", line
            )
        if not self._frames:
            self._document.value = value
            return
        frame = self._frames[-1]
        frame.height = max(frame.height, height + 1)
        if isinstance(frame.value, list):
            self._document.lines[(*frame.path, len(frame.value))] = line
            frame.value.append(value)
        elif frame.merging:
            frame.merging = False
            _merge(frame, value, line)
        elif frame.key is not None:
            frame.value[frame.key], frame.key = value, None


def _merge(frame: _Frame, value: Any, line: int) -> None:
    for each in value if isinstance(value, list) else [value]:
        if not isinstance(each, dict):
            raise UnreadableError("`<<` merges mappings only: give it the alias of a mapping", line, frame.path)
        frame.merged = {**each, **frame.merged}


def _scalar_value(event: Any, line: int, path: Path) -> Scalar:
    """What a scalar means: quoted and block text is a string, a plain one follows kubectl's rules."""
    if event.tag is None or event.tag == "!":
        return resolve(event.value) if event.implicit[0] and event.tag is None else event.value
    kind = event.tag.removeprefix(_TAG)
    if kind == "str" and event.tag.startswith(_TAG):
        return str(event.value)
    value = resolve(event.value)
    if event.tag.startswith(_TAG) and kind in _TYPES and isinstance(value, _TYPES[kind]):
        return value
    raise UnreadableError(f"the tag {shown(event.tag)} on {shown(event.value)} is not allowed: take it out", line, path)
