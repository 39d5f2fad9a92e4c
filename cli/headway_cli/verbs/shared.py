"""What the verbs on a cluster share: kubectl's options, exit codes, colours, and completion of names."""

from __future__ import annotations

import functools
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click
from click.shell_completion import CompletionItem

from headway_api.wording import printable
from headway_cli.cluster.errors import EXIT_INTERRUPTED, ClusterError
from headway_cli.cluster.kubectl import Kubectl, Target, Where, is_name, where
from headway_cli.cluster.names import KINDS, MODEL_DEPLOYMENTS, TRAINING_JOBS
from headway_cli.shown import PlainCommand

_COLOURS = {
    "Running": "green", "Ready": "green", "Succeeded": "green", "Failed": "red", "Degraded": "red",
    "Queued": "yellow", "Pending": "yellow", "Starting": "yellow", "Progressing": "yellow", "Suspended": "cyan",
    "ok": "green", "warn": "yellow", "FAIL": "red",
}  # fmt: skip
_DURATION = re.compile(r"(\d{1,6}h)?(\d{1,6}m)?(\d{1,6}s)?", re.ASCII)
"""As kubectl has it."""
_COMPLETION_SECONDS = 3.0
"""How long a shell waits for the names of jobs."""


class ClusterCommand(PlainCommand):
    """A command of which errors of the cluster, and Ctrl-C, become exit codes."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run it."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            ctx.exit(EXIT_INTERRUPTED)


def target_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options --namespace, --context and --kubeconfig, as the one argument `target`."""

    @click.option("-n", "--namespace", metavar="NAME", help="The namespace.  [default: the context's]")
    @click.option("--context", metavar="NAME", help="The context of the kubeconfig.  [default: the current one]")
    @click.option("--kubeconfig", type=click.Path(), help="The kubeconfig.  [default: as kubectl finds it]")
    @functools.wraps(command)
    def with_target(
        *words: Any, namespace: str | None, context: str | None, kubeconfig: str | None, **more: Any
    ) -> Any:
        if namespace is not None and not is_name(namespace):
            raise click.UsageError(f"--namespace {printable(namespace)} is no name of a namespace")
        target = Target(
            namespace=namespace,
            all_namespaces=bool(more.pop("all_namespaces", False)),
            context=context,
            kubeconfig=kubeconfig,
        )
        if target.all_namespaces and namespace is not None:
            raise click.UsageError("give either --namespace or --all-namespaces")
        return command(*words, target=target, **more)

    return with_target


def all_namespaces_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """The option -A, to be put below `target_options`."""
    return click.option("-A", "--all-namespaces", is_flag=True, help="Those of all namespaces.")(command)


def wait_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options --wait and --timeout, as the arguments `wait` and `timeout` in seconds."""
    command = click.option(
        "--timeout",
        default="10m",
        show_default=True,
        callback=_seconds,
        metavar="10m",
        help="How long to wait.",
    )(command)
    return click.option(
        "--wait",
        type=click.BOOL,
        is_flag=False,
        flag_value=True,
        default=True,
        metavar="true|false",
        help="Wait until it is so.  [default: true]",
    )(command)


def _seconds(_ctx: click.Context, _param: click.Parameter, value: str) -> float:
    hours, minutes, seconds = (int(part[:-1]) if part else 0 for part in duration(value).groups())
    return float(hours * 3600 + minutes * 60 + seconds)


def duration(value: str) -> re.Match[str]:
    """Hours, minutes and seconds of a duration as kubectl has it; raises BadParameter where it is none."""
    match = _DURATION.fullmatch(value)
    if not value or match is None:
        raise click.BadParameter("write a duration as 30s, 10m or 2h30m")
    return match


def checked(name: str) -> str:
    """A job's name as typed, or with tj/ before it; raises UsageError where it can be no name."""
    kind, rest = split_name(name)
    if kind == MODEL_DEPLOYMENTS:
        raise click.UsageError(f"{name} is a ModelDeployment, and this command is about TrainingJobs")
    return rest


