"""Progress of `headway run` on a terminal: a line, and a few more while there are trials."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from headway_api.job import TrainingJobSpec
from headway_api.status import Progress, TuningStatus
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
        """What a new line is printed for: an epoch, other folds, or a trial that has ended."""

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
            lines = [line, *map(printable, trial_lines(progress))]
            self._live.update(Group(*(Text(each, no_wrap=True, overflow="ellipsis") for each in lines)))
        elif (section := _section(progress)) != self._section:
            self._section = section
            self._console.print(line, highlight=False, soft_wrap=True, markup=False)

    def note(self, sentence: str) -> None:
        """Print a sentence above the line."""
        self._console.print(printable(sentence), highlight=False, markup=False)

    def close(self) -> None:
        """Nothing is held back."""


def progress_line(file: ProgressFile, epochs: int | None) -> str:
    """Progress in a line: stage, epoch, step, metrics, rows a second, time left; of trials how many and the best."""
    progress = file.progress
    if file.tuning is not None and _searches(file):
        return "  ".join([_trials(file.tuning), *_share(progress), *_speed(progress)])
    if progress.stage != "Training":
        return progress.stage
    parts = []
    if progress.scope is not None:
        parts += [progress.scope, *_share(progress)]
    if progress.epoch is not None:
        parts.append(f"epoch {progress.epoch}/{epochs}" if epochs else f"epoch {progress.epoch}")
    parts += [f"step {progress.step}"] if progress.step is not None else []
    parts += [f"{name} {value}" for name, value in progress.metrics.items() if name in _SHOWN]
    return "  ".join([*parts, *_speed(progress)])


def trial_lines(file: ProgressFile) -> list[str]:
    """The trials that run, and the best one's parameters, a line each; none where there are no trials, or they have
    ended."""
    tuning = file.tuning
    if tuning is None or not _searches(file):
        return []
    lines = [
        "  ".join(
            [
                f"  trial {one.trial}",
                *([f"epoch {one.epoch}"] if one.epoch is not None else []),
                *([f"{tuning.metric} {one.value}"] if one.value is not None else []),
            ]
        )
        for one in tuning.running_trials[:_MOST_RUNNING]
    ]
    if tuning.best is not None:
        values = ", ".join(f"{path} {value}" for path, value in tuning.best.parameters.items())
        lines.append(f"  best: {values}")
    return lines


def _trials(tuning: TuningStatus) -> str:
    counts = {state: getattr(tuning, state) for state in ("running", "waiting", "completed", "stopped", "failed")}
    told = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    planned = f" of {tuning.planned}" if tuning.planned is not None else ""
    best = tuning.best
    line = f"{tuning.ended}{planned} trials have ended{f' ({told})' if told else ''}"
    return line if best is None else f"{line}  best {tuning.metric} {best.value} (trial {best.trial})"


def _searches(file: ProgressFile) -> bool:
    """Whether trials run, or there is only a moment between two of them."""
    there = file.tuning is not None and (
        file.tuning.running + file.tuning.waiting > 0 or file.progress.scope is not None
    )
    return there and file.progress.stage in {"Preparing", "Training"}


def _section(file: ProgressFile) -> object:
    """What a new line is printed for."""
    if file.tuning is not None and _searches(file):
        return file.tuning.ended
    return file.progress.epoch, file.progress.scope


def _share(progress: Progress) -> list[str]:
    return [f"{progress.percent}%"] if progress.percent is not None else []


def _speed(progress: Progress) -> list[str]:
    told = []
    if progress.samples_per_second is not None:
        told.append(f"{progress.samples_per_second:.0f} samples/s")
    if progress.eta_seconds is not None:
        told.append(f"ETA {_duration(progress.eta_seconds)}")
    return told


_MOST_RUNNING = 8
"""Trials that have a line."""
_SHOWN = ("train/loss", "validation/loss", "validation/accuracy", "validation/mae")


def _duration(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"
