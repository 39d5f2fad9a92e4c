"""Which files of the checkout the site has: pages, and what they link to, in the folders that they have there.

The site is laid out as the repository is, so a link between pages, or from a page to an example, is the same on GitHub
and in the site, and nothing rewrites it.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from headway_site.markdown import translated

ROOT = Path(__file__).resolve().parents[3]
ALWAYS = ("*.md", "docs/**/*.md", "hack/**/*.md", "docs/**/*.png", "docs/**/*.svg", "docs/**/*.json")
_LINK = re.compile(r"\]\((?!https?:|mailto:|#)(?P<target>[^)#\s]+)")
_FENCED = re.compile(r"^(`{3,}).*?^\1\s*$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"(`+)[^`].*?\1", re.DOTALL)


class LinkError(Exception):
    """A link of a page leads to no file of the checkout."""


def links(text: str) -> list[str]:
    """The targets of a page's links within the repository, without their anchors and those that are code."""
    return [match["target"] for match in _LINK.finditer(_CODE.sub("", _FENCED.sub("", text)))]


def files(root: Path = ROOT) -> list[Path]:
    """What the site has, as paths from the root.

    Raises LinkError where a page links to what is not there, to a folder without a README.md, or out of the checkout.
    """
    pages = sorted(path for pattern in ALWAYS for path in root.glob(pattern) if "node_modules" not in path.parts)
    found = dict.fromkeys(path.relative_to(root) for path in pages)
    for page in pages:
        for target in links(page.read_text()) if page.suffix == ".md" else ():
            path = (page.parent / target).resolve()
            if not path.is_file() or not path.is_relative_to(root):
                raise LinkError(f"{page.relative_to(root)}: the link to {target} leads to no file of this repository")
            found.setdefault(path.relative_to(root))
    return list(found)


def lay_out(target: Path, root: Path = ROOT) -> None:
    """Writes what the site is built from into a folder, which is emptied first."""
    shutil.rmtree(target, ignore_errors=True)
    for name in files(root):
        to = target / name
        to.parent.mkdir(parents=True, exist_ok=True)
        if name.suffix == ".md":
            to.write_text(translated((root / name).read_text()))
        else:
            shutil.copyfile(root / name, to)