def split_name(name: str) -> tuple[str | None, str]:
    """Kind and name of NAME or KIND/NAME; raises UsageError where it can be neither."""
    kind, slash, rest = name.rpartition("/")
    if slash and kind.lower() not in KINDS:
        raise click.UsageError(f"{printable(kind)} is none of Headway's kinds: write tj/NAME or md/NAME")
    if not is_name(rest):
        raise click.UsageError(f"{printable(name)} is no name: it has lower-case letters, digits, '-' and '.'")
    return (KINDS[kind.lower()] if slash else None), rest


def tell_where(where: Where, *, everywhere: bool = False) -> None:
    """Context and namespace in use, on standard error, so that tables can be piped on."""
    context = f"context {where.context}" if where.context else "no context"
    namespace = "all namespaces" if everywhere else f"namespace {where.namespace}"
    note(f"{context}, {namespace}")


@contextmanager
def telling_where(kubectl: Kubectl, *, quiet: bool = False) -> Iterator[None]:
    """Ask for context and namespace in use beside what is done meanwhile, and tell them, whatever comes of it."""
    if quiet:
        yield
        return
    asked = kubectl.where()
    try:
        yield
    finally:
        tell_where(where(asked, kubectl.target), everywhere=kubectl.target.all_namespaces)


def note(sentence: str) -> None:
    """A sentence for people, on standard error."""
    click.echo(printable(sentence), err=True)


def say(line: str, *, mark: str | None = None) -> None:
    """A line on standard output, in which nothing steers a terminal. mark: a word of it that gets its colour."""
    text = printable(line)
    if mark is not None and (colour := _COLOURS.get(mark)) and coloured():
        text = text.replace(mark, click.style(mark, fg=colour), 1)
    click.echo(text, color=True if coloured() else None)


def aligned(lines: Sequence[tuple[str, str]]) -> list[str]:
    """Lines with what they are about before them."""
    size = max((len(name) for name, _ in lines), default=0)
    before = [None, *(name for name, _ in lines)]
    return [
        f"{'' if name == last else name:<{size}}  {told}" for last, (name, told) in zip(before, lines, strict=False)
    ]


def say_next(target: Target, *commands: str) -> None:
    """The next two commands, with the options that mean the same cluster and namespace."""
    for command in commands[:2]:
        click.echo(printable(f"  {command}{target.options()}"), err=True)


def coloured() -> bool:
    """Whether standard output is a terminal whose user wants colours."""
    return is_terminal() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def is_terminal() -> bool:
    """Whether standard output is a terminal."""
    return sys.stdout.isatty()


def width() -> int | None:
    """Of the terminal; None where there is none."""
    return shutil.get_terminal_size().columns if is_terminal() else None


def height() -> int:
    """Of the terminal."""
    return shutil.get_terminal_size().lines


def complete_jobs(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The names of jobs that begin so."""
    return _complete(ctx, TRAINING_JOBS, incomplete)


def complete_objects(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The names of jobs and deployments that begin so."""
    return _complete(ctx, f"{TRAINING_JOBS},{MODEL_DEPLOYMENTS}", incomplete)


def complete_trials(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Folders; after tj/, names of jobs."""
    if not incomplete.startswith("tj/"):
        return [CompletionItem(incomplete, type="dir")]
    return [CompletionItem(f"tj/{item.value}") for item in _complete(ctx, TRAINING_JOBS, incomplete[len("tj/") :])]


def _complete(ctx: click.Context, kinds: str, incomplete: str) -> list[CompletionItem]:
    """A shell that completes gets no error, just nothing."""
    given = ctx.params
    target = Target(namespace=given.get("namespace"), context=given.get("context"), kubeconfig=given.get("kubeconfig"))
    try:
        names = Kubectl(target).run(
            "get", kinds, "--output=jsonpath={.items[*].metadata.name}", seconds=_COMPLETION_SECONDS
        )
    except ClusterError:
        return []
    return [CompletionItem(name) for name in sorted(set(names.split())) if name.startswith(incomplete)]
