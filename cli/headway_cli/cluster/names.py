"""Names of kinds and labels, as `headway_api.wire` has them.

That module needs pydantic, which takes a third of a second to import. A test compares the two.
"""

from __future__ import annotations

GROUP = "headway.dev"
TRAINING_JOBS = f"trainingjobs.{GROUP}"
MODEL_DEPLOYMENTS = f"modeldeployments.{GROUP}"
KINDS = {
    "tj": TRAINING_JOBS,
    "trainingjob": TRAINING_JOBS,
    "trainingjobs": TRAINING_JOBS,
    TRAINING_JOBS: TRAINING_JOBS,
    "md": MODEL_DEPLOYMENTS,
    "modeldeployment": MODEL_DEPLOYMENTS,
    "modeldeployments": MODEL_DEPLOYMENTS,
    MODEL_DEPLOYMENTS: MODEL_DEPLOYMENTS,
}
"""What may stand before the / of KIND/NAME."""
LABEL_JOB = f"{GROUP}/job"
LABEL_JOB_UID = f"{GROUP}/job-uid"
LABEL_ATTEMPT = f"{GROUP}/attempt"
LABEL_ROLE = f"{GROUP}/role"
LABEL_WORKER = f"{GROUP}/worker"
ROLE_HEAD = "head"
ROLE_WORKER = "worker"
MAIN_CONTAINER = "main"
LABEL_KEY = f"{GROUP}/submit-key"
"""On a job: the digest of the key that it was submitted with."""
ANNOTATION_SUBMITTED = f"{GROUP}/submitted"
"""On such a job: the digest of what was submitted."""
FINISHED = ("Succeeded", "Failed")
"""Phases of a job that has ended."""
