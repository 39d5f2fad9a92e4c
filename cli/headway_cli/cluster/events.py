"""What has happened to a job, from all that tell it."""

from __future__ import annotations

from contextlib import closing

from headway_cli.cluster.errors import RefusedError
from headway_cli.cluster.fields import Object, text
from headway_cli.cluster.kubectl import Kubectl, objects
from headway_cli.cluster.timeline import Entry, of_events, of_status, ordered


def happened(kubectl: Kubectl, job: Object) -> tuple[list[Entry], bool]:
    """All entries, the oldest first; and whether Events may be seen, which not everybody may who may see the job.

    Raises ClusterError.
    """
    uid = text(job, "metadata", "uid")
    try:
        with (
            closing(kubectl.get("events", f"--field-selector=involvedObject.uid={uid}")) as own,
            closing(kubectl.get("events", "--field-selector=involvedObject.kind=Pod")) as pods,
        ):
            found = [*objects(own), *objects(pods)]
    except RefusedError:
        return of_status(job), False
    return ordered([*of_status(job), *of_events(found, job)]), True
