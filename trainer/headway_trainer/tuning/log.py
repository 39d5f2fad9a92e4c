"""The log of a study on the job's storage."""

from __future__ import annotations

from pydantic import TypeAdapter

from headway_trainer.event_log import Events
from headway_trainer.tuning.events import Event

FOLDER = "tuning"


class EventLog(Events[Event]):
    """The events of a study."""

    folder, what, whose = FOLDER, "a study", "the trials"
    adapter: TypeAdapter[Event] = TypeAdapter(Event)
