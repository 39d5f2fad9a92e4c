"""What is kept of a request, how much of it, and what never is."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway_api.bundle import Input, Output, Signature
from headway_server.model import ServedModel
from headway_server.records.record import MOST_RECORD_BYTES, MOST_ROWS, RecordSettings, line, sampled, take
from served import feeds

TOLD = (1_764_428_400.25, "rest", "a", 0.002)


def kept(model: ServedModel, rows: Any, outputs: Any = None, **settings: Any) -> dict[str, Any]:
    """The record of a request."""
    told = RecordSettings(**settings)
    found: dict[str, Any] = json.loads(
        line(model, told, take(model, told, rows, model.run(rows) if outputs is None else outputs, TOLD))
    )
    return found


def test_without_payloads_a_record_has_the_prediction_and_no_value_of_the_rows(echo_model: ServedModel) -> None:
    assert kept(echo_model, feeds([41.5, 2.0], ["Kobe", "7"])) == {
        "kind": "request",
        "time": "2025-11-29T15:00:00.250Z",
        "model": "churn",
        "version": "1",
        "digest": echo_model.bundle_digest,
        "id": "a",
        "protocol": "rest",
        "seconds": 0.002,
        "rows": 2,
        "predictions": [{"label": "Kobe"}, {"label": "7"}],
    }


def test_the_digest_is_that_of_model_json_as_a_deployment_names_it(echo_model: ServedModel) -> None:
    assert len(echo_model.bundle_digest) == len("sha256:") + 64
    assert echo_model.bundle_digest != f"sha256:{echo_model.digest}"


def test_with_inputs_it_has_the_columns_by_their_names_but_those_that_are_masked(echo_model: ServedModel) -> None:
    rows = feeds([41.5, float("nan")], ["Kobe", ""])
    told = kept(echo_model, rows, payloads="inputs")
    assert told["inputs"] == [{"size": 41.5, "town": "Kobe"}, {"size": None, "town": ""}]
    assert told["predictions"] == [{"label": "Kobe"}, {"label": ""}]
    assert kept(echo_model, rows, payloads="inputs", mask=("town",))["inputs"] == [{"size": 41.5}, {"size": None}]
    assert kept(echo_model, rows, payloads="inputs", mask=("town", "size"))["inputs"] == []


def test_with_all_it_has_the_probabilities_too(echo_model: ServedModel) -> None:
    told = kept(echo_model, feeds([1.0], ["Kobe"]), payloads="all")
    assert told["predictions"] == [{"label": "Kobe", "probabilities": {"no": 1.0, "yes": 2.0}}]


def anomalies() -> ServedModel:
    """A model of which only the names count, that gives back what it was given, nearly."""
    inputs = [Input(name=name, column=name, type="double", shape=[1], missing=None) for name in ("age", "pay")]
    outputs = [
        Output(name="anomaly_score", type="double", shape=[]),
        Output(name="value", type="double", shape=[2], names=["age", "pay"]),
    ]
    told = Signature(inputs=inputs, outputs=outputs)
    return ServedModel("m", "1", digest="d", info=None, signature=told, session=None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, {"anomaly_score": 0.5}),
        ({"payloads": "inputs"}, {"anomaly_score": 0.5}),
        ({"payloads": "all", "mask": ("pay",)}, {"anomaly_score": 0.5}),
        ({"payloads": "all"}, {"anomaly_score": 0.5, "reconstructed.age": 41.0, "reconstructed.pay": 7.0}),
    ],
)
def test_a_reconstruction_does_not_tell_what_is_masked(settings: dict[str, Any], told: dict[str, float]) -> None:
    rows = {"age": np.array([[40.0]]), "pay": np.array([[7.5]])}
    outputs = {"anomaly_score": np.array([0.5]), "value": np.array([[41.0, 7.0]])}
    assert kept(anomalies(), rows, outputs, **settings)["predictions"] == [told]


def test_of_many_rows_the_first_are_kept_and_their_number_is_told(echo_model: ServedModel) -> None:
    told = kept(echo_model, feeds([1.0] * 5000, ["x"] * 5000), payloads="inputs")
    assert (told["rows"], len(told["inputs"]), len(told["predictions"])) == (5000, MOST_ROWS, MOST_ROWS)


@given(lengths=st.lists(st.sampled_from([0, 10, 60_000, 10**6]), min_size=1, max_size=12))
def test_what_a_record_holds_is_bounded_however_long_its_texts_are(echo_model: ServedModel, lengths: list[int]) -> None:
    rows = feeds([1.0] * len(lengths), ["x" * length for length in lengths])
    outputs = {
        "label": np.array(["yes"] * len(lengths), dtype=object),
        "probabilities": np.zeros((len(lengths), 2), np.float32),
    }
    taken = take(echo_model, RecordSettings(payloads="all"), rows, outputs, TOLD)
    assert taken.size <= 2 * MOST_RECORD_BYTES + 1024


def test_a_record_holds_nothing_of_the_batch_and_the_body_that_it_comes_from(echo_model: ServedModel) -> None:
    rows = feeds([1.0] * 1000, ["x"] * 1000)
    taken = take(echo_model, RecordSettings(payloads="all"), rows, echo_model.run(rows), TOLD)
    assert all(array.base is None for part in (taken.inputs, taken.outputs) for array in part.values())


def test_the_same_id_is_always_or_never_of_the_sample_and_the_share_is_kept_to() -> None:
    names = [f"request-{index}" for index in range(20_000)]
    found = [sampled(name, 0.1) for name in names]
    assert found == [sampled(name, 0.1) for name in names]
    assert 1800 < sum(found) < 2200
    assert all(sampled(name, 1.0) for name in names)
