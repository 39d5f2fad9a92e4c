"""What model.json tells of how each column was read in training. Pure."""

from __future__ import annotations

from pydantic import JsonValue


def transforms_of(data: JsonValue) -> tuple[dict[str, str], dict[str, frozenset[str]]]:
    """The kinds of columns, and the categories that are known of them, of what model.json tells of the data."""
    kinds: dict[str, str] = {}
    categories: dict[str, frozenset[str]] = {}
    chain = data.get("transforms") if isinstance(data, dict) else None
    steps = chain.get("transforms") if isinstance(chain, dict) else None
    for step in steps if isinstance(steps, list) else []:
        inputs, kind = (step.get("inputs"), step.get("kind")) if isinstance(step, dict) else (None, None)
        if not isinstance(step, dict) or not isinstance(inputs, list) or not isinstance(kind, str):
            continue
        known = step.get("categories")
        for name in inputs:
            kinds[str(name)] = kind
            if isinstance(known, list):
                categories[str(name)] = frozenset(str(one) for one in known)
    return kinds, categories
