"""Pages made of templates, in which everything is escaped."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from headway_api.wording import printable
from headway_cli.cluster.times import short

FOLDER = Path(__file__).parent / "templates"
MOST_CHARACTERS = 16 << 20
"""Of a page: more than any has, and less than makes a browser stand still for long."""


def environment(address: Callable[..., str], routes: Collection[str]) -> Environment:
    """The templates. address: of a route by its name, with the names in its path. routes: the names of all."""
    made = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters["printable"] = printable
    made.filters["short"] = short
    made.globals["url"] = address
    made.globals["routes"] = frozenset(routes)
    made.globals["static"] = lambda name: f"/static/{name}"
    return made


def rendered(made: Environment, template: str, data: Mapping[str, Any]) -> str:
    """A page. Raises ValueError where it is too long."""
    size, parts = 0, []
    for part in made.get_template(template).generate(data):
        size += len(part)
        if size > MOST_CHARACTERS:
            raise ValueError(f"{template} has more than {MOST_CHARACTERS >> 20} MiB")
        parts.append(part)
    return "".join(parts)
