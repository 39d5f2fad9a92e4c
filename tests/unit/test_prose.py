"""Pages and messages are plain English; what finds that they are not, finds it."""

from __future__ import annotations

import pytest

from headway_site.prose import in_code, in_page, problems, rules

RULES = rules()


def test_pages_and_messages_are_plain_english() -> None:
    assert [str(problem) for problem in problems()] == []


FOUND = {
    "a house word": ("A fine line.\n\nYou mend\nit.\n", [(3, "`mend`")]),
    "at the beginning of a sentence": ("Anew it begins.\n", [(1, "`anew`")]),
    "in a heading": ("# What mends itself\n", [(1, "`mends`")]),
    "in a table": ("| a | b |\n|---|---|\n| c | it stands still |\n", [(3, "`stands still`")]),
    "in a link's text": ("See [what stands here](x.md).\n", [(1, "`stands`")]),
    "over two lines": ("The job goes\non.\n", [(1, "`goes on`")]),
    "a word twice": ("It is the the end.\n", [(1, "`the the`")]),
    "e.g.": ("Take one, e.g. this.\n", [(1, "`e.g`")]),
    "after a fence, by its line": ("```sh\nmend\n```\nmend\n", [(4, "`mend`")]),
    "a long sentence": (f"Short.\n\n{'a word ' * 21}end.\n", [(3, "43 words in a sentence")]),
    "a long sentence over lines": ("\n".join(["a word " * 11] * 2) + "\n", [(1, "44 words in a sentence")]),
}


@pytest.mark.parametrize(("page", "found"), FOUND.values(), ids=FOUND)
def test_what_a_reader_stumbles_over_is_told_with_its_line(page: str, found: list[tuple[int, str]]) -> None:
    told = in_page("page.md", page, RULES)
    assert [(problem.line, problem.what.partition(":")[0].partition(",")[0]) for problem in told] == found
    assert all(str(problem).startswith(f"page.md:{problem.line}: ") for problem in told)


FINE = {
    "code": "`mend anew`\n\n```sh\nmend\n```\n\n<!-- mend -->\n",
    "what a word stands for": "A mean stands for what is missing; another replica stands by.\n",
    "a part of a word": "An amendment to the standard.\n",
    "the target of a link": "[x](how-to/anew.md)\n",
    "links and code count once": f"A list: {'[one two three four](x.md), `a b c d`, ' * 19}all.\n",
    "items are sentences of their own": "- " + "a word " * 15 + "\n- " + "a word " * 15 + "\n",
    "cells, too": "| " + "a word " * 15 + "| " + "a word " * 15 + "|\n",
    "and a heading": "## " + "a word " * 15 + "\n" + "a word " * 15 + "\n",
}


@pytest.mark.parametrize("page", FINE.values(), ids=FINE)
def test_what_is_fine_is_left_alone(page: str) -> None:
    assert in_page("page.md", page, RULES) == []


def test_messages_in_code_are_read_and_docstrings_are_not() -> None:
    source = '''"""To mend it anew."""
NAME = "mend"
"""What is here to mend anew."""


def told(count: int) -> str:
    """To mend it anew."""
    return f"{count} files are damaged: `mend a b` and mend them"
'''
    assert [(problem.line, problem.what) for problem in in_code("x.py", source, RULES)] == [
        (8, "`mend`: say fix, repair, correct")
    ]
