"""The fenced code blocks of a Markdown page, so that tests run what readers type.

The words after the language say what a block is: `file=NAME` is saved under that name; `cluster` needs a Kubernetes
cluster; `fails` is expected to end with an error; `invalid` is a job file that must be refused; `alone` is run by a
test of its own and not with its page.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
_FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    page: Path
    line: int
    language: str
    words: tuple[str, ...]
    text: str

    @property
    def file(self) -> str | None:
        """The name under which the reader saves the block."""
        return next((word.removeprefix("file=") for word in self.words if word.startswith("file=")), None)

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """Every Markdown page that people read, but for the generated reference."""
    return sorted(
        [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("hack/**/*.md")]
    )


def blocks(page: Path) -> list[Block]:
    """The page's fenced blocks, in order."""
    text = page.read_text()
    found = []
    for match in _FENCE.finditer(text):
        language, *words = match["info"].split() or [""]
        line = text.count("\n", 0, match.start()) + 2
        found.append(Block(page, line, language, tuple(words), match["text"]))
    return found


def script(page: Path, *, cluster: bool, machine: bool = True) -> str:
    """A bash script that does what a reader of the page does: saves its files and types its commands, in order.

    cluster: whether to type the commands that need a cluster; machine: whether to type the others.
    """
    # A page whose commands fail leaves nothing in the background, which would keep this script's output open.
    lines = ["set -euo pipefail", "trap 'kill $(jobs -p) 2> /dev/null || true' EXIT"]
    for block in blocks(page):
        if block.file:
            lines += [f"cat > {block.file} <<'END_OF_BLOCK'", block.text.rstrip("\n"), "END_OF_BLOCK"]
        elif (
            block.language == "sh" and "alone" not in block.words and (cluster if "cluster" in block.words else machine)
        ):
            lines.append(f"echo '--- {block}'")
            if "fails" in block.words:
                lines.append(f"if ( {block.text} ); then echo 'this should have failed'; exit 1; fi")
            else:
                lines.append(block.text.rstrip("\n"))
    return "\n".join(lines) + "\n"
