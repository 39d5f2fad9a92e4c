"""Checks of a namespace: what in it keeps the pods of jobs from being made, or from starting."""

from __future__ import annotations

from collections.abc import Iterator

from headway_cli.cluster.doctor.facts import Facts, Finding, asks, cut, fail, name, ok, pod_kinds, quantity, some, warn
from headway_cli.cluster.doctor.room import GPU, wanted_gpus
from headway_cli.cluster.fields import Object, at, condition, entries, text, texts
from headway_cli.cluster.names import GROUP

PULL_ERRORS = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"}
)
_OF_PODS = ("pods", "count/pods", "requests.cpu", "cpu", "requests.memory", "memory", "limits.memory")
_OF_JOBS = ("count/trainingjobs.headway.dev", "secrets", "count/secrets", "configmaps", "count/configmaps", "services",
            "count/services")  # fmt: skip
"""Of these a job needs some, whatever it asks for."""
_ENFORCE = "pod-security.kubernetes.io/enforce"
_STANDARDS = ("baseline", "restricted")
_CLOSED = ("kube-system", "kube-public", "kube-node-lease")


def namespace(facts: Facts) -> Iterator[Finding]:
    """The namespace itself."""
    if facts.namespace in _CLOSED:
        yield fail(
            "namespace-closed",
            f"namespace {facts.namespace} is the cluster's own: no job runs there",
            "use another one, by --namespace",
        )
    if not facts.saw("namespace"):
        return
    found = facts.items("namespace")
    if not found:
        yield fail(
            "namespace-missing",
            f"there is no namespace {facts.namespace}",
            f"kubectl create namespace {facts.namespace}, or name another one by --namespace",
        )
    elif text(found[0], "status", "phase") == "Terminating":
        yield fail(
            "namespace-terminating",
            f"namespace {facts.namespace} is being deleted: nothing can be made in it",
            "use another one, by --namespace",
        )


def quotas(facts: Facts) -> Iterator[Finding]:
    """Quotas without room."""
    waiting = [job for job in facts.living() if "exceeded quota" in _refusal(job)]
    gpus = {wanted[0] for job in facts.living() for _, each in pod_kinds(job) if (wanted := wanted_gpus(each))}
    keys = [*_OF_PODS, *_OF_JOBS, *(f"requests.{each}" for each in sorted(gpus | {GPU}) if gpus)]
    told = False
    for quota in facts.items("resourcequotas"):
        if at(quota, "spec", "scopes") or at(quota, "spec", "scopeSelector"):
            continue  # whether the pods of jobs are in its scope is not known here
        hard, used = at(quota, "status", "hard") or at(quota, "spec", "hard"), at(quota, "status", "used")
        for key in keys:
            limit, taken = quantity(at(hard, key)), quantity(at(used, key)) or 0
            if limit is None or taken < limit:
                continue
            told = True
            said = f"quota {name(quota)} leaves no room: {key} {at(used, key) or 0} of {at(hard, key)} is used"
            fix = f"kubectl describe quota {name(quota)}: raise {key}, or end what takes it (headway top)"
            if limit == 0 or waiting:
                who = f"; job {name(waiting[0])} waits for it" if waiting else ""
                yield fail("quota", said + who, fix)
            else:
                yield warn("quota", f"{said}; a new job would wait", fix)
    if waiting and not told:
        yield fail(
            "quota", f"job {name(waiting[0])} waits: {cut(_refusal(waiting[0]))}", "raise the quota, or ask for less"
        )
    elif not told and facts.saw("resourcequotas"):
        count = len(facts.items("resourcequotas"))
        yield ok("quota", f"{count} quotas, with room" if count else f"no quota in namespace {facts.namespace}")


def limit_ranges(facts: Facts) -> Iterator[Finding]:
    """LimitRanges that no pod of a job fits. Without a job the spec's defaults are looked at."""
    jobs: list[Object] = facts.living() or [{}]
    for limits in facts.items("limitranges"):
        for entry in entries(limits, "spec", "limits"):
            broken = [each for job in jobs for each in _broken(entry, job)]
            if broken:
                yield fail(
                    "limit-range",
                    f"LimitRange {name(limits)} keeps pods out: {broken[0]}",
                    f"kubectl edit limitrange {name(limits)}, or set resources of head and workers within it",
                )


