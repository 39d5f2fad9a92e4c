"""Requests over gRPC become arrays of exactly what the model takes, or a sentence that says what is wrong with them."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from grpc_requests import labels, listed, raw, texts
from headway_server.errors import InvalidRequest, TooLarge
from headway_server.grpc import descriptors
from headway_server.grpc.codec import DATATYPES, Codec, raw_bytes
from headway_server.model import TensorInfo


class Takes:
    """A model of whatever inputs and outputs."""

    name, version = "churn", "1"

    def __init__(self, inputs: Sequence[TensorInfo], outputs: Sequence[TensorInfo] = ()) -> None:
        self.inputs, self.outputs = inputs, outputs


ECHO = Codec(
    Takes(
        [TensorInfo("size", "FP64", (-1, 1)), TensorInfo("town", "BYTES", (-1, 1))],
        [TensorInfo("label", "BYTES", (-1,)), TensorInfo("probabilities", "FP32", (-1, 2))],
    ),
    most_rows=65_536,
)
LISTED = [name for name, datatype in DATATYPES.items() if datatype.contents]
NUMBERS = [name for name in DATATYPES if name != "BYTES"]


def of(datatype: str, *shape: int) -> Codec:
    """The codec of a model with one input, x, whose rows have this shape."""
    return Codec(Takes([TensorInfo("x", datatype, (-1, *shape))]), most_rows=65_536)


def one(datatype: str, shape: Sequence[int], data: bytes | None = None) -> Any:
    message = descriptors.ModelInferRequest(model_name="churn")
    message.inputs.add(name="x", datatype=datatype, shape=shape)
    if data is not None:
        message.raw_input_contents.append(data)
    return message


@pytest.mark.parametrize("make", [raw, listed])
def test_raw_and_typed_contents_are_the_same_rows(make: Callable[..., Any]) -> None:
    request = ECHO.read(make([1.5, -2.0], ["Kobe", "Łódź"], id="a request"))
    assert request.id == "a request"
    assert request.outputs == ("label", "probabilities")
    assert request.feeds["size"].tolist() == [[1.5], [-2.0]]
    assert request.feeds["town"].tolist() == [["Kobe"], ["Łódź"]]
    assert request.feeds["size"].dtype == np.float64
    assert request.feeds["town"].dtype == object


@given(st.data())
def test_every_array_comes_through_raw_contents_as_it_was(data: st.DataObject) -> None:
    datatype = data.draw(st.sampled_from(NUMBERS))
    dtype = DATATYPES[datatype].dtype
    array = data.draw(arrays.arrays(dtype, arrays.array_shapes(min_dims=2, max_dims=3)))
    message = one(datatype, array.shape, raw_bytes(array, datatype))
    read = of(datatype, *array.shape[1:]).read(arrived(message)).feeds["x"]
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, array)


@given(st.data())
def test_every_array_comes_through_the_list_of_its_datatype_as_it_was(data: st.DataObject) -> None:
    datatype = data.draw(st.sampled_from([name for name in LISTED if name != "BYTES"]))
    held = DATATYPES[datatype]
    array = data.draw(arrays.arrays(held.dtype, arrays.array_shapes(min_dims=2, max_dims=3)))
    message = one(datatype, array.shape)
    getattr(message.inputs[0].contents, str(held.contents)).extend(array.ravel().tolist())
    read = of(datatype, *array.shape[1:]).read(arrived(message)).feeds["x"]
    assert read.dtype == held.dtype
    np.testing.assert_array_equal(read, array)


@given(st.lists(st.text(), min_size=1))
def test_every_text_comes_through_as_it_was(words: list[str]) -> None:
    array = np.array([*words, None], dtype=object)[:-1].reshape(-1, 1)
    assert raw_bytes(array, "BYTES") == texts(*words)
    message = one("BYTES", array.shape, texts(*words))
    assert of("BYTES", 1).read(arrived(message)).feeds["x"].tolist() == array.tolist()


def arrived(message: Any) -> Any:
    return ECHO.parse(message.SerializeToString())


def _no(mistake: Callable[[Any], object], make: Callable[..., Any] = raw) -> Any:
    message = make()
    mistake(message)
    return message


def _both(message: Any) -> None:
    message.inputs[0].contents.fp64_contents.append(1.5)


def _parameter(where: Callable[[Any], Any], name: str) -> Callable[[Any], None]:
    def mistake(message: Any) -> None:
        where(message).parameters[name].string_param = "x"

    return mistake


def _set(position: int, **told: Any) -> Callable[[Any], None]:
    def mistake(message: Any) -> None:
        tensor = message.inputs[position]
        for name, value in told.items():
            if name == "shape":
                del tensor.shape[:]
                tensor.shape.extend(value)
            else:
                setattr(tensor, name, value)

    return mistake


def _raw(position: int, data: bytes) -> Callable[[Any], None]:
    def mistake(message: Any) -> None:
        message.raw_input_contents[position] = data

    return mistake


MISTAKES = {
    "a name that the model does not know": (_no(_set(0, name="sise")), "no input 'sise'"),
    "a very long name": (_no(_set(0, name="n" * 5000)), "n" * 80 + "...'"),
    "an input twice": (_no(lambda it: it.inputs[1].CopyFrom(it.inputs[0])), "'size' is there twice"),
    "another datatype": (_no(_set(0, datatype="INT64")), "'size' must be FP64, not 'INT64'"),
    "no datatype": (_no(_set(0, datatype="")), "'size' must be FP64, not ''"),
    "no shape": (_no(_set(0, shape=[])), r"'size' must have the shape \[-1, 1\], .* not \[\]"),
    "another rank": (_no(_set(0, shape=[1])), r"not \[1\]"),
    "no rows": (_no(_set(0, shape=[0, 1])), r"at least 1, not \[0, 1\]"),
    "fewer than no rows": (_no(_set(0, shape=[-1, 1])), r"at least 1, not \[-1, 1\]"),
    "wider rows": (_no(_set(0, shape=[1, 2])), r"not \[1, 2\]"),
    "very many dimensions": (_no(_set(0, shape=[1] * 9999)), "one of 9999 dimensions"),
    "more rows than bytes": (_no(_set(0, shape=[2, 1])), "is 16 bytes long, but 8 came"),
    "more texts than bytes": (_no(_set(1, shape=[60_000, 1])), "'town' must be 60000 elements"),
    "a very long id": (_no(lambda it: setattr(it, "id", "i" * 257)), "id has 257 characters, and at most 256"),
    "a timeout in words": (_no(_parameter(lambda it: it, "timeout")), "whole number of microseconds"),
    "a timeout in the past": (
        _no(lambda it: setattr(it.parameters["timeout"], "int64_param", -1)),
        "whole number of microseconds",
    ),
    "fewer rows than bytes": (_no(_raw(0, b"0" * 9)), "is 8 bytes long, but 9 came"),
    "a text that ends early": (_no(_raw(1, b"\x05\0\0\0Kobe")), "'town' must be 1 elements"),
    "a length that ends early": (_no(_raw(1, b"\x05\0")), "'town' must be 1 elements"),
    "more after the texts": (_no(_raw(1, texts("Kobe", "Ube"))), "nothing after them"),
    "a text that is not UTF-8": (_no(_raw(1, b"\x01\0\0\0\xff")), "element 0 of 'town' is not UTF-8"),
    "both contents and raw contents": (_no(_both), "'size' has `contents` although"),
    "too few raw contents": (_no(lambda it: it.raw_input_contents.pop()), "there are 1 for 2 inputs"),
    "too many raw contents": (_no(lambda it: it.raw_input_contents.append(b"")), "there are 3 for 2 inputs"),
    "values in another list": (
        _no(lambda it: it.inputs[0].contents.fp32_contents.append(1), listed),
        "go into contents.fp64_contents, but there are some in contents.fp32_contents",
    ),
    "fewer values": (_no(lambda it: it.inputs[0].contents.ClearField("fp64_contents"), listed), "1 elements, but 0 ca"),
    "no contents at all": (_no(lambda it: it.ClearField("raw_input_contents")), "1 elements, but 0 came in contents"),
    "a listed text that is not UTF-8": (
        _no(lambda it: it.inputs[1].contents.bytes_contents.__setitem__(0, b"\xc3"), listed),
        "element 0 of 'town' is not UTF-8",
    ),
    "an output that the model does not give": (_no(lambda it: it.outputs.add(name="labels")), "no output 'labels'"),
    "an output twice": (
        _no(lambda it: [it.outputs.add(name="label"), it.outputs.add(name="label")]),
        "'label' is asked for twice",
    ),
    "shared memory": (_no(_parameter(lambda it: it.inputs[0], "shared_memory_region")), "shared memory are not read"),
    "shared memory for the answer": (
        _no(_parameter(lambda it: it.outputs.add(name="label"), "shared_memory_region")),
        "shared memory are not read",
    ),
    "classification": (
        _no(_parameter(lambda it: it.outputs.add(name="probabilities"), "classification")),
        "'probabilities' has the parameter 'classification'",
    ),
    "a sequence": (_no(_parameter(lambda it: it, "sequence_id")), "independent of each other"),
}


@pytest.mark.parametrize(("message", "said"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_with_the_name_what_came_and_what_is_allowed(message: Any, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said) as told:
        ECHO.read(arrived(message))
    assert len(str(told.value)) < 400


@pytest.mark.parametrize("rows", [65_537, 2**62])
def test_more_rows_than_are_taken_are_refused_before_anything_is_made_for_them(rows: int) -> None:
    message = _no(_set(0, shape=[rows, 1]))
    with pytest.raises(TooLarge, match=f"'size' has {rows} rows, and at most 65536 are taken at once"):
        ECHO.read(arrived(message))


def test_a_timeout_is_microseconds_and_none_where_it_is_nothing() -> None:
    message = raw()
    assert ECHO.read(message).timeout is None
    message.parameters["timeout"].int64_param = 250_000
    assert ECHO.read(message).timeout == 0.25
    message.parameters["timeout"].int64_param = 0
    assert ECHO.read(message).timeout is None


def test_half_floats_have_no_list_and_are_sent_raw() -> None:
    with pytest.raises(InvalidRequest, match="FP16, which has no list in `contents`: send raw_input_contents"):
        of("FP16", 1).read(one("FP16", [1, 1]))
    assert of("FP16", 1).read(one("FP16", [1, 1], b"\0\x3c")).feeds["x"].tolist() == [[1.0]]


def test_a_value_beyond_its_datatype_is_refused_and_not_wrapped() -> None:
    message = one("INT8", [1, 1])
    message.inputs[0].contents.int_contents.append(128)
    with pytest.raises(InvalidRequest, match="'x' is INT8, whose values are -128 to 127"):
        of("INT8", 1).read(message)


def test_any_byte_but_zero_is_true() -> None:
    read = of("BOOL", 3).read(one("BOOL", [1, 3], b"\0\1\2")).feeds["x"]
    assert read.tolist() == [[False, True, True]]
    assert read.view(np.uint8).tolist() == [[0, 1, 1]]


def test_a_reply_has_what_was_asked_for_in_that_order_and_is_raw() -> None:
    message = raw([1.0, 2.0], ["Ube", ""], id="7")
    message.outputs.add(name="probabilities")
    message.outputs.add(name="label")
    outputs = {
        "label": np.array(["Ube", "Łódź"], object),
        "probabilities": np.array([[1, 2], [3, 4]], np.float32),
    }
    reply = descriptors.ModelInferResponse.FromString(ECHO.reply(ECHO.read(message), outputs))
    assert (reply.model_name, reply.model_version, reply.id) == ("churn", "1", "7")
    told = [(one.name, one.datatype, list(one.shape)) for one in reply.outputs]
    assert told == [("probabilities", "FP32", [2, 2]), ("label", "BYTES", [2])]
    assert np.frombuffer(reply.raw_output_contents[0], "<f4").tolist() == [1, 2, 3, 4]
    assert labels(reply, 1) == ["Ube", "Łódź"]


@given(st.binary(max_size=64))
def test_any_bytes_are_a_message_or_a_mistake(data: bytes) -> None:
    with suppress(InvalidRequest):
        assert ECHO.read(ECHO.parse(data)).outputs


@pytest.mark.parametrize(
    "field", [b"\x2a\x00", b"\x3a\x00", b"\x32\x00", b"\x22\x00", b"\x2a\x02\x2a\x00", b"\x78\x00"]
)
def test_a_message_of_very_many_empty_fields_is_refused_before_they_are_made(field: bytes) -> None:
    data = field * 1_000_000
    tracemalloc.start()
    try:
        with pytest.raises(InvalidRequest, match="more than 70 fields"):
            ECHO.parse(data)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_a_model_of_many_inputs_takes_as_many_fields() -> None:
    codec = Codec(Takes([TensorInfo(f"c{index}", "FP64", (-1, 1)) for index in range(500)]), most_rows=1)
    message = descriptors.ModelInferRequest(model_name="churn")
    for index in range(500):
        message.inputs.add(name=f"c{index}", datatype="FP64", shape=[1, 1])
        message.raw_input_contents.append(np.float64(index).tobytes())
    feeds = codec.read(codec.parse(message.SerializeToString())).feeds
    assert [float(feeds[f"c{index}"][0, 0]) for index in range(500)] == list(range(500))


@pytest.mark.parametrize("data", [b"\x0b", b"\x80", b"\x0a\x05ab", b"\xff" * 12, b"\x0a\x01\xff", b"\x09\0"])
def test_bytes_that_are_no_message_are_told_so(data: bytes) -> None:
    with pytest.raises(InvalidRequest, match=r"cannot be read: send an inference\.ModelInferRequest"):
        ECHO.parse(data)
