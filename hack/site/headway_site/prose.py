"""Whether pages and messages are plain English: python -m headway_site.prose tells each place that is not.

`words.toml` has the words to avoid and the longest sentence. Code, targets of links and comments are not read, nor
decisions and the changelog, which are for those who build Headway.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from headway_site.pages import ROOT

RULES = ROOT / "hack/site/words.toml"
PAGES = (
    "README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/*.md", "docs/how-to/*.md", "docs/explanation/*.md",
    "docs/reference/*.md", "hack/**/README.md",
)  # fmt: skip
PACKAGES = ("crds", "cli", "operator", "server", "trainer")
LEAST_SPACES = 3
"""A text in code with fewer is a name, a key or a part of something, and no message."""

_CODE = (
    re.compile(r"^(?P<ticks>`{3,}).*?^(?P=ticks)[^\S\n]*$", re.MULTILINE | re.DOTALL),
    re.compile(r"<!--.*?-->", re.DOTALL),
    re.compile(r"(?P<ticks>`+)[^`].*?(?P=ticks)", re.DOTALL),
)
_LINK = re.compile(r"!?\[(?P<text>[^\]]*)\]\([^)]*\)")
_BEGINS = re.compile(r"\s*([-*#|]|\d+\.)")
_SENTENCE_ENDS = re.compile(r"(?<=[.!?:;])[)*\"']*\s+")
_WORD = re.compile(r"[\w'-]+")
_TWICE = re.compile(r"\b(?!that\b|had\b)([a-z]{2,}) \1\b")


@dataclass(frozen=True)
class Rules:
    """What to find in pages and in messages, in small letters, each with what to say instead; longest: the most words
    of a sentence of a page."""

    pages: tuple[tuple[re.Pattern[str], str], ...]
    messages: tuple[tuple[re.Pattern[str], str], ...]
    longest: int


@dataclass(frozen=True)
class Problem:
    """What is wrong in a line of a file."""

    path: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what}"


def rules(path: Path = RULES) -> Rules:
    """The rules of a file."""
    told = tomllib.loads(path.read_text())
    words = [(re.compile(rf"\b(?:{rule['match']})\b"), rule["say"]) for rule in told["rules"]]
    pages_only = [rule.get("pages_only", False) for rule in told["rules"]]
    messages = tuple(word for word, pages in zip(words, pages_only, strict=True) if not pages)
    return Rules(tuple(words), messages, told["longest_sentence"])


def in_page(path: str, text: str, held: Rules) -> list[Problem]:
    """The problems of a page of Markdown."""
    for pattern in _CODE:
        text = pattern.sub(lambda match: "X" + "\n" * match[0].count("\n"), text)
    shown = _LINK.sub(lambda match: match["text"] + "\n" * match[0].count("\n"), text)
    found = list(_house_words(path, 1, shown, held.pages))
    short = _LINK.sub(lambda match: "X" + "\n" * match[0].count("\n"), text)
    return found + [problem for line, block in _blocks(short) for problem in _long(path, line, block, held)]


def in_code(path: str, source: str, held: Rules) -> list[Problem]:
    """The problems of the messages in a Python file: its texts, without docstrings."""
    tree = ast.parse(source)
    # A text that is a statement of its own is a docstring, or says what the name above it is.
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [
        problem
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
        if node.value.count(" ") >= LEAST_SPACES
        for problem in _house_words(path, node.lineno, re.sub(r"`[^`]*`", "X", node.value), held.messages)
    ]


def _house_words(path: str, first: int, text: str, words: tuple[tuple[re.Pattern[str], str], ...]) -> Iterator[Problem]:
    small = text.lower()
    found = [(match, say) for pattern, say in words for match in pattern.finditer(small.replace("\n", " "))]
    # Within a line: what follows may be another block.
    found += [(match, "the word once") for match in _TWICE.finditer(small)]
    for match, say in found:
        yield Problem(path, first + small.count("\n", 0, match.start()), f"`{match[0]}`: say {say}")


def _blocks(text: str) -> Iterator[tuple[int, str]]:
    """What ends a sentence without a full stop: paragraphs, headings, items and cells, each with its first line."""
    begun, lines = 1, [""]
    for number, line in enumerate([*text.splitlines(), ""], 1):
        if not line.strip() or _BEGINS.match(line) or lines[-1].startswith(("#", "|")):
            for cell in " ".join(lines).split("|"):
                yield begun, cell
            begun, lines = number + (not line.strip()), []
        lines.append(line)


def _long(path: str, line: int, block: str, held: Rules) -> Iterator[Problem]:
    for sentence in _SENTENCE_ENDS.split(block):
        if (count := len(_WORD.findall(sentence))) > held.longest:
            yield Problem(
                path, line, f"{count} words in a sentence, {held.longest} at most: {sentence.strip()[:60]} ..."
            )


def problems(root: Path = ROOT) -> list[Problem]:
    """What is wrong in all pages and messages of a checkout, in order."""
    held = rules()
    pages = [path for pattern in PAGES for path in root.glob(pattern) if "node_modules" not in path.parts]
    code = [path for package in PACKAGES for path in root.glob(f"{package}/headway*/**/*.py")]
    found = [problem for path in pages for problem in in_page(str(path.relative_to(root)), path.read_text(), held)]
    found += [problem for path in code for problem in in_code(str(path.relative_to(root)), path.read_text(), held)]
    return sorted(found, key=lambda problem: (problem.path, problem.line))


def main() -> None:
    """Tell all, and fail where there is one."""
    found = problems()
    print(*found, sep="\n", file=sys.stderr)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
