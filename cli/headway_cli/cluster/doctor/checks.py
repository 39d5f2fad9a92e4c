"""All checks in the order in which people should read them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

from headway_cli.cluster.doctor import installation, namespace, room, storage
from headway_cli.cluster.doctor.facts import MOST_OBJECTS, NOTHING, Facts, Finding, Level, unseen
from headway_cli.cluster.fields import Object
from headway_cli.cluster.names import TRAINING_JOBS

Check = Callable[[Facts], Iterator[Finding]]
CHECKS: tuple[Check, ...] = (
    installation.server,
    installation.definitions,
    installation.operator,
    installation.policies,
    installation.monitors,
    installation.rights,
    namespace.namespace,
    namespace.quotas,
    namespace.limit_ranges,
    namespace.pod_security,
    namespace.images,
    storage.claims,
    storage.secrets,
    room.nodes,
)
UNKNOWABLE = unseen(
    "network-policy",
    "whether the cluster's network keeps NetworkPolicies: no API tells; Headway's keep other pods from a job's Ray",
)
"""Said only to those who ask for all."""
MOST_OF_A_CHECK = 5
"""Findings of one name: a namespace can have a thousand jobs with the same fault."""


def findings(facts: Facts, only: Object | None = None) -> list[Finding]:
    """What there is to say. only: the one job of the namespace that is looked at."""
    if only is not None:
        answer = dataclasses.replace(facts.seen.get(TRAINING_JOBS, NOTHING), items=(only,), refused="", more=False)
        facts = dataclasses.replace(facts, seen={**facts.seen, TRAINING_JOBS: answer})
    found = [each for check in CHECKS for each in _few(list(check(facts)))]
    return [*found, *_not_checked(facts)]


def _few(found: list[Finding]) -> Iterator[Finding]:
    """The first of each name, and how many more there are."""
    counts: dict[tuple[str, Level], int] = {}
    for each in found:
        key = (each.check, each.level)
        counts[key] = counts.get(key, 0) + 1
        if counts[key] <= MOST_OF_A_CHECK:
            yield each
    for (check, level), count in counts.items():
        if count > MOST_OF_A_CHECK:
            yield Finding(check, level, f"and {count - MOST_OF_A_CHECK} more like these", "as above")


def _not_checked(facts: Facts) -> Iterator[Finding]:
    """What the user may not see, and what is too much to look at."""
    for what, answer in facts.seen.items():
        if answer.refused:
            yield unseen(what, f"{what}: {answer.refused}")
        elif answer.more:
            yield unseen(what, f"{what}: there are more than {MOST_OBJECTS}")


def problems(found: list[Finding], level: Level = Level.FAIL) -> int:
    """How many findings are so bad."""
    return sum(each.level == level for each in found)
