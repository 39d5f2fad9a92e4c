"""The simulation finds bugs: each one that is planted fails in the schedule of its seed, which passes without it."""

from __future__ import annotations

import pytest

from sim.bugs import BUGS, Bug, planted
from sim.oddities import draw
from sim.runner import play, shrink

OTHERS = 150
"""An operator that makes other calls makes other worlds: where a bug's seed finds it no more, one of these does."""


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_fails_in_the_schedule_of_its_seed_alone(bug: Bug) -> None:
    with planted(bug):
        failures = (play(draw(seed)) for seed in (bug.seed, *range(OTHERS)))
        found = next((failure for failure in failures if failure is not None and bug.says in failure.said), None)
    assert found is not None, f"{OTHERS} schedules do not find it; look for one with make sim BUG={bug.name!r}"
    sound = play(found.schedule)
    assert sound is None, str(sound)


def test_a_failure_is_made_short_and_tells_who_did_what() -> None:
    bug = BUGS[0]
    with planted(bug):
        found = play(draw(bug.seed))
        assert found is not None
        short = shrink(found)
    assert len(short.schedule.actions) <= len(found.schedule.actions)
    assert len(short.schedule.jobs) == 1
    text = str(short)
    assert f"make sim SCHEDULES=1 SEED={bug.seed}" in text
    assert "operator-1   create pods" in text
    assert text.startswith(short.said)


def test_a_bug_whose_place_has_changed_says_so() -> None:
    where, _, new = BUGS[0].edits[0]
    moved = Bug("moved", 0, "", ((where, "words that are not there", new),))
    with pytest.raises(LookupError, match="words that are not there"), planted(moved):
        pass
