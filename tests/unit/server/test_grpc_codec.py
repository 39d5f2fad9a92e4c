"""Requests over gRPC become arrays of exactly what the model takes, or a sentence that says what is wrong with them."""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Callable, Sequence
from contextlib import suppress
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from garbled import garbled
from grpc_requests import labels, listed, raw, texts
from headway_server.errors import InvalidRequest, TooLarge
from headway_server.grpc import descriptors
from headway_server.grpc.codec import CONTENTS, Codec
from headway_server.model import DTYPES, ServedModel, TensorInfo
from headway_server.tensors import to_bytes


class Echo(ServedModel):
    """A model of whatever inputs and outputs, that is not run."""

    def __init__(self, inputs: Sequence[TensorInfo], outputs: Sequence[TensorInfo] = ()) -> None:
        self.name, self.version = "churn", "1"
        self.inputs, self.outputs = tuple(inputs), tuple(outputs)
        self.input_of = {one.name: one for one in inputs}
        self.output_of = {one.name: one for one in outputs}


ECHO = Codec(
    Echo(
        [TensorInfo("size", "FP64", (-1, 1)), TensorInfo("town", "BYTES", (-1, 1))],
        [TensorInfo("label", "BYTES", (-1,)), TensorInfo("probabilities", "FP32", (-1, 2))],
    ),
    most_rows=65_536,
)
NUMBERS = [name for name in DTYPES if name != "BYTES"]


def of(datatype: str, *shape: int) -> Codec:
    """The codec of a model with one input, x, whose rows have this shape."""
    return Codec(Echo([TensorInfo("x", datatype, (-1, *shape))]), most_rows=65_536)


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
    dtype = DTYPES[datatype]
    array = data.draw(arrays.arrays(dtype, arrays.array_shapes(min_dims=2, max_dims=3)))
    message = one(datatype, array.shape, to_bytes(array))
    read = of(datatype, *array.shape[1:]).read(arrived(message)).feeds["x"]
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, array)


@given(st.data())
def test_every_array_comes_through_the_list_of_its_datatype_as_it_was(data: st.DataObject) -> None:
    datatype = data.draw(st.sampled_from(NUMBERS))
    array = data.draw(arrays.arrays(DTYPES[datatype], arrays.array_shapes(min_dims=2, max_dims=3)))
    message = one(datatype, array.shape)
    getattr(message.inputs[0].contents, CONTENTS[datatype]).extend(array.ravel().tolist())
    read = of(datatype, *array.shape[1:]).read(arrived(message)).feeds["x"]
    assert read.dtype == DTYPES[datatype]
    np.testing.assert_array_equal(read, array)


