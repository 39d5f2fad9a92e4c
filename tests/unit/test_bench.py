"""The bench runner and the files that it keeps. The benchmarks themselves run by `make bench` only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import bench.__main__ as runner
from bench import bar, fronts, peers, references, search
from bench.clones import PATTERN, Copies
from bench.drivers import percentile
from bench.references import by_bare_seconds
from bench.report import Goal, Machine, Measured, Reference, keep, kept, row, table
from bench.trials import Epoch
from bench.tuning import Times
from harness import ROOT

DATE = datetime(2026, 11, 21, 16, 35, tzinfo=UTC)
FIELDS = ["name", "value", "unit", "reference", "ratio", "goal", "reached", "command", "machine", "date"]
ROUND_TRIP = Measured("a", 30.0, "s", Reference("KubeRay", 80.0), Goal("at most", 0.4, "ratio"))


def as_row(measured: Measured, **changes: Any) -> Any:
    return row(measured, **{"command": "make bench", "machine": {"cores": 2}, "date": DATE, **changes})


def fast(count: int = 3, share: float = 0.5) -> Iterator[Measured]:
    """Something quick."""
    yield Measured("counted", count, "things")
    yield Measured("shared", share, "", goal=Goal("at least", 0.4, "value"))


def broken() -> Iterator[Measured]:
    """Something that does not work."""
    yield Measured("counted", 9, "things")
    raise RuntimeError("no cluster")


@pytest.fixture
def results(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(runner, "RESULTS", tmp_path)
    monkeypatch.setattr(runner, "BENCHMARKS", ("demo",))
    monkeypatch.setattr(runner, "load", lambda _: {"fast": fast, "broken": broken})
    return tmp_path


def test_a_row_has_its_ratio_and_says_whether_the_goal_is_reached() -> None:
    entry = as_row(ROUND_TRIP)
    assert (entry.ratio, entry.reached) == (0.375, True)
    assert as_row(Measured("a", 33.0, "s", ROUND_TRIP.reference, ROUND_TRIP.goal)).reached is False


def test_a_goal_may_be_about_the_value_though_there_is_a_reference() -> None:
    measured = Measured("memory", 150, "MB", Reference("KubeRay", 92), Goal("at most", 180, "value"))
    assert as_row(measured).reached is True


def test_a_figure_without_reference_or_goal_claims_nothing() -> None:
    entry = as_row(Measured("a", 1.23456789, "s"))
    assert (entry.value, entry.ratio, entry.goal, entry.reached) == (1.2346, None, None, None)


def test_what_is_kept_is_read_again_and_only_its_own_name_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "scale.json"
    first, other = as_row(ROUND_TRIP), as_row(Measured("b", 1, "s"))
    keep(path, [first, other])
    second = as_row(Measured("a", 25.0, "s"))
    keep(path, [second])
    assert kept(path) == [second, other]
    assert [list(entry) for entry in json.loads(path.read_text())] == [FIELDS, FIELDS]
    assert kept(path)[0].date == "2026-11-21T16:35:00+00:00"


def test_the_table_shows_figure_reference_ratio_and_goal() -> None:
    lines = table([as_row(ROUND_TRIP), as_row(Measured("b", 2, "s", goal=Goal("at most", 1, "value")))]).splitlines()
    assert lines[1].split() == ["a", "30", "s", "80", "(KubeRay)", "0.38", "ratio", "<=", "0.4", "reached"]
    assert lines[2].split() == ["b", "2", "s", "-", "-", "value", "<=", "1", "MISSED"]


def test_the_machine_is_described_without_its_name() -> None:
    described = Machine().describe()
    assert set(described) == {
        "cpu", "cores", "memoryGiB", "kernel", "pythonLoopMs", "loadBefore", "stolenPercent"
    }  # fmt: skip
    assert described["pythonLoopMs"] > 1


def test_a_reference_of_another_machine_is_scaled_by_a_yardstick_and_the_row_says_so() -> None:
    """KubeRay's 81 s where the bare operator took 21.5 s are 162 s where it takes twice as long."""
    entry = as_row(Measured("a", 64.8, "s", by_bare_seconds("KubeRay", 81.0, 43.0)))
    assert (entry.reference["value"], entry.ratio) == (162.0, 0.4)
    assert entry.reference["scaled"] == {
        "by": "a bare kopf operator, s until 500 jobs run", "value": 81.0, "then": 21.5, "now": 43.0
    }  # fmt: skip
    shown = table([entry])
    assert "162 (KubeRay, 81 scaled by a bare kopf operator, s until 500 jobs run 21.5 -> 43)" in shown


