"""Asking a cluster for the facts: some 25 small requests side by side, each bounded in objects, bytes and seconds."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime

from headway_cli.cluster.doctor.facts import MOST_OBJECTS, NOTHING, RIGHTS, Facts, Right, Seen, crd_key, cut
from headway_cli.cluster.doctor.installation import OPERATOR, lease_key
from headway_cli.cluster.doctor.storage import asked_secrets
from headway_cli.cluster.errors import ClusterError, NotFoundError, UnreachedError
from headway_cli.cluster.fields import Object, at, entries, text
from headway_cli.cluster.kubectl import Call, Kubectl, is_name, parsed, read
from headway_cli.cluster.names import GROUP, MODEL_DEPLOYMENTS, TRAINING_JOBS

CALL_SECONDS = 45.0
"""Of a call; the API server has less. All begin at once, so that a busy machine is slow to begin them."""
REQUEST = "--request-timeout=10s"
_LABEL = "labelSelector=app.kubernetes.io/name=headway"
_CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_ADMISSION = "/apis/admissionregistration.k8s.io/v1"
_REVIEW = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
Calls = dict[str, Call]


def gather(
    kubectl: Kubectl,
    namespace: str,
    now: datetime,
    *,
    operator_namespace: str | None,
    own_version: str,
    known: Callable[[], Mapping[str, frozenset[str]]],
) -> Facts:
    """The facts about a cluster and one of its namespaces.

    operator_namespace: where the operator is looked for; None: everywhere. known: the fields of this version, by the
    name of their CustomResourceDefinition; it is called while the cluster answers. Raises ClusterError: UnreachedError
    where the cluster is not reached, or takes no login.
    """
    server = parsed(kubectl.run("version", "--output=json", REQUEST, seconds=CALL_SECONDS))
    with _started() as calls:
        for what, path in paths(namespace, operator_namespace).items():
            calls[what] = _raw(kubectl, path)
        rights = _ask_rights(kubectl, namespace)
        calls["your rights"] = rights
        fields = known()
        allowed, refused = _rights(rights)
        seen = _answers({what: call for what, call in calls.items() if call is not rights})
    if refused:
        seen["your rights"] = Seen(refused=refused)
    facts = Facts(namespace, now, own_version, at(server, "serverVersion") or {}, fields, seen, allowed)
    return _more(kubectl, facts)


def _more(kubectl: Kubectl, facts: Facts) -> Facts:
    """What can be asked for only when names are known."""
    seen = dict(facts.seen)
    with _started() as calls:
        for deployment in facts.items("deployments"):
            where, name = text(deployment, "metadata", "namespace"), text(deployment, "metadata", "name")
            path = f"/apis/coordination.k8s.io/v1/namespaces/{where}/leases/{name}"
            calls[lease_key(deployment)] = _raw(kubectl, path)
        names = [each for each in asked_secrets(facts) if is_name(each)]
        if names:  # just their names: nobody's credentials come here
            words = ("get", "secrets", *names, "--output=name", "--ignore-not-found", REQUEST)
            secrets = kubectl.start(*words, seconds=CALL_SECONDS)
            calls["secrets"] = secrets
            seen["secrets"] = _names(secrets)
        seen |= {what: _seen(call)[0] for what, call in calls.items() if what != "secrets"}
    return dataclasses.replace(facts, seen=seen)


def paths(namespace: str, operator_namespace: str | None) -> dict[str, str]:
    """What is asked for; the name before is shown to people where it is refused."""
    here = f"/api/v1/namespaces/{namespace}"
    system = f"/namespaces/{operator_namespace}" if operator_namespace is not None else ""
    few = f"limit={MOST_OBJECTS}"
    return {
        TRAINING_JOBS: f"/apis/{GROUP}/v1alpha1/namespaces/{namespace}/trainingjobs?{few}",
        crd_key(TRAINING_JOBS): f"{_CRDS}/{TRAINING_JOBS}",
        crd_key(MODEL_DEPLOYMENTS): f"{_CRDS}/{MODEL_DEPLOYMENTS}",
        "deployments": f"/apis/apps/v1{system}/deployments?labelSelector={OPERATOR}&limit=20",
        "operator pods": f"/api/v1{system}/pods?labelSelector={OPERATOR}&limit=20",
        "servicemonitors": f"/apis/monitoring.coreos.com/v1{system}/servicemonitors?{_LABEL}&limit=20",
        "validatingadmissionpolicies": f"{_ADMISSION}/validatingadmissionpolicies?{_LABEL}&{few}",
        "validatingadmissionpolicybindings": f"{_ADMISSION}/validatingadmissionpolicybindings?{_LABEL}&{few}",
        "namespace": f"{here}?pretty=false",
        "resourcequotas": f"{here}/resourcequotas?{few}",
        "limitranges": f"{here}/limitranges?{few}",
        "persistentvolumeclaims": f"{here}/persistentvolumeclaims?{few}",
        "pods": f"{here}/pods?labelSelector=app.kubernetes.io/managed-by=headway&{few}",
        "events": f"{here}/events?fieldSelector=type=Warning&{few}",
        "storageclasses": f"/apis/storage.k8s.io/v1/storageclasses?{few}",
        "nodes": f"/api/v1/nodes?{few}",
        "all pods": f"/api/v1/pods?{few}",
    }


def _raw(kubectl: Kubectl, path: str) -> Call:
    return kubectl.start("get", f"--raw={path}", REQUEST, seconds=CALL_SECONDS)


@contextmanager
def _started() -> Iterator[Calls]:
    """Calls of which none is left at the end."""
    calls: Calls = {}
    try:
        yield calls
    finally:
        for call in calls.values():
            call.close()


def _answers(calls: Calls) -> dict[str, Seen]:
    """What was answered. One that does not come in time is not checked. Raises UnreachedError where none comes."""
    answers = {what: _seen(call) for what, call in calls.items()}
    unreached = [error for _, error in answers.values() if error is not None]
    if unreached and len(unreached) == len(answers):
        raise unreached[0]
    return {what: seen for what, (seen, _) in answers.items()}


def _seen(call: Call) -> tuple[Seen, UnreachedError | None]:
    """An answer, and why there is none. What is not there, and what no API is there for, is no object."""
    try:
        found = parsed(read(call))
    except NotFoundError:
        return NOTHING, None
    except UnreachedError as error:
        return Seen(refused=_reason(error)), error
    except ClusterError as error:
        return Seen(refused=_reason(error)), None
    if text(found, "kind").endswith("List"):
        return Seen(tuple(entries(found, "items")), more=bool(text(found, "metadata", "continue"))), None
    return Seen((found,)), None


def _names(call: Call) -> Seen:
    """The Secrets that are there, by name alone."""
    try:
        lines = read(call).splitlines()
    except ClusterError as error:
        return Seen(refused=_reason(error))
    return Seen(tuple({"metadata": {"name": line.rpartition("/")[2]}} for line in lines if line.strip()))


def _reason(error: ClusterError) -> str:
    """kubectl's own first line; the advice below it is for calls that a user has asked for."""
    return cut(str(error).partition("\n")[0])


