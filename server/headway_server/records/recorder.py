"""What the protocols tell of answered requests: ids, records of a sample, and labels."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from uuid import uuid4

from headway_server.errors import BadModel, Overloaded
from headway_server.model import ServedModel, Tensors
from headway_server.records import feedback, record
from headway_server.records.files import Files
from headway_server.records.record import RecordSettings
from headway_server.records.writer import Sink, StandardOutput, Writer


class Recorder:
    """Belongs to the event loop; a thread of its own writes. Raises BadModel for what cannot be kept as it is asked.

    count: is told of lines, by kind and what became of them.
    """

    def __init__(
        self,
        model: ServedModel,
        settings: RecordSettings,
        count: Callable[[str, str, int], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        unknown = sorted(set(settings.mask) - {one.column for one in model.signature.inputs})
        if unknown:
            raise BadModel(f"records: mask names {unknown[0][:80]!r}, which is no column of the model {model.name}")
        sink: Sink = StandardOutput()
        if settings.folder is not None:
            files = Files(settings.folder, settings.max_bytes)
            files.check()
            sink = files
        self._model = model
        self._settings = settings
        self._clock = clock
        self._labels = feedback.Labels(model)
        self.writer = Writer(sink, count)

    @staticmethod
    def named(request_id: str | None) -> str:
        """The id of a request: its own, or one that is made."""
        return request_id or uuid4().hex

    def answered(self, protocol: str, request_id: str, seconds: float, feeds: Tensors, outputs: Tensors) -> None:
        """A request that got its answer, by whichever protocol."""
        if not record.sampled(request_id, self._settings.sample):
            return
        told = (self._clock(), protocol, request_id, seconds)
        taken = record.take(self._model, self._settings, feeds, outputs, told)
        self.writer.offer("request", taken.size, partial(record.line, self._model, self._settings, taken))

    def labelled(self, data: bytes) -> int:
        """Take the labels of a body, and return of how many requests they are.

        Raises InvalidRequest, TooLarge, or Overloaded where they would be lost: none of them is taken then.
        """
        entries = self._labels.read(data)
        if self.writer.failing:
            raise Overloaded("labels cannot be written at the moment: send them again later", 30)
        now, each = self._clock(), 512 + 2 * len(data) // len(entries)
        if not self.writer.has_room(len(entries), each * len(entries)):
            raise Overloaded("more labels come than can be written: send them again later")
        for entry in entries:
            self.writer.offer("feedback", each, partial(feedback.line, self._model, now, entry))
        return len(entries)
