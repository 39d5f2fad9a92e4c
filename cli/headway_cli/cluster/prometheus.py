"""Answers of a Prometheus: the newest value of each series of an expression."""

from __future__ import annotations

import json
import math
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping

from headway_cli.cluster.errors import ClusterError
from headway_cli.cluster.fields import at, entries, texts

MOST_BYTES = 32 << 20
SECONDS = 10.0


def ask(url: str, expression: str) -> list[tuple[Mapping[str, str], float]]:
    """Labels and value of each series. url: the server's, with http:// or https://. Raises ClusterError."""
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise ClusterError(f"{url} is no Prometheus: write http://HOST:9090 or an https:// URL")
    query = urllib.parse.urlencode({"query": expression, "timeout": f"{SECONDS:g}s"})
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/api/v1/query?{query}", timeout=SECONDS) as answer:  # noqa: S310 - judged above
            said = answer.read(MOST_BYTES + 1)
    except urllib.error.HTTPError as error:
        raise ClusterError(f"the Prometheus at {url} answers with {error.code} {error.reason}: is it one?") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise ClusterError(
            f"the Prometheus at {url} was not reached ({reason}): see --prometheus, or leave it out; "
            "`kubectl port-forward` reaches one within the cluster"
        ) from error
    try:
        found = json.loads(said) if len(said) <= MOST_BYTES else None
    except ValueError:
        found = None
    if at(found, "status") != "success":
        raise ClusterError(f"the answer of {url} is none of a Prometheus': see --prometheus")
    return [
        (texts(each, "metric"), value)
        for each in entries(found, "data", "result")
        if (value := _value(at(each, "value"))) is not None
    ]


def _value(pair: object) -> float | None:
    """The value of a pair of time and text."""
    try:
        value = float(pair[1])  # type: ignore[index]  # whatever it is, it is no value then
    except (TypeError, ValueError, IndexError, KeyError):
        return None
    return value if math.isfinite(value) else None
