"""What keeps a step of a rollout from being over, in a sentence that says what to do."""

from __future__ import annotations

from headway_api.deployment_status import RolloutStatus
from headway_api.rollout_wire import Verdict, query_gate
from headway_operator.serving import names
from headway_operator.serving.plan import gateway, verdict
from headway_operator.serving.plan.model import Situation, Workload


def obstacle(situation: Situation, rollout: RolloutStatus) -> str | None:
    """Why it cannot be said yet that the candidate is good enough; None if it can."""
    stable = names.version_name(situation.name, rollout.stable)
    workload = situation.workloads.get(rollout.stable)
    unshared = _unshared(workload, stable) or gateway.obstacle(situation, rollout)
    if unshared is not None:
        return unshared
    word = verdict.heard(situation, rollout)
    if (word is None or word.servers == 0) and workload is not None and workload.desired > workload.ready == 0:
        return (
            f"none of the pods of version {stable} is ready, and it is they that share requests: if they will not be"
            " again, set rollout to blueGreen for this one version"
        )
    if word is None:
        return _silent(situation, rollout)
    unled = _unled(word, stable) or _unasked(situation, word)
    if unled is not None or word.verdict == "pass":
        return unled
    needed = situation.spec.rollout.analysis.min_requests if situation.spec is not None else 0
    short = f"it has answered {word.candidate_requests} of {needed} requests"
    if not word.queries:
        return short
    return word.queries if word.candidate_requests >= needed else f"{short}; {word.queries}"


def _unshared(workload: Workload | None, stable: str) -> str | None:
    """Why servers of the stable version share no requests, as far as their Deployment tells."""
    if workload is not None and not workload.reports:
        return (
            f"servers of version {stable} cannot share requests, as an older operator has made them: set rollout to"
            " blueGreen for this one version"
        )
    return None


def _unasked(situation: Situation, word: Verdict) -> str | None:
    """What the judge says passes a version only if it has asked all queries: one of an older image knows of none."""
    asked = {gate.name for gate in word.gates}
    queries = situation.spec.rollout.analysis.queries if situation.spec is not None else []
    missing = next((query.name for query in queries if query_gate(query.name) not in asked), None)
    if missing is None:
        return None
    return (
        f"the judge {names.judge_name(situation.name, situation.uid)} does not ask the query {missing}: its image is"
        " from before there were queries"
    )


def _unled(word: Verdict, stable: str) -> str | None:
    """Why it does not get the share that it should have."""
    if word.servers == 0:
        return f"no server of version {stable} reports to the judge"
    if word.following < word.servers:
        return f"{word.following} of {word.servers} servers of version {stable} keep to it"
    if word.breakers:
        return (
            f"{word.breakers} of {word.servers} servers send it nothing for a while, as it failed several times running"
        )
    return None


def _silent(situation: Situation, rollout: RolloutStatus) -> str:
    name = names.judge_name(situation.name, situation.uid)
    refusal, judge = situation.refusals.get(name), situation.judge
    if refusal is not None:
        return f"an object of the judge {name} is refused: {refusal.message}"
    if judge is None or judge.ready == 0:
        return f"the judge's pod is not ready: kubectl describe deployment {name} says why"
    if verdict.of_rollout(situation, rollout.number) is None:
        return f"nothing was heard of the judge {name} about this version"
    return f"nothing new was heard of the judge {name} about this step"
