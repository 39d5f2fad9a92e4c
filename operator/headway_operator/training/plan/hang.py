"""A driver that stands still as a whole: it cannot say so itself, but its silence can be heard."""

from __future__ import annotations

from headway_api import wire
from headway_operator.engine.times import to_seconds
from headway_operator.training.plan.ends import End
from headway_operator.training.plan.situation import Ask, Situation, Wait

MISSED = 3
"""So many signs of life in a row may be missing."""
SLACK_SECONDS = 30.0


def patience(told: float) -> float:
    """How long a driver may be silent that renews its heartbeat, and was told to speak every so many seconds.

    It is measured by the operator's clock, from when it saw the newest report: the clocks of nodes may differ.
    """
    return MISSED * max(float(wire.HEARTBEAT_SECONDS), told) + SLACK_SECONDS


def silent(situation: Situation) -> End | Wait | Ask | None:
    """The end of an attempt whose driver says nothing any more, or when that will be known.

    Before that is believed, the API server is asked: a watch may be what is silent. A head that is being deleted is
    about to end for a reason of its own, the loss of its node most likely. Where somebody deleted the ConfigMap, the
    driver has had nowhere to speak.
    """
    running, head = to_seconds(situation.attempt.running_time), situation.pods.head
    report, config = situation.report, situation.config
    if running is None or (head is not None and head.deleting is not None):
        return None
    if config is None or config.reported_at is None:
        # It is made again now, and nobody will say that nothing is written into it.
        return Wait(situation.now + patience(0.0))
    last, may_be_silent = max(running, config.reported_at), patience(config.progress_seconds)
    if report is None:
        may_be_silent = max(may_be_silent, float(situation.spec.scheduling.startup_deadline_seconds))
        what = "has not said a word since all pods were ready"
    elif report.heartbeat_time is None:
        return None
    else:
        what = f"has been silent since {report.heartbeat_time}"
    if situation.now < last + may_be_silent:
        return Wait(last + may_be_silent)
    if not situation.observed.live:
        return Ask("live")
    return End(
        "Hang",
        f"the driver {what}, for more than {may_be_silent:.0f} s: it is stuck, or its pod cannot reach the API "
        "server or may not write its ConfigMap; look for code that blocks the process, and at the head pod's log and "
        "node",
    )
