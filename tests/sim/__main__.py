"""`make sim`: plays schedules, prints how it went, and a failure with its timeline."""

from __future__ import annotations

import gc
import sys

import click

from sim import bugs, serving_bugs, serving_drift_bugs, serving_load_bugs
from sim.bugs import Bug, planted
from sim.oddities import draw
from sim.runner import Kind, Tally, deployment_failure, play, play_many, shrink

SHOWN = 3
"""So many failures are told in full."""
LINES = 100
"""So many lines of what happened are told of a world of a ModelDeployment, which cannot be made short."""
BUGS: dict[Kind, tuple[Bug, ...]] = {
    "trainingjob": bugs.BUGS,
    "modeldeployment": (*serving_bugs.BUGS, *serving_drift_bugs.BUGS),
    "autoscaled": serving_load_bugs.BUGS,
}
MEASURES = {
    "trainingjob": "the most API calls about a job",
    "modeldeployment": "the most writes of a deployment's status",
    "autoscaled": "the most writes of a deployment's status",
}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--kind",
    type=click.Choice(list(BUGS)),
    default="trainingjob",
    show_default=True,
    help="Worlds of TrainingJobs, of a ModelDeployment, or of one whose number of pods follows the load.",
)
@click.option("--schedules", default=2000, show_default=True, help="How many schedules to play.")
@click.option("--seed", default=0, show_default=True, help="The seed of the first one; the others follow it.")
@click.option("--jobs", default=1, show_default=True, help="On how many processes.")
@click.option("--bug", help="Plant this bug of the simulation's, and look for the first schedule that finds it.")
@click.option("--long", is_flag=True, help="Tell a failure as it was drawn, without making it short.")
def main(kind: Kind, schedules: int, seed: int, jobs: int, bug: str | None, *, long: bool) -> None:
    """Play the operator against simulated clusters in which anything may go wrong."""
    gc.set_threshold(50_000, 20, 20)
    if bug is not None:
        _find(kind, bug, range(seed, seed + schedules), long=long)
        return

    def tell(tally: Tally) -> None:
        if sys.stderr.isatty():
            click.echo(f"\r{tally.played} of {schedules} schedules, {len(tally.failed)} failed", nl=False, err=True)

    tally = play_many(seed, schedules, jobs, tell, kind)
    each = 1000 * tally.seconds / max(1, tally.played)
    click.echo(
        f"{tally.played} schedules, seeds {seed} to {seed + schedules - 1}: {len(tally.failed)} failed; "
        f"{each:.1f} ms of CPU each; {MEASURES[kind]} were {tally.worst:.0%} of its bound"
    )
    for failed in tally.failed[:SHOWN]:
        click.echo(f"\n{_failure(kind, failed, long=long)}")
    if tally.failed:
        click.echo(f"\nseeds that failed: {' '.join(map(str, tally.failed))}")
        raise SystemExit(1)


def _find(kind: Kind, name: str, seeds: range, *, long: bool) -> None:
    # A bug of another kind of world is looked for there.
    kinds: list[Kind] = [kind, *(other for other in BUGS if other != kind)]
    known = [(of, bug) for of in kinds for bug in BUGS[of]]
    kind, found = next(((of, bug) for of, bug in known if bug.name == name), (kind, None))
    if found is None:
        raise click.BadParameter(f"there is no bug {name!r}; there are: {'; '.join(bug.name for _, bug in known)}")
    with planted(found):
        for seed in seeds:
            failure = _failure(kind, seed, long=long)
            if failure is not None:
                click.echo(failure)
                return
    raise click.ClickException(f"{len(seeds)} schedules do not find it")


def _failure(kind: Kind, seed: int, *, long: bool) -> str | None:
    """What goes wrong in the world of a seed, told."""
    if kind != "trainingjob":
        return deployment_failure(seed, None if long else LINES, loaded=kind == "autoscaled")
    failure = play(draw(seed))
    return None if failure is None else str(failure if long else shrink(failure))


if __name__ == "__main__":
    main()
