"""From what was read to what is known of it: each column, the target, the parts, and what people should know. Pure.

The same for training and for `headway profile`: nothing is encoded or written here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headway_api.data import Data
from headway_api.metrics import Task
from headway_api.wording import listed
from headway_trainer.data import targets
from headway_trainer.data.array_schema import array_columns, told_as_target
from headway_trainer.data.content import ArrayContent, ColumnFacts, TableContent
from headway_trainer.data.encode import check_array, refuse_huge, tell_done
from headway_trainer.data.forecast.plan import Plan, plan_forecast
from headway_trainer.data.part_checks import check_parts, classes_not_learnt
from headway_trainer.data.profile import Profile, bounded, bounded_columns
from headway_trainer.data.read.yaml_keys import key
from headway_trainer.data.resolve import Resolved, resolve
from headway_trainer.data.schema import Column, Schema
from headway_trainer.data.split import Column as DividingColumn
from headway_trainer.data.split import Parts, divide, divide_folds, dividing, with_validation_learnt
from headway_trainer.data.targets import Target
from headway_trainer.data.unlabelled import themselves
from headway_trainer.data.weights import weights_of
from headway_trainer.data.written import problem_of, quoted
from headway_trainer.errors import UserError


@dataclass
class Examined:
    """What is known of a source before it is encoded."""

    schema: Schema
    table: pa.Table | None = None
    """The rows of a table, its columns as the types of their kinds; none for arrays."""
    target: Target | None = None
    """What is predicted; none where the spec names nothing, or where it cannot be learnt."""
    parts: Parts | None = None
    """Which rows train, choose and judge the model; none without a target."""
    folds: list[Parts] = field(default_factory=list)
    """The training and validation rows of each fold, where the spec asks for folds."""
    weights: npt.NDArray[np.float32] | None = None
    """How much each row counts in training, (rows,): 1 in the mean over the training part; none for all alike."""
    plan: Plan | None = None
    """The windows of a forecast; none for other tasks."""
    target_called: str = "the target"
    """How messages call the target."""
    target_names: list[str] = field(default_factory=list)
    """The name of each output of a regression."""
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """Why training would be refused."""

    def learnt(self) -> tuple[Target, Parts]:
        """What is predicted, and the parts. Raises ValueError where there are none."""
        if self.target is None or self.parts is None:
            raise ValueError("there is nothing to predict")
        return self.target, self.parts

    @property
    def past(self) -> list[str]:
        """The targets whose own past is learnt from."""
        return self.target_names if self.plan is not None else []

    @property
    def features(self) -> list[str]:
        """The names of the columns that are learnt from."""
        return list(self.schema.names("feature"))


def examine(
    spec: Data, seed: int, content: TableContent | ArrayContent, *, strict: bool = True, tokens: bool = False
) -> Examined:
    """Tell what the columns are, what is learnt, and which rows train; and find what people should know of.

    tokens: whether the model learns from sequences of tokens, so that there has to be a text.
    Raises UserError for data that cannot be learnt from, or that could be meant in two ways; with strict off such
    problems are collected instead.
    """
    known = Examined(Schema(), warnings=list(content.warnings), notes=list(content.notes))
    table = content if isinstance(content, TableContent) else content.beside
    if table is not None:
        _resolve(known, spec, table, strict=strict, learns=table is content)
    if tokens:
        _require_text(known, content, strict=strict)
    try:
        _check_numbers(known, content)
        known.target = _target(spec, content, known)
        if known.target is not None:
            known.warnings += known.target.warnings
            known.target_called, known.target_names = _called(content, known, known.target.outputs)
            known.parts = _split(spec, seed, known.target, content, known)
            known.folds = _folds(spec, seed, known.target, content, known)
            known.weights = weights_of(known.schema, known.table, known.parts.indices[0], where_of(content))
            known.plan = _plan(spec, seed, content, known, known.parts)
    except UserError as error:
        if strict:
            raise
        known.problems.append(str(error))
    if known.target is not None and table is not None:
        known.schema = told_as_target(known.schema, known.target)
    if isinstance(content, ArrayContent):
        beside = tell_done(known.schema, []).columns
        known.schema = Schema(columns=[*array_columns(content, known.target), *beside])
    if known.plan is not None:
        # What stands beside a target in its row is not seen when the target is forecast, so nothing there leaks.
        known.warnings += known.plan.warnings
        known.notes += known.plan.notes
    elif known.target is not None and known.parts is not None and spec.task != "forecasting":
        found = check_parts(spec, content, known.target, known.parts, schema=known.schema, table=known.table)
        known.warnings += found.warnings
        known.notes += found.notes
    return known


VALIDATION_LEARNT = (
    "The model learns from the rows of the validation part, too, as tuning.final is retrain: the trials, which were "
    "trained without them, were compared by them."
)


def learning_from_validation(spec: Data, seed: int, content: TableContent | ArrayContent, known: Examined) -> Examined:
    """What is known where the rows of the validation part are trained on, too; `known` stays as it is.

    Raises UserError where a forecast has no windows then.
    """
    target, parts = known.learnt()
    parts = with_validation_learnt(parts, len(target.values), seed)
    # Of a forecast, each part that has a share is asked for a window.
    spec = spec.model_copy(update={"split": spec.split.model_copy(update={"validation": 0.0})})
    return replace(
        known,
        parts=parts,
        weights=weights_of(known.schema, known.table, parts.indices[0], where_of(content)),
        plan=_plan(spec, seed, content, known, parts),
        warnings=list(known.warnings),
        notes=[*known.notes, VALIDATION_LEARNT],
    )


def profile_of(known: Examined, content: TableContent | ArrayContent) -> Profile:
    """What is known, as people and programs read it."""
    target, read = known.target, content.read
    return Profile(
        source=_uri(content) if isinstance(content, TableContent) else content.target,
        lines=read.lines,
        files=len(content.files) if isinstance(content, TableContent) else 0,
        files_left_out=read.files_left_out,
        dialect=read.dialect,
        rows=len(known.table)
        if known.table is not None
        else len(content.x)
        if isinstance(content, ArrayContent)
        else 0,
        task=target.task if target else None,
        task_why=target.why if target else "",
        columns=bounded_columns(known.schema.columns),
        column_count=len(known.schema),
        warnings=bounded([*(f"Training would be refused: {one}." for one in known.problems), *known.warnings]),
        notes=bounded(known.notes),
    )


def _resolve(known: Examined, spec: Data, content: TableContent, *, strict: bool, learns: bool) -> None:
    """Tell what each column of a table is; learns: whether the features are there."""
    names = spec.target_names
    if not names and strict and spec.task != "reconstruction":
        shown = listed([repr(name) for name in content.table.column_names])
        raise UserError(f"data.target is not set: name the column to predict; {_uri(content)} has the columns {shown}")
    resolved = resolve(
        content.table,
        spec.columns or {},
        names,
        uri=_uri(content),
        where=content.where,
        facts=content.facts,
        scratch=content.scratch,
    )
    # A forecast learns from the targets' own past, if from nothing else.
    nothing = _nothing_left(resolved) if learns and spec.task != "forecasting" else None
    if strict:
        resolved.check()
        if nothing:
            raise UserError(nothing)
    known.schema, known.table = resolved.schema, resolved.table
    known.warnings += resolved.warnings
    known.problems += [*resolved.problems, *([nothing] if nothing else [])]


def _check_numbers(known: Examined, content: TableContent | ArrayContent) -> None:
    """Raises UserError for a feature that holds a number too large to be learnt from."""
    if isinstance(content, ArrayContent):
        known.notes += check_array(content.x)
        return
    assert known.table is not None  # noqa: S101 - a table's columns are resolved
    for name in known.features:
        refuse_huge(name, known.table[name], content.where)


def _require_text(known: Examined, content: TableContent | ArrayContent, *, strict: bool) -> None:
    """For a model that takes texts: refuse data without one, or write that into the problems."""
    missing = _no_text(known, content)
    if missing is not None and strict:
        raise UserError(missing)
    known.problems += [] if missing is None else [missing]


def _no_text(known: Examined, content: TableContent | ArrayContent) -> str | None:
    """The sentence for a model that takes texts, where no column is one."""
    if isinstance(content, ArrayContent):
        return f"the model learns from texts, and {content.target} has none beside it: set model.name to mlp"
    if any(column.kind == "text" for column in known.schema.of("feature")):
        return None
    columns = known.schema.of("feature", "ignore")
    told = listed([f"{quoted(one.name)} ({one.kind if one.role == 'feature' else 'left out'})" for one in columns])
    return (
        f"the model learns from texts, and no column of {_uri(content)} is one: there are {told}; data.columns: "
        "{NAME: {kind: text}} says which one is, or set model.name to mlp"
    )


def _nothing_left(resolved: Resolved) -> str | None:
    """The sentence that has the reason for each column, if all were left out."""
    if any(True for _ in resolved.schema.names("feature")):
        return None
    out = resolved.schema.of("ignore")
    reasons = listed([f"{quoted(column.name)} ({column.why})" for column in out])
    way = f"data.columns says what they are, as in {{{key(out[0].name)}: {{role: feature}}}}" if out else ""
    told = f": left out were {reasons}; {way}" if out else ""
    beside = " beside the target" if any(True for _ in resolved.schema.names("target")) else ""
    return f"no column is left to learn from{beside}{told}"


def _target(spec: Data, content: TableContent | ArrayContent, known: Examined) -> Target | None:
    """The target, encoded; none where the spec names none, though it has to."""
    if spec.task == "reconstruction":
        return themselves(len(content.x) if isinstance(content, ArrayContent) else len(content.table))
    images = isinstance(content, ArrayContent) and content.x.ndim > 2  # noqa: PLR2004 - rows and features
    if isinstance(content, ArrayContent) and content.beside is None:
        if content.classes_only and spec.task == "regression":
            raise UserError(
                f"{content.target} is a class, but data.task is regression: set data.task to classification"
            )
        return targets.encode(content.y, spec.task, content.target, content.class_names, images=images)
    columns = known.schema.of("target")
    if not columns or known.table is None:
        return None
    names = [column.name for column in columns]
    called, _ = _called(content, known, len(names))
    table = content if isinstance(content, TableContent) else content.beside
    assert table is not None  # noqa: S101 - arrays without one were looked at
    values = [_target_values(known.table[column.name], column, table, spec) for column in columns]
    if len(values) == 1:
        return targets.encode(values[0], _task(spec, columns[0]), called, images=images)
    if odd := [name for name, array in zip(names, values, strict=True) if array.dtype.kind not in "iufb"]:
        raise UserError(f"the target column {odd[0]!r} is text: several targets must all be numbers, so name one")
    matrix = np.stack([array.astype(np.float64) for array in values], axis=1)
    return targets.encode(matrix, spec.task, called, columns=names)


def _called(content: TableContent | ArrayContent, known: Examined, outputs: int) -> tuple[str, list[str]]:
    """How messages call the target, and the names of its outputs."""
    if not outputs:
        return "the target", []
    if isinstance(content, ArrayContent) and content.beside is None:
        return content.target, ["target"] if outputs == 1 else [f"target[{index}]" for index in range(outputs)]
    names = list(known.schema.names("target"))
    return f"the target column{'s' if len(names) > 1 else ''} {listed([repr(name) for name in names])}", names


def _task(spec: Data, column: Column) -> Task | None:
    """What the spec says of the task: by itself, or by the kind that it gives to the target."""
    if spec.task is not None:
        return spec.task
    given = (spec.columns or {}).get(column.name)
    if given is None or given.kind is None:
        return None
    tasks: dict[str, Task] = {"number": "regression", "category": "classification", "boolean": "classification"}
    return tasks.get(given.kind)


def _target_values(values: pa.ChunkedArray, column: Column, content: TableContent, spec: Data) -> npt.NDArray[Any]:
    """A target's values, (rows,). Raises UserError for an empty one, and for text that seems to be numbers."""
    if column.kind not in ("number", "boolean", "category", "text", "id"):
        raise UserError(
            f"the target column {column.name!r} is of the kind {column.kind}, which cannot be predicted: name a column "
            "of numbers, text or true and false"
        )
    if values.null_count:
        row = pc.index(values.is_null(), value=True).as_py()
        facts = content.facts.get(column.name, ColumnFacts())
        words = (
            f", or written as {' or '.join(facts.words)}, which nullValues: [] in data.read keeps,"
            if facts.words
            else ""
        )
        way = "" if spec.task == "forecasting" else ", or leave such rows out with data.missingTargets: drop"
        raise UserError(
            f"the target column {column.name!r} is empty{words} in {values.null_count} of {len(values)} rows, first in "
            f"{content.where(row)}: fill it in{way}"
        )
    if column.kind == "category" and column.why != "given" and spec.task != "classification":
        problem = problem_of(column.name, values, content.where)
        if problem is not None:
            raise UserError(problem)
    array: npt.NDArray[Any] = _texts(values) if pa.types.is_string(values.type) else values.to_numpy()
    return array


