"""Whatever servers send and operators ask for, in any order and over restarts, the judge has an answer and a word."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from headway_api import drift_wire as wire
from headway_api import rollout_wire
from headway_server.judge.drift.drifts import Drifts
from headway_server.judge.drift.windows import CountsError
from headway_server.judge.metrics import Metrics
from headway_server.judge.rollout import Judge
from rollouts import UID

NUMBERS = st.one_of(st.integers(0, 60), st.integers(-(2**70), 2**70))
NAMES = st.one_of(st.sampled_from(["age", "town"]), st.text(max_size=250))
CELLS = st.one_of(st.just([50, 50]), st.just([0, 100]), st.lists(NUMBERS, max_size=70))
FEATURES = st.fixed_dictionaries(
    {"name": NAMES, "kind": st.sampled_from(["numbers", "values"]), "cells": CELLS, "missing": NUMBERS}
)
GOOD = [
    {"name": "age", "kind": "numbers", "cells": [5000, 5000]},
    {"name": "town", "kind": "values", "cells": [9000, 1000]},
]
COUNTS = st.fixed_dictionaries(
    {"cells": CELLS}, optional=dict.fromkeys(("missing", "below", "above", "unseen"), NUMBERS)
)
GOOD_DIGEST = wire.WatchedReference.model_validate({"features": GOOD}).digest
MOVED = [{"cells": [100, 0]}, {"cells": [0, 100]}]
BATCHES = st.fixed_dictionaries(
    {"uid": st.just(UID), "boot": st.sampled_from(["a", "b"]), "version": st.sampled_from([1, 1, 1, 2])},
    optional={
        "number": st.one_of(st.integers(0, 9), NUMBERS),
        "judge": st.sampled_from(["judge", "judge", "judge", "another"]),
        "digest": st.sampled_from([GOOD_DIGEST, GOOD_DIGEST, "e"]),
        "rows": st.one_of(st.just(100), st.integers(-1, 100_001)),
        "counts": st.one_of(st.just(MOVED), st.lists(COUNTS, max_size=3)),
        "reference": st.one_of(
            st.just({"features": GOOD}), st.fixed_dictionaries({"features": st.lists(FEATURES, max_size=3)})
        ),
        "unavailable": st.text(max_size=700),
    },
)
WATCHES = st.one_of(
    st.fixed_dictionaries(
        {
            "uid": st.just(UID),
            "version": st.sampled_from([0, 1, 1, 2]),
            "sample": st.just(1.0),
            "rows": st.sampled_from([1, 100, 300]),
        },
        optional={
            "of": st.integers(1, 10),
            "need": st.integers(1, 10),
            "seconds": st.integers(0, 3),
            "alpha": st.just(0.2),
        },
    ),
    st.none(),
)
STEPS = st.lists(
    st.one_of(BATCHES, BATCHES, BATCHES, WATCHES.map(lambda told: {"watch": told}), st.just("restart")), max_size=40
)


@settings(deadline=None)
@given(steps=STEPS)
def test_any_course_leaves_a_word_that_can_be_read_and_is_bounded(steps: list[Any]) -> None:
    route = rollout_wire.Route(uid=UID).model_dump_json()
    data = {
        rollout_wire.KEY_ROUTE: route,
        wire.KEY_WATCH: wire.Watch(uid=UID, version=1, sample=1.0, rows=100).model_dump_json(),
    }
    judge, metrics, beat = Judge("pod", drifts=Drifts(lambda: 1e9, lambda: "judge")), Metrics(), 0
    judge.read(data, 0.0)
    for now, step in enumerate(steps):
        if step == "restart":
            judge = Judge("pod", drifts=Drifts(lambda: 1e9, lambda: "judge"))
        elif "watch" in step:
            data.pop(wire.KEY_WATCH, None)
            if step["watch"] is not None:
                data[wire.KEY_WATCH] = wire.Watch.model_validate(step["watch"]).model_dump_json()
        else:
            try:
                batch = wire.Batch.model_validate(step)
                reply = wire.BatchReply.model_validate_json(judge.take_batch(batch, float(now)))
                assert reply.taken >= 0
            except (ValidationError, CountsError):
                continue
        judge.read(data, float(now))
        due = judge.due(float(now))
        metrics.tell_drift(judge.drifts.word())
        assert metrics.text()
        if wire.KEY_DRIFT in due:
            text = due[wire.KEY_DRIFT]
            assert len(text.encode()) <= wire.DRIFT_MAX_BYTES
            word = wire.DriftWord.model_validate_json(text)
            assert word.beat > beat
            assert len({one.name for one in word.features}) == len(word.features)
            if now % 3:  # else the write fails
                beat = word.beat
                data |= due
                judge.wrote(float(now))
