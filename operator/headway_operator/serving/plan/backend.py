"""Who makes the pods of a version: what the cluster has to have for it, and when to count pods that nobody tells of."""

from __future__ import annotations

from headway_api.served import Server
from headway_operator.serving.plan.book import Book
from headway_operator.serving.plan.model import Situation

MOVING_SECONDS = 10.0
"""Between two looks at pods that KServe has made, while a version is on its way or lacks pods."""
STEADY_SECONDS = 60.0
"""The same, while all are there: a pod that is lost then is missing in the status for so long at most."""


def lacking(situation: Situation, server: Server) -> tuple[str, str] | None:
    """What there has to be for the pods of such a server, and is not: a reason and a sentence."""
    has = situation.kserve
    if server.backend is None or has.served:
        return None
    if not has.enabled:
        return (
            "NotEnabled",
            "server.backend is kserve, and the operator has no right to make InferenceServices: set kserve.enabled in"
            " the chart's values, or take backend out",
        )
    return (
        "NotServed",
        "server.backend is kserve, and the API server does not serve inferenceservices of serving.kserve.io/v1beta1:"
        " install KServe, or take backend out",
    )


def next_look(situation: Situation, book: Book) -> float | None:
    """When to count the pods of InferenceServices again, if there are any."""
    numbers = {each.number for each in (book.champion, book.candidate, book.previous) if each is not None}
    counted = [each for number, each in situation.workloads.items() if each.kserve and number in numbers]
    if not counted:
        return None
    steady = book.candidate is None and book.previous is None and all(each.complete for each in counted)
    return situation.now + (STEADY_SECONDS if steady else MOVING_SECONDS)
