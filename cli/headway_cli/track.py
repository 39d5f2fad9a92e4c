"""`headway track`: tells the trackers of a run what they missed of it while they were down."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from headway_api import wire
from headway_api.wording import printable
from headway_cli.cluster.kubectl import Kubectl, Target, job
from headway_cli.cluster.names import KINDS
from headway_cli.verbs.shared import ClusterCommand, checked, complete_trials, target_options, telling_where

if TYPE_CHECKING:
    from headway_api.tracking import Tracking
    from headway_trainer.storage import Store

EXIT_NOT_TOLD = 1
LEAVE_SECONDS = 3.0
"""How much longer than it was given a request may take to end."""


@click.command(cls=ClusterCommand, short_help="Tell trackers what they missed of a run.")
@click.argument("folder", metavar="FOLDER", shell_complete=complete_trials)
@target_options
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, max=86_400),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How long a tracker that does not answer is tried.",
)
def track(folder: str, *, target: Target, timeout: float) -> NoReturn:
    """Tell the trackers of a run what they missed of it: those that its job names in spec.tracking.

    FOLDER is a folder that headway run has written, or a job's folder on its storage, such as s3://models/NAMESPACE/UID.
    Credentials come from the environment, such as MLFLOW_TRACKING_TOKEN. What a tracker knows already makes no
    difference to it.

    tj/NAME is a job of a cluster. A pod of its image tells its trackers, with the job's storage and Secrets, and is
    deleted again: a claim, and most trackers, are reached from the cluster alone. You need the right to create pods and
    to exec into them, and no extra.
    """
    kind, slash, _ = folder.partition("/")
    if slash and kind in KINDS and not Path(folder).exists():
        sys.exit(_by_pod(checked(folder), target, timeout))
    _here(folder, timeout)


def _by_pod(name: str, target: Target, timeout: float) -> int:
    """What a pod in the cluster tells; its exit code. Raises ClusterError."""
    from headway_cli.cluster.tracking_pods import MOST_SECONDS, tell

    if timeout > MOST_SECONDS:
        raise click.UsageError(
            f"--timeout {timeout:g} is more than the pod has that tells a cluster's trackers: give {MOST_SECONDS} at"
            " most, and the command again"
        )
    # Apart: Ctrl-C is ours, and the pod has to be deleted after it.
    kubectl = Kubectl(target, apart=True)
    with telling_where(kubectl):
        said = tell(kubectl, job(kubectl, name), timeout)
    for line in said.out.splitlines():
        click.echo(printable(line))
    for line in said.errors.splitlines():
        click.echo(printable(line), err=True)
    return said.code


def _here(folder: str, timeout: float) -> NoReturn:
    """Tell what this machine reaches. Raises ClickException."""
    from headway_trainer.errors import StorageError, UserError

    try:
        store = _opened(folder)
        job, settings = _recorded(store, folder)
        told = [_tell(store, name, settings, job, timeout) for name in settings.named]
    except (UserError, StorageError) as error:
        raise click.ClickException(printable(str(error))) from error
    if not told:
        click.echo("The job of this run names no tracker in spec.tracking: there is nothing to tell.")
    sys.exit(0 if all(told) else EXIT_NOT_TOLD)


def _opened(folder: str) -> Store:
    """The run's folder: of an output folder of `headway run`, the newest run's."""
    from headway_trainer.credentials import adopt, mounted
    from headway_trainer.storage import Store

    if "://" not in folder:
        runs = [path for path in Path(folder).glob(".headway/runs/*") if path.name.partition("-")[0].isdigit()]
        if runs:
            return Store.open(str(max(runs, key=lambda path: int(path.name.partition("-")[0]))))
    secrets = mounted(wire.STORAGE_SECRET_DIR)
    adopt(secrets)
    return Store.open(folder, secrets)


def _recorded(store: Store, folder: str) -> tuple[str, Tracking]:
    """The job's name, and who is told of it. Raises UserError and StorageError."""
    from headway_trainer.errors import UserError
    from headway_trainer.tracking.events import Began, Record

    begun = [event for event in Record(store, 0).read() if isinstance(event, Began) and event.tracking is not None]
    if not begun or begun[-1].tracking is None:
        raise UserError(
            f"{folder} holds no record of a run: give the folder of a run, as headway run's --output or a job's folder"
            " on its storage"
        )
    return begun[-1].name, begun[-1].tracking


def _warn(title: str, problem: str | None) -> None:
    if problem is not None:
        click.echo(printable(f"{title}: {problem}"), err=True)


def _tell(store: Store, name: str, settings: Tracking, job: str, timeout: float) -> bool:
    """Tell a tracker; whether it was told everything."""
    from headway_trainer.credentials import mounted
    from headway_trainer.tracking.credentials import environment_of
    from headway_trainer.tracking.follower import left
    from headway_trainer.tracking.process import Task, Teller
    from headway_trainer.tracking.trackers.make import target_of, title_of

    secrets = mounted(wire.TRACKING_SECRET_DIR)
    target, title = target_of(name, settings, job), title_of(name, settings)
    before = left(store, name, target)
    task = Task(
        storage_uri=store.uri,
        storage_secret_dir=mounted(wire.STORAGE_SECRET_DIR),
        tracking_secret_dir=secrets,
        tracker=name,
        tracking=settings,
        job=job,
    )
    teller = Teller(
        task,
        lambda problem: _warn(title, problem),
        time.monotonic,
        adopt=lambda: os.environ.update(environment_of(secrets)),
    )
    teller.end_within(timeout)
    # In a thread: a server may answer a byte at a time, which no client's timeout ends.
    thread = threading.Thread(target=teller.run, daemon=True)
    thread.start()
    thread.join(timeout + LEAVE_SECONDS)
    if thread.is_alive():
        click.echo(f"{title}: it has not come to the end of an answer within {timeout:g} s", err=True)
    count = left(store, name, target)
    click.echo(f"{title}: {before - count} records told, {count} left.")
    return not thread.is_alive() and not count
