"""The progress line of `headway run`."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from headway_api.job import TrainingJobSpec
from headway_api.wire import ProgressFile
from headway_api.wording import printable


class Terminal:
    """Shows progress in one line of a terminal; elsewhere, for example in a log, a line an epoch."""

    def __init__(self, console: Console, spec: TrainingJobSpec) -> None:
        self._console = console
        # A training function of the user's own counts its epochs as it likes.
        self._epochs = spec.training.epochs if spec.training and not spec.training.entrypoint else None
        self._live = Live(Text("Preparing"), console=console, refresh_per_second=8, transient=True)
        self._section: object = None
        """What a new line is printed for: an epoch, or other folds."""

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def update(self, progress: ProgressFile) -> None:
        """Show the newest progress."""
        line = printable(progress_line(progress, self._epochs))
        if self._console.is_terminal:
            self._live.update(Text(line, no_wrap=True, overflow="ellipsis"))
        elif (section := (progress.progress.epoch, progress.progress.scope)) != self._section:
            self._section = section
            self._console.print(line, highlight=False, soft_wrap=True, markup=False)

    def note(self, sentence: str) -> None:
        """Print a sentence above the line."""
        self._console.print(printable(sentence), highlight=False, markup=False)

    def close(self) -> None:
        """Nothing is held back."""


def progress_line(file: ProgressFile, epochs: int | None) -> str:
    """Progress in a line: stage, epoch, step, metrics, rows a second, time left."""
    progress = file.progress
    if progress.stage != "Training":
        return progress.stage
    parts = []
    if progress.scope is not None:
        parts += [progress.scope, *([f"{progress.percent}%"] if progress.percent is not None else [])]
    if progress.epoch is not None:
        parts.append(f"epoch {progress.epoch}/{epochs}" if epochs else f"epoch {progress.epoch}")
    parts += [f"step {progress.step}"] if progress.step is not None else []
    parts += [f"{name} {value}" for name, value in progress.metrics.items() if name in _SHOWN]
    if progress.samples_per_second is not None:
        parts.append(f"{progress.samples_per_second:.0f} samples/s")
    if progress.eta_seconds is not None:
        parts.append(f"ETA {_duration(progress.eta_seconds)}")
    return "  ".join(parts)


_SHOWN = ("train/loss", "validation/loss", "validation/accuracy", "validation/mae")


def _duration(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"
