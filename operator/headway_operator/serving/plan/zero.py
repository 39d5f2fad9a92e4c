"""No pods at all while nobody asks, with `min: 0`: pods give way to the holder, and come back before it goes.

Clients are sent to the holder before the last pods go, and to pods again only once one is ready. The holder hands over
what it gets as soon as there is a server, whatever stands here: so at no moment is there nobody, and an operator that
is dead for a while costs time and no request.
"""

from __future__ import annotations

from headway_api.autoscaling import Autoscaling
from headway_api.deployment_status import AutoscalingStatus
from headway_api.rollout_wire import Load
from headway_operator.engine.times import to_seconds, to_text
from headway_operator.serving import names
from headway_operator.serving.plan.book import Book
from headway_operator.serving.plan.load import change, heard, moving, seen_of
from headway_operator.serving.plan.model import Next, Situation

LOOK_SECONDS = 5.0
"""Between two looks for a word that should have come by now."""
SETTLE_SECONDS = 15.0
"""So long after the clients' Service leads to the holder the last pods stay: until all nodes' proxies know of it. They
go on answering for their drainSeconds after that."""


def asleep(book: Book) -> bool:
    """Whether clients are sent to the holder."""
    return book.scaling is not None and book.scaling.stage != "Awake"


def needed(situation: Situation, wanted: Autoscaling | None, book: Book) -> bool:
    """Whether there is to be a holder: before it is sent anything, and as long as it is."""
    champion = book.champion
    soon = wanted is not None and wanted.min == 0 and champion is not None and not champion.server.grpc
    return soon or asleep(book) or led(situation)


def led(situation: Situation) -> bool:
    """Whether the clients' Service leads to the holder."""
    front = situation.fronts.get(0)
    return front is not None and dict(front.selector) == names.holders(situation.uid)


def answers(situation: Situation, book: Book) -> bool:
    """Whether a pod of the version that answers is ready."""
    workload = situation.workloads.get(book.champion.number) if book.champion is not None else None
    # What was counted before the last change of their number may be of pods that are on their way out.
    return workload is not None and not workload.deleting and workload.seen and workload.ready > 0


def woken(book: Book) -> None:
    """Pods are to be there again, for whatever reason."""
    known = book.scaling
    if known is not None and known.desired > 0 and known.stage == "Asleep":
        book.scaling = known.model_copy(update={"stage": "Waking", "held_since": None})
        book.moved = True


def follow(situation: Situation, wanted: Autoscaling, book: Book) -> Next | None:
    """What is to be done where there are no pods, or soon none; None where the load decides on their number."""
    known = book.scaling
    if known is None:
        return None
    load = heard(situation)
    if known.stage == "Asleep":
        return _asleep(situation, wanted, book, known, load)
    if known.stage == "Waking":
        return _waking(situation, book, known)
    left = _left(situation, wanted, book, known, load)
    if known.stage == "FallingAsleep":
        return _falling(situation, book, known, idle=left == 0, holds=_holds(situation, load))
    return _fall(situation, book, known, load) if left == 0 else None


def _fall(situation: Situation, book: Book, known: AutoscalingStatus, load: Load | None) -> Next:
    if _holds(situation, load):
        _stage(book, known, "FallingAsleep", "FallingAsleep")
    else:
        book.scaling = known.model_copy(update={"reason": "NoHolder"})
    return Next()


def _holds(situation: Situation, load: Load | None) -> bool:
    """Whether there is a holder that is heard."""
    holder = situation.holder
    ready = holder is not None and holder.complete and holder.desired > 0
    return ready and load is not None and load.holders > 0


def _waking(situation: Situation, book: Book, known: AutoscalingStatus) -> Next:
    if answers(situation, book):
        _stage(book, known, "Awake", "Held")
    return Next()


def next_look(situation: Situation, wanted: Autoscaling, book: Book, known: AutoscalingStatus) -> float | None:
    """When the judge may have said that nobody has asked for long enough."""
    left = _left(situation, wanted, book, known, heard(situation))
    return situation.now + max(left, LOOK_SECONDS) if left is not None else None


def _asleep(situation: Situation, wanted: Autoscaling, book: Book, known: AutoscalingStatus, load: Load | None) -> Next:
    held = load.held if load is not None else 0
    if held or moving(book):
        why = f"{held} requests are held" if held else "versions change places"
        change(situation, book, known, min(1, wanted.max), ("Held" if held else "Rollout", why))
        woken(book)
    else:
        book.scaling = known.model_copy(update={"reason": "Idle"})
    return Next()


def _falling(situation: Situation, book: Book, known: AutoscalingStatus, *, idle: bool, holds: bool) -> Next:
    """The pods go once clients have been sent to the holder for a while, and none of them has asked for anything.

    Where it dies meanwhile, clients go back to the pods, which are there.
    """
    if not idle or not holds:
        _stage(book, known, "Awake", "NoHolder" if idle else "InFlight")
        return Next()
    since = to_seconds(known.held_since)
    if since is None:
        if led(situation):
            book.scaling = known.model_copy(update={"held_since": to_text(situation.now)})
            return Next(wake=situation.now + SETTLE_SECONDS + 1.0)
        return Next()
    record = situation.rollout
    if situation.now < since + SETTLE_SECONDS or record is None or record.load_heard < since + LOOK_SECONDS:
        # What the judge said before clients were sent to the holder tells nothing of those who asked since.
        return Next(wake=max(since + SETTLE_SECONDS, situation.now + LOOK_SECONDS))
    if not led(situation):
        _stage(book, known, "Awake", "InFlight")
        return Next()
    change(situation, book, known, 0, ("Idle", "no request came for idleSeconds"))
    if book.scaling is not None:
        forgotten: dict[str, object] = {"stage": "Asleep", "recommended": None, "recent": [], "held_since": None}
        book.scaling = book.scaling.model_copy(update=forgotten)
    return Next()


def _left(
    situation: Situation, wanted: Autoscaling, book: Book, known: AutoscalingStatus, load: Load | None
) -> float | None:
    """The seconds for which nobody may ask still before no pod is needed, by the judge's last word: what came of them
    since is not guessed. None where somebody asks, or nobody knows."""
    champion, record = book.champion, situation.rollout
    if wanted.min > 0 or moving(book) or champion is None or champion.server.grpc or load is None or record is None:
        return None
    seen = seen_of(situation, champion, load, known)
    if seen is None or seen.servers < seen.ready or seen.in_flight > 0 or load.held:
        return None
    began = to_seconds(champion.since) or situation.now
    return max(0.0, wanted.idle - min(load.quiet_seconds, record.load_heard - began))


def _stage(book: Book, known: AutoscalingStatus, stage: str, reason: str) -> None:
    book.scaling = known.model_copy(update={"stage": stage, "reason": reason, "held_since": None})
    book.moved = True
