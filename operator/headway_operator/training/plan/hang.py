"""A driver that stands still as a whole: it cannot say so itself, but its silence can be heard."""

from __future__ import annotations

from headway_api import wire
from headway_api.job import TrainingJobSpec
from headway_api.status import Attempt
from headway_operator.engine.times import to_seconds
from headway_operator.training.plan.ends import End
from headway_operator.training.plan.look import Look
from headway_operator.training.plan.model import Pod

SILENT_SECONDS = 3 * wire.HEARTBEAT_SECONDS + 30.0
"""How long a driver that renews its heartbeat may be silent.

It is measured by the operator's clock, from when it saw the newest word: the clocks of nodes may differ.
"""


def silent(look: Look, attempt: Attempt, spec: TrainingJobSpec, head: Pod | None) -> End | None:
    """The end of an attempt whose driver says nothing any more. Wakes the look when its patience will be over.

    Before that is believed, the API server is asked: a watch may be what is silent. A head that is being deleted is
    about to end for a reason of its own, the loss of its node most likely. Where somebody deleted the ConfigMap, the
    driver has had nowhere to speak.
    """
    running = to_seconds(attempt.running_time)
    said, config = look.said, look.config
    if running is None or (head is not None and head.deleting is not None):
        return None
    if config is None or config.said_at is None:
        # It is made again now, and nobody will say that nothing is written into it.
        look.wake_at(look.now + SILENT_SECONDS)
        return None
    last = max(running, config.said_at)
    if said is None:
        patience = max(SILENT_SECONDS, float(spec.scheduling.startup_deadline_seconds))
        what = "has not said a word since all pods were ready"
    elif said.heartbeat_time is None:
        return None
    else:
        patience = SILENT_SECONDS
        what = f"has been silent since {said.heartbeat_time}"
    if look.now < last + patience:
        look.wake_at(last + patience)
        return None
    if not look.observed.live:
        look.read.add("live")
        return None
    return End(
        "Hang",
        f"the driver {what}, for more than {patience:.0f} s: it stands still, or its pod cannot reach the API server "
        "or may not write its ConfigMap; look for code that blocks the process, and at the head pod's log and node",
    )
