"""`python -m tiny_operator`: the operator's process with a second kind in it, set up by its environment."""

from __future__ import annotations

import asyncio
import os
import sys

from headway_operator import logs
from headway_operator.engine.kinds import Kind
from headway_operator.runtime import Operator
from headway_operator.settings import from_environment
from tiny import Tinies


class WithTinies(Operator):
    """The operator of two kinds."""

    def kinds(self) -> tuple[Kind, ...]:
        """Registering a kind is one line."""
        return (*super().kinds(), Tinies())


if __name__ == "__main__":
    settings = from_environment(os.environ, {})
    logs.configure("json", "INFO")
    sys.exit(asyncio.run(WithTinies(settings).run()))
