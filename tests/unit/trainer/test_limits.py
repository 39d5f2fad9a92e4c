"""A pod's limits, and processes that end themselves: told by their names, with what to do."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from headway_trainer.errors import OutOfMemory, UserError
from headway_trainer.outcome import judge
from headway_trainer.ray import exit_guard
from headway_trainer.training.exceptions import raise_as_users


@pytest.mark.parametrize("take", [lambda: torch.empty(2**50), lambda: np.empty(2**50), lambda: bytearray(2**60)])
def test_memory_that_there_is_not_is_out_of_memory_and_not_the_users_error(take: object) -> None:
    assert callable(take)
    with pytest.raises((MemoryError, RuntimeError)) as caught:
        take()
    with pytest.raises(OutOfMemory, match=r"test_limits.py:\d+ in .* raise workers.resources.memory") as told:
        raise_as_users(caught.value)
    assert judge(told.value).cause == "OutOfMemory"


@pytest.mark.parametrize(
    "error",
    [
        BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"),
        RuntimeError("can't start new thread"),
    ],
)
def test_runaway_forking_is_told_as_the_pods_process_limit(error: Exception) -> None:
    with pytest.raises(UserError, match=r"mine:train raised .*its process limit"):
        raise_as_users(error, "mine:train")


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("unable to write to file </torch_1_2_3>: No space left on device (28)"),
        RuntimeError("DataLoader worker is killed by signal: Bus error. It is possible that ... out of shared memory."),
        OSError(errno.ENOSPC, "No space left on device", "/dev/shm/mine"),
    ],
)
def test_a_filled_shared_memory_is_named(error: Exception) -> None:
    with pytest.raises(UserError, match=r"/dev/shm is full: .*raise that, or take fewer data loader workers"):
        raise_as_users(error, "mine:train")


@pytest.fixture
def _own_shm() -> None:
    """A process may have a /dev/shm of its own here."""
    if os.geteuid() != 0:
        pytest.skip("needs root for a /dev/shm of its own")
    probe = subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True)
    if probe.returncode:
        pytest.skip("needs a kernel that gives this process a mount namespace")


SHARED = """
import sys, torch
from headway_trainer.errors import UserError
from headway_trainer.training.exceptions import raise_as_users
try:
    torch.zeros(2**20).share_memory_()
except Exception as error:
    try:
        raise_as_users(error, "mine:train")
    except UserError as told:
        print(told)
"""


@pytest.mark.usefixtures("_own_shm")
def test_what_torch_says_of_a_full_shared_memory_is_known() -> None:
    command = 'mount -t tmpfs -o size=64k tmpfs /dev/shm && exec "$0" -c "$1"'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", command, sys.executable, SHARED],
        check=True,
        capture_output=True,
        text=True,
    )
    assert "/dev/shm is full" in done.stdout


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a process that leaves has told the driver."""
    told: list[str] = []
    monkeypatch.setattr(exit_guard, "_internal_kv_put", lambda _, text, **__: told.append(text.decode()))
    context = SimpleNamespace(get_world_rank=lambda: 1)
    monkeypatch.setattr("ray.train.get_context", lambda: context)
    return told


@pytest.mark.parametrize("status", [0, 3, "done"])
def test_sys_exit_in_a_training_function_is_a_mistake_whatever_its_status(status: object) -> None:
    said = r"test_limits.py:\d+ in test_sys_exit.*called sys.exit\(.*return from the"
    with pytest.raises(UserError, match=said), exit_guard.told():
        raise SystemExit(status)


def test_a_process_that_ends_itself_says_so_first(kept: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[int] = []
    monkeypatch.setattr(os, "_exit", left.append)
    with exit_guard.told():
        os._exit(0)
    assert left == [0]
    assert len(kept) == 1
    assert "rank 1: test_limits.py:" in kept[0]
    assert "called os._exit(0), which ends the training process" in kept[0]


def test_an_end_that_no_code_of_the_users_asked_for_is_not_told(
    kept: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[int] = []
    monkeypatch.setattr(os, "_exit", left.append)
    monkeypatch.setattr(exit_guard, "is_own", lambda *_: False)
    with exit_guard.told():
        os._exit(1)
    assert (left, kept) == ([1], [])


def test_a_forked_child_may_end_itself(kept: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[int] = []
    monkeypatch.setattr(os, "_exit", left.append)
    with exit_guard.told():
        monkeypatch.setattr(os, "getpid", lambda: -1)
        os._exit(0)
    assert (left, kept) == ([0], [])
