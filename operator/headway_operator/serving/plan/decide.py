"""The decision about a ModelDeployment: which version answers, which is on its way, and what follows from that.

A move of a version is written into the status first, and carried out by what the status says then: whoever is ended
in between leaves nothing half done. Nothing here knows how long ago it last looked.
"""

from __future__ import annotations

from headway_api.deployment import ModelDeploymentSpec
from headway_api.deployment_status import ModelDeploymentStatus, Version, VersionReplicas
from headway_api.served import ModelSource, Server
from headway_operator.engine.steps import Notice
from headway_operator.engine.times import to_seconds, to_text
from headway_operator.serving import names
from headway_operator.serving.plan import (
    autoscale,
    backend,
    drift,
    gateway,
    offers,
    rollout,
    route,
    trouble,
    verdict,
    zero,
)
from headway_operator.serving.plan.book import Book
from headway_operator.serving.plan.model import Next, Plan, Situation
from headway_operator.serving.plan.status import say

HALTED = ("Stalled", "AwaitingApproval")
"""Of a rollout that waits for somebody, who may never come: what a job publishes does not wait for that, too."""
LOOK_SECONDS = 10.0
"""So often the pods of a version that is not ready are looked at, where nothing else happens."""


def plan(situation: Situation) -> Plan:
    """What is to be done now."""
    book = Book(situation.name, situation.status, situation.now)
    book.published = offers.newest(book.published, situation.offers)
    load, scaling = autoscale.follow(situation, book), autoscale.by_load(situation.spec)
    following = _move(situation, book)
    if following.reads:
        look_at = frozenset(() if following.look_at is None else (following.look_at,))
        return Plan(situation.status, verify=following.verify, look_at=look_at)
    book.share()
    _count(situation, book)
    rollout.hear(situation, book)
    watched, drifting = drift.watch(situation, book), drift.follow(situation, book)
    status = say(situation, book)
    notices = (*book.notices, *_news(situation, status, book))
    if book.moved:
        return Plan(status, moved=True, wake=situation.now, notices=notices)
    replicas = _replicas(situation, book)
    return Plan(
        status,
        replicas=replicas,
        target=book.champion.number if book.champion is not None else None,
        remove=_leftover(situation, book, set(replicas)),
        route=route.told(situation, book) if replicas and _shares(situation, book) else None,
        judge=book.rollout is not None or (bool(replicas) and (scaling is not None or watched is not None)),
        load=scaling is not None,
        watch=watched,
        hold=bool(replicas) and zero.needed(situation, scaling, book),
        asleep=zero.asleep(book),
        ways=gateway.ways(situation, book),
        wake=_earliest(
            following.wake, load.wake, drifting.wake, backend.next_look(situation, book), *_retries(situation)
        ),
        notices=notices,
    )


def _move(situation: Situation, book: Book) -> Next:
    """Move the versions, as far as the spec and what is seen ask for it; what is to be read for that, and when next."""
    spec = situation.spec
    if spec is None:
        return _fall_back(situation, book)
    if spec.suspend:
        return _suspended(situation, spec, book)
    if situation.status.phase == "Suspended":
        _resume(situation, book)
    source, server = _wanted(spec, book)
    _withdraw(situation, spec, book, source, server)
    rollout.follow(situation, book)
    rollout.lower(situation, spec, book)
    wakes: list[float | None] = []
    for judge in (_judge_candidate, _bake, _go_back):
        asked = judge(situation, spec, book)
        if asked.reads:
            return asked
        wakes.append(asked.wake)
    wakes.append(rollout.settle(situation, spec, book).wake)
    _begin(situation, spec, book, source, server)
    rollout.begin(situation, spec, book)
    route.number(situation, book)
    rejected = _rejected(book, source, server)
    book.trim(spec.versions.keep, {spec.versions.pin, rejected.name if rejected is not None else None})
    return Next(wake=_earliest(*wakes))


def _fall_back(situation: Situation, book: Book) -> Next:
    """Without a spec to go by nothing moves, but what the judge found to fail."""
    _fail_candidate(situation, book)
    waits = _fail_champion(situation, book)
    settling = rollout.settle(situation, None, book)
    route.number(situation, book)
    return Next(wake=_earliest(settling.wake, waits.wake if waits is not None else None))


def _suspended(situation: Situation, spec: ModelDeploymentSpec, book: Book) -> Next:
    """Nothing moves, but a champion that fails while it bakes: clients would have its errors for as long as that."""
    if book.previous is None and book.rollout is None:
        return Next()
    found = _fail_champion(situation, book) or _crash_champion(situation, book)
    if found.reads:
        return found
    if book.moved or (book.rollout is not None and book.rollout.stage == "Ending"):
        found = Next(wake=_earliest(found.wake, rollout.settle(situation, spec, book).wake))
        route.number(situation, book)
    return found


