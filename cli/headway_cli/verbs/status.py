"""`headway status`: jobs and deployments of a cluster in a table; or one, with what it does or why it waits."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import datetime

import click

from headway_cli.cluster import deployment_lines, job_lines, tables
from headway_cli.cluster.errors import EXIT_DONE, EXIT_INTERRUPTED, ClusterError
from headway_cli.cluster.fields import Object, text
from headway_cli.cluster.kubectl import Call, Kubectl, Target, find, missing, objects, refuse_another, where
from headway_cli.cluster.names import FINISHED, LABEL_JOB, MODEL_DEPLOYMENTS, TRAINING_JOBS
from headway_cli.cluster.polling import Clock, Once, Trouble, looked
from headway_cli.verbs.curve import Curve
from headway_cli.verbs.screen import Screen
from headway_cli.verbs.shared import (
    ClusterCommand,
    aligned,
    all_namespaces_option,
    complete_objects,
    is_terminal,
    note,
    say,
    split_name,
    target_options,
    tell_where,
    width,
)

JOB_SECONDS = 2.0
"""How often one object is looked at again."""
TABLE_SECONDS = 5.0
"""How often all of them are."""
CLOCK = Clock()


@click.command(cls=ClusterCommand, short_help="Show jobs and deployments of a cluster, or how far one is.")
@click.argument("name", required=False, metavar="[NAME]", shell_complete=complete_objects)
@target_options
@all_namespaces_option
@click.option("-l", "--selector", metavar="LABELS", help="Only objects with these labels, as kubectl has it.")
@click.option("-w", "--watch", is_flag=True, help="Keep watching, and show what changes; Ctrl-C ends it.")
@click.option(
    "--curve",
    is_flag=False,
    flag_value="",
    metavar="[METRIC]",
    help="Also the curve of a metric of the named job, read from its storage.  [default: its loss]",
)
@click.option(
    "-o", "--output", type=click.Choice(["wide", "json", "yaml", "name"]), help="More columns, or the objects."
)
def status(
    name: str | None, *, target: Target, selector: str | None, watch: bool, curve: str | None, output: str | None
) -> None:
    """Show the TrainingJobs and ModelDeployments of a namespace, or how far the one of that NAME is.

    NAME may be tj/NAME or md/NAME. The exit code is 1 if the named job has failed, and 64 if it has by its own code or
    data. With --watch the command ends when the named job has ended; on a terminal it draws the curve of what is seen
    meanwhile, and with --curve from the beginning on.
    """
    if name is not None and (target.all_namespaces or selector is not None):
        raise click.UsageError("give either a NAME, or --all-namespaces or --selector")
    if watch and output not in (None, "wide"):
        raise click.UsageError(f"--watch shows a table or a job, and no {output}: leave one of the two out")
    if curve is not None and (name is None or output not in (None, "wide")):
        raise click.UsageError("--curve is of one job and for people: give the job's NAME first, and no other --output")
    kubectl = Kubectl(target)
    shown = _Objects(kubectl, name, selector, curve)
    if output in ("json", "yaml", "name"):
        found = shown.look()
        _print(found.objects, output, alone=name is not None)
        sys.exit(found.exit_code())
    asked = kubectl.where()
    try:
        if watch:
            sys.exit(_watch(shown, asked, target, wide=output == "wide"))
        try:
            found = shown.look()
        finally:
            tell_where(where(asked, target), everywhere=target.all_namespaces)
    finally:
        asked.close()
    for line, mark in found.lines(CLOCK.now(), wide=output == "wide", columns=width()):
        say(line, mark=mark)
    sys.exit(found.exit_code())


class _Found:
    """What a look has found."""

    def __init__(
        self,
        found: Sequence[Object],
        pods: Sequence[Object] = (),
        name: str | None = None,
        curve: str = "",
        *,
        namespaces: bool = False,
    ) -> None:
        self.objects, self._pods, self.name, self.namespaces = found, pods, name, namespaces
        self._curve = curve

    @property
    def jobs(self) -> list[Object]:
        return [each for each in self.objects if text(each, "kind") == tables.JOB]

    @property
    def deployments(self) -> list[Object]:
        return [each for each in self.objects if text(each, "kind") == tables.DEPLOYMENT]

    def exit_code(self) -> int:
        """What the command ends with."""
        return job_lines.exit_code(self.jobs[0]) if self.name is not None and self.jobs else EXIT_DONE

    def ended(self) -> bool:
        """Whether there is nothing more to watch."""
        return bool(self.name is not None and self.jobs and job_lines.phase(self.jobs[0]) in FINISHED)

    def lines(self, now: datetime, *, wide: bool, columns: int | None) -> list[tuple[str, str | None]]:
        """Each line, and the word in it that has a colour."""
        if self.name is not None:
            return self._detailed(now)
        if not self.objects:
            return [("No TrainingJob and no ModelDeployment.", None)]
        lines: list[tuple[str, str | None]] = []
        for found, layout in ((self.jobs, tables.of_jobs), (self.deployments, tables.of_deployments)):
            if found:
                lines += [("", None)] if lines else []
                heads, rows = layout(found, now, namespaces=self.namespaces, wide=wide)
                marks = [None, *map(job_lines.phase, found)]
                texts = tables.laid_out(heads, rows, columns)
                lines += zip(texts, marks, strict=True)
        return lines

    def headlines(self) -> list[str]:
        """Each named object in a line."""
        return [
            *(job_lines.headline(each) for each in self.jobs),
            *(deployment_lines.headline(each) for each in self.deployments),
        ]

    def _detailed(self, now: datetime) -> list[tuple[str, str | None]]:
        lines: list[tuple[str, str | None]] = []
        for job in self.jobs:
            lines.append((job_lines.headline(job), job_lines.phase(job)))
            told = job_lines.lines(job, self._pods, now)
            if self._curve:
                place = next((place for place, (about, _) in enumerate(told, 1) if about == "metrics"), len(told))
                told.insert(place, ("curve", self._curve))
            lines += ((line, None) for line in aligned(told))
        for deployment in self.deployments:
            lines.append((deployment_lines.headline(deployment), job_lines.phase(deployment)))
            lines += ((line, None) for line in aligned(deployment_lines.lines(deployment, now)))
        return lines


class _Objects:
    """What is looked at."""

    def __init__(self, kubectl: Kubectl, name: str | None, selector: str | None, curve: str | None = None) -> None:
        """curve: as of Curve. Raises UsageError where the name can be none."""
        self._kubectl, self._selector = kubectl, selector
        self._curve = Curve(kubectl, curve)
        self._kind: str | None = None
        self._before: dict[str, Object] = {}
        self.name: str | None = None
        if name is not None:
            self._kind, self.name = split_name(name)

    @property
    def every(self) -> float:
        """How often."""
        return TABLE_SECONDS if self.name is None else JOB_SECONDS

    def look(self) -> _Found:
        """Raises ClusterError, also where the named object is not there, or is not the one of the first look."""
        target = self._kubectl.target
        if self.name is None:
            words = [f"--selector={self._selector}"] if self._selector is not None else []
            found = objects(self._kubectl.get(f"{TRAINING_JOBS},{MODEL_DEPLOYMENTS}", *words))
            return _Found(found, namespaces=target.all_namespaces)
        calls = [find(self._kubectl, self._kind, self.name)]
        if self._kind != MODEL_DEPLOYMENTS:
            calls.append(self._kubectl.get("pods", f"--selector={LABEL_JOB}={self.name}"))
        try:
            found = objects(calls[0])
            if not found:
                raise missing(target, "TrainingJob or ModelDeployment", self.name)
            for each in found:
                refuse_another(each, self._before.setdefault(text(each, "kind"), each))
            pods = _seen(calls[1]) if calls[1:] else []
            job = next((each for each in found if text(each, "kind") == tables.JOB), None)
            return _Found(found, pods, self.name, self._curve.line(job) if job is not None else "")
        finally:
            for call in calls:
                call.close()


def _seen(pods: Call) -> list[Object]:
    """The pods, which not everybody may see who may see the job."""
    try:
        return objects(pods)
    except ClusterError:
        return []


def _print(found: Sequence[Object], output: str, *, alone: bool) -> None:
    """The objects for programs."""
    if output == "name":
        for each in found:
            click.echo(f"{text(each, 'kind').lower()}.headway.dev/{text(each, 'metadata', 'name')}")
        return
    whole: Object = {"apiVersion": "v1", "kind": "List", "items": list(found)}
    document = found[0] if alone and len(found) == 1 else whole
    try:
        written = _written(document, output)
    except RecursionError as error:
        raise ClusterError(f"fields of an object lie too deep in one another: see `kubectl get -o {output}`") from error
    click.echo(written, nl=False)


def _written(document: Object, output: str) -> str:
    if output == "json":
        return f"{json.dumps(document, indent=2)}\n"
    import yaml

    return str(yaml.safe_dump(document, sort_keys=False, allow_unicode=False))


def follow(kubectl: Kubectl, name: str) -> int:
    """Show what changes of a job until it has ended, as `status JOB -w` does; the exit code. Raises ClusterError."""
    return _watch(_Objects(kubectl, f"tj/{name}", None), None, kubectl.target, wide=False)


def _watch(shown: _Objects, asked: Call | None, target: Target, *, wide: bool) -> int:
    """Show what changes; the exit code. asked: where that is, to be told; None where it was told already."""
    screen = Screen() if is_terminal() else None
    changed: Once[tuple[str, ...]] = Once()
    told = False
    try:
        for found in looked(shown.look, shown.every, CLOCK):
            if isinstance(found, Trouble):
                note(f"{found}: it is asked again")
                if screen is not None:
                    screen.forget()
                continue
            if asked is not None and not told:
                tell_where(where(asked, target), everywhere=target.all_namespaces)
                told = True
            if screen is not None:
                screen.draw(found.lines(CLOCK.now(), wide=wide, columns=width()))
            else:
                # A file gets a line for each change, without ages, which change all the time.
                for line in _news(found, changed, wide=wide):
                    say(line)
            if found.ended():
                return found.exit_code()
    except KeyboardInterrupt:
        note("Detached: what runs in the cluster goes on.")
    return EXIT_INTERRUPTED


def _news(found: _Found, changed: Once[tuple[str, ...]], *, wide: bool) -> list[str]:
    now = CLOCK.now()
    if found.name is not None:
        lines = tuple(found.headlines())
        return [f"{now:%H:%M:%S}   {line}" for line in lines] if changed.changed(lines) else []
    lines = tuple(line for line, _ in found.lines(now, wide=wide, columns=None))
    key = tuple(json.dumps(each.get("status"), sort_keys=True) for each in found.objects)
    return list(lines) if changed.changed(key) else []
