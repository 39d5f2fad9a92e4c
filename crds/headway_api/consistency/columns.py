"""`data.columns` against the target, the task, the format and itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from headway_api.base import BrokenRule
from headway_api.columns import Kind, Role
from headway_api.consistency.facts import columns_of, facts, roles, written_as
from headway_api.metrics import Task
from headway_api.wording import listed, shown

if TYPE_CHECKING:
    from headway_api.job import TrainingJobSpec

KINDS_OF_ROLE: Mapping[Role, tuple[Kind, ...]] = MappingProxyType(
    {
        "feature": ("number", "boolean", "category", "text", "time", "image", "series", "vector"),
        "target": ("number", "boolean", "category"),
        "weight": ("number",),
        "group": ("number", "boolean", "category", "text", "time", "id"),
        "time": ("time", "number"),
        "fold": ("category", "number", "text"),
    }
)
"""The kinds that a column of each role may have; one that is ignored may have any."""
KINDS_OF_TASK: Mapping[Task, tuple[Kind, ...]] = MappingProxyType(
    {
        "classification": ("boolean", "category"),
        "regression": ("number",),
        "forecasting": ("number",),
        "reconstruction": (),
    }
)
"""The kinds that a target of each task may have."""
KINDS_OF_FORMAT: Mapping[str, tuple[Kind, ...]] = MappingProxyType(
    {
        "csv": ("number", "boolean", "category", "text", "time", "id"),
        "jsonl": ("number", "boolean", "category", "text", "time", "vector", "id"),
        "parquet": ("number", "boolean", "category", "text", "time", "vector", "id"),
        "npz": ("image", "series"),
    }
)
"""The kinds that a column of each format may have."""
_ONE_OF_A_KIND: tuple[Role, ...] = ("weight", "group", "time", "fold")


def role_of_another_kind(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """A kind that cannot do what the role says."""
    if spec.data is None:
        return
    for name, column in columns_of(spec.data).items():
        allowed = KINDS_OF_ROLE.get(column.role or "feature", ())
        if column.role is None and name in spec.data.target_names:
            allowed = KINDS_OF_ROLE["target"]
        if column.kind is None or not allowed or column.kind in allowed:
            continue
        role = "target" if allowed is KINDS_OF_ROLE["target"] else column.role or "feature"
        if column.kind == "id" and role == "feature":
            if column.role is None:  # `kind: id` alone says that it is not learnt from
                continue
            said = "id is not learnt from, so it is no feature: write role: ignore, or another kind"
        else:
            said = f"{column.kind} cannot be a {role}, which is {' or '.join(allowed)}: correct kind or role"
        yield BrokenRule(said, ("data", "columns", name, "kind"))


def kind_of_another_format(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """A kind that no column of the files can have."""
    if spec.data is None:
        return
    form = written_as(spec.data)
    allowed = KINDS_OF_FORMAT.get(form or "")
    task = "; what the target is, data.task says" if form == "npz" else ""
    for name, column in columns_of(spec.data).items():
        if allowed is not None and column.kind is not None and column.kind not in allowed:
            yield BrokenRule(
                f"{column.kind} is nothing that a column of {form} can be: write {', '.join(allowed)}, or take kind"
                f" out{task}",
                ("data", "columns", name, "kind"),
            )


def arrays_of_no_use(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """Roles and targets that arrays cannot have: of npz, one holds the features and one the targets."""
    data = spec.data
    if data is None or facts(data).format != "npz":
        return
    for name, column in columns_of(data).items():
        if column.role in _ONE_OF_A_KIND:
            yield BrokenRule(
                f"{column.role} is a role of a table's column, but the source is npz, whose arrays are feature, target"
                " or ignore: write one of these",
                ("data", "columns", name, "role"),
            )
    for name in roles(data, "feature")[1:]:
        yield BrokenRule(
            "feature is the role of another array, and of npz one array holds all features, as (rows, ...): write"
            " ignore for the others",
            ("data", "columns", name, "role"),
        )
    if len(data.target_names) > 1:
        field = "targets" if data.targets is not None else "columns"
        yield BrokenRule(
            f"{len(data.target_names)} targets are named, but of npz one array holds all targets, as (rows, targets):"
            " name one",
            ("data", field),
        )


def target_with_another_role(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """Columns that are a target in one place and something else in another."""
    data = spec.data
    if data is None or data.columns is None:
        return
    field = "targets" if data.targets is not None else "target" if data.target is not None else None
    for name, column in columns_of(data).items():
        if field is None or column.role is None:
            continue
        if name in data.target_names and column.role != "target":
            yield BrokenRule(
                f"{column.role} contradicts data.{field}, which names this column: take role out, or name another"
                f" {field.removesuffix('s')}",
                ("data", "columns", name, "role"),
            )
        elif name not in data.target_names and column.role == "target":
            yield BrokenRule(
                f"data.{field} names {listed([shown(each) for each in data.target_names])} and not this column: add it"
                " to data.targets, or take role out",
                ("data", "columns", name, "role"),
            )


def target_of_another_task(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """A target whose kind does not fit data.task."""
    data = spec.data
    if data is None or data.task is None or not KINDS_OF_TASK[data.task]:
        return
    for name in data.target_names:
        column = columns_of(data).get(name)
        if column is None or column.kind is None or column.kind not in KINDS_OF_ROLE["target"]:
            continue
        if column.kind not in KINDS_OF_TASK[data.task]:
            yield BrokenRule(
                f"{column.kind} does not fit data.task {data.task}, whose target is"
                f" {' or '.join(KINDS_OF_TASK[data.task])}: correct one of the two, or take kind out",
                ("data", "columns", name, "kind"),
            )


def names_among_several_targets(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """A category beside other targets."""
    data = spec.data
    if data is None or len(data.target_names) == 1 or data.task not in (None, "classification"):
        return  # of another task, no target may be a category
    for name in data.target_names:
        column = columns_of(data).get(name)
        if column is not None and column.kind == "category":
            yield BrokenRule(
                f"category cannot be one of {len(data.target_names)} targets, which must all be numbers: name one"
                " target, or correct kind",
                ("data", "columns", name, "kind"),
            )


def target_of_a_reconstruction(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """A target where none is learnt."""
    data = spec.data
    if data is None or data.task != "reconstruction":
        return
    if facts(data).has_columns:  # without, a target is a problem of its own
        for field in ("target", "targets"):
            if (value := getattr(data, field)) is not None:
                yield BrokenRule(
                    f"{listed([shown(one) for one in ([value] if field == 'target' else value)])} cannot be learnt by a"
                    f" reconstruction, which learns the features themselves: take {field} out, or correct data.task",
                    ("data", field),
                )
        for name in roles(data, "target"):
            if name not in [data.target, *(data.targets or ())]:
                yield BrokenRule(
                    "target is no role in a reconstruction, which learns the features themselves: write role: ignore,"
                    " or correct data.task",
                    ("data", "columns", name, "role"),
                )
    if data.missing_targets == "drop":
        yield BrokenRule(
            "drop has no effect, as a reconstruction has no target: take missingTargets out, or correct data.task",
            ("data", "missingTargets"),
        )


def two_columns_of_a_role(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """A second column of a role that only one can have."""
    if spec.data is None:
        return
    for role in _ONE_OF_A_KIND:
        first, *others = roles(spec.data, role) or [""]
        for name in others:
            yield BrokenRule(
                f"{role} is already the role of {shown(first)}, and only one column can have it: take it out of one",
                ("data", "columns", name, "role"),
            )


CHECKS = (
    role_of_another_kind,
    kind_of_another_format,
    arrays_of_no_use,
    target_with_another_role,
    target_of_another_task,
    names_among_several_targets,
    target_of_a_reconstruction,
    two_columns_of_a_role,
)
