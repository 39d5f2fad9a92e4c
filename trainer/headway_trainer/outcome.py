"""How a run ended, as an exit code, a cause and a sentence: the driver's last word to the operator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from headway_api import wire
from headway_api.status import Warnings
from headway_trainer.entrypoints import describe
from headway_trainer.errors import GateFailed, OutOfMemory, StorageError, UserError

_SHORTEST = 200
"""Bytes of the message that stay, however much else an Outcome holds."""
_WARNINGS_BYTES = 16_384
"""What all warnings together may take as JSON: they go into each report of progress."""
_Warnings = TypeAdapter(Warnings)


class Interrupted(Exception):  # noqa: N818 - it is no error
    """The run was asked to stop. The message says how far it got."""


class Hang(Exception):  # noqa: N818 - what happened, not what went wrong in the code
    """Training stands still. The message names who does, and where."""


class Disconnected(Exception):  # noqa: N818 - a state of the workers
    """The workers live, and their collective calls fail again and again. The message says what one of them raised."""


class Lost(Exception):  # noqa: N818 - what happened, not what went wrong in the code
    """Workers were lost, and could not be replaced."""

    def __init__(self, message: str, *, memory: bool) -> None:
        super().__init__(message)
        self.memory = memory
        """Whether one was ended for taking too much memory."""


class Broken(Exception):  # noqa: N818 - what happened, not what went wrong in the code
    """A process of the head's own has ended that everything depends on. The message names it."""


@dataclass(frozen=True)
class Verdict:
    """What an exception means."""

    exit_code: int
    cause: wire.DriverCause | None
    message: str
    """A sentence for people."""


def judge(error: BaseException) -> Verdict:
    """What the exception that ended a run means."""
    if isinstance(error, Lost):
        return _judge_loss(error)
    for kind, (code, cause) in _KINDS.items():
        if isinstance(error, kind):
            return Verdict(code, cause, str(error))
    if isinstance(error, MemoryError):
        message = "the driver took more memory than its pod has: raise head.resources.memory"
        return Verdict(wire.EXIT_INTERNAL, "OutOfMemory", message)
    return Verdict(wire.EXIT_INTERNAL, "Internal", f"a fault inside Headway: {describe(error)}")


def _judge_loss(error: Lost) -> Verdict:
    if error.memory:
        message = "a training process took more memory than its pod has: raise workers.resources.memory"
        return Verdict(wire.EXIT_INTERNAL, "OutOfMemory", message)
    return Verdict(wire.EXIT_INTERNAL, "NodeLost", f"workers were lost and could not be replaced: {error}")


_KINDS: dict[type[BaseException], tuple[int, wire.DriverCause | None]] = {
    Interrupted: (wire.EXIT_INTERRUPTED, None),
    UserError: (wire.EXIT_USER_ERROR, "UserError"),
    StorageError: (wire.EXIT_STORAGE, "StorageError"),
    GateFailed: (wire.EXIT_GATE_FAILED, "GateFailed"),
    Hang: (wire.EXIT_INTERNAL, "Hang"),
    Disconnected: (wire.EXIT_INTERNAL, "Internal"),
    Broken: (wire.EXIT_INTERNAL, "Internal"),
    OutOfMemory: (wire.EXIT_INTERNAL, "OutOfMemory"),
}


def bounded_warnings(warnings: Sequence[str]) -> list[str]:
    """The newest of the warnings, as many as a report of progress has room for, each cut to what a status holds."""
    kept = _Warnings.validate_python(list(warnings))
    while len(_Warnings.dump_json(kept)) > _WARNINGS_BYTES:
        kept = kept[1:]
    return kept


def encode(outcome: wire.Outcome) -> bytes:
    """An Outcome as JSON of at most OUTCOME_MAX_BYTES: what is least needed goes first, the message is cut last.

    The warnings are in the last report of progress, too, which has more room.
    """
    data = _json(outcome)
    if len(data) > wire.OUTCOME_MAX_BYTES and outcome.result is not None:
        outcome = outcome.model_copy(update={"progress": outcome.progress.model_copy(update={"metrics": {}})})
        data = _json(outcome)
    while len(data) > wire.OUTCOME_MAX_BYTES and outcome.warnings:
        outcome = outcome.model_copy(update={"warnings": outcome.warnings[len(outcome.warnings) // 2 + 1 :]})
        data = _json(outcome)
    while len(data) > wire.OUTCOME_MAX_BYTES and outcome.result is not None:
        result = outcome.result
        if result.metrics:
            metrics = dict(list(result.metrics.items())[: len(result.metrics) // 2])
            outcome = outcome.model_copy(update={"result": result.model_copy(update={"metrics": metrics})})
        else:
            outcome = outcome.model_copy(update={"result": None})
        data = _json(outcome)
    if len(data) > wire.OUTCOME_MAX_BYTES:
        outcome = outcome.model_copy(update={"progress": outcome.progress.model_copy(update={"metrics": {}})})
        data = _json(outcome)
    while len(data) > wire.OUTCOME_MAX_BYTES and len(outcome.message) > _SHORTEST:
        # Escapes make the JSON longer than the text: cut by halves until it fits.
        keep = max(_SHORTEST, len(outcome.message) - max(len(data) - wire.OUTCOME_MAX_BYTES, 64))
        outcome = outcome.model_copy(update={"message": outcome.message[: keep - 1] + "…"})
        data = _json(outcome)
    return data


def write(outcome: wire.Outcome, path: str = wire.TERMINATION_FILE) -> None:
    """Leave the Outcome where Kubernetes takes a container's termination message from."""
    Path(path).write_bytes(encode(outcome))


def _json(outcome: wire.Outcome) -> bytes:
    return outcome.model_dump_json(exclude_none=True).encode()
