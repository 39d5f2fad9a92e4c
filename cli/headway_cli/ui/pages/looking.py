"""One look at a job and what belongs to it, for all pages that show it."""

from __future__ import annotations

from headway_cli.cluster import events as told
from headway_cli.cluster import kubectl as calls
from headway_cli.cluster.errors import ClusterError
from headway_cli.cluster.fields import Object, text, texts
from headway_cli.cluster.kubectl import objects
from headway_cli.cluster.names import LABEL_JOB, LABEL_JOB_UID
from headway_cli.cluster.timeline import is_about, time_of
from headway_cli.ui.asking import Asked

JOB_SECONDS, EVENTS_SECONDS = 1.5, 6.0
MOST_EVENTS = 1000
"""Of a job that are kept, the newest."""


def job(asked: Asked) -> Object:
    """The job that the address names. Raises ClusterError.

    What it tells of its metrics is kept, so that curves go on between two checkpoints.
    """

    def read() -> Object:
        found = calls.job(asked.kubectl(), asked.names["name"])
        asked.site.samples.see(found)
        return found

    return asked.kept(("job", asked.names["namespace"], asked.names["name"]), JOB_SECONDS, read)


def pods(asked: Asked, of: Object) -> list[Object]:
    """The pods of a job, which not everybody may see who may see the job."""
    name, uid = text(of, "metadata", "name"), text(of, "metadata", "uid")

    def read() -> list[Object]:
        try:
            found = objects(asked.kubectl().get("pods", f"--selector={LABEL_JOB}={name}"))
        except ClusterError:
            return []
        return [pod for pod in found if texts(pod, "metadata", "labels").get(LABEL_JOB_UID) == uid]

    return asked.kept(("pods", asked.names["namespace"], name, uid), JOB_SECONDS, read)


def events(asked: Asked, of: Object) -> list[Object] | None:
    """Events of a job and its namespace's pods; None where they cannot be read, as others fill the namespace, too."""
    uid = text(of, "metadata", "uid")

    def read() -> list[Object] | None:
        try:
            found = told.seen(asked.kubectl(), of)
        except ClusterError:
            found = None
        if found is None:
            return None
        own = [each for each in found if is_about(each, of)]
        return sorted(own, key=time_of)[-MOST_EVENTS:]

    return asked.kept(("events", asked.names["namespace"], uid), EVENTS_SECONDS, read)
