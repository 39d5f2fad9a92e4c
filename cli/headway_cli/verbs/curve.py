"""The curve of a job that `headway status` shows, in one line."""

from __future__ import annotations

import sys

from headway_api.wording import listed
from headway_cli.cluster import sparks
from headway_cli.cluster.errors import ClusterError
from headway_cli.cluster.fields import Object, text
from headway_cli.cluster.kubectl import Kubectl
from headway_cli.cluster.samples import Samples, Series, drawable, joined
from headway_cli.verbs.shared import is_terminal, note

_FEWEST = 2
"""Points of a curve."""
LOOKS, NEVER = 30, -1
"""How many looks, about a minute, a storage that could not be read is left alone."""


class Curve:
    """A curve of one job: what its storage has, where that was asked for, and what was seen while it was looked at."""

    def __init__(self, kubectl: Kubectl, metric: str | None) -> None:
        """metric: whose curve, "" for the loss; None to draw only what is seen here, which costs nothing."""
        self._kubectl, self._metric = kubectl, metric
        self._seen = Samples()
        self._kept: Series = {}
        self._mark: str | None = None
        self._again = NEVER
        """After how many looks it is read again, though there is no newer checkpoint."""
        self._told = ""

    def line(self, job: Object) -> str:
        """The curve; "" where there is none. It is looked at the job with this."""
        self._seen.see(job)
        if self._metric is None and not is_terminal():
            return ""
        if self._metric is not None:
            self._read(job)
        series = joined(self._kept, self._seen.of(text(job, "metadata", "uid")))
        name = sparks.chosen(series, self._metric or "")
        if not name:
            if self._metric and series:
                self._tell(f"There is no curve of {self._metric}, but of {listed(sorted(series))}.")
            return ""
        points = series[name]
        there = sum(drawable(value) is not None for _, value in points)
        return sparks.line(name, points, plain=_is_plain()) if there >= _FEWEST else ""

    def _read(self, job: Object) -> None:
        """Take what the storage has, once for each checkpoint."""
        from headway_cli.cluster import histories  # with all that reads storages, which few calls need

        mark = histories.mark(job)
        if mark == self._mark and self._again != 0:
            self._again -= 1
            return
        self._mark, self._again = mark, NEVER
        try:
            self._kept, problem = histories.whole(self._kubectl, job)
            if problem:
                self._again = LOOKS
                self._tell(f"Points inside epochs cannot be read: {problem}")
        except ClusterError as error:
            self._again = LOOKS
            self._tell(f"The curve cannot be read: {next(iter(str(error).splitlines()), '')}")

    def _tell(self, sentence: str) -> None:
        if sentence != self._told:
            self._told = sentence
            note(sentence)


def _is_plain() -> bool:
    """Whether what reads the output may have no blocks."""
    return not is_terminal() or not (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")
