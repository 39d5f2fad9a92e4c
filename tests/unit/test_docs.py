"""The pages: their YAML is valid, their links lead somewhere. Tests that need more run what they tell to type."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
import yaml

from headway_api.validate import check
from headway_site.decisions import listing
from markdown_blocks import ROOT, Block, blocks, pages

YAML_BLOCKS = [block for page in pages() for block in blocks(page) if block.language == "yaml"]


KINDS = ("TrainingJob", "ModelDeployment")
EXAMPLES = [
    path
    for path in sorted(ROOT.glob("examples/**/*.yaml"))
    if any(f"kind: {kind}" in path.read_text() for kind in KINDS)
]


def objects_of(block: Block) -> bool:
    return any(
        isinstance(document, dict) and document.get("kind") in KINDS for document in yaml.safe_load_all(block.text)
    )


@pytest.mark.parametrize("block", [block for block in YAML_BLOCKS if objects_of(block)], ids=str)
def test_an_object_on_a_page_is_valid_unless_it_is_shown_as_a_mistake(block: Block) -> None:
    problems = list(check(block.text.encode()).problems)
    assert bool(problems) == ("invalid" in block.words), problems


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_is_valid(path: Path) -> None:
    assert not check(path.read_bytes()).problems


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def anchors(page: Path) -> set[str]:
    """What GitHub makes of a page's headings: small letters, signs left out, a hyphen for each space; a number where a
    heading is there again."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    seen: Counter[str] = Counter()
    found = set()
    for heading in re.findall(r"^#{1,6} +(.+?) *$", text, re.MULTILINE):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_anchors_of_links_are_headings_as_github_names_them(page: Path) -> None:
    """The build of the site looks for them in the site."""
    found = re.findall(r"\]\((?!https?:)([^)#]*\.md)?#([^)]+)\)", page.read_text())
    assert [
        f"{path}#{anchor}" for path, anchor in found if anchor not in anchors(page.parent / path if path else page)
    ] == []


def test_the_list_of_decisions_has_each_of_them() -> None:
    assert (ROOT / "docs/decisions/README.md").read_text() == listing(), "run make generate"


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_shell_block_is_marked_so_that_a_test_can_run_it(page: Path) -> None:
    known = {"cluster", "fails", "alone", "invalid"}
    words = {word for block in blocks(page) for word in block.words if not word.startswith("file=")}
    assert words <= known
    assert {block.language for block in blocks(page)} <= {
        "sh",
        "yaml",
        "python",
        "text",
        "json",
        "ini",
        "diff",
    }
