"""ModelDeployments as an operator would have them: one in the middle of a canary, whose version before was rejected."""

from __future__ import annotations

import copy
from typing import Any

from deployment_documents import DIGEST, deployment
from headway_api.deployment_status import ModelDeploymentStatus

STEPS = [{"weight": 5}, {"weight": 25, "minSeconds": 300}, {"weight": 50}]

DRIFT: dict[str, Any] = {
    "state": "Drifted", "version": "digits-1", "score": 2.314, "windows": 41, "checked": "2026-11-29T19:30:09Z",
    "message": "requests are unlike the rows that version digits-1 was trained on: 2 of the last 3 windows alarm",
    "features": [{"name": "pixel_20", "score": 2.314}, {"name": "pixel_28", "score": 1.18}],
    "dataQuality": [{"name": "pixel_07", "problem": "Missing", "share": 0.4, "usual": 0.031}],
}  # fmt: skip
"""The judge has found that requests differ."""


def version(number: int, state: str, *, weight: int = 0, ready: int = 0, **more: Any) -> dict[str, Any]:
    """A version."""
    return {
        "name": f"digits-{number}", "number": number, "state": state, "weight": weight,
        "replicas": {"desired": 2 if state in ("Champion", "Candidate") else 0, "ready": ready},
        "source": {"persistentVolumeClaim": {"name": "models", "path": f"default/digits-{number}"}, "digest": DIGEST},
        "server": {}, "image": "example.com/headway-server:1", "since": "2026-11-29T19:00:00Z", **more,
    }  # fmt: skip


def canary(name: str = "digits", **changes: Any) -> dict[str, Any]:
    """The second step of three; changes: other parts of its status."""
    status = {
        "phase": "Progressing", "champion": "digits-1", "candidate": "digits-3",
        "versions": [
            version(1, "Champion", weight=75, ready=2, job="digits-first"),
            version(
                2, "Rejected", reason="ErrorRate", job="digits-second",
                message="errors: 41 of 1,204 requests failed (3.4 %), and 1 % is allowed",
            ),
            version(3, "Candidate", weight=25, ready=1, job="digits-third", message="1 of 2 pods is not ready"),
        ],
        "rollout": {
            "version": "digits-3", "number": 3, "stable": 1, "mode": "canary", "stage": "Splitting", "step": 2, "of": 3,
            "weight": 25, "since": "2026-11-29T19:29:00Z", "followedSince": "2026-11-29T19:30:00Z",
            "candidateRequests": 312, "stableRequests": 936,
            "gates": [
                {"name": "errors", "verdict": "pass", "value": 0.001, "limit": 0.01, "evidence": 0.2, "needed": 60},
                {"name": "errors-not-worse", "verdict": "open", "value": 0.001, "limit": 0.0009, "evidence": 1.4,
                 "needed": 60},
                {"name": "latency", "verdict": "open", "value": 131.0, "limit": 120.0, "evidence": 12.5, "needed": 60},
            ],
        },
        "autoscaling": {
            "desired": 2, "since": "2026-11-29T19:10:00Z", "reason": "AsLoad", "inFlight": 6.2,
            "counted": "2026-11-29T19:33:05Z",
        },
        "conditions": [
            {"type": "Accepted", "status": "True", "reason": "Valid", "lastTransitionTime": "2026-11-29T18:00:00Z"},
            {"type": "Ready", "status": "True", "reason": "Answers", "lastTransitionTime": "2026-11-29T18:00:00Z"},
            {"type": "Progressing", "status": "True", "reason": "Canary", "message": "digits-3 has 25%",
             "lastTransitionTime": "2026-11-29T19:29:00Z"},
            {"type": "RolledBack", "status": "True", "reason": "ErrorRate", "message": "digits-2 was rejected",
             "lastTransitionTime": "2026-11-29T19:12:00Z"},
        ],
        "endpoint": {"url": "http://digits.default/v2", "grpc": "digits.default:9000"},
        **changes,
    }  # fmt: skip
    # What the operator's own model would leave out of it, nobody would ever see.
    made = ModelDeploymentStatus.model_validate(status).model_dump(mode="json", by_alias=True, exclude_none=True)
    meta = {
        "name": name, "namespace": "default", "uid": f"uid-of-{name}", "creationTimestamp": "2026-11-29T18:00:00Z",
    }  # fmt: skip
    spec = {
        "spec.rollout": {"canary": {"steps": copy.deepcopy(STEPS)}, "analysis": {"minRequests": 500}},
        "spec.autoscaling": {"min": 1, "max": 8, "targetInFlight": 4},
    }
    return deployment(spec) | {"metadata": meta, "status": made}


def event(name: str, reason: str, message: str, *, warning: bool = False) -> dict[str, Any]:
    """An Event of a deployment."""
    return {
        "kind": "Event", "involvedObject": {"kind": "ModelDeployment", "name": name, "uid": f"uid-of-{name}"},
        "reason": reason, "message": message, "type": "Warning" if warning else "Normal",
        "lastTimestamp": "2026-11-29T19:29:00Z", "count": 1,
    }  # fmt: skip
