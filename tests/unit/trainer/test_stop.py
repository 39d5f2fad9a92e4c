"""A wish to stop is heard from the first moment of a pod's main process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from headway_api import wire

RUN = {
    "namespace": "n",
    "name": "x",
    "uid": "u",
    "storageUri": "/x",
    "spec": {
        "code": {"git": {"url": "https://git.example.com/x", "revision": "main"}},
        "training": {"entrypoint": "a:b"},
    },
}
LISTEN = """
import os, signal, sys
from headway_trainer.stop import REQUESTED, hear
heavy = sorted({"pydantic", "logging", "ray", "torch"} & set(sys.modules))
hear()
os.kill(os.getpid(), signal.SIGNAL)
print(REQUESTED.wait(30), heavy)
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_is_kept_as_a_wish_and_nothing_slow_is_imported_before(name: str) -> None:
    text = LISTEN.replace("SIGNAL", name)
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True, env={**os.environ})
    assert done.stdout.strip() == "True []"


NATIVE = """
import ctypes, os, signal, threading, time
from headway_trainer.stop import REQUESTED, hear
hear()
libc = ctypes.CDLL(None)
lock = ctypes.create_string_buffer(64)
libc.pthread_mutex_init(lock, None)
libc.pthread_mutex_lock(lock)

def other():
    time.sleep(0.3)  # until the main thread waits
    os.kill(os.getpid(), signal.SIGTERM)
    print(REQUESTED.wait(30), flush=True)
    os._exit(0)

threading.Thread(target=other).start()
libc.pthread_mutex_lock(lock)  # for ever, and no signal ends it
"""


def test_a_main_thread_in_native_code_keeps_no_signal_back() -> None:
    done = subprocess.run([sys.executable, "-c", NATIVE], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "True"


WAITING = """
import os, signal, subprocess, sys, time
from headway_trainer.stop import REQUESTED, hear
hear()
send = "import os, sys, time\\nwhile os.getppid() == {0}: os.kill({0}, 15)"
sender = subprocess.Popen([sys.executable, "-c", send.format(os.getpid())])
heard, end = 0, time.monotonic() + 2
while time.monotonic() < end:
    heard += REQUESTED.wait(0.00002)
    REQUESTED.clear()
sender.kill()
sender.wait()
print(heard > 0, flush=True)
"""


def test_a_signal_that_comes_while_its_event_is_waited_for_locks_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", WAITING], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "True"


def test_fetching_code_ends_when_it_is_asked_to(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps(RUN))
    git = tmp_path / "git"
    git.write_text(f"#!/bin/sh\ntouch {tmp_path}/begun\nexec sleep 60\n")
    git.chmod(0o700)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "HEADWAY_RUN_FILE": f"{tmp_path}/run.json"}
    process = subprocess.Popen(
        [sys.executable, "-m", "headway_trainer.fetch_code"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 30
        while not (tmp_path / "begun").exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.terminate()
        assert process.wait(30) == wire.EXIT_INTERRUPTED
    finally:
        os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize("module", ["driver", "fetch_code", "worker"])
def test_a_main_module_listens_before_it_imports_anything_else(module: str) -> None:
    text = f"import headway_trainer.{module} as m; print(open(m.__file__).read())"
    source = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True).stdout
    assert source.index("    hear()") < source.index("import logging")


def test_nobody_listens_where_nobody_asked() -> None:
    text = """
import signal, threading
before = signal.getsignal(signal.SIGINT)
import headway_trainer.stop
print(signal.getsignal(signal.SIGINT) is before, threading.active_count())
"""
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True 1"
