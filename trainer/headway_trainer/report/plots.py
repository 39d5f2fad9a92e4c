"""The report's plots as PNG bytes: the same result gives the same bytes. Pure, and without pyplot's global state."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

from headway_api.wording import printable
from headway_trainer.report.model import EpochRecord, RunResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_LABELS = 30
"""More classes than this cannot be read as labels."""
_MARKER_EPOCHS = 30
_DARK = 0.5


def loss_plot(result: RunResult) -> bytes | None:
    """Training and validation loss over epochs; none where no epoch has a loss."""
    curves = [(name, _points(result.training.history, name)) for name in ("train", "validation")]
    curves = [(name, points) for name, points in curves if points]
    if not curves:
        return None
    figure = figure_of(7.0, 4.0)
    axes = figure.add_subplot()
    for name, points in curves:
        marker = "o" if len(points) <= _MARKER_EPOCHS else None
        axes.plot([epoch for epoch, _ in points], [loss for _, loss in points], label=name, marker=marker, markersize=3)
    axes.set_xlabel("epoch" if result.training.iterations is None else "iteration")
    axes.set_ylabel("loss")
    axes.set_title(f"Loss of {result.job}")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    axes.legend()
    return png(figure)


def confusion_plot(result: RunResult) -> bytes | None:
    """The confusion matrix of the test part, as shares of each class's rows; none where there is none."""
    matrix = result.confusion_matrix
    if not matrix:
        return None
    shares = [[count / max(1, sum(row)) for count in row] for row in matrix]
    side = min(12.0, 2.5 + 0.45 * len(matrix))
    figure = figure_of(side + 1.0, side)
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
    figure.colorbar(image, ax=axes, label="share of the class's rows")
    axes.set_xlabel("predicted")
    axes.set_ylabel("actual")
    axes.set_title(f"Test rows of {result.job}")
    if len(matrix) <= _MOST_LABELS:
        names = [short(name) for name in _names(result, len(matrix))]
        axes.set_xticks(range(len(matrix)), names, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(matrix)), names)
        for row, counts in enumerate(matrix):
            for column, count in enumerate(counts):
                colour = "white" if shares[row][column] > _DARK else "black"
                axes.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=7)
    return png(figure)


def _points(history: list[EpochRecord], split: str) -> list[tuple[int, float]]:
    values = ((record.epoch, getattr(record, split).get("loss")) for record in history)
    return [(epoch, loss) for epoch, loss in values if loss is not None]


def _names(result: RunResult, count: int) -> list[str]:
    classes = result.data.classes if result.data else None
    return classes if classes and len(classes) == count else [str(index) for index in range(count)]


def short(name: str, limit: int = 16) -> str:
    """A name as a label of a plot."""
    name = printable(" ".join(name.split()))
    name = name if len(name) <= limit else f"{name[: limit - 1]}…"
    return name.replace("$", r"\$")  # a dollar sign would begin a formula


def figure_of(width: float, height: float) -> Figure:
    """An empty figure of so many inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=120, layout="constrained")


def png(figure: Figure) -> bytes:
    """The image."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # Class names may be in any script; what the font lacks is drawn as a box.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
