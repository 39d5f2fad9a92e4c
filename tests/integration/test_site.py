"""The site of the pages, built by MkDocs: it shows what GitHub shows, its links lead
somewhere, and no other host is asked."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from headway_site.__main__ import SiteError, build
from headway_site.pages import ROOT, LinkError, files
from site_text import in_the_site, loaded, on_github


def built_as(page: Path) -> Path:
    return page.with_name("index.html") if page.name == "README.md" else page.with_suffix(".html")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "site"
    build(folder)
    return folder


def test_each_page_says_in_the_site_what_it_says_on_github(site: Path) -> None:
    pages = [page for page in files() if page.suffix == ".md"]
    assert len(pages) > 130
    other = {}
    for page in pages:
        (here, form), (there, formed) = on_github(ROOT / page), in_the_site(site / built_as(page))
        if (here, form) != (there, formed):
            same = next((at for at, pair in enumerate(zip(here, there, strict=False)) if len(set(pair)) > 1), 0)
            other[str(page)] = (here[same : same + 60], there[same : same + 60], form - formed, formed - form)
    assert other == {}, "what GitHub shows, what the site shows, and elements that one has more of"


def test_no_page_has_a_browser_ask_another_host(site: Path) -> None:
    asked = {url for page in site.rglob("*.html") for url in loaded(page) if re.match(r"(\w+:)?//", url)}
    assert asked == set()
    styles = "".join(path.read_text() for path in site.rglob("*.css"))
    assert len(styles) > 1000
    assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", styles)
    # The theme fetches Mermaid for diagrams, from elsewhere; there are none.
    assert not [page for page in site.rglob("*.html") if 'class="mermaid"' in page.read_text()]


def test_the_search_knows_every_page_by_its_words(site: Path) -> None:
    index = json.loads((site / "search/search_index.json").read_text())
    found = {entry["location"] for entry in index["docs"] if "goodput" in entry["text"].lower()}
    assert any(place.startswith("docs/explanation/clocks.html") for place in found)
    places = {entry["location"].partition("#")[0] for entry in index["docs"]}
    wanted = {str(built_as(page)) for page in files() if page.suffix == ".md"}
    assert places >= wanted - {"index.html"}


def test_a_file_that_a_page_links_to_is_in_the_site_as_it_is(site: Path) -> None:
    linked = [page for page in files() if page.suffix == ".yaml"]
    assert Path("examples/forecasting.yaml") in linked
    assert all((site / path).read_bytes() == (ROOT / path).read_bytes() for path in linked)


MISTAKES = {
    "an anchor that is not there": ("[x](docs/other.md#nowhere)", "does not contain an anchor '#nowhere'"),
    "an address that is no file's": ("[x](/docs/other.md)", "leads to no file"),
    "a page that is not there": ("[x](docs/missing.md)", r"README.md: the link to docs/missing.md leads to no file"),
    "a folder": ("[x](docs)", r"the link to docs leads to no file"),
    "a file outside": ("[x](../outside.md)", r"the link to ../outside.md leads to no file"),
}


@pytest.mark.parametrize(("link", "told"), MISTAKES.values(), ids=MISTAKES)
def test_a_link_that_leads_nowhere_fails_the_build(tmp_path: Path, link: str, told: str) -> None:
    (tmp_path / "outside.md").write_text("# Outside\n")
    with pytest.raises((SiteError, LinkError), match=re.escape(told)):
        build(
            tmp_path / "site",
            checkout(tmp_path / "checkout", f"# Start\nSee {link}.\n", ["README.md", "docs/other.md"]),
        )


def test_a_page_that_the_navigation_leaves_out_fails_the_build(tmp_path: Path) -> None:
    with pytest.raises(SiteError, match=r"docs/other\.md"):
        build(tmp_path / "site", checkout(tmp_path / "checkout", "# Start\n", ["README.md"]))


def checkout(root: Path, readme: str, nav: list[str]) -> Path:
    """A repository of two pages with the settings of ours."""
    (root / "docs").mkdir(parents=True)
    (root / "README.md").write_text(readme)
    (root / "docs/other.md").write_text("# Other\n## Somewhere\n")
    (root / "mkdocs.yml").write_text(yaml.safe_dump({"INHERIT": str(ROOT / "mkdocs.yml"), "nav": nav}))
    return root
