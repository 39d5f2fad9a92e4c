"""What is known of the ConfigMap by which operator and judge talk, and of the judge's own objects."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway_api.rollout_wire import KEY_MEMORY, KEY_ROUTE, KEY_VERDICT, VERDICT_MAX_BYTES, GateState, Route, Verdict
from headway_operator.engine.kube import Object
from headway_operator.serving import names, records
from headway_operator.serving.plan.model import RolloutRecord
from headway_operator.serving.render import objects, rollout
from sim.builders import T0, UID

OF = objects.Of("digits", "default", UID)
ROUTE = Route(uid=UID, epoch=7, stable=3, candidate=4, share=0.05, candidate_url="http://digits-x-4.default.svc:80")
VERDICT = Verdict(uid=UID, rollout=4, epoch=7, verdict="open", candidate_requests=10, servers=2, following=2, beat=1)


def stored(number: int = 5, uid: str = "c1", **data: Any) -> Object:
    """The ConfigMap, as the API server has it."""
    body = rollout.config_map(OF, ROUTE)
    names_of_keys = {"route": KEY_ROUTE, "verdict": KEY_VERDICT, "memory": KEY_MEMORY}
    more = {names_of_keys[key]: value for key, value in data.items()}
    meta = {**body["metadata"], "uid": uid, "resourceVersion": str(number)}
    return {**body, "metadata": meta, "data": {**body["data"], **more}}


def read(*bodies: Object) -> RolloutRecord:
    """What is known after these were seen, a second apart."""
    known: RolloutRecord | None = None
    for second, body in enumerate(bodies):
        known = records.rollout(body, known, T0 + second)
    assert known is not None
    return known


def test_a_route_is_read_as_it_was_written_and_nothing_is_heard_yet() -> None:
    known = read(stored())
    assert (known.route, known.verdict, known.heard) == (ROUTE, None, 0.0)
    assert (known.name, known.owner_uid, known.version) == (f"digits-{UID[:5]}-judge", UID, 5)


def test_a_verdict_counts_from_when_its_text_was_seen_to_change() -> None:
    one = VERDICT.model_dump_json(exclude_none=True)
    two = VERDICT.model_copy(update={"beat": 2}).model_dump_json(exclude_none=True)
    assert read(stored(verdict=one)).heard == 0.0, "how old a word is that is seen once, nobody knows"
    assert read(stored(verdict=one), stored(6, verdict=one)).heard == 0.0
    assert read(stored(), stored(6, verdict=one)).heard == T0 + 1
    assert read(stored(), stored(6, verdict=one), stored(7, verdict=one)).heard == T0 + 1
    known = read(stored(verdict=one), stored(6, verdict=two), stored(7, verdict=two))
    assert (known.heard, known.verdict) == (T0 + 1, VERDICT.model_copy(update={"beat": 2}))
    route = rollout.route_text(ROUTE.model_copy(update={"epoch": 8}))
    known = read(stored(verdict=one), stored(6, verdict=two), stored(7, verdict=two, route=route))
    assert known.heard == T0 + 1, "a route of the operator's own is no word of the judge"
    assert known.route is not None
    assert known.route.epoch == 8
    assert read(stored(verdict=one), stored(6, verdict=two), stored(7, uid="c2", verdict=two)).heard == 0.0


def test_texts_that_have_not_changed_are_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    body = stored(verdict=VERDICT.model_dump_json())
    known = read(body)

    def refuse(*_: Any) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(records, "_read", refuse)
    assert records.rollout(stored(6, verdict=body["data"][KEY_VERDICT], memory="other"), known, T0) is not None


@pytest.mark.parametrize("text", ["{", "[]", "null", '{"epoch": "seven"}', 7, None, "x" * 99_999])
def test_what_nobody_could_have_meant_is_no_verdict_and_the_object_is_known(text: Any) -> None:
    known = read(stored(), stored(6, verdict=text, route=text))
    assert (known.verdict, known.route, known.version) == (None, None, 6)


def test_the_largest_verdict_is_read_and_the_judges_memory_is_not_kept() -> None:
    padded = VERDICT.model_dump_json() + " " * VERDICT_MAX_BYTES
    assert read(stored(verdict=padded[:VERDICT_MAX_BYTES])).verdict == VERDICT
    assert read(stored(verdict=padded[: VERDICT_MAX_BYTES + 1])).verdict is None
    assert "memory" not in repr(read(stored(memory='"memory"')))


def test_how_much_was_counted_can_wait_and_what_it_says_of_the_candidate_cannot() -> None:
    def changed(**change: Any) -> RolloutRecord:
        return read(stored(), stored(6, verdict=VERDICT.model_copy(update=change).model_dump_json()))

    for counted in ({"beat": 2}, {"candidate_requests": 11, "stable_requests": 90}, {"told_by": "another"}):
        assert records.only_counts(changed(), changed(**counted)), counted
    for said in (
        {"verdict": "fail"},
        {"verdict": "pass"},
        {"epoch": 8},
        {"rollout": 5},
        {"following": 1},
        {"breakers": 1},
    ):
        assert not records.only_counts(changed(), changed(**said)), said
    other = read(stored(route=rollout.route_text(ROUTE.model_copy(update={"share": 0.0}))))
    assert not records.only_counts(read(stored()), other)
    assert not records.only_counts(read(stored()), changed()), "the first word"


def test_the_judges_objects_are_told_from_those_of_versions_by_their_names() -> None:
    def seen(body: Object) -> Object:
        return {**body, "metadata": {**body["metadata"], "uid": "u", "resourceVersion": "5"}}

    workload = records.workload(seen(rollout.judge(OF, "server:1")), None, T0)
    front = records.front(seen(rollout.service(OF)), None, T0)
    assert workload is not None
    assert front is not None
    assert workload.number == front.number == names.JUDGE
    assert dict(front.selector) == names.judges(UID)
    body = stored()
    for name in ("digits", "digits-judge", f"digits-{UID[:5]}-3", f"digits-{UID[:5]}-judge-x"):
        assert records.rollout({**body, "metadata": {**body["metadata"], "name": name}}, None, T0) is None, name
    assert records.rollout({**body, "metadata": {**body["metadata"], "ownerReferences": []}}, None, T0) is None


def test_what_is_kept_of_a_rollout_that_goes_on_is_small() -> None:
    gates = [GateState(name=f"gate-{number}", verdict="open", value=0.1, limit=0.2) for number in range(4)]
    verdict = VERDICT.model_copy(update={"gates": gates, "message": "x" * 200}).model_dump_json()
    texts = [(stored(6, verdict=verdict), stored(7, verdict=verdict, memory="x" * 40_000)) for _ in range(200)]
    tracemalloc.start()
    try:
        known = [read(*bodies) for bodies in texts]
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept / len(known) < 12_000, "bytes"


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([KEY_ROUTE, KEY_VERDICT]), inner),
    max_leaves=6,
)


@given(data=st.dictionaries(st.sampled_from([KEY_ROUTE, KEY_VERDICT, KEY_MEMORY]), junk))
def test_whatever_stands_in_it_is_read_without_an_error(data: dict[str, Any]) -> None:
    before = read(stored())
    assert records.rollout({**stored(6), "data": data}, before, T0) is not None
