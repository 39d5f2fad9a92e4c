"""A wish to stop is heard from the first moment of a pod's main process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

LISTEN = """
import os, signal, sys
from headway_trainer.stop import REQUESTED, hear
heavy = sorted({"pydantic", "logging", "ray", "torch"} & set(sys.modules))
hear()
os.kill(os.getpid(), signal.SIGNAL)
print(REQUESTED.is_set(), heavy)
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_is_kept_as_a_wish_and_nothing_slow_is_imported_before(name: str) -> None:
    text = LISTEN.replace("SIGNAL", name)
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True, env={**os.environ})
    assert done.stdout.strip() == "True []"


@pytest.mark.parametrize("module", ["driver", "worker"])
def test_a_main_module_listens_before_it_imports_anything_else(module: str) -> None:
    text = f"import headway_trainer.{module} as m; print(open(m.__file__).read())"
    source = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True).stdout
    assert source.index("    hear()") < source.index("import logging")


def test_nobody_listens_where_nobody_asked() -> None:
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