def test_a_machine_that_takes_as_long_for_the_loop_leaves_a_reference_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(references, "loop_ms", lambda: references.LOOP_THEN)
    assert references.by_loop("KubeRay", 44.4).value == 44.4
    monkeypatch.setattr(references, "loop_ms", lambda: references.LOOP_THEN / 2)
    assert references.by_loop("KubeRay", 44.4).value == 22.2
    assert as_row(ROUND_TRIP).reference == {"name": "KubeRay", "value": 80.0}


def test_a_share_of_calls_is_told_by_the_nearest_rank() -> None:
    """The 99th of a hundred, not the worst; the worst of few."""
    assert percentile([float(number) for number in range(100, 0, -1)], 99) == 99
    assert percentile([1.0, 2.0, 3.0], 50) == 2
    assert percentile([1.0, 9.0], 99) == 9
    assert percentile([], 99) == 0


def test_a_copy_of_a_job_has_names_and_words_of_its_own() -> None:
    pattern = {"metadata": {"name": PATTERN, "uid": "aaaaaaaa-1111-2222-3333-444444444444"}}
    copies = Copies(None, pattern, [])  # type: ignore[arg-type]
    uid = "bbbbbbbb-1111-2222-3333-444444444444"
    text = f"{PATTERN} {PATTERN}-aaaaa-1-head s3://x/{PATTERN}-aaaaaaaa {pattern['metadata']['uid']}"
    assert copies.renamed(text, "job-7", uid) == f"job-7 job-7-bbbbb-1-head s3://x/job-7-bbbbbbbb {uid}"


def test_what_trials_cost_is_counted_from_when_both_workers_train_to_the_last_one_s_end(tmp_path: Path) -> None:
    """Four loops of a second, half a second between two: the first worker has begun a second before the other."""
    loops = tmp_path / "loops"
    loops.write_text("11.5 12.5\n10 11\n13 14\n11 12\n20 20.1\n")
    times = Times.read(loops, 4)
    assert (times.began, times.wall) == (11.0, 3.0)
    assert times.loop_seconds == pytest.approx(3.0), "the first one has ended before the other worker trains"
    assert times.overhead == pytest.approx(1.0)
    assert times.of_a_trial == pytest.approx(1.5)


def test_a_trial_that_was_not_trained_is_no_figure(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="0 of 4 trials were trained"):
        Times.read(tmp_path / "loops", 4)


def test_epochs_are_counted_over_all_trials_until_a_loss_is_reached() -> None:
    losses = [(1, 0.9), (1, 0.5), (2, 0.6), (2, 0.4), (3, 0.3)]
    found = [Epoch(trial, loss) for trial, loss in losses]
    assert [search._until(best, found, 5) for best in (0.5, 0.4, 0.35)] == [2, 4, 5]
    assert search._until(0.1, found, 4) == 4, "never, so all that random search took"


