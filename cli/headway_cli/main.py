"""The `headway` command: a group that imports a subcommand only when it is called.

So `headway validate` starts in a moment, and works where neither torch nor ray is installed.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import click
from click.shell_completion import CompletionItem

from headway_cli import extras


@dataclass(frozen=True)
class LazyCommand:
    """Where a subcommand lives, and what `headway --help` says of it without importing it."""

    module: str
    """The module; the click command in it has the subcommand's name."""
    help: str
    """One line."""
    extra: str | None = None
    """The extra of the distribution that it needs, if any."""


COMMANDS: Mapping[str, LazyCommand] = MappingProxyType(
    {
        "bundle": LazyCommand(
            "headway_cli.bundle", "Pack a finished model with all that serves it without network.", extra="server"
        ),
        "completion": LazyCommand(
            "headway_cli.completion", "Print the script by which a shell completes headway's words."
        ),
        "diff": LazyCommand("headway_cli.verbs.diff", "Tell how a job in a cluster differs from its file."),
        "doctor": LazyCommand(
            "headway_cli.verbs.doctor", "Say what is wrong with an installation, or why a job does not run."
        ),
        "events": LazyCommand("headway_cli.verbs.events", "Tell what has happened to a job, in one order."),
        "fetch": LazyCommand("headway_cli.fetch", "Fetch a finished model from an object store.", extra="server"),
        "hold": LazyCommand("headway_cli.hold", "Keep requests until there is a server.", extra="server"),
        "init": LazyCommand("headway_cli.init", "Write a first job file, from a few answers."),
        "judge": LazyCommand("headway_cli.judge", "Judge a new version by what its servers count.", extra="server"),
        "logs": LazyCommand(
            "headway_cli.verbs.logs", "Print what a job's processes print, also when its pods are gone."
        ),
        "models": LazyCommand("headway_cli.verbs.models", "List the models that jobs have left, and who serves them."),
        "predict": LazyCommand(
            "headway_cli.predict", "Predict for the rows of a file with a finished model.", extra="predict"
        ),
        "profile": LazyCommand(
            "headway_cli.profile", "Tell what the columns of a table, or a job's data, are taken for.", extra="trainer"
        ),
        "render": LazyCommand("headway_cli.render", "Print the objects that the operator would make for a job."),
        "report": LazyCommand(
            "headway_cli.verbs.report", "Print a finished job's report, or fetch what the job has left."
        ),
        "resume": LazyCommand("headway_cli.verbs.resume", "Continue a suspended job from its checkpoint."),
        "run": LazyCommand("headway_cli.run", "Train the model of a file on this machine.", extra="trainer"),
        "serve": LazyCommand("headway_cli.serve", "Serve a finished model over HTTP.", extra="server"),
        "sign": LazyCommand("headway_cli.sign", "Sign a finished model.", extra="server"),
        "status": LazyCommand("headway_cli.verbs.status", "Show jobs and deployments of a cluster, or how far one is."),
        "stop": LazyCommand("headway_cli.verbs.stop", "Suspend a job: it saves a checkpoint and frees its GPUs."),
        "submit": LazyCommand("headway_cli.verbs.submit", "Start the job of a file in a cluster."),
        "top": LazyCommand("headway_cli.verbs.top", "Show which jobs hold GPUs, how busy, and who waits."),
        "track": LazyCommand("headway_cli.track", "Tell trackers what they missed of a run.", extra="trainer"),
        "trials": LazyCommand(
            "headway_cli.trials", "List the trials of a search for better parameters.", extra="trainer"
        ),
        "ui": LazyCommand("headway_cli.verbs.ui", "Show jobs and deployments of a cluster on a web page.", extra="ui"),
        "verify": LazyCommand("headway_cli.sign", "Check a finished model's files and its signature.", extra="server"),
        "validate": LazyCommand("headway_cli.validate", "Check files of Headway's kinds, and name every mistake."),
    }
)


class LazyGroup(click.Group):
    """A group whose subcommands are looked up in COMMANDS."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The subcommands' names, sorted."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """The subcommand, imported now. Raises a ClickException where the extra that it needs is not installed."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        try:
            command = getattr(importlib.import_module(entry.module), cmd_name)
        except ModuleNotFoundError as error:
            if entry.extra is None or (error.name or "").startswith("headway_"):
                raise  # our own packages are always there: this one is our fault
            raise _lacks(cmd_name, error, entry.extra) from error
        if not isinstance(command, click.Command):
            raise TypeError(f"{entry.module}.{cmd_name} is not a click command")
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the subcommand. Raises a ClickException where it needs an extra that is not installed.

        Commands import what is heavy when they are called, so that their --help is quick.
        """
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            entry = COMMANDS.get(ctx.invoked_subcommand or "")
            if entry is None or entry.extra is None or extras.installed(entry.extra):
                raise  # the user's code may lack a module, too
            raise _lacks(ctx.invoked_subcommand, error, entry.extra) from error

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The subcommands that begin so, without importing them, and the options of `headway`."""
        found = [
            CompletionItem(name, help=COMMANDS[name].help)
            for name in self.list_commands(ctx)
            if name.startswith(incomplete)
        ]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of subcommands in `headway --help`, written without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name].help) for name in self.list_commands(ctx)])


def _lacks(command: str | None, error: ModuleNotFoundError, extra: str) -> click.ClickException:
    return click.ClickException(
        f"headway {command} needs the Python package {error.name}: {extras.installing(f'headway[{extra}]')}"
    )


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="headway", message="%(version)s")
def main() -> None:
    """Headway: train and evaluate PyTorch models, on Kubernetes and on this machine."""


def kubectl_main() -> None:
    """The program `kubectl-headway`, which kubectl runs for `kubectl headway`."""
    main(prog_name="kubectl headway")
