"""The page that explains the judge: its figures are what the tests say, and it tells of each gate and each word."""

from __future__ import annotations

from typing import get_args

from evidence_page import PAGE, PICTURE, picture, tables, with_tables
from headway_server.judge.gates import Analysis, Verdict, judge

AGAIN = "run: python tests/evidence_page.py"


def test_its_tables_and_its_picture_are_computed() -> None:
    assert with_tables(PAGE.read_text(), tables()) == PAGE.read_text(), AGAIN
    assert PICTURE.read_text() == picture(), AGAIN


def test_it_tells_of_each_gate_and_of_each_verdict() -> None:
    page = PAGE.read_text()
    gates = judge(Analysis(max_error_rate=0.1, limits_p99=True, min_agreement=0.5), [])
    assert [gate.name for gate in gates if f"| `{gate.name}` |" not in page] == []
    for word in get_args(Verdict):
        assert f"- **{word}**: " in page, word
