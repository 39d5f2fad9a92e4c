"""The CustomResourceDefinitions, made of the models.

    python -m headway_api.crd --output crds/

The schema is structural and says all that the API server can check: types, bounds, forms, and rules in CEL. What it
cannot say (the options of a registry's model) the operator and `headway validate` check.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from headway_api import GROUP, VERSION, schema
from headway_api.base import Section, StatusSection
from headway_api.deployment import ModelDeployment
from headway_api.deployment_status import ModelDeploymentStatus
from headway_api.job import GENERATED_LENGTH, NAME_FORM, NAME_MAX_LENGTH, NAME_PATTERN, TrainingJob, TrainingJobSpec
from headway_api.schema import Schema
from headway_api.status import TrainingJobStatus
from headway_api.trials import DEFAULT_TRIALS

HEADER = "# Generated from the models by `python -m headway_api.crd --output crds/`: change those, not this.\n"
_DROPPED = ("patternErrorMessage", "propertyNames", "readOnly")
_VOID: tuple[tuple[str, object], ...] = (("additionalProperties", False), ("required", []), ("properties", {}))
"""What says nothing in this dialect, or is its rule anyway."""
_ORDER = ("description", "type", "format", "default", "enum")
"""The keys that come first, for readers; the rest follows by name."""
_FORMATS = {"integer": "int64", "number": "double"}


@dataclass(frozen=True)
class Column:
    """A column of `kubectl get`."""

    name: str
    path: str
    description: str
    type: str = "string"
    wide: bool = False
    """Whether only `kubectl get -o wide` shows it."""


@dataclass(frozen=True)
class Raised:
    """A number in a section that may be left out: it may be raised once the object has begun, and the rest of the
    section may not change."""

    section: str
    """The section's path under `spec`."""
    field: str
    """The number's name in it."""
    default: int
    """What it is where it is absent."""
    where: str
    """CEL over `self` and `oldSelf`, where the section is there: whether it may be raised at all."""
    but: str
    """The same in words, as the end of a sentence."""
    holds: Callable[[TrainingJobSpec, str], bool]
    """`where` in Python, of the new spec and the phase before; the section is there."""

    @property
    def path(self) -> str:
        """The number's path under `spec`."""
        return f"{self.section}.{self.field}"


@dataclass(frozen=True)
class Scale:
    """The scale subresource, by which `kubectl scale` and autoscalers set a number of replicas."""

    spec: str
    status: str
    selector: str


@dataclass(frozen=True)
class Kind:
    """A kind, as the API server is to know it."""

    model: type[Section]
    status: type[StatusSection]
    plural: str
    short_name: str
    columns: tuple[Column, ...]
    changeable: frozenset[str] = frozenset()
    """The paths under `spec` that may change once `begun` holds."""
    begun: str | None = None
    """CEL over `oldSelf`: whether it is too late for changes of the rest; None where all may always change."""
    raised: tuple[Raised, ...] = ()
    """What may be raised even then."""
    next_attempt: frozenset[str] = frozenset()
    """The paths of `changeable` and `raised` that an attempt which runs does not hear of: they count from the next."""
    scale: Scale | None = None
    """Where the scale subresource finds numbers of replicas; None where there is none."""

    @property
    def name(self) -> str:
        """The kind's name in manifests."""
        return self.model.__name__


def _may_have_more_trials(spec: TrainingJobSpec, phase: str) -> bool:
    tuning = spec.tuning
    fixed = tuning is None or tuning.search.name == "grid" or tuning.scheduler.name == "pbt"
    return not fixed and phase != "Failed"


TRAINING_JOB = Kind(
    model=TrainingJob,
    status=TrainingJobStatus,
    plural="trainingjobs",
    short_name="tj",
    columns=(
        Column("Phase", ".status.phase", "What the job is doing"),
        Column("Progress", ".status.summary.progress", "Share of the optimiser steps that is done"),
        Column("Workers", ".status.summary.workers", "Worker pods that are ready, of those that should be"),
        Column("Metric", ".status.summary.metric", "The metric that says most"),
        Column("Trials", ".status.summary.trials", "Trials that have ended, of those that are planned"),
        Column("Best", ".status.summary.best", "The best trial's value and number"),
        Column("Attempt", ".status.attempt", "The number of the current or last attempt", type="integer", wide=True),
        Column("Message", ".status.summary.message", "The newest word of the conditions", wide=True),
        Column("Age", ".metadata.creationTimestamp", "Time since the job was made", type="date"),
    ),
    changeable=frozenset(
        (
            "suspend",
            "workers.replicas",
            "workers.processes",
            "activeDeadlineSeconds",
            "progressDeadlineSeconds",
            "scheduling.startupDeadlineSeconds",
            "scheduling.queueDeadlineSeconds",
            "scheduling.releaseSeconds",
            "ttlSecondsAfterFinished",
            "retry",
        )
    ),
    begun="has(oldSelf.status) && has(oldSelf.status.attempt) && oldSelf.status.attempt > 0",
    raised=(
        Raised(
            section="tuning",
            field="trials",
            default=DEFAULT_TRIALS,
            where="self.spec.tuning.search.name != 'grid' && self.spec.tuning.scheduler.name != 'pbt'"
            " && !(has(oldSelf.status.phase) && oldSelf.status.phase == 'Failed')",
            but="for a grid, for a population (pbt), or once the job has failed",
            holds=_may_have_more_trials,
        ),
    ),
    next_attempt=frozenset(("workers.replicas", "workers.processes", "progressDeadlineSeconds", "tuning.trials")),
)
MODEL_DEPLOYMENT = Kind(
    model=ModelDeployment,
    status=ModelDeploymentStatus,
    plural="modeldeployments",
    short_name="md",
    columns=(
        Column("Phase", ".status.phase", "How the deployment is doing"),
        Column("Version", ".status.champion", "The version that answers"),
        Column("Ready", ".status.summary.ready", "Its pods that are ready, of those that should be"),
        Column("Candidate", ".status.candidate", "The version that is on its way"),
        Column("Weight", ".status.summary.weight", "The candidate's share of the requests"),
        Column("Message", ".status.summary.message", "The newest word of the conditions", wide=True),
        Column("Age", ".metadata.creationTimestamp", "Time since the deployment was made", type="date"),
    ),
    scale=Scale(".spec.replicas", ".status.replicas", ".status.selector"),
)
KINDS = (TRAINING_JOB, MODEL_DEPLOYMENT)


