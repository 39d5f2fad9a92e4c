"""The curve in `headway status JOB`: where it comes from, how it is drawn, and what it costs where nobody asked."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from fake_kubectl import FakeKubectl, listed, recorded
from hasty_clock import Hasty
from headway_cli.cluster import histories, sparks
from headway_cli.cluster.errors import ClusterError
from headway_cli.cluster.kubectl import Kubectl, Target
from headway_cli.cluster.samples import MOST_NAME, MOST_VALUE, Samples, drawable
from headway_cli.cluster.sparks import BLOCKS, MOST_SIGNS, PLAIN, evenly, spark
from headway_cli.main import main
from headway_cli.verbs import curve, screen, shared
from headway_cli.verbs import status as verb

NUMBERS = st.none() | st.floats(-MOST_VALUE, MOST_VALUE)


@given(st.lists(NUMBERS, max_size=60))
def test_a_greater_value_never_has_a_lower_sign(values: list[float | None]) -> None:
    drawn = spark(values, BLOCKS)
    assert len(drawn) == len(values)
    there = sorted((value, BLOCKS.index(sign)) for value, sign in zip(values, drawn, strict=True) if value is not None)
    assert [place for _, place in there] == sorted(place for _, place in there)
    assert all(sign == " " for value, sign in zip(values, drawn, strict=True) if value is None)


@pytest.mark.parametrize(
    ("values", "blocks", "plain"),
    [
        ([0, 1, 2, 3, 4, 5, 6, 7], BLOCKS, PLAIN),
        ([3.0, None, 1.0, float("nan")], "█ ▁ ", "# _ "),
        ([2.0, 2.0], "▄▄", "--".replace("-", PLAIN[3])),
        ([], "", ""),
    ],
)
def test_signs_go_from_the_least_to_the_greatest(values: list[float | None], blocks: str, plain: str) -> None:
    assert (spark(values, BLOCKS), spark(values, PLAIN)) == (blocks, plain)


@given(st.integers(1, 3000))
def test_of_a_long_history_so_many_points_are_drawn_with_the_first_and_the_newest(count: int) -> None:
    points = [(float(step), float(step)) for step in range(count)]
    kept = evenly(points, MOST_SIGNS)
    assert len(kept) == min(count, MOST_SIGNS)
    assert (kept[0], kept[-1]) == (points[0], points[-1])
    assert len(sparks.line("loss", points, plain=True)) < 120


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1e301, 10**400, None])
def test_a_number_without_a_place_is_none(value: float | None) -> None:
    assert drawable(value) is None


def test_what_a_status_tells_is_seen_once_for_each_step() -> None:
    seen = Samples()
    found = job()
    for _ in range(3):
        seen.see(found)
    assert seen.of(found["metadata"]["uid"])["train/loss"] == [(7410.0, 0.231)]


def job(**changes: Any) -> dict[str, Any]:
    """A running job with a volume."""
    made = copy.deepcopy(recorded("running"))
    made["metadata"]["name"] = "churn"
    progress = {"percent": 38, "step": 7410, "metrics": {"train/loss": "0.231", "validation/f1": "0.912"}}
    made["status"] |= {"phase": "Running", "progress": progress, **changes}
    return made


@pytest.fixture
def stored(kubectl: FakeKubectl, tmp_path: Path) -> FakeKubectl:
    """A job with a checkpoint, in a volume that its pod reads."""
    at = tmp_path / "run/checkpoints/step-300"
    at.mkdir(parents=True)
    losses = [0.9, 0.5, 0.3]
    epochs = [
        {"step": 100 * (place + 1), "train": {"loss": loss}, "validation": {"f1": 1 - loss}}
        for place, loss in enumerate(losses)
    ]
    (at / "state.json").write_text(json.dumps({"history": epochs}))
    found = job(checkpoint={"uri": str(at), "step": 300, "time": "2026-11-29T18:00:00Z"})
    found["status"]["attempts"][-1] |= {"logs": f"{tmp_path}/run/logs/attempt-1", "runningTime": "2026-11-29T18:00:00Z"}
    kubectl.says(listed(found), "get", "/churn")
    kubectl.says(listed(), "get", "pods")
    kubectl.runs("exec")
    return kubectl


def call(*words: str) -> Result:
    """Run the command."""
    return CliRunner().invoke(main, ["status", *words])


def the_curve(done: Result) -> str:
    """The line of it, without its name."""
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("curve ")]
    return line.removeprefix("curve").strip()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--curve"], "train/loss  #-+_  0.9 to 0.231, at step 7,410"),
        (["--curve", "validation/f1"], "validation/f1  _=.#  0.1 to 0.912, at step 7,410"),
    ],
)
def test_a_curve_is_read_from_the_storage_where_it_is_asked_for(
    stored: FakeKubectl, words: list[str], told: str
) -> None:
    del stored
    name, _, ends = told.split("  ")
    done = the_curve(call("churn", *words)).split("  ")
    assert (done[0], done[2]) == (name, ends)
    assert len(done[1]) == 4
    assert set(done[1]) <= set(PLAIN)
    assert {done[1][0], done[1][-1]} == {PLAIN[0], PLAIN[-1]}


def test_without_being_asked_for_nothing_is_read_and_a_file_has_no_curve(stored: FakeKubectl) -> None:
    assert "curve" not in call("churn").stdout
    assert stored.calls("exec") == []


def test_points_inside_epochs_are_of_the_curve_also_before_the_first_checkpoint(
    kubectl: FakeKubectl, tmp_path: Path
) -> None:
    record = tmp_path / "run/tracking"
    record.mkdir(parents=True)
    points = [
        {"do": "point", "scope": "", "step": 10 * place, "values": {"step/loss": loss}}
        for place, loss in enumerate([0.9, 0.5, 1e308, 0.1], 1)
    ]
    lines = [{"after": 0}, *points]
    (record / "events-00001-00000.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    found = job(progress={"step": 40, "percent": 1})
    found["status"].pop("checkpoint", None)
    found["status"]["attempts"][-1] |= {"logs": f"{tmp_path}/run/logs/attempt-1", "runningTime": "2026-11-29T18:00:00Z"}
    kubectl.says(listed(found), "get", "/churn")
    kubectl.says(listed(), "get", "pods")
    kubectl.runs("exec")
    assert the_curve(call("churn", "--curve")) == "step/loss  #+ _  0.9 to 0.1, at step 40"


def test_a_metric_that_has_no_curve_is_told_with_those_that_have_one(stored: FakeKubectl) -> None:
    del stored
    done = call("churn", "--curve", "test/auc\x1b[2J")
    assert "There is no curve of test/auc\\u001b[2J, but of train/loss, validation/f1." in done.stderr
    assert done.exit_code == 0
    assert "curve" not in done.stdout


def test_a_storage_that_cannot_be_read_is_told_and_the_rest_is_there(kubectl: FakeKubectl) -> None:
    kubectl.says(listed(job(checkpoint={"uri": "/mnt/elsewhere", "step": 1})), "get", "/churn")
    kubectl.says(listed(), "get", "pods")
    done = call("churn", "--curve")
    assert "The curve cannot be read: " in done.stderr
    assert "metrics" in done.stdout
    assert done.exit_code == 0


@pytest.mark.parametrize("words", [["--curve="], ["churn", "-o", "json", "--curve"]])
def test_a_curve_is_of_one_job_and_for_people(kubectl: FakeKubectl, words: list[str]) -> None:
    del kubectl
    done = call(*words)
    assert done.exit_code == 2
    assert "give the job's NAME first" in done.stderr


def test_a_watch_on_a_terminal_draws_what_it_has_seen(kubectl: FakeKubectl, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = ("0.9", "0.5", "nan", "0.1")
    for place, loss in enumerate(losses):
        found = job(progress={"step": 100 + place, "percent": 1, "metrics": {"train/loss": loss}})
        kubectl.says(listed(found), "get", "/churn")
    ended = job(phase="Succeeded", progress={"step": 104, "metrics": {"train/loss": "0.1"}})
    kubectl.says(listed(ended), "get", "/churn")
    kubectl.says(listed(), "get", "pods")
    monkeypatch.setattr(verb, "CLOCK", Hasty())
    for module in (verb, shared, curve):
        monkeypatch.setattr(module, "is_terminal", lambda: True)
    for module in (shared, screen):
        monkeypatch.setattr(module, "width", lambda: 100)
    monkeypatch.setattr(screen, "height", lambda: 40)
    done = call("churn", "-w")
    curves = [line.split(None, 1)[1] for line in done.stdout.splitlines() if line.startswith("curve ")]
    assert curves[0] == "train/loss  █▁  0.9 to 0.5, at step 101"
    assert curves[-1] == "train/loss  █▅ ▁▁  0.9 to 0.1, at step 104"
    assert kubectl.calls("exec") == []


@pytest.mark.parametrize(
    ("terminal", "encoding", "plain"),
    [(True, "UTF-8", False), (True, "ascii", True), (True, "ANSI_X3.4-1968", True), (False, "utf-8", True)],
)
def test_blocks_are_for_terminals_that_have_them(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, encoding: str, plain: bool
) -> None:
    monkeypatch.setattr(curve, "is_terminal", lambda: terminal)
    monkeypatch.setattr("sys.stdout", type("Out", (), {"encoding": encoding})())
    assert curve._is_plain() is plain


def test_metrics_whose_long_names_begin_alike_are_two_curves() -> None:
    names = ["m" * 150 + end for end in "ab"]
    history = [{"step": step, "train": {names[0]: 1.0 * step, names[1]: -1.0 * step}} for step in (1, 2)]
    series = histories.series_of(history)
    assert sorted(series.values()) == [[(1, -1.0), (2, -2.0)], [(1, 1.0), (2, 2.0)]]
    assert {len(name) for name in series} == {MOST_NAME}
    seen = Samples()
    seen.add("u", 3, {f"train/{name}": 7.0 for name in names})
    assert set(seen.of("u")) == set(series), "by the same names, wherever they come from"
    assert sparks.chosen(series, f"train/{names[0]}") in series
    assert Samples().of("u") == {}
    seen.add("v", 1, {"\ud800" * 200: 1.0})
    assert len(seen.of("v")) == 1


def test_that_points_inside_epochs_cannot_be_read_is_told_beside_what_can(stored: FakeKubectl, tmp_path: Path) -> None:
    del stored
    (tmp_path / "run/tracking").mkdir()
    (tmp_path / "run/tracking/events-0001-000001.jsonl").write_text('{"version": 9, "after": 0}\n')
    done = call("churn", "--curve", "step/loss")
    assert "Points inside epochs cannot be read: tracking/events-0001-000001.jsonl is of another version" in done.stderr
    assert the_curve(call("churn", "--curve")).startswith("train/loss")


def test_a_storage_that_could_not_be_read_is_asked_again_a_minute_later(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Any] = [ClusterError("away"), ({}, "away"), ({"train/loss": [(1.0, 0.9), (2.0, 0.5)]}, "")]
    asked = 0

    def whole(*_: object) -> Any:
        nonlocal asked
        asked += 1
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(histories, "whole", whole)
    shown = curve.Curve(Kubectl(Target()), "")
    found = job(progress={}, checkpoint={"uri": "/a", "step": 1})
    lines = [shown.line(found) for _ in range(4 * curve.LOOKS)]
    assert asked == 3, "and once it was read, not again"
    assert lines[0] == ""
    assert lines[curve.LOOKS + 5] == ""
    assert lines[2 * curve.LOOKS + 5].startswith("train/loss")
