"""The judge between its ConfigMap and the servers: which route it replies, and when it writes what. Pure: the time is
the caller's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import ValidationError

from headway_api import drift_wire
from headway_api import rollout_wire as wire
from headway_server.judge import findings, memory
from headway_server.judge.beating import misread
from headway_server.judge.drift.drifts import Drifts
from headway_server.judge.load import Loads, load_beat
from headway_server.judge.queries import Queries
from headway_server.judge.tally import Tally, key
from headway_server.judge.terms import Terms, said_in

CHANGES_SECONDS = 2.0
"""Counts that changed are written so long after the last write; a verdict that changed at once."""
LOOK_SECONDS = 0.2
"""The gates are looked at when a report comes, but no more often."""


class WrongDeployment(Exception):  # noqa: N818 - what the report is
    """A report of another deployment's server. The message says so."""


class Judge:
    """Judges one rollout after the other of one deployment."""

    def __init__(self, told_by: str | None = None, loads: Loads | None = None, drifts: Drifts | None = None) -> None:
        """told_by: the pod's name. loads: what tells how busy servers are, where that is asked for. drifts: what tells
        of drift, where that is."""
        self._loads = loads
        self.drifts = drifts or Drifts()
        self.route: wire.Route | None = None
        self.tally: Tally | None = None
        """Of the rollout that there is."""
        self.queries = Queries(())
        """Its queries."""
        self.failed: wire.Verdict | None = None
        """That its candidate fails: this stands."""
        self.verdict: wire.Verdict | None = None
        """The newest; None where there is no rollout."""
        self.bad_route: str | None = None
        """Why the newest route could not be read; the last one that could be holds."""
        self._terms = Terms(told_by)
        self._told_by = told_by
        self._beat = 0
        self._looked = float("-inf")
        self._told: wire.Verdict | None = None
        """The verdict that was due last, if one was."""
        self._written: wire.Verdict | None = None
        self._written_at = float("-inf")
        self._reply: bytes | None = None

    @property
    def deposed(self) -> bool:
        """Whether another process judges: this one says nothing, and takes no reports."""
        return self._terms.deposed

    def read(self, data: Mapping[str, str], now: float) -> None:
        """Take what the ConfigMap holds."""
        waited = self.deposed
        self._terms.read(data.get(wire.KEY_VERDICT, ""), now)
        if waited and not self.deposed:
            # What the other one found holds, and what it counted of servers that are gone.
            self.route = self.tally = self.failed = self.verdict = None
            self.drifts.forget()
        self._read_watch(data)
        text = data.get(wire.KEY_ROUTE)
        if text is None:
            self.bad_route = f"there is no {wire.KEY_ROUTE}"
            return
        try:
            route = wire.Route.model_validate_json(text)
        except ValidationError as error:
            self.bad_route = misread(wire.KEY_ROUTE, "route", error)
            return
        self.bad_route = None
        if route != self.route:
            before, self.route, self._reply = self.route, route, None
            self._follow(before, route, data, now)
            self._looked = float("-inf")

    def _read_watch(self, data: Mapping[str, str]) -> None:
        sampling = self.drifts.sampling
        self.drifts.read(data)
        if self.drifts.sampling != sampling:
            self._reply = None

    def take_batch(self, batch: drift_wire.Batch, now: float) -> bytes:
        """Take what a server has counted of its rows; what to reply, as JSON. Raises WrongDeployment, and CountsError
        for counts that cannot be."""
        if self.route is None or self.deposed:
            return drift_wire.BatchReply().model_dump_json().encode()
        if batch.uid != self.route.uid:
            raise WrongDeployment(f"uid: {batch.uid[:64]!r} is another deployment than the one that is watched here")
        return self.drifts.take(batch, now).model_dump_json().encode()

    def take(self, report: wire.Report, now: float) -> bytes:
        """Take a server's word; what to reply, as JSON. Raises WrongDeployment."""
        if self.route is None or self.deposed:
            return wire.Reply(judging=False).model_dump_json().encode()
        if report.uid != self.route.uid:
            raise WrongDeployment(f"uid: {report.uid[:64]!r} is another deployment than the one that is judged here")
        if self._loads is not None:
            self._loads.report(report, now)
        if self.tally is not None:
            slow = self.tally.slow_seconds
            self.tally.report(report, now)
            if self.tally.slow_seconds != slow:
                self._reply = None
            if now - self._looked >= LOOK_SECONDS:
                self.look(now)
        if self._reply is None:
            self._reply = self._reply_now(self.route)
        return self._reply

    def to_ask(self) -> Sequence[wire.QueryGate]:
        """The queries that are to be asked by now: while the candidate has no requests, it has no numbers either."""
        route = self.route
        if route is None or self.tally is None or self.failed is not None or self.deposed:
            return ()
        return self.queries.gates if route.share > 0 or route.mirror > 0 else ()

    def learn(self, gate: wire.QueryGate, epoch: int, value: float | None, why: str, now: float) -> None:
        """Take what came of asking, in an epoch: a number, or None and why there is none."""
        self.queries.take(gate, epoch, value, why)
        self.look(now)

    def look(self, now: float) -> None:
        """Find the verdict of now."""
        if self.tally is None:
            self.verdict = None
            return
        self._looked = now
        self.verdict = findings.verdict(self.tally, self.failed, now, self.queries)
        if self.verdict.verdict == "fail" and self.failed is None:
            self.failed, self._reply = self.verdict, None

    @property
    def urgent(self) -> bool:
        """Whether somebody waits for what is to be written."""
        if self.deposed:
            return False
        if self.drifts.urgent() or (self._loads is not None and self._loads.urgent()):
            return True
        return self.verdict is not None and _word(self.verdict) != _word(self._written)

    def due(self, now: float, *, last: bool = False) -> dict[str, str]:
        """What is to be written now; nothing where that has time. last: there will be no other time."""
        more: dict[str, str] = {}
        if self.route is not None and not self.deposed:
            more = self.drifts.due(self._told_by, now, last=last)
            if self._loads is not None:
                more |= self._loads.due(self.route.uid, self._told_by, now, last=last)
        return {**self._verdict_due(now, last=last), **more}

    def _verdict_due(self, now: float, *, last: bool) -> dict[str, str]:
        self._told = None
        self.look(now)
        if self.tally is None or self.verdict is None or self.deposed:
            return {}
        ago = now - self._written_at
        changed = self.verdict != self._written
        if not (self.urgent or ago >= wire.BEAT_SECONDS or (changed and (last or ago >= CHANGES_SECONDS))):
            return {}
        self._beat += 1
        self._told = self.verdict
        told = self.verdict.model_copy(update={"beat": self._beat, "term": self._terms.own, "told_by": self._told_by})
        return {
            wire.KEY_VERDICT: told.model_dump_json(exclude_none=True),
            wire.KEY_MEMORY: memory.dump(self.tally, self.failed, now),
        }

    def wrote(self, now: float) -> None:
        """What was due last is written."""
        if self._loads is not None:
            self._loads.wrote(now)
        self.drifts.wrote(now)
        if self._told is not None:
            self._written, self._written_at = self._told, now
            self._terms.wrote()

    def _follow(self, before: wire.Route | None, route: wire.Route, data: Mapping[str, str], now: float) -> None:
        said = said_in(data.get(wire.KEY_VERDICT, "")) if before is None else None
        if before is None:
            self._beat = said.beat if said is not None else 0
            if self._loads is not None:
                self._loads.begin(load_beat(data.get(wire.KEY_LOAD, "")))
        if not route.stable:
            self.tally = self.failed = self.verdict = self._written = None
        elif self.tally is not None and key(self.tally.route) == key(route):
            self.tally.follow(route)
        elif self.tally is not None:
            again = (before.uid, before.candidate) == (route.uid, route.candidate) if before else False
            self.tally, self.failed = Tally(route, route.epoch if again else 0), None
        else:
            self.tally, self.failed = memory.load(data.get(wire.KEY_MEMORY, ""), route, now)
        self._follow_queries(before, route, said)

    def _follow_queries(self, before: wire.Route | None, route: wire.Route, said: wire.Verdict | None) -> None:
        """said: the last word of an earlier process."""
        if before is not None and route.stable and key(before) == key(route):
            self.queries.follow(route.queries)
            return
        ours = said is not None and (said.uid, said.rollout) == (route.uid, route.candidate)
        self.queries = Queries(route.queries, said.gates if said is not None and ours else ())

    def _reply_now(self, route: wire.Route) -> bytes:
        # Queries, and where they are asked, are no servers' business.
        route = route.model_copy(update={"queries": []})
        if self.failed is not None:
            route = route.model_copy(update={"share": 0.0, "mirror": 0.0})
        slow = self.tally.slow_seconds if self.tally else None
        return wire.Reply(route=route, slow_seconds=slow, sampling=self.drifts.sampling).model_dump_json().encode()


def _word(verdict: wire.Verdict | None) -> tuple[object, ...] | None:
    """What the operator waits for."""
    if verdict is None:
        return None
    # And what is slow, to which a judge that is killed is to hold; and what queries lack, which people wait for.
    return verdict.uid, verdict.rollout, verdict.epoch, verdict.verdict, verdict.slow_seconds, verdict.queries
