"""A job's spec as the parameters and tags that trackers show: flat, bounded, and without what nobody compares. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from headway_api import wire
from headway_api.job import TrainingJobSpec
from headway_trainer.tracking.events import named, written

SECTIONS = ("data", "model", "training", "tuning", "evaluation", "seed")
"""What a model depends on."""
MOST_PARAMETERS = 200
MOST_TEXT = 500
"""Characters of a value: servers of MLflow before version 2.9 take no more."""
_LEFT_OUT = frozenset({"secretRef"})
_URI = re.compile(r"""[A-Za-z][A-Za-z0-9+.-]{0,19}://[^\s"'<>]*""")
"""Also one in the middle of a text, such as a message or a list in JSON."""


def parameters_of(spec: TrainingJobSpec) -> dict[str, str]:
    """The values of the spec by their paths, as `training.optimizer.lr`; at most MOST_PARAMETERS."""
    written = spec.model_dump(mode="json", by_alias=True, exclude_none=True, warnings=False)
    told = {name: written[name] for name in SECTIONS if name in written}
    workers = {"replicas": spec.workers.replicas, "processes": spec.workers.processes_each}
    return flat(told | {"workers": workers})


def flat(values: Mapping[str, Any]) -> dict[str, str]:
    """Values of nested mappings by their paths, as texts of bounded length."""
    return dict(islice(((named(path), shown(value)) for path, value in _leaves(values, "")), MOST_PARAMETERS))


def noted(tags: Mapping[str, str]) -> dict[str, str]:
    """Tags as they may be recorded, without those that say nothing."""
    return {name: cut(without_secrets(value)) for name, value in tags.items() if value}


def tags_of(run: wire.RunFile) -> dict[str, str]:
    """What tells an attempt of a job from others."""
    found = {
        "headway.job": run.name,
        "headway.namespace": run.namespace,
        "headway.uid": run.uid,
        "headway.attempt": str(run.attempt),
        "headway.image": run.spec.image or "",
        "headway.folder": run.storage_uri,
    }
    return noted(found)


def shown(value: Any) -> str:
    """A value as a text of bounded length."""
    return cut(without_secrets(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)))


def cut(text: str) -> str:
    """A text of bounded length that trackers take."""
    text = written(text[: 2 * MOST_TEXT])
    return text if len(text) <= MOST_TEXT else f"{text[: MOST_TEXT - 1]}…"


def without_secrets(text: str) -> str:
    """A text whose URIs have nothing in which credentials may stand: no user, no query and no fragment."""
    return _URI.sub(lambda found: _plain(found[0]), text) if "://" in text else text


def _plain(text: str) -> str:
    try:
        parts = urlsplit(text)
    except ValueError:
        return text.partition("://")[0] + "://…"
    # A container of Azure stands where others have a user: abfs://CONTAINER@ACCOUNT.
    user, at, host = parts.netloc.rpartition("@")
    kept = f"{user}@{host}" if at and parts.scheme in ("abfs", "abfss") and ":" not in user else host
    return urlunsplit((parts.scheme, kept, parts.path, "", ""))


def _leaves(values: Mapping[str, Any], above: str) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if name in _LEFT_OUT:
            continue
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{above}{name}.")
        elif value != {}:
            yield f"{above}{name}", value