def _texts(values: pa.ChunkedArray) -> npt.NDArray[np.object_]:
    """Texts (rows,), none of them empty, as Python has them: equal ones once."""
    different = pc.unique(values)
    texts = np.array(different.to_pylist(), dtype=object)
    there: npt.NDArray[np.object_] = texts[pc.index_in(values, different).to_numpy()]
    return there


def _split(spec: Data, seed: int, target: Target, content: TableContent | ArrayContent, known: Examined) -> Parts:
    labels, column = _divides(spec, target, content, known)
    try:
        return divide(len(target.values), spec.split, seed, labels=labels, given=content.parts, column=column)
    except ValueError as error:
        raise UserError(f"data.split: {error}") from error


def _plan(spec: Data, seed: int, content: TableContent | ArrayContent, known: Examined, parts: Parts) -> Plan | None:
    if spec.task != "forecasting" or known.table is None:
        return None
    return plan_forecast(spec, known.schema, known.table, parts, seed=seed, where=where_of(content))


def _folds(spec: Data, seed: int, target: Target, content: TableContent | ArrayContent, known: Examined) -> list[Parts]:
    """The folds that the spec asks for; what people should know of them is added to what is known."""
    parts = known.parts
    if spec.split.folds is None or parts is None:
        return []
    labels, column = _divides(spec, target, content, known)
    try:
        folds = divide_folds(parts, spec.split.folds, seed, labels=labels, column=column)
    except ValueError as error:
        raise UserError(f"data.split: {error}") from error
    known.notes += [folds[0].by] if folds[0].by else []
    if target.classes is not None:
        known.warnings += classes_not_learnt(target.values, target.classes, folds)
    return folds


def _divides(
    spec: Data, target: Target, content: TableContent | ArrayContent, known: Examined
) -> tuple[npt.NDArray[np.int64] | None, DividingColumn | None]:
    """The labels whose shares are kept, and the column that divides, where there are such."""
    labels = target.values if spec.split.stratify == "auto" and target.task == "classification" else None
    found = dividing(spec)
    if found is None or known.table is None:
        return labels, None
    return labels, DividingColumn(found, known.table.column(found.column), where_of(content))


def where_of(content: TableContent | ArrayContent) -> Callable[[int], str]:
    """How a row, by its number, is told to people."""
    table = content if isinstance(content, TableContent) else content.beside
    return table.where if table is not None else lambda row: f"row {row + 1}"


def _uri(content: TableContent) -> str:
    """The source as messages call it: its file, or the folder of its files."""
    first = content.files[0][0]
    return first if len(content.files) == 1 else first.rpartition("/")[0]
