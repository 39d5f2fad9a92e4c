"""Which features are counted, and into which cells, for whatever clients send."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from headway_api.bundle import FileDigest, Input, Signature
from headway_api.drift_wire import BATCH_MAX_BYTES, MOST_WATCHED, Batch, FeatureCounts
from headway_api.training_rows import Numbers, Reference, Values
from headway_server.drift.counter import Counter
from headway_server.drift.plan import Plan, plan
from headway_server.drift.rows import MOST_ROWS, Taker, counted, size_of
from headway_server.model import Info, ServedModel
from headway_trainer.data.reference import _numbers as described
from served import ECHO_SIGNATURE

SIZE = Numbers(name="size", rows=110, missing=10, edges=[0.0, 1.0, 2.0], counts=[40, 60])
TOWN = Values(name="town", rows=110, missing=10, counts={"Kobe": 70, "Oslo": 30, "never": 0}, others=0)


def model(
    *features: Numbers | Values, inputs: list[Input] | None = None, kinds: dict[str, str] | None = None, **more: Any
) -> ServedModel:
    """A model that is not run: its inputs, and the reference of its training rows."""
    signature = Signature(
        inputs=ECHO_SIGNATURE.inputs if inputs is None else inputs, outputs=ECHO_SIGNATURE.outputs, **more
    )
    steps = [{"kind": kind, "inputs": [column]} for column, kind in (kinds or {}).items()]
    info = Info(
        files={"reference": FileDigest(name="reference.json", sha256="d" * 64, size_bytes=1)},
        signature=signature,
        data=json.loads(json.dumps({"transforms": {"transforms": steps}})),
    )
    reference = Reference(rows=110, seen=110, features=list(features), left_out=4, target=[])
    return ServedModel("churn", "1", digest="", info=info, signature=signature, session=None, reference=reference)


def planned(*features: Numbers | Values, **more: Any) -> Plan:
    found = plan(model(*features, **more))
    assert isinstance(found, Plan), found
    return found


def column(name: str, kind: Any = "double", shape: list[int] | None = None) -> Input:
    return Input(name=name, column=name, type=kind, shape=[1] if shape is None else shape, missing=None)


def feeds(size: list[float], town: list[str]) -> dict[str, npt.NDArray[Any]]:
    return {"size": np.array(size)[:, None], "town": np.array(town, dtype=object)[:, None]}


def counts(found: Plan, *several: dict[str, npt.NDArray[Any]]) -> list[FeatureCounts]:
    """Of all rows, as a server counts them."""
    taker, counter = Taker(found), Counter(found, lambda *_: None)
    for one in several:
        counter.offer(*taker.take(one, {}))
    counter.count_waiting()
    return counter.next()[1]


class TestWhatIsCounted:
    def test_numbers_by_bins_and_values_by_name_with_what_is_beside_them(self) -> None:
        found = planned(SIZE, TOWN)
        assert [one.model_dump() for one in found.reference.features] == [
            {"name": "size", "kind": "numbers", "prediction": False, "cells": [40, 60], "missing": 10},
            {"name": "town", "kind": "values", "prediction": False, "cells": [70, 30, 0], "missing": 10},
        ]
        assert found.reference.left_out == 4
        sent = feeds(
            [0.0, 0.99, 1.0, 2.0, 2.0001, -0.1, float("nan"), float("inf"), float("-inf")],
            ["Kobe", "Oslo", "Oslo", "kobe", "", "never", "Kobe" * 10**5, "\ud800", "Oslo\0"],
        )
        size, town = counts(found, sent)
        assert size == FeatureCounts(cells=[2, 2], missing=1, below=2, above=2)
        assert town == FeatureCounts(cells=[1, 2, 0], missing=1, unseen=5)

    def test_other_values_are_a_cell_where_training_rows_had_some(self) -> None:
        found = planned(TOWN.model_copy(update={"others": 5, "rows": 115}))
        (town,) = counts(found, feeds([1.0] * 3, ["Kobe", "elsewhere", ""]))
        assert (found.reference.features[0].cells, town) == ([70, 30, 5], FeatureCounts(cells=[1, 0, 1], missing=1))

    def test_long_values_are_known_by_what_the_reference_has_of_them(self) -> None:
        found = planned(Values(name="town", rows=2, missing=0, counts={"x" * 200: 2}, others=0))
        (town,) = counts(found, feeds([1.0] * 2, ["x" * 5000, "x" * 199]))
        assert town == FeatureCounts(cells=[1, 0], unseen=1)

    def test_booleans_are_counted_by_their_names(self) -> None:
        told = Values(name="member", rows=10, missing=0, counts={"true": 7, "false": 3}, others=0)
        found = planned(told, inputs=[column("member"), column("size")])
        sent = {"member": np.array([[1.0], [0.0], [1.0], [float("nan")], [0.5]]), "size": np.zeros((5, 1))}
        assert counts(found, sent) == [FeatureCounts(cells=[2, 1, 0], missing=1, unseen=1)]

    def test_a_value_that_only_others_had_in_training_is_unseen(self) -> None:
        told = Values(name="member", rows=10, missing=0, counts={"true": 10, "false": 0}, others=0)
        sent = {"member": np.array([[1.0], [0.0]]), "size": np.zeros((2, 1))}
        assert counts(planned(told, inputs=[column("member"), column("size")]), sent) == [
            FeatureCounts(cells=[1, 0], unseen=1)
        ]

    def test_the_numbers_of_vectors_and_of_arrays_are_features_each(self) -> None:
        three = [SIZE.model_copy(update={"name": f"v[{place}]"}) for place in range(3)]
        sent = {"size": np.zeros((2, 1)), "v": np.array([[0.5, 1.5, 9.0], [0.5, -1.0, 1.5]])}
        for found in (
            planned(*three, inputs=[column("size"), column("v", shape=[3])], kinds={"v": "vector"}),
            planned(*three, inputs=[column("v", "float", [3])]),
            planned(
                *[SIZE.model_copy(update={"name": name}) for name in ("a", "b", "c")], inputs=[column("v", shape=[3])]
            ),
        ):
            assert counts(found, sent) == [
                FeatureCounts(cells=[2, 0]),
                FeatureCounts(cells=[0, 1], below=1),
                FeatureCounts(cells=[0, 1], above=1),
            ]

    def test_a_column_that_is_always_the_same_is_counted_as_that(self) -> None:
        found = planned(Numbers(name="size", rows=5, missing=0, edges=[3.0, 3.0], counts=[5]))
        assert counts(found, feeds([3.0, 3.0, 2.9, 3.1], [""] * 4)) == [FeatureCounts(cells=[2], below=1, above=1)]

    @pytest.mark.parametrize(
        ("feature", "more"),
        [
            (TOWN, {"kinds": {"town": "text"}}),
            (TOWN, {"kinds": {"town": "tokens"}}),
            (SIZE, {"kinds": {"size": "time"}}),
            (SIZE, {"inputs": [column("other")] * 2}),
            (SIZE, {"inputs": [column("size", "string"), column("town", "string")]}),
            (SIZE.model_copy(update={"name": "x[0]"}), {"inputs": [column("x", "uint8", [1, 8, 8])]}),
            (SIZE.model_copy(update={"edges": [], "counts": []}), {}),
            (SIZE.model_copy(update={"edges": [0.0, float("inf"), 2.0]}), {}),
            (SIZE.model_copy(update={"edges": [0.0, 3.0, 2.0]}), {}),
            (SIZE.model_copy(update={"counts": [0, 0]}), {}),
            (SIZE.model_copy(update={"counts": [-1, 9]}), {}),
            (SIZE.model_copy(update={"edges": list(map(float, range(66))), "counts": [1] * 65}), {}),
            (TOWN.model_copy(update={"counts": {}}), {}),
            (TOWN.model_copy(update={"counts": {f"v{place}": 1 for place in range(64)}}), {}),
            (TOWN, {"inputs": [column("town"), column("size")]}),
        ],
    )  # fmt: skip
    def test_what_cannot_be_counted_is_left_out_and_nothing_is_guessed(
        self, feature: Any, more: dict[str, Any]
    ) -> None:
        told = plan(model(feature, **more))
        assert isinstance(told, str)
        assert "none can be counted" in told

    def test_a_feature_that_may_be_of_two_inputs_is_left_out(self) -> None:
        inputs = [column("size"), column("v", shape=[3]), column("v[0]")]
        three = [SIZE.model_copy(update={"name": f"v[{place}]"}) for place in range(3)]
        for order in (inputs, inputs[::-1]):
            found = planned(*three, *three[:1], inputs=order)
            assert [(one.told.name, one.input, one.place) for one in found.features] == [
                ("v[1]", "v", 1),
                ("v[2]", "v", 2),
            ]
            assert found.reference.left_out == 4 + 2

    def test_of_two_places_of_an_array_that_are_called_alike_the_first_is_counted_with_its_own_bins(self) -> None:
        other = SIZE.model_copy(update={"edges": [100.0, 101.0, 102.0]})
        found = planned(SIZE, other, inputs=[column("x", shape=[2])])
        assert counts(found, {"x": np.array([[0.5, 100.5]])}) == [FeatureCounts(cells=[1, 0])]

    def test_a_model_without_a_reference_or_of_a_series_says_so(self) -> None:
        bare = model(SIZE)
        bare.reference = None
        assert "no reference.json" in str(plan(bare))
        assert "forecasts" in str(plan(model(SIZE, history=24)))

    def test_of_two_features_that_are_called_alike_the_first_is_counted(self) -> None:
        found = planned(SIZE, TOWN, SIZE)
        assert [one.told.name for one in found.features] == ["size", "town"]
        assert found.reference.left_out == 5

    def test_no_more_features_are_counted_than_there_may_be_and_the_rest_are_said(self) -> None:
        many = [SIZE.model_copy(update={"name": f"v[{place}]"}) for place in range(400)]
        found = planned(*many, inputs=[column("size"), column("v", shape=[400])])
        assert (len(found.features), found.reference.left_out) == (MOST_WATCHED, 400 - MOST_WATCHED + 4)
        assert Taker(found).take({"v": np.zeros((5, 400)), "size": np.zeros((5, 1))}, {})[0]["v"].shape == (
            5,
            MOST_WATCHED,
        )

    def test_a_batch_and_a_reference_are_never_longer_than_may_be_sent(self) -> None:
        names = [f"{place:03}" + "\u4eba" * 197 for place in range(300)]
        values = {f"v{place}": 9_999_999 for place in range(50)}
        features = [Values(name=name, rows=10**9, missing=10**8, counts=values, others=10**8) for name in names]
        found = planned(*features, inputs=[column(name, "string") for name in names])
        assert 0 < len(found.features) < MOST_WATCHED
        told = Batch(uid="u" * 64, boot="b" * 32, version=1, digest="d" * 64, reference=found.reference)
        assert len(told.model_dump_json().encode()) <= BATCH_MAX_BYTES
        # As many rows as a batch may have: they are one value each.
        each = FeatureCounts(cells=[100_000 // 51] * 51)
        told = Batch(uid="u" * 64, boot="b" * 32, version=1, number=9, rows=100_000, counts=[each] * MOST_WATCHED)
        assert len(told.model_dump_json(exclude_defaults=True).encode()) <= BATCH_MAX_BYTES


class TestPrediction:
    said = Values(name="prediction", rows=100, missing=0, counts={"yes": 70, "no": 30, "rare": 0}, others=0)

    def planned(self, *features: Numbers | Values, said: Values | None = None) -> Plan:
        made = model(*features)
        assert made.reference is not None
        made.reference = made.reference.model_copy(update={"predictions": [said or self.said]})
        found = plan(made)
        assert isinstance(found, Plan)
        return found

    def test_labels_are_counted_and_one_that_no_test_row_had_is_rare_and_not_unseen(self) -> None:
        found = self.planned(SIZE)
        assert [(one.told.name, one.told.prediction, one.told.cells) for one in found.features] == [
            ("size", False, [40, 60]),
            ("prediction", True, [70, 30, 0]),
        ]
        assert found.reference.left_out == 4, "the prediction is none of the inputs"
        labels = {"label": np.array(["yes", "no", "yes", "rare"], dtype=object)}
        counter = Counter(found, lambda *_: None)
        counter.offer(*Taker(found).take(feeds([1.0] * 4, [""] * 4), labels))
        counter.count_waiting()
        assert counter.next()[1][1] == FeatureCounts(cells=[2, 1, 1])

    def test_it_is_counted_beside_inputs_that_are_called_as_it_or_as_its_output(self) -> None:
        made = model(
            *[SIZE.model_copy(update={"name": name}) for name in ("label", "prediction")],
            inputs=[column("label"), column("prediction")],
        )
        assert made.reference is not None
        made.reference = made.reference.model_copy(update={"predictions": [self.said]})
        found = plan(made)
        assert isinstance(found, Plan)
        assert [one.told.prediction for one in found.features] == [False, False], "each name stands once"

    @pytest.mark.parametrize("odd", [{"type": "float"}, {"shape": [2]}], ids=["numbers", "several a row"])
    def test_labels_that_are_no_text_a_row_are_not_counted_and_requests_are_answered(self, odd: dict[str, Any]) -> None:
        made = model(SIZE)
        assert made.reference is not None
        made.reference = made.reference.model_copy(update={"predictions": [self.said]})
        outputs = [one.model_copy(update=odd) if one.name == "label" else one for one in made.signature.outputs]
        made.signature = made.signature.model_copy(update={"outputs": outputs})
        found = plan(made)
        assert isinstance(found, Plan)
        assert [one.told.name for one in found.features] == ["size"]

    def test_a_reference_without_it_has_none(self) -> None:
        assert not any(one.told.prediction for one in planned(SIZE).features)


class TestRows:
    def test_of_a_large_request_rows_that_are_equally_far_apart_are_copied(self) -> None:
        found, rows = planned(SIZE), 65_536
        taken, count = Taker(found).take({"size": np.arange(float(rows))[:, None], "town": np.zeros((rows, 1))}, {})
        assert count == len(taken["size"]) <= MOST_ROWS
        assert count > MOST_ROWS // 2
        steps = np.diff(taken["size"][:, 0])
        assert set(steps.tolist()) == {steps[0]}
        assert size_of(taken) < 2000

    def test_nothing_of_a_request_is_kept(self) -> None:
        sent = feeds([1.0], ["a secret"])
        taken, _ = Taker(planned(SIZE, TOWN)).take(sent, {})
        assert not any(np.shares_memory(taken[name], sent[name]) for name in taken)
        assert all(array.dtype != object for array in taken.values())

    @given(
        size=arrays(np.float64, st.integers(1, 40), elements=st.floats(width=64)),
        town=st.lists(st.text(max_size=300), min_size=1, max_size=40),
    )
    def test_whatever_comes_each_row_is_counted_once_for_each_feature(
        self, size: npt.NDArray[np.float64], town: list[str]
    ) -> None:
        rows = min(len(size), len(town))
        sent = {"size": size[:rows, None], "town": np.array(town[:rows], dtype=object)[:, None]}
        for one in counts(planned(SIZE, TOWN), sent, sent):
            assert sum(one.cells) + one.missing + one.below + one.above + one.unseen == 2 * rows

    @given(
        values=arrays(np.float64, st.integers(1, 60), elements=st.sampled_from([0.0, 1.0, 2.0, 2.5, -3.0, 1e9])),
    )
    def test_training_rows_themselves_are_counted_as_the_trainer_has_counted_them(
        self, values: npt.NDArray[np.float64]
    ) -> None:
        told = described("size", values)
        found = planned(told)
        (size,) = counts(found, {"size": values[:, None], "town": np.zeros((len(values), 1))})
        assert size == FeatureCounts(cells=told.counts)

    @given(
        values=st.lists(
            st.one_of(st.integers(-30, 30).map(lambda tenths: tenths / 10), st.floats(-(2.0**100), 2.0**100, width=32)),
            min_size=1,
            max_size=40,
        ).map(lambda numbers: np.array(numbers, dtype=np.float32))
    )
    def test_numbers_that_were_stored_in_single_precision_are_counted_so_as_they_are_and_as_they_are_written(
        self, values: npt.NDArray[np.float32]
    ) -> None:
        """A column of Parquet is read as doubles; a client writes 0.1 for 0.100000001490116, or that."""
        told = described("size", values.astype(np.float64))
        written = np.array([float(str(value)) for value in values])
        for sent in (values.astype(np.float64), written):
            (size,) = counts(planned(told), {"size": sent[:, None], "town": np.zeros((len(sent), 1))})
            assert size == FeatureCounts(cells=told.counts)

    @pytest.mark.parametrize("numbers", [[0.0, 1.0, 2.0], [0.1, 0.2, 0.3], [0.5, 3e38], [0.5, 1e39], [7.0, 7.0]])
    def test_edges_of_other_numbers_are_as_they_are(self, numbers: list[float]) -> None:
        edges = described("size", np.array(numbers)).edges
        assert (edges[0], edges[-1]) == (min(numbers), max(numbers))

    def test_arrays_of_single_precision_are_counted_as_the_trainer_has_counted_them(self) -> None:
        values = np.random.default_rng(1).normal(size=(90, 1)).astype(np.float32)
        told = described("x[0]", values[:, 0])
        found = planned(told, inputs=[column("x", "float", [1])])
        assert counts(found, {"x": values}) == [FeatureCounts(cells=told.counts)]

    def test_counting_is_of_whole_numbers_that_add_up(self) -> None:
        found = planned(SIZE, TOWN)
        taken = [Taker(found).take(feeds([0.5], ["Kobe"]), {})[0] for _ in range(5)]
        assert [part.tolist() for part in counted(found, taken)] == [[5, 0, 0, 0, 0, 0], [5, 0, 0, 0, 0, 0, 0]]
