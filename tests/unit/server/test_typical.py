"""The rows that a server warms up with: usual values of each column."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headway_api.bundle import FileDigest, Input, Signature
from headway_api.training_rows import REFERENCE_FILE, Numbers, Reference, Values
from headway_server.errors import BadModel
from headway_server.model import Array, ServedModel, Tensors
from headway_server.service import warm_up
from headway_server.typical import typical_rows
from served import ECHO_SIGNATURE, bundle

SIZES = Numbers(
    name="size", rows=9, missing=0, quantiles={"0.05": 1, "0.25": 2, "0.5": 3, "0.75": 4, "0.95": 5, "1.0": 99}
)
TOWNS = Values(name="town", rows=9, missing=0, counts={"Kobe": 5, "7": 4}, others=0)


def model(*features: Numbers | Values, signature: Signature = ECHO_SIGNATURE, data: Any = None) -> ServedModel:
    """A model that is not run, with what is known of its training rows."""
    info: Any = type("Info", (), {"data": data})
    known = Reference(rows=9, seen=9, features=list(features), target=[])
    return ServedModel("m", "1", digest="d", info=info, signature=signature, session=None, reference=known)


def written(folder: Path, text: str, told: str | None = None) -> Path:
    """A bundle of the echo with this reference.json. told: the text that model.json has the digest of."""
    digest = hashlib.sha256((text if told is None else told).encode()).hexdigest()
    made = bundle(folder)
    info = ServedModel.open(str(made)).info
    file = FileDigest(name=REFERENCE_FILE, sha256=digest, size_bytes=len(text))
    (made / "model.json").write_text(
        info.model_copy(update={"files": {**info.files, "reference": file}}).model_dump_json()
    )
    (made / REFERENCE_FILE).write_text(text)
    return made


def test_the_first_row_is_the_middle_and_the_others_lie_around_it() -> None:
    rows = typical_rows(model(SIZES, TOWNS), 20)
    assert [row["size"].item() for row in rows] == [3, 2, 4, 1, 5]
    assert [row["town"].item() for row in rows] == ["Kobe", "7", "Kobe", "7", "Kobe"]
    assert len(typical_rows(model(SIZES, TOWNS), 2)) == 2


def test_without_a_reference_there_is_one_row_of_nothing(echo_model: ServedModel) -> None:
    (row,) = typical_rows(echo_model, 20)
    assert (row["size"].tolist(), row["town"].tolist()) == ([[0.0]], [[""]])


@pytest.mark.parametrize(
    ("told", "features", "values"),
    [
        ({"type": "float", "shape": [3]}, ["x[0]", "x[1]", "x[2]"], [0.0, 1.0, 2.0]),
        ({"type": "double", "shape": [2]}, ["sepal", "petal"], [0.0, 1.0]),
        ({"type": "uint8", "shape": [2, 1, 2]}, ["x[0]", "x[1]"], [[[0, 0]], [[1, 1]]]),
        ({"type": "double", "shape": [3]}, ["x"], [0.0, 0.0, 0.0]),
    ],
)
def test_arrays_images_and_histories_are_filled_place_by_place(
    told: dict[str, Any], features: list[str], values: Any
) -> None:
    known = [
        Numbers(name=name, rows=1, missing=0, quantiles={"0.5": index + 0.2}) for index, name in enumerate(features)
    ]
    signature = Signature(inputs=[Input(name="x", column="x", missing=None, **told)], outputs=[])
    (row, *_) = typical_rows(model(*known, signature=signature), 1)
    assert row["x"].shape == (1, *told["shape"])
    assert np.floor(row["x"][0]).tolist() == values


def test_a_text_has_the_usual_words_and_a_boolean_the_usual_value() -> None:
    known = (
        Values(name="note", rows=9, missing=0, counts={"late": 4, "parcel": 3}, others=0),
        Values(name="member", rows=9, missing=0, counts={"true": 8, "false": 1}, others=0),
    )
    inputs = [
        Input(name="note", column="note", type="string", shape=[1], missing="empty text"),
        Input(name="member", column="member", type="double", shape=[1], missing="NaN"),
    ]
    data = {"transforms": {"transforms": [{"kind": "text", "inputs": ["note"]}]}}
    (row, *_) = typical_rows(model(*known, signature=Signature(inputs=inputs, outputs=[]), data=data), 1)
    assert (row["note"].item(), row["member"].item()) == ("late parcel", 1.0)


def test_a_server_warms_up_with_the_rows_that_its_bundle_tells_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = Reference(rows=9, seen=9, features=[SIZES, TOWNS], target=[]).model_dump_json(by_alias=True)
    found = ServedModel.open(str(written(tmp_path, text)))
    seen: list[tuple[float, str]] = []
    run = found.run

    def watched(rows: Tensors) -> dict[str, Array]:
        seen.append((rows["size"].item(), rows["town"].item()))
        return run(rows)

    monkeypatch.setattr(found, "run", watched)
    warm_up(found, 6)
    assert seen == [(3, "Kobe"), (2, "7"), (4, "Kobe"), (1, "7"), (5, "Kobe"), (3, "Kobe")]


def test_another_reference_than_model_json_tells_of_is_refused_and_none_is_none(tmp_path: Path) -> None:
    folder = written(tmp_path, "{}", told="other")
    with pytest.raises(BadModel, match=r"reference\.json has the sha256"):
        ServedModel.open(str(folder))
    (folder / REFERENCE_FILE).unlink()
    assert ServedModel.open(str(folder)).reference is None
    with pytest.raises(BadModel, match=r"reference\.json is not what this version"):
        ServedModel.open(str(written(tmp_path / "b", "{}")))
