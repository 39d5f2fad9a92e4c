"""Whatever stands in a pod template, laying it under Headway's pod makes a pod or says what is wrong with it."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway_api.pod_templates import mistakes
from headway_operator.training.plan.model import NewPod
from headway_operator.training.plan.spec import resolve
from headway_operator.training.render import pods
from headway_operator.training.render.merge import RenderError, lay_under
from headway_operator.training.render.objects import AttemptOf
from sim.builders import DEFAULTS, UID, document

FIELD = "spec.workers.template"
SPEC = resolve(document(), DEFAULTS).spec
assert SPEC is not None
POD = pods.pod(AttemptOf("team", "digits", UID, 2, 4, SPEC), NewPod("worker", 3, 1), "IfNotPresent")

ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
WORDS = st.sampled_from(["main", "headway-run", "node.kubernetes.io/unreachable", "/tmp", "RAY_AUTH_MODE"])


def _mapping(**fields: Any) -> st.SearchStrategy[Any]:
    """A mapping with some of these fields, each as it should be or anything."""
    return st.fixed_dictionaries({}, optional={name: inner | ANY for name, inner in fields.items()}) | ANY


def _list(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | ANY


_CONTAINER = _mapping(
    name=WORDS,
    env=_list(_mapping(name=WORDS)),
    volumeMounts=_list(_mapping(mountPath=WORDS)),
    resources=_mapping(limits=_mapping(), requests=_mapping()),
    securityContext=_mapping(),
)
TEMPLATES = _mapping(
    metadata=_mapping(labels=_mapping(), annotations=_mapping()),
    spec=_mapping(
        containers=_list(_CONTAINER),
        initContainers=_list(_CONTAINER),
        volumes=_list(_mapping(name=WORDS)),
        tolerations=_list(_mapping(key=WORDS)),
        securityContext=_mapping(),
    ),
)


@given(TEMPLATES)
def test_any_json_in_a_template_makes_a_pod_or_a_render_error_with_the_path(template: Any) -> None:
    before = copy.deepcopy(template)
    pod, said = POD, FIELD
    try:
        pod = lay_under(template, POD, FIELD)
    except RenderError as error:
        said = str(error)
    assert said.startswith(FIELD)
    assert pod["spec"]["containers"][0]["command"] == POD["spec"]["containers"][0]["command"]
    assert json.dumps(pod)
    assert template == before


@given(TEMPLATES)
def test_a_template_without_a_mistake_can_be_laid_under_a_pod(template: Any) -> None:
    if not isinstance(template, dict) or any(True for _ in mistakes(template)):
        return
    assert lay_under(template, POD, FIELD)["kind"] == "Pod"


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"containers": [{"name": "main", "env": [{"name": {"a": 1}}]}]}, "spec.containers[main].env[0].name"),
        ({"tolerations": [{"key": ["gpu"], "operator": "Exists"}]}, "spec.tolerations[0].key"),
        ({"volumes": [{"name": {"x": "y"}, "emptyDir": {}}]}, "spec.volumes[0].name"),
        ({"containers": [{"name": "main", "volumeMounts": [{"mountPath": ["/x"]}]}]}, "volumeMounts[0].mountPath"),
        ({"initContainers": [{"name": 7}]}, "spec.initContainers[0].name"),
    ],
)
def test_what_entries_are_told_apart_by_has_to_be_text(spec: dict[str, Any], field: str) -> None:
    with pytest.raises(RenderError, match="must be a string") as error:
        lay_under({"spec": spec}, POD, FIELD)
    assert field in str(error.value)
