"""The log of events: what was appended is read, in order, by whoever comes after."""

from __future__ import annotations

from pathlib import Path

import pytest

from headway_trainer import event_log
from headway_trainer.errors import StorageError, UserError
from headway_trainer.storage import Store
from headway_trainer.tuning.events import Asked, Ended, Event, Reported, Used
from headway_trainer.tuning.log import EventLog

EVENTS: list[Event] = [
    Asked(trial=1, parameters={"training.optimizer.lr": 0.1 + 0.2, "model.layers": [8, 4], "model.bias": True}),
    Reported(trial=1, epoch=1, value=None, goes_on=True, at=1.5),
    Reported(trial=1, epoch=3, value=1e-300, goes_on=False, at=2.5),
    Ended(trial=1, state="failed", cause="UserError", message="läuft nicht\nweiter", epochs=3),
]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path))


def segments(store: Store) -> list[str]:
    return store.list("tuning")


def test_what_is_appended_is_read_by_the_next_attempt(store: Store) -> None:
    first = EventLog(store, 1)
    assert first.read() == []
    for count, event in enumerate(EVENTS, 1):
        first.append(event)
        assert EventLog(store, 2).read() == EVENTS[:count]
    assert segments(store) == ["events-0001-000001.jsonl"]


def test_events_of_one_write_are_all_there(store: Store) -> None:
    first = EventLog(store, 1)
    first.append(Used(gpu_seconds=1.5, at=2.0), EVENTS[0])
    first.append(*EVENTS[1:3])
    assert EventLog(store, 2).read() == [Used(gpu_seconds=1.5, at=2.0), *EVENTS[:3]]
    assert segments(store) == ["events-0001-000001.jsonl"]


def test_a_full_segment_is_left_alone_and_another_one_begins(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_log, "SEGMENT_BYTES", 300)
    first = EventLog(store, 1)
    for event in EVENTS * 5:
        first.append(event)
    assert len(segments(store)) > 3
    assert max(store.size(f"tuning/{name}") for name in segments(store)) < 600
    assert EventLog(store, 1).read() == EVENTS * 5


def test_attempts_write_segments_of_their_own(store: Store) -> None:
    for attempt in (1, 2, 10):
        one = EventLog(store, attempt)
        one.read()
        for event in EVENTS:
            one.append(event)
    assert segments(store) == ["events-0001-000001.jsonl", "events-0002-000001.jsonl", "events-0010-000001.jsonl"]
    assert EventLog(store, 11).read() == EVENTS * 3


def test_an_attempt_that_begins_again_goes_on_in_a_new_segment(store: Store) -> None:
    for event in EVENTS[:2]:
        one = EventLog(store, 1)
        one.read()
        one.append(event)
    assert EventLog(store, 2).read() == EVENTS[:2]


def test_what_an_attempt_adds_after_the_next_one_has_read_is_left_out(store: Store) -> None:
    old, new = EventLog(store, 1), EventLog(store, 2)
    old.append(EVENTS[0])
    assert new.read() == EVENTS[:1]
    old.append(EVENTS[1])
    new.append(EVENTS[2])
    assert EventLog(store, 3).read() == [EVENTS[0], EVENTS[2]]


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("events-0001-000001.jsonl", "", "its last line has no end"),
        ("events-0001-000001.jsonl", '{"after": 0}\n{"do": "en', "its last line has no end"),
        ("events-0001-000001.jsonl", '{"do": "ask"}\n', "its first line is no header"),
        ("events-0001-000001.jsonl", '{"after": 0}\n{"do": "dance"}\n', "its line 2 is no event of a study"),
        ("events-0001-000001.jsonl", '{"after": 0}\n\xff\n', "its line 2 is no event of a study"),
        (
            "events-0001-000001.jsonl",
            '{"version": 2, "after": 0}\n',
            "it is of version 2, which this version of headway cannot read",
        ),
        ("events-0001-000002.jsonl", '{"after": 4}\n', "it follows 4 events, and there are 0 before it"),
        ("events.jsonl", "", "it is no segment of the log"),
    ],
)
def test_a_damaged_or_foreign_segment_is_one_sentence(store: Store, name: str, text: str, why: str) -> None:
    store.write(f"tuning/{name}", text.encode("latin-1"))
    with pytest.raises(UserError) as error:
        EventLog(store, 2).read()
    assert str(error.value) == (
        f"{store.uri}/tuning/{name}: {why}: the log of the trials is damaged; put the file back, or begin a new job"
    )


def test_an_event_that_could_not_be_written_is_not_there(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    one = EventLog(store, 1)
    one.append(EVENTS[0])
    with monkeypatch.context() as broken:
        broken.setattr(Store, "write", _away)
        with pytest.raises(StorageError):
            one.append(EVENTS[1])
    one.append(EVENTS[2])
    assert EventLog(store, 2).read() == [EVENTS[0], EVENTS[2]]


def _away(*_: object) -> None:
    raise StorageError("the storage is away")
