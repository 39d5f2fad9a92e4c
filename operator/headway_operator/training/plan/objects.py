"""What an attempt's pods rest upon: its ConfigMap, Secret, Service, NetworkPolicy and PodGroup."""

from __future__ import annotations

from headway_api import wire
from headway_operator.training.plan.ends import End
from headway_operator.training.plan.model import UNWATCHED
from headway_operator.training.plan.situation import Situation


def unknown(situation: Situation, *, joining: bool) -> bool:
    """Whether it has to be asked what is missing: where pods join an attempt that ran, or its ConfigMap is gone.

    Nobody watches these kinds, so somebody may have deleted them. It matters only when something has to be made.
    """
    return situation.ran and (joining or situation.config is None)


def to_ensure(situation: Situation, *, first: bool, grouped: bool) -> frozenset[str]:
    """The kinds of objects to be made sure of: all for pods that are the attempt's first, later what is missing.

    A ConfigMap that somebody deleted is made again, as pods that are still to come mount it. A Secret is not, once the
    attempt has run: its pods know another token than a new one would have.
    """
    bare = situation.config is None
    if not situation.ran:
        kinds = ("ConfigMap", *UNWATCHED, "PodGroup") if grouped else ("ConfigMap", *UNWATCHED)
        return frozenset(kinds) if first or bare else frozenset()
    return situation.observed.missing - {"Secret"} | ({"ConfigMap"} if bare else frozenset())


def token_lost(situation: Situation, *, joining: bool) -> End | None:
    """The end of an attempt that no worker can join any more."""
    if not situation.ran or not joining or "Secret" not in situation.observed.missing:
        return None
    name = wire.object_name(situation.job.name, situation.job.uid, situation.attempt.number)
    return End(
        "Internal", f"somebody deleted the Secret {name} with Ray's token: no worker can join this attempt any more"
    )