def definition(kind: Kind) -> Schema:
    """The CustomResourceDefinition of a kind."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind.name,
                "listKind": f"{kind.name}List",
                "plural": kind.plural,
                "singular": kind.name.lower(),
                "shortNames": [kind.short_name],
                "categories": ["headway", "all"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}, **_scale(kind)},
                    "additionalPrinterColumns": [_column(column) for column in kind.columns],
                    "schema": {"openAPIV3Schema": _root(kind)},
                }
            ],
        },
    }


def _scale(kind: Kind) -> Schema:
    if kind.scale is None:
        return {}
    paths = {
        "specReplicasPath": kind.scale.spec,
        "statusReplicasPath": kind.scale.status,
        "labelSelectorPath": kind.scale.selector,
    }
    return {"scale": paths}


def _column(column: Column) -> Schema:
    shown = {"name": column.name, "type": column.type, "jsonPath": column.path, "description": column.description}
    return {**shown, "priority": 1} if column.wide else shown


def _root(kind: Kind) -> Schema:
    model = schema.inlined(kind.model)
    spec = structural(model["properties"]["spec"])
    status = _written_by_the_operator(structural(status_schema(kind)))
    status["description"] = schema.paragraphs(model["properties"]["status"]["description"])
    return {
        "description": schema.paragraphs(model["description"]),
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": model["properties"]["apiVersion"]["description"]},
            "kind": {"type": "string", "description": model["properties"]["kind"]["description"]},
            "metadata": {"type": "object"},  # the API server allows no description here
            "spec": spec,
            "status": status,
        },
        "x-kubernetes-validations": [
            _name_rule(),
            *_frozen(kind, spec),
            *model.get("x-kubernetes-validations", ()),
        ],
    }


def status_schema(kind: Kind) -> Schema:
    """The schema of a kind's status with its computed fields, which pydantic calls required and nobody has to give."""
    status = schema.inlined(kind.status, "serialization")
    computed = kind.status.model_computed_fields
    return {**status, "required": [name for name in status.get("required", ()) if name not in computed]}


def _name_rule() -> Schema:
    # The API server may tell a generated name by its prefix; the name itself is what counts. It never changes, so it is
    # judged once: an object that is there already stays writable when a newer version allows less.
    fits = f"self.metadata.name.size() <= {NAME_MAX_LENGTH} && self.metadata.name.matches('{NAME_PATTERN}')"
    return {
        "rule": f"oldSelf.hasValue() || ({fits})",
        "optionalOldSelf": True,
        "message": f"metadata.name {NAME_FORM}; of a generateName the last {GENERATED_LENGTH} are the server's",
    }


def _frozen(kind: Kind, spec: Schema) -> Iterable[Schema]:
    """A transition rule for each field of the spec that may not change any more once the object has begun."""
    if kind.begun is None:
        return
    free = ", ".join(f"spec.{path}" for path in sorted(kind.changeable))
    raised = {each.section: each for each in kind.raised}
    for path in _unchangeable(spec, kind.changeable):
        same = _rest_is_same(raised[path], spec) if path in raised else _same(path)
        upwards = f", and of spec.{raised[path].path} upwards" if path in raised else ""
        yield {
            "rule": f"!({kind.begun}) || ({same})",
            "message": f"spec.{path} cannot change once the job has begun: delete the job and apply it again"
            f" (changes are allowed of {free}{upwards})",
            "fieldPath": f".spec.{path}",
        }
    for each in kind.raised:
        yield {
            "rule": f"!({kind.begun}) || {_absent_in_one(each.section)} || ({_same(each.path)})"
            f" || ({_number(each, 'self')} >= {_number(each, 'oldSelf')} && {each.where})",
            "message": f"spec.{each.path} can only be raised once the job has begun, and not {each.but}: put it back to"
            " what it was, or apply a job of another name",
            "fieldPath": f".spec.{each.path}",
        }


