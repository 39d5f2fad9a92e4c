"""What windows have told, in a word and in a sentence. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from headway_api.drift_wire import State, Watch, WatchedReference
from headway_server.judge.drift.windows import Result

_MOST_NAME = 60
_NAMED = 3


def state(recent: Sequence[bool], watch: Watch, *, compared: bool = True) -> State:
    """What the last windows make of a version, of which one at least is over. compared: whether any feature was in the
    last one; else nobody can tell, and neither a drift nor its absence may be said."""
    if not compared:
        return "Unavailable"
    return "Drifted" if sum(recent) >= watch.need else "Stable"


def message(found: Result, recent: Sequence[bool], watch: Watch, reference: WatchedReference) -> str:
    """What the last window has found, but for what is wrong with values, which the operator says of those that are
    named."""
    watched = f"{len(reference.features)} features"
    if reference.left_out:
        watched += f" that are watched ({reference.left_out} more are not)"
    if not found.compared:
        return f"none of {watched} can be compared: the values of all are wrong in {found.rows} rows"
    alarms = f"{sum(recent)} of the last {len(recent)} windows {'alarms' if sum(recent) == 1 else 'alarm'}"
    if len(recent) == 1:
        alarms = "the first window alarms" if recent[0] else "the first window does not alarm"
    words = f"{alarms} ({watch.need} of {watch.of} make it Drifted); of {watched} "
    if found.alarms:
        named = [f"{one.name[:_MOST_NAME]} (score {one.score:.3g})" for one in found.features if one.score >= 1]
        more = found.alarming - len(named[:_NAMED])
        words += f"{found.alarming} unlike the training rows in {found.rows} rows: {', '.join(named[:_NAMED])}"
        words += f" and {more} more" if more > 0 else ""
    else:
        # The state may be Drifted by the windows of before.
        words += f"none is unlike the training rows in the last window, of {found.rows} rows"
    return words