def _resume(situation: Situation, book: Book) -> None:
    """What was suspended has all the time again that it may take."""
    now = to_text(situation.now)
    if book.candidate is not None:
        book.put(book.candidate.model_copy(update={"waiting_since": now}))
    if book.rollout is not None and book.rollout.stage == "Splitting":
        book.rollout = book.rollout.model_copy(update={"since": now})


def _halted(situation: Situation) -> str:
    """What the status says of the rollout so far, in a word."""
    return next((each.reason for each in situation.status.conditions if each.type == "Progressing"), "")


def _news(situation: Situation, status: ModelDeploymentStatus, book: Book) -> list[Notice]:
    """A rollout that has come to a halt says so once."""
    now = next(each for each in status.conditions if each.type == "Progressing")
    if now.reason == _halted(situation) or now.reason not in HALTED:
        return []
    return [Notice(now.reason, now.message, now.reason == "Stalled", str(book.last_number))]


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


def _withdraw(
    situation: Situation, spec: ModelDeploymentSpec, book: Book, source: ModelSource | None, server: Server
) -> None:
    """A candidate that is not wanted any more goes at once.

    It only waits until one that has a share of the requests is judged, or waits for more than requests, if the newer
    one was published by a job: these may come faster than a rollout can judge, and then none would ever be.
    """
    candidate = book.candidate
    if candidate is None or _is(candidate, source, server):
        return
    shares = book.rollout is not None and book.rollout.stage == "Splitting" and _halted(situation) not in HALTED
    asked_for = spec.versions.source is not None or spec.versions.pin is not None or candidate.server != server
    if asked_for or not shares:
        book.withdraw("another one is wanted by now" if not spec.versions.pin else f"{spec.versions.pin} is pinned")


def _begin(
    situation: Situation, spec: ModelDeploymentSpec, book: Book, source: ModelSource | None, server: Server
) -> None:
    if source is None or (book.rollout is not None and book.rollout.stage == "Ending"):
        return
    if book.candidate is not None or (book.champion is not None and _is(book.champion, source, server)):
        return
    rejected = _rejected(book, source, server)
    if rejected is not None and rejected.name not in spec.versions.retry:
        return
    if backend.lacking(situation, server) is not None:
        # No fault of the version, which would be rejected for it in the end.
        return
    image = server.image or situation.defaults.image
    if image is not None:
        word = situation.rollout.verdict if situation.rollout is not None else None
        seen = max([0, *situation.workloads, *situation.fronts])
        book.begin(source, server, image, seen, word.rollout if word is not None else 0)


def _judge_candidate(situation: Situation, spec: ModelDeploymentSpec, book: Book) -> Next:
    """Promote the candidate, have it go on, reject it, or wait."""
    candidate = book.candidate
    if candidate is None or _fail_candidate(situation, book):
        return Next()
    refusal = trouble.refused(situation, candidate.number)
    if spec.versions.abort == candidate.name:
        book.reject("Aborted", "spec.versions.abort names it")
        return Next()
    if refusal is not None and refusal.kind == "Invalid":
        book.reject("Invalid", trouble.waiting_for(situation, candidate.number, autoscale.pods(spec, book).first))
        return Next()
    workload = situation.workloads.get(candidate.number)
    if workload is None or not workload.complete or workload.desired != autoscale.pods(spec, book).first:
        return _wait_for(situation, spec, book, candidate)
    book.put(candidate.model_copy(update={"waiting_since": None, "message": None}))
    if rollout.splits(spec, book):
        return rollout.advance(situation, spec, book, candidate)
    return rollout.promote(situation, spec, book)


def _fail_candidate(situation: Situation, book: Book) -> bool:
    """What the judge has found to fail goes, whatever else is the case."""
    failed = verdict.failure(situation, book.candidate.number) if book.candidate is not None else None
    if failed is None:
        return False
    book.reject(*failed)
    return True


def _wait_for(situation: Situation, spec: ModelDeploymentSpec, book: Book, candidate: Version) -> Next:
    """A candidate that is not ready, or not any more: hopeless, too late, or to be looked at again."""
    number, now = candidate.number, situation.now
    if number not in situation.pods:
        return Next(look_at=number)
    most, since = spec.rollout.progress_deadline_seconds, candidate.waiting_since or to_text(now)
    deadline = (to_seconds(since) or now) + most
    lacking = backend.lacking(situation, candidate.server)
    said = lacking[1] if lacking else trouble.waiting_for(situation, number, autoscale.pods(spec, book).first)
    crash = trouble.crash(situation.pods.get(number, ()))
    if crash is not None:
        book.reject("Crash", crash)
    elif now >= deadline and lacking is None and not _lacks_room(situation, book, candidate):
        book.reject("NotReady", f"not ready within {most} s: {said}")
    else:
        book.put(candidate.model_copy(update={"message": said, "waiting_since": since}))
        return Next(wake=min(deadline, now + LOOK_SECONDS) if now < deadline else now + LOOK_SECONDS)
    return Next()


