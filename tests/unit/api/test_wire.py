"""Where things are that operator and pods tell each other of."""

from __future__ import annotations

import pytest

from headway_api import wire
from headway_api.storage import Storage

CLAIM = {"persistentVolumeClaim": {"name": "models", "path": "team/a"}}


@pytest.mark.parametrize(
    ("storage", "uri"),
    [
        ({"uri": "s3://models/team/"}, "s3://models/team/ml/digits-0a1b2c3d/logs/attempt-3"),
        (
            {"uri": "s3://models?endpoint_override=minio:9000"},
            "s3://models/ml/digits-0a1b2c3d/logs/attempt-3?endpoint_override=minio:9000",
        ),
        (CLAIM, "/mnt/headway/storage/team/a/ml/digits-0a1b2c3d/logs/attempt-3"),
    ],
)
def test_the_logs_of_an_attempt_are_in_the_jobs_folder(storage: dict[str, object], uri: str) -> None:
    asked = Storage.model_validate(storage)
    assert wire.logs_uri(asked, "ml", "digits", "0a1b2c3d-4e5f-6071", 3) == uri
