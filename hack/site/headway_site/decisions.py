"""The list of decisions: python -m headway_site.decisions > docs/decisions/README.md."""

from __future__ import annotations

import re

from headway_site.pages import ROOT

HEAD = """# Decisions

Each page has one choice that is not obvious: its context, what was decided, and what follows. Some numbers were never
given. `make generate` writes this list.

| | |
|---|---|
"""


def listing() -> str:
    """The page: each decision's number and heading, which is its file's first line without its number."""
    rows = []
    for path in sorted((ROOT / "docs/decisions").glob("[0-9]*.md")):
        heading = re.sub(r"^#\s*\d+[.:]?\s*", "", path.read_text().partition("\n")[0])
        rows.append(f"| {path.name[:4]} | [{heading}]({path.name}) |\n")
    return HEAD + "".join(rows)


if __name__ == "__main__":
    print(listing(), end="")
