"""`headway-operator`: reads its settings and runs."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from typing import Any

import click
from pydantic import ValidationError

from headway_operator import logs
from headway_operator.settings import PREFIX, Settings, from_environment

RECURSION_LIMIT = 60_000


def _flags(command: Any) -> Any:
    """A flag for each setting, with its documentation."""
    for name, info in reversed(Settings.model_fields.items()):
        flag = name.replace("_", "-")
        text = f"{info.description} [{PREFIX}{name.upper()}]"
        if info.annotation is bool:
            command = click.option(f"--{flag}/--no-{flag}", name, default=None, help=text)(command)
        elif name == "namespaces":
            command = click.option("--namespace", name, multiple=True, help=text)(command)
        else:
            command = click.option(f"--{flag}", name, default=None, metavar="VALUE", help=text)(command)
    return command


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@_flags
def main(**flags: Any) -> None:
    """Watch TrainingJobs and make them happen."""
    try:
        settings = from_environment(os.environ, flags)
    except ValidationError as error:
        said = "; ".join(
            f"{'.'.join(map(str, each['loc'])) or 'settings'}: {each['msg']}, got {each['input']!r}"
            for each in error.errors()
        )
        raise click.UsageError(said) from None
    # The API server takes JSON nested 10,000 deep where a spec is kept as it comes; reading that must not end us.
    sys.setrecursionlimit(RECURSION_LIMIT)
    logs.configure(settings.log_format, settings.log_level)
    raise SystemExit(asyncio.run(_run(settings)))


async def _run(settings: Settings) -> int:
    # Imported here: --help and a mistaken flag should not wait for the API client.
    from headway_operator.runtime import Operator

    # Decoded JSON is many small objects without cycles: looking for cycles less often saves a seventh of the CPU.
    gc.set_threshold(20_000, 20, 20)
    return await Operator(settings).run()


if __name__ == "__main__":
    main()
