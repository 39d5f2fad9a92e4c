"""What was seen of a cluster, and what a check says of it."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from headway_api.quantities import parse
from headway_api.wording import listed
from headway_cli.cluster.fields import Object, at, entries, text
from headway_cli.cluster.job_lines import phase
from headway_cli.cluster.names import FINISHED, TRAINING_JOBS

MOST_OBJECTS = 500
"""Of a kind that are looked at."""
MOST_TOLD = 5
"""Objects that a finding names."""
MOST_WORDS = 400
"""Characters of somebody else's sentence that a finding has."""


class Level(enum.StrEnum):
    """How bad a finding is; its value begins the line."""

    OK = "ok"
    UNSEEN = "--"
    WARN = "warn"
    FAIL = "FAIL"


@dataclass(frozen=True)
class Finding:
    """What a check says."""

    check: str
    """The name of the fault; of what was looked at where there is none."""
    level: Level
    said: str
    """A sentence; what is in it may be a tenant's."""
    fix: str = ""
    """What to do."""


def ok(check: str, said: str) -> Finding:
    """Nothing is wrong."""
    return Finding(check, Level.OK, said)


def warn(check: str, said: str, fix: str = "") -> Finding:
    """It works, and people should know."""
    return Finding(check, Level.WARN, said, fix)


def fail(check: str, said: str, fix: str) -> Finding:
    """It keeps jobs from running."""
    return Finding(check, Level.FAIL, said, fix)


def unseen(check: str, why: str) -> Finding:
    """Nobody knows."""
    return Finding(check, Level.UNSEEN, f"not checked: {why}")


@dataclass(frozen=True)
class Seen:
    """What the API server has answered to one question."""

    items: tuple[Object, ...] = ()
    refused: str = ""
    """Why it did not answer; "" where it did."""
    more: bool = False
    """Whether there is more than was asked for."""


NOTHING = Seen()


@dataclass(frozen=True)
class Right:
    """Something that a user may or may not do in the namespace."""

    verb: str
    group: str
    resource: str

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}"


RIGHTS = (
    Right("create", "headway.dev", "trainingjobs"),
    Right("get", "headway.dev", "trainingjobs"),
    Right("list", "headway.dev", "trainingjobs"),
    Right("patch", "headway.dev", "trainingjobs"),
    Right("list", "", "pods"),
    Right("get", "", "pods/log"),
    Right("list", "", "events"),
)
"""What the command line needs."""
NEEDED = 3
"""So many of them nobody can do without."""


@dataclass(frozen=True)
class Facts:
    """What was seen."""

    namespace: str
    now: datetime
    own_version: str
    """Of this command line."""
    server: Object = field(default_factory=dict)
    """What /version has said."""
    known: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """The fields that this version knows, as paths, by the name of their CustomResourceDefinition."""
    seen: Mapping[str, Seen] = field(default_factory=dict)
    """Answers, by what was asked for."""
    rights: Mapping[Right, bool] = field(default_factory=dict)
    """Whether the user has them; those of which nobody knows are not in it."""

    def items(self, what: str) -> tuple[Object, ...]:
        """The objects of an answer; none where there was none."""
        return self.seen.get(what, NOTHING).items

    def saw(self, what: str) -> bool:
        """Whether there was an answer, and a whole one."""
        answer = self.seen.get(what)
        return answer is not None and not answer.refused and not answer.more

    def living(self) -> list[Object]:
        """The namespace's jobs that have not ended and are not suspended."""
        return [
            job
            for job in self.items(TRAINING_JOBS)
            if phase(job) not in FINISHED and at(job, "spec", "suspend") is not True
        ]


def crd_key(kind: str) -> str:
    """What a CustomResourceDefinition is called among the answers."""
    return f"customresourcedefinition {kind}"


def name(found: Object) -> str:
    """The name of an object."""
    return text(found, "metadata", "name")


def some(words: list[str]) -> str:
    """A few words, and how many more there are."""
    return listed(words, MOST_TOLD)


def cut(sentence: str) -> str:
    """Somebody else's sentence, in one line and bounded."""
    line = " ".join(sentence.split())
    return line if len(line) <= MOST_WORDS else f"{line[:MOST_WORDS]} ..."


def quantity(value: object) -> Decimal | None:
    """A quantity of Kubernetes; None where it is none."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    try:
        return parse(value)
    except (ValueError, ArithmeticError):
        return None


def pod_kinds(job: Object) -> Iterator[tuple[str, Object]]:
    """`head` and `workers` of a job's spec."""
    for role in ("head", "workers"):
        section = at(job, "spec", role)
        yield role, section if isinstance(section, dict) else {}


def asks(section: Object, resource: str) -> Decimal | None:
    """How much cpu or memory a pod of a section asks for; the defaults are the spec's."""
    default = {"cpu": "1", "memory": "2Gi"}[resource]
    return quantity(at(section, "resources", resource) or default)


def schema_fields(schema: object, before: str = "") -> Iterator[str]:
    """The paths of all fields of an OpenAPI schema; entries of a list are `[]`, of a map `{}`."""
    properties = at(schema, "properties")
    if isinstance(properties, dict):
        for each, below in properties.items():
            path = f"{before}.{each}" if before else str(each)
            yield path
            yield from schema_fields(below, path)
    for key, mark in (("items", "[]"), ("additionalProperties", "{}")):
        if isinstance(inner := at(schema, key), dict):
            yield from schema_fields(inner, before + mark)


def served_fields(crd: Object) -> frozenset[str]:
    """The fields of the versions that a CustomResourceDefinition serves."""
    found: set[str] = set()
    for version in entries(crd, "spec", "versions"):
        if version.get("served") is True:
            found |= set(schema_fields(at(version, "schema", "openAPIV3Schema")))
    return frozenset(found)
