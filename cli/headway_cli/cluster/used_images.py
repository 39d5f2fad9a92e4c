"""The operator's own trainer image, as its jobs tell it: it is not readable otherwise. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from headway_cli.cluster.fields import Object, entries, text


def newest(jobs: Iterable[Object]) -> tuple[str, str] | None:
    """The image that the operator took last for a job that names none, and that job's name; None where no job tells.

    jobs: of a namespace, as the API server has them.
    """
    found = [
        (text(attempt, "startTime"), text(attempt, "image"), text(job, "metadata", "name"))
        for job in jobs
        if not text(job, "spec", "image")
        for attempt in entries(job, "status", "attempts")
        if text(attempt, "image")
    ]
    return max(found)[1:] if found else None
