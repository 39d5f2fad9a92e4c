"""Bad job files against the whole: refused by `kubectl apply`, or by a condition where only Python can judge."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness import Cluster
from mutations.every import MUTATIONS

pytestmark = pytest.mark.e2e

BAD = [mutation for mutation in MUTATIONS if not mutation.silent_in_kubectl]
"""What anybody can refuse who sees the file only through kubectl."""


def operator_restarts(cluster: Cluster) -> list[int]:
    """How often each of the operator's containers was restarted."""
    pods = cluster.items("pods", "-n", "headway-system", "-l", "app.kubernetes.io/name=headway")
    return [status["restartCount"] for pod in pods for status in pod["status"].get("containerStatuses", [])]


def test_a_hundred_bad_files_are_refused_and_the_operator_stays_healthy(
    headway: Cluster, namespace: str, tmp_path: Path
) -> None:
    assert len(BAD) >= 100
    before = operator_restarts(headway)
    for index, mutation in enumerate(BAD):
        text = re.sub(r"\bmutant\b", f"mutant-{index}", mutation.text)
        (tmp_path / f"{index:03}.yaml").write_text(text)
    said = headway.kubectl("apply", "-n", namespace, "-f", str(tmp_path), check=False, timeout=300)
    there = {job["metadata"]["name"]: job for job in headway.items("trainingjobs", "-n", namespace)}
    for index, mutation in enumerate(BAD):
        if mutation.schema:
            assert f"mutant-{index}" not in there, f"{mutation.name} was not refused"
        assert f"{index:03}.yaml" in said or f"mutant-{index}" in there, f"{mutation.name}: nobody said anything of it"

    def judged() -> dict[str, str] | None:
        """The message of each job that the API server let through, once the operator has refused them all."""
        messages = {}
        for job in headway.items("trainingjobs", "-n", namespace):
            conditions = {c["type"]: c for c in job.get("status", {}).get("conditions", [])}
            accepted = conditions.get("Accepted")
            if accepted is None or accepted["status"] != "False" or accepted["reason"] != "InvalidSpec":
                return None
            messages[job["metadata"]["name"]] = accepted["message"]
        return messages

    messages = headway.wait("the operator refuses what the schema could not", judged)
    for index, mutation in enumerate(BAD):
        if f"mutant-{index}" in messages:
            assert mutation.field in messages[f"mutant-{index}"], mutation.name
    of_jobs = headway.items(
        "pods,services,secrets,configmaps,networkpolicies", "-n", namespace, "-l", "headway.dev/job"
    )
    assert of_jobs == []
    assert operator_restarts(headway) == before
