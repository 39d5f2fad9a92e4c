"""Progress on its way to people: from the loop to a ProgressFile, and from there to the job's ConfigMap."""

from __future__ import annotations

import json
import logging
import math
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from headway_api import wire
from headway_api.status import Progress
from headway_trainer.training.checkpoints.store import now
from headway_trainer.training.link import TrainProgress

SERVICE_ACCOUNT_DIR = Path("/var/run/secrets/kubernetes.io/serviceaccount")
RETRY_SECONDS = 5.0
"""What is added to the pause after a patch that failed."""
_TIMEOUT_SECONDS = 5.0
_SIGNIFICANT_DIGITS = 5

log = logging.getLogger(__name__)


class Sink(Protocol):
    """Takes progress in; returns at once and never raises."""

    def update(self, progress: wire.ProgressFile) -> None:
        """The newest progress."""

    def close(self) -> None:
        """There will be no more."""


def to_file(
    run: wire.RunFile, progress: TrainProgress, steps_lost: int | None, scope: str | None = None
) -> wire.ProgressFile:
    """The loop's progress as the operator reads it. scope: which of several models are trained now, in words."""
    percent = min(100, 100 * progress.done // progress.planned) if progress.planned else None
    return wire.ProgressFile(
        uid=run.uid,
        attempt=run.attempt,
        progress=Progress(
            percent=percent,
            stage="Evaluating" if progress.stage == "Evaluating" else "Training",
            scope=scope,
            epoch=progress.epoch or None,
            step=None if progress.counts_reports else progress.step,
            eta_seconds=eta_seconds(progress),
            samples_per_second=_rounded(progress.samples_per_second),
            checkpoint_seconds=int(progress.checkpoint_seconds) or None,
            # People, and alerts, are to see that a loss is no number any more.
            metrics={name: shown(value) for name, value in progress.metrics.items()}
            | dict.fromkeys(progress.not_finite, shown(math.nan)),
            update_time=now(),
        ),
        checkpoint=progress.checkpoint,
        resumed_from_step=progress.resumed_from_step,
        steps_lost=None if progress.counts_reports else steps_lost,
    )


def eta_seconds(progress: TrainProgress) -> int | None:
    """Seconds that the rest of the planned steps will take at the speed of now; none before there is a speed."""
    if progress.steps_per_second is None or progress.steps_per_second <= 0:
        return None
    return round((progress.planned - progress.done) / progress.steps_per_second)


def shown(value: float) -> str:
    """A metric's value for people."""
    return f"{value:.{_SIGNIFICANT_DIGITS}g}"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


class Nowhere:
    """Progress that nobody asked for."""

    def update(self, progress: wire.ProgressFile) -> None:
        """Ignored."""

    def close(self) -> None:
        """Nothing to do."""


class ConfigMapSink:
    """Patches `progress.json` of the attempt's ConfigMap, at most every so many seconds, in a thread of its own.

    The first word goes at once, and so does the last, an outcome: somebody waits for them. Best effort: training never
    fails for it, but what the server did not take is sent again. The first failure of a row is logged, the rest is
    silence.
    """

    def __init__(self, send: Callable[[bytes], None], seconds: float = wire.PROGRESS_SECONDS) -> None:
        self._send = send
        self._seconds = seconds
        self._newest: wire.ProgressFile | None = None
        self._failed = False
        self._closing = threading.Event()
        self._urgent = threading.Event()
        """Nothing is waited for any more: the last word is said, or the sink is closed."""
        self._changed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="headway-progress", daemon=True)
        self._thread.start()

    def update(self, progress: wire.ProgressFile) -> None:
        """Keep the newest; the thread sends it."""
        self._newest = progress
        if progress.outcome is not None:
            self._urgent.set()
        self._changed.set()

    def close(self) -> None:
        """Send what is left."""
        self._closing.set()
        self._urgent.set()
        self._changed.set()
        self._thread.join(2 * _TIMEOUT_SECONDS)

    def _run(self) -> None:
        while True:
            self._changed.wait()
            self._changed.clear()
            newest, self._newest = self._newest, None
            if newest is not None and not self._patch(newest) and self._newest is None and not self._closing.is_set():
                self._newest = newest  # a heartbeat that is lost for good may end the job
                self._changed.set()
                self._closing.wait(RETRY_SECONDS)
            if self._closing.is_set() and self._newest is None:
                return
            self._urgent.wait(self._seconds)

    def _patch(self, progress: wire.ProgressFile) -> bool:
        document = {"data": {wire.KEY_PROGRESS: progress.model_dump_json(exclude_none=True)}}
        try:
            self._send(json.dumps(document).encode())
            self._failed = False
            return True
        except (OSError, ValueError) as error:
            if not self._failed:
                log.warning("progress could not be written to the job's ConfigMap; training goes on: %s", error)
            self._failed = True
            return False


def config_map_sender(
    namespace: str, name: str, *, host: str, port: str, folder: Path = SERVICE_ACCOUNT_DIR
) -> Callable[[bytes], None]:
    """Sends a merge patch of a ConfigMap to the API server at host and port, as the pod's ServiceAccount.

    The function raises OSError when it fails. The token is read each time: the kubelet renews it.
    """
    url = f"https://{f'[{host}]' if ':' in host else host}:{port}/api/v1/namespaces/{namespace}/configmaps/{name}"

    def send(body: bytes) -> None:
        context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
        request = urllib.request.Request(url, data=body, method="PATCH")
        request.add_header("Content-Type", "application/merge-patch+json")
        request.add_header("Authorization", f"Bearer {(folder / 'token').read_text().strip()}")
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS, context=context):  # noqa: S310 - always https
            pass

    return send
