"""Checks of the cluster and of Headway in it."""

from __future__ import annotations

from collections.abc import Iterator

from headway_cli.cluster.doctor.facts import (
    NEEDED,
    RIGHTS,
    Facts,
    Finding,
    crd_key,
    cut,
    fail,
    name,
    ok,
    served_fields,
    some,
    warn,
)
from headway_cli.cluster.fields import Object, entries, number, text, texts, whole
from headway_cli.cluster.times import duration, seconds_since
from headway_cli.extras import installing, upgrading

LEAST_SERVER = (1, 30)
"""ValidatingAdmissionPolicy, as Chart.yaml says it."""
LEASE_SECONDS = 60.0
"""After so long without renewal nobody leads: a Lease is renewed every few seconds."""
OPERATOR = "app.kubernetes.io/name=headway,app.kubernetes.io/component=operator"
"""The labels of the operator's Deployment and pods."""
TRAINER_POLICY = "headway-trainer"
_VERSION = "app.kubernetes.io/version"
_POLICIES = "validatingadmissionpolicies"
_BINDINGS = "validatingadmissionpolicybindings"
_INSTALL = "install or upgrade the chart, see docs/how-to/install.md"


def server(facts: Facts) -> Iterator[Finding]:
    """The API server's version."""
    told = tuple(
        int(digits) if digits else 0
        for part in ("major", "minor")
        for digits in ["".join(each for each in text(facts.server, part) if each in "0123456789")[:4]]
    )
    shown = ".".join(map(str, told))
    if told < LEAST_SERVER:
        yield fail(
            "server-version",
            f"the API server is {shown}, and Headway needs 1.30: before, it has no ValidatingAdmissionPolicy",
            "upgrade the cluster, or use another one",
        )
    else:
        yield ok("server-version", f"API server {shown}")


def definitions(facts: Facts) -> Iterator[Finding]:
    """The CustomResourceDefinitions."""
    for kind, known in facts.known.items():
        if not facts.saw(crd_key(kind)):
            continue
        found = facts.items(crd_key(kind))
        if not found:
            yield fail("crd-missing", f"CustomResourceDefinition {kind} is not there", _INSTALL)
            continue
        served = served_fields(found[0])
        lacking = sorted(known - served)
        shown = some([each for each in lacking if each.rpartition(".")[0] not in lacking])
        if lacking:
            yield fail(
                "crd-version",
                f"CustomResourceDefinition {kind} is another version's: it does not know {shown}, and the API server "
                "leaves out of an object what it does not know",
                f"{_INSTALL}; or use the command line of the operator's version",
            )
        elif served - known:
            yield warn(
                "crd-version",
                f"CustomResourceDefinition {kind} is newer than this command line ({facts.own_version}), which does "
                f"not know {some(sorted(served - known))}",
                f"upgrade this command line: {upgrading()}",
            )
        else:
            yield ok("crd", f"CustomResourceDefinition {kind} is this version's")


def operator(facts: Facts) -> Iterator[Finding]:
    """The operator's Deployment, its Lease and its version."""
    if not facts.saw("deployments"):
        return
    found = facts.items("deployments")
    if not found:
        yield fail(
            "operator-missing",
            "there is no Deployment of the operator: nobody looks at jobs",
            f"{_INSTALL}; --operator-namespace names the namespace that it is in",
        )
        return
    if len(found) > 1:
        names = some([f"{text(each, 'metadata', 'namespace')}/{name(each)}" for each in found])
        yield warn("operator-twice", f"there are {len(found)} operators: {names}", "only one may watch a namespace")
    for each in found:
        yield from _replicas(each)
        yield from _lease(facts, each)
        yield from _version(facts, each)
    if not any(_watches(each, facts.namespace) for each in found):
        watched = some(sorted({part for each in found for part in _namespaces(each)}))
        yield fail(
            "namespace-not-watched",
            f"no operator watches namespace {facts.namespace}: it is another one than {watched or 'those for jobs'}",
            f"add {facts.namespace} to the chart's watchNamespaces, or use another --namespace",
        )


def _replicas(deployment: Object) -> Iterator[Finding]:
    wanted = whole(deployment, "spec", "replicas")
    ready = whole(deployment, "status", "readyReplicas") or 0
    where = text(deployment, "metadata", "namespace")
    if wanted == 0:
        yield fail(
            "operator-not-ready",
            f"the operator's Deployment {name(deployment)} has 0 replicas",
            f"kubectl scale deployment {name(deployment)} -n {where} --replicas=2",
        )
    elif ready == 0:
        told = next((text(each, "message") for each in entries(deployment, "status", "conditions")
                     if each.get("status") == "False"), "")  # fmt: skip
        yield fail(
            "operator-not-ready",
            f"no pod of the operator's Deployment {name(deployment)} is ready{': ' if told else ''}{cut(told)}",
            f"kubectl describe pods -n {where} -l {OPERATOR}, and kubectl logs with the same words",
        )
    elif ready < (wanted or 1):
        yield warn(
            "operator-not-ready",
            f"{ready} of {wanted} pods of the operator are ready",
            f"kubectl describe pods -n {where} -l {OPERATOR}",
        )


