"""What the judge has said: of which rollout, about which epoch, and whether it is new enough to go by.

A `fail` of a rollout counts whenever it was said, and of whatever epoch. All else counts only for the epoch that the
servers are to keep to, and only as long as the judge goes on to say it.
"""

from __future__ import annotations

from headway_api.deployment_status import Rejection, RolloutStatus
from headway_api.rollout_wire import BEAT_SECONDS, Verdict
from headway_operator.serving.plan.model import Situation

FRESH_SECONDS = 3 * BEAT_SECONDS
"""A word that was not renewed for so long moves nothing forward."""


def of_rollout(situation: Situation, number: int) -> Verdict | None:
    """The judge's last word about a version of this deployment."""
    verdict = situation.rollout.verdict if situation.rollout is not None else None
    if verdict is None or verdict.uid != situation.uid or verdict.rollout != number:
        return None
    return verdict


def failure(situation: Situation, number: int) -> tuple[Rejection, str] | None:
    """Why a version has to go, if the judge has said so."""
    verdict = of_rollout(situation, number)
    if verdict is None or verdict.verdict != "fail":
        return None
    return verdict.reason or "ErrorRate", verdict.message or "the judge found it to fail"


def heard(situation: Situation, rollout: RolloutStatus) -> Verdict | None:
    """The judge's word about what servers are told now, if it is new enough."""
    verdict, record = of_rollout(situation, rollout.number), situation.rollout
    if verdict is None or record is None or verdict.epoch != rollout.epoch:
        return None
    return verdict if situation.now - record.heard <= FRESH_SECONDS else None


def followed(situation: Situation, rollout: RolloutStatus) -> bool:
    """Whether all servers of the stable version that the judge hears keep to what they are told now."""
    verdict = heard(situation, rollout)
    return verdict is not None and verdict.servers > 0 and verdict.following >= verdict.servers
