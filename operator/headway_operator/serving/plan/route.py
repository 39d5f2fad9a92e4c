"""What servers are told of shares: it follows from the status and the spec, and each change of it has its own number.

The number is written into the status before anything is told, so what was told can always be told again.
"""

from __future__ import annotations

import hashlib

from headway_api.deployment import ModelDeploymentSpec
from headway_api.deployment_status import RolloutStatus, RouteStatus
from headway_api.queries import Query, filled
from headway_api.rollout import MIRRORED, AbTest, Agreement, Rollout, Shadow
from headway_api.rollout_wire import Analysis, QueryGate, Route, Unit
from headway_api.served import GRPC_PORT
from headway_operator.serving import names
from headway_operator.serving.plan import gateway
from headway_operator.serving.plan.book import Book
from headway_operator.serving.plan.model import Situation

DIGEST_LENGTH = 16


def number(situation: Situation, book: Book) -> None:
    """Give what servers are to be told now a number of its own, if it is not what they were told last.

    Somebody may have told them something else, by hand or as an operator that was one at the same time: that has to be
    outdone, too, as servers go by the greater number.
    """
    wanted, known = _asked(situation, book), book.route or RouteStatus()
    seen = situation.rollout.route if situation.rollout is not None else None
    if wanted is None or (situation.spec is None and wanted == seen):
        return
    if seen is not None and seen.epoch >= names.LARGEST_NUMBER:
        seen = None
    foreign = seen is not None and seen.epoch >= known.epoch and seen != _numbered(wanted, known.epoch)
    if not foreign and _digest(wanted) == (known.digest or _digest(Route(uid=situation.uid))):
        return
    epoch = max(known.epoch, seen.epoch if seen is not None else 0) + 1
    book.route = RouteStatus(epoch=epoch, digest=_digest(wanted))
    book.moved = True
    if book.rollout is not None:
        anew = {
            "epoch": epoch,
            "followed_since": None,
            "judged_since": None,
            "stable_requests": 0,
            "candidate_requests": 0,
        }
        book.rollout = book.rollout.model_copy(update=anew)


def told(situation: Situation, book: Book) -> Route | None:
    """What servers are to be told, as far as the status has a number for it."""
    known, wanted = book.route or RouteStatus(), _asked(situation, book)
    if wanted is not None and _digest(wanted) == (known.digest or _digest(Route(uid=situation.uid))):
        return _numbered(wanted, known.epoch)
    # Nothing moves now, and the spec is not any more what that was made of: it stays as it is.
    return situation.rollout.route if situation.rollout is not None else None


def _asked(situation: Situation, book: Book) -> Route | None:
    """What servers are to be told, without its number; None where nothing says so.

    Without a spec to go by it stays what it is, but for the share of a version that is given up: that is nothing.
    """
    if situation.spec is not None:
        return _wanted(situation, situation.spec, book)
    seen = situation.rollout.route if situation.rollout is not None else None
    if seen is None or (book.rollout is not None and book.rollout.stage != "Ending"):
        return seen
    return seen.model_copy(update={"share": 0.0, "mirror": 0.0, "baking": False})


def _numbered(route: Route, epoch: int) -> Route:
    return route.model_copy(update={"epoch": epoch})


def _digest(route: Route) -> str:
    """The same as ever where there are no queries and no gateway splits: an upgrade gives no rollout another number."""
    absent = {name for name in ("queries", "gateway") if not getattr(route, name)}
    told = _numbered(route, 0).model_dump_json(exclude=absent)
    return hashlib.sha256(told.encode()).hexdigest()[:DIGEST_LENGTH]


def _wanted(situation: Situation, whole: ModelDeploymentSpec, book: Book) -> Route:
    """What the status asks for, without its number."""
    rollout, spec = book.rollout, whole.rollout
    if rollout is None:
        return Route(uid=situation.uid)
    test = spec.ab_test
    return Route(
        uid=situation.uid,
        stable=rollout.stable,
        candidate=rollout.number,
        mode=rollout.mode,
        share=_share(rollout),
        mirror=_mirror(spec, rollout),
        tolerance=(spec.analysis.agreement or Agreement(min=0.0)).tolerance,
        unit=_unit(test) if rollout.mode == "abTest" and test is not None else None,
        salt=f"{situation.uid}-{rollout.number}",
        candidate_url=f"http://{_host(situation, rollout.number)}:{names.CLIENT_PORT}",
        candidate_grpc=_grpc(situation, book, rollout.number),
        baking=rollout.stage == "Baking",
        gateway=gateway.splits(whole, rollout),
        analysis=_analysis(spec),
        queries=[_query(situation, query, rollout) for query in spec.analysis.queries],
    )


def _query(situation: Situation, query: Query, rollout: RolloutStatus) -> QueryGate:
    """A query as it is asked: with the numbers and names that its variables stand for."""
    values = {
        "candidate": rollout.number,
        "stable": rollout.stable,
        "deployment": situation.name,
        "namespace": situation.namespace,
    }
    prometheus = query.prometheus
    return QueryGate(
        name=query.name,
        url=prometheus.url,
        query=filled(prometheus.query, values),
        secret=prometheus.secret_ref.name if prometheus.secret_ref is not None else None,
        min=query.min,
        max=query.max,
        interval_seconds=query.interval_seconds,
        on_no_data=query.on_no_data,
    )


def _share(rollout: RolloutStatus) -> float:
    if rollout.stage == "Baking":
        return 1.0
    return rollout.weight / 100 if rollout.stage == "Splitting" else 0.0


def _mirror(spec: Rollout, rollout: RolloutStatus) -> float:
    if rollout.stage != "Splitting":
        return 0.0
    if isinstance(spec.split, Shadow):
        return spec.split.sample
    agreement = spec.analysis.agreement
    return 0.0 if agreement is None else agreement.sample or MIRRORED


def _unit(test: AbTest) -> Unit:
    return Unit(header=test.unit.header.lower() if test.unit.header else None, cookie=test.unit.cookie)


def _host(situation: Situation, number: int) -> str:
    return f"{names.object_name(situation.name, situation.uid, number)}.{situation.namespace}.svc"


def _grpc(situation: Situation, book: Book, number: int) -> str:
    version = next((each for each in book.versions if each.number == number), None)
    return f"{_host(situation, number)}:{GRPC_PORT}" if version is not None and version.server.grpc else ""


def _analysis(spec: Rollout) -> Analysis:
    found = spec.analysis
    limit = found.latency.max_p99_milliseconds
    return Analysis(
        alpha=found.alpha,
        min_requests=found.min_requests,
        max_error_rate=found.errors.max_rate,
        errors_not_worse=found.errors.not_worse,
        max_p99_seconds=limit / 1000 if limit is not None else None,
        latency_not_worse=found.latency.not_worse,
        min_agreement=found.agreement.min if found.agreement is not None else None,
    )
