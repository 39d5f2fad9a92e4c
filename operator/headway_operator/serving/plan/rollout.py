"""A rollout in which both versions get requests: its steps, and when each of them is over.

A step ends when its time is over since all servers keep to it, and the judge has said of this very step, a moment ago,
that enough was seen and no gate fails. Who is not heard moves nothing forward; a `fail` ends a rollout at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from headway_api.deployment import ModelDeploymentSpec
from headway_api.deployment_status import RolloutGate, RolloutStatus, Version
from headway_api.rollout import AbTest, Canary, Rollout, Shadow
from headway_api.rollout_wire import BEAT_SECONDS, Mode, Verdict
from headway_operator.engine.times import to_seconds, to_text
from headway_operator.serving.plan import gateway, stall, verdict
from headway_operator.serving.plan.book import Book
from headway_operator.serving.plan.model import Next, Situation

GRACE_SECONDS = 30.0
"""So long the pods of a version that is given up stay, if not all servers are heard to send it nothing any more."""
REASONS: dict[Mode, str] = {"canary": "Canary", "abTest": "AbTest", "shadow": "Shadow"}


@dataclass(frozen=True, slots=True)
class _Step:
    """A step as the spec has it."""

    weight: int
    min_seconds: int


def mode_of(spec: Rollout) -> Mode | None:
    """The kind of a rollout that splits requests."""
    kinds: dict[Mode, object] = {"canary": spec.canary, "abTest": spec.ab_test, "shadow": spec.shadow}
    return next((mode for mode, kind in kinds.items() if kind is not None), None)


def _steps(spec: Rollout) -> list[_Step]:
    kind = spec.split
    if kind is None:
        return []
    if isinstance(kind, Canary):
        return [_Step(each.weight, each.min_seconds) for each in kind.steps]
    return [_Step(kind.weight if isinstance(kind, AbTest) else 0, kind.min_seconds)]


def splits(spec: ModelDeploymentSpec, book: Book) -> bool:
    """Whether the candidate has to show by requests that it is good.

    The first version has nobody to be compared with. One that is pinned has answered before, and is asked for by name.
    """
    return book.champion is not None and spec.rollout.split is not None and not _asked_for(spec, book)


def next_share(spec: ModelDeploymentSpec, book: Book) -> float:
    """The greatest part of the requests that the candidate may get before more of its pods are waited for.

    It is that of the step after the present one, so that a step which begins finds the pods that it needs; and all
    requests after the last step, or where it takes none.
    """
    rollout, kind = book.rollout, spec.rollout.split
    if kind is None or not splits(spec, book):
        return 1.0
    weights = [step.weight / 100 for step in _steps(spec.rollout)]
    if isinstance(kind, Shadow):
        weights = [kind.sample]
    begun = rollout is not None and rollout.stage == "Splitting"
    number = rollout.step if rollout is not None and begun else 0
    return weights[number] if number < len(weights) else 1.0


def settle(situation: Situation, spec: ModelDeploymentSpec | None, book: Book) -> Next:
    """Have the rollout be of the versions as they stand by now; one that is given up ends as soon as servers know."""
    rollout = book.rollout
    if rollout is None:
        return Next()
    if rollout.stage == "Ending":
        over = (to_seconds(rollout.since) or situation.now) + GRACE_SECONDS
        # A gateway says of nothing that it sends requests nowhere any more; it has all the time there is.
        if situation.now >= over or (
            _by_servers(situation, spec) and _is_quiet(situation, rollout) and verdict.followed(situation, rollout)
        ):
            book.rollout = None
            book.moved = True
            return Next()
        return Next(wake=over)
    if _stands(spec, book, rollout):
        return Next()
    # One that bakes may have taken no step: it was pinned before its first.
    given_up = rollout.stage != "Preparing" and book.champion is not None and book.champion.number == rollout.stable
    book.rollout = _at(situation, rollout, stage="Ending", weight=0) if given_up else None
    book.moved = True
    return Next(wake=situation.now + GRACE_SECONDS)


def _is_quiet(situation: Situation, rollout: RolloutStatus) -> bool:
    """Whether what servers were told last gives the candidate nothing: without a valid spec they are told nothing new,
    and then keep to a share that they follow as well."""
    told = situation.rollout.route if situation.rollout is not None else None
    return told is not None and told.epoch == rollout.epoch and told.share <= 0 and told.mirror <= 0


def _by_servers(situation: Situation, spec: ModelDeploymentSpec | None) -> bool:
    """Whether servers alone send requests to a candidate, as far as is known."""
    if situation.http_route is None and situation.grpc_route is None:
        return True
    asked = gateway.of(spec)
    return spec is not None and (asked is None or asked.split == "servers")


def _stands(spec: ModelDeploymentSpec | None, book: Book, rollout: RolloutStatus) -> bool:
    """Whether a rollout is still of the versions that it is about, and of the kind that is wanted."""
    old, new = (book.previous, book.champion) if rollout.stage == "Baking" else (book.champion, book.candidate)
    if old is None or new is None or (old.number, new.number) != (rollout.stable, rollout.number):
        return False
    if rollout.stage == "Baking" or spec is None:
        return True
    return splits(spec, book) and mode_of(spec.rollout) == rollout.mode


def begin(situation: Situation, spec: ModelDeploymentSpec, book: Book) -> None:
    """The rollout of a candidate. While another version bakes, servers are busy with that, and the next one waits."""
    champion, candidate = book.champion, book.candidate
    busy = book.rollout is not None or book.previous is not None
    if busy or champion is None or candidate is None or not splits(spec, book):
        return
    book.moved = True
    book.rollout = RolloutStatus(
        version=candidate.name,
        number=candidate.number,
        stable=champion.number,
        mode=mode_of(spec.rollout) or "canary",
        stage="Preparing",
        of=len(_steps(spec.rollout)),
        since=to_text(situation.now),
    )


def follow(situation: Situation, book: Book) -> None:
    """From when all servers keep to a step's share its time counts."""
    rollout = book.rollout
    if rollout is None or rollout.stage != "Splitting" or rollout.followed_since is not None:
        return
    if verdict.followed(situation, rollout):
        book.rollout = rollout.model_copy(update={"followed_since": to_text(situation.now)})


