"""The output folder of local runs: what is Headway's there, what goes on, what is replaced, what is never touched."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headway_api.job import TrainingJob
from headway_cli import results
from headway_cli.run_folder import Attempt, RunFolder
from headway_trainer.data import prepare
from headway_trainer.publish import RESULT_NAMES
from headway_trainer.report.model import Artifact, Environment, RunResult
from headway_trainer.storage import Store

MODEL, REPORT, RESULT, PLOT = "model.safetensors", "report.md", "result.json", "plots/loss.png"
FOREIGN_NAMES = (
    "data/train.csv",
    "data/info.json",
    "plots/eda.svg",
    "code/util.py",
    "ray/run/notes.txt",
    "checkpoints/step-0000000001-attempt-1/model.safetensors",
    "checkpoints/mine.pt",
    "logs/attempt-1/driver.log",
    "progress.json",
    "run.json",
    "runs/1/x",
    "notes.txt",
)


def job(**spec: Any) -> TrainingJob:
    return TrainingJob.model_validate(
        {
            "apiVersion": "headway.dev/v1alpha1",
            "kind": "TrainingJob",
            "metadata": {"name": "small"},
            "spec": {
                "data": {"source": {"builtin": {"name": "iris"}}},
                "model": {"name": "mlp"},
                "training": {},
                **spec,
            },
        }
    )


def write(folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def contents(folder: Path) -> dict[str, bytes]:
    """All files but those in Headway's own folder."""
    files = [path for path in folder.rglob("*") if path.is_file() and ".headway" not in path.parts]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


