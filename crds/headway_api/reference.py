"""The reference pages and the JSON schema for editors, made of the models.

python -m headway_api.reference --output docs/reference
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from headway_api import API_VERSION, GROUP, schema
from headway_api.base import FREE_FORM_BYTES
from headway_api.crd import KINDS, TRAINING_JOB, Kind, status_schema
from headway_api.documents import MAX_DEPTH
from headway_api.metrics import METRICS
from headway_api.model import MODELS
from headway_api.schema import Schema

_NAMES = {
    "string": "string",
    "integer": "whole number",
    "number": "number",
    "boolean": "boolean",
    "object": "mapping",
}


def page(kind: Kind) -> str:
    """The reference page of a kind."""
    root = schema.inlined(kind.model)["properties"]
    return "\n".join(
        [
            f"# {kind.name}",
            "",
            "<!-- Generated from the models by `python -m headway_api.reference --output docs/reference`. -->",
            "",
            f"`apiVersion: {API_VERSION}`, `kind: {kind.name}`, short name `{kind.short_name}`.",
            "",
            f"`headway validate FILE` checks a file by all that is said here; `kubectl explain {kind.short_name}.spec`"
            " tells the fields in a terminal. An editor that understands JSON schemas completes and checks with"
            f" [{schema_name(kind)}]({schema_name(kind)}).",
            "",
            "A field without a default may be absent, unless it is marked as required. A field that is null counts as"
            " absent. Unknown fields are errors. Plain YAML values mean what they mean to kubectl: `on`, `yes` and `y`"
            " are true, `1e-3` is a number. What is kept as it comes (arguments, options, templates) may have"
            f" {FREE_FORM_BYTES} bytes as JSON, and nothing may lie deeper than {MAX_DEPTH} levels.",
            "",
            *_change_note(kind),
            "",
            *_section("spec", root["spec"]),
            *(_training() if kind is TRAINING_JOB else ()),
            "## Status",
            "",
            f"`kubectl get {kind.short_name}` shows {_columns(kind)}.",
            "",
            *_section("status", status_schema(kind)),
        ]
    )


def _training() -> Iterator[str]:
    """What a TrainingJob names beyond its own fields."""
    yield "## Options of the models"
    yield ""
    yield "What `spec.model.options` takes, by `spec.model.name`."
    yield ""
    for name, entry in MODELS.items():
        yield from _section(name, schema.inlined(entry.options))
    yield "## Metrics"
    yield ""
    yield (
        "What `evaluation.metrics`, gates, `checkpoint.metric` and `earlyStopping.metric` may name. The last two"
        " choose among `train/loss` and the metrics of the validation part, `validation/NAME`."
    )
    yield ""
    yield from _metrics()
    yield ""


def _metrics() -> Iterator[str]:
    yield "| name | task | better | |"
    yield "|---|---|---|---|"
    for name, metric in METRICS.items():
        better = {"min": "less", "max": "more", None: ""}[metric.better]
        yield f"| `{name}` | {' or '.join(sorted(metric.tasks))} | {better} | {metric.about} |"


def _change_note(kind: Kind) -> Iterator[str]:
    if kind.begun is None:
        yield "Everything in the spec may change at any time."
        return
    yield (
        "Once a job has begun, the API server allows changes of "
        f"{', '.join(f'`spec.{path}`' for path in sorted(kind.changeable))} and of nothing else in the spec."
    )
    for each in kind.raised:
        yield f"`spec.{each.path}` may be raised, but not {each.but}."


def _columns(kind: Kind) -> str:
    always = ", ".join(column.name.lower() for column in kind.columns if not column.wide)
    wide = ", ".join(column.name.lower() for column in kind.columns if column.wide)
    return f"{always}; with `-o wide` also {wide}"


def _section(path: str, node: Schema) -> Iterator[str]:
    """A section's heading, its table and rules, then the sections in it."""
    inner: list[tuple[str, Schema]] = []
    yield f"## {path}"
    yield ""
    yield schema.paragraphs(node["description"]).replace("\n", " ")
    yield ""
    if node["properties"]:
        yield "| field | type | default | |"
        yield "|---|---|---|---|"
    for name, child in node["properties"].items():
        required = name in node.get("required", ())
        yield f"| `{name}` | {_type(child)} | {'**required**' if required else _default(child)} | {_about(child)} |"
        entries = child.get("additionalProperties")
        parts = (("", child), ("[]", child.get("items", {})), (".NAME", entries if isinstance(entries, dict) else {}))
        for suffix, part in parts:
            if "properties" in part and not part.get("x-kubernetes-preserve-unknown-fields"):
                inner.append((f"{path}.{name}{suffix}", part))
    yield ""
    rules = [rule["message"] for rule in node.get("x-kubernetes-validations", ())]
    if rules:
        yield "Rules:"
        yield ""
        yield from (f"- {rule}" for rule in rules)
        yield ""
    for inner_path, part in inner:
        yield from _section(inner_path, part)


