"""Pods that the command makes for a moment: waited for until they run, and deleted whatever comes."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from types import FrameType
from typing import NoReturn

from headway_api.wording import printable
from headway_cli.cluster.errors import ClusterError, RefusedError, TimedOutError
from headway_cli.cluster.fields import Object, at, entries, text, whole
from headway_cli.cluster.kubectl import Kubectl, objects, parsed

WAIT_SECONDS = 5
"""How long each look takes."""
_HOPELESS = frozenset(
    {"ErrImageNeverPull", "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError", "CreateContainerError"}
)


@contextmanager
def running(kubectl: Kubectl, pod: Object, within: float) -> Iterator[str]:
    """The name of a pod that is made, once it runs; it is deleted whatever comes, also SIGTERM, or Ctrl-C twice.

    within: seconds that it may take to get a node and its image. Raises ClusterError where it never will, and
    TimedOutError.
    """
    name = text(pod, "metadata", "name")
    refused = False
    try:
        with _ending_in_order():
            try:
                kubectl.run("create", "--filename=-", stdin=json.dumps(pod))
            except RefusedError:
                refused = True
                raise
            _wait(kubectl, name, within)
            yield name
    finally:
        if not refused:
            with _undisturbed():
                _delete(kubectl, name)


def _delete(kubectl: Kubectl, name: str) -> None:
    try:
        kubectl.run("delete", f"pod/{name}", "--wait=false", "--ignore-not-found")
    except ClusterError as error:
        import logging  # which few calls need

        why = printable(next(iter(str(error).splitlines()), ""))
        logging.getLogger("headway").warning(
            "the pod %s was not deleted (%s): it ends by itself within an hour; `kubectl delete pod/%s` deletes it",
            name,
            why,
            name,
        )


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


@contextmanager
def _handling(**handlers: Callable[[int, FrameType | None], NoReturn] | signal.Handlers) -> Iterator[None]:
    """Meanwhile signals, by their names, have these handlers. Where signals are not ours, as in a thread, they stay."""
    before = {}
    try:
        for name, handler in handlers.items():
            number = signal.Signals[name]
            before[number] = signal.signal(number, handler)
    except ValueError:
        yield
        return
    try:
        yield
    finally:
        for number, handler_before in before.items():
            signal.signal(number, handler_before)


def _ending_in_order() -> AbstractContextManager[None]:
    """Meanwhile SIGTERM, where nobody has taken it, ends the program as Ctrl-C does: what has to be done is done."""
    taken = signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    return nullcontext() if taken else _handling(SIGTERM=_end)


def _undisturbed() -> AbstractContextManager[None]:
    """Meanwhile neither Ctrl-C nor SIGTERM does anything."""
    return _handling(SIGINT=signal.SIG_IGN, SIGTERM=signal.SIG_IGN)


def _wait(kubectl: Kubectl, name: str, within: float) -> None:
    """Wait until the pod runs. Raises ClusterError where it never will, and TimedOutError."""
    deadline = time.monotonic() + within
    while True:
        flags = ["--for=condition=Ready", f"--timeout={WAIT_SECONDS}s"]
        try:
            kubectl.run("wait", f"pod/{name}", *flags, seconds=WAIT_SECONDS + 30)
        except ClusterError as error:
            if "timed out waiting" not in str(error):
                raise
        else:
            return
        pod = parsed(kubectl.run("get", f"pod/{name}", "--output=json"))
        if never := _never(pod):
            raise ClusterError(f"the pod {name} does not run: {never}")
        if time.monotonic() > deadline:
            raise TimedOutError(
                f"the pod {name} has not come up within {within:g} s: {_state(pod)}{_event(kubectl, name)}"
            )


def _never(pod: Object) -> str:
    """Why a pod will not run, however long it is waited for; "" where it may."""
    if text(pod, "status", "phase") in {"Failed", "Succeeded"}:
        return f"{text(pod, 'status', 'reason')} {text(pod, 'status', 'message')}".strip() or "it has ended"
    for each in entries(pod, "status", "containerStatuses"):
        if text(each, "state", "waiting", "reason") in _HOPELESS:
            waits = at(each, "state", "waiting")
            return f"{text(waits, 'reason')}: {text(waits, 'message')}"[:1000]
    scheduled = _unscheduled(pod)
    return scheduled if "persistentvolumeclaim" in scheduled and "not found" in scheduled else ""


def _unscheduled(pod: Object) -> str:
    found = (each for each in entries(pod, "status", "conditions") if each.get("type") == "PodScheduled")
    return next((text(each, "message") for each in found if text(each, "status") == "False"), "")


def _state(pod: Object) -> str:
    waits = [at(each, "state", "waiting") for each in entries(pod, "status", "containerStatuses")]
    said = [_unscheduled(pod), *(f"{text(each, 'reason')} {text(each, 'message')}".strip() for each in waits if each)]
    return "; ".join(filter(None, said)) or f"it is {text(pod, 'status', 'phase')}"


def _event(kubectl: Kubectl, name: str) -> str:
    """The newest warning of a pod, such as a Secret that is missing; "" where there is none, or it may not be seen."""
    chosen = f"--field-selector=involvedObject.name={name},type=Warning"
    with suppress(ClusterError):
        found = objects(kubectl.get("events", chosen))
        newest = max(found, key=lambda each: (text(each, "lastTimestamp"), whole(each, "count") or 0), default={})
        return f"; {text(newest, 'message')}"[:1000] if text(newest, "message") else ""
    return ""
