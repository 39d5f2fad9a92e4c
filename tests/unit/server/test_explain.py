"""What is told of the effect of each column, and which models and requests have none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from headway_api.bundle import Input, Output, Signature
from headway_api.training_rows import Numbers, Reference, Values
from headway_server.errors import InvalidRequest, TooLarge
from headway_server.explain import MOST_COLUMNS, Explainer, asked, first
from headway_server.http.listener import Listener
from headway_server.model import Array, ServedModel
from headway_server.rest.app import App
from headway_server.service import Service
from headway_server.settings import Settings
from wire_client import ask

AGE = Numbers(name="age", rows=9, missing=0, quantiles={"0.5": 40.0})
TOWN = Values(name="town", rows=9, missing=0, counts={"Kobe": 5, "Oslo": 4}, others=0)
NOTE = Values(name="note", rows=9, missing=0, counts={"late": 5}, others=0)
KINDS = [
    {"kind": "number", "inputs": ["age"]},
    {"kind": "category", "inputs": ["town"], "categories": ["Kobe", "Oslo"]},
    {"kind": "text", "inputs": ["note"]},
]
INPUTS = [
    Input(name="age", column="age", type="double", shape=[1], missing="NaN"),
    Input(name="town", column="town", type="string", shape=[1], missing="empty text"),
    Input(name="n", column="note", type="string", shape=[1], missing="empty text"),
]
PRICE = Output(name="value", type="double", shape=[1], names=["price"])
BOTH = Output(name="value", type="double", shape=[2], names=["price", "rent"])
SCORE = Output(name="anomaly_score", type="double", shape=[])
LABEL = Output(name="label", type="string", shape=[])
CLASSES = Output(name="probabilities", type="float", shape=[2], names=["no", "yes"])


@dataclass
class Info:
    """What model.json says of the data."""

    data: Any


class Known(ServedModel):
    """A model of which every answer is known: the price is age + 100 in Kobe + the length of the note."""

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        size = np.array([len(text) for text in feeds["n"].ravel()], float)
        price = feeds["age"].ravel() + 100.0 * (feeds["town"].ravel() == "Kobe") + size
        share = np.stack([1 - price / 1000, price / 1000], axis=1).astype(np.float32)
        label = np.array(["yes" if each > 500 else "no" for each in price], dtype=object)
        every = {"anomaly_score": price, "label": label, "probabilities": share}
        every["value"] = (
            np.stack([price, 2 * price], axis=1)[:, : self.output_of["value"].shape[1]]
            if "value" in (self.output_of)
            else price
        )
        return {name: every[name] for name in self.output_of}


def model(*outputs: Output, data: Any = None, reference: Any = (), inputs: Any = INPUTS, **told: Any) -> Known:
    """One that gives these outputs."""
    known = Reference(rows=9, seen=9, features=[AGE, TOWN, NOTE], target=[]) if reference == () else reference
    chain = {"transforms": {"kind": "table", "transforms": KINDS}} if data is None else data
    signature = Signature(inputs=list(inputs), outputs=list(outputs), **told)
    info: Any = Info(chain)
    return Known("m", "1", digest="d", info=info, signature=signature, session=None, reference=known)


def rows(*told: tuple[float, str, str]) -> dict[str, Array]:
    """Age, town and note of each."""
    age, town, note = zip(*told, strict=True)
    return {
        "age": np.array(age, float).reshape(-1, 1),
        "town": np.array(town, dtype=object).reshape(-1, 1),
        "n": np.array(note, dtype=object).reshape(-1, 1),
    }


ROWS = rows((50.0, "Kobe", "late"), (40.0, "Oslo", ""))


def effects(of: Known, feeds: dict[str, Array] = ROWS) -> list[Any]:
    """Of rows."""
    explainer = Explainer(of)
    count = len(feeds["age"])
    outputs = of.run(explainer.widened(feeds, count))
    whole = of.run(feeds)
    assert str({name: array.tolist() for name, array in first(outputs, count).items()}) == str(
        {name: array.tolist() for name, array in whole.items()}
    ), "the rows that came are answered as ever"
    return explainer.effects(outputs, count)


def test_an_effect_is_what_the_usual_value_in_a_column_changes() -> None:
    assert effects(model(PRICE)) == [
        {"age": 10.0, "town": 0.0, "note": 4.0},
        {"age": 0.0, "town": -100.0, "note": 0.0},
    ]


def test_each_target_has_effects_of_its_own() -> None:
    [one, _] = effects(model(BOTH))
    assert one == {
        "price": {"age": 10.0, "town": 0.0, "note": 4.0},
        "rent": {"age": 20.0, "town": 0.0, "note": 8.0},
    }


def test_of_a_class_it_is_the_probability_of_the_one_that_the_model_takes_the_row_for() -> None:
    [no, yes] = effects(model(LABEL, CLASSES), rows((50.0, "Kobe", ""), (900.0, "Oslo", "")))
    assert no["age"] == pytest.approx(-0.01, abs=1e-6), "the older, the less of a no"
    assert yes["age"] == pytest.approx(0.86, abs=1e-6)


def test_of_an_anomaly_it_is_the_score() -> None:
    assert effects(model(SCORE))[0] == {"age": 10.0, "town": 0.0, "note": 4.0}


def test_what_is_no_number_is_null() -> None:
    assert effects(model(PRICE), rows((float("nan"), "Kobe", "")))[0] == {"age": None, "town": None, "note": None}


def columns(count: int) -> list[Input]:
    """So many numbers."""
    return [Input(name=f"c{n}", column=f"c{n}", type="double", shape=[1], missing=None) for n in range(count)]


@pytest.mark.parametrize(
    ("of", "says"),
    [
        (model(PRICE, data={"transforms": {"kind": "array"}}), "the model m takes no table, so it has no columns"),
        (model(PRICE, data={}), "takes no table"),
        (model(PRICE, data=[]), "takes no table"),
        (model(PRICE, history=3), "forecasts are not explained"),
        (model(PRICE, reference=None), "has no reference.json"),
        (model(PRICE, inputs=columns(MOST_COLUMNS + 1)), "has 101 columns, and at most 100"),
    ],
)
def test_a_model_without_columns_or_without_what_is_usual_is_refused(of: Known, says: str) -> None:
    with pytest.raises(InvalidRequest, match=f"explain: .*{says}"):
        Explainer(of).widened(ROWS, 2)


def test_the_runs_for_one_request_are_bounded() -> None:
    with pytest.raises(TooLarge, match="2000 rows of 3 columns are 8000 rows for the model, and at most 4096"):
        Explainer(model(PRICE)).widened(rows(*[(1.0, "a", "")] * 2000), 2000)


@pytest.mark.parametrize("wrong", ["yes", 1, None, []])
def test_it_is_asked_for_by_true_alone(wrong: Any) -> None:
    assert asked({"parameters": {"explain": True}})
    assert not asked({"parameters": {"explain": False}})
    assert not asked({"parameters": {}})
    assert not asked({})
    with pytest.raises(InvalidRequest, match="must be true or false"):
        asked({"parameters": {"explain": wrong}})


async def test_predictions_come_with_effects_where_a_client_asks() -> None:
    service = Service(model(PRICE), Settings(model_dir="", port=0), inline=True)
    listener = Listener(App(service), "127.0.0.1", 0, service.settings.http)
    await listener.start()
    service.begin()
    told = {"instances": [{"age": 50, "town": "Kobe", "note": "late"}]}
    wide = told | {"parameters": {"explain": True}}
    try:
        plain = await ask(listener.port, "POST", "/v1/models/m:predict", json.dumps(told).encode())
        reply = await ask(listener.port, "POST", "/v1/models/m:predict", json.dumps(wide).encode())
        tensors = await ask(
            listener.port, "POST", "/v2/models/m/infer", b'{"inputs": [], "parameters": {"explain": true}}'
        )
    finally:
        await listener.stop(0)
        await service.batcher.close()
    assert plain.json == {"predictions": [{"price": 154.0}]}
    assert reply.json == plain.json | {"explanations": [{"age": 10.0, "town": 0.0, "note": 4.0}]}
    assert tensors.status == 400
    assert "rows by their columns: POST /v1/models/m:predict" in tensors.json["error"]
