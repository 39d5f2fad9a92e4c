"""The source and how it is read, against each other and against the target and task."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from headway_api.base import BrokenRule
from headway_api.columns import Role
from headway_api.consistency.facts import columns_of, facts, written_as
from headway_api.data import SCHEMES, TABLES, Data, format_of
from headway_api.reading import CSV_ONLY
from headway_api.wording import nearest, shown

if TYPE_CHECKING:
    from headway_api.job import TrainingJobSpec

_TEXT_FORMATS = ("csv", "jsonl")


def _uris(data: Data) -> Iterator[tuple[tuple[str, ...], str]]:
    """Each place that the source names, with its path in the spec."""
    source = data.source
    if source.uri is not None:
        yield ("data", "source", "uri"), source.uri
    for part in ("train", "validation", "test") if source.parts is not None else ():
        uri = getattr(source.parts, part)
        if uri is not None:
            yield ("data", "source", "parts", part), uri


def _told(uri: str) -> str:
    """A URI for a message, without credentials that may be in it: messages are kept, and shown to others."""
    scheme, mark, rest = uri.partition("://")
    host, slash, path = rest.partition("/")
    return shown(f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}" if mark else uri)


def _all_uris(spec: TrainingJobSpec) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Each place that the spec names, of data, of results, and of results to compare with."""
    if spec.data is not None:
        yield from _uris(spec.data)
        if spec.data.source.labels is not None:
            yield ("data", "source", "labels", "file"), spec.data.source.labels.file
    if spec.storage is not None and spec.storage.uri is not None:
        yield ("storage", "uri"), spec.storage.uri
    for index, gate in enumerate(spec.evaluation.gates or ()):
        if gate.against is not None and gate.against.uri is not None:
            yield ("evaluation", "gates", index, "against", "uri"), gate.against.uri


