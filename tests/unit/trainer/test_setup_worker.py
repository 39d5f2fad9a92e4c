"""What stands between the raylet and a worker process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from headway_trainer.ray import setup_worker

WORKER = "/ray/_private/workers/default_worker.py"


@pytest.mark.parametrize(
    "context", [[], ["--serialized-runtime-env-context="], ["--serialized-runtime-env-context={}"]]
)
def test_without_a_runtime_environment_the_worker_is_called_at_once(context: list[str]) -> None:
    words = setup_worker.command([WORKER, "--node-id=1", *context, "--language=PYTHON", "--x={}"])
    assert words == [sys.executable, WORKER, "--node-id=1", "--x={}"]


def test_with_one_rays_own_script_sets_it_up() -> None:
    arguments = [
        WORKER,
        "--node-id=1",
        '--serialized-runtime-env-context={"env_vars": {"A": "1"}}',
        "--language=PYTHON",
    ]
    assert setup_worker.command(arguments) == [sys.executable, "/ray/_private/workers/setup_worker.py", *arguments]


def test_rays_own_script_is_where_it_is_looked_for() -> None:
    import ray._private.workers

    (folder,) = ray._private.workers.__path__
    assert Path(folder, "default_worker.py").exists()
    assert Path(folder, "setup_worker.py").exists()


def test_as_a_script_it_becomes_the_program_and_imports_nothing_on_the_way(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("import sys; print(sys.argv[1:], 'ray' in sys.modules)")
    done = subprocess.run(
        [sys.executable, setup_worker.__file__, program, "--a=1", "--serialized-runtime-env-context={}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.strip() == "['--a=1'] False"
