"""`helm test`: asks the operator whether it is ready, and the API server whether it may do its work, and no more.

It runs in the operator's image with the operator's account. The rules come as JSON in the first argument, the
namespaces (none: all) in the second, the base URL of the operator's health server in the third.
"""

from __future__ import annotations

import json
import pathlib
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

ACCOUNT = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount")
API = "https://kubernetes.default.svc"
REVIEW = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


def call(path: str, body: dict[str, Any] | None = None) -> Any:
    """One request to the API server: the JSON answer."""
    request = urllib.request.Request(  # noqa: S310  # API is https
        API + path,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {(ACCOUNT / 'token').read_text()}", "Content-Type": "application/json"},
    )
    context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    with urllib.request.urlopen(request, context=context, timeout=10) as answer:  # noqa: S310  # as above
        return json.load(answer)


def attributes(rules: list[dict[str, list[str]]]) -> Iterator[dict[str, str]]:
    """Each single permission that the rules add up to."""
    for rule in rules:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                name, _, subresource = resource.partition("/")
                for verb in rule["verbs"]:
                    for object_name in rule.get("resourceNames", [""]):
                        yield {
                            "group": group,
                            "resource": name,
                            "subresource": subresource,
                            "verb": verb,
                            "name": object_name,
                        }


def missing(rules: list[dict[str, list[str]]], namespaces: list[str]) -> Iterator[str]:
    """The permissions that the API server would not grant, as sentences."""
    for namespace in namespaces or [""]:
        for asked in attributes(rules):
            spec = {"resourceAttributes": {**asked, "namespace": namespace}}
            review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": spec}
            if not call(REVIEW, review)["status"]["allowed"]:
                where = f"in namespace {namespace}" if namespace else "in all namespaces"
                resource = "/".join(filter(None, (asked["resource"], asked["subresource"])))
                yield " ".join(filter(None, ("may not", asked["verb"], resource, asked["name"], where)))


def unlimited(namespace: str) -> Iterator[str]:
    """What is wrong with the policies that limit what the account may create: it asks for what they refuse.

    Nothing is made: the API server only says what it would do.
    """
    stray = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "headway-check"}}
    try:
        call(f"/api/v1/namespaces/{namespace}/configmaps?dryRun=All", stray)
    except urllib.error.HTTPError as error:
        said = error.read().decode(errors="replace")
        if "ValidatingAdmissionPolicy" not in said:
            yield f"whether its account is limited cannot be told: {said}"
    else:
        yield f"its account may create what is no job's in namespace {namespace}: the chart's policies are not in force"


def main() -> int:
    """Prints each fault, or that there is none; the exit code says which."""
    rules, namespaces, operator = json.loads(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3]
    faults = []
    try:
        urllib.request.urlopen(f"{operator}/readyz", timeout=10).close()  # noqa: S310  # the chart says http
    except OSError as error:
        faults.append(f"the operator is not ready: {operator}/readyz: {error}")
    for namespace in namespaces or [""]:
        path = f"/apis/headway.dev/v1alpha1/{f'namespaces/{namespace}/' if namespace else ''}trainingjobs?limit=1"
        try:
            call(path)
        except OSError as error:
            faults.append(f"TrainingJobs are not served: {path}: {error}")
    faults += missing(rules, namespaces)
    for namespace in namespaces or ["default"]:
        faults += unlimited(namespace)
    print("\n".join(faults) or "The operator is ready, TrainingJobs are served, and its account may do its work alone.")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
