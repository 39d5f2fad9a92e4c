"""Build the site: python -m headway_site dist/site. What it is built from is left beside it, as dist/site-pages."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import yaml

from client_environment import python_with
from headway_site.pages import ROOT, LinkError, lay_out

LOCK = ROOT / "requirements/site.lock"


class SiteError(Exception):
    """MkDocs found something wrong; the text is what it said."""


def build(site: Path, root: Path = ROOT) -> str:
    """Builds the pages of a checkout into a folder; what MkDocs printed. The first call makes MkDocs' environment.

    Raises LinkError, or SiteError with each warning: a page outside the navigation, a link or an anchor that leads
    nowhere.
    """
    python = python_with(LOCK, "--require-hashes")
    site = site.resolve()
    pages = site.with_name(f"{site.name}-pages")
    lay_out(pages, root)
    configuration = pages.with_suffix(".yml")
    folders = {"INHERIT": str(root / "mkdocs.yml"), "docs_dir": str(pages), "site_dir": str(site)}
    configuration.write_text(yaml.safe_dump(folders))
    done = subprocess.run(
        [str(python), "-m", "mkdocs", "build", "--strict", "--clean", "--config-file", str(configuration)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},  # decision 0120 says what follows from it
    )
    configuration.unlink()
    if done.returncode:
        raise SiteError(done.stdout + done.stderr)
    return done.stdout + done.stderr


def main(folder: Path) -> None:
    """Build, and say where."""
    try:
        build(folder)
    except (LinkError, SiteError) as error:
        sys.exit(str(error))
    print(f"The site is in {folder}. To read it: python -m http.server --bind 127.0.0.1 --directory {folder}")


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004 - the program and the folder
        sys.exit("give one folder, such as dist/site")
    main(Path(sys.argv[1]))
