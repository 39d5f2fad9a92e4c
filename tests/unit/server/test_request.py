"""Requests of the Open Inference Protocol become tensors, and answers go back, in JSON and in binary."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from onnx import TensorProto, helper

from headway_api.bundle import Input, Output, Signature
from headway_server.errors import InvalidRequest, NotFinite, RequestError, TooLarge
from headway_server.model import ServedModel, TensorInfo
from headway_server.rest.answer import encode
from headway_server.rest.request import Bounds, InferRequest, decode
from headway_server.tensors import from_bytes, to_bytes
from served import OPSET, bundle

BOUNDS = Bounds()
SIZE = {"name": "size", "shape": [2, 1], "datatype": "FP64", "data": [1.5, 2]}
TOWN = {"name": "town", "shape": [2, 1], "datatype": "BYTES", "data": ["Kobe", "Łódź"]}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ServedModel:
    return ServedModel.open(str(bundle(tmp_path_factory.mktemp("echo"))))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> ServedModel:
    """Takes one input of bytes."""
    taken = helper.make_tensor_value_info("x", TensorProto.UINT8, ["N", 2, 3])
    given_ = helper.make_tensor_value_info("value", TensorProto.DOUBLE, ["N", 2, 3])
    node = helper.make_node("Cast", ["x"], ["value"], to=TensorProto.DOUBLE)
    graph = helper.make_graph([node], "cast", [taken], [given_])
    data = helper.make_model(graph, opset_imports=OPSET, ir_version=10).SerializeToString()
    told = Signature(
        inputs=[Input(name="x", column="x", type="uint8", shape=[2, 3], missing=None)],
        outputs=[Output(name="value", type="double", shape=[2, 3])],
    )
    return ServedModel.open(str(bundle(tmp_path_factory.mktemp("pictures"), data, told)))


def asked(model: ServedModel, *inputs: dict[str, Any], bounds: Bounds = BOUNDS, **told: Any) -> InferRequest:
    """A request of JSON alone."""
    return decode(json.dumps({"inputs": list(inputs)} | told).encode(), None, model, bounds)


@pytest.mark.parametrize(
    ("size", "town"),
    [
        ([1.5, 2], ["Kobe", "Łódź"]),
        ([[1.5], [2]], [["Kobe"], ["Łódź"]]),
    ],
)
def test_data_may_be_flat_or_nested(size: list[Any], town: list[Any], model: ServedModel) -> None:
    request = asked(model, SIZE | {"data": size}, TOWN | {"data": town})
    assert request.rows == 2
    assert request.feeds["size"].tolist() == [[1.5], [2.0]]
    assert request.feeds["town"].tolist() == [["Kobe"], ["Łódź"]]


def test_null_is_a_missing_value_where_the_signature_knows_one(model: ServedModel) -> None:
    request = asked(model, SIZE | {"data": [None, 1]}, TOWN | {"data": [None, "x"]})
    assert np.isnan(request.feeds["size"][0, 0])
    assert request.feeds["town"].tolist() == [[""], ["x"]]


def test_the_id_the_outputs_and_the_time_are_what_the_client_says(model: ServedModel) -> None:
    request = asked(
        model,
        SIZE,
        TOWN,
        id="a",
        outputs=[{"name": "probabilities", "parameters": {"binary_data": True}}, {"name": "label"}],
        parameters={"timeout": 2_000_000, "own": "word"},
    )
    assert (request.id, request.timeout) == ("a", 2.0)
    assert request.outputs == {"probabilities": True, "label": False}
    assert list(request.outputs) == ["probabilities", "label"]


def test_binary_is_asked_for_the_whole_answer_and_an_output_s_own_word_wins(model: ServedModel) -> None:
    whole = asked(model, SIZE, TOWN, parameters={"binary_data_output": True})
    assert whole.outputs == {"label": True, "probabilities": True}
    own = asked(
        model,
        SIZE,
        TOWN,
        parameters={"binary_data_output": True},
        outputs=[{"name": "label", "parameters": {"binary_data": False}}],
    )
    assert own.outputs == {"label": False}


WRONG: list[tuple[Any, str]] = [
    ([], "the body must be a JSON object"),
    ({}, "inputs must be a list of tensors, and is missing or empty"),
    ({"inputs": []}, "inputs must be a list of tensors"),
    ({"inputs": [SIZE]}, "'town' is missing"),
    ({"inputs": [SIZE, SIZE]}, "'size' is there twice"),
    ({"inputs": [SIZE, TOWN, SIZE]}, "inputs has 3 tensors, but the model takes 2"),
    ({"inputs": [7, TOWN]}, "inputs[0] must be an object"),
    ({"inputs": [SIZE | {"name": "sise"}, TOWN]}, "has no input 'sise'"),
    ({"inputs": [SIZE | {"name": ["a"]}, TOWN]}, "has no input ['a']"),
    ({"inputs": [SIZE | {"datatype": "FP32"}, TOWN]}, "datatype must be FP64, not 'FP32'"),
    ({"inputs": [SIZE | {"shape": [2]}, TOWN]}, "shape must be [-1, 1], -1 being the rows, not [2]"),
    ({"inputs": [SIZE | {"shape": [-2, 1]}, TOWN]}, "not [-2, 1]"),
    ({"inputs": [SIZE | {"shape": [2.0, 1]}, TOWN]}, "not [2.0, 1]"),
    ({"inputs": [SIZE | {"shape": [True, 1]}, TOWN]}, "not [True, 1]"),
    ({"inputs": [SIZE | {"shape": "2"}, TOWN]}, "not '2'"),
    ({"inputs": [SIZE | {"shape": [3, 1]}, TOWN]}, "data has 2 values, but its shape [3, 1] asks for 3"),
    ({"inputs": [SIZE | {"data": [[1], [2, 3]]}, TOWN]}, "nested in another way than its shape [2, 1]"),
    ({"inputs": [SIZE | {"data": [[1], 2]}, TOWN]}, "nested in another way"),
    ({"inputs": [SIZE | {"data": [[1]]}, TOWN]}, "data has 1 rows"),
    ({"inputs": [SIZE | {"data": ["1.5", 2]}, TOWN]}, "'1.5' is no number, which FP64 are"),
    ({"inputs": [SIZE | {"data": [True, 2]}, TOWN]}, "True is no number"),
    ({"inputs": [SIZE | {"data": {}}, TOWN]}, "data must be a list of values"),
    ({"inputs": [SIZE, TOWN | {"data": ["a", 1]}]}, "1 is no text, which BYTES are in JSON"),
    ({"inputs": [{"name": "size", "shape": [2, 1], "datatype": "FP64"}, TOWN]}, "data must be a list"),
    ({"inputs": [SIZE | {"parameters": 3}, TOWN]}, "parameters must be an object"),
    ({"inputs": [SIZE | {"parameters": {"binary_data_size": 16}}, TOWN]}, "both data and binary_data_size"),
    ({"inputs": [SIZE, TOWN], "parameters": {"x": []}}, "'x' must be text, a number, true or false"),
    ({"inputs": [SIZE, TOWN], "parameters": {"shared_memory_region": "a"}}, "shared_memory_region is not known here"),
    ({"inputs": [SIZE, TOWN], "parameters": {"timeout": "soon"}}, "parameters.timeout must be a whole number"),
    ({"inputs": [SIZE, TOWN], "id": 7}, "id must be text of at most 256 characters"),
    ({"inputs": [SIZE, TOWN], "id": "x" * 257}, "id must be text of at most 256 characters"),
    ({"inputs": [SIZE, TOWN], "outputs": 1}, "outputs must be a list of objects"),
    ({"inputs": [SIZE, TOWN], "outputs": [{}]}, "outputs[0].name"),
    ({"inputs": [SIZE, TOWN], "outputs": [{"name": "labels"}]}, "has no output 'labels'"),
    ({"inputs": [SIZE, TOWN], "outputs": [{"name": "label"}, {"name": "label"}]}, "'label' is there twice"),
    (
        {"inputs": [SIZE, TOWN], "outputs": [{"name": "label", "parameters": {"binary_data": 1}}]},
        "binary_data must be true or false",
    ),
]


@pytest.mark.parametrize(("document", "words"), WRONG)
def test_what_is_wrong_with_a_request_is_told_by_the_field(document: Any, words: str, model: ServedModel) -> None:
    with pytest.raises(InvalidRequest) as refused:
        decode(json.dumps(document).encode(), None, model, BOUNDS)
    assert words in str(refused.value)


@pytest.mark.parametrize("body", [b"", b"{", b"nonsense", b"\xff\xfe", b"[" * 100_000, b'{"a":NaN}'])
def test_a_body_that_is_no_json_is_invalid(body: bytes, model: ServedModel) -> None:
    with pytest.raises(InvalidRequest, match="the body is no JSON"):
        decode(body, None, model, BOUNDS)


def test_what_is_too_much_is_refused_before_memory_is_spent_on_it(model: ServedModel) -> None:
    with pytest.raises(TooLarge, match="JSON has"):
        asked(model, SIZE, TOWN, bounds=Bounds(json_bytes=10))
    with pytest.raises(TooLarge, match="lists and objects"):
        decode(b'{"a":[' + b"[]," * 400 + b"1]}", None, model, Bounds(containers=300))
    with pytest.raises(TooLarge, match="shape has 10 rows, and at most 4"):
        asked(model, SIZE | {"shape": [10, 1]}, TOWN, bounds=Bounds(rows=4))
    # numpy would give each of many short texts the room of the longest one.
    texts = ["x" * 1_000_000] + ["y"] * 9_999
    rows = {"size": SIZE | {"shape": [10_000, 1], "data": [0] * 10_000}, "town": TOWN | {"shape": [10_000, 1]}}
    assert asked(model, rows["size"], rows["town"] | {"data": texts}).feeds["town"].nbytes == 80_000


def _binary(model: ServedModel, size: bytes, town: bytes, *, rows: int = 2, extra: bytes = b"") -> InferRequest:
    inputs = [
        {"name": "size", "shape": [rows, 1], "datatype": "FP64", "parameters": {"binary_data_size": len(size)}},
        {"name": "town", "shape": [rows, 1], "datatype": "BYTES", "parameters": {"binary_data_size": len(town)}},
    ]
    head = json.dumps({"inputs": inputs}).encode()
    return decode(head + size + town + extra, len(head), model, BOUNDS)


TOWNS = b"\x04\x00\x00\x00Kobe\x00\x00\x00\x00"


def test_binary_tensors_follow_the_json_in_the_order_of_the_inputs(model: ServedModel) -> None:
    request = _binary(model, struct.pack("<2d", 1.5, -0.0), TOWNS)
    assert request.feeds["size"].tolist() == [[1.5], [-0.0]]
    assert request.feeds["town"].tolist() == [["Kobe"], [""]]


@pytest.mark.parametrize(
    ("size", "town", "extra", "words"),
    [
        (b"\0" * 15, TOWNS, b"", "has 15 bytes, but FP64 of the shape [2, 1] are 16"),
        (b"\0" * 16, b"\x09\0\0\0Kobe\0\0\0\0", b"", "its element 0 goes beyond the end of the tensor"),
        (b"\0" * 16, TOWNS[:-1], b"", "its element 1 goes beyond"),
        (b"\0" * 16, TOWNS + b"x", b"", "1 bytes are left after its 2 elements"),
        (b"\0" * 16, b"\x01\0\0\0\xff\0\0\0\0", b"", "its element 0 is no UTF-8"),
        (b"\0" * 16, TOWNS, b"abc", "3 bytes of the body are left after the last binary tensor"),
    ],
)
def test_binary_tensors_that_do_not_fit_are_refused(
    size: bytes, town: bytes, extra: bytes, words: str, model: ServedModel
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        _binary(model, size, town, extra=extra)
    assert words in str(refused.value)


@pytest.mark.parametrize("size", [-1, 17, 1 << 40, "16", True, 1.5])
def test_a_size_beyond_the_body_is_refused(size: Any, model: ServedModel) -> None:
    tensor = {"name": "size", "shape": [2, 1], "datatype": "FP64", "parameters": {"binary_data_size": size}}
    head = json.dumps({"inputs": [tensor, TOWN]}).encode()
    with pytest.raises(InvalidRequest, match="binary_data_size"):
        decode(head + b"\0" * 16, len(head), model, BOUNDS)


def test_a_header_length_beyond_the_body_is_refused(model: ServedModel) -> None:
    with pytest.raises(InvalidRequest, match="Inference-Header-Content-Length is 9, but the body has 2 bytes"):
        decode(b"{}", 9, model, BOUNDS)


def test_a_raw_body_is_as_many_rows_as_it_has_bytes_for(pictures: ServedModel, model: ServedModel) -> None:
    request = decode(bytes(range(12)), 0, pictures, BOUNDS)
    assert request.feeds["x"].tolist() == [[[0, 1, 2], [3, 4, 5]], [[6, 7, 8], [9, 10, 11]]]
    assert request.outputs == {"value": True}
    with pytest.raises(InvalidRequest, match="the body has 13 bytes, but a row of 'x' has 6"):
        decode(bytes(13), 0, pictures, BOUNDS)
    with pytest.raises(InvalidRequest, match="the model takes 2"):
        decode(bytes(16), 0, model, BOUNDS)


@pytest.mark.parametrize("data", [[256] * 6, [-1] * 6, [1.0] * 6, [True] * 6, [None] * 6])
def test_bytes_of_pictures_are_whole_numbers_of_a_byte(data: list[Any], pictures: ServedModel) -> None:
    with pytest.raises(InvalidRequest, match="UINT8 are whole numbers from 0 to 255"):
        asked(pictures, {"name": "x", "shape": [1, 2, 3], "datatype": "UINT8", "data": data})


def test_an_answer_has_json_and_binary_outputs_side_by_side(model: ServedModel) -> None:
    request = asked(
        model,
        SIZE,
        TOWN,
        id="7",
        outputs=[{"name": "probabilities", "parameters": {"binary_data": True}}, {"name": "label"}],
    )
    answer = encode(request, model.run(request.feeds), model)
    assert answer.header_length is not None
    told = json.loads(answer.body[: answer.header_length])
    assert told["id"] == "7"
    assert told["outputs"] == [
        {"name": "probabilities", "datatype": "FP32", "shape": [2, 2], "parameters": {"binary_data_size": 16}},
        {"name": "label", "datatype": "BYTES", "shape": [2], "data": ["Kobe", "Łódź"]},
    ]
    assert struct.unpack("<4f", answer.body[answer.header_length :]) == (1.5, 3.0, 2.0, 4.0)


def test_numbers_that_json_has_not_are_refused_with_the_way_out_and_go_as_binary(model: ServedModel) -> None:
    request = asked(model, SIZE | {"data": [None, 1]}, TOWN)
    outputs = model.run(request.feeds)
    with pytest.raises(NotFinite, match="binary_data_output"):
        encode(request, outputs, model)
    binary = asked(model, SIZE | {"data": [None, 1]}, TOWN, parameters={"binary_data_output": True})
    assert encode(binary, outputs, model).body.endswith(struct.pack("<2f", 1.0, 2.0))


@given(
    sizes=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20),
    text=st.text(st.characters(exclude_categories=["Cs"])),
)
def test_json_and_binary_requests_give_the_same_tensors(sizes: list[float], text: str, model: ServedModel) -> None:
    towns = [text[at:] for at in range(len(sizes))]
    size = SIZE | {"shape": [len(sizes), 1], "data": sizes}
    by_json = asked(model, size, TOWN | {"shape": [len(sizes), 1], "data": towns})
    packed = [one.encode() for one in towns]
    by_bytes = _binary(
        model,
        struct.pack(f"<{len(sizes)}d", *sizes),
        b"".join(struct.pack("<I", len(one)) + one for one in packed),
        rows=len(sizes),
    )
    for name in ("size", "town"):
        assert by_json.feeds[name].dtype == by_bytes.feeds[name].dtype
        assert by_json.feeds[name].tolist() == by_bytes.feeds[name].tolist()


@given(
    st.sampled_from([("FP64", np.float64), ("FP32", np.float32), ("UINT8", np.uint8)]).flatmap(
        lambda kind: st.tuples(
            st.just(kind[0]), arrays.arrays(kind[1], arrays.array_shapes(min_dims=1, max_dims=3, max_side=5))
        )
    )
)
def test_a_tensor_comes_back_from_its_bytes(told: tuple[str, Any]) -> None:
    datatype, array = told
    info = TensorInfo("x", datatype, array.shape)
    back = from_bytes(memoryview(to_bytes(array)), list(array.shape), info, "x")
    assert back.dtype == array.dtype
    assert back.tobytes() == array.tobytes()
    part = array[: len(array) // 2 + 1, ...]
    assert to_bytes(part) == np.ascontiguousarray(part).tobytes()


@given(body=st.binary(max_size=300), length=st.one_of(st.none(), st.integers(0, 320)))
def test_no_bytes_lead_to_anything_but_an_error_in_words(body: bytes, length: int | None, model: ServedModel) -> None:
    with pytest.raises(RequestError):
        decode(body, length, model, BOUNDS)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(field=st.sampled_from(["name", "shape", "datatype", "data", "parameters"]), value=JSON)
def test_no_value_of_a_field_leads_to_anything_but_a_request_or_its_error(
    field: str, value: Any, model: ServedModel
) -> None:
    found: RequestError | None = None
    try:
        assert asked(model, SIZE | {field: value}, TOWN).rows == 2
    except RequestError as error:
        found = error
    assert found is None or (400 <= found.status < 500 and len(str(found)) < 1000)


def test_texts_with_a_zero_in_them_reach_the_model_whole(model: ServedModel) -> None:
    request = asked(model, SIZE, TOWN | {"data": ["a\0b", "c"]})
    assert model.run(request.feeds)["label"].tolist() == ["a\0b", "c"]
