"""Whether a job is woken in time: what its status says now must not want it sooner than the last reconcile asked for.

The status that an operator writes is no news to itself. A rule that reads what the same turn enters would be asked
again only when something else happens, which may be never.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from headway_operator.engine.kinds import View
from headway_operator.engine.steps import Decision
from headway_operator.engine.store import Store
from headway_operator.training.kind import TrainingJobs


class Promising(TrainingJobs):
    """The kind, which remembers its last decision about each job."""

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        self._last: dict[str, tuple[View, Decision]] = {}
        """By the job's uid."""

    def plan(self, view: View) -> Decision:
        """What is to be done about a job now."""
        decision = super().plan(view)
        self._last[view.owner.uid] = view, decision
        return decision

    def broken(self, store: Store, uid: str, again: float | None) -> str | None:
        """What is wrong with the time at which a reconcile that has just ended wants the next; None if nothing is.

        Only of reconciles that wrote a status and did nothing else: what is made and deleted is seen by a watch.
        """
        view, decision = self._last.pop(uid, (None, None))
        if view is None or decision is None or decision.status is None or decision.stages:
            return None
        owner = store.owner(view.owner.key)
        same = owner is not None and owner.uid == uid and owner.generation == view.owner.generation
        if owner is None or not same or store.children(owner) != view.children:
            return None  # something happened meanwhile: that is news
        second = super().plan(replace(view, owner=owner, last_write=view.now))
        acts = bool(second.stages or second.status or [read for read in second.reads if read not in view.facts.done])
        wanted = view.now if acts else second.wake
        # A time that is over is no reason to reconcile without end: a second later will do.
        if wanted is None or (again is not None and again <= max(wanted, view.now + 1.0)):
            return None
        when = "never" if again is None else f"in {again - view.now:.1f} s"
        what = "has something to do" if acts else f"wants to be reconciled in {wanted - view.now:.1f} s"
        return f"job {owner.name} {what} by the status that was just written, and is reconciled {when}"
