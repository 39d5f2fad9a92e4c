"""From `module:function` to the function; and where in the user's code an exception came from."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from headway_api import wire
from headway_trainer.entrypoints import add_to_path, describe, is_own, load_function, location
from headway_trainer.errors import UserError
from headway_trainer.ray.user_function import takes_arguments
from headway_trainer.training.exceptions import is_peer_error, raise_as_users

CODE = """
class Trainer:
    @staticmethod
    def run(config):
        return config

def train(config):
    return config["lr"]

def deep():
    return {}["missing"]

def fail():
    deep()

SETTING = 3
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    before = set(sys.modules)
    (tmp_path / "my_code.py").write_text(CODE)
    (tmp_path / "broken.py").write_text("import my_code\nx = 1 / 0\n")
    (tmp_path / "needs.py").write_text("import not_installed_anywhere\n")
    (tmp_path / "typo.py").write_text("def f(:\n")
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.usefixtures("folder")
def test_functions_and_methods_are_found() -> None:
    assert load_function("my_code:train")({"lr": 3}) == 3
    assert load_function("my_code:Trainer.run")(4) == 4


@pytest.mark.parametrize(
    ("entrypoint", "message"),
    [
        ("my_kode:train", r"there is no module my_kode in .*: did you mean my_code\?"),
        ("my_code.sub:train", r"there is no module my_code.sub in "),
        ("my_code:trian", r"module my_code has no trian: did you mean train\?"),
        ("my_code:Trainer.go", r"has no go"),
        ("my_code:SETTING", r"an object of type int, not a function"),
        ("broken:f", r"importing broken raised ZeroDivisionError: division by zero \(broken\.py:2 in <module>\)"),
        ("needs:f", r"needs needs the module not_installed_anywhere, which is not there: install it in spec\.image"),
        ("typo:f", r"importing typo raised SyntaxError"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_what_is_wrong_is_told_in_a_sentence(entrypoint: str, message: str) -> None:
    with pytest.raises(UserError, match=rf"^entrypoint {entrypoint}: .*{message}"):
        load_function(entrypoint)


def test_an_exceptions_place_is_the_innermost_line_of_the_users_code(folder: Path) -> None:
    with pytest.raises(KeyError) as caught:
        load_function("my_code:fail")()
    assert location(caught.value, folder) == "my_code.py:11 in deep"
    assert location(caught.value, folder / "elsewhere") is None


def test_an_exception_is_described_in_one_line() -> None:
    assert describe(ValueError("a\nb")) == "ValueError: a"
    assert describe(ValueError()) == "ValueError"


def test_a_folder_is_put_on_the_path_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "path", ["/elsewhere"])
    add_to_path(str(tmp_path))
    add_to_path(str(tmp_path))
    add_to_path(None)
    assert sys.path == [str(tmp_path), "/elsewhere"]


def test_an_exception_out_of_the_users_code_becomes_a_sentence_with_its_place(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(KeyError) as caught:
        load_function("my_code:fail")()
    with pytest.raises(UserError, match=r"^my_code\.py:11 in deep raised KeyError: 'missing'$"):
        raise_as_users(caught.value, "training.entrypoint my_code:fail", folder)
    trace = capsys.readouterr().err
    assert "my_code.py" in trace
    assert "KeyError: 'missing'" in trace
    assert "test_entrypoints.py" not in trace, "the trace begins with the user's own code"


def test_a_batch_of_one_row_under_batch_normalisation_is_told_in_the_fields_of_the_spec() -> None:
    layer = nn.BatchNorm1d(3)
    with pytest.raises(ValueError, match="per channel") as caught:
        layer(torch.ones(1, 3))
    with pytest.raises(UserError, match=r"raise training\.batchSize, or take fewer workers"):
        raise_as_users(caught.value)


def test_parameters_that_have_no_part_in_the_loss_are_told_with_what_to_do(tmp_path: Path) -> None:
    class Half(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = nn.Linear(2, 1), nn.Linear(2, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            outputs: torch.Tensor = self.used(x)
            return outputs

    distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    try:
        model = DistributedDataParallel(Half())
        model(torch.ones(3, 2)).sum().backward()
        with pytest.raises(RuntimeError) as caught:
            model(torch.ones(3, 2))
    finally:
        distributed.destroy_process_group()
    with pytest.raises(UserError, match=r"counted from 0: 2, 3\): leave them out, freeze them .* or take one process"):
        raise_as_users(caught.value)


@pytest.mark.parametrize(
    ("error", "peer"),
    [
        (RuntimeError("[/gloo/transport/tcp/pair.cc:561] Connection closed by peer [10.0.0.1]:2"), True),
        (RuntimeError("Application timeout caused pair closure"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("connection closed by peer"), False),
        (type("DistBackendError", (RuntimeError,), {})("NCCL error"), True),
    ],
)
def test_what_another_workers_end_has_caused_is_nobodys_fault(error: Exception, peer: bool) -> None:
    assert is_peer_error(error) is peer
    if peer:
        raise_as_users(error, "training.entrypoint x:y")


def no_arguments() -> None: ...
def one(config: object) -> None: ...
def one_optional(config: object = None) -> None: ...
def two(config: object, other: object) -> None: ...
def keyword(*, other: object) -> None: ...


@pytest.mark.parametrize(("function", "takes"), [(no_arguments, False), (one, True), (one_optional, True)])
def test_a_function_may_take_the_arguments_or_nothing(function: object, takes: bool) -> None:
    assert takes_arguments(function, "m:f") is takes  # type: ignore[arg-type]  # functions of several shapes


def test_a_function_that_needs_more_is_refused() -> None:
    with pytest.raises(UserError, match=r"needs config, other: it must take one dict of arguments, or nothing"):
        takes_arguments(two, "m:f")


def test_code_in_a_pod_is_the_users_though_python_is_installed_around_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", "/opt/headway")
    assert is_own(Path(wire.CODE_DIR, "mine.py"), None)
    assert not is_own(Path("/opt/headway/lib/python3.11/site-packages/torch/__init__.py"), None)