def _lacks_room(situation: Situation, book: Book, candidate: Version) -> bool:
    """Whether more pods are asked for than the cluster has room for, which is no fault of a version that has shown that
    it can be ready: it is in one of its steps, or the version that answers lacks pods, too."""
    if not trouble.lacks_room(situation.pods.get(candidate.number, ())):
        return False
    rollout_, champion = book.rollout, book.champion
    if rollout_ is not None and rollout_.stage == "Splitting" and rollout_.number == candidate.number:
        return True
    own, old = situation.workloads.get(candidate.number), situation.workloads.get(champion.number if champion else 0)
    return own is not None and own.ready > 0 and old is not None and 0 < old.ready < old.desired


def _bake(situation: Situation, spec: ModelDeploymentSpec, book: Book) -> Next:
    """Go back to the version before, if the champion fails while that has its pods; take these away in the end."""
    champion, previous, now = book.champion, book.previous, situation.now
    if champion is None or previous is None:
        return Next()
    failed = _fail_champion(situation, book)
    if failed is not None:
        return failed
    over = (to_seconds(champion.since) or now) + spec.rollout.bake_seconds
    if now >= over:
        book.retire_previous()
        return Next()
    crashed = _crash_champion(situation, book)
    return crashed if crashed.reads else Next(wake=_earliest(over, crashed.wake))


def _crash_champion(situation: Situation, book: Book) -> Next:
    """A champion that bakes and crashes gives its place back, as long as the version before it has its pods."""
    champion, previous = book.champion, book.previous
    if champion is None or previous is None:
        return Next()
    workload, before = situation.workloads.get(champion.number), situation.workloads.get(previous.number)
    if workload is None or workload.complete or before is None or before.ready == 0:
        return Next()
    if champion.number not in situation.pods:
        return Next(look_at=champion.number)
    crash = trouble.crash(situation.pods[champion.number])
    if crash is not None:
        book.return_to_previous("Crash", crash)
    return Next(wake=situation.now + LOOK_SECONDS)


def _fail_champion(situation: Situation, book: Book) -> Next | None:
    """A champion that bakes and is found to fail gives its place back; None where none is."""
    champion, previous = book.champion, book.previous
    failed = verdict.failure(situation, champion.number) if champion is not None and previous is not None else None
    if previous is None or failed is None:
        return None
    before = situation.workloads.get(previous.number)
    if before is None or before.ready == 0:
        return Next(wake=situation.now + LOOK_SECONDS)
    book.return_to_previous(*failed)
    return Next()


def _go_back(situation: Situation, spec: ModelDeploymentSpec, book: Book) -> Next:
    """The version before the champion is wanted again, and can answer at once."""
    previous = book.previous
    if previous is None or book.candidate is not None or not _is(previous, *_wanted(spec, book)):
        return Next()
    workload = situation.workloads.get(previous.number)
    if workload is None or not workload.complete:
        return Next()
    if not situation.verified:
        return Next(verify=True)
    book.swap()
    return Next()


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
            wanted[version.number] = _pods(spec, book, version)
    if spec is None or spec.rollout.recreate is None or candidate is None or champion is None:
        return wanted
    # The candidate has the room to itself: the champion's pods go first, and come back if it is rejected.
    wanted[champion.number] = 0
    old = situation.workloads.get(champion.number)
    if old is None or old.replicas or old.desired or not old.seen:
        del wanted[candidate.number]
    return wanted


def _pods(spec: ModelDeploymentSpec | None, book: Book, version: Version) -> int:
    if spec is None:
        return max(1, version.replicas.desired)
    found = autoscale.pods(spec, book)
    return found.first if version.name == book.candidate_name else found.whole


def _shares(situation: Situation, book: Book) -> bool:
    """Whether versions share requests, or may once the next one comes, or servers tell of their load or of drift: else
    servers need not be told anything."""
    spec = situation.spec
    if book.rollout is not None or spec is None:
        return True
    return spec.rollout.split is not None or autoscale.by_load(spec) is not None or spec.monitoring is not None


def _leftover(situation: Situation, book: Book, wanted: set[int]) -> tuple[int, ...]:
    """The versions whose objects have no use any more.

    What clients are sent to stays, whatever the status says: it may have been lost, or the change that leads them to
    another version may have been refused.
    """
    there = {number for number in (*situation.workloads, *situation.fronts) if number > 0}
    places = {version.number for version in (book.champion, book.candidate, book.previous) if version is not None}
    if book.rollout is not None:
        places.add(book.rollout.number)
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
