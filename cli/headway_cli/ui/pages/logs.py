"""The logs of a job: its driver and each rank, of any attempt, from the pod or from the storage."""

from __future__ import annotations

from dataclasses import dataclass

from headway_cli.cluster import job_lines
from headway_cli.cluster.errors import ClusterError, NodeAwayError, NotFoundError
from headway_cli.cluster.fields import Object, entries, text, whole
from headway_cli.cluster.following import driver_tail
from headway_cli.cluster.job_logs import attempt_of, folder_of, head_of, is_live, last, place
from headway_cli.cluster.log_files import DRIVER, harmless, parts
from headway_cli.cluster.names import FINISHED
from headway_cli.ui.asking import Asked, BadQuestionError, Route, View
from headway_cli.ui.pages import looking
from headway_cli.ui.pages.job import head

EVERY = 4.0
KEPT_SECONDS = 2.0
TAILS = (100, 500, 2000)
"""How many lines may be asked for."""
MOST_LINE = 4000
"""Characters of a line."""
MOST_CHARACTERS = 2_000_000
MOST_SOURCES = 512


@dataclass(frozen=True)
class Log:
    """The end of a log."""

    lines: tuple[str, ...]
    place: str
    """Where it is from, in words."""
    sources: tuple[str, ...]
    """Whose logs there are, as far as is known."""


def logs(asked: Asked) -> View:
    """The newest lines of one source of an attempt."""
    job = looking.job(asked)
    name = asked.names["name"]
    tail = asked.whole("tail", TAILS[0])
    if tail not in TAILS:
        raise BadQuestionError(f"?tail= is one of {', '.join(map(str, TAILS))}")
    source, find = asked.word("source") or DRIVER, asked.word("find")
    number = asked.whole("attempt", 0, least=0) or None
    said, log, count, by_pod = "", Log((), "", ()), None, False
    attempt: Object = {}
    try:
        attempt = attempt_of(job, number)
        count = whole(attempt, "number")
        key = ("log", text(job, "metadata", "uid"), str(count), source, str(tail))
        log = asked.kept(key, KEPT_SECONDS, lambda: read(asked, job, attempt, source, tail))
    except ClusterError as error:
        said = str(error)
        by_pod = text(attempt, "logs").startswith("/") and not is_live(attempt)
    shown = [line for line in log.lines if find in line]
    live = job_lines.phase(job) not in FINISHED
    data = {
        "job": head(asked, job, "logs"),
        "lines": shown,
        "left_out": len(log.lines) - len(shown),
        "place": log.place,
        "sources": sources(job, log, source),
        "source": source,
        "attempts": [whole(each, "number") for each in entries(job, "status", "attempts")][::-1],
        "attempt": count,
        "tail": tail,
        "tails": TAILS,
        "find": find,
        "failed": said,
        "command": _command(asked, source, number, tail) + (" --reader-pod" if by_pod else ""),
    }
    return View("logs.html", f"Logs of {name}", data, every=EVERY if live else None)


def read(asked: Asked, job: Object, attempt: Object, source: str, tail: int) -> Log:
    """The newest lines of a source. Raises ClusterError."""
    kubectl = asked.kubectl()
    if source == DRIVER and is_live(attempt):
        try:
            lines = driver_tail(kubectl, head_of(attempt), tail)
            return Log(_harmless(lines), f"from pod {head_of(attempt)}", ())
        except (NotFoundError, NodeAwayError):
            pass  # the pod is gone, or its node: the storage has all but the last seconds
    with folder_of(kubectl, job, attempt, by_pod=False) as folder:
        found = parts(folder.files())
        if source not in found:
            known = ", ".join(list(found)[:8]) or "nobody"
            raise NotFoundError(
                f"there is no log of {source[:64]} in attempt {whole(attempt, 'number')}, but of {known}: a log comes "
                "some seconds after its first line"
            )
        whole_lines, rest, _ = last(folder, found[source], tail)
    told = [line.decode(errors="replace") for line in ([*whole_lines, rest][-tail:] if rest else whole_lines)]
    return Log(_harmless(told), place(attempt, asked.now), tuple(list(found)[:MOST_SOURCES]))


def sources(job: Object, log: Log, chosen: str) -> list[str]:
    """Whose logs can be chosen: those that were found, or as many ranks as there are workers."""
    count = min(max(whole(job, "status", "workers", "desired") or 0, 0), MOST_SOURCES)
    found = list(log.sources) or [DRIVER, *(f"rank-{index}" for index in range(count))]
    return found if chosen in found else [*found, chosen]


def _harmless(lines: list[str]) -> tuple[str, ...]:
    """The newest lines as a page may have them: nothing steers, and none is longer than anybody reads."""
    found: list[str] = []
    size = 0
    for line in reversed(lines):
        told = harmless(line, 4 * MOST_LINE)
        told = f"{told[:MOST_LINE]} ..." if len(told) > MOST_LINE else told
        size += len(told) + 1
        if size > MOST_CHARACTERS:
            break
        found.append(told)
    return tuple(reversed(found))


def _command(asked: Asked, source: str, attempt: int | None, tail: int) -> str:
    rank = f" --rank {source.removeprefix('rank-')}" if source.startswith("rank-") and source[5:].isdecimal() else ""
    number = f" --attempt {attempt}" if attempt is not None else ""
    options = asked.kubectl().target.options()
    return f"headway logs {asked.names['name']}{rank}{number} --tail {tail}{options}"


ROUTES = (Route("/jobs/{namespace}/{name}/logs", logs, "logs"),)
