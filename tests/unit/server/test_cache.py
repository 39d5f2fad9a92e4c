"""Which requests get an answer that was given before, and how much is kept of answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway_api.bundle import Input, Output, Signature
from headway_server.cache import MOST_ANSWER_BYTES, MOST_BYTES, MOST_INPUT_BYTES, Cache, CacheLimits
from headway_server.model import ServedModel, Tensors
from served import bundle, feeds
from wire_client import ask

from .conftest import Serve
from .test_app import BODY, INFER, OUTPUTS


class Clock:
    """Tells what it is set to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def made(model: ServedModel, **limits: Any) -> tuple[Cache, Clock]:
    """A cache and its clock."""
    clock = Clock()
    return Cache(model, CacheLimits(**limits), clock), clock


def loose(*names: str) -> ServedModel:
    """A model of which only the names count: a cache looks at what tensors are, not at what they should be."""
    inputs = [Input(name=name, column=name, type="double", shape=[1], missing=None) for name in names]
    output = Output(name="value", type="double", shape=[1])
    told = Signature(inputs=inputs, outputs=[output])
    return ServedModel("m", "1", digest="d", info=None, signature=told, session=None)  # type: ignore[arg-type]


def key(model: ServedModel, tensors: Mapping[str, Any]) -> bytes:
    """Of tensors that are not too large."""
    found = made(model)[0].key(tensors)
    assert found is not None
    return found


def array(dtype: str, shape: list[int], data: bytes) -> Any:
    """A tensor of these bytes."""
    return np.frombuffer(data, dtype).reshape(shape)


ZEROS = bytes(8)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (array("<f8", [1], ZEROS), array("<f4", [2], ZEROS)),
        (array("<f8", [1], ZEROS), array("<i8", [1], ZEROS)),
        (array("<f4", [2, 1], ZEROS), array("<f4", [1, 2], ZEROS)),
        (array("u1", [8], ZEROS), array("u1", [2, 4], ZEROS)),
        (array("u1", [0], b""), array("u1", [0, 1], b"")),
        (np.array([0.0]), np.array([-0.0])),
        (np.array(["ab", ""], dtype=object), np.array(["a", "b"], dtype=object)),
        (np.array(["a\x00", "b"], dtype=object), np.array(["a", "\x00b"], dtype=object)),
        (np.array([""], dtype=object), np.array(["", ""], dtype=object)),
    ],
)
def test_tensors_of_the_same_bytes_and_another_type_or_shape_are_others(one: Any, other: Any) -> None:
    model = loose("x")
    assert key(model, {"x": one}) != key(model, {"x": other})
    assert key(model, {"x": one}) == key(model, {"x": one.copy()})


def test_values_do_not_wander_from_one_input_to_the_next() -> None:
    model = loose("a", "ab")
    one, two = np.array([1.0]), np.array([2.0])
    assert key(model, {"a": one, "ab": two}) != key(model, {"a": two, "ab": one})
    assert key(model, {"a": one, "ab": two}) == key(model, {"ab": two, "a": one}), "their order says nothing"
    whole, none = np.array([1.0, 2.0]), np.array([])
    assert key(model, {"a": whole, "ab": none}) != key(model, {"a": none, "ab": whole})


TENSORS = st.builds(
    lambda dtype, rows, data: np.frombuffer((data * 32)[: rows * 8], dtype).reshape(rows, -1),
    st.sampled_from(["<f8", "<f4", "u1", "<i4"]),
    st.integers(1, 3),
    st.binary(min_size=1, max_size=3),
)


@given(a=TENSORS, b=TENSORS, c=TENSORS, d=TENSORS)
def test_keys_are_the_same_only_where_names_types_shapes_and_bytes_are(a: Any, b: Any, c: Any, d: Any) -> None:
    model = loose("x", "y")

    def told(*arrays: Any) -> Any:
        return [(each.dtype.str, each.shape, each.tobytes()) for each in arrays]

    same = key(model, {"x": a, "y": b}) == key(model, {"x": c, "y": d})
    assert same == (told(a, b) == told(c, d))


def test_another_model_or_version_has_other_keys(tmp_path: Path, echo_model: ServedModel) -> None:
    other = ServedModel.open(str(bundle(tmp_path)), version="2")
    rows = feeds([1.0], ["Kobe"])
    assert key(echo_model, rows) != key(other, rows)


def test_large_requests_have_no_key(echo_model: ServedModel) -> None:
    cache, _ = made(echo_model)
    assert cache.key(feeds([1.0] * 3000, ["x"] * 3000)) is None
    assert cache.key(feeds([1.0], ["x" * (MOST_INPUT_BYTES + 1)])) is None


