"""Judge documents of every kind: from dicts for the operator, from the bytes of a file, with lines, for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from headway_api import API_VERSION, GROUP, documents, problems
from headway_api.base import Section
from headway_api.deployment import ModelDeployment
from headway_api.documents import MAX_DEPTH, Document, UnreadableError
from headway_api.job import TrainingJob
from headway_api.problems import Path, Problem
from headway_api.wording import nearest, shown, word

__all__ = [
    "KINDS",
    "MAX_DEPTH",
    "MOST_PROBLEMS",
    "Document",
    "Problem",
    "Report",
    "check",
    "is_ours",
    "problems_of",
    "too_deep",
]

KINDS: Mapping[str, type[Section]] = MappingProxyType({"TrainingJob": TrainingJob, "ModelDeployment": ModelDeployment})
"""The kinds of Headway."""
MOST_PROBLEMS = 50
"""How many problems are told at once."""
METADATA = (
    "name",
    "generateName",
    "namespace",
    "labels",
    "annotations",
    "finalizers",
    "ownerReferences",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
    "selfLink",
)
"""The fields of an object's metadata that Kubernetes knows."""


@dataclass(frozen=True)
class Report:
    """What a file holds and what is wrong with it."""

    documents: list[Document] = field(default_factory=list)
    """The documents of Headway's kinds, valid only where `problems` is empty."""
    others: list[Document] = field(default_factory=list)
    """The other Kubernetes objects in the file, which nobody has judged."""
    problems: list[Problem] = field(default_factory=list)
    """At most MOST_PROBLEMS, by line."""
    left_out: int = 0
    """How many more problems there are."""


def is_ours(document: Mapping[str, Any]) -> bool:
    """Whether a document is meant to be of a kind of Headway: it names our group, one of our kinds, or nothing."""
    api_version, kind = document.get("apiVersion"), document.get("kind")
    if not isinstance(api_version, str) or not isinstance(kind, str):
        return True
    return api_version.split("/")[0] == GROUP or kind.casefold() in {each.casefold() for each in KINDS}


def problems_of(document: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with a document that claims to be of a kind of Headway; nothing where it is valid.

    At most MOST_PROBLEMS, without line numbers. The status is the operator's own and is not judged. Never raises.
    """
    deep = too_deep(document)
    if deep is not None:
        return [Problem(deep, f"is nested too deeply: at most {MAX_DEPTH} levels are allowed")]
    kind = document.get("kind")
    meant = _meant(kind)
    if meant is None:
        said = "is missing" if kind is None else f"{shown(kind)} is no kind of {API_VERSION}"
        return [Problem(("kind",), f"{said}: write {' or '.join(KINDS)}")]
    spec = {key: value for key, value in document.items() if key != "status"}
    return problems.find(spec, KINDS[meant], most=MOST_PROBLEMS)


def check(data: bytes) -> Report:
    """Judge a YAML or JSON file. Never raises.

    It reads what kubectl would read: YAML 1.1 with kubectl's idea of plain scalars (`on` is true, `1e-3` a number).
    """
    found: list[Problem] = []
    ours: list[Document] = []
    others: list[Document] = []
    try:
        for document in documents.read(documents.decode(data)):
            if isinstance(document.value, dict) and not is_ours(document.value):
                others.append(document)
            else:
                ours.append(document)
                found.extend(_in_document(document))
    except UnreadableError as error:
        found.append(error.problem)
    else:
        found.extend(_same_names(ours))
        if not ours:
            found.append(_nothing(others))
    found.sort(key=lambda problem: problem.line or 0)
    return Report(ours, others, found[:MOST_PROBLEMS], max(0, len(found) - MOST_PROBLEMS))


def _meant(kind: object) -> str | None:
    """The kind that a document means, by which the rest of it can be judged although its kind is mistaken."""
    if len(KINDS) == 1:
        return next(iter(KINDS))
    return nearest(kind, list(KINDS)) if isinstance(kind, str) else None


def _nothing(others: list[Document]) -> Problem:
    known = " or ".join(KINDS)
    if not others:
        return Problem((), f"the file is empty: it must hold a {known}", 1)
    kinds = ", ".join(sorted({word(other.value["kind"]) for other in others})[:10])
    return Problem((), f"the file holds no {known}, only {kinds}", 1)


def _in_document(document: Document) -> list[Problem]:
    value = document.value
    if not isinstance(value, dict):
        said = shown(value) if isinstance(value, list) else f"{shown(value)} is a plain value"
        return [Problem((), f"{said}, not a Kubernetes object: it must begin with apiVersion and kind", document.line)]
    found = [*document.problems, *_unknown_metadata(value.get("metadata"))]
    taken = {problem.path for problem in found}
    found.extend(problem for problem in problems_of(value) if problem.path not in taken)
    return [problem if problem.line else replace(problem, line=document.line_of(problem.path)) for problem in found]


def _unknown_metadata(metadata: object) -> list[Problem]:
    """Fields of the metadata that Kubernetes does not know; only for files, since a newer API server may know more."""
    found = []
    for name in metadata if isinstance(metadata, dict) else ():
        if name not in METADATA:
            near = nearest(name, METADATA)
            mend = f"did you mean `{near}`?" if near else f"known here are {', '.join(METADATA[:5])}"
            found.append(Problem(("metadata", name), f"unknown field `{word(name)}`: {mend}"))
    return found


def _same_names(ours: list[Document]) -> list[Problem]:
    found = []
    seen: dict[tuple[str, ...], int] = {}
    for document in ours:
        value = document.value if isinstance(document.value, dict) else {}
        metadata = value.get("metadata")
        if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
            continue
        key = (str(value.get("kind")), str(metadata.get("namespace")), metadata["name"])
        line = document.line_of(("metadata", "name"))
        if key in seen:
            said = f"{shown(metadata['name'])} is also the name of the {word(key[0])} in line {seen[key]}"
            found.append(Problem(("metadata", "name"), f"{said}: give each its own", line))
        seen.setdefault(key, line)
    return found


def too_deep(document: Any) -> Path | None:
    """The way to something that lies deeper than MAX_DEPTH. It looks without recursion, so that no depth can hurt."""
    stack: list[tuple[Any, Path]] = [(document, ())]
    while stack:
        value, path = stack.pop()
        if len(path) > MAX_DEPTH:
            return path[:3]
        if isinstance(value, Mapping):
            stack.extend((item, (*path, str(key))) for key, item in value.items() if isinstance(item, dict | list))
        elif isinstance(value, list):
            stack.extend((item, (*path, index)) for index, item in enumerate(value) if isinstance(item, dict | list))
    return None
