"""The decision about a ModelDeployment: which version answers, which is on its way, and what follows from that.

A move of a version is written into the status first, and carried out by what the status says then: whoever is ended
in between leaves nothing half done. Nothing here knows how long ago it last looked.
"""

from __future__ import annotations

from dataclasses import dataclass

from headway_api.deployment import ModelDeploymentSpec
from headway_api.deployment_status import Version, VersionReplicas
from headway_api.served import ModelSource, Server
from headway_operator.engine.times import to_seconds, to_text
from headway_operator.serving import names
from headway_operator.serving.plan import offers, trouble
from headway_operator.serving.plan.book import Book
from headway_operator.serving.plan.model import Plan, Situation
from headway_operator.serving.plan.status import say

LOOK_SECONDS = 10.0
"""So often the pods of a version that is not ready are looked at, where nothing else happens."""


@dataclass(frozen=True, slots=True)
class _Next:
    """What has to be read before it can be decided, or else when to look again."""

    verify: bool = False
    look_at: int | None = None
    wake: float | None = None

    @property
    def reads(self) -> bool:
        return self.verify or self.look_at is not None


def plan(situation: Situation) -> Plan:
    """What is to be done now."""
    book = Book(situation.name, situation.status, situation.now)
    book.published = offers.newest(book.published, situation.offers)
    following = _move(situation, book)
    if following.reads:
        look_at = frozenset(() if following.look_at is None else (following.look_at,))
        return Plan(situation.status, verify=following.verify, look_at=look_at)
    _count(situation, book)
    status = say(situation, book)
    if book.moved:
        return Plan(status, moved=True, wake=situation.now, notices=tuple(book.notices))
    replicas = _replicas(situation, book)
    return Plan(
        status,
        replicas=replicas,
        target=book.champion.number if book.champion is not None else None,
        remove=_leftover(situation, book, set(replicas)),
        wake=_earliest(following.wake, *_retries(situation)),
    )


def _move(situation: Situation, book: Book) -> _Next:
    """Move the versions, as far as the spec and what is seen ask for it; what is to be read for that, and when next."""
    spec = situation.spec
    if spec is None or spec.suspend:
        return _Next()
    if situation.status.phase == "Suspended" and book.candidate is not None:
        book.put(book.candidate.model_copy(update={"waiting_since": to_text(situation.now)}))
    source, server = _wanted(spec, book)
    _withdraw(spec, book, source, server)
    wakes: list[float | None] = []
    for judge in (_judge_candidate, _bake, _go_back):
        asked = judge(situation, spec, book)
        if asked.reads:
            return asked
        wakes.append(asked.wake)
    _begin(situation, spec, book, source, server)
    rejected = _rejected(book, source, server)
    book.trim(spec.versions.keep, rejected.name if rejected is not None else None)
    return _Next(wake=_earliest(*wakes))


def _wanted(spec: ModelDeploymentSpec, book: Book) -> tuple[ModelSource | None, Server]:
    """What is wanted to answer: a version that is pinned, if there is one of that name which is not rejected."""
    pinned = book.get(spec.versions.pin)
    if pinned is not None and pinned.state not in ("Rejected", "Candidate"):
        return pinned.source, pinned.server
    return offers.wanted(spec, book.published), spec.server


def _is(version: Version, source: ModelSource | None, server: Server) -> bool:
    return version.source == source and version.server == server


def _rejected(book: Book, source: ModelSource | None, server: Server) -> Version | None:
    """The newest version of what is wanted that was rejected."""
    found = [each for each in book.versions if each.state == "Rejected" and _is(each, source, server)]
    return found[-1] if found else None


def _withdraw(spec: ModelDeploymentSpec, book: Book, source: ModelSource | None, server: Server) -> None:
    candidate = book.candidate
    if candidate is not None and not _is(candidate, source, server):
        book.withdraw("another one is wanted by now" if not spec.versions.pin else f"{spec.versions.pin} is pinned")


def _begin(
    situation: Situation, spec: ModelDeploymentSpec, book: Book, source: ModelSource | None, server: Server
) -> None:
    if source is None:
        return
    if book.candidate is not None or (book.champion is not None and _is(book.champion, source, server)):
        return
    rejected = _rejected(book, source, server)
    if rejected is not None and rejected.name not in spec.versions.retry:
        return
    image = server.image or situation.defaults.image
    if image is not None:
        book.begin(source, server, image, max([0, *situation.workloads, *situation.fronts]))


def _judge_candidate(situation: Situation, spec: ModelDeploymentSpec, book: Book) -> _Next:
    """Promote the candidate, reject it, or wait."""
    candidate = book.candidate
    if candidate is None:
        return _Next()
    refusal = trouble.refused(situation, candidate.number)
    if spec.versions.abort == candidate.name:
        book.reject("Aborted", "spec.versions.abort names it")
        return _Next()
    if refusal is not None and refusal.kind == "Invalid":
        book.reject("Invalid", trouble.waiting_for(situation, candidate.number, spec.replicas))
        return _Next()
    workload = situation.workloads.get(candidate.number)
    if workload is None or not workload.complete or workload.desired != spec.replicas:
        return _wait_for(situation, spec, book, candidate)
    if not situation.verified:
        return _Next(verify=True)
    book.promote(keep=spec.rollout.blue_green is not None and spec.rollout.blue_green.bake_seconds > 0)
    return _Next()


