"""Checks of what jobs name in their namespace: claims of volumes, and Secrets."""

from __future__ import annotations

from collections.abc import Iterator

from headway_cli.cluster.doctor.facts import Facts, Finding, cut, fail, name, ok, some, warn
from headway_cli.cluster.doctor.installation import variable
from headway_cli.cluster.fields import Object, at, text, texts
from headway_cli.cluster.kubectl import is_name
from headway_cli.cluster.times import duration, seconds_since

_STORE = "or use an object store (storage.uri, or the chart's defaultStorage.uri)"
MOST_SECRETS = 50
"""That are asked for."""
_DEFAULT = "storageclass.kubernetes.io/is-default-class"
_MANY = "ReadWriteMany"
_ONE_NODE = (
    "ebs.csi.aws.com", "kubernetes.io/aws-ebs", "pd.csi.storage.gke.io", "kubernetes.io/gce-pd", "disk.csi.azure.com",
    "kubernetes.io/azure-disk", "rancher.io/local-path", "csi.hetzner.cloud", "dobs.csi.digitalocean.com",
    "cinder.csi.openstack.org", "csi.vsphere.vmware.com", "topolvm.io", "k8s.io/minikube-hostpath",
)  # fmt: skip
"""Provisioners of disks, which one node can mount at a time."""


def claims(facts: Facts) -> Iterator[Finding]:
    """Claims that have no volume, and those that jobs name and nobody has made."""
    if not facts.saw("persistentvolumeclaims"):
        return
    found = facts.items("persistentvolumeclaims")
    there = {name(each) for each in found}
    for job in facts.living():
        if missing := sorted(claims_of(job) - there):
            yield fail(
                "claim-missing",
                f"job {name(job)} names the claim {some(missing)}, which is not in namespace {facts.namespace}",
                "make the PersistentVolumeClaim, or correct persistentVolumeClaim.name in a new job",
            )
    if (default := _default_name(facts, "CLAIM")) and default not in there:
        yield fail(
            "claim-missing",
            f"the chart's defaultStorage is the claim {default}, which is not in namespace {facts.namespace}",
            f"make it there, or add {facts.namespace} to defaultStorage.persistentVolumeClaim.create.namespaces of the "
            "chart; or set storage in each job",
        )
    pending = [each for each in found if text(each, "status", "phase") in ("Pending", "Lost")]
    for claim in pending:
        yield _pending(facts, claim)
    if found and not pending:
        yield ok("claims", f"{len(found)} claims, all bound")


def _pending(facts: Facts, claim: Object) -> Finding:
    """Why a claim has no volume."""
    since = seconds_since(text(claim, "metadata", "creationTimestamp"), facts.now)
    age = f" for {duration(since)}" if since is not None else ""
    said = f"claim {name(claim)}: {text(claim, 'status', 'phase')}{age}"
    by_class = _by_class(facts, claim, said) if facts.saw("storageclasses") else None
    fix = f"kubectl describe pvc {name(claim)}; {_STORE}"
    return by_class or fail("claim-pending", f"{said}{_event(facts, claim)}", fix)


def _by_class(facts: Facts, claim: Object, said: str) -> Finding | None:
    """What its StorageClass, or the want of one, has to do with it."""
    classes = facts.items("storageclasses")
    wanted = at(claim, "spec", "storageClassName")
    names = some([name(each) for each in classes]) or "there is none"
    defaults = any(texts(each, "metadata", "annotations").get(_DEFAULT) == "true" for each in classes)
    if wanted == "" or (wanted is None and defaults):
        return None  # it waits for a volume that somebody makes by hand, or for the default's provisioner
    if wanted is None:
        return fail(
            "claim-no-class",
            f"{said}: it names no StorageClass, and none is the default ({names})",
            f"name one as spec.storageClassName of a new claim, or mark one as the default; {_STORE}",
        )
    chosen = next((each for each in classes if name(each) == wanted), None)
    if chosen is None:
        return fail(
            "claim-no-class",
            f"{said}: there is no StorageClass {wanted}",
            f"make the claim again with another one ({names}); {_STORE}",
        )
    if text(chosen, "provisioner") in _ONE_NODE and _MANY in (at(claim, "spec", "accessModes") or []):
        return fail(
            "claim-access-mode",
            f"{said}: StorageClass {wanted} offers no {_MANY}",
            f"accessModes: [ReadWriteOnce] and all pods on one node; {_STORE}",
        )
    if text(chosen, "volumeBindingMode") == "WaitForFirstConsumer" and not _event(facts, claim):
        return warn("claim-waits", f"{said}: it gets a volume with its first pod")
    return None


