"""What is known of the load of a deployment, and how another number of pods is written down."""

from __future__ import annotations

from headway_api.deployment_status import AutoscalingStatus, Version
from headway_api.rollout_wire import LOAD_BEAT_SECONDS, Load
from headway_operator.engine.steps import Notice
from headway_operator.engine.times import to_text
from headway_operator.serving.plan.book import Book
from headway_operator.serving.plan.model import Situation
from headway_operator.serving.plan.scaling import Seen

FRESH_SECONDS = 3 * LOAD_BEAT_SECONDS
"""A word about the load that was not renewed for so long is none."""


def heard(situation: Situation) -> Load | None:
    """What the judge says of the load, if it is of this deployment and new enough."""
    record = situation.rollout
    load = record.load if record is not None else None
    if record is None or load is None or load.uid != situation.uid:
        return None
    return load if situation.now - record.load_heard <= FRESH_SECONDS else None


def not_yet_known(situation: Situation) -> float | None:
    """When a word of unknown age will be none; None where it is known how old the last one is, or there is none.

    An operator that has just begun cannot tell whether the judge has said it a moment ago, or days. A new one comes
    soon if the judge is there. Until then nothing is decided by it, nor is it said that nobody is heard.
    """
    record = situation.rollout
    if record is None or record.load is None or record.load_heard:
        return None
    over = record.seen + FRESH_SECONDS
    return over if situation.now <= over else None


def moving(book: Book) -> bool:
    """Whether versions change places: the load of the one that answers is not the load that it may soon have."""
    return book.candidate is not None or book.previous is not None or book.rollout is not None


def seen_of(situation: Situation, champion: Version | None, load: Load | None, known: AutoscalingStatus) -> Seen | None:
    workload = situation.workloads.get(champion.number) if champion is not None else None
    of = load.of(champion.number) if load is not None and champion is not None else None
    if workload is None or of is None:
        return None
    return Seen(in_flight=of.in_flight, servers=of.servers, ready=workload.ready, desired=known.desired)


def change(situation: Situation, book: Book, known: AutoscalingStatus, number: int, why: tuple[str, str]) -> None:
    """Another number of pods, which an Event tells of; or the same one for another reason. why: a word, a sentence."""
    reason, says = why
    if number == known.desired:
        book.scaling = known.model_copy(update={"reason": reason})
        return
    now = to_text(situation.now)
    book.scaling = known.model_copy(update={"desired": number, "since": now, "reason": reason})
    book.moved = True
    word = "ScaledUp" if number > known.desired else "ScaledDown"
    book.notices.append(Notice(word, f"from {known.desired} to {number} pods: {says}", False, now))
