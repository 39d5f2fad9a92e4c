"""Rows of which nothing is predicted but themselves. Pure."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from headway_trainer.data.content import ArrayContent, TableContent
from headway_trainer.data.targets import Target


def no_target(rows: int) -> npt.NDArray[np.float32]:
    """What stands where targets would: rows without a number, (rows, 0)."""
    return np.zeros((rows, 0), np.float32)


def without_target(content: TableContent | ArrayContent) -> TableContent | ArrayContent:
    """The content without the target that the source itself has, and a note that says so."""
    if isinstance(content, TableContent) or content.y.shape[1:] == (0,):
        return content
    note = f"{content.target[:1].upper()}{content.target[1:]} was left out: a reconstruction learns the features alone."
    source = re.sub("^the (target of|class folder in) ", "", content.target)
    return replace(
        content,
        y=no_target(len(content.x)),
        target=source,
        class_names=None,
        classes_only=False,
        notes=[*content.notes, note],
    )


def themselves(rows: int) -> Target:
    """The target of a reconstruction: how many outputs there are follows from the features."""
    return Target("reconstruction", no_target(rows), 0, None)
