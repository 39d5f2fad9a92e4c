"""What an attempt's pods rest upon: its ConfigMap, Secret, Service, NetworkPolicy and PodGroup."""

from __future__ import annotations

from headway_api import wire
from headway_api.status import Attempt
from headway_operator.training.plan.ends import End
from headway_operator.training.plan.look import Look
from headway_operator.training.plan.model import UNWATCHED


def ask_what_is_missing(look: Look, attempt: Attempt, *, joining: bool) -> None:
    """Have the unwatched objects looked for where pods are to join an attempt that runs, or its ConfigMap is gone.

    Nobody watches these kinds, so somebody may have deleted them. It matters only when something has to be made.
    """
    if attempt.running_time is not None and (joining or look.config is None):
        look.read.add("objects")


def to_ensure(look: Look, attempt: Attempt, *, first: bool) -> frozenset[str]:
    """The kinds of objects to be made sure of: all for pods that are the attempt's first, later what is missing.

    A ConfigMap that somebody deleted is made again, as pods that are still to come mount it. A Secret is not, once the
    attempt has run: its pods know another token than a new one would have.
    """
    if attempt.running_time is None:
        group = ("PodGroup",) if look.grouped else ()
        return frozenset(("ConfigMap", *UNWATCHED, *group)) if first or look.config is None else frozenset()
    config = {"ConfigMap"} if look.config is None else set()
    return frozenset(look.observed.missing - {"Secret"} | config)


def token_lost(look: Look, attempt: Attempt, *, joining: bool) -> End | None:
    """The end of an attempt that no worker can join any more."""
    if attempt.running_time is None or not joining or "Secret" not in look.observed.missing:
        return None
    name = wire.object_name(look.job.name, look.job.uid, attempt.number)
    return End(
        "Internal", f"somebody deleted the Secret {name} with Ray's token: no worker can join this attempt any more"
    )
