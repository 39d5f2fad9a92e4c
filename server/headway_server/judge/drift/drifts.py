"""Whether requests are like the training rows, from what servers count: what the judge tells the operator. Pure.

A server numbers its batches, and sends one again until it was answered: each number of a process is taken once. What
the last word says is all that is known again after a restart; the window that was open then is lost. Which batches are
in the windows that are over is not known then: so each is made for one judge, by the name that it draws when it begins.

Who holds the token may tell a false reference: what it is compared with is then not the training rows. So counts are
taken by one reference alone, and one by which nobody counts any more gives way: a lie lasts as long as the liar.
"""

from __future__ import annotations

import datetime
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping

from pydantic import ValidationError

from headway_api import drift_wire as wire
from headway_api.rollout_wire import Sampling
from headway_server.judge.beating import Beating, misread
from headway_server.judge.drift.windows import CountsError, Result, Window, result
from headway_server.judge.drift.words import message, state

MOST_SERVERS = 4096
"""Processes whose last batch is remembered; of more, those that were heard last."""
LEAST_SECONDS = 1.0
"""Between the ends of two windows. What one tells takes some 20 ms of 257 features, and 500 servers send 50 batches a
second, each of which may be rows enough: the judge would have no time for what servers report of a rollout."""


class Drifts:
    """Of one deployment's version that answers, one after the other. wall: seconds since 1970. draw: another text each
    time."""

    def __init__(
        self, wall: Callable[[], float] = time.time, draw: Callable[[], str] = lambda: secrets.token_hex(8)
    ) -> None:
        self.watch: wire.Watch | None = None
        """What the operator asks for; None: nothing."""
        self.bad_watch: str | None = None
        """Why the newest watch could not be read; the last one that could be holds."""
        self._wall, self._draw = wall, draw
        self._name = draw()
        """As servers know this judge: another one knows nothing of the batches that were taken."""
        self._text: str | None = None
        self._known: wire.DriftWord | None = None
        """What the windows that are over have told."""
        self._window: Window | None = None
        self._over_at = float("-inf")
        """When the last window was over."""
        self._reference: wire.WatchedReference | None = None
        self._digest = ""
        self._counted_by = 0.0
        """When a server was heard last that counts by the reference."""
        self._unavailable = ""
        self._taken: OrderedDict[str, int] = OrderedDict()
        """The last batch of each process, the process that was heard longest ago first."""
        self._words = Beating[wire.DriftWord](wire.KEY_DRIFT)

    @property
    def sampling(self) -> Sampling | None:
        """What servers are asked to count."""
        watch = self.watch
        if watch is None or not watch.version or not watch.sample:
            return None
        return Sampling(version=watch.version, sample=watch.sample)

    def read(self, data: Mapping[str, str]) -> None:
        """Take what the ConfigMap holds."""
        text = data.get(wire.KEY_WATCH)
        if text == self._text:
            return
        self._text = text
        if text is None:
            self.watch = self.bad_watch = None
            self._begin(None)
            return
        try:
            watch = wire.Watch.model_validate_json(text)
        except ValidationError as error:
            self.bad_watch = misread(wire.KEY_WATCH, "watch", error)
            return
        before, self.watch, self.bad_watch = self.watch, watch, None
        if before is None or (before.uid, before.version) != (watch.uid, watch.version):
            self._begin(_said(data.get(wire.KEY_DRIFT, "")))

    def forget(self) -> None:
        """Another judge has said more meanwhile: the next reading begins with its last word."""
        self._text = self.watch = None
        self._begin(None)

    def _begin(self, said: wire.DriftWord | None) -> None:
        """said: the last word that was written, by this process or another one."""
        watch = self.watch
        self._words.begin(said.beat if said is not None else 0)
        ours = said is not None and watch is not None and (said.uid, said.version) == (watch.uid, watch.version)
        self._known = said if ours and said is not None and said.windows else None
        self._window = self._reference = None
        self._digest = self._unavailable = ""
        self._taken.clear()
        self._name = self._draw()
        self._words.forget()

    def take(self, batch: wire.Batch, now: float) -> wire.BatchReply:
        """Take a server's counts, if they are of the version that is watched. Raises CountsError for what cannot be."""
        watch = self.watch
        if watch is None or batch.version != watch.version or batch.uid != watch.uid:
            return wire.BatchReply(taken=batch.number)
        if batch.unavailable:
            self._unavailable = batch.unavailable
            return wire.BatchReply(taken=batch.number)
        reference = self._compared_with(batch, now)
        if reference is None:
            return wire.BatchReply(judge=self._name, reference=True)
        last = self._taken.get(batch.boot, 0)
        if batch.number > last:
            if batch.judge != self._name:
                return wire.BatchReply(judge=self._name, taken=last)
            if batch.digest != self._digest:
                raise CountsError(
                    f"digest: another reference than the one that servers of version {watch.version} count by; it "
                    f"takes that one's place {wire.UNUSED_SECONDS:.0f} s after the last of them was heard"
                )
            self._add(reference, batch, now)
            last = batch.number
        self._taken[batch.boot] = last
        self._taken.move_to_end(batch.boot)
        if len(self._taken) > MOST_SERVERS:
            self._taken.popitem(last=False)
        return wire.BatchReply(judge=self._name, taken=last)

    def _compared_with(self, batch: wire.Batch, now: float) -> wire.WatchedReference | None:
        """The reference that holds once this batch has come; None where it is asked for."""
        if self._reference is not None and batch.digest == self._digest:
            self._counted_by = now
        elif self._reference is None or now > self._counted_by + wire.UNUSED_SECONDS:
            if batch.reference is None:
                return None
            self._refer(batch.reference, batch.digest, now)
        return self._reference

    def _refer(self, reference: wire.WatchedReference, digest: str, now: float) -> None:
        names = {one.name for one in reference.features}
        if not names or len(names) != len(reference.features):
            raise CountsError("reference.features: each needs a name of its own, and there must be one at least")
        if digest != reference.digest:
            raise CountsError("digest: it is not the reference's")
        if self._known is not None and self._known.reference != digest:
            self._known = None
        self._reference, self._digest, self._counted_by = reference, digest, now
        self._window, self._unavailable = None, ""

    def _add(self, reference: wire.WatchedReference, batch: wire.Batch, now: float) -> None:
        window = self._window or Window(reference, now)
        window.add(batch.rows, batch.counts)
        self._window = window
        self._look(now)

    def _look(self, now: float) -> None:
        """Whether the open window is over: it may have had rows enough before its time."""
        window, watch, reference = self._window, self.watch, self._reference
        if window is None or watch is None or reference is None or now < self._over_at + LEAST_SECONDS:
            return
        if window.over(watch, now):
            self._over_at = now
            self._known = self._after(result(reference, window.counts, window.rows, watch), reference, watch)
            self._window = None

    def _after(self, found: Result, reference: wire.WatchedReference, watch: wire.Watch) -> wire.DriftWord:
        """What is known when one more window is over."""
        before = self._known
        recent = list(before.recent) if before is not None else []
        if found.compared:
            # A window of which nobody can tell is none without an alarm: a drift does not end with it.
            recent = [*recent, found.alarms][-watch.of :]
        checked = datetime.datetime.fromtimestamp(self._wall(), datetime.UTC)
        return wire.DriftWord(
            uid=watch.uid,
            version=watch.version,
            state=state(recent, watch, compared=found.compared > 0),
            score=found.score if found.compared else None,
            features=found.features,
            data_quality=found.data_quality,
            problems=found.problems,
            checked=checked.isoformat(timespec="seconds").replace("+00:00", "Z"),
            windows=(before.windows if before is not None else 0) + 1,
            recent=recent,
            watched=len(reference.features),
            left_out=reference.left_out,
            reference=self._digest,
            message=message(found, recent, watch, reference),
        )

    def word(self) -> wire.DriftWord | None:
        """What is known now; None where nothing is watched."""
        watch, reference = self.watch, self._reference
        if watch is None or not watch.version:
            return None
        rows = self._window.rows if self._window is not None else 0
        if self._unavailable and reference is None:
            return wire.DriftWord(uid=watch.uid, version=watch.version, state="Unavailable", message=self._unavailable)
        if self._known is not None:
            # What is asked for may have changed since the last window.
            recent = self._known.recent[-watch.of :]
            said = state(recent, watch, compared=self._known.score is not None)
            return self._known.model_copy(update={"rows": rows, "recent": recent, "state": said})
        return wire.DriftWord(
            uid=watch.uid,
            version=watch.version,
            state="Insufficient",
            rows=rows,
            watched=len(reference.features) if reference is not None else 0,
            left_out=reference.left_out if reference is not None else 0,
            message=f"{rows} rows of the first window have been counted, and it needs {watch.rows}"
            + (f" and {watch.seconds} seconds" if watch.seconds else ""),
        )

    def urgent(self) -> bool:
        """Whether the operator waits for what is known now: the state has turned."""
        word = self.word()
        before = self._words.written
        return word is not None and before is not None and (word.version, word.state) != (before.version, before.state)

    def due(self, told_by: str | None, now: float, *, last: bool = False) -> dict[str, str]:
        """What is to be written now; nothing where that has time. last: there will be no other time."""
        self._words.drop()
        self._look(now)
        word, ago = self.word(), now - self._words.written_at
        if word is None:
            return {}
        changed = _lasting(word) != _lasting(self._words.written)
        beats = ago >= wire.DRIFT_BEAT_SECONDS
        if not (self.urgent() or beats or (changed and (last or ago >= wire.DRIFT_CHANGES_SECONDS))):
            return {}
        return self._words.offer(word, told_by)

    def wrote(self, now: float) -> None:
        """What was due last is written."""
        self._words.wrote(now)


def _said(text: str) -> wire.DriftWord | None:
    """The word that was written last; None where there is none, or none that can be read."""
    try:
        return wire.DriftWord.model_validate_json(text)
    except ValidationError:
        return None


def _lasting(word: wire.DriftWord | None) -> wire.DriftWord | None:
    """A word without what changes with each batch."""
    if word is None:
        return None
    counted = {"rows": 0} if word.windows else {"rows": 0, "message": ""} if word.state == "Insufficient" else {}
    return word.model_copy(update=counted)
