"""The driver's last word: what an exception means, and that it always fits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway_api import wire
from headway_api.status import Artifact, Cause, Progress, Result
from headway_trainer.errors import GateFailed, NotFound, StorageError, UserError
from headway_trainer.outcome import Broken, Interrupted, Lost, bounded_warnings, encode, judge, write


@pytest.mark.parametrize(
    ("error", "code", "cause"),
    [
        (UserError("x"), 64, "UserError"),
        (StorageError("x"), 74, "StorageError"),
        (NotFound("x"), 74, "StorageError"),
        (GateFailed("x"), 65, "GateFailed"),
        (Interrupted("x"), 143, None),
        (Lost("x", memory=False), 70, "NodeLost"),
        (Lost("x", memory=True), 70, "OutOfMemory"),
        (MemoryError(), 70, "OutOfMemory"),
        (Broken("x"), 70, "Internal"),
        (ValueError("x"), 70, "Internal"),
    ],
)
def test_each_end_has_its_cause_and_exit_code(error: Exception, code: int, cause: Cause | None) -> None:
    verdict = judge(error)
    assert (verdict.exit_code, verdict.cause) == (code, cause)
    assert verdict.message


def test_a_fault_inside_headway_is_told_in_one_line() -> None:
    assert judge(RuntimeError("first\nsecond")).message == "a fault inside Headway: RuntimeError: first"


BUNDLE = f"sha256:{'0' * 64}"
texts = st.text(max_size=6000)
numbers = st.dictionaries(st.text(max_size=120), st.text(max_size=60), max_size=60)


@given(
    message=texts,
    metrics=numbers,
    progress=numbers,
    uris=st.lists(texts, max_size=4),
    warnings=st.lists(texts, max_size=30),
)
def test_an_outcome_always_fits_and_can_be_read(
    message: str, metrics: dict[str, str], progress: dict[str, str], uris: list[str], warnings: list[str]
) -> None:
    artifacts = [Artifact(name="model", uri=uri, sha256="0" * 64, size_bytes=1) for uri in uris]
    outcome = wire.Outcome(
        attempt=1,
        outcome="Succeeded",
        message=message,
        progress=Progress(metrics=progress),
        result=Result(metrics=metrics, artifacts=artifacts),
        bundle=BUNDLE,
        warnings=warnings,
    )
    data = encode(outcome)
    assert len(data) <= wire.OUTCOME_MAX_BYTES
    read = wire.Outcome.model_validate_json(data)
    assert (read.attempt, read.outcome, read.bundle) == (1, "Succeeded", BUNDLE), "servers go by it"
    if len(outcome.model_dump_json(exclude_none=True).encode()) <= wire.OUTCOME_MAX_BYTES:
        assert read == outcome


def test_the_message_outlives_metrics_and_is_cut_at_its_end() -> None:
    outcome = wire.Outcome(
        attempt=1,
        outcome="Failed",
        cause="UserError",
        message="the reason " + "x" * 9000,
        progress=Progress(metrics={f"m{index}": "1" for index in range(100)}),
    )
    read = wire.Outcome.model_validate_json(encode(outcome))
    assert read.message.startswith("the reason xxx")
    assert read.message.endswith("…")
    assert len(read.message) > 3000
    assert read.cause == "UserError"


def test_warnings_make_room_for_the_result_and_the_newest_stay() -> None:
    outcome = wire.Outcome(
        attempt=1,
        outcome="Succeeded",
        message="stored",
        result=Result(metrics={f"test/m{index}": "0.5" for index in range(100)}),
        warnings=[f"{index} {'w' * 400}" for index in range(20)],
    )
    read = wire.Outcome.model_validate_json(encode(outcome))
    assert read.message == "stored"
    assert read.result == outcome.result
    assert 0 < len(read.warnings) < 20
    assert read.warnings[-1] == outcome.warnings[-1]


@given(st.lists(texts, max_size=40))
def test_warnings_have_a_bound_together_and_each(warnings: list[str]) -> None:
    kept = bounded_warnings(warnings)
    assert len(json.dumps(kept, ensure_ascii=False).encode()) <= 17_000
    assert all(len(text) <= 512 for text in kept)
    if len(warnings) <= 20 and sum(len(json.dumps(text, ensure_ascii=False).encode()) + 2 for text in warnings) < 9000:
        assert [text[:500] for text in kept] == [text[:500] for text in warnings]


def test_it_is_written_where_kubernetes_looks(tmp_path: Path) -> None:
    path = tmp_path / "termination-log"
    write(wire.Outcome(uid="u", attempt=3, outcome="Interrupted"), str(path))
    assert json.loads(path.read_text()) == {
        "uid": "u",
        "attempt": 3,
        "outcome": "Interrupted",
        "message": "",
        "progress": {"stage": "Preparing", "metrics": {}},
        "warnings": [],
    }
