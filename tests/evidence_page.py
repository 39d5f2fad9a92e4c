"""The picture and the tables of docs/explanation/how-a-version-is-judged.md, from the tests themselves.

`python tests/evidence_page.py` writes them again; a test compares.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from headway_server.judge.evidence import Split, evidence_above, split_evidence

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/explanation/how-a-version-is-judged.md"
PICTURE = PAGE.with_name("evidence.svg")
ROLLOUTS = 300
ALPHA = 0.05
GATES = 2
"""Of a deployment that says nothing of its analysis: errors, and slow answers, against the stable version."""
NEEDED = GATES / ALPHA
Numbers = npt.NDArray[np.int64]


def _events(rng: np.random.Generator, rate: float, requests: Numbers) -> Numbers:
    return np.asarray(rng.binomial(requests, rate), np.int64)


def split_needs(rate: float, worse: float, share: float) -> tuple[float, float]:
    """The candidate's requests until it fails against the stable version: of half, and of nine in ten rollouts."""
    rng = np.random.default_rng(11)
    # By the information of an event: looked at some hundred times until it fails.
    every = max(10, int(0.02 * math.log(NEEDED) / (share * worse * (1 - rate / worse) ** 2)))
    found: list[float] = []
    for _ in range(ROLLOUTS):
        its = mine = theirs = 0
        while split_evidence([Split(share, mine, mine + theirs)]) < math.log(NEEDED):
            more = int(rng.binomial(every, share))
            its += more
            mine += int(rng.binomial(more, worse))
            theirs += int(rng.binomial(every - more, rate))
        found.append(its)
    return float(np.quantile(found, 0.5)), float(np.quantile(found, 0.9))


def limit_needs(limit: float, rate: float, needed: float) -> tuple[float, float]:
    """Requests until a version fails by a limit."""
    rng = np.random.default_rng(12)
    found: list[float] = []
    for _ in range(ROLLOUTS):
        requests = events = 0
        while evidence_above(events, requests, limit) < math.log(needed):
            gap = int(rng.geometric(rate))  # up to the next event: only then E may be enough
            requests, events = requests + gap, events + 1
        found.append(requests)
    return float(np.quantile(found, 0.5)), float(np.quantile(found, 0.9))


def _shown(needs: tuple[float, float]) -> str:
    return " (".join(f"{float(f'{number:.2g}'):,.0f}" for number in needs) + ")"


def _percent(rate: float) -> str:
    return f"{100 * rate:g} %"


def split_table() -> str:
    """Against the stable version."""
    rows = [
        "| stable version | candidate | its requests at a share of 10 % | at 50 % |",
        "|---|---|---|---|",
    ]
    for rate, worse in ((0.001, 0.01), (0.001, 0.05), (0.01, 0.02), (0.01, 0.03), (0.01, 0.1), (0.01, 0.5)):
        needs = [_shown(split_needs(rate, worse, share)) for share in (0.1, 0.5)]
        rows.append(f"| {_percent(rate)} | {_percent(worse)} | {needs[0]} | {needs[1]} |")
    return "\n".join(rows)


def limit_table() -> str:
    """Against limits."""
    needed = (GATES + 1) / ALPHA
    rows = ["| limit | it really is | its requests |", "|---|---|---|"]
    for name, limit, rates in (
        ("`errors.maxRate: 0.01`", 0.01, (0.02, 0.05, 0.1, 0.5)),
        ("`latency.maxP99Milliseconds`: 1 % may be slower", 0.01, (0.02, 0.05)),
        ("`agreement.min: 0.9`: 10 % may differ", 0.1, (0.2, 0.3, 0.5)),
    ):
        rows += [f"| {name} | {_percent(rate)} | {_shown(limit_needs(limit, rate, needed))} |" for rate in rates]
    return "\n".join(rows)


def tables() -> dict[str, str]:
    """By the names of their places on the page."""
    return {"split": split_table(), "limit": limit_table()}


def with_tables(page: str, made: dict[str, str]) -> str:
    """The page with these in their places."""
    for name, text in made.items():
        place = re.search(rf"<!-- {name}: [^>]*-->\n", page)
        if place is None:
            raise ValueError(f"{PAGE} has no place for {name}")
        end = page.index("<!-- end -->", place.end())
        page = f"{page[: place.end()]}{text}\n{page[end:]}"
    return page


SHARE, RATE, BAD = 0.1, 0.01, 0.03
MOST, EVERY = 600, 10
"""Requests of the candidate in the picture, and how many lie between two of its points."""
WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 720, 380, 64, 24, 700, 330
LEAST_E, MOST_E = 1e-3, 1e4


def path_of(rng: np.random.Generator, rate: float) -> Iterator[tuple[int, float]]:
    """Requests of a candidate, and log E that it is worse: up to where it fails."""
    mine = theirs = 0
    for its in range(EVERY, MOST + 1, EVERY):
        others = int(rng.binomial(int(EVERY / SHARE), 1 - SHARE))
        mine += int(rng.binomial(EVERY, rate))
        theirs += int(rng.binomial(others, RATE))
        evidence = split_evidence([Split(SHARE, mine, mine + theirs)])
        yield its, evidence
        if evidence >= math.log(NEEDED):
            return


def _x(requests: float) -> float:
    return LEFT + (RIGHT - LEFT) * requests / MOST


def _y(log: float) -> float:
    least, most = math.log(LEAST_E), math.log(MOST_E)
    return BOTTOM - (BOTTOM - TOP) * (min(max(log, least), most) - least) / (most - least)


def _line(points: Sequence[tuple[float, float]], color: str) -> str:
    told = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{told}" fill="none" stroke="{color}" stroke-width="1.6" stroke-opacity="0.75"/>'


def _text(x: float, y: float, words: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{words}</text>'


def picture() -> str:
    """E over the candidate's requests, for some good candidates and some bad ones."""
    rng = np.random.default_rng(5)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="13" fill="#333">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
    ]
    for power in range(-3, 5):
        y = _y(power * math.log(10))
        parts.append(f'<path d="M{LEFT} {y:.1f}H{RIGHT}" stroke="#ddd"/>')
        parts.append(_text(LEFT - 8, y + 4, f"{10.0**power:g}", 'text-anchor="end"'))
    parts.extend(
        _text(_x(requests), BOTTOM + 18, str(requests), 'text-anchor="middle"') for requests in range(0, MOST + 1, 100)
    )
    parts.append(_text((LEFT + RIGHT) / 2, BOTTOM + 38, "requests of the candidate", 'text-anchor="middle"'))
    y = _y(math.log(NEEDED))
    parts.append(f'<path d="M{LEFT} {y:.1f}H{RIGHT}" stroke="#333" stroke-dasharray="6 4"/>')
    parts.append(_text(RIGHT - 4, y - 6, f"E = {NEEDED:g}: it fails", 'text-anchor="end"'))
    for rate, color in ((RATE, "#1b7837"), (BAD, "#b2182b")):
        for _ in range(6):
            points = [(_x(0), _y(0.0)), *((_x(its), _y(log)) for its, log in path_of(rng, rate))]
            parts.append(_line(points, color))
    parts.append(_text(_x(330), _y(math.log(1.6e-3)), "six candidates that are as good", 'fill="#1b7837"'))
    parts.append(_text(_x(40), _y(math.log(1.5e3)), "six with three times the errors", 'fill="#b2182b"'))
    return "\n".join([*parts, "</svg>", ""])


def main() -> None:
    """Write picture and tables."""
    PICTURE.write_text(picture())
    PAGE.write_text(with_tables(PAGE.read_text(), tables()))


if __name__ == "__main__":
    main()
