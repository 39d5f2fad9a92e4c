"""What GitHub's Markdown becomes for MkDocs, and which files are laid out for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from headway_site.markdown import translated
from headway_site.pages import LinkError, files, lay_out, links

CASES = {
    "a list after a paragraph gets an empty line": ("Three:\n- a\n- b\n", "Three:\n\n- a\n- b\n"),
    "so does a numbered one": ("Three:\n1. a\n", "Three:\n\n1. a\n"),
    "a list after a heading": ("## Two\n- a\n", "## Two\n\n- a\n"),
    "a table": ("Three:\n| a |\n|---|\n", "Three:\n\n| a |\n|---|\n"),
    "a paragraph after a table": ("| a |\nText\n", "| a |\n\nText\n"),
    "a fence without words": ("```\na\n```\n", "```text\na\n```\n"),
    "words of a fence go": ("```sh cluster\na\n```\n", "```sh\na\n```\n"),
    "a file's name is its block's title": ("```yaml file=a.yaml invalid\na\n```\n", '```yaml title="a.yaml"\na\n```\n'),
    "what is in a fence stays": ("```sh\na\n- b\n| \\| \\<\n```\n", "```sh\na\n- b\n| \\| \\<\n```\n"),
    "an escaped sign": ("0\\<=x and `0\\<=x`\n", "0&lt;=x and `0\\<=x`\n"),
    "a bar in a table's code": ("| `a\\|b` | c\\|d |\n", "| `a|b` | c\\|d |\n"),
    "a bar in code elsewhere": ("`a\\|b`\n", "`a\\|b`\n"),
    "an item that goes on": ("- a\n  b\n- c\n", "- a\n    b\n- c\n"),
    "an item with blocks": ("- a\n\n  | b |\n\n  c\n- d\n", "- a\n\n    | b |\n\n    c\n\n- d\n"),
    "text after a list": ("- a\n\nText\n  more\n", "- a\n\nText\n  more\n"),
}


@pytest.mark.parametrize(("page", "wanted"), CASES.values(), ids=CASES)
def test_a_page_is_told_in_the_other_dialect(page: str, wanted: str) -> None:
    assert translated(page) == wanted


def test_links_in_code_are_none_and_anchors_are_left_out() -> None:
    text = "[a](b.md#c) [d](https://e) [f](#g) `[h](i.md)`\n```text\n[j](k.md)\n```\n![l](m.png)\n"
    assert links(text) == ["b.md", "m.png"]


def test_what_pages_link_to_is_laid_out_beside_them_and_nothing_else(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "docs").mkdir(parents=True)
    (root / "examples").mkdir()
    (root / "README.md").write_text("[a](docs/a.md)\n")
    (root / "docs/a.md").write_text("Look:\n- [b](../examples/b.yaml)\n")
    for name in ("b", "c"):
        (root / f"examples/{name}.yaml").write_text(name)
    target = tmp_path / "pages"
    target.mkdir()
    (target / "old.md").write_text("from before")
    lay_out(target, root)
    assert {str(path.relative_to(target)) for path in target.rglob("*.*")} == {
        "README.md",
        "docs/a.md",
        "examples/b.yaml",
    }
    assert (target / "docs/a.md").read_text() == "Look:\n\n- [b](../examples/b.yaml)\n"
    (root / "docs/a.md").write_text("[gone](gone.md)\n")
    with pytest.raises(LinkError, match=r"docs/a\.md: the link to gone\.md leads to no file of this repository"):
        files(root)
