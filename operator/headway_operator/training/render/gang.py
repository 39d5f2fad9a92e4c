"""The PodGroup of an attempt: the scheduler starts all of its pods or none."""

from __future__ import annotations

from headway_operator.training.plan.pod_groups import pod_spec
from headway_operator.training.render.objects import AttemptOf, Manifest, metadata


def pod_group(attempt: AttemptOf) -> Manifest:
    """The PodGroup. It has to have the priority of its pods; that both templates name the same one is sure."""
    policy = {"gang": {"minCount": attempt.workers + 1}}
    priority = pod_spec(attempt.spec.workers.template).get("priorityClassName")
    return {
        "apiVersion": "scheduling.k8s.io/v1beta1",
        "kind": "PodGroup",
        "metadata": metadata(attempt, attempt.name),
        "spec": {"schedulingPolicy": policy, **({"priorityClassName": priority} if priority else {})},
    }
