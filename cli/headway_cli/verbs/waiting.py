"""Waiting for a job, with a word on what it waits for."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from headway_cli.cluster.errors import EXIT_INTERRUPTED
from headway_cli.cluster.fields import Object
from headway_cli.cluster.polling import Clock, Once
from headway_cli.cluster.steering import Step
from headway_cli.verbs.shared import note


@contextmanager
def detaching(name: str, and_it: str = "goes on in the cluster") -> Iterator[None]:
    """Ctrl-C ends the command, and nothing else. and_it: what the job of that name does then."""
    try:
        yield
    except KeyboardInterrupt:
        note(f"Detached: {name} {and_it}.")
        sys.exit(EXIT_INTERRUPTED)


def awaited(steps: Iterator[Step], clock: Clock) -> tuple[Object, float]:
    """The job when it has come to where it was sent, and after how many seconds.

    What it waits for is told whenever that changes. Raises ClusterError.
    """
    began, told = clock.monotonic(), Once[str]()
    for step in steps:
        if step.done:
            return step.job, clock.monotonic() - began
        if told.changed(step.waits):
            note(step.waits)
    raise AssertionError("the last step is done")