def _event(facts: Facts, claim: Object) -> str:
    """What the newest warning says of a claim."""
    told = [
        text(each, "message")
        for each in facts.items("events")
        if text(each, "involvedObject", "kind") == "PersistentVolumeClaim"
        and text(each, "involvedObject", "name") == name(claim)
    ]
    return f": {cut(told[-1])}" if told else ""


def secrets(facts: Facts) -> Iterator[Finding]:
    """Secrets that jobs name and nobody has made."""
    if not facts.saw("secrets"):
        return
    there = {name(each) for each in facts.items("secrets")}
    asked = asked_secrets(facts)
    missing = False
    if (default := _default_name(facts, "SECRET")) and default not in there:
        missing = True
        yield fail(
            "secret-missing",
            f"the chart's defaultStorage names the Secret {default}, which is not in namespace {facts.namespace}",
            f"kubectl create secret generic {default} -n {facts.namespace} --from-literal=KEY=VALUE; or set storage in "
            "each job",
        )
    for job in facts.living():
        if lacking := sorted(secrets_of(job) & set(asked) - there):
            missing = True
            yield fail(
                "secret-missing",
                f"job {name(job)} names the Secret {some(lacking)}, which is not in namespace {facts.namespace}",
                f"kubectl create secret generic {lacking[0]} -n {facts.namespace} --from-literal=KEY=VALUE",
            )
    if asked and not missing:
        yield ok("secrets", f"{len(asked)} Secrets that jobs name are there")


def asked_secrets(facts: Facts) -> list[str]:
    """The Secrets that have to be there, as many as are asked for; that of the default storage first."""
    default = _default_name(facts, "SECRET")
    names = sorted({each for job in facts.living() for each in secrets_of(job)} - {default})
    return [*([default] if default else []), *names][:MOST_SECRETS]


def _default_name(facts: Facts, kind: str) -> str:
    """The Secret or claim of the chart's default storage; "" where all jobs that there are name a storage."""
    living = facts.living()
    if living and all(at(job, "spec", "storage") for job in living):
        return ""
    found = facts.items("deployments")
    return variable(found[0], f"HEADWAY_DEFAULT_STORAGE_{kind}") if len(found) == 1 else ""


def secrets_of(job: Object) -> set[str]:
    """The Secrets without which a job's pods do not start."""
    return set(_named(at(job, "spec"), ("secretRef", "secretKeyRef"), "name")) | set(
        _named(at(job, "spec"), ("secret",), "secretName")
    )


def claims_of(job: Object) -> set[str]:
    """The claims that a job names."""
    return set(_named(at(job, "spec"), ("persistentVolumeClaim",), "name")) | set(
        _named(at(job, "spec"), ("persistentVolumeClaim",), "claimName")
    )


def _named(value: object, keys: tuple[str, ...], field: str) -> Iterator[str]:
    """The names in all mappings under some keys, however deep; what is optional is left out."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in keys and isinstance(inner, dict):
                # What no object can be called is not shown: a fix is a command that people copy.
                if inner.get("optional") is not True and is_name(found := text(inner, field)):
                    yield found
            else:
                yield from _named(inner, keys, field)
    elif isinstance(value, list):
        for each in value:
            yield from _named(each, keys, field)
