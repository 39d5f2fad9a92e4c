"""The pages about rollouts: each piece of a spec is valid and takes a version on; each way to stop has its row."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import yaml

from deployment_documents import deployment
from headway_api.deployment_status import Rejection
from headway_api.validate import problems_of
from markdown_blocks import ROOT, blocks

from .rollout_course import Course

PAGES = ROOT / "docs/how-to"
PIECES = [yaml.safe_load(block.text) for block in blocks(PAGES / "roll-out-a-version.md") if block.language == "yaml"]
STOPS = (PAGES / "when-a-rollout-stops.md").read_text()


def taken_on(rollout: dict[str, Any]) -> Course:
    """A second version has shown all that is asked for."""
    course = Course(rollout, {"spec.versions.approve": "digits-1"}).begin().split()
    assert course.status.rollout is not None
    longest = 60 + sum(step.get("minSeconds", 60) for step in rollout.get("canary", {}).get("steps", [{}] * 3))
    for kind in ("abTest", "shadow"):
        longest = rollout.get(kind, {}).get("minSeconds", longest)
    for _ in range(4):
        course.after(0)
        course.now += longest
        course.after(0)
    return course


@pytest.mark.parametrize("piece", PIECES, ids=lambda piece: ", ".join(piece["spec"]["rollout"]))
def test_a_piece_of_the_page_is_valid_and_takes_a_version_on(piece: dict[str, Any]) -> None:
    rollout = piece["spec"]["rollout"]
    assert problems_of(deployment({"spec.rollout": rollout})) == []
    course = taken_on(rollout)
    if rollout.get("approval") == "manual":
        assert (course.progress()[0], course.weights()) == ("AwaitingApproval", {1: 50, 2: 50})
        course.edit({"spec.versions.approve": "digits-2"})
        course.settle()
    assert course.version(2).state == "Champion"


def test_the_page_about_stops_has_a_row_for_each_reason() -> None:
    waits = (
        "Preparing",
        "WaitingForData",
        "Stalled",
        "AwaitingApproval",
        "Baking",
        "Ending",
        "`Canary`, `AbTest`, `Shadow`",
    )
    rows = [line for line in STOPS.splitlines() if line.startswith("| ")]
    for reason in (*get_args(Rejection), *waits):
        assert any(row.startswith((f"| `{reason}` |", f"| {reason} |")) for row in rows), reason


@pytest.mark.parametrize(
    "says",
    [
        "cannot share requests",
        "reports to the judge",
        "servers keep to it",
        "no gateway splits the requests",
        "for a while",
        "is not ready",
        "is refused",
        "of 500 requests",
        "was heard of the judge",
    ],
)
def test_the_page_about_stops_has_what_a_stalled_rollout_says(says: str) -> None:
    plans = ROOT / "operator/headway_operator/serving/plan"
    source = "".join((plans / name).read_text() for name in ("stall.py", "gateway.py")).replace('"\n            "', "")
    assert says in STOPS
    assert says.replace("500", "{needed}").replace("servers keep", "servers of version {stable} keep") in source