def test_an_answer_is_kept_for_its_time_and_no_longer(echo_model: ServedModel) -> None:
    cache, clock = made(echo_model, ttl_seconds=10)
    cache.put(b"a", {"value": np.ones(2)})
    clock.now = 9.9
    assert cache.get(b"a") is not None
    clock.now = 10
    assert cache.get(b"a") is None
    assert (len(cache), cache.bytes) == (0, 0)


def test_the_answer_that_was_not_asked_for_the_longest_goes_first(echo_model: ServedModel) -> None:
    cache, _ = made(echo_model, max_entries=2)
    for name in (b"a", b"b"):
        cache.put(name, {"value": np.ones(2)})
    assert cache.get(b"a") is not None
    cache.put(b"c", {"value": np.ones(2)})
    assert (cache.get(b"b"), len(cache)) == (None, 2)
    assert cache.get(b"a") is not None


def test_bytes_are_bounded_and_large_answers_not_kept(echo_model: ServedModel) -> None:
    cache, _ = made(echo_model, max_entries=10**6)
    cache.put(b"large", {"value": np.ones(MOST_ANSWER_BYTES)})
    cache.put(b"text", {"label": np.array(["x" * MOST_ANSWER_BYTES], dtype=object)})
    assert len(cache) == 0
    for index in range(2000):
        cache.put(str(index).encode(), {"value": np.ones(6000)})
        assert cache.bytes <= MOST_BYTES
    assert 600 < len(cache) < 700
    cache.put(b"1999", {"value": np.ones(1)})
    cache.put(b"1999", {"value": np.ones(1)})
    assert cache.bytes <= MOST_BYTES


def test_what_is_kept_is_a_copy_that_nobody_changes(echo_model: ServedModel) -> None:
    cache, _ = made(echo_model)
    batch = np.arange(1000.0)
    cache.put(b"a", {"value": batch[:2]})
    batch[0] = 7
    found = cache.get(b"a")
    assert found is not None
    assert (found["value"].tolist(), found["value"].base) == ([0.0, 1.0], None)
    with pytest.raises(ValueError, match="read-only"):
        found["value"][0] = 1


async def test_the_same_rows_are_run_once_whatever_is_asked_of_them(serve: Serve) -> None:
    wanted = json.dumps(json.loads(BODY) | {"outputs": [{"name": "label"}]}).encode()
    async with serve(cache=CacheLimits()) as server:
        first = await ask(server.port, "POST", INFER, BODY)
        again = await ask(server.port, "POST", INFER, BODY)
        part = await ask(server.port, "POST", INFER, wanted)
        metrics = server.service.metrics.text().decode()
    assert first.body == again.body
    assert first.json["outputs"] == OUTPUTS
    assert part.json["outputs"] == OUTPUTS[:1]
    labels = '{model="churn",version="1"}'
    assert f"headway_server_cache_hits_total{labels} 2.0" in metrics
    assert f"headway_server_cache_misses_total{labels} 1.0" in metrics
    assert f"headway_server_cache_entries{labels} 1.0" in metrics
    assert f"headway_server_batch_rows_count{labels} 1.0" in metrics


async def test_without_a_cache_each_request_is_run(serve: Serve) -> None:
    async with serve() as server:
        for _ in range(2):
            await ask(server.port, "POST", INFER, BODY)
        metrics = server.service.metrics.text().decode()
    assert "cache" not in metrics
    assert 'headway_server_batch_rows_count{model="churn",version="1"} 2.0' in metrics


@pytest.mark.parametrize("cache", [CacheLimits(), None])
async def test_a_server_knows_what_it_has_an_answer_to_without_asking_for_it(
    serve: Serve, cache: CacheLimits | None
) -> None:
    rows = feeds([1.5], ["Kobe"])
    async with serve(cache=cache) as server:
        assert not server.service.remembers(rows)
        await server.service.submit(rows, 1)
        assert server.service.remembers(rows) is (cache is not None)
        hit = 'headway_server_cache_hits_total{model="churn",version="1"} 1.0'
        assert hit not in server.service.metrics.text().decode()


async def test_the_key_of_what_is_looked_for_and_then_submitted_is_made_once_and_is_not_that_of_others(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys: list[bytes | None] = []
    make = Cache.key

    def counted(self: Cache, tensors: Tensors) -> bytes | None:
        keys.append(make(self, tensors))
        return keys[-1]

    monkeypatch.setattr(Cache, "key", counted)
    one, other = feeds([1.5], ["Kobe"]), feeds([2.5], ["Oslo"])
    async with serve(cache=CacheLimits()) as server:
        assert not server.service.remembers(one)
        await server.service.submit(one, 1)
        assert len(keys) == 1
        assert server.service.remembers(one)
        await server.service.submit(other, 1)  # one has been handed over meanwhile
        assert len(keys) == 3
        assert len(set(keys)) == 2
        assert server.service.remembers(other)
