"""The reference page of the command line, made of its commands.

python -m headway_cli.reference > docs/reference/cli.md
"""

from __future__ import annotations

import inspect
import sys

import click

from headway_cli.cluster import errors
from headway_cli.main import COMMANDS, main

_CODES = (
    (errors.EXIT_DONE, "done; a job that was shown or awaited has not failed"),
    (
        errors.EXIT_PROBLEM,
        "the job has failed, there is no such object, a problem was found, or the API server refuses",
    ),
    (errors.EXIT_USAGE, "the command's words are wrong"),
    (errors.EXIT_UNREACHED, "the cluster was not reached, or takes no login; or there is no kubectl"),
    (errors.EXIT_TIMED_OUT, "what was waited for has not come in time"),
    (errors.EXIT_USER_CODE, "the job has failed by its own code or data"),
    (errors.EXIT_INTERRUPTED, "Ctrl-C"),
)
_HEAD = """<!-- Generated from the commands by `python -m headway_cli.reference`. -->
# The command line

`headway COMMAND --help` says the same. Commands that work on a cluster call `kubectl`, and take its options
`--namespace`, `--context` and `--kubeconfig`. With the package installed, `kubectl headway COMMAND` is the same as
`headway COMMAND`.

## Exit codes
Of the commands that work on a cluster:

| code | meaning |
|---|---|
"""
_TAIL = """
`headway run` ends with 0, 2, 64 and 130 in these meanings, with 65 where a gate of `evaluation.gates` was not
reached, with 70 after an error of Headway's own, and with 74 where the storage fails. `headway fetch` ends with 65
where the model is not what it should be, and with 74 where the store does not give it.

Colours are for terminals only, and the variable `NO_COLOR` turns them off. What people should know beside the answer,
as the context and namespace in use, goes to standard error.
"""


def page() -> str:
    """The page, in Markdown."""
    context = click.Context(main, info_name="headway", help_option_names=["-h", "--help"])
    codes = "".join(f"| {code} | {meaning} |\n" for code, meaning in _CODES)
    parts = [_HEAD + codes + _TAIL]
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        if command is None:
            raise ValueError(f"{name} is listed and not there")
        parts.append(_section(command, click.Context(command, info_name=name, parent=context)))
    return "\n".join(parts)


def _section(command: click.Command, context: click.Context) -> str:
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    extra = COMMANDS[context.info_name or ""].extra
    needs = f"\nNeeds `pip install 'headway[{extra}]'`.\n" if extra is not None else ""
    head = f"## headway {context.info_name}\n```text\n{usage}\n```\n"
    return f"{head}\n{_help(command)}\n{needs}\n{_options(command, context)}"


def _help(command: click.Command) -> str:
    """The text, a paragraph a line; what click must not wrap is shown as it is."""
    parts = []
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        own = paragraph.startswith("\b\n")
        parts.append(f"```text\n{paragraph[2:]}\n```" if own else _escaped(" ".join(paragraph.split("\n"))))
    return "\n\n".join(parts)


def _options(command: click.Command, context: click.Context) -> str:
    rows = []
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and record[1]:
            flags, meaning = record
            rows.append(f"| `{flags.replace('|', ' or ')}` | {_escaped(' '.join(meaning.split()))} |\n")
    return "| option | meaning |\n|---|---|\n" + "".join(rows)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "\\<").replace("*", "\\*")


if __name__ == "__main__":
    sys.stdout.write(page())