def _broken(entry: Object, job: Object) -> Iterator[str]:
    """How pods break a limit. memory is request and limit of a pod; cpu is a request, and the default its limit."""
    kind = text(entry, "type")
    if kind not in ("Container", "Pod"):
        return
    whose = f"job {name(job)}" if job else "a job with the default resources"
    for role, section in pod_kinds(job):
        for resource in ("cpu", "memory"):
            wanted = asks(section, resource)
            if wanted is None:
                continue
            shown = f"{whose} asks for {resource} {at(section, 'resources', resource) or wanted} ({role})"
            most, least = quantity(at(entry, "max", resource)), quantity(at(entry, "min", resource))
            default = quantity(at(entry, "default", resource)) if kind == "Container" else None
            if most is not None and wanted > most:
                yield f"{shown}, and max is {at(entry, 'max', resource)}"
            elif least is not None and kind == "Container" and wanted < least:
                yield f"{shown}, and min is {at(entry, 'min', resource)}"
            elif default is not None and resource == "cpu" and wanted > default:
                yield f"{shown}, and the default limit of a container is {at(entry, 'default', 'cpu')}"


def pod_security(facts: Facts) -> Iterator[Finding]:
    """Pods that the namespace's Pod Security standard does not take."""
    told = set()
    fix = (
        "take what it names out of the pod template, or ask who runs the cluster for another label "
        f"{_ENFORCE} of the namespace"
    )
    for job in facts.living():
        if "violates PodSecurity" in (said := _refusal(job)):
            told.add(name(job))
            yield fail("pod-security", f"the API server refuses the pods of job {name(job)}: {cut(said)}", fix)
    found = facts.items("namespace")
    standard = texts(found[0], "metadata", "labels").get(_ENFORCE, "") if found else ""
    if standard not in _STANDARDS:
        return
    for job in facts.living():
        for role, section in pod_kinds(job):
            if name(job) not in told and (asked := _beyond_baseline(at(section, "template", "spec"))):
                told.add(name(job))
                yield fail(
                    "pod-security",
                    f"namespace {facts.namespace} takes {standard} pods only, and job {name(job)} asks for "
                    f"{some(asked)} ({role}.template)",
                    fix,
                )


def _beyond_baseline(spec: object) -> list[str]:
    """What no namespace with a Pod Security standard takes."""
    found = [each for each in ("hostNetwork", "hostPID", "hostIPC") if at(spec, each) is True]
    found += ["hostPath" for each in entries(spec, "volumes") if "hostPath" in each][:1]
    containers = [*entries(spec, "containers"), *entries(spec, "initContainers")]
    found += ["privileged" for each in containers if at(each, "securityContext", "privileged") is True][:1]
    return found


def images(facts: Facts) -> Iterator[Finding]:
    """Images that cannot be pulled, of Headway's pods here and of the operator."""
    told = set()
    for pod in (*facts.items("operator pods"), *(each for each in facts.items("pods") if _is_ours(each))):
        for container, waiting in waits(pod):
            image = text(container, "image")
            if text(waiting, "reason") in PULL_ERRORS and image not in told:
                told.add(image)
                yield fail(
                    "image-pull",
                    f"image {image} of pod {name(pod)} cannot be pulled: "
                    f"{cut(text(waiting, 'message') or text(waiting, 'reason'))}",
                    "check the image's name, and imagePullSecrets (of a job: head.template.spec and "
                    "workers.template.spec)",
                )


def waits(pod: Object) -> Iterator[tuple[Object, Object]]:
    """The containers of a pod that wait, with what they wait for."""
    for key in ("initContainerStatuses", "containerStatuses"):
        for each in entries(pod, "status", key):
            waiting = at(each, "state", "waiting")
            if isinstance(waiting, dict):
                yield each, waiting


def _is_ours(pod: Object) -> bool:
    return any(each.startswith(f"{GROUP}/") for each in texts(pod, "metadata", "labels"))


def _refusal(job: Object) -> str:
    """What the API server said when it did not take the job's pods."""
    scheduled = condition(job, "Scheduled")
    return text(scheduled, "message") if text(scheduled, "reason") == "PodsRefused" else ""