def _type(node: Schema) -> str:
    if "x-kubernetes-int-or-string" in node:
        return "quantity"
    if "type" not in node:
        return "value"
    if "enum" in node:
        return " \\| ".join(f"`{value}`" for value in node["enum"])
    if node["type"] == "array":
        return f"list of {_many(node['items'])}"
    if isinstance(node.get("additionalProperties"), dict):
        return f"mapping of {_many(node['additionalProperties'])}"
    return _NAMES[node["type"]] + _bounds(node)


def _many(node: Schema) -> str:
    plural = {"string": "strings", "object": "mappings"}
    if "type" not in node:
        return "values"
    return _type(node) if "enum" in node else plural.get(node["type"], _type(node))


def _bounds(node: Schema) -> str:
    said = []
    for key, sign in (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<")):
        if key in node:
            said.append(f"{sign} {node[key]:.10g}")
    return f", {' and '.join(said)}" if said else ""


def _default(node: Schema) -> str:
    if "default" not in node or "properties" in node:
        return ""
    return f"`{json.dumps(node['default'])}`"


def _about(node: Schema) -> str:
    about = schema.paragraphs(node["description"]).replace("\n", " ")
    form = node.get("patternErrorMessage")
    return (f"{about} It {form}." if form else about).replace("|", "\\|")


def editor_schema(kind: Kind) -> Schema:
    """The JSON schema of a kind for editors: strict about unknown fields, the status left open."""
    made = schema.inlined(kind.model)
    properties = {name: _for_editors(child) for name, child in made["properties"].items() if name != "status"}
    properties["metadata"] = {**properties["metadata"], "additionalProperties": True}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": f"https://{GROUP}/schemas/{schema_name(kind)}",
        "title": kind.name,
        **{key: value for key, value in made.items() if not key.startswith("x-")},
        "properties": {**properties, "status": {"type": "object"}},
    }


def _for_editors(node: Any) -> Any:
    """A schema without the keys that only an API server knows."""
    if isinstance(node, list):
        return [_for_editors(value) for value in node]
    if not isinstance(node, dict):
        return node
    # What is kept as it comes may hold more than the fields that a rule reads.
    left_out = ("properties",) if node.get(schema.PRESERVE) else ()
    out = {key: _for_editors(value) for key, value in node.items() if not key.startswith("x-") and key not in left_out}
    if "x-kubernetes-int-or-string" in node:
        out["type"] = ["integer", "string"]
    return out


def page_name(kind: Kind) -> str:
    """The file name of a kind's page."""
    return f"{kind.name.lower()}.md"


def schema_name(kind: Kind) -> str:
    """The file name of a kind's JSON schema."""
    return f"{kind.name.lower()}.schema.json"


def schema_text(kind: Kind) -> str:
    """The content of a kind's JSON schema."""
    return json.dumps(editor_schema(kind), indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description="Write the reference pages and the JSON schemas.")
    parser.add_argument("--output", type=Path, required=True, help="the folder to write them into")
    folder: Path = parser.parse_args().output
    for kind in KINDS:
        (folder / page_name(kind)).write_text(page(kind), encoding="utf-8")
        (folder / schema_name(kind)).write_text(schema_text(kind), encoding="utf-8")


if __name__ == "__main__":
    main()
