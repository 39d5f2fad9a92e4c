"""Checks of the nodes: whether there are any for the namespace's jobs, with GPUs, and free."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal

from headway_cli.cluster.doctor.facts import Facts, Finding, asks, fail, name, ok, pod_kinds, quantity, some, warn
from headway_cli.cluster.fields import Object, at, condition, entries, is_true, text, whole

GPU = "nvidia.com/gpu"
_ENDED = ("Succeeded", "Failed")
_KEEPS_OFF = ("NoSchedule", "NoExecute")
_ALL_PODS = "all pods"


def nodes(facts: Facts) -> Iterator[Finding]:
    """Nodes, their taints and GPUs."""
    if not facts.saw("nodes"):
        return
    found = facts.items("nodes")
    usable = [each for each in found if _usable(each)]
    if not usable:
        yield fail(
            "nodes-not-ready",
            f"none of {len(found)} nodes is ready and takes pods",
            "kubectl get nodes, and kubectl describe node NAME: a cordoned one takes pods after kubectl uncordon",
        )
        return
    if away := [name(each) for each in found if each not in usable]:
        yield warn("nodes-not-ready", f"not ready, or cordoned: {some(away)}", "kubectl describe node NAME")
    wanted = [(job, role, *gpus) for job in facts.living() for role, section in pod_kinds(job)
              if (gpus := wanted_gpus(section)) is not None]  # fmt: skip
    kinds = sorted({GPU} | {kind for _, _, kind, _ in wanted})
    for kind in kinds:
        most = max(int(allocatable(each, kind)) for each in usable)
        asking = [(job, role, count) for job, role, of, count in wanted if of == kind]
        if most == 0 and asking:
            yield fail(
                "gpus-none",
                f"no node has {kind}, for which job {name(asking[0][0])} asks",
                "install the device plugin (for NVIDIA the GPU operator), or add nodes with GPUs; or set "
                "resources.gpu to 0",
            )
        elif most:
            yield from _of_kind(facts, usable, kind, most, asking)
    yield from _size(facts, usable)
    yield ok("nodes", f"{len(usable)} of {len(found)} nodes are ready")


def _of_kind(
    facts: Facts, usable: list[Object], kind: str, most: int, asking: list[tuple[Object, str, int]]
) -> Iterator[Finding]:
    having = [each for each in usable if allocatable(each, kind) > 0]
    for job, role, count in asking:
        if count > most:
            yield fail(
                "gpus-too-many",
                f"job {name(job)} asks for {count} {kind} in one pod ({role}), and no node has more than {most}",
                f"{role}.resources.gpu: {most} or less, and more workers",
            )
        open_to = [each for each in having if not _kept_off(each, job, role, kind)]
        if not open_to:
            taints = some(sorted({shown for each in having for shown in _kept_off(each, job, role, kind)}))
            yield fail(
                "node-taint",
                f"all nodes with {kind} have taints that job {name(job)} does not tolerate: {taints}",
                f"add the toleration to {role}.template.spec.tolerations, or remove the taint",
            )
    total = sum(int(allocatable(each, kind)) for each in having)
    told = f"{total} {kind} on {len(having)} nodes"
    if facts.saw(_ALL_PODS):
        told += f", {free(having, facts.items(_ALL_PODS), kind)} free"
    yield ok("gpus", told)


def free(nodes: Iterable[Object], pods: Iterable[Object], kind: str) -> int:
    """How many GPUs of a kind no pod holds, on nodes that take pods. nodes, pods: all of the cluster."""
    having = [each for each in nodes if _usable(each) and allocatable(each, kind) > 0]
    total = sum(int(allocatable(each, kind)) for each in having)
    return max(0, total - _used(pods, kind, {name(each) for each in having}))


def _usable(node: Object) -> bool:
    return is_true(node, "Ready") and at(node, "spec", "unschedulable") is not True


def _size(facts: Facts, usable: list[Object]) -> Iterator[Finding]:
    """Whether any node is large enough, were it empty."""
    for job in facts.living():
        for role, section in pod_kinds(job):
            for resource in ("cpu", "memory"):
                wanted = asks(section, resource)
                largest = max(allocatable(each, resource) for each in usable)
                if wanted is not None and largest and wanted > largest:
                    yield fail(
                        "nodes-too-small",
                        f"job {name(job)} asks for {resource} {at(section, 'resources', resource) or wanted} in one "
                        f"pod ({role}), and no node has so much",
                        f"lower {role}.resources.{resource}, or add larger nodes",
                    )


def wanted_gpus(section: Object) -> tuple[str, int] | None:
    """The kind and number of GPUs of a pod of a section; None where it wants none."""
    count = whole(section, "resources", "gpu") or 0
    return (text(section, "resources", "gpuResource") or GPU, count) if count > 0 else None


def allocatable(node: Object, resource: str) -> Decimal:
    """How much of a resource a node gives to pods."""
    return quantity(at(node, "status", "allocatable", resource)) or Decimal(0)


def _used(pods: Iterable[Object], kind: str, nodes: set[str]) -> int:
    """How many GPUs of some nodes pods hold."""
    return sum(
        int(quantity(at(container, "resources", "limits", kind)) or 0)
        for pod in pods
        if text(pod, "spec", "nodeName") in nodes and text(pod, "status", "phase") not in _ENDED
        for container in entries(pod, "spec", "containers")
    )


def _kept_off(node: Object, job: Object, role: str, kind: str) -> list[str]:
    """The taints of a node that keep a job's pods off.

    Many API servers let pods that ask for GPUs tolerate their taint (ExtendedResourceToleration), which cannot be seen:
    that taint counts only where the scheduler has spoken of taints.
    """
    tolerated = entries(job, "spec", role, "template", "spec", "tolerations")
    if "untolerated taint" not in text(condition(job, "Scheduled"), "message"):
        tolerated = [*tolerated, {"key": kind, "operator": "Exists"}]
    return [
        f"{text(taint, 'key')}={text(taint, 'value')}:{text(taint, 'effect')}"
        for taint in entries(node, "spec", "taints")
        if taint.get("effect") in _KEEPS_OFF and not any(_tolerates(each, taint) for each in tolerated)
    ]


def _tolerates(toleration: Object, taint: Object) -> bool:
    if toleration.get("effect") and toleration.get("effect") != taint.get("effect"):
        return False
    if toleration.get("operator") == "Exists":
        return not toleration.get("key") or toleration.get("key") == taint.get("key")
    return toleration.get("key") == taint.get("key") and text(toleration, "value") == text(taint, "value")
