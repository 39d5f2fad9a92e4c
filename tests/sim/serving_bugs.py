"""Bugs that are planted into the operator's part for ModelDeployments, to see whether the simulation finds them.

Each has the first seed of those that find it, and words of what is said then.
"""

from __future__ import annotations

from headway_api import deployment_status
from headway_operator.engine import freshness, referrers
from headway_operator.serving import kserve, records, steps
from headway_operator.serving.plan import book, decide, gateway, offers, rollout, route, stall, verdict
from sim.bugs import Bug, planted
from sim.serving import BrokenPromiseError, play
from sim.serving_kserve import FIRST_KSERVE_SEED
from sim.serving_routes import FIRST_SEED

BUGS = (
    Bug(
        "a gateway's weight stays where nobody is ready any more",
        FIRST_SEED,
        "where nobody is ready",
        ((gateway._weight, " or workload.ready == 0", ""),),
    ),
    Bug(
        "a pod that KServe has made counts, ready or not, and KServe's word does not",
        FIRST_KSERVE_SEED,
        "was never ready",
        (
            (kserve.counted, "sum(pod.ready for pod in found)", "len(found)"),
            (kserve.workload, 'is_ready = ready.get("status") == "True"', "is_ready = True"),
        ),
    ),
    Bug(
        "where a route leads is never changed",
        FIRST_SEED,
        "the route leads",
        ((steps.render, "        maker.led_elsewhere(plan),\n", ""),),
    ),
    Bug(
        "a candidate answers before all its pods are ready",
        0,
        "was never ready",
        ((decide._judge_candidate, "not workload.complete or ", ""),),
    ),
    Bug(
        "an old word of the Deployment's controller counts for what it is to be now",
        0,
        "was never ready",
        (
            (
                records.workload,
                'count(status.get("observedGeneration")) >= count(meta.get("generation")) > 0',
                "True",
            ),
            (records.workload, "ready=min(updated, ready)", 'ready=count(spec.get("replicas"))'),
        ),
    ),
    Bug(
        "what was rejected is tried again and again",
        0,
        "nobody has asked for another try",
        ((decide._begin, "rejected is not None and rejected.name not in spec.versions.retry", "False"),),
    ),
    Bug(
        "the version before the champion keeps its share",
        0,
        "the weights are",
        ((book.Book._set, 'state == "Champion"', 'state in ("Champion", "Previous")'),),
    ),
    Bug(
        "the clients' Service is left as it is",
        0,
        "in the end clients are sent to",
        ((steps.render, "        maker.clients(plan),\n", ""),),
    ),
    Bug(
        "the number of a version is given a second time",
        0,
        "was rejected, and is",
        (
            (
                book.Book.begin,
                "max(self.last_number, beyond, *(version.number for version in self.versions), 0) + 1",
                "1",
            ),
        ),
    ),
    Bug(
        "a candidate that is not ready is waited for without end",
        0,
        "is still on its way",
        ((decide._wait_for, "now >= deadline", "False"),),
    ),
    Bug(
        "a step is over whatever the judge has said of it",
        0,
        "goes on, and the judge has said of epoch",
        ((stall.obstacle, 'unled is not None or word.verdict == "pass"', "True"),),
    ),
    Bug(
        "a word about an earlier step counts for this one",
        0,
        "servers send it requests",
        ((verdict.heard, " or verdict.epoch != rollout.epoch", ""),),
    ),
    Bug(
        "a step is over although servers do not keep to it",
        76,
        "servers keep to its share",
        (
            (stall._unled, "word.following < word.servers", "False"),
            (rollout.follow, "if verdict.followed(situation, rollout)", "if True"),
        ),
    ),
    Bug(
        "what fails goes on while its pods are ready",
        21,
        "is found to fail",
        ((decide._judge_candidate, "candidate is None or _fail_candidate(situation, book)", "candidate is None"),),
    ),
    Bug(
        "servers are told before the status has a number for it",
        0,
        "and the status has",
        (
            (
                decide.plan,
                "        return Plan(status, moved=True, wake=situation.now, notices=notices)\n",
                "        pass\n",
            ),
        ),
    ),
    Bug(
        "another route has the number of the one before",
        44,
        "works without end",
        ((route.number, "max(known.epoch, seen.epoch if seen is not None else 0) + 1", "max(known.epoch, 1)"),),
    ),
    Bug(
        "nobody has to approve",
        55,
        "and nobody has approved",
        ((rollout.promote, 'spec.rollout.approval == "manual"', "False"),),
    ),
    Bug(
        "a rollout that is given up ends before servers know",
        0,
        "and servers send it requests",
        (
            (
                rollout.settle,
                "situation.now >= over or (",
                "True or (",
            ),
        ),
    ),
    Bug(
        "a promoted version bakes without end",
        1,
        "works without end",
        ((decide._bake, "now >= over", "False"),),
    ),
    Bug(
        "the candidate's share is not taken from the champion's",
        0,
        "the weights are",
        ((book.Book.share, "100 - weight", "100"),),
    ),
    Bug(
        "whatever is wanted goes to all clients without a step",
        0,
        "without any step",
        ((decide._judge_candidate, "rollout.splits(spec, book)", "False"),),
    ),
    Bug(
        "the version before the champion gives its pods back before that has baked",
        0,
        "gives its pods back after",
        ((decide._bake, "now >= over", "now >= over - 15"),),
    ),
    Bug(
        "a status that a newer operator has written is not read",
        0,
        "is still on its way",
        ((deployment_status._known, 'item.get("type", types[0]) in types', "True"),),
    ),
    Bug(
        "the newest model is forgotten with its job",
        0,
        "goes back",
        ((decide.plan, "offers.newest(book.published,", "offers.newest(None,"),),
    ),
    Bug(
        "whichever model is seen last is the newest",
        0,
        "goes back",
        ((offers.newest, "best.order <= _order(known)", "best.uid == known.uid"),),
    ),
    Bug(
        "what a job said last is lost when it is deleted",
        41,
        "is taken for the newest",
        ((referrers.Referrers._keep, "if self._there(key)", "if False"),),
    ),
    Bug(
        "of a job that is deleted at once its last state is not looked at",
        32,
        "is taken for the newest",
        (
            (
                referrers.Referrers.see,
                "last = self._read(resource, referrer, body)",
                "last = getattr(table.get(own, own.name), 'said', None)",
            ),
        ),
    ),
    Bug(
        "what a watch owes is settled only by what comes after it",
        0,
        "are still to show what was written",
        ((freshness.Freshness.shown, "newest >= owed[0]", "newest > owed[0]"),),
    ),
    Bug(
        "a job that has not succeeded has published, too",
        0,
        "was never offered",
        ((records.offer, 'status.get("phase") != "Succeeded"', "False"),),
    ),
    Bug(
        "the spec's model is tried only where no job has published one",
        0,
        "does not answer and was not rejected",
        (
            (
                offers.wanted,
                "spec.versions.source or (published.source if published is not None else None)",
                "published.source if published is not None else spec.versions.source",
            ),
        ),
    ),
)


def found(bug: Bug, worlds: int, *, loaded: bool = False) -> None:
    """With the bug one of so many worlds breaks a promise, in the bug's words; without it the same world keeps all."""
    said: list[str] = []
    with planted(bug):
        for seed in range(bug.seed, bug.seed + worlds):
            try:
                play(seed, loaded=loaded)
            except BrokenPromiseError as error:
                said.append(str(error).splitlines()[0])
                if bug.says in said[-1]:
                    break
        else:
            raise AssertionError(f"not found; what was said: {set(said)}")
    play(seed, loaded=loaded)
