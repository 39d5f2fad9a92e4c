"""The generated files: equal to the models, structural, and with a word on each field."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from headway_api import crd, reference, schema
from headway_api.crd import KINDS, MODEL_DEPLOYMENT, TRAINING_JOB, Column, Kind, definition, file_name, structural, text
from headway_api.model import MODELS
from headway_api.status import TrainingJobStatus

ROOT = Path(__file__).parents[3]
FORBIDDEN = ("$ref", "anyOf", "oneOf", "allOf", "not", "title", "const", "additionalItems", "readOnly", "propertyNames")


def nodes(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Each schema in a CRD's schema with its path."""
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            yield from nodes(node[key], f"{path}[]")


def root(kind: Kind) -> dict[str, Any]:
    """The schema in a kind's CRD."""
    made: dict[str, Any] = definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return made


ALL = [(kind, path, node) for kind in KINDS for path, node in nodes(root(kind))]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("folder", ["crds", "charts/headway/files/crds"])
def test_the_files_say_what_the_models_say(kind: Kind, folder: str) -> None:
    stale = f"{folder}/{file_name(kind)} is not what the models say: run make generate"
    assert (ROOT / folder / file_name(kind)).read_text(encoding="utf-8") == text(kind), stale


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_reference_says_what_the_models_say(kind: Kind) -> None:
    folder = ROOT / "docs/reference"
    assert (folder / reference.page_name(kind)).read_text(encoding="utf-8") == reference.page(kind), "make generate"
    assert (folder / reference.schema_name(kind)).read_text(encoding="utf-8") == reference.schema_text(kind)


@pytest.mark.parametrize(("module", "folder"), [(crd, "crds"), (reference, "docs/reference")])
def test_the_command_writes_the_files(
    module: ModuleType, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["command", "--output", str(tmp_path)])
    module.main()
    written = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert written
    assert written == {name: (ROOT / folder / name).read_text() for name in written}


def test_no_crd_lies_about_that_no_model_makes() -> None:
    made = {file_name(kind) for kind in KINDS}
    assert {path.name for path in (ROOT / "crds").glob("*.yaml")} == made


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_yaml_has_no_aliases_and_reads_as_it_was_made(kind: Kind) -> None:
    assert yaml.safe_load(text(kind)) == definition(kind)
    assert "&id" not in text(kind)


def test_each_field_has_a_description() -> None:
    without = [path for _, path, node in ALL if not node.get("description") and not path.endswith("[]")]
    assert without == [".metadata"] * len(KINDS), "the API server allows none there"


def test_the_schema_is_structural() -> None:
    for _, path, node in ALL:
        assert not [key for key in FORBIDDEN if key in node], path
        untyped = "x-kubernetes-int-or-string" in node or set(node) == {"x-kubernetes-preserve-unknown-fields"}
        assert ("type" in node) != untyped, path
        assert "additionalProperties" not in node or "properties" not in node, path
        for key in ("exclusiveMinimum", "exclusiveMaximum"):
            assert isinstance(node.get(key, False), bool), path


def test_everything_that_can_grow_has_a_bound() -> None:
    for _, path, node in ALL:
        kind = node.get("type")
        if kind == "string" and path not in (".apiVersion", ".kind"):
            assert "maxLength" in node or "enum" in node, path
        elif kind == "array":
            assert "maxItems" in node, path
        elif kind == "object" and "additionalProperties" in node:
            assert "maxProperties" in node, path
        elif "x-kubernetes-int-or-string" in node:
            assert "maxLength" in node, path


def test_each_number_of_a_spec_has_both_bounds_or_is_a_real_number() -> None:
    for _, path, node in ALL:
        if path.startswith(".spec") and node.get("type") == "integer":
            assert {"minimum", "maximum"} <= node.keys(), path


def test_no_least_value_is_a_fraction_as_an_api_server_takes_whole_numbers_for_more_than_it_rounded_down() -> None:
    for kind in KINDS:
        for path, node in nodes(root(kind)):
            least = node.get("minimum", 0)
            assert least == int(least), f"{path}: 0 is let through"


def test_each_pattern_is_explained_in_words() -> None:
    models = [kind.model for kind in KINDS] + [entry.options for entry in MODELS.values()]
    for model in models:
        for path, node in schema.fields(schema.inlined(model)):
            assert ("pattern" in node) == ("patternErrorMessage" in node), path
            assert node.get("patternErrorMessage", "must").startswith("must"), path


def test_no_pattern_means_other_things_to_go_than_to_python() -> None:
    for _, path, node in ALL:
        pattern = node.get("pattern", "^$")
        assert pattern.startswith("^"), path
        assert pattern.endswith("$"), path
        assert not [part for part in ("(?", r"\w", r"\d", r"\s", r"\b") if part in pattern], path


def test_lists_are_maps_or_sets_or_hold_plain_values_or_are_said_to_change_as_a_whole() -> None:
    for _, path, node in ALL:
        if node.get("x-kubernetes-list-type") == "atomic":
            continue
        if node.get("type") == "array" and node["items"].get("type") == "object":
            (key,) = node["x-kubernetes-list-map-keys"]
            assert key in node["items"]["required"], path


