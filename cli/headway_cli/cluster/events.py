"""What has happened to a job, from all that tell it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

from headway_cli.cluster.errors import ForbiddenError
from headway_cli.cluster.fields import Object, text
from headway_cli.cluster.kubectl import Kubectl, objects
from headway_cli.cluster.timeline import Entry, of_events, of_status, ordered


def happened(kubectl: Kubectl, job: Object) -> tuple[list[Entry], bool]:
    """All entries, the oldest first; and whether Events may be seen, which not everybody may who may see the job.

    Raises ClusterError.
    """
    found = seen(kubectl, job)
    return told(job, found), found is not None


def seen(kubectl: Kubectl, job: Object) -> list[Object] | None:
    """The Events of the job and of the namespace's pods; None where they may not be seen. Raises ClusterError."""
    uid = text(job, "metadata", "uid")
    try:
        with (
            closing(kubectl.get("events", f"--field-selector=involvedObject.uid={uid}")) as own,
            closing(kubectl.get("events", "--field-selector=involvedObject.kind=Pod")) as pods,
        ):
            return [*objects(own), *objects(pods)]
    except ForbiddenError:
        return None


def told(job: Object, events: Sequence[Object] | None) -> list[Entry]:
    """What a job's status and Events tell, the oldest first."""
    return ordered([*of_status(job), *(of_events(events, job) if events is not None else [])])
