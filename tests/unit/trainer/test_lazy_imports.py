"""Modules that wait until they are asked for something."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from headway_trainer.ray.lazy_imports import import_later


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package with a submodule; importing either leaves a mark in the folder."""
    name = f"waits_{tmp_path.name.replace('-', '_')}"
    folder = tmp_path / name
    folder.mkdir()
    mark = "import pathlib; (pathlib.Path(__file__).parent / (__name__ + '.mark')).touch()\n"
    (folder / "__init__.py").write_text(mark + "VALUE = 1\n")
    (folder / "inner.py").write_text(mark + f"import {name}\nVALUE = {name}.VALUE + 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    return name


def marks(package: str) -> list[str]:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return sorted(path.stem for path in Path(spec.origin).parent.glob("*.mark"))


def test_importing_it_does_not_run_it_and_asking_for_a_name_does(package: str) -> None:
    import_later(package)
    module = importlib.import_module(package)
    assert marks(package) == []
    assert module.VALUE == 1
    assert marks(package) == [package]
    assert sys.modules[package].VALUE == 1


def test_a_submodule_of_it_can_be_imported(package: str) -> None:
    import_later(package)
    assert importlib.import_module(f"{package}.inner").VALUE == 2
    assert marks(package) == [package, f"{package}.inner"]


def test_a_submodule_can_wait_too(package: str) -> None:
    parent = importlib.import_module(package)
    import_later(f"{package}.inner")
    assert marks(package) == [package]
    assert parent.inner.VALUE == 2
    assert marks(package) == [package, f"{package}.inner"]


def test_what_is_imported_already_stays_and_what_is_nowhere_is_left_alone(package: str) -> None:
    module = importlib.import_module(package)
    import_later(package)
    import_later("there_is_no_such_module")
    assert sys.modules[package] is module
    assert "there_is_no_such_module" not in sys.modules


def test_a_waiting_training_process_has_imported_the_loop_but_neither_pandas_nor_ray_data() -> None:
    code = (
        "import headway_trainer.ray.preload, headway_trainer.ray.torch_backend, sys\n"
        "names = ('headway_trainer.training.loop', 'pandas.core', 'ray.data.dataset', 'torch._dynamo')\n"
        "print([name in sys.modules for name in names])\n"
        "import pandas; print(pandas.DataFrame([1]).shape)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300)
    assert done.stdout.splitlines() == ["[True, False, False, False]", "(1, 1)"], done.stderr
