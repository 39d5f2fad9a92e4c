"""Tensors that an ONNX model keeps in other files are found wherever a graph can have them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from headway_api.external_data import has_external_data

FLOATS = onnx.TensorProto.FLOAT


def _tensor(name: str, *, elsewhere: bool) -> onnx.TensorProto:
    tensor: onnx.TensorProto = numpy_helper.from_array(np.ones(3, np.float32), name)
    if elsewhere:
        onnx.external_data_helper.set_external_data(tensor, "../../secret")
        tensor.ClearField("raw_data")
    return tensor


def _constant(*, elsewhere: bool) -> onnx.NodeProto:
    node: onnx.NodeProto = helper.make_node("Constant", [], ["c"], value=_tensor("v", elsewhere=elsewhere))
    return node


def _graph(nodes: list[onnx.NodeProto], initializers: list[onnx.TensorProto] | None = None) -> onnx.GraphProto:
    output = helper.make_tensor_value_info("c", FLOATS, [3])
    graph: onnx.GraphProto = helper.make_graph(nodes, "g", [], [output], initializers or [])
    return graph


def _initializer(*, elsewhere: bool) -> onnx.ModelProto:
    return helper.make_model(_graph([], [_tensor("c", elsewhere=elsewhere)]))


def _attribute(*, elsewhere: bool) -> onnx.ModelProto:
    return helper.make_model(_graph([_constant(elsewhere=elsewhere)]))


def _subgraph(*, elsewhere: bool) -> onnx.ModelProto:
    branch = _graph([_constant(elsewhere=elsewhere)])
    node = helper.make_node("If", ["condition"], ["c"], then_branch=branch, else_branch=_graph([]))
    return helper.make_model(_graph([node]))


def _function(*, elsewhere: bool) -> onnx.ModelProto:
    model: onnx.ModelProto = helper.make_model(_graph([]))
    opsets = [helper.make_opsetid("", 20)]
    model.functions.append(helper.make_function("d", "f", [], ["c"], [_constant(elsewhere=elsewhere)], opsets))
    return model


def _sparse(*, elsewhere: bool) -> onnx.ModelProto:
    model: onnx.ModelProto = helper.make_model(_graph([]))
    indices = numpy_helper.from_array(np.arange(3), "i")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(_tensor("v", elsewhere=elsewhere), indices, [3]))
    return model


@pytest.mark.parametrize("make", [_initializer, _attribute, _subgraph, _function, _sparse])
def test_a_tensor_in_another_file_is_found_and_one_inside_is_none(make: Callable[..., onnx.ModelProto]) -> None:
    assert has_external_data(make(elsewhere=True).SerializeToString())
    inside = make(elsewhere=False)
    # The word that names such a file is that of many a column, too.
    inside.graph.node.append(helper.make_node("Identity", ["location"], ["other"]))
    assert not has_external_data(inside.SerializeToString())


@given(st.binary(max_size=200), st.integers(0, 400))
def test_bytes_that_are_no_model_are_refused_or_hold_no_such_tensor(noise: bytes, cut: int) -> None:
    model = _subgraph(elsewhere=True).SerializeToString()
    for data in (noise, b"location" + noise, model[:cut] + noise + model[cut:], model[:cut]):
        with suppress(ValueError):
            assert has_external_data(data) in (True, False)
