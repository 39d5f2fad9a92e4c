"""`make sim`: plays schedules, prints how it went, and a failure with its timeline."""

from __future__ import annotations

import gc
import sys

import click

from sim.bugs import BUGS, planted
from sim.oddities import draw
from sim.runner import Failure, Tally, play, play_many, shrink

SHOWN = 3
"""So many failures are told in full."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--schedules", default=2000, show_default=True, help="How many schedules to play.")
@click.option("--seed", default=0, show_default=True, help="The seed of the first one; the others follow it.")
@click.option("--jobs", default=1, show_default=True, help="On how many processes.")
@click.option("--bug", help="Plant this bug of sim/bugs.py, and look for the first schedule that finds it.")
@click.option("--long", is_flag=True, help="Tell a failure as it was drawn, without making it short.")
def main(schedules: int, seed: int, jobs: int, bug: str | None, *, long: bool) -> None:
    """Play the operator against simulated clusters in which anything may go wrong."""
    gc.set_threshold(50_000, 20, 20)
    if bug is not None:
        _find(bug, range(seed, seed + schedules), long=long)
        return

    def tell(tally: Tally) -> None:
        if sys.stderr.isatty():
            click.echo(f"\r{tally.played} of {schedules} schedules, {len(tally.failed)} failed", nl=False, err=True)

    tally = play_many(seed, schedules, jobs, tell)
    each = 1000 * tally.seconds / max(1, tally.played)
    click.echo(
        f"{tally.played} schedules, seeds {seed} to {seed + schedules - 1}: {len(tally.failed)} failed; "
        f"{each:.1f} ms of CPU each; the most API calls about a job were {tally.worst:.0%} of its bound"
    )
    for failed in tally.failed[:SHOWN]:
        found = play(draw(failed))
        if found is not None:
            click.echo(f"\n{_told(found, long=long)}")
    if tally.failed:
        click.echo(f"\nseeds that failed: {' '.join(map(str, tally.failed))}")
        raise SystemExit(1)


def _find(name: str, seeds: range, *, long: bool) -> None:
    found = next((bug for bug in BUGS if bug.name == name), None)
    if found is None:
        raise click.BadParameter(f"there is no bug {name!r}; there are: {'; '.join(bug.name for bug in BUGS)}")
    with planted(found):
        for seed in seeds:
            failure = play(draw(seed))
            if failure is not None:
                click.echo(_told(failure, long=long))
                return
    raise click.ClickException(f"{len(seeds)} schedules do not find it")


def _told(failure: Failure, *, long: bool) -> str:
    return str(failure if long else shrink(failure))


if __name__ == "__main__":
    main()
