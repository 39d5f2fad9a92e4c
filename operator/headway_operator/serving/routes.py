"""From HTTPRoutes and GRPCRoutes as the API server sends them to the small records that decisions rest on. Pure.

What is read is what is rendered (`render/gateway.py`), with what the API server fills in, and with whatever else others
have put beside it that leads no request elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from headway_api.rollout_wire import ROUTE_HEADER
from headway_operator.engine.keys import controller_of
from headway_operator.engine.kube import Object
from headway_operator.engine.text import bounded
from headway_operator.serving import names
from headway_operator.serving.identity import identity
from headway_operator.serving.plan.model import Backend, GatewayRoute, Parent, RouteSpec, Rules, Taken

MOST_PARENTS = 32
"""As the Gateway API has it."""
MOST_BACKENDS = 16
WORDS_LIMIT = 300
NAME_LIMIT = 253
_REWRITE, _HEADERS = "URLRewrite", "RequestHeaderModifier"
ELSEWHERE = ("RequestMirror", "RequestRedirect")
"""Filters by which requests, or copies of them, go elsewhere: none of these is ours, and none is left."""


def route(body: Object, _: GatewayRoute | None, __: float) -> GatewayRoute | None:
    """An HTTPRoute or a GRPCRoute."""
    controller = controller_of(body)
    meta, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
    if controller is None or meta["name"] != names.route_name(controller.key.name):
        return None
    said = RouteSpec(
        parents=tuple(_parent(each) for each in (spec.get("parentRefs") or ())[:MOST_PARENTS]),
        hostnames=tuple(str(each)[:NAME_LIMIT] for each in (spec.get("hostnames") or ())[:MOST_PARENTS]),
        rules=_rules(spec.get("rules") or ()),
    )
    return GatewayRoute(
        **identity(body, controller),
        said=said,
        taken=tuple(_taken(each) for each in (status.get("parents") or ())[:MOST_PARENTS]),
    )


def _parent(ref: Mapping[str, Any]) -> Parent:
    kind, name, port = ref.get("kind", "Gateway"), str(ref.get("name")), ref.get("port")
    return Parent(
        name=(name if kind == "Gateway" else f"{kind}/{name}")[:NAME_LIMIT],
        namespace=str(ref.get("namespace") or "")[:NAME_LIMIT],
        section=str(ref.get("sectionName") or "")[:NAME_LIMIT],
        port=port if isinstance(port, int) else 0,
    )


def _rules(rules: Iterable[Mapping[str, Any]]) -> Rules | None:
    """What one rule says; None where it is not one that is made here."""
    found = list(rules)
    if len(found) != 1:
        return None
    [rule] = found
    prefix, filters = _prefix(rule.get("matches") or ()), _filters(rule.get("filters") or ())
    backends = [_backend(each) for each in rule.get("backendRefs") or ()]
    known = [each for each in backends if each is not None]
    if prefix is None or filters is None or not 0 < len(known) == len(backends) <= MOST_BACKENDS:
        return None
    rewritten, stamp = filters
    return Rules(tuple(known), prefix, stamp) if rewritten == (prefix != "/") else None


def _prefix(matches: Iterable[Mapping[str, Any]]) -> str | None:
    found: list[Mapping[str, Any]] = list(matches)
    if not found:
        return "/"  # of a GRPCRoute, which matches all
    path = found[0].get("path") if len(found) == 1 and len(found[0]) == 1 else None
    if not isinstance(path, Mapping):
        return None
    return str(path.get("value"))[:WORDS_LIMIT] if path.get("type") == "PathPrefix" else None


def _filters(filters: Iterable[Mapping[str, Any]]) -> tuple[bool, str] | None:
    """Whether the prefix is taken off, and the stamp; None where requests are led elsewhere.

    Others may add filters of their own, as a webhook does that puts authentication in front of all routes: it would do
    so again after each change, and they are no reason for one.
    """
    rewritten, stamp = False, ""
    for each in filters:
        path = (each.get("urlRewrite") or {}).get("path") or {}
        headers: list[Any] = (each.get("requestHeaderModifier") or {}).get("set") or []
        if each.get("type") in ELSEWHERE or (each.get("type") == _REWRITE and path.get("replacePrefixMatch") != "/"):
            return None
        rewritten = rewritten or each.get("type") == _REWRITE
        stamps = [header.get("value") for header in headers if header.get("name") == ROUTE_HEADER]
        if each.get("type") == _HEADERS and stamps:
            stamp = str(stamps[0])[:WORDS_LIMIT]
    return rewritten, stamp


def _backend(ref: Mapping[str, Any]) -> Backend | None:
    name, port, weight = ref.get("name"), ref.get("port"), ref.get("weight", 1)
    ours = ref.get("kind", "Service") == "Service" and not ref.get("namespace") and not ref.get("filters")
    if not ours or not isinstance(name, str) or not isinstance(port, int) or not isinstance(weight, int):
        return None
    return Backend(name[:NAME_LIMIT], port, weight)


def _taken(entry: Mapping[str, Any]) -> Taken:
    """What one controller says of the route at one parent: the worse of its two conditions."""
    conditions = {each.get("type"): each for each in entry.get("conditions") or ()}
    both = [conditions.get(kind) or {} for kind in ("Accepted", "ResolvedRefs")]
    ranks = {"False": 0, "True": 2}
    worse = min(both, key=lambda condition: ranks.get(str(condition.get("status")), 1))
    status = str(worse.get("status"))
    return Taken(
        parent=_parent(entry.get("parentRef") or {}),
        accepted=status if status in ranks else "Unknown",
        reason=_word(worse.get("reason")),
        message=bounded(str(worse.get("message") or ""), WORDS_LIMIT),
    )


def _word(reason: object) -> str:
    """A reason as conditions have it: whoever wrote the status may have written anything."""
    word = "".join(letter for letter in str(reason or "") if letter.isascii() and letter.isalnum())[:64]
    return word or "Pending"
