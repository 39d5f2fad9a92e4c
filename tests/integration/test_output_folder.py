"""`headway run` into folders that hold something: a finished run, or a user's own project."""

from __future__ import annotations

from pathlib import Path

import pytest

from commands import headway

pytestmark = pytest.mark.ray

JOB = """apiVersion: headway.dev/v1alpha1
kind: TrainingJob
metadata: {name: small}
spec:
  data: {source: {uri: data/train.csv}, target: label}
  model: {name: mlp, options: {hidden: [4]}}
  training: {epochs: 2, batchSize: 64}
  export: {formats: [safetensors]}
"""
MINE = {
    "data/README.txt": "the only copy",
    "plots/eda.svg": "a figure",
    "code/util.py": "print(1)\n",
    "ray/notes.txt": "mine",
    "checkpoints/step-0000000001-attempt-1/model.safetensors": "mine",
    "logs/attempt-1/driver.log": "mine",
}


def test_a_project_that_is_the_output_folder_keeps_all_its_files_and_a_failed_run_leaves_the_model(
    tmp_path: Path,
) -> None:
    rows = "".join(f"{number},{number % 7},{'pos' if number % 2 else 'neg'}\n" for number in range(200))
    mine = MINE | {"data/train.csv": f"x1,x2,label\n{rows}", "job.yaml": JOB}
    for name, text in mine.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    done = headway("run", "job.yaml", "--output", ".", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {name: (tmp_path / name).read_text() for name in mine} == mine
    results = contents(tmp_path)
    assert {"model.safetensors", "report.md", "result.json", "plots/loss.png"} <= set(results)

    failed = headway("run", "job.yaml", "--output", ".", "--set", "data.source={uri: /nonexistent.csv}", cwd=tmp_path)
    assert failed.returncode == 64
    assert "Error: data.source: there is no file at /nonexistent.csv" in failed.stderr
    assert contents(tmp_path) == results, "no file of the finished run, or of the user's, has changed"

    fresh = headway("run", "job.yaml", "--output", ".", "--fresh", cwd=tmp_path)
    assert fresh.returncode == 0, fresh.stdout + fresh.stderr
    assert "--fresh deletes the unfinished run" in fresh.stdout.replace("\n", " ")
    assert {name: (tmp_path / name).read_text() for name in mine} == mine
    assert contents(tmp_path)["model.safetensors"] == results["model.safetensors"]


def contents(folder: Path) -> dict[str, bytes]:
    """All files but those in Headway's own folder."""
    files = [path for path in folder.rglob("*") if path.is_file() and ".headway" not in path.parts]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