def _same(path: str) -> str:
    """CEL: a field is what it was."""
    new, old = f"self.spec.{path}", f"oldSelf.spec.{path}"
    return f"has({new}) ? has({old}) && {new} == {old} : !has({old})"


def _absent_in_one(section: str) -> str:
    return f"!has(self.spec.{section}) || !has(oldSelf.spec.{section})"


def _rest_is_same(raised: Raised, spec: Schema) -> str:
    """CEL: a section is what it was, but for the number that may be raised."""
    section = raised.section
    fields = [name for name in spec["properties"][section]["properties"] if name != raised.field]
    rest = " && ".join(f"({_same(f'{section}.{name}')})" for name in fields)
    return f"has(self.spec.{section}) == has(oldSelf.spec.{section}) && (!has(self.spec.{section}) || ({rest}))"


def _number(raised: Raised, side: str) -> str:
    """CEL: the number, given or not."""
    path = f"{side}.spec.{raised.path}"
    return f"(has({path}) ? {path} : {raised.default})"


def unchangeable(kind: Kind) -> frozenset[str]:
    """The paths under `spec` that may not change once an object has begun, whole sections by their own path."""
    if kind.begun is None:
        return frozenset()
    return frozenset(_unchangeable(structural(schema.inlined(kind.model)["properties"]["spec"]), kind.changeable))


def _unchangeable(node: Schema, changeable: frozenset[str], prefix: str = "") -> Iterable[str]:
    for name, child in node["properties"].items():
        path = f"{prefix}{name}"
        if any(each.startswith(f"{path}.") for each in changeable):
            yield from _unchangeable(child, changeable, f"{path}.")
        elif path not in changeable:
            yield path


def structural(node: Schema) -> Schema:
    """A model's schema in the dialect of a CustomResourceDefinition."""
    out = {key: value for key, value in node.items() if key not in _DROPPED and (key, value) not in _VOID}
    if out.get("type") in _FORMATS:
        out["format"] = _FORMATS[out["type"]]
    for exclusive, inclusive in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if exclusive in out:
            out[inclusive], out[exclusive] = out[exclusive], True
    if "description" in out:
        out["description"] = schema.paragraphs(out["description"])
    if "properties" in out:
        out["properties"] = {name: structural(child) for name, child in out["properties"].items()}
        if "default" in out:
            out["default"] = _section_default(out)
    for key in ("items", "additionalProperties"):
        if key in out:
            out[key] = structural(out[key])
    return {key: out[key] for key in (*(key for key in _ORDER if key in out), *sorted(set(out) - set(_ORDER)))}


def _section_default(node: Schema) -> Schema:
    """A section's default: `{}` where the defaults of its fields make the rest of it.

    Where the section has rules it is written out: the API server judges a default by the rules before it fills in.
    """
    given = _given(node["default"])
    return given if "x-kubernetes-validations" in node or given != _defaults(node) else {}


def _given(default: Schema) -> Schema:
    """A section's default without the fields that it leaves out."""
    made = {name: _given(value) if isinstance(value, dict) else value for name, value in default.items()}
    return {name: value for name, value in made.items() if value not in (None, {})}


def _defaults(node: Schema) -> dict[str, Any]:
    made = {}
    for name, child in node["properties"].items():
        if "default" in child:
            made[name] = _defaults(child) if child["default"] == {} and "properties" in child else child["default"]
    return made


def _written_by_the_operator(node: Any) -> Any:
    """A status has no defaults: what the operator has not said is unknown. Nor has it rules: where it holds a section
    of the spec as that was, it was judged then, and a newer rule must not keep the operator from writing."""
    if isinstance(node, dict):
        dropped = ("default", "x-kubernetes-validations")
        return {key: _written_by_the_operator(value) for key, value in node.items() if key not in dropped}
    return [_written_by_the_operator(value) for value in node] if isinstance(node, list) else node


def file_name(kind: Kind) -> str:
    """The name of a kind's file."""
    return f"{GROUP}_{kind.plural}.yaml"


_LINE = 100_000
"""Characters of a line, which no description has."""


class _Plain(yaml.SafeDumper):
    """Writes what occurs twice twice, in place of an alias."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


def text(kind: Kind) -> str:
    """The content of a kind's file. Lines are not folded: each further line of a description costs its indentation."""
    return HEADER + yaml.dump(definition(kind), Dumper=_Plain, sort_keys=False, width=_LINE, allow_unicode=True)


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description="Write the CustomResourceDefinitions.")
    parser.add_argument("--output", type=Path, required=True, help="the folder to write them into")
    folder: Path = parser.parse_args().output
    for kind in KINDS:
        (folder / file_name(kind)).write_text(text(kind), encoding="utf-8")


if __name__ == "__main__":
    main()