@given(st.lists(st.text(), min_size=1))
def test_every_text_comes_through_as_it_was(words: list[str]) -> None:
    array = np.array([*words, None], dtype=object)[:-1].reshape(-1, 1)
    assert to_bytes(array) == texts(*words)
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
    "a name that the model does not know": (
        _no(_set(0, name="sise")),
        r"inputs[0].name: the model churn has no input 'sise'",
    ),
    "a very long name": (_no(_set(0, name="n" * 5000)), "no input 'nnnnnnnnnnn"),
    "an input twice": (_no(lambda it: it.inputs[1].CopyFrom(it.inputs[0])), "inputs[1].name: 'size' is there twice"),
    "an input too few": (
        _no(lambda it: [it.inputs.pop(), it.raw_input_contents.pop()]),
        "inputs: 'town' is missing",
    ),
    "another datatype": (_no(_set(0, datatype="INT64")), "inputs[0] ('size').datatype must be FP64, not 'INT64'"),
    "no datatype": (_no(_set(0, datatype="")), "inputs[0] ('size').datatype must be FP64, not ''"),
    "no shape": (_no(_set(0, shape=[])), "inputs[0] ('size').shape must be [-1, 1], -1 being the rows, not []"),
    "another rank": (_no(_set(0, shape=[1])), "not [1]"),
    "no rows": (
        _no(lambda it: [_set(0, shape=[0, 1])(it), _set(1, shape=[0, 1])(it), _raw(0, b"")(it), _raw(1, b"")(it)]),
        "inputs: there is no row",
    ),
    "fewer than no rows": (_no(_set(0, shape=[-1, 1])), "not [-1, 1]"),
    "other rows than the inputs before": (
        _no(lambda it: [_set(0, shape=[2, 1])(it), _raw(0, b"0" * 16)(it)]),
        "'town' has 1 rows, the inputs before it 2",
    ),
    "wider rows": (_no(_set(0, shape=[1, 2])), "not [1, 2]"),
    "very many dimensions": (_no(_set(0, shape=[1] * 9999)), "one of 9999 axes"),
    "more rows than bytes": (_no(_set(0, shape=[2, 1])), "('size') has 8 bytes, but FP64 of the shape [2, 1] are 16"),
    "more texts than bytes": (_no(_set(1, shape=[60_000, 1])), "('town'): its element 1 goes beyond the end"),
    "a very long id": (
        _no(lambda it: setattr(it, "id", "i" * 257)),
        "id must be text of at most 256 characters, not 257",
    ),
    "a timeout in words": (_no(_parameter(lambda it: it, "timeout")), "parameters.timeout must be a whole number"),
    "a timeout in the past": (
        _no(lambda it: setattr(it.parameters["timeout"], "int64_param", -1)),
        "parameters.timeout must be a whole number of microseconds",
    ),
    "fewer rows than bytes": (_no(_raw(0, b"0" * 9)), "has 9 bytes, but FP64 of the shape [1, 1] are 8"),
    "a text that ends early": (_no(_raw(1, b"\x05\0\0\0Kobe")), "its element 0 goes beyond the end of the tensor"),
    "a length that ends early": (_no(_raw(1, b"\x05\0")), "its element 0 goes beyond the end of the tensor"),
    "more after the texts": (_no(_raw(1, texts("Kobe", "Ube"))), "7 bytes are left after its 1 elements"),
    "a text that is not UTF-8": (_no(_raw(1, b"\x01\0\0\0\xff")), "its element 0 is no UTF-8"),
    "both contents and raw contents": (_no(_both), "inputs[0] ('size') has contents, and the request has raw_input"),
    "too few raw contents": (_no(lambda it: it.raw_input_contents.pop()), "there are 1 for 2 inputs"),
    "too many raw contents": (_no(lambda it: it.raw_input_contents.append(b"")), "there are 3 for 2 inputs"),
    "values in another list": (
        _no(lambda it: it.inputs[0].contents.fp32_contents.append(1), listed),
        "inputs[0] ('size').contents has fp32_contents, but the elements of FP64 are fp64_contents there",
    ),
    "fewer values": (
        _no(lambda it: it.inputs[0].contents.ClearField("fp64_contents"), listed),
        "contents.fp64_contents has 0 values, but its shape [1, 1] asks for 1",
    ),
    "no contents at all": (_no(lambda it: it.ClearField("raw_input_contents")), "fp64_contents has 0 values"),
    "a listed text that is not UTF-8": (
        _no(lambda it: it.inputs[1].contents.bytes_contents.__setitem__(0, b"\xc3"), listed),
        "inputs[1] ('town'): its element 0 is no UTF-8",
    ),
    "an output that the model does not give": (
        _no(lambda it: it.outputs.add(name="labels")),
        "outputs[0].name: the model churn has no output 'labels'",
    ),
    "an output twice": (
        _no(lambda it: [it.outputs.add(name="label"), it.outputs.add(name="label")]),
        "outputs[1].name: 'label' is there twice",
    ),
    "shared memory": (_no(_parameter(lambda it: it.inputs[0], "shared_memory_region")), "shared memory are not read"),
    "shared memory for the answer": (
        _no(_parameter(lambda it: it.outputs.add(name="label"), "shared_memory_region")),
        "outputs[0] has the parameter shared_memory_region: tensors in shared memory are not read",
    ),
    "classification": (
        _no(_parameter(lambda it: it.outputs.add(name="probabilities"), "classification")),
        "outputs[0] has the parameter classification",
    ),
    "a sequence": (_no(_parameter(lambda it: it, "sequence_id")), "independent of each other"),
}


@pytest.mark.parametrize(("message", "said"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_with_the_name_what_came_and_what_is_allowed(message: Any, said: str) -> None:
    with pytest.raises(InvalidRequest, match=re.escape(said)) as told:
        ECHO.read(arrived(message))
    assert len(str(told.value)) < 400


@pytest.mark.parametrize("rows", [65_537, 2**62])
def test_more_rows_than_are_taken_are_refused_before_anything_is_made_for_them(rows: int) -> None:
    message = _no(_set(0, shape=[rows, 1]))
    with pytest.raises(TooLarge, match=f"has {rows} rows, and at most 65536 are taken at once"):
        ECHO.read(arrived(message))


def test_a_timeout_is_microseconds_and_none_where_it_is_nothing() -> None:
    message = raw()
    assert ECHO.read(message).timeout is None
    message.parameters["timeout"].int64_param = 250_000
    assert ECHO.read(message).timeout == 0.25
    message.parameters["timeout"].int64_param = 0
    assert ECHO.read(message).timeout is None


@pytest.mark.parametrize("value", [256, 2**32 - 1])
def test_a_value_beyond_its_datatype_is_refused_and_not_wrapped(value: int) -> None:
    message = one("UINT8", [1, 1])
    message.inputs[0].contents.uint_contents.append(value)
    with pytest.raises(InvalidRequest, match="UINT8 are whole numbers from 0 to 255"):
        of("UINT8", 1).read(message)


def test_every_datatype_that_a_model_may_take_has_a_list() -> None:
    assert CONTENTS.keys() == DTYPES.keys()


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


def test_garbled_requests_are_read_or_told_what_is_wrong_with_them() -> None:
    draws, read = Random(1), 0  # noqa: S311 - no secret
    for _ in range(5000):
        with suppress(InvalidRequest, TooLarge):
            ECHO.read(ECHO.parse(garbled(draws)))
            read += 1
    assert 200 < read < 2500


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
    codec = Codec(Echo([TensorInfo(f"c{index}", "FP64", (-1, 1)) for index in range(500)]), most_rows=1)
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
