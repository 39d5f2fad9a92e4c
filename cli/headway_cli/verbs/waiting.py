"""Waiting for a job, with a word on what it waits for."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from headway_cli.cluster.errors import EXIT_INTERRUPTED
from headway_cli.cluster.fields import Object, text
from headway_cli.cluster.polling import Clock, Once
from headway_cli.cluster.steering import Step
from headway_cli.verbs.shared import note


@contextmanager
def detaching(job: Object) -> Iterator[None]:
    """Ctrl-C ends the command, and nothing else."""
    try:
        yield
    except KeyboardInterrupt:
        note(f"Detached: {text(job, 'metadata', 'name')} goes on in the cluster.")
        sys.exit(EXIT_INTERRUPTED)


def awaited(steps: Iterator[Step], clock: Clock) -> tuple[Object | None, float]:
    """The job when it has come to where it was sent, and after how many seconds; no job after Ctrl-C.

    What it waits for is told whenever that changes. Raises ClusterError.
    """
    began, told = clock.monotonic(), Once[str]()
    try:
        for step in steps:
            if step.done:
                return step.job, clock.monotonic() - began
            if told.changed(step.waits):
                note(step.waits)
    except KeyboardInterrupt:
        pass
    return None, clock.monotonic() - began
