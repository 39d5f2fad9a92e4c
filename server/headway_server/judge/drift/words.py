"""What windows have told, in a word and in a sentence. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from headway_api.drift_wire import State, Watch
from headway_server.judge.drift.windows import Result

_MOST_NAME = 60
_NAMED = 3


def state(recent: Sequence[bool], watch: Watch) -> State:
    """What the last windows make of a version, of which one at least is over."""
    return "Drifted" if sum(recent) >= watch.need else "Stable"


def message(found: Result, recent: Sequence[bool], watch: Watch, watched: int) -> str:
    """What the last window has found."""
    alarms = f"{sum(recent)} of the last {len(recent)} windows {'alarms' if sum(recent) == 1 else 'alarm'}"
    if len(recent) == 1:
        alarms = "the first window alarms" if recent[0] else "the first window does not alarm"
    words = f"{alarms} ({watch.need} of {watch.of} make it Drifted); of {watched} features "
    if found.alarms:
        named = [f"{one.name[:_MOST_NAME]} (score {one.score:.3g})" for one in found.features if one.score >= 1]
        more = found.alarming - len(named[:_NAMED])
        words += f"{found.alarming} unlike the training rows in {found.rows} rows: {', '.join(named[:_NAMED])}"
        words += f" and {more} more" if more > 0 else ""
    else:
        words += f"none is unlike the training rows in {found.rows} rows"
    if found.problems:
        words += f"; {found.problems} with values that are missing, unseen or out of range are not compared"
    return words
