"""`headway completion`, and completion for `kubectl headway`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click
from click.shell_completion import CompletionItem, ShellComplete, get_completion_class

SHELLS = ("bash", "zsh", "fish")
_NO_FILES, _FILES = 4, 0
"""What kubectl is told after the completions: whether files would do, too."""


@click.command(short_help="Print the script by which a shell completes headway's words.")
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the script by which SHELL completes commands, options, and names of jobs.

    \b
    bash: headway completion bash > ~/.local/share/bash-completion/completions/headway
    zsh:  headway completion zsh > ~/.zfunc/_headway   (fpath has ~/.zfunc, before compinit)
    fish: headway completion fish > ~/.config/fish/completions/headway.fish
    """
    from headway_cli.main import main

    made = get_completion_class(shell)
    if made is None:
        raise click.ClickException(f"this version of click has no completion for {shell}")
    # The script's text alone: source() would ask the bash that is found first for its version, whoever's it is.
    words = made(main, {}, "headway", "_HEADWAY_COMPLETE")
    click.echo(words.source_template % words.source_vars())


def kubectl_complete() -> None:
    """The program `kubectl_complete-headway`: completions for `kubectl headway ...`, in kubectl's form."""
    sys.stdout.write(for_kubectl(sys.argv[1:]))


def for_kubectl(words: Sequence[str]) -> str:
    """Completions of the last of the words, each with its help after a tab; then what else kubectl may offer."""
    from headway_cli.main import main

    *given, incomplete = words or [""]
    found: list[CompletionItem] = ShellComplete(main, {}, "headway", "_HEADWAY_COMPLETE").get_completions(
        given, incomplete
    )
    files = any(item.type in ("file", "dir") for item in found)
    lines = [f"{item.value}\t{item.help}" if item.help else item.value for item in found if item.type == "plain"]
    return "\n".join([*lines, f":{_FILES if files else _NO_FILES}", ""])
