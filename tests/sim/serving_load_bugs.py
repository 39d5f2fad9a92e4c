"""Bugs that are planted into what has a ModelDeployment's pods follow the load, down to none and back."""

from __future__ import annotations

from headway_operator.serving import steps
from headway_operator.serving.plan import autoscale, decide, load, scaling, zero
from sim.bugs import Bug

BUGS = (
    Bug(
        "an old word about the load counts for ever",
        0,
        "nothing was heard of the load",
        ((load.heard, "situation.now - record.load_heard <= FRESH_SECONDS", "True"),),
    ),
    Bug(
        "nobody heard is taken for nothing in flight",
        0,
        "nothing was heard of the load",
        (
            (load.seen_of, "if workload is None or of is None:", "if workload is None:"),
            (load.seen_of, "in_flight=of.in_flight, servers=of.servers", "in_flight=0.0, servers=1"),
        ),
    ),
    Bug(
        "pods go in the middle of a rollout",
        0,
        "while versions change places",
        (
            (
                load.moving,
                "book.candidate is not None or book.previous is not None or book.rollout is not None",
                "False",
            ),
        ),
    ),
    Bug(
        "what was asked for lately is forgotten",
        0,
        "lately more were asked for",
        ((scaling.scaled, "max((asked, *(each.replicas for each in recent)))", "asked"),),
    ),
    Bug(
        "more pods than max are made",
        0,
        "were asked for",
        ((autoscale._within, "min(max(replicas, wanted.min), wanted.max)", "max(replicas, wanted.min)"),),
    ),
    Bug(
        "a step up has no bound",
        0,
        "pods at once",
        ((scaling.scaled, "min(asked, STEP * max(desired, 1))", "asked"),),
    ),
    Bug(
        "pods are made as spec.replicas says, whatever the load",
        0,
        "in the end there are the Deployments",
        ((autoscale.pods, "Pods(known.desired,", "Pods(spec.replicas,"),),
    ),
    Bug(
        "the judge goes with the rollout",
        0,
        "in the end there are the Deployments",
        ((decide.plan, "or (bool(replicas) and (scaling is not None or watched is not None))", ""),),
    ),
    Bug(
        "the last pods go by a word from before clients were held",
        4,
        "nobody has said that none asks",
        ((zero._falling, " or record.load_heard < since + LOOK_SECONDS", ""),),
    ),
    Bug(
        "the last pods go before all nodes know that clients are held",
        4,
        "s after clients are sent to the holder",
        ((zero._falling, "situation.now < since + SETTLE_SECONDS or ", ""),),
    ),
    Bug(
        "requests that are held are forgotten",
        4,
        "requests are held, and no pod is to be made",
        ((zero._asleep, "load.held if load is not None else 0", "0"),),
    ),
    Bug(
        "clients stay with the holder though pods are ready",
        2,
        "pods are ready, and clients are sent to the holder",
        ((zero._waking, "if answers(situation, book):", "if False:"),),
    ),
    Bug(
        "clients are sent to the holder whether or not it is there",
        22,
        "are its bound",
        ((zero._fall, "_holds(situation, load)", "True"),),
    ),
    Bug(
        "the last pods go though the holder has died",
        22,
        "and no holder is heard",
        ((zero._falling, " or not holds", ""),),
    ),
    Bug(
        "nobody is ever sent to the holder",
        2,
        "in the end 0 requests are asked at a time",
        ((steps._Maker.clients, "plan.asleep and 0 in", "False and 0 in"),),
    ),
)