def test_a_searcher_is_compared_with_random_search_by_the_best_of_each_seed() -> None:
    rows = {
        one.name: one
        for one in search._compared("iris", {"random": [[3, 2, 2], [4, 4, 4]], "tpe": [[3, 3, 1], [5, 5, 5]]})
    }
    best = rows["iris, 3 trials, tpe: best loss, mean of 2 seeds"]
    assert (best.value, best.reference and best.reference.value) == (3.0, 3.0)
    assert rows["iris, 3 trials, tpe: seeds in which it is better"].value == 1
    assert rows[f"iris, 3 trials, tpe: {search.LEAST_BEST}"].value == 4 / 1, (
        "in the second seed never, and random at once"
    )


def test_a_front_is_worth_the_area_that_it_dominates() -> None:
    assert fronts.area([], (2.0, 2.0)) == 0.0
    assert fronts.area([(1.0, 1.0)], (2.0, 2.0)) == 1.0
    assert fronts.area([(0.0, 1.0), (1.0, 0.0), (1.5, 1.5), (0.0, 3.0)], (2.0, 2.0)) == 3.0
    mean, better = fronts.compared("digits", [1.0, 3.0], [2.0, 3.0])
    assert (mean.value, mean.reference and mean.reference.value, better.value) == (2.5, 2.0, 1)


def test_a_part_is_run_with_its_settings_and_its_command_can_be_typed_again(results: Path) -> None:
    done = CliRunner().invoke(runner.main, ["--only", "demo.fast", "--set", "count=5"])
    assert done.exit_code == 0, done.output
    rows = kept(results / "demo.json")
    assert [(entry.name, entry.value, entry.reached) for entry in rows] == [("counted", 5, None), ("shared", 0.5, True)]
    assert rows[0].command == 'make bench ONLY=demo.fast SET="count=5"'


def test_what_cannot_be_measured_leaves_the_kept_figures_and_fails(results: Path) -> None:
    done = CliRunner().invoke(runner.main, [])
    assert done.exit_code == 1
    assert "not measured: demo.broken" in done.output
    assert [entry.value for entry in kept(results / "demo.json")] == [3, 0.5]


@pytest.mark.parametrize(
    ("words", "said"),
    [(["--only", "dmeo"], "there are demo.fast, demo.broken"), (["--set", "cuont=5"], "no"), (["--bad"], "No such")],
)
def test_a_mistake_is_told_before_anything_is_run(results: Path, words: list[str], said: str) -> None:
    done = CliRunner().invoke(runner.main, words)
    assert done.exit_code == 2
    assert said in done.output
    assert not list(results.iterdir())


def test_the_kept_results_of_this_repository_are_of_the_format() -> None:
    files = sorted(Path(runner.__file__).parent.glob("results/*.json"))
    assert {path.stem for path in files} <= set(runner.BENCHMARKS)
    for path in files:
        names = [entry.name for entry in kept(path)]
        assert names == list(dict.fromkeys(names))


def test_every_benchmark_has_parts_with_defaults_and_a_line_that_says_what_they_do() -> None:
    done = CliRunner().invoke(runner.main, ["--list"])
    assert done.exit_code == 0, done.output
    for benchmark in runner.BENCHMARKS:
        for name, part in runner.load(benchmark).items():
            runner.arguments(part, {})
            assert (part.__doc__ or "").strip(), name


def test_the_page_about_the_cost_of_a_request_shows_the_kept_figures() -> None:
    page = (ROOT / "docs/explanation/what-a-request-costs.md").read_text()
    rows = kept(peers.RESULTS)
    assert peers.table(rows) in page
    assert {row.command for row in rows if peers.OURS in row.name} == {"make bench ONLY=serving.peers"}
    assert f"{rows[0].date:.10}" in page


def test_a_servers_name_has_the_version_that_it_is_pinned_to() -> None:
    assert {peers.named(one).split(" (")[0] for one in peers.SERVERS if one.lock == "ray"} == {"Ray Serve 2.60.0"}


def test_the_page_about_the_start_shows_the_kept_figures() -> None:
    assert bar.bar(kept(bar.RESULTS)) in (ROOT / "docs/explanation/start.md").read_text()
