"""Mistakes in pod templates are found before anything is made, with the path of the field."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway_api import problems
from headway_api.pod_templates import MOST_ENTRIES, MOST_MISTAKES, mistakes
from headway_api.validate import MOST_PROBLEMS, problems_of
from mutations.job import changed


def told(template: Any, part: str = "workers") -> dict[str, str]:
    """The problems of a job with this template, by field."""
    found = problems_of(changed({f"spec.{part}.template": template}))
    return {problem.field.removeprefix(f"spec.{part}.template"): problem.message for problem in found}


MISTAKES: list[tuple[str, Any, str, str]] = [
    ("a name that is a mapping", {"spec": {"containers": [{"name": {"a": 1}}]}}, ".spec.containers[0].name", "string"),
    (
        "a variable whose value is a number",
        {"spec": {"containers": [{"name": "main", "env": [{"name": "A", "value": 1}]}]}},
        ".spec.containers[0].env[0].value",
        "1 is a number, but this must be a string: put it in quotes",
    ),
    ("a key that is a list", {"spec": {"tolerations": [{"key": ["gpu"]}]}}, ".spec.tolerations[0].key", "a list"),
    ("an entry that is null", {"spec": {"volumes": [None]}}, ".spec.volumes[0]", "must be a mapping"),
    ("a list for a mapping", {"spec": []}, ".spec", "a list, but this must be a mapping"),
    ("a mapping for a list", {"spec": {"containers": {}}}, ".spec.containers", "must be a list"),
    ("a selector of numbers", {"spec": {"nodeSelector": {"zone": 1}}}, ".spec.nodeSelector.zone", "put it in quotes"),
    ("a label of umlauts", {"metadata": {"labels": {"a": "größe"}}}, ".metadata.labels.a", '"größe" must be letters'),
    ("a label with an end of line", {"metadata": {"labels": {"a": "b\n"}}}, ".metadata.labels.a", "must be letters"),
    ("a long label", {"metadata": {"labels": {"a": "x" * 64}}}, ".metadata.labels.a", "at most 63 characters"),
    ("a key of umlauts", {"metadata": {"labels": {"größe": "a"}}}, ".metadata.labels.größe", "not allowed as a key"),
    ("an annotation's key", {"metadata": {"annotations": {"a b": "c"}}}, ".metadata.annotations.a b", "as a key"),
    (
        "an annotation's value",
        {"metadata": {"annotations": {"a": True}}},
        ".metadata.annotations.a",
        "put it in quotes",
    ),
    (
        "many labels",
        {"metadata": {"labels": {f"a{n}": "b" for n in range(MOST_ENTRIES + 1)}}},
        ".metadata.labels",
        "too many entries: at most 64",
    ),
    ("main twice", {"spec": {"containers": [{"name": "main"}] * 2}}, ".spec.containers", "main twice"),
    ("a third part", {"nodeSelector": {}}, ".nodeSelector", "unknown field `nodeSelector`"),
]


@pytest.mark.parametrize("part", ["head", "workers"])
@pytest.mark.parametrize(
    ("template", "field", "words"), [row[1:] for row in MISTAKES], ids=[row[0] for row in MISTAKES]
)
def test_a_mistake_is_told_with_its_path(template: Any, field: str, words: str, part: str) -> None:
    found = told(template, part)
    assert list(found) == [field]
    assert words in found[field]


def test_several_mistakes_are_told_at_once_within_bounds() -> None:
    two = told({"metadata": {"labels": {"a": 1}}, "spec": {"containers": [{"name": 2}]}})
    assert set(two) == {".metadata.labels.a", ".spec.containers[0].name"}
    assert len(told({"spec": {"containers": [{"name": number} for number in range(500)]}})) == MOST_MISTAKES


def test_what_is_null_counts_as_absent() -> None:
    assert told({"metadata": None, "spec": {"containers": None, "nodeSelector": {"zone": None}}}) == {}


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_nothing_in_a_template_makes_the_judge_fail(template: Any) -> None:
    for mistake in mistakes(template):
        assert mistake["type"]


def test_judging_a_hostile_spec_is_bounded_work(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def nearest(name: str, known: Any) -> str | None:
        asked.append(name)
        return known[0] if name == "never" else None

    monkeypatch.setattr(problems, "nearest", nearest)
    for path in ("spec.model.options", "spec.training"):
        asked.clear()
        assert len(problems_of(changed({path: {f"{n:x}": 0 for n in range(7000)}}))) == MOST_PROBLEMS
        assert len(asked) <= MOST_PROBLEMS + 1