def _wait_for(situation: Situation, spec: ModelDeploymentSpec, book: Book, candidate: Version) -> _Next:
    """A candidate that is not ready: hopeless, too late, or to be looked at again."""
    number, now = candidate.number, situation.now
    if number in situation.workloads and number not in situation.pods:
        return _Next(look_at=number)
    most = spec.rollout.progress_deadline_seconds
    deadline = (to_seconds(candidate.waiting_since) or now) + most
    said = trouble.waiting_for(situation, number, spec.replicas)
    crash = trouble.crash(situation.pods.get(number, ()))
    if crash is not None:
        book.reject("Crash", crash)
    elif now >= deadline:
        book.reject("NotReady", f"not ready within {most} s: {said}")
    else:
        book.put(candidate.model_copy(update={"message": said}))
        return _Next(wake=min(deadline, now + LOOK_SECONDS))
    return _Next()


def _bake(situation: Situation, spec: ModelDeploymentSpec, book: Book) -> _Next:
    """Go back to the version before, if the champion crashes while that has its pods; take these away in the end."""
    champion, previous, now = book.champion, book.previous, situation.now
    if champion is None or previous is None:
        return _Next()
    bake = spec.rollout.blue_green.bake_seconds if spec.rollout.blue_green is not None else 0
    over = (to_seconds(champion.since) or now) + bake
    if now >= over:
        book.retire_previous()
        return _Next()
    workload, before = situation.workloads.get(champion.number), situation.workloads.get(previous.number)
    if workload is None or workload.complete or before is None or before.ready == 0:
        return _Next(wake=over)
    if champion.number not in situation.pods:
        return _Next(look_at=champion.number)
    crash = trouble.crash(situation.pods[champion.number])
    if crash is not None:
        book.return_to_previous("Crash", crash)
    return _Next(wake=min(over, now + LOOK_SECONDS))


def _go_back(situation: Situation, spec: ModelDeploymentSpec, book: Book) -> _Next:
    """The version before the champion is wanted again, and can answer at once."""
    previous = book.previous
    if previous is None or book.candidate is not None or not _is(previous, *_wanted(spec, book)):
        return _Next()
    workload = situation.workloads.get(previous.number)
    if workload is None or not workload.complete:
        return _Next()
    if not situation.verified:
        return _Next(verify=True)
    book.swap()
    return _Next()


def _count(situation: Situation, book: Book) -> None:
    """What is seen of the versions' pods."""
    replicas = _replicas(situation, book)
    for version in book.versions:
        workload = situation.workloads.get(version.number)
        seen = VersionReplicas(
            desired=replicas.get(version.number, 0), ready=workload.ready if workload is not None else 0
        )
        if seen != version.replicas:
            book.put(version.model_copy(update={"replicas": seen}))


def _replicas(situation: Situation, book: Book) -> dict[int, int]:
    """The versions that are to have pods, and how many."""
    spec, champion, candidate = situation.spec, book.champion, book.candidate
    wanted: dict[int, int] = {}
    for version in (champion, book.previous, candidate):
        if version is not None:
            wanted[version.number] = spec.replicas if spec is not None else max(1, version.replicas.desired)
    if spec is None or spec.rollout.recreate is None or candidate is None or champion is None:
        return wanted
    # The candidate has the room to itself: the champion's pods go first, and come back if it is rejected.
    wanted[champion.number] = 0
    old = situation.workloads.get(champion.number)
    if old is None or old.replicas or old.desired or not old.seen:
        del wanted[candidate.number]
    return wanted


def _leftover(situation: Situation, book: Book, wanted: set[int]) -> tuple[int, ...]:
    """The versions whose objects have no use any more.

    What clients are sent to stays, whatever the status says: it may have been lost, or the change that leads them to
    another version may have been refused.
    """
    there = (set(situation.workloads) | set(situation.fronts)) - {0}
    places = {version.number for version in (book.champion, book.candidate, book.previous) if version is not None}
    return tuple(sorted(there - wanted - places - _led_to(situation)))


def _led_to(situation: Situation) -> set[int]:
    """The version that the clients' Service leads to."""
    front = situation.fronts.get(0)
    if front is None:
        return set()
    return {number for number in situation.workloads if dict(front.selector) == names.selector(situation.uid, number)}


def _retries(situation: Situation) -> list[float]:
    return [refusal.retry_at for refusal in situation.refusals.values() if refusal.retry_at > situation.now]


def _earliest(*times: float | None) -> float | None:
    return min((time for time in times if time is not None), default=None)
