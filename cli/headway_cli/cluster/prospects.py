"""What a job that is about to be submitted will find: its storage, and room for its pods."""

from __future__ import annotations

from contextlib import closing

from headway_cli.cluster.doctor.facts import MOST_OBJECTS, pod_kinds
from headway_cli.cluster.doctor.room import free, wanted_gpus
from headway_cli.cluster.errors import ClusterError, NotFoundError
from headway_cli.cluster.fields import Object, at, entries, text, whole
from headway_cli.cluster.kubectl import Call, Kubectl, parsed, read

SECONDS = 15.0
"""How long the cluster may take to answer: nothing depends on it."""
_REQUEST = "--request-timeout=10s"
_NODES = f"/api/v1/nodes?limit={MOST_OBJECTS}"
_PODS = f"/api/v1/pods?limit={MOST_OBJECTS}"


def lines(kubectl: Kubectl, job: Object) -> list[tuple[str, str]]:
    """`storage` and `room`, each with what there is to say. What the user may not see is left out.

    job: the document that will be submitted. Raises UnreachedError where there is no kubectl.
    """
    claim = text(job, "spec", "storage", "persistentVolumeClaim", "name")
    kinds = gpus(job)
    paths = [_NODES, _PODS] if kinds else []
    asked = [kubectl.start("get", f"--raw={path}", _REQUEST, seconds=SECONDS) for path in paths]
    try:
        storage = _claim(kubectl, claim) if claim else _place(job)
        counted = [_list(call) for call in asked]
    finally:
        for call in asked:
            call.close()
    nodes, pods = counted or (None, None)
    return [("storage", storage), ("room", room(job, nodes, pods))]


def gpus(job: Object) -> dict[str, int]:
    """How many GPUs all pods of a job ask for, by the name of their resource."""
    found: dict[str, int] = {}
    for role, section in pod_kinds(job):
        if (wanted := wanted_gpus(section)) is not None:
            kind, each = wanted
            found[kind] = found.get(kind, 0) + each * _count(job, role)
    return found


def room(job: Object, nodes: list[Object] | None, pods: list[Object] | None) -> str:
    """How many pods and GPUs the job asks for, and how many of these are free.

    nodes, pods: all of the cluster; None where nobody may know.
    """
    count = sum(_count(job, role) for role, _ in pod_kinds(job))
    told = [f"{count} pods"]
    for kind, wanted in gpus(job).items():
        word = "GPU" if kind.endswith("/gpu") else kind
        many = f"{wanted} {word}{'s' if wanted != 1 and word == 'GPU' else ''}"
        told.append(many if nodes is None or pods is None else f"{many} of {free(nodes, pods, kind)} free")
    return ", ".join(told)


def _count(job: Object, role: str) -> int:
    return 1 if role == "head" else whole(job, "spec", "workers", "replicas") or 1


def _place(job: Object) -> str:
    storage = at(job, "spec", "storage")
    if text(storage, "uri"):
        return f"{text(storage, 'uri')} (not looked at from here)"
    return "the operator's default" if not storage else "as the file says"


def _claim(kubectl: Kubectl, name: str) -> str:
    """How a claim is."""
    words = ("get", f"persistentvolumeclaims/{name}", "--output=json", _REQUEST)
    with closing(kubectl.start(*words, seconds=SECONDS)) as call:
        try:
            found = parsed(read(call))
        except NotFoundError:
            return f"claim {name}: it is not there, and the job waits until somebody makes it"
        except ClusterError:
            return f"claim {name}"
    modes = at(found, "spec", "accessModes")
    told = [text(found, "status", "phase") or "Pending", *(modes if isinstance(modes, list) else [])]
    return f"claim {name}: {', '.join(map(str, told))}"


def _list(call: Call) -> list[Object] | None:
    """All objects of a list; None where they may not be seen, or are too many to be counted."""
    try:
        found = parsed(read(call))
    except ClusterError:
        return None
    return None if text(found, "metadata", "continue") else entries(found, "items")