def _ask_rights(kubectl: Kubectl, namespace: str) -> Call:
    """Ask for all rights at once, as `kubectl auth can-i` asks for one."""
    reviews = []
    for right in RIGHTS:
        resource, _, sub = right.resource.partition("/")
        wanted = {"namespace": namespace, "verb": right.verb, "group": right.group, "resource": resource}
        reviews.append(_REVIEW | {"spec": {"resourceAttributes": wanted | ({"subresource": sub} if sub else {})}})
    stdin = json.dumps({"apiVersion": "v1", "kind": "List", "items": reviews})
    words = ("create", "--filename=-", "--output=json", "--validate=false", REQUEST)
    return kubectl.start(*words, stdin=stdin, seconds=CALL_SECONDS)


def _rights(call: Call) -> tuple[dict[Right, bool], str]:
    """Which rights there are; and why it is not known."""
    try:
        answers = _objects(read(call))
    except ClusterError as error:
        return {}, _reason(error)
    found = {}
    for answer in answers:
        asked = at(answer, "spec", "resourceAttributes")
        whole = "/".join(part for part in (text(asked, "resource"), text(asked, "subresource")) if part)
        found[Right(text(asked, "verb"), text(asked, "group"), whole)] = at(answer, "status", "allowed") is True
    return found, ""


def _objects(said: str) -> list[Object]:
    """The objects of a text: a List, or one after the other, as versions of kubectl differ. Raises ClusterError."""
    decoder, rest = json.JSONDecoder(), said.lstrip()
    found: list[object] = []
    while rest:
        try:
            value, end = decoder.raw_decode(rest)
        except ValueError as error:
            raise ClusterError(f"kubectl's answer is no JSON ({error}): see `kubectl version`") from error
        found += entries(value, "items") if text(value, "kind").endswith("List") else [value]
        rest = rest[end:].lstrip()
    return [each for each in found if isinstance(each, dict)]
