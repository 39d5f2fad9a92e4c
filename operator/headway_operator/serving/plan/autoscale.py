"""How many pods a deployment is to have with `autoscaling.targetInFlight`: it stands in the status, and is done then.

The judge sums up what servers report. Where it is not heard nothing changes: neither is a load guessed, nor is its
absence taken for none. While versions change places nothing is taken away.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from headway_api.autoscaling import Autoscaling
from headway_api.deployment import ModelDeploymentSpec
from headway_api.deployment_status import AutoscalingStatus, Recommended
from headway_api.rollout_wire import LOAD_BEAT_SECONDS
from headway_operator.engine.times import to_seconds, to_text
from headway_operator.serving.plan import rollout, scaling, zero
from headway_operator.serving.plan.book import Book
from headway_operator.serving.plan.load import FRESH_SECONDS, change, heard, moving, not_yet_known, seen_of
from headway_operator.serving.plan.model import Next, Situation
from headway_operator.serving.plan.scaling import Recent, Seen


def by_load(spec: ModelDeploymentSpec | None) -> Autoscaling | None:
    """The autoscaling that the operator does itself."""
    wanted = spec.autoscaling if spec is not None else None
    return wanted if wanted is not None and wanted.target_in_flight is not None else None


def follow(situation: Situation, book: Book) -> Next:
    """Have the number of pods follow the load; when to look again if nothing is heard of until then."""
    spec = situation.spec
    if spec is None:
        return Next()
    wanted = by_load(spec)
    if wanted is None:
        _leave(situation, spec, book)
        return Next()
    known = book.scaling
    if known is None:
        _enter(situation, spec, wanted, book)
        return Next()
    # In a rollout nobody takes pods away; what was asked for by hand is done afterwards.
    if known.asked != spec.replicas and not (moving(book) and _within(wanted, spec.replicas) < known.desired):
        # It stands for what the load asked for until now.
        anew: dict[str, object] = {"asked": spec.replicas, "recommended": None, "recent": []}
        book.scaling = known = known.model_copy(update=anew)
        change(situation, book, known, _within(wanted, spec.replicas), ("Asked", "spec.replicas asks for them"))
    elif known.desired != _within(wanted, known.desired) and not (moving(book) and known.desired > wanted.max):
        change(
            situation, book, known, _within(wanted, known.desired), ("Limits", "min and max allow for no other number")
        )
    elif known.stage in ("Awake", "FallingAsleep") and (over := not_yet_known(situation)) is not None:
        return Next(wake=over + 1.0)
    else:
        return zero.follow(situation, wanted, book) or _by_load(situation, wanted, book, known)
    zero.woken(book)
    return Next()


def _leave(situation: Situation, spec: ModelDeploymentSpec, book: Book) -> None:
    """The load is gone by no more. Clients stay with the holder until there is a pod for them."""
    known = book.scaling
    if known is None:
        return
    if zero.asleep(book) and not zero.answers(situation, book):
        book.scaling = known.model_copy(update={"desired": spec.replicas, "stage": "Waking", "reason": "Asked"})
        book.moved = book.moved or book.scaling != known
        return
    book.scaling = None
    book.moved = True


def _enter(situation: Situation, spec: ModelDeploymentSpec, wanted: Autoscaling, book: Book) -> None:
    """From now on the load decides: from as many pods as there are."""
    there = book.champion.replicas.desired if book.champion is not None else 0
    book.scaling = AutoscalingStatus(
        desired=_within(wanted, there or spec.replicas), since=to_text(situation.now), asked=spec.replicas
    )
    book.moved = True


def _within(wanted: Autoscaling, replicas: int) -> int:
    return min(max(replicas, wanted.min), wanted.max)


def _by_load(situation: Situation, wanted: Autoscaling, book: Book, known: AutoscalingStatus) -> Next:
    now, champion, target = situation.now, book.champion, wanted.target_in_flight or 1
    seen = seen_of(situation, champion, heard(situation), known)
    asked = scaling.recommended(seen, target) if seen is not None else None
    if seen is None or asked is None:
        book.scaling = known.model_copy(update={"reason": "NoData" if champion is not None else "Starting"})
        return Next()
    asked = max(1, _within(wanted, asked))
    before = known.desired if known.recommended is None else known.recommended
    since = to_seconds(known.since) or 0.0
    recent = scaling.remembered(_recent(known), before, asked, now, wanted.window)
    number = scaling.scaled(known.desired, asked, recent, since, now)
    if moving(book):
        number = max(number, known.desired)
    known = known.model_copy(update={"recommended": asked, "recent": _told(recent), **_counted(known, seen, now)})
    says = f"{seen.in_flight:.3g} requests are in flight in {seen.servers} pods, and each is to have {target}"
    if number != known.desired:
        change(situation, book, known, _within(wanted, number), ("InFlight", says))
        return Next()
    book.scaling = known.model_copy(update={"reason": _reason(known, asked, wanted, moves=moving(book))})
    stale = situation.rollout.load_heard + FRESH_SECONDS + 1.0 if situation.rollout is not None else None
    idle = zero.next_look(situation, wanted, book, known)
    times = (scaling.next_look(known.desired, asked, recent, since, wanted.window), stale, idle)
    return Next(wake=min((time for time in times if time is not None and time > now), default=None))


def _counted(known: AutoscalingStatus, seen: Seen, now: float) -> dict[str, object]:
    """The load for people, now and then: a status is not written for each of its changes."""
    last = to_seconds(known.counted)
    figure = float(f"{seen.in_flight:.4g}")
    if figure == known.in_flight or (last is not None and now - last < LOAD_BEAT_SECONDS):
        return {}
    return {"in_flight": figure, "counted": to_text(now)}


def _reason(known: AutoscalingStatus, asked: int, wanted: Autoscaling, *, moves: bool) -> str:
    if asked == known.desired:
        return "AtMax" if asked == wanted.max else "AtMin" if asked == wanted.min else "AtTarget"
    if asked > known.desired:
        return "StepLimit"
    return "Rollout" if moves else "Stabilizing"


def _recent(known: AutoscalingStatus) -> list[Recent]:
    return [Recent(each.replicas, to_seconds(each.until) or 0.0) for each in known.recent]


def _told(recent: Sequence[Recent]) -> list[Recommended]:
    return [Recommended(replicas=each.replicas, until=to_text(each.until)) for each in recent]


@dataclass(frozen=True, slots=True)
class Pods:
    """How many pods the versions of a deployment are to have."""

    whole: int
    """Each that answers, answered or may answer alone next."""
    first: int
    """The candidate: for the share that it has, or is about to have."""


def pods(spec: ModelDeploymentSpec, book: Book) -> Pods:
    """The numbers of now.

    An autoscaler goes by the pods of the version that answers, which have but a part of the requests while another
    one is on its way: what it takes away then would be missing when that one, with as many, has all of them. Of what
    the operator itself counts, a candidate gets as many as its next share needs.
    """
    known = book.scaling
    if known is not None:
        share = rollout.next_share(spec, book)
        return Pods(known.desired, max(1, math.ceil(share * known.desired - 1e-9)))
    moving = book.candidate is not None or book.previous is not None
    whole = spec.replicas
    if spec.autoscaling is not None and moving and book.champion is not None:
        whole = max(spec.replicas, book.champion.replicas.desired)
    return Pods(whole, whole)
