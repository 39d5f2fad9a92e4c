"""Which files a source names: a single file, all of a folder, or those that a glob fits, and which format they have."""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from headway_api.data import ENDINGS, Format, format_of
from headway_trainer.errors import NotFound, UserError
from headway_trainer.storage import Store

_SHOWN = 5


@dataclass(frozen=True)
class SourceFile:
    """One file of a source."""

    store: Store
    """What the path is relative to."""
    path: str
    """Empty, where the store is the file itself."""
    size: int
    part: int | None = None
    """The part that all its rows belong to, where the source gives parts: 0 training, 1 validation, 2 test."""

    @property
    def uri(self) -> str:
        """The file as messages name it."""
        return self.store.child(self.path).uri if self.path else self.store.uri

    @property
    def is_gzip(self) -> bool:
        """Whether the file is compressed."""
        return _name(self.path or self.store.uri).endswith(".gz")


@dataclass(frozen=True)
class SourceFiles:
    """The files of a source, all of one format; those of a part, and of a folder, sorted by path."""

    uri: str
    """The source as messages name it."""
    files: list[SourceFile]
    format: Format
    left_out: int = 0
    """Files of the folder that have another format's ending."""

    @property
    def has_parts(self) -> bool:
        """Whether the source itself says which rows train."""
        return self.files[0].part is not None


def find_files(uri: str, form: Format | None, secret_dir: str | None, *, prefer: Format | None = None) -> SourceFiles:
    """The files that uri names. Hidden files, and those whose names begin with `_`, are no data. prefer: the format of
    those that are meant where there are several and form says nothing.

    Raises UserError where there are none, or where their format cannot be told; StorageError.
    """
    store, found = _list(uri, secret_dir)
    for path in (path for path, _ in found if not _is_unicode(path)):
        raise UserError(f"data.source: {uri} has a file whose name is no UTF-8, {path!r}: rename it")
    for path in (path for path, size in found if not size and path and not store.is_file(path)):
        raise UserError(
            f"data.source: {store.child(path).uri} is a link to a file or folder that is not there: bring it, or "
            "take the link out"
        )
    if not found:
        raise UserError(f"data.source: there is no file at {uri}: correct the path, or put files there")
    form = form or _format(uri, [path or uri for path, _ in found], prefer)
    fitting = [(path, size) for path, size in found if _name(path or uri).endswith(ENDINGS[form])]
    chosen = fitting or found
    files = [SourceFile(store, path, size) for path, size in chosen]
    return SourceFiles(store.uri, files, form, left_out=len(found) - len(chosen))


def find_parts(uris: Mapping[int, str], form: Format | None, secret_dir: str | None) -> SourceFiles:
    """The files of each part, by its number. Raises UserError, also where formats differ; StorageError."""
    found = {part: find_files(uri, form, secret_dir) for part, uri in uris.items()}
    formats = sorted({files.format for files in found.values()})
    if len(formats) > 1:
        raise UserError(f"data.source.parts: the parts have the formats {' and '.join(formats)}: give all in one")
    files = [replace(file, part=part) for part, those in found.items() for file in those.files]
    twice = [uri for uri, count in Counter(file.uri for file in files).items() if count > 1]
    if twice:
        raise UserError(f"data.source.parts: {twice[0]} is in two parts: what is learnt from cannot judge the model")
    left_out = sum(those.left_out for those in found.values())
    return SourceFiles(" and ".join(uris.values()), files, found[0].format, left_out)


def _list(uri: str, secret_dir: str | None) -> tuple[Store, list[tuple[str, int]]]:
    path, mark, query = uri.partition("?") if "://" in uri else (uri, "", "")
    parent, _, last = path.rpartition("/")
    if any(sign in last for sign in "*?["):
        store = Store.open((parent or ("/" if path.startswith("/") else ".")) + mark + query, secret_dir)
        names = [name for name in store.list() if is_data(name) and fnmatch.fnmatchcase(name, last)]
        return store, [(name, store.size(name)) for name in names if store.is_file(name)]
    store = Store.open(uri, secret_dir)
    try:
        return store, [("", store.size())]
    except NotFound:
        return store, [(name, size) for name, size in store.walk() if is_data(name)]


def is_data(path: str) -> bool:
    """Whether a path is not one of those that tools hide, by a name in it."""
    # Office writes `~$` files beside what is open.
    return not any(part.startswith((".", "_", "~$")) for part in PurePosixPath(path).parts)


def _is_unicode(path: str) -> bool:
    """Whether a name is text: bytes of other encodings are what Python calls surrogates."""
    return not any("\udc80" <= sign <= "\udcff" for sign in path)


def _format(uri: str, paths: list[str], prefer: Format | None) -> Format:
    found = {form for path in paths if (form := format_of(path)) is not None}
    if len(found) == 1:
        return found.pop()
    if prefer is not None and prefer in found:
        return prefer
    if found:
        labels = (
            "; a table of labels beside images is named in data.source.labels: {file: NAME}, without it the folders' "
            "names are the labels"
            if "imageFolder" in found
            else ""
        )
        raise UserError(
            f"data.source: {uri} holds files of the formats {', '.join(sorted(found))}: set data.source.format to one"
            f"{labels}"
        )
    shown = ", ".join(PurePosixPath(path).name for path in paths[:_SHOWN])
    raise UserError(
        f"data.source: the format of {uri} cannot be told from the file names ({shown}): "
        f"set data.source.format to one of {', '.join(ENDINGS)}"
    )


def _name(path: str) -> str:
    """A path or URI in lower case, without a query."""
    return (path.partition("?")[0] if "://" in path else path).lower()