def unknown_scheme(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """A URI that nothing here can open."""
    for path, uri in _all_uris(spec):
        scheme, mark, _ = uri.partition("://")
        if mark and scheme not in SCHEMES:
            near = nearest(scheme, SCHEMES)
            meant = (
                f"did you mean {near}://?" if near else f"use a local path or {', '.join(f'{s}://' for s in SCHEMES)}"
            )
            yield BrokenRule(f"{_told(uri)} begins with {scheme[:20]}://, which nothing here can open: {meant}", path)


def credentials_in_the_clear(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """A URI with a password."""
    for path, uri in _all_uris(spec):
        scheme, mark, rest = uri.partition("://")
        account, at, _ = rest.partition("/")[0].rpartition("@")
        if mark and at and (":" in account or scheme == "s3"):
            yield BrokenRule(
                f"the {scheme[:20]}:// URI holds credentials, and a spec is stored in the clear: put them into a Secret"
                f" and name it in {'data.source' if path[0] == 'data' else 'storage'}.secretRef",
                path,
            )


def credentials_for_nothing(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """A Secret for files that are no object store's."""
    if spec.data is None or spec.data.source.secret_ref is None:
        return
    uris = list(_uris(spec.data))
    if uris and all("://" not in uri or uri.startswith("file://") for _, uri in uris):
        yield BrokenRule(
            f"secretRef is for object stores, but {_told(uris[0][1])} is a local path: take secretRef out",
            ("data", "source", "secretRef"),
        )


def same_part_twice(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """Two parts of the same files: what is judged would have been learnt."""
    seen: dict[str, str] = {}
    for path, uri in _uris(spec.data) if spec.data is not None else ():
        if uri in seen:
            yield BrokenRule(
                f"{_told(uri)} is also the {seen[uri]} part: give each part files of its own, or leave it out and"
                " let split divide the rows",
                path,
            )
        seen.setdefault(uri, path[-1])


def formats_of_parts(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """Parts of several formats."""
    if spec.data is None or spec.data.source.parts is None or spec.data.source.format is not None:
        return
    first, *others = [(path, uri, format_of(uri)) for path, uri in _uris(spec.data)]
    for path, uri, form in others:
        if form is not None and first[2] is not None and form != first[2]:
            yield BrokenRule(
                f"{_told(uri)} is {form}, but the train part is {first[2]}: all parts must have one format", path
            )


def target_of_nothing(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """A target, or columns, where the source leaves no choice."""
    if spec.data is None:
        return
    known = facts(spec.data)
    if known.has_columns:
        return
    for field in ("target", "targets", "columns"):
        if getattr(spec.data, field) is not None:
            yield BrokenRule(
                f"{field} is for csv, parquet, jsonl and npz, but {known.name} has its own target and no columns to"
                f" name: take {field} out",
                ("data", field),
            )


def reading_of_no_text(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """How text is read, where there is none."""
    if spec.data is None or spec.data.read is None:
        return
    known, form, here = facts(spec.data), written_as(spec.data), ("data", "read")
    if (form is not None or not known.has_columns) and form not in _TEXT_FORMATS:
        held = f"the source is {known.name}" if spec.data.source.labels is None else f"the labels are {form}"
        yield BrokenRule(f"read is for csv and jsonl, but {held}: take read out", here)
    elif form == "jsonl":
        for field in CSV_ONLY:
            if getattr(spec.data.read, field) is not None:
                yield BrokenRule(f"{field} is for csv, but the source is jsonl: take {field} out", (*here, field))


def nothing_to_drop(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """Rows without a target that are to be left out, where each row has one."""
    data = spec.data
    if data is None or data.missing_targets != "drop" or data.task == "reconstruction":
        return
    known = facts(data)
    if not known.has_columns:
        yield BrokenRule(
            f"drop has no effect, as each row of {known.name} has a target: take missingTargets out",
            ("data", "missingTargets"),
        )


def task_of_another_source(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """A task that the source's own target cannot have."""
    if spec.data is None or spec.data.task is None:
        return
    known = facts(spec.data)
    if known.task is not None and spec.data.task not in (known.task, "reconstruction"):
        yield BrokenRule(
            f"{spec.data.task} does not fit {known.name}, whose target is for {known.task}: write {known.task}, or"
            " take task out",
            ("data", "task"),
        )


_BESIDE: tuple[Role, ...] = ("target", "weight", "group", "time", "fold", "ignore")


def labels_of_no_table(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """Labels in a file that is no table, or beside what learns no label."""
    labels = spec.data.source.labels if spec.data is not None else None
    if spec.data is None or labels is None:
        return
    here, form, source = ("data", "source", "labels"), format_of(labels.file), spec.data.source
    if source.builtin is not None or source.format not in (None, "imageFolder"):
        beside = "the built-in " + source.builtin.name if source.builtin is not None else source.format
        yield BrokenRule(f"labels is a table beside images, but the source is {beside}: take labels out", here)
        return
    if ".." in labels.file.split("/"):
        yield BrokenRule(
            f"{_told(labels.file)} holds '..', and stays within the images' folder: put the file there, or write its"
            " full path",
            (*here, "file"),
        )
    if not spec.data.target_names and spec.data.task != "reconstruction":
        yield BrokenRule(
            "target is missing: name the column of the labels to predict, as a table holds many", ("data", "target")
        )
    if form not in TABLES:
        what = f"is {form}" if form is not None else "has no ending that tells its format"
        yield BrokenRule(
            f"{_told(labels.file)} {what}: labels are in a csv, parquet or jsonl file, whose name ends so",
            (*here, "file"),
        )
    if labels.image_column is not None and labels.image_column in spec.data.target_names:
        yield BrokenRule(
            f"{shown(labels.image_column)} is the target, and cannot name the images, too: name another column",
            (*here, "imageColumn"),
        )
    if spec.data.task == "reconstruction":
        yield BrokenRule(
            "labels have no effect, as a reconstruction learns the images themselves: take labels out, or correct"
            " data.task",
            here,
        )


def features_beside_images(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """A column of labels that is to be learnt from."""
    data = spec.data
    if data is None or data.source.labels is None:
        return
    for name, column in columns_of(data).items():
        if column.role in _BESIDE or (column.role is None and (name in data.target_names or column.kind == "id")):
            continue
        if name == data.source.labels.image_column:
            said = "names the images, so it has no kind and no role: take it out of columns"
        else:
            said = (
                "is beside images, and a model learns from the images alone: write role:"
                f" {', '.join(_BESIDE[:-1])} or ignore, or take it out"
            )
        yield BrokenRule(said, ("data", "columns", name))


CHECKS = (
    labels_of_no_table,
    features_beside_images,
    unknown_scheme,
    credentials_in_the_clear,
    credentials_for_nothing,
    same_part_twice,
    formats_of_parts,
    target_of_nothing,
    reading_of_no_text,
    nothing_to_drop,
    task_of_another_source,
)
