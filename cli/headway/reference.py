"""The reference page of the Python client, made of its docstrings.

python -m headway.reference > docs/reference/client.md
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

from headway import client

_HEAD = """<!-- Generated from the docstrings by `python -m headway.reference`. -->
# The Python client

`from headway.client import Client`. How to use it: [use Headway from Python](../how-to/python-client.md).

"""
_CLASSES: tuple[type, ...] = (client.Client, client.Job, client.LogLine, client.Deployment, client.LocalRun)
_BUILT = ("(self, kubectl", "(self, folder")
"""How the signatures begin of what functions here make, and nobody else."""


def page() -> str:
    """The page, in Markdown."""
    parts = [_HEAD + inspect.cleandoc(client.__doc__ or "") + "\n"]
    parts += [_class(each) for each in _CLASSES]
    parts.append(f"## Without a cluster\n{_function('run', client.run)}")
    errors = [each for name in client.__all__ if _is_error(each := getattr(client, name))]
    rows = "".join(f"| `{each.__name__}` | `{each.__bases__[0].__name__}` | {_line(each)} |\n" for each in errors)
    parts.append(
        f"## Errors\nEach text is one that the command shows.\n\n| error | is a | when |\n|---|---|---|\n{rows}"
    )
    return "\n".join(parts)


def _is_error(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Exception)


def _class(kind: type) -> str:
    parts = [f"## {kind.__name__}\n{inspect.cleandoc(kind.__doc__ or '')}\n"]
    begin = kind.__dict__.get("__init__")
    if isinstance(begin, FunctionType) and not str(inspect.signature(begin)).startswith(_BUILT):
        parts.append(_function(kind.__name__, begin))
    for name, member in _members(kind):
        call = f"{kind.__name__}.{name}"
        parts.append(f"### {call}\n{_text(member)}\n" if isinstance(member, property) else _function(call, member))
    return "\n".join(parts)


def _members(kind: type) -> Iterator[tuple[str, Any]]:
    for name, member in vars(kind).items():
        if not name.startswith("_") and isinstance(member, FunctionType | property):
            yield name, member


def _function(call: str, function: Callable[..., object]) -> str:
    return f"### {call}\n```python\n{call}{_signature(function)}\n```\n\n{_text(function)}\n"


def _signature(function: Callable[..., object]) -> str:
    """As it is written; `str` of a signature has quotes, or not, by the version of Python."""
    words, signature, keyword_only = [], inspect.signature(function), False
    for parameter in [each for name, each in signature.parameters.items() if name != "self"]:
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword_only:
            words.append("*")
            keyword_only = True
        default = "" if parameter.default is parameter.empty else f" = {parameter.default!r}"
        words.append(f"{parameter.name}: {parameter.annotation}{default}")
    answer = signature.return_annotation
    return f"({', '.join(words)})" + (f" -> {answer}" if answer != "None" else "")


def _text(member: object) -> str:
    return inspect.cleandoc(inspect.getdoc(member) or "")


def _line(kind: type) -> str:
    return " ".join(_text(kind).split())


if __name__ == "__main__":
    sys.stdout.write(page())