def lower(situation: Situation, spec: ModelDeploymentSpec, book: Book) -> None:
    """A share that the spec has made smaller is made smaller at once, whatever else is the case."""
    rollout, steps = book.rollout, _steps(spec.rollout)
    if rollout is None or rollout.stage != "Splitting" or not steps or rollout.mode != mode_of(spec.rollout):
        return
    number = min(rollout.step, len(steps))
    if steps[number - 1].weight < rollout.weight or number < rollout.step:
        weight = min(steps[number - 1].weight, rollout.weight)
        book.rollout = _at(situation, rollout, step=number, of=len(steps), weight=weight)
        book.tell(
            "StepBegun", f"version {rollout.version} gets {weight} % of the requests, as the steps are others now"
        )
    elif rollout.of != len(steps):
        book.rollout = rollout.model_copy(update={"of": len(steps)})


def advance(situation: Situation, spec: ModelDeploymentSpec, book: Book, candidate: Version) -> Next:
    """A candidate whose pods are all ready goes on to its next step, is promoted, or waits."""
    rollout = book.rollout
    if rollout is None or rollout.stage == "Ending" or not _stands(spec, book, rollout) or rollout.stage == "Baking":
        book.progress = "Preparing", _waits_for(spec, book, candidate)
        return Next()
    steps = _steps(spec.rollout)
    if rollout.stage == "Preparing":
        return _enter(situation, book, rollout, steps, 1)
    now = steps[rollout.step - 1]
    if now.weight > rollout.weight:
        return _enter(situation, book, rollout, steps, rollout.step)
    over, obstacle = _over(rollout, now), stall.obstacle(situation, rollout)
    if obstacle is None and over is not None and situation.now >= over:
        if rollout.step < len(steps):
            return _enter(situation, book, rollout, steps, rollout.step + 1)
        if rollout.judged_since is None:
            book.rollout = rollout.model_copy(update={"judged_since": to_text(situation.now)})
        return promote(situation, spec, book)
    return _wait(situation, spec, book, obstacle)


def promote(situation: Situation, spec: ModelDeploymentSpec, book: Book) -> Next:
    """What has shown all that is asked for takes the champion's place, unless somebody has to agree first."""
    candidate, rollout = book.candidate, book.rollout
    if candidate is None:
        return Next()
    if spec.rollout.approval == "manual" and spec.versions.approve != candidate.name and not _asked_for(spec, book):
        says = f"version {candidate.name} may answer alone once spec.versions.approve names it"
        share = f"; until then it gets {_gets(rollout)}" if rollout is not None else ""
        book.progress = "AwaitingApproval", says + share
        return Next()
    if not situation.verified:
        return Next(verify=True)
    keep = spec.rollout.bake_seconds > 0
    book.promote(keep=keep)
    if keep and rollout is not None and rollout.number == candidate.number:
        book.rollout = _at(situation, rollout, stage="Baking", weight=100)
    return Next()


def _asked_for(spec: ModelDeploymentSpec, book: Book) -> bool:
    """Whether the candidate is a version that somebody has pinned, which is as good as to approve of it."""
    pinned, candidate = book.get(spec.versions.pin), book.candidate
    if pinned is None or candidate is None or pinned.state not in ("Previous", "Retired"):
        return False
    return (candidate.source, candidate.server) == (pinned.source, pinned.server)


