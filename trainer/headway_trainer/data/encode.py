"""Which transform encodes which column, and what cannot be encoded. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headway_api.columns import Kind
from headway_api.model import TokenOptions
from headway_trainer.data.info import LARGEST
from headway_trainer.data.read.yaml_keys import key
from headway_trainer.data.schema import Column, Schema
from headway_trainer.data.scratch import MEMORY, Scratch
from headway_trainer.data.transform import (
    Boolean,
    Category,
    ColumnTransform,
    Number,
    Step,
    Times,
    Tokens,
    Vector,
    Words,
    fit_tokens,
)
from headway_trainer.data.written import quoted
from headway_trainer.errors import UserError

FITS: Mapping[Kind, Callable[[str, pa.ChunkedArray], ColumnTransform]] = MappingProxyType(
    {
        "number": Number.fit,
        "boolean": Boolean.fit,
        "category": Category.fit,
        "time": Times.fit,
        "text": Words.fit,
        "vector": Vector.fit,
    }
)
"""What encodes a column of each kind that can be learnt from."""
_BLOCK_NUMBERS = 2**21
"""Numbers that are looked at at once."""
_CUT_SHARE = 0.05
"""Where a greater share of the texts is cut, people should know."""
_LONG_WORDS = 20.0
"""Characters of a word, on average, beyond which a text is hardly divided by blanks."""


def choose_steps(
    schema: Schema, tokens: TokenOptions | None = None, past: Sequence[str] = (), *, scratch: Scratch = MEMORY
) -> list[Step]:
    """How each feature of a table is to be encoded, and then each target whose past is learnt from; tokens: how texts
    are, for a model that takes them as sequences; scratch: where the columns lie."""
    fits: dict[Kind, Callable[[str, pa.ChunkedArray], ColumnTransform]] = dict(FITS)
    fits["vector"] = partial(Vector.fit, scratch=scratch)
    if tokens is not None:
        fits["text"] = fit_tokens(tokens)
    steps = [Step(column.name, fits[column.kind]) for column in schema.of("feature")]
    return [*steps, *(Step(name, Number.fit) for name in past)]


def warnings_of(transforms: Sequence[ColumnTransform]) -> list[str]:
    """What people should know of what transforms leave out."""
    return [sentence for one in transforms if isinstance(one, Tokens) for sentence in _warnings_of_text(one)]


def _warnings_of_text(text: Tokens) -> list[str]:
    name, told = text.inputs[0], list[str]()
    if text.cut > _CUT_SHARE * text.seen:
        told.append(
            f"Column {quoted(name)}: {text.cut} of the {text.seen} texts of the training part are longer than "
            f"{text.length} {text.unit}s, and what follows is cut off: model.options.length keeps more."
        )
    if text.unit == "word" and text.letters > _LONG_WORDS:
        told.append(
            f"Column {quoted(name)}: a word has {text.letters:.0f} characters on average, as in a language that puts "
            "no blanks between words, so most words will be unknown: set model.options.tokens to character."
        )
    if not text.vocabulary:
        told.append(
            f"Column {quoted(name)} has no {text.unit} that is there twice in the training part, so nothing can be "
            f"learnt from it; data.columns: {{{key(name)}: {{role: ignore}}}} leaves it out."
        )
    return told


def tell_done(schema: Schema, transforms: Sequence[ColumnTransform], *, forecast: bool = False) -> Schema:
    """The schema with what was done to each column; forecast: whether the rows are steps of series."""
    done = {transform.inputs[0]: _done(transform) for transform in transforms}
    return Schema(
        columns=[
            column.model_copy(update={"done": _of(column, done.get(column.name), forecast=forecast)})
            for column in schema.columns
        ]
    )


def check_array(x: npt.NDArray[Any]) -> list[str]:
    """Refuse features, (rows, *row_shape), that cannot be learnt from; a note of the empty ones, which are filled in.

    Raises UserError for a number that is too large, and for NaN in images.
    """
    if x.dtype.kind != "f":
        return []
    count = 0
    for start in range(0, len(x), step := max(1, _BLOCK_NUMBERS // max(1, x[0].size))):
        block = x[start : start + step]
        if (beyond := np.abs(block) > LARGEST).any():
            row = start + int(np.argwhere(beyond)[0][0])
            raise UserError(
                f"the features hold a number beyond {LARGEST:g} in row {row + 1}: replace it, by NaN for example"
            )
        empty = np.isnan(block)
        if empty.any() and x.ndim > 2:  # noqa: PLR2004 - rows and features
            row = start + int(np.argwhere(empty)[0][0])
            raise UserError(f"the features hold NaN in row {row + 1}: images must be complete; take such rows out")
        count += int(empty.sum())
    if not count:
        return []
    return [f"{count} empty values of features were replaced by the median of the training part."]


def _of(column: Column, done: str | None, *, forecast: bool) -> str:
    """What was done to a column, as a sentence without its name."""
    if column.role == "feature" and done is not None:
        return done if column.nullable else done.partition("; empty")[0]
    if forecast:
        return {"time": "orders the rows", "group": "names the series", "target": "forecast, its past is seen"}.get(
            column.role, "left out"
        )
    return {"ignore": "left out", "target": "predicted", "weight": "weighs its row in training"}.get(
        column.role, "divides the rows"
    )


def _done(transform: ColumnTransform) -> str:
    """What a transform does; what it does to empty values comes last."""
    count = len(transform.outputs)
    match transform:
        case Number():
            done = f"one feature; empty values become the median {transform.fill:.6g}"
        case Boolean():
            done = f"0 and 1; empty values become {transform.fill:g}"
        case Category(missing=True):
            done = f"{count} features of 0 and 1; empty values are a category of their own"
        case Category():
            fill = f"; empty values become {transform.fill!r}" if transform.fill is not None else ""
            done = f"{count} features of 0 and 1{fill}"
        case Times():
            done = f"{', '.join(transform.parts)}; empty values become the median"
        case Words():
            done = f"the {len(transform.words)} most frequent words, 0 and 1; empty values have none"
        case Tokens():
            cut = f" ({transform.cut} of {transform.seen} texts are longer)" if transform.cut else ""
            done = (
                f"the first {transform.length} {transform.unit}s{cut} as numbers of {transform.vocabulary} known ones, "
                "as the model takes sequences; empty values have none"
            )
        case Vector():
            done = f"{count} features; empty values become the medians"
    return done


def refuse_huge(name: str, values: pa.ChunkedArray, where: Callable[[int], str]) -> None:
    """Raise UserError, naming the row, for a feature that holds a number too large to be learnt from."""
    if pa.types.is_floating(values.type):
        row = pc.index(pc.greater(pc.abs(values), LARGEST), value=True).as_py()
        if row >= 0:
            raise UserError(
                f"column {name!r} is {values[row].as_py()} in {where(row)}: "
                f"replace it by a number of at most {LARGEST:g}, or leave it empty"
            )