def test_the_spec_is_required_and_the_status_a_subresource() -> None:
    for kind in KINDS:
        version = definition(kind)["spec"]["versions"][0]
        assert root(kind)["required"] == ["spec"]
        assert set(version["subresources"]) == {"status"} | ({"scale"} if kind.scale is not None else set())
        assert not [path for path, node in nodes(root(kind)["properties"]["status"]) if "default" in node]


def test_a_pod_template_is_not_written_out() -> None:
    template = root(TRAINING_JOB)["properties"]["spec"]["properties"]["workers"]["properties"]["template"]
    assert {name: part["x-kubernetes-preserve-unknown-fields"] for name, part in template["properties"].items()} == {
        "metadata": True,
        "spec": True,
    }
    assert len(text(TRAINING_JOB)) < 150_000


def test_each_field_of_the_spec_may_change_once_a_job_has_begun_or_has_a_rule_against_it() -> None:
    rules = {rule["fieldPath"] for rule in root(TRAINING_JOB)["x-kubernetes-validations"] if "fieldPath" in rule}
    spec = root(TRAINING_JOB)["properties"]["spec"]["properties"]
    told = {path.removeprefix(".spec.").split(".")[0] for path in rules}
    told |= {path.split(".")[0] for path in TRAINING_JOB.changeable}
    assert told == set(spec)
    assert not {path.removeprefix(".spec.") for path in rules} & TRAINING_JOB.changeable


def _exists(node: dict[str, Any], path: str) -> bool:
    return all((node := node.get("properties", {}).get(part, {})) for part in path.split("."))


def test_what_may_change_exists() -> None:
    for kind in KINDS:
        spec = root(kind)["properties"]["spec"]
        assert all(_exists(spec, path) for path in (*kind.changeable, *(each.path for each in kind.raised)))


def _columns() -> list[tuple[Kind, Column]]:
    return [(kind, column) for kind in KINDS for column in kind.columns]


@pytest.mark.parametrize(("kind", "column"), _columns())
def test_each_column_of_kubectl_get_shows_a_field_that_exists(kind: Kind, column: Column) -> None:
    path = column.path.removeprefix(".")
    assert path == "metadata.creationTimestamp" or _exists(root(kind), path)


def test_the_status_schema_knows_all_fields_of_the_model() -> None:
    fields = {info.alias for info in TrainingJobStatus.model_fields.values()} | {"summary"}
    assert set(root(TRAINING_JOB)["properties"]["status"]["properties"]) == fields
    assert "required" not in root(TRAINING_JOB)["properties"]["status"]


def test_what_the_scale_subresource_reads_exists() -> None:
    scale = MODEL_DEPLOYMENT.scale
    assert scale is not None
    assert all(_exists(root(MODEL_DEPLOYMENT), path.removeprefix(".")) for path in (scale.spec, scale.status))
    assert root(MODEL_DEPLOYMENT)["properties"]["status"]["properties"]["selector"]["type"] == "string"
    assert len(text(MODEL_DEPLOYMENT)) < 100_000, "it has no templates that are written out"


def test_a_kind_of_which_all_may_change_has_no_rule_against_changes() -> None:
    name_rule, *others = root(MODEL_DEPLOYMENT)["x-kubernetes-validations"]
    assert "metadata.name" in name_rule["message"]
    assert not [rule for rule in others if "oldSelf" in rule["rule"]]


def test_a_bound_that_is_not_reached_is_spelt_as_a_crd_spells_it() -> None:
    assert structural({"type": "number", "exclusiveMinimum": 0.0}) == {
        "type": "number",
        "format": "double",
        "exclusiveMinimum": True,
        "minimum": 0.0,
    }


def test_a_section_with_rules_has_its_default_written_out() -> None:
    section = {
        "type": "object",
        "properties": {"a": {"type": "integer", "default": 1}, "b": {"type": "integer"}},
        "default": {"a": 1, "b": None},
    }
    assert structural(section)["default"] == {}
    assert structural({**section, "x-kubernetes-validations": []})["default"] == {"a": 1}
    assert structural({**section, "default": {"a": 2, "b": None}})["default"] == {"a": 2}


def test_a_union_of_types_that_no_crd_can_hold_is_refused() -> None:
    with pytest.raises(TypeError, match="a union that a CustomResourceDefinition cannot hold"):
        schema._inline({"anyOf": [{"type": "string"}, {"type": "object"}]}, {})


def test_the_editors_schema_is_strict_and_plain() -> None:
    for kind in KINDS:
        made = reference.editor_schema(kind)
        assert made["required"] == ["apiVersion", "kind", "metadata", "spec"]
        for path, node in itertools.islice(nodes(made), 1, None):
            assert not [key for key in node if key.startswith("x-")], path
            if path.startswith(".spec") and "properties" in node:
                assert node["additionalProperties"] is False, path