def _enter(situation: Situation, book: Book, rollout: RolloutStatus, steps: list[_Step], number: int) -> Next:
    """A share is raised only while all of the candidate's pods are ready, as the API server has them now."""
    if not situation.verified:
        return Next(verify=True)
    weight = steps[number - 1].weight
    entered = _at(situation, rollout, stage="Splitting", step=number, of=len(steps), weight=weight)
    book.rollout = entered
    book.tell("StepBegun", f"version {rollout.version} gets {_gets(entered)}: step {number} of {len(steps)}")
    return Next()


def _at(situation: Situation, rollout: RolloutStatus, **change: Any) -> RolloutStatus:
    """The rollout at another stage or step, of which nothing is known yet."""
    since = to_text(situation.now)
    unknown = {"followed_since": None, "judged_since": None, "message": None}
    return rollout.model_copy(update={"since": since, **unknown, **change})


def _waits_for(spec: ModelDeploymentSpec, book: Book, candidate: Version) -> str:
    if book.previous is not None:
        return (
            f"version {candidate.name} is ready, and waits until version {book.champion_name} has baked for"
            f" {spec.rollout.bake_seconds} s; a smaller bakeSeconds ends that sooner"
        )
    return f"version {candidate.name} is ready, and waits until servers know of no earlier rollout any more"


def _over(rollout: RolloutStatus, step: _Step) -> float | None:
    """When a step has lasted as long as it has to; None where servers do not keep to it yet."""
    since = to_seconds(rollout.followed_since)
    return since + step.min_seconds if since is not None else None


def _wait(situation: Situation, spec: ModelDeploymentSpec, book: Book, obstacle: str | None) -> Next:
    """Say what a step waits for; one that has waited too long is told, or given up."""
    rollout = book.rollout
    if rollout is None:
        return Next()
    step = _steps(spec.rollout)[rollout.step - 1]
    least, over = step.min_seconds, _over(rollout, step)
    began, test = to_seconds(rollout.since) or situation.now, spec.rollout.ab_test
    most = test.max_seconds if test is not None else least + spec.rollout.step_deadline_seconds
    says = f"version {rollout.version} gets {_gets(rollout)} (step {rollout.step} of {rollout.of})"
    if obstacle is None:
        book.progress = REASONS[rollout.mode], f"{says}, for {least} s at least"
    elif situation.now >= began + most and rollout.judged_since is None:
        waited = f"{says}, and could not be judged within {most} s: {obstacle}"
        if test is not None or spec.rollout.on_stall == "rollback":
            book.reject("Stalled", waited)
        else:
            book.progress = "Stalled", waited
    elif situation.now >= (over or began + least):
        book.progress = "WaitingForData", f"{says}: {obstacle}"
    else:
        book.progress = REASONS[rollout.mode], f"{says}, for {least} s at least: {obstacle}"
    times = (began + least, began + most, over)
    return Next(wake=min((time for time in times if time is not None and time > situation.now), default=None))


def _gets(rollout: RolloutStatus) -> str:
    return f"{rollout.weight} % of the requests" if rollout.mode != "shadow" else "copies of requests"


def hear(situation: Situation, book: Book) -> None:
    """Take over what the judge has counted: at once where a gate has another verdict, and now and then otherwise."""
    rollout = book.rollout
    word = verdict.of_rollout(situation, rollout.number) if rollout is not None else None
    if rollout is None or word is None or rollout.stage not in ("Splitting", "Baking"):
        return
    last, new = to_seconds(rollout.counted), _numbers(rollout, word)
    known = [(gate.name, gate.verdict) for gate in rollout.gates]
    due = last is None or situation.now - last >= BEAT_SECONDS
    if (due or book.moved or known != [(gate.name, gate.verdict) for gate in new["gates"]]) and any(
        getattr(rollout, name) != value for name, value in new.items()
    ):
        book.rollout = rollout.model_copy(update={**new, "counted": to_text(situation.now)})


def _numbers(rollout: RolloutStatus, word: Verdict) -> dict[str, Any]:
    same = word.epoch == rollout.epoch
    gates = {
        gate.name: RolloutGate(
            name=gate.name,
            verdict=gate.verdict,
            value=_short(gate.value),
            limit=_short(gate.limit),
            evidence=_short(gate.evidence) or 0.0,
            needed=_short(gate.needed) or 0.0,
        )
        for gate in word.gates
    }
    return {
        "stable_requests": word.stable_requests if same else 0,
        "candidate_requests": word.candidate_requests if same else 0,
        "gates": list(gates.values()),
        "message": word.message or None,
    }


def _short(value: float | None) -> float | None:
    """As many digits as people read; what is no number is left out, as no status could hold it."""
    return float(f"{value:.4g}") if value is not None and math.isfinite(value) else None
