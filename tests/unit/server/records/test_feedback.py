"""Labels that come later: what is taken, what is refused, and where it is kept."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from headway_api.bundle import Output, Signature
from headway_server.errors import BadModel, InvalidRequest, Overloaded, TooLarge
from headway_server.model import ServedModel
from headway_server.records.feedback import MOST_BYTES, MOST_ENTRIES, MOST_LABELS, Labels
from headway_server.records.record import RecordSettings
from headway_server.records.recorder import Recorder
from wire_client import ask

from ..conftest import Serve
from ..test_app import BODY, INFER

LABEL = Output(name="label", type="string", shape=[])
CLASSES = Output(name="probabilities", type="float", shape=[3], names=["0", "7", "true"])
SCORE = Output(name="anomaly_score", type="double", shape=[])


def labels(*outputs: Output, history: int | None = None) -> Labels:
    """Of a model with these outputs."""
    told = Signature(inputs=[], outputs=list(outputs), history=history)
    return Labels(ServedModel("m", "1", digest="d", info=None, signature=told, session=None))  # type: ignore[arg-type]


def value(*names: str) -> Output:
    """The targets of a regression."""
    return Output(name="value", type="double", shape=[len(names)], names=list(names))


def read(of: Labels, told: Any) -> list[Any]:
    """The labels of all entries."""
    return [entry.labels for entry in of.read(json.dumps(told).encode())]


@pytest.mark.parametrize(
    ("of", "label", "taken"),
    [
        (labels(LABEL, CLASSES), "7", ["7"]),
        (labels(LABEL, CLASSES), 7, ["7"]),
        (labels(LABEL, CLASSES), True, ["true"]),
        (labels(LABEL, CLASSES), ["0", 7], ["0", "7"]),
        (labels(value("price")), 3, [{"price": 3.0}]),
        (labels(value("price")), {"price": 3.5}, [{"price": 3.5}]),
        (labels(value("price", "rent")), [{"price": 1, "rent": 2}], [{"price": 1.0, "rent": 2.0}]),
        (labels(SCORE, value("a")), False, [False]),
    ],
)
def test_a_label_is_what_the_model_could_have_said(of: Labels, label: Any, taken: list[Any]) -> None:
    assert read(of, {"id": "a", "label": label}) == [taken]
    assert read(of, [{"id": "a", "label": label}, {"id": "b", "label": label}]) == [taken, taken]


@pytest.mark.parametrize(
    ("of", "told", "says"),
    [
        (labels(LABEL, CLASSES), {"id": "a", "label": "8"}, r"label is '8', which is no class .*: 0, 7, true"),
        (labels(LABEL, CLASSES), {"id": "a", "label": None}, "which is no class"),
        (labels(LABEL, CLASSES), {"id": "a", "label": 7.0}, "which is no class"),
        (labels(LABEL, CLASSES), [{"id": "a", "label": "0"}, {"id": "b", "label": ["8"]}], r"\[1\]\.label\[0\] is"),
        (labels(LABEL, CLASSES), {"id": "a", "label": []}, "list of 1 to 1000"),
        (labels(LABEL, CLASSES), {"id": "a", "label": ["0"] * (MOST_LABELS + 1)}, "list of 1 to 1000"),
        (labels(LABEL, CLASSES), {"id": "", "label": "0"}, r"\.id must be the id of a request"),
        (labels(LABEL, CLASSES), {"id": 7, "label": "0"}, r"\.id must be the id of a request"),
        (labels(LABEL, CLASSES), {"id": "a" * 257, "label": "0"}, "1 to 256 characters"),
        (labels(LABEL, CLASSES), {"id": "a"}, 'fields "id" and "label"'),
        (labels(LABEL, CLASSES), {"id": "a", "label": "0", "weight": 2}, "and no other"),
        (labels(LABEL, CLASSES), [], "1 to 500 entries, not 0"),
        (labels(LABEL, CLASSES), [{"id": "a", "label": "0"}] * (MOST_ENTRIES + 1), "not 501"),
        (labels(LABEL, CLASSES), "a", "must be an object"),
        (labels(value("price")), {"id": "a", "label": "3"}, r"\.price is '3', but must be a number"),
        (labels(value("price")), {"id": "a", "label": True}, "must be a number"),
        (labels(value("a", "b")), {"id": "a", "label": 3}, "a number for each of a, b"),
        (labels(value("a", "b")), {"id": "a", "label": {"a": 1}}, "a number for each of a, b"),
        (labels(SCORE), {"id": "a", "label": 1}, "true or false"),
        (labels(value("a"), history=3), {"id": "a", "label": 1}, "labels for forecasts are not taken"),
    ],
)
def test_what_is_no_label_is_refused_by_its_place(of: Labels, told: Any, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        of.read(json.dumps(told).encode())


def test_what_is_no_json_or_too_long_is_refused() -> None:
    of = labels(LABEL, CLASSES)
    with pytest.raises(InvalidRequest, match="the body is no JSON"):
        of.read(b"{")
    with pytest.raises(TooLarge, match="send fewer labels"):
        of.read(b" " * (MOST_BYTES + 1))


def kept(folder: Path) -> list[dict[str, Any]]:
    """What was written."""
    lines = [line for file in folder.iterdir() for line in gzip.decompress(file.read_bytes()).splitlines()]
    return [json.loads(line) for line in lines]


async def test_a_request_and_its_label_meet_by_the_id_that_the_answer_has(serve: Serve, tmp_path: Path) -> None:
    records = RecordSettings(sample=1, payloads="inputs", mask=("town",), folder=str(tmp_path))
    anonymous = json.dumps({key: told for key, told in json.loads(BODY).items() if key != "id"}).encode()
    rows = json.dumps({"instances": [{"size": 1, "town": "7"}], "id": "mine"}).encode()
    async with serve(records=records) as server:
        given = (await ask(server.port, "POST", INFER, BODY)).json["id"]
        made = (await ask(server.port, "POST", INFER, anonymous)).json["id"]
        own = (await ask(server.port, "POST", "/v1/models/churn:predict", rows)).json["id"]
        label = json.dumps([{"id": made, "label": ["yes", "no"]}, {"id": own, "label": "no"}]).encode()
        reply = await ask(server.port, "POST", "/v2/models/churn/feedback", label)
        wrong = await ask(server.port, "POST", "/v2/models/churn/versions/1/feedback", b'{"id": "a", "label": "maybe"}')
        paths = (await ask(server.port, "GET", "/openapi.json")).json["paths"]
        recorder = server.service.recorder
        assert recorder is not None
        recorder.writer.write_waiting()
        metrics = server.service.metrics.text().decode()
    assert "202" in paths["/v2/models/churn/feedback"]["post"]["responses"]
    assert (given, own, len(made)) == ("a", "mine", 32)
    assert (reply.status, reply.json) == (202, {"accepted": 2})
    assert wrong.status == 400
    assert "no class of the model; they are: no, yes" in wrong.json["error"]
    told = kept(tmp_path)
    assert [one["id"] for one in told if one["kind"] == "request"] == ["a", made, "mine"]
    assert [one["inputs"] for one in told if one["kind"] == "request"][2] == [{"size": 1.0}]
    assert [(one["id"], one["labels"]) for one in told if one["kind"] == "feedback"] == [
        (made, ["yes", "no"]),
        ("mine", ["no"]),
    ]
    written = 'headway_server_records_total{kind="%s",model="churn",result="written",version="1"} %s.0'
    assert written % ("request", 3) in metrics
    assert written % ("feedback", 2) in metrics


async def test_without_records_no_id_is_made_and_no_label_taken(serve: Serve) -> None:
    rows = b'{"instances": [{"size": 1, "town": "7"}], "id": "mine"}'
    async with serve() as server:
        assert "records" not in server.service.metrics.text().decode()
        reply = await ask(server.port, "POST", "/v2/models/churn/feedback", b'{"id": "a", "label": "no"}')
        assert reply.status == 404
        assert "turn records on" in reply.json["error"]
        told = (await ask(server.port, "POST", "/v1/models/churn:predict", rows)).json
        assert told.keys() == {"predictions", "id"}, "an id that is given comes back"


def test_labels_that_would_be_lost_are_not_taken(echo_model: ServedModel, tmp_path: Path) -> None:
    recorder = Recorder(echo_model, RecordSettings(folder=str(tmp_path)), lambda *_: None)
    body = json.dumps([{"id": "a", "label": "no"}] * MOST_ENTRIES).encode()
    assert recorder.labelled(body) == recorder.labelled(body) == MOST_ENTRIES
    with pytest.raises(Overloaded, match="send them again later"):
        recorder.labelled(b'{"id": "a", "label": "no"}')
    recorder.writer.write_waiting()
    assert recorder.labelled(b'{"id": "a", "label": "no"}') == 1


def test_a_slip_in_a_mask_does_not_let_a_column_through(echo_model: ServedModel) -> None:
    with pytest.raises(BadModel, match="mask names 'towm', which is no column"):
        Recorder(echo_model, RecordSettings(payloads="inputs", mask=("towm",)), lambda *_: None)
