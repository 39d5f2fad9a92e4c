"""The link between training function and driver over the key-value store of Ray's head: no process of its own."""

from __future__ import annotations

import threading
import time

from ray.experimental.internal_kv import (
    _internal_kv_del,
    _internal_kv_get,
    _internal_kv_list,
    _internal_kv_put,
)

from headway_trainer.ray.runtime import (
    KEY_ANSWER,
    KEY_CHECKPOINT,
    KEY_HEARD,
    KEY_LOST_LINES,
    KEY_PROGRESS,
    KEY_QUESTION,
    KEY_STOP,
    KEY_TAKEN,
    KV_NAMESPACE,
    scoped,
)
from headway_trainer.training.link import Answer, Question, Request, TrainProgress

PERIOD_SECONDS = 0.25
ASK_SECONDS = 0.005
"""How often rank 0 of a trial looks for the driver's answer, which it waits for."""
KEY_STEPS = b"steps/"
"""What `step_counter` counts."""
KEY_LEFT = b"left/"
"""What a training process says that ends itself."""


class WorkerLink:
    """Rank 0's end. A thread of its own talks to the head, so that the loop never waits."""

    def __init__(self, scope: str = "") -> None:
        """scope: of the run that this process trains for."""
        self._scope = scope
        self._progress: TrainProgress | None = None
        self._stop = False
        self._heard = -1
        self._asked = _number(KEY_CHECKPOINT)
        self._passed_on = self._asked
        """The last wish for a checkpoint that the loop knows of."""
        self._due_step: int | None = None
        """The step that has to be saved before that wish is fulfilled."""
        self._taken = self._told = -1
        self._take()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="headway-link", daemon=True)
        self._thread.start()

    def tell(self, progress: TrainProgress) -> None:
        """Hand progress to the thread."""
        if self._taken != self._passed_on:
            self._due_step = progress.step if self._due_step is None else self._due_step
            if progress.checkpoint is not None and progress.checkpoint.step >= self._due_step:
                self._take()
        self._progress = progress

    def heard(self) -> int:
        """What the thread has seen last."""
        return self._heard

    def request(self) -> Request:
        """What the thread has seen last; a wish for a checkpoint is passed on once."""
        if self._stop:
            return Request.STOP
        if self._asked > self._passed_on:
            self._passed_on, self._due_step = self._asked, None
            return Request.CHECKPOINT
        return Request.NONE

    def ask(self, question: Question) -> Answer:
        """Wait for the driver's answer; a stop that is asked for meanwhile ends the wait."""
        told = question.model_dump_json().encode()
        _internal_kv_put(scoped(KEY_QUESTION, self._scope), told, namespace=KV_NAMESPACE)
        while not self._stop:
            said = _internal_kv_get(scoped(KEY_ANSWER, self._scope), namespace=KV_NAMESPACE)
            if said is not None:
                epoch, answer = (int(number) for number in said.split())
                if epoch == question.epoch:  # what an earlier group of workers was told stands in the way else
                    return Answer(answer)
            time.sleep(ASK_SECONDS)
        return Answer.STOP

    def close(self) -> None:
        """Send what is left; nobody takes a checkpoint any more."""
        self._closed.set()
        self._thread.join()
        self._told = self._taken
        self._send()
        _internal_kv_del(scoped(KEY_TAKEN, self._scope), namespace=KV_NAMESPACE)

    def _take(self) -> None:
        self._taken, self._due_step = self._passed_on, None

    def _run(self) -> None:
        while not self._closed.wait(PERIOD_SECONDS):
            self._send()
            self._stop = self._stop or _number(scoped(KEY_STOP, self._scope)) > 0
            self._asked = _number(KEY_CHECKPOINT)
            self._heard = _number(scoped(KEY_HEARD, self._scope), -1)

    def _send(self) -> None:
        progress, self._progress = self._progress, None
        if progress is not None:
            told = progress.model_dump_json().encode()
            _internal_kv_put(scoped(KEY_PROGRESS, self._scope), told, namespace=KV_NAMESPACE)
        taken = self._taken
        if taken != self._told:
            _internal_kv_put(scoped(KEY_TAKEN, self._scope), str(taken).encode(), namespace=KV_NAMESPACE)
            self._told = taken


class DriverLink:
    """The driver's end."""

    def __init__(self, scope: str = "") -> None:
        """scope: of the run that is talked to."""
        self._scope = scope
        self._heard = -1

    def progress(self) -> TrainProgress | None:
        """What rank 0 told last; none before it has begun."""
        data = _internal_kv_get(scoped(KEY_PROGRESS, self._scope), namespace=KV_NAMESPACE)
        if data is None:
            return None
        progress = TrainProgress.model_validate_json(data)
        newest = progress.measured[-1].step if progress.measured else None
        if newest is not None and newest > self._heard:  # so it is told no more
            self._heard = newest
            _internal_kv_put(scoped(KEY_HEARD, self._scope), str(newest).encode(), namespace=KV_NAMESPACE)
        return progress

    def question(self) -> Question | None:
        """What rank 0 of a trial asked last; none before it has asked."""
        data = _internal_kv_get(scoped(KEY_QUESTION, self._scope), namespace=KV_NAMESPACE)
        return None if data is None else Question.model_validate_json(data)

    def answer(self, epoch: int, *, goes_on: bool) -> None:
        """Say whether a trial goes on after an epoch."""
        answer = Answer.GO_ON if goes_on else Answer.PRUNE
        said = f"{epoch} {int(answer)}".encode()
        _internal_kv_put(scoped(KEY_ANSWER, self._scope), said, namespace=KV_NAMESPACE)

    def steps(self) -> bytes | None:
        """The steps that rank 0 counted last. Each group of workers begins at 0: only a change means anything."""
        data: bytes | None = _internal_kv_get(scoped(KEY_STEPS, self._scope), namespace=KV_NAMESPACE)
        return data

    def left(self) -> str | None:
        """What a training process said that has ended itself."""
        data: bytes | None = _internal_kv_get(scoped(KEY_LEFT, self._scope), namespace=KV_NAMESPACE)
        return None if data is None else data.decode()

    def lost_lines(self) -> bool:
        """Whether a worker pod has said that lines of its processes are missing in the logs on the storage."""
        return bool(_internal_kv_list(KEY_LOST_LINES, namespace=KV_NAMESPACE))

    def ask_to_stop(self) -> None:
        """Ask for a checkpoint and an end."""
        _internal_kv_put(scoped(KEY_STOP, self._scope), b"1", namespace=KV_NAMESPACE)


def _number(key: bytes, absent: int = 0) -> int:
    data = _internal_kv_get(key, namespace=KV_NAMESPACE)
    return absent if data is None else int(data)
