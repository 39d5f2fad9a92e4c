"""Which features of a model are counted, and into which cells: what its reference.json and its signature tell. Pure."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from headway_api.bundle import LABEL, Input
from headway_api.drift_wire import BATCH_MAX_BYTES, MOST_CELLS, MOST_WATCHED, WatchedFeature, WatchedReference
from headway_api.training_rows import MAX_TEXT, Numbers, Reference, Values
from headway_server.model import ServedModel
from headway_server.transforms import transforms_of

_UNCOUNTED = frozenset({"text", "tokens", "time"})
"""Kinds of columns: of texts only the words are described, which are no parts of a whole; times always move on."""
_IMAGE_AXES = 3
_MOST_REFERENCE_BYTES = BATCH_MAX_BYTES // 2
"""Of the features as JSON: what is beyond it is left out."""
_BOOLEANS = {"true": 1.0, "false": 0.0}


@dataclass(frozen=True)
class Counted:
    """A feature that is counted: into its cells, then what is missing, below, above and unseen."""

    told: WatchedFeature
    """As the judge is told of it."""
    input: str
    """The model's input; of the prediction, its output."""
    place: int
    """Of a row's numbers of that input, which."""
    edges: npt.NDArray[np.float64] | None = None
    """Of numbers, the cells' bounds."""
    codes: Mapping[str, int] = field(default_factory=dict)
    """Of texts, the cell of each value, cut as the reference's are."""
    booleans: Mapping[float, int] = field(default_factory=dict)
    """Of numbers that are 0 or 1, the cell of each."""
    others: int | None = None
    """The cell of all other values; None where no training row has any, so that they are unseen."""

    @property
    def width(self) -> int:
        """Cells, and the four beside them."""
        return len(self.told.cells) + 4


@dataclass(frozen=True)
class Plan:
    """What is counted of a model."""

    features: tuple[Counted, ...]
    reference: WatchedReference
    """As the judge is told of it."""


def plan(model: ServedModel) -> Plan | str:
    """What can be counted; or why nothing can, in a sentence."""
    reference = model.reference
    if reference is None:
        return (
            "the model has no reference.json, which tells of its training rows: train it with this version of Headway"
        )
    if model.signature.history is not None:
        return "the model forecasts: its rows are overlapping parts of a series, which cannot be counted one by one"
    room, found, names = _MOST_REFERENCE_BYTES, [], set[str]()
    features = itertools.islice(_counted(model, reference), MOST_WATCHED)
    for one in itertools.chain(features, _prediction(model, reference)):
        room -= len(one.told.model_dump_json().encode()) + 1
        if room < 0:
            break
        if one.told.name not in names:
            names.add(one.told.name)
            found.append(one)
    if not found:
        return "of the model's inputs none can be counted: only numbers, categories and booleans that rows had are"
    inputs = sum(not one.told.prediction for one in found)
    left_out = len(reference.features) + reference.left_out - inputs
    return Plan(tuple(found), WatchedReference(features=[one.told for one in found], left_out=left_out))


def _counted(model: ServedModel, reference: Reference) -> Iterator[Counted]:
    places = _places(model, reference)
    kinds, _ = transforms_of(model.info.data)
    for told in reference.features:
        found = places.get(told.name)
        if found is None or kinds.get(found[0].column) in _UNCOUNTED or len(found[0].shape) >= _IMAGE_AXES:
            continue
        of, place = found
        one = _numbers(told, of, place) if isinstance(told, Numbers) else _values(told, of, place)
        if one is not None:
            yield one


def _prediction(model: ServedModel, reference: Reference) -> Iterator[Counted]:
    """The model's label, where it is known how often it gives which."""
    texts = [one for one in model.signature.outputs if one.type == "string" and math.prod(one.shape) == 1]
    for told in reference.predictions[:1]:
        if isinstance(told, Values) and any(one.name == LABEL for one in texts):
            named = {value[:MAX_TEXT]: count for value, count in told.counts.items() if count > 0}
            if not named or len(named) >= MOST_CELLS:
                continue
            # A class that was predicted for no test row is none that is unseen: it is rare.
            cells = [*named.values(), max(0, told.others)]
            feature = WatchedFeature(name=told.name, kind="values", prediction=True, cells=cells)
            codes = {value: cell for cell, value in enumerate(named)}
            yield Counted(feature, LABEL, 0, codes=codes, others=len(named))


def _places(model: ServedModel, reference: Reference) -> dict[str, tuple[Input, int]]:
    """The input of each feature, and which of its numbers it is, as far as a signature and names tell."""
    inputs, names = model.signature.inputs, [one.name for one in reference.features]
    if len(inputs) == 1 and inputs[0].column not in names and len(names) <= math.prod(inputs[0].shape):
        # An array: its features have names of their own, in the order of its places. Of two that are called alike the
        # first is meant, as of the features.
        return {name: (inputs[0], place) for place, name in reversed(list(enumerate(names)))}
    known = frozenset(names)
    found: dict[str, tuple[Input, int]] = {}
    twice = set[str]()

    def claim(name: str, one: Input, place: int) -> None:
        if name in known:
            if name in found:
                twice.add(name)
            found[name] = (one, place)

    for one in inputs:
        size = math.prod(one.shape)
        if size == 1:
            claim(one.column, one, 0)
        for place in range(min(size, len(names))):
            claim(f"{one.column}[{place}]", one, place)
    # The first number of a list `v`, or a column that is called "v[0]": nobody can tell.
    return {name: place for name, place in found.items() if name not in twice}


def _numbers(told: Numbers, of: Input, place: int) -> Counted | None:
    """None for a histogram that is none."""
    edges, counts = np.array(told.edges, dtype=np.float64), told.counts
    sound = len(edges) == len(counts) + 1 and 0 < len(counts) <= MOST_CELLS and min(counts) >= 0 < sum(counts)
    if of.type == "string" or not sound or not np.isfinite(edges).all() or (np.diff(edges) < 0).any():
        return None
    feature = WatchedFeature(name=told.name, kind="numbers", cells=counts, missing=max(0, told.missing))
    return Counted(feature, of.name, place, edges=edges)


def _values(told: Values, of: Input, place: int) -> Counted | None:
    """None where nothing is known, or where the input's type is another."""
    named = {value[:MAX_TEXT]: count for value, count in told.counts.items() if count > 0}
    numeric = of.type != "string"
    other_type = not named.keys() <= _BOOLEANS.keys() if numeric else math.prod(of.shape) != 1
    if not named or len(named) >= MOST_CELLS or other_type:
        return None
    cells = [*named.values(), max(0, told.others)]
    codes = {value: cell for cell, value in enumerate(named)}
    return Counted(
        WatchedFeature(name=told.name, kind="values", cells=cells, missing=max(0, told.missing)),
        of.name,
        place,
        codes={} if numeric else codes,
        booleans={_BOOLEANS[value]: cell for value, cell in codes.items()} if numeric else {},
        others=len(named) if told.others > 0 else None,
    )