def _lease(facts: Facts, deployment: Object) -> Iterator[Finding]:
    """The Lease has the name of the Deployment."""
    what = lease_key(deployment)
    if not facts.saw(what) or (whole(deployment, "status", "readyReplicas") or 0) == 0:
        return  # the Deployment's finding says it
    where = text(deployment, "metadata", "namespace")
    fix = f"kubectl logs -n {where} -l {OPERATOR} --tail=50: can it write its Lease?"
    found = facts.items(what)
    holder = text(found[0], "spec", "holderIdentity") if found else ""
    if not holder:
        yield fail("operator-lease", f"no pod of the operator leads: Lease {name(deployment)} has no holder", fix)
        return
    age = seconds_since(text(found[0], "spec", "renewTime"), facts.now)
    stale = max(LEASE_SECONDS, 2 * (number(found[0], "spec", "leaseDurationSeconds") or 0))
    if age is None or age > stale:
        since = duration(age) if age is not None else "an unknown time"
        yield fail("operator-lease", f"{holder} leads, and has not renewed its Lease for {since}", fix)
        return
    ready = whole(deployment, "status", "readyReplicas")
    yield ok("operator", f"operator: {ready} ready, {holder} leads, Lease renewed {duration(age)} ago")


def _version(facts: Facts, deployment: Object) -> Iterator[Finding]:
    version = texts(deployment, "metadata", "labels").get(_VERSION, "")
    if version and facts.own_version and version != facts.own_version:
        yield warn(
            "operator-version",
            f"the operator is {version}, and this command line is {facts.own_version}",
            f"{installing(f'headway=={version}')}, or upgrade the chart",
        )


def lease_key(deployment: Object) -> str:
    """What the Lease of an operator is called among the facts."""
    return f"lease {text(deployment, 'metadata', 'namespace')}/{name(deployment)}"


def _namespaces(deployment: Object) -> list[str]:
    """Those that it watches; none where it watches all."""
    return [part for part in variable(deployment, "HEADWAY_NAMESPACES").split(",") if part]


def variable(deployment: Object, wanted: str) -> str:
    """The value of an environment variable of the operator; "" where it has none."""
    for container in entries(deployment, "spec", "template", "spec", "containers"):
        for each in entries(container, "env"):
            if each.get("name") == wanted:
                return text(each, "value")
    return ""


def _watches(deployment: Object, namespace: str) -> bool:
    named = _namespaces(deployment)
    return namespace in named if named else namespace != text(deployment, "metadata", "namespace")


def policies(facts: Facts) -> Iterator[Finding]:
    """The admission policies of the chart, and their bindings."""
    if not (facts.saw(_POLICIES) and facts.saw(_BINDINGS)):
        return
    found = {name(each) for each in facts.items(_POLICIES)}
    bound = {text(each, "spec", "policyName") for each in facts.items(_BINDINGS)}
    if not found:
        missing = "none of Headway's admission policies is there"
    elif TRAINER_POLICY not in found:
        missing = f"the admission policy {TRAINER_POLICY} is not there"
    elif not any("-operator-" in each for each in found):
        missing = "the admission policies for the operator's own account are not there"
    else:
        missing = ""
    if missing:
        yield fail("policy-missing", f"{missing}: pods may write more than they should", _INSTALL)
    if unbound := sorted(found - bound):
        yield fail("policy-unbound", f"no binding puts in force the admission policy {some(unbound)}", _INSTALL)
    elif not missing:
        yield ok("policies", f"{len(found)} admission policies, all bound")


def rights(facts: Facts) -> Iterator[Finding]:
    """The user's own in the namespace."""
    refused = [right for right in RIGHTS if facts.rights.get(right) is False]
    if needed := [right for right in refused if right in RIGHTS[:NEEDED]]:
        yield fail(
            "rights",
            f"you may not {some([str(each) for each in needed])} in namespace {facts.namespace}",
            f"ask who runs the cluster for the role edit there: kubectl create rolebinding NAME -n {facts.namespace} "
            "--clusterrole=edit --user=YOU",
        )
    if others := [right for right in refused if right not in RIGHTS[:NEEDED]]:
        yield warn(
            "rights",
            f"you may not {some([str(each) for each in others])} in namespace {facts.namespace}: "
            "headway stop, resume, logs or events do not work, or show less",
            f"ask who runs the cluster for the role edit in namespace {facts.namespace}",
        )
    if facts.rights and not refused:
        yield ok("rights", f"you may create, read and change trainingjobs in namespace {facts.namespace}")


def monitors(facts: Facts) -> Iterator[Finding]:
    """Whether a Prometheus finds the operator."""
    if facts.saw("servicemonitors") and not facts.items("servicemonitors"):
        yield warn(
            "service-monitor",
            "no ServiceMonitor: a Prometheus operator does not scrape Headway's metrics",
            "set serviceMonitor.enabled of the chart, or scrape the pods by annotations: docs/how-to/monitor.md",
        )
