"""Judge documents of every kind: from dicts for the operator, from YAML text with line numbers for people."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from headway_api import API_VERSION, GROUP, problems
from headway_api.base import Section
from headway_api.job import TrainingJob
from headway_api.problems import Problem, shown

__all__ = ["KINDS", "MAX_DEPTH", "MOST_PROBLEMS", "Problem", "is_ours", "problems_of"]

KINDS: Mapping[str, type[Section]] = MappingProxyType({"TrainingJob": TrainingJob})
"""The kinds of Headway."""
MOST_PROBLEMS = 50
"""How many problems are told at once."""
MAX_DEPTH = 64
"""How deeply mappings and lists may lie in each other."""


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
    deep = _too_deep(document)
    if deep is not None:
        return [Problem(deep, f"is nested too deeply: at most {MAX_DEPTH} levels are allowed")]
    kind = document.get("kind")
    model = KINDS.get(kind) if isinstance(kind, str) else None
    if model is None:
        known = list(KINDS)
        near = problems.nearest(kind, known) if isinstance(kind, str) else None
        hint = f"; did you mean {near}?" if near else ""
        said = "is missing" if kind is None else f"{shown(kind)} is no kind of {API_VERSION}"
        return [Problem("kind", f"{said}: write {' or '.join(known)}{hint}")]
    spec = {key: value for key, value in document.items() if key != "status"}
    return problems.find(spec, model, most=MOST_PROBLEMS)


def _too_deep(document: Any) -> str | None:
    """The path of something that lies deeper than MAX_DEPTH. It looks without recursion, so that no depth can hurt."""
    stack: list[tuple[Any, problems.Path]] = [(document, ())]
    while stack:
        value, path = stack.pop()
        if len(path) > MAX_DEPTH:
            return problems.path_text(path[:3])
        if isinstance(value, Mapping):
            stack.extend((item, (*path, str(key))) for key, item in value.items() if isinstance(item, dict | list))
        elif isinstance(value, list):
            stack.extend((item, (*path, index)) for index, item in enumerate(value) if isinstance(item, dict | list))
    return None