class Output:
    """An output folder, and runs into it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes: list[str] = []

    def begin(self, its: TrainingJob | None = None, *, fresh: bool = False) -> Attempt:
        folder = RunFolder(self.path)
        with folder.locked():
            attempt = folder.begin(its or job(), fresh=fresh, names=RESULT_NAMES, note=self.notes.append)
        write(attempt.path, {"data/train.x.npy": b"rows", "checkpoints/step-0000000001-attempt-1/x": b"state"})
        return attempt

    def finish(self, attempt: Attempt, text: str, names: tuple[str, ...] = (PLOT, MODEL, REPORT, RESULT)) -> None:
        write(attempt.path, {name: f"{name} {text}".encode() for name in names})
        RunFolder(self.path).finish(attempt, names)

    def run(self, text: str, names: tuple[str, ...] = (PLOT, MODEL, REPORT, RESULT), **spec: Any) -> None:
        self.finish(self.begin(job(**spec)), text, names)

    def runs(self) -> list[str]:
        return sorted(path.name.partition("-")[0] for path in (self.path / ".headway/runs").iterdir())


@pytest.fixture
def output(tmp_path: Path) -> Output:
    return Output(tmp_path / "out")


def results_of(text: str, *names: str) -> dict[str, bytes]:
    return {name: f"{name} {text}".encode() for name in names or (PLOT, MODEL, REPORT, RESULT)}


def test_a_run_has_a_folder_of_its_own_and_its_results_appear_when_it_finishes(output: Output) -> None:
    attempt = output.begin()
    assert attempt.path.parent == output.path / ".headway/runs"
    assert contents(output.path) == {}
    output.finish(attempt, "first")
    assert contents(output.path) == results_of("first")


def test_an_unfinished_run_goes_on_in_its_folder(output: Output) -> None:
    first, second = output.begin(), output.begin()
    assert (first.number, first.resumes, second.number, second.resumes) == (1, False, 2, True)
    assert first.path == second.path
    assert output.notes == [f"Going on with the unfinished run in {output.path} (--fresh would discard it)."]


def test_the_finished_model_stays_until_the_next_run_has_its_own(output: Output) -> None:
    output.run("first")
    attempt = output.begin()
    assert (attempt.number, attempt.resumes) == (1, False)
    assert contents(output.path) == results_of("first"), "while the next one trains, and if it never ends"
    output.finish(attempt, "second")
    assert contents(output.path) == results_of("second")
    assert output.runs() == ["2"], "what the earlier run kept goes with its results"


def test_a_run_of_another_spec_that_fails_leaves_the_finished_one_as_it_was(output: Output) -> None:
    output.run("first")
    attempt = output.begin(job(seed=9))
    RunFolder(output.path).fail(attempt)
    assert contents(output.path) == results_of("first")
    assert output.runs() == ["1", "2"]


def test_results_that_the_next_run_does_not_have_go_and_empty_folders_with_them(output: Output) -> None:
    output.run("first")
    output.run("second", (REPORT, RESULT))
    assert contents(output.path) == results_of("second", REPORT, RESULT)
    assert not (output.path / "plots").exists()


def test_a_folder_with_results_and_files_of_others_keeps_those(output: Output) -> None:
    write(output.path, {"plots/eda.svg": b"mine"})
    output.run("first")
    output.run("second", (REPORT, RESULT))
    assert contents(output.path) == results_of("second", REPORT, RESULT) | {"plots/eda.svg": b"mine"}


@pytest.mark.parametrize("name", RESULT_NAMES)
def test_a_file_of_the_users_where_a_result_would_go_is_refused_before_anything(output: Output, name: str) -> None:
    write(output.path, {name: b"mine"})
    with pytest.raises(click.ClickException) as caught:
        output.begin()
    assert caught.value.message == (
        f"{output.path / name} was not written by Headway, and a run that finishes puts its own there: "
        "move it away, or choose another --output"
    )
    assert contents(output.path) == {name: b"mine"}
    assert not (output.path / ".headway/runs").exists()


def test_a_result_that_the_user_has_edited_is_refused(output: Output) -> None:
    output.run("first")
    (output.path / REPORT).write_text("my own words")
    with pytest.raises(click.ClickException, match=r"report\.md was changed since Headway wrote it"):
        output.begin()


def test_a_result_that_was_copied_is_known_by_its_digest_and_one_that_was_deleted_is_not_missed(output: Output) -> None:
    output.run("first")
    text = (output.path / REPORT).read_bytes()
    (output.path / REPORT).unlink()
    (output.path / REPORT).write_bytes(text)
    (output.path / MODEL).unlink()
    output.run("second")
    assert contents(output.path) == results_of("second")


@pytest.mark.parametrize("kind", ["link", "file"])
def test_a_plots_that_is_no_folder_is_refused(output: Output, tmp_path: Path, kind: str) -> None:
    output.path.mkdir()
    (tmp_path / "elsewhere").mkdir()
    if kind == "link":
        (output.path / "plots").symlink_to(tmp_path / "elsewhere")
    else:
        (output.path / "plots").write_bytes(b"mine")
    with pytest.raises(click.ClickException, match=r"needs the folder plots, which is something else there"):
        output.begin()


def test_a_file_that_came_in_the_way_while_it_trained_is_kept_and_so_is_the_run(output: Output) -> None:
    attempt = output.begin()
    write(output.path, {REPORT: b"mine"})
    with pytest.raises(click.ClickException, match=r"report\.md was not written by Headway"):
        output.finish(attempt, "first")
    assert contents(output.path) == {REPORT: b"mine"}
    (output.path / REPORT).unlink()
    again = output.begin()
    assert (again.path, again.resumes) == (attempt.path, True)
    output.finish(again, "first")
    assert contents(output.path) == results_of("first")


def test_a_result_that_was_edited_while_the_next_run_trained_is_not_deleted_with_the_others(output: Output) -> None:
    output.run("first")
    attempt = output.begin()
    write(output.path, {PLOT: b"mine"})
    output.finish(attempt, "second", (REPORT, RESULT))
    assert contents(output.path) == results_of("second", REPORT, RESULT) | {PLOT: b"mine"}


@pytest.mark.parametrize("kind", ["folder", "link", "file"])
def test_a_headway_folder_that_is_somebody_elses_is_refused(output: Output, tmp_path: Path, kind: str) -> None:
    own = output.path / ".headway"
    output.path.mkdir()
    (tmp_path / "elsewhere").mkdir()
    if kind == "folder":
        write(own, {"mine.txt": b"mine"})
    elif kind == "link":
        own.symlink_to(tmp_path / "elsewhere")
    else:
        own.write_bytes(b"mine")
    with pytest.raises(click.ClickException, match=r"move it away, or choose another --output"):
        output.begin()
    assert not list((tmp_path / "elsewhere").iterdir())
    assert kind != "folder" or [path.name for path in own.iterdir()] == ["mine.txt"]


def test_an_unfinished_run_of_another_spec_is_in_the_way_until_it_is_discarded(output: Output) -> None:
    before = output.begin()
    with pytest.raises(click.ClickException, match=r"unfinished run of another job or spec: give --fresh to discard"):
        output.begin(job(seed=9))
    assert (before.path / "data/train.x.npy").exists()
    assert output.begin(job(seed=9), fresh=True).number == 1
    assert not before.path.exists()


def test_fresh_says_what_it_deletes_and_deletes_only_unfinished_runs(output: Output) -> None:
    output.run("first")
    unfinished = output.begin()
    output.notes.clear()
    output.begin(fresh=True)
    assert output.notes == [
        f"--fresh deletes the unfinished run {unfinished.path} (2 files, 9 B: data, checkpoints, logs).",
        f"The results in {output.path} stay until this run has its own.",
    ]
    assert contents(output.path) == results_of("first")
    assert output.runs() == ["1", "3"]


def test_a_run_that_cannot_be_deleted_is_a_sentence_and_costs_a_finished_run_nothing(
    output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    unfinished = output.begin()

    def refused(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", refused)
        with pytest.raises(
            click.ClickException, match=r"could not be deleted \(Permission denied\): delete it yourself"
        ):
            output.begin(fresh=True)
    output.finish(unfinished, "first")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", refused)
        output.run("second")
    assert contents(output.path) == results_of("second")
    assert output.runs() == ["1", "2"]
    output.run("third")
    assert output.runs() == ["3"], "what could not be deleted then"


def test_a_folder_of_another_version_s_layout_is_refused(output: Output) -> None:
    output.begin()
    state = output.path / ".headway/state.json"
    state.write_text(state.read_text().replace('"version": 1', '"version": 2'))
    with pytest.raises(click.ClickException, match=r"was not made by this version of Headway"):
        output.begin(fresh=True)


def test_after_an_error_in_the_spec_the_corrected_one_begins_anew_without_fresh(output: Output) -> None:
    wrong = output.begin(job(seed=1))
    RunFolder(output.path).fail(wrong)
    corrected = output.begin(job(seed=2))
    assert (corrected.resumes, corrected.path != wrong.path) == (False, True)
    assert output.notes[-1].startswith("The run before ended with an error in its data, code or spec")
    assert str(wrong.path) in output.notes[-1]
    output.finish(corrected, "corrected")
    assert output.runs() == ["2"]


def test_after_an_error_the_same_spec_goes_on_where_it_was(output: Output) -> None:
    wrong = output.begin()
    RunFolder(output.path).fail(wrong)
    again = output.begin()
    assert (again.resumes, again.path) == (True, wrong.path)


@pytest.mark.parametrize("outcome", ["UserError", "Unfinished"])
def test_after_an_error_rows_that_the_user_corrected_begin_anew_and_otherwise_the_run_goes_on(
    output: Output, tmp_path: Path, outcome: str
) -> None:
    source = tmp_path / "rows.csv"
    source.write_text("a,label\n" + "".join(f"{number}.5,{number % 2}\n" for number in range(100)))
    its = job(data={"source": {"uri": str(source)}, "target": "label"})
    assert its.spec.data is not None
    before = output.begin(its)
    prepare(its.spec.data, seed=its.spec.seed, store=Store.open(str(before.path)))
    if outcome == "UserError":
        RunFolder(output.path).fail(before)
    again = output.begin(its)
    assert again.resumes, "nothing was corrected"
    if outcome == "UserError":
        RunFolder(output.path).fail(again)
    source.write_text(source.read_text() + "1,1\n")
    corrected = output.begin(its)
    assert corrected.resumes == (outcome == "Unfinished")
    assert before.path.exists()
    if outcome == "UserError":
        assert f"the source has changed since ({source}: 698 bytes then, 702 now): it begins again" in output.notes[-1]


def test_two_runs_cannot_share_a_folder(tmp_path: Path) -> None:
    with (
        RunFolder(tmp_path).locked(),
        pytest.raises(click.ClickException, match=r"another headway run is at work in .*: wait for it, or choose"),
        RunFolder(tmp_path).locked(),
    ):
        raise AssertionError("it was not locked")


def test_a_folder_that_cannot_be_written_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with (
        pytest.raises(click.ClickException, match=r"cannot be written \(Not a directory\): choose another --output"),
        RunFolder(tmp_path / "file" / "out").locked(),
    ):
        raise AssertionError("it was locked")


def _earlier(folder: Path) -> None:
    """What a version without a manifest left of a finished run, and a file that it did not write."""
    write(folder, {MODEL: b"weights", REPORT: b"# report"})
    artifacts = [
        Artifact(name=name, path=name, sha256=results._sha256(folder / name), size_bytes=(folder / name).stat().st_size)
        for name in (MODEL, REPORT)
    ]
    told = RunResult(
        job="small",
        outcome="Succeeded",
        seed=0,
        world_size=1,
        started="2026-01-01T00:00:00Z",
        finished="2026-01-01T00:00:10Z",
        duration_seconds=10.0,
        artifacts=artifacts,
        environment=Environment(headway="0.1.0"),
    )
    write(folder, {RESULT: told.model_dump_json().encode(), "data/train.x.npy": b"whose?"})


def test_results_without_a_manifest_are_known_by_their_result_json(output: Output) -> None:
    _earlier(output.path)
    output.run("second")
    assert contents(output.path) == results_of("second") | {"data/train.x.npy": b"whose?"}


def test_a_result_json_vouches_for_nothing_that_was_changed_since(output: Output) -> None:
    _earlier(output.path)
    write(output.path, {MODEL: b"WEIGHTS"})
    with pytest.raises(click.ClickException, match=r"model\.safetensors was not written by Headway"):
        output.begin()


def test_a_list_of_runs_that_names_a_folder_elsewhere_is_refused(output: Output) -> None:
    output.begin()
    state = output.path / ".headway/state.json"
    told = json.loads(state.read_text())
    told["runs"][0]["folder"] = "../../mine"
    state.write_text(json.dumps(told))
    with pytest.raises(click.ClickException, match=r"was not made by this version of Headway"):
        output.begin(fresh=True)


class Crash(BaseException):
    """The process ends here."""


class Fuse:
    """Lets so many changes of the disk happen, and then crashes."""

    def __init__(self, changes: int) -> None:
        self._left = changes

    def wrap(self, method: Any) -> Any:
        def call(*arguments: Any, **keywords: Any) -> Any:
            if self._left == 0:
                raise Crash
            self._left -= 1
            return method(*arguments, **keywords)

        return call


@settings(max_examples=150)
@given(
    foreign=st.sets(st.sampled_from(FOREIGN_NAMES)),
    taken=st.sets(st.sampled_from((REPORT, MODEL, PLOT)), max_size=1),
    steps=st.lists(
        st.tuples(st.sampled_from(["run", "begin", "fresh", "fail"]), st.integers(1, 2), st.integers(0, 40)),
        max_size=5,
    ),
)
def test_no_file_of_others_is_touched_whatever_runs_and_crashes_there(
    foreign: set[str], taken: set[str], steps: list[tuple[str, int, int]]
) -> None:
    mine = {name: f"mine {name}".encode() for name in foreign | taken}
    folder = Path(tempfile.mkdtemp())
    try:
        output = Output(folder / "out")
        write(output.path, mine)
        finished: set[str] = set()
        for number, (step, seed, changes) in enumerate(steps):
            finished.add(f"{number}")
            ended = _crashing(output, step, seed, Fuse(changes), f"{number}")
            left = contents(output.path)
            assert {name: left[name] for name in mine} == mine
            assert set(left) - set(mine) <= set(RESULT_NAMES)
            runs = {data.decode().rpartition(" ")[2] for name, data in left.items() if name not in mine}
            assert runs <= finished
            assert len(runs) <= 1 or not ended, "what a crash left half moved is completed by the next command"
        if not taken:
            _crashing(output, "fresh", 1, Fuse(-1), "last")
            assert contents(output.path) == mine | results_of("last")
    finally:
        shutil.rmtree(folder)


def _crashing(output: Output, step: str, seed: int, fuse: Fuse, text: str) -> bool:
    """A command in the folder, which may be refused, and whose process may crash at any change of the disk; whether it
    came to its end."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("replace", "unlink", "mkdir", "rmdir", "write_text"):
            patch.setattr(Path, name, fuse.wrap(getattr(Path, name)))
        patch.setattr(shutil, "rmtree", fuse.wrap(shutil.rmtree))
        try:
            attempt = output.begin(job(seed=seed), fresh=step == "fresh")
            if step == "fail":
                RunFolder(output.path).fail(attempt)
            elif step != "begin":
                output.finish(attempt, text)
        except (Crash, click.ClickException):
            return False
    return True
