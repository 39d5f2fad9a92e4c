"""`spec.rollout.analysis.queries`: numbers of a Prometheus that a new version is held to. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from headway_api.addresses import URL
from headway_api.base import Rule, SecretRef, Section, formed

MOST_QUERIES = 8
VARIABLES = ("candidate", "stable", "deployment", "namespace")
"""What a query may hold after a dollar sign: the numbers of the two versions, and the names of the deployment and its
namespace. None of their values has a character that would end a string of PromQL."""
SHORTEST_INTERVAL, LONGEST_INTERVAL = 5, 3600
_VARIABLE = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")


def filled(query: str, values: Mapping[str, object]) -> str:
    """A query with the values of its variables; other words after a dollar sign stay."""
    return _VARIABLE.sub(lambda found: str(values.get(found[1], found[0])), query)


class Prometheus(Section):
    """Where to ask, and what."""

    rules = (
        Rule(
            cel="self.query.findAll('[$][A-Za-z_][A-Za-z0-9_]*').all(name, name in "
            "['$candidate', '$stable', '$deployment', '$namespace'])",
            message="of names after a dollar sign there are $candidate, $stable, $deployment and $namespace alone",
            holds=lambda prometheus: set(_VARIABLE.findall(prometheus.query)) <= set(VARIABLES),
            field="query",
        ),
    )

    url: Annotated[
        str,
        formed(
            URL,
            "must be http:// or https://, a host, and maybe a port and a path, for example http://prometheus:9090,"
            " without credentials",
            max_length=512,
        ),
    ]
    """The address of a server with Prometheus' HTTP API, without `/api/v1`. Redirects are not followed."""
    query: Annotated[
        str,
        formed(
            r"^[^\x00-\x08\x0b-\x1f\x7f]+$",
            "must be a query in PromQL, without control characters",
            max_length=1024,
        ),
    ]
    """A query in PromQL that gives one number: a scalar, or a vector with one element.

    `$candidate` and `$stable` stand for the numbers of the two versions, as the label `version` of servers' metrics has
    them, `$deployment` and `$namespace` for these names.
    """
    secret_ref: SecretRef | None = None
    """A Secret with credentials, which the judge alone mounts: `url`, the address that they may be sent to; `token` for
    a bearer token, or `username` and `password`; and maybe `ca.crt`, by which a server with https is known."""


class Query(Section):
    """A number that has to keep to its limits while both versions get requests, and while the new one bakes.

    A value beyond a limit in three evaluations in a row fails the rollout. No answer, no data and NaN are no value.
    """

    rules = (
        Rule(
            cel="has(self.min) || has(self.max)",
            message="set min, max or both: without a limit a query says nothing",
            holds=lambda query: query.min is not None or query.max is not None,
        ),
        Rule(
            cel="!has(self.min) || !has(self.max) || self.min <= self.max",
            message="min is above max: no value would keep to both; correct one of the two",
            holds=lambda query: query.min is None or query.max is None or query.min <= query.max,
            field="min",
        ),
    )

    name: Annotated[
        str,
        formed(
            r"^[a-z]([-a-z0-9]*[a-z0-9])?$",
            "must be lower-case letters, digits and '-', begin with a letter and not end with '-'",
            max_length=40,
        ),
    ]
    """What it is called in the status."""
    prometheus: Prometheus
    """Where the number comes from."""
    min: float | None = None
    """The least value that is allowed."""
    max: float | None = None
    """The greatest value that is allowed."""
    interval_seconds: Annotated[int, Field(ge=SHORTEST_INTERVAL, le=LONGEST_INTERVAL)] = 30
    """Seconds from one evaluation to the next."""
    on_no_data: Literal["wait", "rollback"] = "wait"
    """wait: without a value the rollout goes no further. rollback: ten evaluations in a row without one fail it."""


def all_named_differently(queries: list[Query]) -> list[Query]:
    """The queries, of which no two have one name."""
    names = [query.name for query in queries]
    for name in names:
        if names.count(name) > 1:
            raise PydanticCustomError("sentence", "has two queries called {name}: rename one", {"name": name})
    return queries


Queries = Annotated[
    list[Query],
    AfterValidator(all_named_differently),
    Field(
        max_length=MOST_QUERIES,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    ),
]
