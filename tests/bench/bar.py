"""Where the seconds of a start go, as a stacked bar in text: `python -m bench.bar` prints it for the page in docs."""

from __future__ import annotations

import sys
from pathlib import Path

from bench.report import Row, kept

RESULTS = Path(__file__).parent / "results" / "start.json"
PART = "of this: "
_SHADES = "█▓▒░"
_A_SECOND = 5
"""Characters."""


def bar(rows: list[Row]) -> str:
    """The bar of the figures that `bench.start` keeps, above it its rival's, below it a line a part."""
    whole = next(row for row in rows if row.reference and not row.name.startswith(PART))
    parts = [row for row in rows if row.name.startswith(PART)]
    assert whole.reference is not None
    rival = float(whole.reference["value"])
    shaded = "".join(shade * round(part.value * _A_SECOND) for shade, part in zip(_SHADES, parts, strict=True))
    lines = [
        f"torchrun  {'█' * round(rival * _A_SECOND)} {rival:.1f} s",
        f"Headway   {shaded} {whole.value:.1f} s",
        "",
        *(
            f"          {shade} {part.value:4.1f} s  {part.name.removeprefix(PART)}"
            for shade, part in zip(_SHADES, parts, strict=True)
        ),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(bar(kept(RESULTS)) + "\n")
