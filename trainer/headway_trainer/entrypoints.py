"""From `module:function` in a spec to the function, with errors that say where it was looked for."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from headway_api import wire
from headway_trainer.errors import UserError

_SHOWN_PATHS = 4


def load_function(entrypoint: str) -> Callable[..., Any]:
    """The function that `module:function` names; a dotted function goes through attributes.

    Raises UserError: no such module, an exception while it is imported, no such function, or not a function.
    """
    module_name, _, function_name = entrypoint.partition(":")
    module = _import(module_name, entrypoint)
    value: Any = module
    for name in function_name.split("."):
        if not hasattr(value, name):
            raise UserError(f"entrypoint {entrypoint}: {_described(value)} has no {name}{_nearest(name, value)}")
        value = getattr(value, name)
    if not callable(value):
        raise UserError(f"entrypoint {entrypoint}: it is an object of type {type(value).__name__}, not a function")
    function: Callable[..., Any] = value
    return function


def add_to_path(folder: str | None) -> str | None:
    """Let modules in folder be imported, before all others; the folder."""
    if folder is not None and folder not in sys.path:
        sys.path.insert(0, folder)
        importlib.invalidate_caches()
    return folder


def location(error: BaseException, folder: Path | None = None) -> str | None:
    """Where in the user's own code an exception came from, as `train.py:17 in fit`: the innermost frame that lies below
    folder, or, without one, outside of Python's and installed packages' folders."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if is_own(Path(frame.filename), folder)]
    if not own:
        return None
    frame = own[-1]
    return f"{Path(frame.filename).name}:{frame.lineno} in {frame.name}"


def describe(error: BaseException) -> str:
    """An exception in one line: its type and the first line of its text."""
    first = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def _import(name: str, entrypoint: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise UserError(
                f"entrypoint {entrypoint}: {name} needs the module {error.name}, which is not there: "
                "install it in spec.image, or put it beside your code"
            ) from error
        raise UserError(
            f"entrypoint {entrypoint}: there is no module {error.name} in {_searched()}{_candidates(error.name)}"
        ) from error
    except Exception as error:
        place = location(error)
        at = f" ({place})" if place else ""
        raise UserError(f"entrypoint {entrypoint}: importing {name} raised {describe(error)}{at}") from error


def _searched() -> str:
    return ", ".join(str(place) for place in _places()) or "the image's packages"


def _candidates(name: str) -> str:
    """A module of nearly the same name in the folders that were looked through."""
    return _did_you_mean(name, {path.stem for place in _places() for path in place.glob("*.py")})


def _places() -> list[Path]:
    """The folders on the path that may hold a user's code: not Python's, nor installed packages', nor our own."""
    folders = [Path(entry or ".") for entry in sys.path if "site-packages" not in entry and "lib/python" not in entry]
    own = [
        folder
        for folder in dict.fromkeys(folders)
        if folder.is_dir() and folder != Path(sys.executable).parent and not any(folder.glob("headway_*"))
    ]
    return own[:_SHOWN_PATHS]


def _nearest(name: str, value: object) -> str:
    return _did_you_mean(name, {attribute for attribute in vars(value) if callable(getattr(value, attribute, None))})


def _did_you_mean(name: str, names: set[str]) -> str:
    near = difflib.get_close_matches(name, sorted(names), n=1)
    return f": did you mean {near[0]}?" if near else ""


def _described(value: Any) -> str:
    return f"module {value.__name__}" if hasattr(value, "__file__") else f"{value!r}"


def is_own(path: Path, folder: Path | None) -> bool:
    """Whether a file is the user's: below folder; without one, where pods have code, or outside of what is installed.

    In our images Python itself is installed around that place.
    """
    if folder is not None:
        return path.is_relative_to(folder)
    if path.is_relative_to(wire.CODE_DIR):
        return True
    foreign = (Path(sys.prefix), Path(sys.base_prefix), Path(importlib.__file__).parent.parent, Path(__file__).parent)
    return path.is_absolute() and not any(path.is_relative_to(place) for place in foreign)
